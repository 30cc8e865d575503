//! Whether a whole text is one thing: a URL, or a post of the first 140 characters.
//!
//! The grammar of URLs is that of RFC 3986 as X's validator reads it: user names, IP addresses and ports
//! are allowed, domains may be of any letters. Links in running text are found by [`super::urls()`],
//! which is stricter.

use super::length::LINK;
use super::letters::is_invalid;
use super::urls;
use std::net::Ipv4Addr;
use unicode_normalization::UnicodeNormalization;

/// Longest post until 2017, in characters of NFC.
const MAX_FIRST: usize = 140;
/// Digits of a port.
const PORT_DIGITS: usize = 5;

/// Whether a text could be a post until 2017: not empty, at most 140 characters whatever they are, of
/// which a link takes 23, none of them invalid (X's configuration, version 1).
pub fn fits_first_posts(text: &str) -> bool {
    let normal: String = text.nfc().collect();
    let links = urls(&normal);
    let in_links: usize = links.iter().map(|link| normal[link.clone()].chars().count()).sum();
    let length = normal.chars().count() - in_links + links.len() * LINK;
    (1..=MAX_FIRST).contains(&length) && !text.contains(is_invalid)
}

/// Whether a text is an `http` or `https` URL and nothing else.
pub fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return false;
    }
    let (rest, fragment) = cut(rest, '#');
    let (rest, query) = cut(rest, '?');
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    is_authority(authority)
        && is_made_of(path, |letter| is_path_letter(letter) || letter == '/')
        && [query, fragment].into_iter().flatten().all(|part| {
            is_made_of(part, |letter| is_path_letter(letter) || matches!(letter, '/' | '?'))
        })
}

/// What stands before the first `sign`, and after it.
fn cut(text: &str, sign: char) -> (&str, Option<&str>) {
    text.split_once(sign).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_unreserved(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || matches!(letter, '-' | '.' | '_' | '~' | '\u{400}'..='\u{4ff}')
}

fn is_user_letter(letter: char) -> bool {
    is_unreserved(letter)
        || matches!(letter, ':' | '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | ';' | '=')
}

fn is_path_letter(letter: char) -> bool {
    is_user_letter(letter) || matches!(letter, '|' | '@')
}

/// Whether a part holds only such letters and bytes written as `%41`.
fn is_made_of(part: &str, is: impl Fn(char) -> bool) -> bool {
    let mut rest = part;
    while let Some(letter) = rest.chars().next() {
        let encoded = rest
            .strip_prefix('%')
            .and_then(|rest| rest.get(..2))
            .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let bytes = match encoded {
            true => 3,
            false if is(letter) => letter.len_utf8(),
            false => return false,
        };
        rest = &rest[bytes..];
    }
    true
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    let (host, port) = match host.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host, None),
    };
    let port_fits = port.is_none_or(|port| {
        (1..=PORT_DIGITS).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match address {
        Some(address) => {
            !address.is_empty()
                && address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
        }
        None => host.parse::<Ipv4Addr>().is_ok() || is_domain(host),
    };
    is_made_of(user, is_user_letter) && port_fits && host_fits
}

/// Any number of names, a name without underscores, and a top-level name that starts with a letter.
fn is_domain(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let [above @ .., name, top] = labels.as_slice() else { return false };
    let letter = |letter: char| letter.is_ascii_alphanumeric() || !letter.is_ascii();
    let is_label = |label: &str, between: &[char]| {
        label.starts_with(letter)
            && label.ends_with(letter)
            && label.chars().all(|one| letter(one) || between.contains(&one))
    };
    above.iter().all(|label| is_label(label, &['-', '_']))
        && is_label(name, &['-'])
        && is_label(top, &['-'])
        && !top.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_whole_or_nothing() {
        for good in [
            "http://example.com",
            "HTTPS://u:p@sub_a.exa-mple.com:80/a%20b;c=d?q=/?#f",
            "http://192.0.2.1:8080/",
            "http://[2001:db8::1]/",
            "http://été.example/",
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "ftp://example.com/",
            "http://",
            "http://example",
            "http://exam_ple.com/",
            "http://-a.com",
            "http://example.com:/",
            "http://example.com:123456/",
            "http://[]/",
            "http://256.1.2.3/",
            "http://example.com/%2",
            "http://example.com/a b",
            "http://a:b@c@example.com/",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }

    #[test]
    fn the_first_posts_had_140_characters() {
        assert!(fits_first_posts(&"🐱".repeat(140)));
        // Two code points each, one in NFC.
        assert!(fits_first_posts(&"e\u{301}".repeat(140)));
        assert!(!fits_first_posts(&"e".repeat(141)));
        assert!(fits_first_posts(&format!("{} https://example.org/a/long/path", "e".repeat(116))));
        assert!(!fits_first_posts(&format!("{} t.co/a", "e".repeat(117))));
        assert!(!fits_first_posts(""));
        assert!(!fits_first_posts("a\u{fffe}b"));
    }
}
