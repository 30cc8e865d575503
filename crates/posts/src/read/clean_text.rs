//! What is done to the text of every post that is read: `normalise`, and t.co links dropped.
//!
//! Handles stay; they become placeholders when a thread becomes a document (`corpus`), because only a
//! thread knows who is who.

use crate::normalise::normalise;

/// The text without HTML escapes, damage and t.co links, in NFC, ends trimmed.
pub(super) fn clean(text: &str) -> String {
    let normal = normalise(text);
    if normal.contains("://t.co/") { without_tracking(&normal).trim().to_string() } else { normal }
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
            "a & b <3 'x' &unknown; & &"
        );
        assert_eq!(clean("see https://t.co/AbC12 and http://t.co/x"), "see and");
        assert_eq!(clean("see https://example.org/a"), "see https://example.org/a");
        assert_eq!(clean("e\u{301}te\u{301}"), "été");
        assert_eq!(clean("&#0;&#xD800;é&é"), "&#0;&#xD800;é&é");
    }
}
