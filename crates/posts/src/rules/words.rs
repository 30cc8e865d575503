//! The pieces of a text that rules ask about: bare text, kinds of tokens.

use crate::units::tokens;
use std::borrow::Cow;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `http://…`, `www.…`, or the placeholder `http` that some data sets put in place of links.
    Link,
    /// `@name`, perhaps with signs around it.
    Handle,
    /// A token with at least one letter or digit.
    Word,
    /// Signs or emoji only.
    Signs,
}

/// The kind of a token.
pub(super) fn kind(token: &str) -> Token {
    let core = token.trim_start_matches(['(', '[', '"', '\'', '.', '“', '‘', '«']);
    if is_link(core) {
        Token::Link
    } else if is_handle(core) {
        Token::Handle
    } else if token.chars().any(char::is_alphanumeric) {
        Token::Word
    } else {
        Token::Signs
    }
}

/// Whether a token is a link.
pub(crate) fn is_link(token: &str) -> bool {
    token.contains("://")
        || token.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."))
        || token == "http"
        || token == "https"
}

/// `@name`, then anything that is no letter of a name (`@a:`, `@a's` count, `@` alone does not).
fn is_handle(token: &str) -> bool {
    let mut letters = token.chars();
    matches!(letters.next(), Some('@' | '＠'))
        && letters.next().is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}

/// The text without the handles it starts with and without links: what a person wrote.
///
/// White space around what is left out collapses; line breaks stay.
pub fn bare_text(text: &str) -> Cow<'_, str> {
    let has_links = text.contains("http") || text.contains("://") || text.contains("www.");
    let starts_with_handle = text.trim_start().starts_with(['@', '＠']);
    if !has_links && !starts_with_handle {
        return Cow::Borrowed(text.trim());
    }
    let mut bare = String::with_capacity(text.len());
    let mut started = false;
    for line in text.split('\n') {
        let before = bare.len();
        for token in tokens(line) {
            if is_link(token) || (!started && is_handle(token)) {
                continue;
            }
            started = true;
            if bare.len() > before {
                bare.push(' ');
            }
            bare.push_str(token);
        }
        bare.push('\n');
    }
    Cow::Owned(bare.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_text_is_what_was_written() {
        assert_eq!(
            bare_text("@a @b_c: so said @d https://t.co/x \n  yes www.e.org"),
            "so said @d\nyes"
        );
        assert_eq!(bare_text(" plain  text "), "plain  text");
        assert_eq!(bare_text("@a https://t.co/x"), "");
    }

    #[test]
    fn kinds_of_tokens() {
        for (token, expected) in [
            ("https://a.b", Token::Link),
            ("(WWW.a.b)", Token::Link),
            ("@ann:", Token::Handle),
            (".@ann", Token::Handle),
            ("@", Token::Signs),
            ("🙂", Token::Signs),
            ("#a1", Token::Word),
            ("東京", Token::Word),
        ] {
            assert_eq!(kind(token), expected, "{token}");
        }
    }
}
