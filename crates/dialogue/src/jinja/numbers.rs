//! Numbers as text by a format (`%5.2f`, `{:>8,d}`) and text as numbers (`int()`, `float()`).

use num_bigint::{BigInt, Sign};

use super::fault::{Fault, Result};
use super::limits::MAX_DIGITS;
use super::text::special;
use super::words::is_space;

/// Digits of precision that a template may ask for.
const MAX_PRECISION: usize = 1000;

/// A float's digits for the conversions `e`, `f`, `g` and their capitals, without sign.
///
/// # Errors
/// Precision beyond a bound.
pub(crate) fn float_digits(
    x: f64,
    conversion: char,
    precision: Option<usize>,
    alternate: bool,
) -> Result<String> {
    let precision = precision.unwrap_or(6);
    if precision > MAX_PRECISION {
        return Err(Fault::value_error(format!("precision {precision} is too large")));
    }
    let x = x.abs();
    let text = if !x.is_finite() {
        special(x).to_owned()
    } else {
        match conversion.to_ascii_lowercase() {
            'f' => with_point(format!("{x:.precision$}"), alternate),
            'e' => exponential(x, precision, alternate),
            _ => general(x, precision.max(1), alternate, false),
        }
    };
    Ok(if conversion.is_ascii_uppercase() { text.to_uppercase() } else { text })
}

fn with_point(text: String, alternate: bool) -> String {
    if alternate && !text.contains('.') { text + "." } else { text }
}

fn exponential(x: f64, precision: usize, alternate: bool) -> String {
    let text = format!("{x:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", with_point(digits.to_owned(), alternate), exponent.abs())
}

/// `precision` significant digits; zeros at the end are left out unless `alternate`. With
/// `as_float`, whole numbers keep `.0`.
pub(crate) fn general(x: f64, precision: usize, alternate: bool, as_float: bool) -> String {
    let text = format!("{x:.*e}", precision - 1);
    let exponent: i32 = text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let last = precision as i32 - i32::from(as_float);
    if exponent < -4 || exponent >= last {
        let text = exponential(x, precision - 1, alternate);
        if alternate {
            return text;
        }
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{exponent}", without_zeros(digits));
    }
    let decimals = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
    let text = with_point(format!("{x:.decimals$}"), alternate);
    if alternate {
        return text;
    }
    let short = without_zeros(&text);
    if as_float && !short.contains('.') { format!("{short}.0") } else { short.to_owned() }
}

fn without_zeros(digits: &str) -> &str {
    if !digits.contains('.') {
        return digits;
    }
    digits.trim_end_matches('0').trim_end_matches('.')
}

/// Digits with a separator between groups.
pub(crate) fn grouped(digits: &str, separator: char, size: usize) -> String {
    let whole = digits.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(digits.len());
    let (whole, rest) = match digits.find('.') {
        Some(at) => digits.split_at(at),
        None => digits.split_at(whole),
    };
    let mut out = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % size == 0 {
            out.push(separator);
        }
        out.push(c);
    }
    out + rest
}

/// `int(text, base)`; `None` for what is no integer.
pub(crate) fn parse_int(text: &str, base: u32) -> Option<BigInt> {
    let text = text.trim_matches(is_space);
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = body.to_ascii_lowercase();
    let prefix = [("0b", 2), ("0o", 8), ("0x", 16)]
        .into_iter()
        .find(|(prefix, own)| lower.starts_with(prefix) && (base == 0 || base == *own));
    let (digits, base) = match prefix {
        Some((_, own)) => (body[2..].strip_prefix('_').unwrap_or(&body[2..]), own),
        None if base == 0 => {
            let zeros = body.trim_matches(['0', '_']).is_empty();
            if body.starts_with('0') && !zeros {
                return None;
            }
            (body, 10)
        }
        None => (body, base),
    };
    let digits = ascii_digits(digits)?;
    let sound = !digits.is_empty()
        && digits.len() <= MAX_DIGITS
        && !digits.starts_with('_')
        && !digits.ends_with('_')
        && !digits.contains("__");
    let value = BigInt::parse_bytes(digits.replace('_', "").as_bytes(), base).filter(|_| sound)?;
    Some(if negative { -value } else { value })
}

/// The text with decimal digits of every script as ASCII; `None` where a sign is left.
fn ascii_digits(text: &str) -> Option<String> {
    let ascii = |c: char| {
        if c.is_ascii() {
            return (c.is_ascii_alphanumeric() || c == '_').then_some(c);
        }
        if !super::words::is_decimal(c) {
            return None;
        }
        // Decimal digits of a script stand in a block of ten whose zero is a multiple of ten away
        // from none: the zero is the last code point below that is no digit, plus one.
        let below = (1..=10).find(|back| {
            let before = (c as u32).checked_sub(*back).and_then(char::from_u32);
            !before.is_some_and(super::words::is_decimal)
        })?;
        char::from_digit(below - 1, 10)
    };
    text.chars().map(ascii).collect()
}

/// `float(text)`; `None` for what is no number.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = body.to_ascii_lowercase();
    let word = ["inf", "infinity", "nan"].contains(&lower.as_str());
    let chars: Vec<char> = body.chars().collect();
    let digit =
        |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
    let sound = chars.iter().enumerate().all(|(i, c)| match c {
        '_' => digit(i.checked_sub(1)) && digit(Some(i + 1)),
        c => c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'),
    });
    if !word && (!sound || !chars.iter().any(char::is_ascii_digit)) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// The integer part of a finite float.
pub(crate) fn truncated(x: f64) -> Option<BigInt> {
    use num_traits::FromPrimitive as _;
    BigInt::from_f64(x.trunc())
}

/// An integer in a base, without its sign.
pub(crate) fn magnitude(value: &BigInt, base: u32, upper: bool) -> Result<String> {
    if base == 10 {
        let text = super::text::int_text(value)?;
        return Ok(text.trim_start_matches('-').to_owned());
    }
    let text = value.magnitude().to_str_radix(base);
    Ok(if upper { text.to_uppercase() } else { text })
}

/// Whether an integer is below zero.
pub(crate) fn is_negative(value: &BigInt) -> bool {
    value.sign() == Sign::Minus
}
