//! Phone numbers: international by calling code, national by the groupings people use.
//!
//! Bare runs of digits without `+` are identifiers unless a word beside them says that they are
//! phone numbers: tools that take every long number for one eat identifiers and dates.

use super::spans::Span;
use super::words::PHONE;
use std::ops::Range;

/// Digits of a number after `+`: E.164, section 6, allows 15; fewer than 8 are in no public plan of
/// a country.
const INTERNATIONAL_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// Calling codes of ITU-T E.164 that are in use, by length.
const CODES_1: &str = "17";
const CODES_2: [u8; 44] = [
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56,
    57, 58, 60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];
const CODES_3: [std::ops::RangeInclusive<u16>; 19] = [
    211..=213,
    216..=216,
    218..=218,
    220..=258,
    260..=269,
    290..=291,
    297..=299,
    350..=359,
    370..=383,
    385..=387,
    389..=389,
    420..=421,
    423..=423,
    500..=509,
    590..=599,
    670..=692,
    850..=856,
    880..=888,
    960..=998,
];

/// Phone numbers among spans.
pub(super) fn phones(text: &str, spans: &[Span]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for span in spans {
        for window in span.windows(text) {
            let range = span.bytes(text, &window);
            let free = found.last().is_none_or(|last| last.end <= range.start);
            if free && !span.is_date(text, &window) && is_phone(text, span, &window) {
                found.push(range);
            }
        }
    }
    found
}

fn is_phone(text: &str, span: &Span, window: &Range<usize>) -> bool {
    let digits = span.digits(text, window);
    if span.plus && window.start == 0 {
        return is_international(&digits.replacen("(0)", "", 1));
    }
    let lengths = span.lengths(window);
    if let Some(rest) = digits.strip_prefix("00") {
        // What stands before it counts something, and is no part of a longer number.
        let first = window.start == 0 || span.groups[window.start - 1].len() <= 2;
        return first && lengths.len() > 1 && digits.len() >= 11 && is_international(rest);
    }
    let range = span.bytes(text, window);
    let american = matches!(lengths[..], [3, 3, 4] | [1, 3, 3, 4]) && is_north_american(&digits);
    let spaced = span.joins(text, window).all(|join| join == " ");
    american
        || is_trunk(&digits, &lengths)
        || is_mobile(&digits, &lengths, spaced)
        || (ANNOUNCED_DIGITS.contains(&digits.len())
            && lengths.iter().all(|&length| length >= 2 || lengths[0] == length)
            || is_eight(&digits, &lengths))
            && is_announced(text, &range)
}

/// Eight digits in pairs or in two groups of four, as in the plans of Norway, Denmark, Singapore, Hong Kong and
/// of Korea's companies; two years are a range.
fn is_eight(digits: &str, lengths: &[usize]) -> bool {
    let year = |digits: &str| matches!(&digits[..2], "18" | "19" | "20");
    match lengths {
        [2, 2, 2, 2] => true,
        [4, 4] => !(year(&digits[..4]) && year(&digits[4..])),
        _ => false,
    }
}

/// Digits of a number that only a word next to it shows to be one.
const ANNOUNCED_DIGITS: std::ops::RangeInclusive<usize> = 9..=12;

/// Calling code, then a national number of at least six digits.
fn is_international(digits: &str) -> bool {
    if !INTERNATIONAL_DIGITS.contains(&digits.len()) || !digits.is_ascii() {
        return false;
    }
    if digits.starts_with('1') {
        return is_north_american(digits);
    }
    let code = |length: usize| digits[..length].parse::<u16>().unwrap_or(0);
    let national = if CODES_1.contains(&digits[..1]) {
        digits.len() - 1
    } else if CODES_2.iter().any(|&known| u16::from(known) == code(2)) {
        digits.len() - 2
    } else if CODES_3.iter().any(|range| range.contains(&code(3))) {
        digits.len() - 3
    } else {
        return false;
    };
    national >= 6
}

/// Ten digits, perhaps after a 1: area code and exchange begin with 2 to 9 (North American numbering
/// plan), and the area code is no service code (N11).
fn is_north_american(digits: &str) -> bool {
    let ten = match digits.len() {
        10 => digits,
        11 => digits.strip_prefix('1').unwrap_or_default(),
        _ => "",
    };
    let bytes = ten.as_bytes();
    bytes.len() == 10
        && matches!(bytes[0], b'2'..=b'9')
        && matches!(bytes[3], b'2'..=b'9')
        && bytes[1..3] != *b"11"
}

/// A national number with trunk prefix 0 in groups: `06 12 34 56 78`, `020 7946 0958`, `030-901820`; twelve digits
/// are an area code of four and a number of eight, as in China.
fn is_trunk(digits: &str, lengths: &[usize]) -> bool {
    ((9..=11).contains(&digits.len()) || matches!(lengths, [4, 8]))
        && digits.starts_with('0')
        && !digits.starts_with("00")
        && (2..=5).contains(&lengths.len())
        && (2..=6).contains(&lengths[0])
        && lengths.iter().all(|&length| (2..=8).contains(&length))
}

/// National numbers without a trunk 0: Russian with the prefix 8, mobile numbers of China in groups of
/// 3, 4 and 4, of India in two groups of five (two round numbers are a range).
fn is_mobile(digits: &str, lengths: &[usize], spaced: bool) -> bool {
    let bytes = digits.as_bytes();
    match lengths {
        [1, 3, 3, 2, 2] | [1, 3, 3, 4] | [1, 3, 7] => {
            matches!(bytes[0], b'7' | b'8') && matches!(bytes[1], b'3' | b'4' | b'8' | b'9')
        }
        [3, 4, 4] => bytes[0] == b'1' && matches!(bytes[1], b'3'..=b'9'),
        [5, 5] => spaced && matches!(bytes[0], b'6'..=b'9') && !digits.ends_with("00"),
        _ => false,
    }
}

/// Whether a word beside a number, or a sign before it, announces a phone number.
fn is_announced(text: &str, range: &Range<usize>) -> bool {
    let (before, after) = (&text[..range.start], &text[range.end..]);
    before.trim_end().ends_with(['☎', '📞', '📱'])
        || PHONE.before(before).is_some()
        || PHONE.after(after).is_some()
}
