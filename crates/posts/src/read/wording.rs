//! What is done to the text of every post that is read: HTML entities, tracking links, NFC.
//!
//! Handles stay; they become placeholders when a thread becomes a document (`corpus`), because only a
//! thread knows who is who.

use unicode_normalization::UnicodeNormalization;

/// The text without HTML escapes and t.co links, in NFC, ends trimmed.
pub(super) fn clean(text: &str) -> String {
    let unescaped = if text.contains('&') { unescape(text) } else { text.to_string() };
    let linkless =
        if unescaped.contains("://t.co/") { without_tracking(&unescaped) } else { unescaped };
    linkless.trim().nfc().collect()
}

/// Replaces the entities X and HTML exports use; anything else after `&` stays as it is.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest entity known here has eight characters between `&` and `;`.
        let end = rest.bytes().take(11).position(|byte| byte == b';');
        match end.and_then(|end| entity(&rest[1..end]).map(|letter| (letter, end))) {
            Some((letter, end)) => {
                out.push(letter);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        "hellip" => Some('…'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|letter| *letter != '\0')
        }
    }
}

/// Drops `http(s)://t.co/…`, which names nothing a reader could know, and the space before it.
fn without_tracking(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let starts = ["https://t.co/", "http://t.co/"];
        let Some((at, prefix)) =
            starts.iter().filter_map(|prefix| Some((rest.find(prefix)?, prefix))).min()
        else {
            out.push_str(rest);
            return out;
        };
        out.push_str(rest[..at].trim_end_matches(' '));
        let link = &rest[at + prefix.len()..];
        let code = link.bytes().take_while(u8::is_ascii_alphanumeric).count();
        rest = &link[code..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_links_and_composition() {
        assert_eq!(
            clean("a &amp;amp; b &lt;3 &#39;x&#x27; &unknown; & &"),
            "a &amp; b <3 'x' &unknown; & &"
        );
        assert_eq!(clean("see https://t.co/AbC12 and http://t.co/x"), "see and");
        assert_eq!(clean("see https://example.org/a"), "see https://example.org/a");
        assert_eq!(clean("e\u{301}te\u{301}"), "été");
        assert_eq!(clean("&#0;&#xD800;é&é"), "&#0;&#xD800;é&é");
    }
}
