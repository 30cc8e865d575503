//! The words of a text without what copies differ in: case, signs, links, handles.

use unicode_normalization::UnicodeNormalization;

/// Lower-case NFKC words without signs, handles and links, separated by single spaces.
pub fn normal_form(text: &str) -> String {
    let mut words = Vec::new();
    for token in text.split_whitespace().filter(|token| !is_link(token) && !token.starts_with('@'))
    {
        let folded: String = token.nfkc().flat_map(char::to_lowercase).collect();
        words.extend(
            folded
                .split(|letter: char| !letter.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_string),
        );
    }
    words.join(" ")
}

fn is_link(token: &str) -> bool {
    token.contains("://") || token.starts_with("www.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_form_forgets_signs_case_links_and_handles() {
        assert_eq!(normal_form("@you L'ÉTÉ arrive!!  http://t.co/x 🙂"), "l été arrive");
        assert_eq!(normal_form("@a @b http://t.co/1"), "");
    }
}
