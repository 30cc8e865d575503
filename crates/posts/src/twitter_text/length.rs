//! The weighted length of a post: 280 units, in which a character of dense scripts weighs two, an
//! emoji two whatever it is made of, and a link 23 (X's configuration, version 3).

use super::letters::is_invalid;
use super::urls;
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

const MAX_LENGTH: usize = 280;
/// What a link weighs, however long it is.
pub(super) const LINK: usize = 23;
/// Characters that weigh one; all others weigh two.
const LIGHT: [std::ops::RangeInclusive<u32>; 4] = [0..=4351, 8192..=8205, 8208..=8223, 8242..=8247];

/// How long a text is for X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedLength {
    /// Its weighted length, of at most 280.
    pub weight: usize,
    /// Whether it may be posted: not empty, not too long, no invalid characters.
    pub valid: bool,
    /// The longest prefix that may be posted, in UTF-16 units of the text given (which is measured
    /// in NFC, so the last unit of a decomposed letter counts with it).
    pub valid_utf16: usize,
    /// All of it, in UTF-16 units.
    pub utf16: usize,
}

impl WeightedLength {
    /// Thousandths of the longest post.
    pub fn permillage(self) -> usize {
        self.weight * 1000 / MAX_LENGTH
    }
}

/// Measures a text. With `whole_emoji`, a sequence that shows as one emoji weighs two (version 3);
/// without, its characters are weighed one by one (version 2).
pub fn weighted_length(text: &str, whole_emoji: bool) -> WeightedLength {
    let normal: String = text.nfc().collect();
    let links: HashMap<usize, usize> =
        urls(&normal).into_iter().map(|link| (link.start, link.end)).collect();
    let utf16 = text.encode_utf16().count();
    let normal_utf16 = normal.encode_utf16().count();
    let (mut weight, mut units, mut valid_utf16, mut valid) = (0, 0, 0, true);
    let mut at = 0;
    while at < normal.len() {
        let (end, piece_weight) = match links.get(&at) {
            Some(&end) => (end, LINK),
            None => piece(&normal[at..], whole_emoji, at),
        };
        let piece = &normal[at..end];
        weight += piece_weight;
        units += piece.encode_utf16().count();
        valid = valid && !piece.contains(is_invalid) && weight <= MAX_LENGTH;
        if valid {
            valid_utf16 = units;
        }
        at = end;
    }
    // As in X's own count, what normalisation takes away or adds is set off at the end.
    let valid_utf16 = (valid_utf16 + utf16).saturating_sub(normal_utf16);
    WeightedLength { weight, valid: valid && weight > 0, valid_utf16, utf16 }
}

/// End and weight of the emoji or character that `text` starts with; `at` is added to the end.
fn piece(text: &str, whole_emoji: bool, at: usize) -> (usize, usize) {
    let Some(first) = text.chars().next() else { return (at, 0) };
    if whole_emoji && may_begin_emoji(first, text) {
        let cluster = text.graphemes(true).next().unwrap_or_default();
        if is_emoji(cluster) {
            return (at + cluster.len(), 2);
        }
    }
    let light = LIGHT.iter().any(|range| range.contains(&u32::from(first)));
    (at + first.len_utf8(), if light { 1 } else { 2 })
}

fn may_begin_emoji(first: char, text: &str) -> bool {
    !first.is_ascii() || text[1..].starts_with(['\u{20e3}', '\u{fe0f}'])
}

/// Several characters that show as one emoji. A lone pictograph weighs two by its code already.
fn is_emoji(cluster: &str) -> bool {
    let mut letters = cluster.chars();
    let Some(first) = letters.next() else { return false };
    let rest = letters.as_str();
    match first {
        '0'..='9' | '#' | '*' => rest.ends_with('\u{20e3}'),
        '©' | '®' => rest == "\u{fe0f}",
        _ => {
            matches!(u32::from(first),
                0x203c | 0x2049 | 0x2100..=0x2bff | 0x3030 | 0x303d | 0x3297 | 0x3299 | 0x1f000..=0x1faff)
                && !rest.is_empty()
        }
    }
}
