//! Identifiers that went through floating point: spreadsheets and data frames keep fifteen or sixteen digits of
//! a number, and a post's identifier has eighteen or nineteen.
//!
//! **The rule.** A number with a fraction of zeros is the number without it, when floating point holds it
//! exactly (up to 2^53). Rounded are: numbers with an exponent that hides digits (`1.59E+18`), numbers above
//! 2^53 with a fraction (`1590000000000000000.0`), and integers above 2^53 with zeros after their first fifteen
//! digits, in sources where more than half of all integers of that size look like this. (Some true
//! identifiers end in zeros; few of a source do.) A rounded identifier identifies nothing: the post is given
//! one of its own, by source and number of the record, and a link to it is dropped. Both are counted.

/// Integers up to here are exact in floating point.
const EXACT: u64 = 1 << 53;
/// Digits that spreadsheets keep.
const KEPT_DIGITS: usize = 15;

/// What a written identifier is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identifier<'t> {
    /// It identifies, in this spelling.
    Sound(&'t str),
    /// Its digits are lost.
    Rounded,
}

/// Judges an identifier; `rounded_source` says whether integers that end in zeros are rounded.
pub(super) fn judge(text: &str, rounded_source: bool) -> Identifier<'_> {
    let sound = Identifier::Sound(text);
    let Some(first) = text.bytes().next().filter(u8::is_ascii_digit) else { return sound };
    let Some((end, rest)) = text.find(|letter: char| !letter.is_ascii_digit()).map(|end| {
        let (whole, rest) = text.split_at(end);
        (whole, rest)
    }) else {
        let rounded = rounded_source && first != b'0' && is_large(text) && ends_in_zeros(text);
        return if rounded { Identifier::Rounded } else { sound };
    };
    // `.000`, or `,59E+18` as spreadsheets of many languages write it.
    let Some(fraction) = rest.strip_prefix(['.', ',']) else {
        return exponent("", rest).map_or(sound, |_| Identifier::Rounded);
    };
    let digits = fraction.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(fraction.len());
    let (digits, rest) = fraction.split_at(digits);
    if !rest.is_empty() {
        return exponent(digits, rest).map_or(sound, |_| Identifier::Rounded);
    }
    match digits.bytes().all(|digit| digit == b'0') && rest.is_empty() && !digits.is_empty() {
        false => sound,
        true if is_large(end) => Identifier::Rounded,
        true => Identifier::Sound(end),
    }
}

/// The exponent of a number with a sign or a fraction (`1e5` may be a name), when it hides digits.
fn exponent(fraction: &str, rest: &str) -> Option<usize> {
    let exponent = rest.strip_prefix(['e', 'E'])?;
    let signed = exponent.strip_prefix('+');
    let exponent: usize = signed.unwrap_or(exponent).parse().ok()?;
    (exponent > fraction.len() && (signed.is_some() || !fraction.is_empty())).then_some(exponent)
}

fn is_large(digits: &str) -> bool {
    digits.len() > KEPT_DIGITS && digits.parse::<u64>().map_or(true, |number| number > EXACT)
}

fn ends_in_zeros(digits: &str) -> bool {
    digits.as_bytes().iter().skip(KEPT_DIGITS).all(|&digit| digit == b'0')
}

/// Whether most integers above 2^53 in the first part of a source end in zeros after fifteen digits.
pub(super) fn are_rounded(head: &[u8]) -> bool {
    let (mut large, mut rounded) = (0_usize, 0_usize);
    for run in head.split(|byte| !byte.is_ascii_digit()) {
        // Nanoseconds and identifiers of today's networks have up to twenty digits.
        if !(KEPT_DIGITS + 2..=20).contains(&run.len()) {
            continue;
        }
        let Ok(digits) = std::str::from_utf8(run) else { continue };
        if is_large(digits) {
            large += 1;
            rounded += usize::from(ends_in_zeros(digits));
        }
    }
    rounded > 1 && rounded * 2 > large
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_identifiers_are_recognised() {
        for text in [
            "1.59E+18",
            "1.59e18",
            "1,59E+18",
            "1.590000e+18",
            "2E+18",
            "1.5e+05",
            "1590000000000000000.0",
            "1590123456789012480.0",
            "99999999999999999999999.0",
        ] {
            assert_eq!(judge(text, false), Identifier::Rounded, "{text}");
        }
        assert_eq!(judge("1590123456789010000", true), Identifier::Rounded);
        assert_eq!(judge("99999999999999900000000", true), Identifier::Rounded);
    }

    #[test]
    fn other_identifiers_stay_what_they_are() {
        for text in [
            "",
            "1590123456789012345",
            "1590000000000000000",
            "12e34",
            "1e5",
            "1.5",
            "a.0",
            "5.",
            "t3_1e5",
            "at://did:plc:x/1.0",
            "1.59E+",
            "1.59E+18x",
            "0.10",
            "1.25e+02",
            "-1.0",
        ] {
            assert_eq!(judge(text, false), Identifier::Sound(text), "{text}");
        }
        for text in ["1590123456789012345", "1000000", "9007199254740000", "00000000000000000000"] {
            assert_eq!(judge(text, true), Identifier::Sound(text), "{text}");
        }
        assert_eq!(judge("17.0", false), Identifier::Sound("17"));
        assert_eq!(judge("9007199254740992.0", false), Identifier::Sound("9007199254740992"));
    }

    #[test]
    fn sources_of_rounded_integers_are_told_by_most_of_them() {
        let lines = |step: u64| -> String {
            (0..50)
                .map(|row| format!("{},text\n", 1_590_123_456_000_000_000 + row * step))
                .collect()
        };
        assert!(are_rounded(lines(10_000).as_bytes()));
        assert!(!are_rounded(lines(12_345).as_bytes()));
        assert!(!are_rounded(b"1590000000000000000,one"));
        assert!(!are_rounded(b"1,one\n2,two\n"));
    }
}
