//! Digits: drawn into templates, in groups, in other scripts, and check digits.

use super::contexts::Script;
use stoa_random::Draws;

/// A template with digits drawn: any for `#`, 2 to 9 for `%`.
pub fn filled(template: &str, draws: &mut Draws) -> String {
    let digit = |value: usize| char::from_digit(value as u32, 10).expect("a digit");
    template
        .chars()
        .map(|sign| match sign {
            '#' => digit(draws.below(10)),
            '%' => digit(2 + draws.below(8)),
            other => other,
        })
        .collect()
}

/// Letters and digits in groups.
pub fn grouped(text: &str, lengths: &[usize], join: &str) -> String {
    let mut groups = Vec::new();
    let mut rest = text;
    for &length in lengths {
        let (group, tail) = rest.split_at(length.min(rest.len()));
        groups.push(group);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    groups.join(join)
}

/// ASCII in the full-width forms that East Asian keyboards write.
pub fn full_width(text: &str) -> String {
    text.chars()
        .map(|sign| match sign {
            ' ' => '\u{3000}',
            '!'..='~' => char::from_u32(u32::from(sign) + 0xfee0).expect("a full-width form"),
            other => other,
        })
        .collect()
}

/// The digits of a script instead of ASCII's; in East Asia the signs too.
pub fn localised(text: &str, script: Script, draws: &mut Draws) -> String {
    let zero = match script {
        Script::Latin | Script::Cyrillic | Script::Hebrew => return text.to_string(),
        Script::Arabic => *draws.pick(&['\u{660}', '\u{6f0}']),
        Script::Devanagari => '\u{966}',
        Script::Thai => '\u{e50}',
        Script::Han | Script::Kana | Script::Hangul => return full_width(text),
    };
    let local = |digit: u32| char::from_u32(u32::from(zero) + digit).expect("a digit");
    text.chars().map(|sign| sign.to_digit(10).map_or(sign, local)).collect()
}

/// Luhn's check digit for the digits before it (ISO/IEC 7812-1, annex B).
pub fn luhn_digit(digits: &str) -> char {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let values = digits.chars().rev().filter_map(|digit| digit.to_digit(10));
    let sum: u32 = values
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { doubled(digit) } else { digit })
        .sum();
    char::from_digit((10 - sum % 10) % 10, 10).expect("a digit")
}

/// The two check digits of an IBAN (ISO 13616, modulo 97).
pub fn check_iban(country: &str, account: &str) -> String {
    let remainder = format!("{account}{country}00")
        .chars()
        .filter_map(|sign| sign.to_digit(36))
        .fold(0_u32, |rest, sign| (rest * if sign < 10 { 10 } else { 100 } + sign) % 97);
    format!("{:02}", 98 - remainder)
}
