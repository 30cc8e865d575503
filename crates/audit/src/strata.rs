//! Strata by length: like is compared with like, and rates are listed by them.

/// Characters from which a stratum begins, and its name. 140 and 280 are the limits posts of the
/// network had; links count as written.
const LENGTHS: &[(usize, &str)] = &[
    (0, "0–39"),
    (40, "40–79"),
    (80, "80–119"),
    (120, "120–159"),
    (160, "160–279"),
    (280, "280+"),
];

/// The stratum of a text of so many characters (Unicode scalar values).
pub fn length_stratum(characters: usize) -> &'static str {
    let place = LENGTHS.partition_point(|(from, _)| *from <= characters);
    LENGTHS[place - 1].1
}

/// Place of a level in the order people expect: by number where names begin with one.
pub(super) fn order_of(level: &str) -> (u64, &str) {
    let digits: String = level.chars().take_while(char::is_ascii_digit).collect();
    (digits.parse().unwrap_or(u64::MAX), level)
}
