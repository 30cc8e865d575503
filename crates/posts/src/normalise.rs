//! Text as people meant it: entities undone (twice, where they were escaped twice), mojibake repaired,
//! links named by their domain, handles as placeholders, NFC.
//!
//! Each step is a pure function; [`normalise`] is all that need nothing but the text. Nothing here
//! changes case, punctuation or wording.

use crate::pii;
use crate::twitter_text::urls;
use std::borrow::Cow;
use std::collections::HashMap;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Entities, mojibake, control characters, NFC; ends trimmed.
pub fn normalise(text: &str) -> String {
    let unescaped = unescape_html(text);
    let repaired = repair_mojibake(&unescaped);
    let visible: Cow<'_, str> = if repaired.contains(is_invisible) {
        Cow::Owned(repaired.chars().filter(|&letter| !is_invisible(letter)).collect())
    } else {
        repaired
    };
    let trimmed = visible.trim();
    if is_nfc(trimmed) { trimmed.to_string() } else { trimmed.nfc().collect() }
}

/// Controls but line breaks and tabs, byte-order marks and soft hyphens. Joiners stay: emoji and
/// Persian need them.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{ad}' | '\u{feff}')
}

/// Escapes are undone as often as texts are seen to be escaped: once, or twice (`&amp;amp;`).
const ESCAPED_TIMES: usize = 2;

/// Replaces HTML entities, named and numbered; what is no entity stays.
pub fn unescape_html(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ESCAPED_TIMES {
        if !text.contains('&') {
            break;
        }
        let once = unescape_once(&text);
        if once == *text {
            break;
        }
        text = Cow::Owned(once);
    }
    text
}

/// Characters without width that are written as entities to fill empty lines, as Reddit's editor does.
/// Written as themselves they stay: Thai and Khmer mark the ends of words with them.
fn is_zero_width(letter: char) -> bool {
    matches!(letter, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// Longest entity between `&` and `;`.
const MAX_ENTITY: usize = 14;

fn unescape_once(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(MAX_ENTITY + 2).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            Some((letter, end)) => {
                if !is_zero_width(letter) {
                    out.push(letter);
                }
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

/// Names of HTML 4 that posts hold. All Latin-1 letters are among them.
const NAMED: &[(&str, char)] = &[
    ("AElig", 'Æ'),
    ("Aacute", 'Á'),
    ("Acirc", 'Â'),
    ("Agrave", 'À'),
    ("Aring", 'Å'),
    ("Atilde", 'Ã'),
    ("Auml", 'Ä'),
    ("Ccedil", 'Ç'),
    ("ETH", 'Ð'),
    ("Eacute", 'É'),
    ("Ecirc", 'Ê'),
    ("Egrave", 'È'),
    ("Euml", 'Ë'),
    ("Iacute", 'Í'),
    ("Icirc", 'Î'),
    ("Igrave", 'Ì'),
    ("Iuml", 'Ï'),
    ("Ntilde", 'Ñ'),
    ("OElig", 'Œ'),
    ("Oacute", 'Ó'),
    ("Ocirc", 'Ô'),
    ("Ograve", 'Ò'),
    ("Oslash", 'Ø'),
    ("Otilde", 'Õ'),
    ("Ouml", 'Ö'),
    ("THORN", 'Þ'),
    ("Uacute", 'Ú'),
    ("Ucirc", 'Û'),
    ("Ugrave", 'Ù'),
    ("Uuml", 'Ü'),
    ("Yacute", 'Ý'),
    ("ZeroWidthSpace", '\u{200b}'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("aelig", 'æ'),
    ("agrave", 'à'),
    ("amp", '&'),
    ("apos", '\''),
    ("aring", 'å'),
    ("atilde", 'ã'),
    ("auml", 'ä'),
    ("bull", '•'),
    ("ccedil", 'ç'),
    ("cent", '¢'),
    ("copy", '©'),
    ("deg", '°'),
    ("eacute", 'é'),
    ("ecirc", 'ê'),
    ("egrave", 'è'),
    ("eth", 'ð'),
    ("euml", 'ë'),
    ("euro", '€'),
    ("frac12", '½'),
    ("gt", '>'),
    ("hearts", '♥'),
    ("hellip", '…'),
    ("iacute", 'í'),
    ("icirc", 'î'),
    ("iexcl", '¡'),
    ("igrave", 'ì'),
    ("iquest", '¿'),
    ("iuml", 'ï'),
    ("laquo", '«'),
    ("ldquo", '“'),
    ("lsquo", '‘'),
    ("lt", '<'),
    ("mdash", '—'),
    ("middot", '·'),
    ("nbsp", '\u{a0}'),
    ("ndash", '–'),
    ("ntilde", 'ñ'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("oelig", 'œ'),
    ("ograve", 'ò'),
    ("ordf", 'ª'),
    ("ordm", 'º'),
    ("oslash", 'ø'),
    ("otilde", 'õ'),
    ("ouml", 'ö'),
    ("pound", '£'),
    ("quot", '"'),
    ("raquo", '»'),
    ("rdquo", '”'),
    ("reg", '®'),
    ("rsquo", '’'),
    ("sect", '§'),
    ("szlig", 'ß'),
    ("thorn", 'þ'),
    ("times", '×'),
    ("trade", '™'),
    ("uacute", 'ú'),
    ("ucirc", 'û'),
    ("ugrave", 'ù'),
    ("uuml", 'ü'),
    ("yacute", 'ý'),
    ("yen", '¥'),
    ("yuml", 'ÿ'),
];

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
            None => number.parse().ok()?,
        };
        // Codes of C1 controls mean Windows-1252, as in every browser (HTML, "numeric character
        // reference end state").
        let letter = u8::try_from(code).ok().and_then(windows_1252).or(char::from_u32(code));
        return letter.filter(|letter| *letter != '\0');
    }
    let at = NAMED.binary_search_by_key(&name, |&(known, _)| known).ok()?;
    Some(NAMED[at].1)
}

/// Windows-1252 between 0x80 and 0x9f, where it differs from Latin-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn windows_1252(byte: u8) -> Option<char> {
    WINDOWS_1252.get(usize::from(byte).checked_sub(0x80)?).copied()
}

/// The byte that Windows-1252 (or Latin-1, for what that leaves open) has for a character.
fn byte_of(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    if code < 0x100 {
        return Some(code as u8);
    }
    WINDOWS_1252.iter().position(|&known| known == letter).map(|place| 0x80 + place as u8)
}

/// UTF-8 that was read as Windows-1252, decoded again: `Ã©` becomes `é`, `â€™` becomes `’`.
///
/// A sequence counts when its bytes are valid UTF-8 of the planes in use. One is certain where no
/// one would write it: a Latin-1 letter or sign from `Â` or `Ã`, punctuation or kana of three bytes, an
/// emoji of four. Others (`É»` at the end of a quotation, `é”’`) count when there are several.
pub fn repair_mojibake(text: &str) -> Cow<'_, str> {
    let Some(once) = repair_once(text, MIN_SEQUENCES) else { return Cow::Borrowed(text) };
    // Read wrongly twice is seen too, but what looks like it by chance then needs to be certain.
    match repair_once(&once, usize::MAX) {
        Some(twice) => Cow::Owned(twice),
        None => Cow::Owned(once),
    }
}

/// Sequences in one text that are no accident.
const MIN_SEQUENCES: usize = 3;

fn repair_once(text: &str, fewest: usize) -> Option<String> {
    // Lead bytes of UTF-8, as Latin-1 shows them.
    if !text.contains(|letter| matches!(letter, '\u{c2}'..='\u{f0}')) {
        return None;
    }
    let letters: Vec<char> = text.chars().collect();
    let mut repaired = String::with_capacity(text.len());
    let (mut found, mut certain) = (0, false);
    let mut at = 0;
    while at < letters.len() {
        match decode(&letters[at..]) {
            Some((letter, length)) => {
                let quote = matches!(letters[at + 1], '»' | '«' | '“' | '”' | '’' | '‘');
                certain |= match length {
                    2 => matches!(letter, '\u{a1}'..='\u{ff}') && !quote,
                    3 => matches!(letters[at], 'â' | 'ã' | 'ï'),
                    _ => true,
                };
                // Cyrillic and Greek come in words, two letters at least.
                found += if length == 2 && !quote { 2 } else { 1 };
                repaired.push(letter);
                at += length;
            }
            None => {
                repaired.push(letters[at]);
                at += 1;
            }
        }
    }
    (certain || found >= fewest).then_some(repaired)
}

/// The character that the bytes of the first letters make in UTF-8, if two letters or more make one.
fn decode(letters: &[char]) -> Option<(char, usize)> {
    let lead = byte_of(*letters.first()?)?;
    let length = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        // Planes beyond the third hold nothing that is written.
        0xf0 => 4,
        _ => return None,
    };
    let mut bytes = [0; 4];
    for (byte, letter) in bytes.iter_mut().zip(letters.get(..length)?) {
        *byte = byte_of(*letter)?;
    }
    let decoded = std::str::from_utf8(&bytes[..length]).ok()?.chars().next()?;
    Some((decoded, length))
}

/// Replaces each link by what `expand` says it leads to, named by domain in angle brackets; t.co links
/// that lead nowhere known are left out, with the space before them.
pub fn name_links<'a>(text: &str, expand: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut named = String::with_capacity(text.len());
    let mut from = 0;
    for link in urls(text) {
        let address = &text[link.clone()];
        let target = expand(address).unwrap_or(address);
        named.push_str(&text[from..link.start]);
        from = link.end;
        match domain_of(target) {
            Some(domain) if domain != "t.co" => {
                named.push('<');
                named.push_str(&domain);
                named.push('>');
            }
            _ => named.truncate(named.trim_end_matches(' ').len()),
        }
    }
    named.push_str(&text[from..]);
    named
}

/// The host of an address, in lower case, without `www.`.
fn domain_of(address: &str) -> Option<String> {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = host.split(['/', '?', '#', ':']).next().filter(|host| host.contains('.'))?;
    let host = host.to_lowercase();
    Some(host.strip_prefix("www.").map_or(host.clone(), str::to_string))
}

/// Placeholders for handles that are stable within a thread: `@user1` is the first person met,
/// whether as author or mentioned.
#[derive(Clone, Debug, Default)]
pub struct Handles {
    numbers: HashMap<String, usize>,
}

impl Handles {
    /// No person was met yet.
    pub fn new() -> Handles {
        Handles::default()
    }

    /// The number of a person, from 1; a new one for someone new. Case does not matter.
    pub fn number(&mut self, handle: &str) -> usize {
        let next = self.numbers.len() + 1;
        *self.numbers.entry(handle.to_lowercase()).or_insert(next)
    }

    /// The text with every handle replaced ([`pii::handles`]): of X, the fediverse, Bluesky, Reddit.
    /// Addresses (`a@b`) are not handles.
    pub fn replace(&mut self, text: &str) -> String {
        self.replace_as(text, &str::to_string)
    }

    /// As [`Handles::replace`], where people are numbered by another name than their handle, such as
    /// the keyed hash that a store knows them by.
    pub fn replace_as(&mut self, text: &str, name: &dyn Fn(&str) -> String) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut from = 0;
        for account in pii::handles(text) {
            let number = self.number(&name(&account.name));
            replaced.push_str(&text[from..account.range.start]);
            replaced.push_str(&format!("@user{number}"));
            from = account.range.end;
        }
        replaced.push_str(&text[from..]);
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entities_once_and_twice() {
        assert!(NAMED.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (text, expected) in [
            ("a &amp;amp; b &lt;3 &#39;x&#x27; &unknown; & &", "a & b <3 'x' &unknown; & &"),
            ("&amp;lt;3 caf&eacute; &#150; &euro;5", "<3 café – €5"),
            ("&#0;&#xD800;&#9999999999;", "&#0;&#xD800;&#9999999999;"),
            ("a\n\n&amp;#x200B;\n\nb &#8203;c", "a\n\n\n\nb c"),
            ("ก\u{200b}ข", "ก\u{200b}ข"),
            ("no entity here", "no entity here"),
        ] {
            assert_eq!(unescape_html(text), expected);
        }
    }

    #[test]
    fn mojibake_is_read_again() {
        for (text, expected) in [
            ("cafÃ© ouvert", "café ouvert"),
            ("itâ€™s", "it’s"),
            ("ðŸ˜‚ lol", "😂 lol"),
            ("Ð´Ð°", "да"),
            ("Â£5", "£5"),
            ("cafÃƒÂ© et thÃƒÂ©", "café et thé"),
            // Not mojibake.
            ("« ÉTÉ »", "« ÉTÉ »"),
            ("le CAFÉ»", "le CAFÉ»"),
            ("NÃO É ASSIM", "NÃO É ASSIM"),
            ("été à Zürich, señor", "été à Zürich, señor"),
            ("Ünïcödé", "Ünïcödé"),
        ] {
            assert_eq!(repair_mojibake(text), expected, "{text}");
        }
    }

    #[test]
    fn all_in_one() {
        assert_eq!(normalise(" e\u{301}te\u{301} &amp;amp; cafÃ©\u{feff}\u{0}\n"), "été & café");
    }

    #[test]
    fn links_are_named() {
        let known =
            |link: &str| (link == "https://t.co/a").then_some("https://www.Example.org/x?y=1");
        assert_eq!(
            name_links("see https://t.co/a and https://t.co/b, or news.example.com/z.", known),
            "see <example.org> and, or <news.example.com>."
        );
        assert_eq!(name_links("nothing", known), "nothing");
    }

    #[test]
    fn handles_are_stable() {
        let mut handles = Handles::new();
        assert_eq!(handles.replace("@Ann: hi @bob, a@b.c"), "@user1: hi @user2, a@b.c");
        assert_eq!(handles.replace(".@BOB (@ann) @"), ".@user2 (@user1) @");
        assert_eq!(handles.number("carl"), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|[&#;x0-9a-z@ ÃÂâ€™©é]{0,60}|(&amp;|&#x?[0-9a-f]{0,7};|Ã|Â|ð|Ÿ|˜|t\\.co/a| ){0,16}") {
            normalise(&text);
            name_links(&text, |_| None);
            Handles::new().replace(&text);
            // Repairing is finished: a second pass finds at most what a third level of damage holds.
            let repaired = repair_mojibake(&text).into_owned();
            prop_assert!(repaired.chars().count() <= text.chars().count());
        }

        /// Text of Latin, Cyrillic and Greek letters with spaces is never taken for mojibake.
        #[test]
        fn letters_are_left_alone(text in "[a-zA-ZÀ-ÿа-яα-ω ]{0,40}") {
            prop_assert_eq!(repair_mojibake(&text), text.as_str());
        }

        #[test]
        fn what_was_damaged_is_repaired(text in "[a-zéèçñüа-я😂’ ]{0,20}é à ’") {
            let damaged: String = text.bytes()
                .map(|byte| windows_1252(byte).unwrap_or(char::from(byte)))
                .collect();
            prop_assert_eq!(repair_mojibake(&damaged), text);
        }
    }
}
