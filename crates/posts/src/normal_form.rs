//! The words of a text without what copies differ in: case, signs, links, handles.

use crate::units::{bare_units, is_spaced, tokens};
use unicode_normalization::UnicodeNormalization;

/// Lower-case NFKC words without signs, handles and links, separated by single spaces.
///
/// Letters of scripts without spaces between words follow one another without a space, whatever stood
/// between them; their marks stay. A space separates them from words: `今日はiPhone！` is
/// `今日は iphone`. `units::units` of it are the words and letters again.
pub fn normal_form(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut after_letter = false;
    for token in tokens(text).filter(|token| !is_link(token) && !token.starts_with('@')) {
        if token.is_ascii() {
            // Composed and in one case already, but for capitals.
            let words = token.split(|sign: char| !sign.is_ascii_alphanumeric());
            for word in words.filter(|word| !word.is_empty()) {
                push(&mut normal, word, false);
                let start = normal.len() - word.len();
                normal[start..].make_ascii_lowercase();
                after_letter = false;
            }
            continue;
        }
        let folded: String = token.nfkc().flat_map(char::to_lowercase).collect();
        if is_spaced(&folded) {
            let words = folded.split(|letter: char| !letter.is_alphanumeric());
            for word in words.filter(|word| !word.is_empty()) {
                push(&mut normal, word, false);
                after_letter = false;
            }
            continue;
        }
        for unit in bare_units(&folded) {
            push(&mut normal, unit.text, after_letter && unit.is_letter());
            after_letter = unit.is_letter();
        }
    }
    normal
}

fn push(normal: &mut String, piece: &str, joined: bool) {
    if !normal.is_empty() && !joined {
        normal.push(' ');
    }
    normal.push_str(piece);
}

fn is_link(token: &str) -> bool {
    token.contains("://") || token.starts_with("www.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::units;
    use proptest::prelude::*;

    #[test]
    fn normal_form_forgets_signs_case_links_and_handles() {
        assert_eq!(normal_form("@you L'ÉTÉ arrive!!  http://t.co/x 🙂"), "l été arrive");
        assert_eq!(normal_form("@a @b http://t.co/1"), "");
    }

    #[test]
    fn letters_of_scripts_without_spaces_keep_their_marks_and_no_space() {
        for (text, expected) in [
            ("今日は、 iPhone で\n写真！https://t.co/xを 2024年", "今日は iphone で写真を 2024 年"),
            ("@annｶﾞｲﾄﾞ ブック", "ガイドブック"),
            ("ที่นี่ ดี", "ที่นี่ดี"),
            ("ភាសា\u{200b}ខ្មែរ។", "ភាសាខ្មែរ"),
            ("မြန်မာ၊ ဘာသာ", "မြန်မာဘာသာ"),
            ("བོད་ཡིག", "བོདཡིག"),
            ("오늘 날씨", "오늘 날씨"),
        ] {
            let expected: String = expected.nfkc().collect();
            assert_eq!(normal_form(text), expected, "{text}");
        }
    }

    /// The definition for scripts with spaces.
    fn of_spaced(text: &str) -> String {
        let tokens = text.split_whitespace();
        let words = tokens.filter(|token| !is_link(token) && !token.starts_with('@'));
        let folded = words.map(|word| word.nfkc().flat_map(char::to_lowercase).collect::<String>());
        let words: Vec<String> = folded
            .flat_map(|word| {
                let words = word.split(|letter: char| !letter.is_alphanumeric());
                words.filter(|word| !word.is_empty()).map(str::to_string).collect::<Vec<_>>()
            })
            .collect();
        words.join(" ")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn texts_of_scripts_with_spaces_are_split_at_signs(
            text in "[\\PC&&[\u{0}-\u{dff}]]{0,40}|[a-zßДغहिन्दी한국어 .,@🙂😀’“\u{301}\u{94d}-]{0,40}|\\w{0,9}://x y",
        ) {
            prop_assume!(!text.chars().any(crate::units::is_unspaced));
            prop_assert_eq!(normal_form(&text), of_spaced(&text));
        }

        #[test]
        fn units_of_a_normal_form_make_it_up(text in "\\PC{0,60}|[aB1 、は漢のี่ក្មမ်ཀ་🙂@]{0,30}") {
            let normal = normal_form(&text);
            let joined: String = units(&normal).map(|unit| unit.text).collect();
            prop_assert_eq!(normal.replace(' ', ""), joined);
            prop_assert!(!normal.contains("  ") && normal.trim() == normal);
        }
    }
}
