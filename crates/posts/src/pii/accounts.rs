//! Bank accounts and payment cards, by their check digits; numbers that a state gives its people.

use super::borders::joins;
use super::spans::Span;
use super::words::NATIONAL_ID;
use std::ops::Range;

/// Length of an IBAN by country (ISO 13616 registry).
const IBAN_LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NL", 18),
    ("NO", 15),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("SA", 24),
    ("SC", 31),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
];

/// IBANs, written together or in groups.
pub(super) fn ibans(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found: Vec<Range<usize>> = Vec::new();
    for start in 0..bytes.len().saturating_sub(14) {
        let head = &bytes[start..start + 4];
        let opens = head[..2].iter().all(u8::is_ascii_alphabetic)
            && head[2..].iter().all(u8::is_ascii_digit)
            && !text[..start].ends_with(joins);
        if !opens {
            continue;
        }
        let country = text[start..start + 2].to_ascii_uppercase();
        let Ok(row) = IBAN_LENGTHS.binary_search_by_key(&country.as_str(), |&(code, _)| code)
        else {
            continue;
        };
        if let Some(end) = account_end(bytes, start, IBAN_LENGTHS[row].1)
            && is_iban(&text[start..end])
        {
            found.push(start..end);
        }
    }
    found
}

/// Where the given number of letters and digits ends, single spaces or hyphens between them allowed;
/// nothing when more follow directly.
fn account_end(bytes: &[u8], start: usize, length: usize) -> Option<usize> {
    let (mut at, mut taken) = (start, 0);
    while taken < length {
        match bytes.get(at)? {
            byte if byte.is_ascii_alphanumeric() => taken += 1,
            b' ' | b'-' if bytes.get(at + 1)?.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        at += 1;
    }
    let free = !bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    free.then_some(at)
}

/// ISO 7064 MOD 97-10: the first four characters moved to the end, letters as 10 to 35, give 1.
fn is_iban(text: &str) -> bool {
    let signs: Vec<u32> = text.chars().filter_map(|letter| letter.to_digit(36)).collect();
    let (head, tail) = signs.split_at(4.min(signs.len()));
    let remainder = tail
        .iter()
        .chain(head)
        .fold(0_u32, |remainder, &sign| (remainder * if sign < 10 { 10 } else { 100 } + sign) % 97);
    remainder == 1
}

/// Payment cards among spans. Runs of 17 digits and more without spaces are identifiers of posts, but for those of
/// China's issuer, with which no identifier begins; its cards have 19 digits, in groups of six and thirteen too.
pub(super) fn cards(text: &str, spans: &[Span]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for span in spans.iter().filter(|span| !span.plus) {
        for window in span.windows(text) {
            let groups = window.len();
            let digits = span.digits(text, &window);
            let together = groups == 1 && (digits.len() <= 16 || digits.starts_with("62"));
            let grouped = (3..=5).contains(&groups) || span.lengths(&window) == [6, 13];
            let card = (together || grouped) && is_card(&digits);
            let range = span.bytes(text, &window);
            if card && found.last().is_none_or(|last| last.end <= range.start) {
                found.push(range);
            }
        }
    }
    found
}

/// Social security numbers of the United States among spans: 123-45-6789 with hyphens, or after a word
/// for them, in the areas, groups and serials that are given out (20 CFR 422.103; Social Security
/// Administration, RM 10201.035).
pub(super) fn national_ids(text: &str, spans: &[Span]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for span in spans.iter().filter(|span| !span.plus) {
        for window in span.windows(text) {
            if span.lengths(&window) != [3, 2, 4] {
                continue;
            }
            let digits = span.digits(text, &window);
            let range = span.bytes(text, &window);
            let hyphens = span.joins(text, &window).all(|join| join == "-");
            let given = (hyphens || NATIONAL_ID.before(&text[..range.start]).is_some())
                && !matches!(digits[..3].parse::<u16>(), Ok(0 | 666 | 900..))
                && &digits[3..5] != "00"
                && &digits[5..] != "0000";
            if given {
                found.push(range);
            }
        }
    }
    found
}

/// A known issuer's prefix and length, and Luhn's check digit (ISO/IEC 7812-1, annex B).
fn is_card(digits: &str) -> bool {
    let prefix =
        |length: usize| digits.get(..length).and_then(|p| p.parse::<u32>().ok()).unwrap_or(0);
    let known = match digits.len() {
        17 | 18 => is_maestro(prefix(2)) || prefix(2) == 62,
        19 => prefix(1) == 4 || is_maestro(prefix(2)) || is_mir(prefix(4)) || prefix(2) == 62,
        14 => matches!(prefix(3), 300..=305) || matches!(prefix(2), 36 | 38 | 39),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            prefix(1) == 4
                || is_maestro(prefix(2))
                || is_mir(prefix(4))
                // JCB, Mastercard; RuPay, Discover and Iran's banks, which UnionPay and Maestro share.
                || matches!(prefix(2), 35 | 51..=55 | 60..=62 | 65 | 81 | 82)
                // Mastercard; national schemes of Uzbekistan, Vietnam, Turkey.
                || matches!(prefix(4), 2221..=2720 | 8600 | 9704 | 9792 | 9860)
                || matches!(prefix(3), 644..=649)
        }
        _ => false,
    };
    known && luhn(digits) && digits.bytes().any(|byte| byte != digits.as_bytes()[0])
}

/// Maestro and the national schemes in its ranges.
fn is_maestro(prefix: u32) -> bool {
    matches!(prefix, 50 | 56..=59 | 63 | 67)
}

/// Russia's scheme, and Bulgaria's next to it.
fn is_mir(prefix: u32) -> bool {
    matches!(prefix, 2200..=2205)
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
