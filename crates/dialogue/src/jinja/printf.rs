//! Python's two ways to fill a value into a text: `format % values` and format specifications
//! (`{:>8.2f}`), of which `format` makes whole texts.

use num_bigint::BigInt;
use num_traits::{FromPrimitive as _, ToPrimitive as _};

use super::fault::{Fault, Result};
use super::limits::Limits;
use super::numbers::{float_digits, general, grouped, is_negative, magnitude, truncated};
use super::operators::int_to_float;
use super::text::{ascii, float, repr, str_of};
use super::value::Value;

/// Flags, width, precision and conversion of one `%` directive.
#[derive(Default)]
struct Directive {
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

/// Values for directives, one after the other.
struct Values<'a> {
    all: &'a [Value],
    next: usize,
}

impl Values<'_> {
    fn take(&mut self) -> Result<&Value> {
        self.next += 1;
        let missing = || Fault::type_error("not enough arguments for format string");
        self.all.get(self.next - 1).ok_or_else(missing)
    }
}

/// `format % values`.
pub(crate) fn printf(format: &str, values: &Value, limits: &Limits) -> Result<String> {
    let single = [values.clone()];
    let all: &[Value] = match values {
        Value::Tuple(items) => &items.items,
        _ => &single,
    };
    let mut values_left = Values { all, next: 0 };
    // Whatever can be indexed by keys counts as a mapping: nothing is missing from it.
    let mapping =
        matches!(values, Value::Dict(_) | Value::List(_) | Value::Range(_) | Value::Undefined(_));
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut keyed = None;
        if chars.peek() == Some(&'(') {
            chars.next();
            keyed = Some(keyed_value(values, &key_text(&mut chars)?)?);
        }
        let mut directive = Directive::default();
        while let Some(&flag) = chars.peek() {
            match flag {
                '-' => directive.left = true,
                '+' => directive.plus = true,
                ' ' => directive.space = true,
                '0' => directive.zero = true,
                '#' => directive.alternate = true,
                _ => break,
            }
            chars.next();
        }
        if let Some(width) = amount(&mut chars, &mut values_left)? {
            directive.left |= width < 0;
            directive.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        }
        if chars.peek() == Some(&'.') {
            chars.next();
            let precision = amount(&mut chars, &mut values_left)?.unwrap_or(0);
            directive.precision = Some(usize::try_from(precision).unwrap_or(0));
        }
        while matches!(chars.peek(), Some('h' | 'l' | 'L')) {
            chars.next();
        }
        let Some(conversion) = chars.next() else {
            return Err(Fault::value_error("incomplete format"));
        };
        if conversion == '%' {
            out.push('%');
            continue;
        }
        let value = match &keyed {
            Some(value) => value,
            None => values_left.take()?,
        };
        limits.bytes(directive.width)?;
        out.push_str(&directive.filled(conversion, value, limits)?);
        limits.fits(out.len())?;
    }
    let unused = values_left.next < values_left.all.len();
    if unused && !mapping {
        return Err(Fault::type_error("not all arguments converted during string formatting"));
    }
    Ok(out)
}

fn key_text(chars: &mut impl Iterator<Item = char>) -> Result<String> {
    let (mut key, mut open) = (String::new(), 1);
    for c in chars {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Ok(key);
        }
        key.push(c);
    }
    Err(Fault::value_error("incomplete format key"))
}

fn keyed_value(values: &Value, key: &str) -> Result<Value> {
    match values {
        Value::Dict(dict) => dict
            .get_str(key)
            .cloned()
            .ok_or_else(|| Fault::new(super::fault::FaultKind::Lookup, format!("'{key}'"))),
        Value::Undefined(hint) => Err(Fault::other(&**hint)),
        _ => Err(Fault::type_error("format requires a mapping")),
    }
}

/// A width or precision: digits, or `*` for one of the values.
fn amount(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    values: &mut Values<'_>,
) -> Result<Option<i64>> {
    if chars.peek() == Some(&'*') {
        chars.next();
        let value = values.take()?.as_int().and_then(|value| value.to_i64());
        return value.map(Some).ok_or_else(|| Fault::type_error("* wants int"));
    }
    let mut digits = String::new();
    while let Some(digit) = chars.peek().filter(|c| c.is_ascii_digit()) {
        digits.push(*digit);
        chars.next();
    }
    if digits.is_empty() {
        return Ok(None);
    }
    let too_big = |_| Fault::value_error("width too big");
    digits.parse().map(Some).map_err(too_big)
}

impl Directive {
    fn filled(&self, conversion: char, value: &Value, limits: &Limits) -> Result<String> {
        let (sign, prefix, body) = match conversion {
            's' => (String::new(), "", self.cut(str_of(value, limits)?)),
            'r' => (String::new(), "", self.cut(repr(value, limits)?)),
            'a' => (String::new(), "", self.cut(ascii(value, limits)?)),
            'c' => (String::new(), "", character(value)?),
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' => self.integer(conversion, value)?,
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let x = as_float(value)?;
                let digits = float_digits(x, conversion, self.precision, self.alternate)?;
                (self.sign(x.is_sign_negative() && !x.is_nan()), "", digits)
            }
            other => {
                let message = format!("unsupported format character '{other}'");
                return Err(Fault::value_error(message));
            }
        };
        let length = sign.len() + prefix.len() + body.chars().count();
        let missing = self.width.saturating_sub(length);
        let numeric = !matches!(conversion, 's' | 'r' | 'a' | 'c');
        Ok(if self.left {
            format!("{sign}{prefix}{body}{}", " ".repeat(missing))
        } else if self.zero && numeric {
            format!("{sign}{prefix}{}{body}", "0".repeat(missing))
        } else {
            format!("{}{sign}{prefix}{body}", " ".repeat(missing))
        })
    }

    fn cut(&self, text: String) -> String {
        match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text,
        }
    }

    fn sign(&self, negative: bool) -> String {
        let sign = match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        sign.to_owned()
    }

    fn integer(&self, conversion: char, value: &Value) -> Result<(String, &'static str, String)> {
        let base = match conversion {
            'x' | 'X' => 16,
            'o' => 8,
            _ => 10,
        };
        value.defined()?;
        let whole = match value {
            Value::Float(x) if base == 10 => truncated(*x).ok_or_else(|| {
                Fault::new(super::fault::FaultKind::Overflow, "cannot convert float to integer")
            })?,
            other => other.as_int().ok_or_else(|| {
                let kind = if base == 10 { "a real number" } else { "an integer" };
                let name = other.type_name();
                Fault::type_error(format!("%{conversion} format: {kind} is required, not {name}"))
            })?,
        };
        let mut digits = magnitude(&whole, base, conversion == 'X')?;
        if let Some(precision) = self.precision {
            let missing = precision.min(10_000).saturating_sub(digits.len());
            digits.insert_str(0, &"0".repeat(missing));
        }
        let prefix = match conversion {
            'x' if self.alternate => "0x",
            'X' if self.alternate => "0X",
            'o' if self.alternate => "0o",
            _ => "",
        };
        Ok((self.sign(is_negative(&whole)), prefix, digits))
    }
}

fn character(value: &Value) -> Result<String> {
    if let Some(code) = value.as_int() {
        let c = code.to_u32().and_then(char::from_u32);
        return c.map(String::from).ok_or_else(|| {
            Fault::new(super::fault::FaultKind::Overflow, "%c arg not in range(0x110000)")
        });
    }
    match value.as_str() {
        Some(text) if text.chars().count() == 1 => Ok(text.to_owned()),
        _ => Err(Fault::type_error("%c requires int or char")),
    }
}

/// `float(value)` of a number.
fn as_float(value: &Value) -> Result<f64> {
    value.defined()?;
    match (value, value.as_int()) {
        (Value::Float(x), _) => Ok(*x),
        (_, Some(whole)) => int_to_float(&whole),
        _ => {
            let name = value.type_name();
            Err(Fault::type_error(format!("must be real number, not {name}")))
        }
    }
}

/// A format specification: what follows the colon in `{:>8.2f}`.
struct Specification {
    fill: char,
    align: Option<char>,
    sign: char,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    conversion: Option<char>,
}

fn specification(text: &str) -> Result<Specification> {
    let chars: Vec<char> = text.chars().collect();
    let is_align = |at: usize| chars.get(at).is_some_and(|c| "<>=^".contains(*c));
    let mut at = 0;
    let (mut fill, mut align) = (' ', None);
    if is_align(1) {
        (fill, align, at) = (chars[0], Some(chars[1]), 2);
    } else if is_align(0) {
        (align, at) = (Some(chars[0]), 1);
    }
    let one_of = |at: &mut usize, set: &str| {
        let found = chars.get(*at).copied().filter(|c| set.contains(*c));
        *at += usize::from(found.is_some());
        found
    };
    let sign = one_of(&mut at, "+- ").unwrap_or('-');
    one_of(&mut at, "z");
    let alternate = one_of(&mut at, "#").is_some();
    if one_of(&mut at, "0").is_some() && align.is_none() {
        (fill, align) = ('0', Some('='));
    }
    let number = |at: &mut usize| -> Result<Option<usize>> {
        let digits: String = chars[*at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        *at += digits.len();
        if digits.is_empty() {
            return Ok(None);
        }
        let too_many = |_| Fault::value_error("too many decimal digits in format string");
        digits.parse().map(Some).map_err(too_many)
    };
    let width = number(&mut at)?.unwrap_or(0);
    let grouping = chars.get(at).copied().filter(|c| ",_".contains(*c));
    at += usize::from(grouping.is_some());
    let mut precision = None;
    if chars.get(at) == Some(&'.') {
        at += 1;
        precision = Some(
            number(&mut at)?
                .ok_or_else(|| Fault::value_error("format specifier missing precision"))?,
        );
    }
    let conversion = chars.get(at).copied();
    if chars.len() > at + 1 {
        return Err(Fault::value_error(format!("invalid format specifier '{text}'")));
    }
    Ok(Specification { fill, align, sign, alternate, width, grouping, precision, conversion })
}

/// `format(value, specification)`.
pub(crate) fn formatted(value: &Value, text: &str, limits: &Limits) -> Result<String> {
    if text.is_empty() {
        return str_of(value, limits);
    }
    if !matches!(value, Value::Str(_) | Value::Markup(_) | Value::Float(_))
        && value.as_int().is_none()
    {
        let name = value.type_name();
        let message = format!("unsupported format string passed to {name}.__format__");
        return Err(Fault::type_error(message));
    }
    let spec = specification(text)?;
    limits.bytes(spec.width.saturating_mul(4))?;
    let unknown = |conversion: char| {
        let name = value.type_name();
        let message = format!("unknown format code '{conversion}' for object of type '{name}'");
        Fault::value_error(message)
    };
    if let Some(text) = value.as_str() {
        return match spec.conversion {
            None | Some('s') if spec.align != Some('=') || spec.fill == '0' => {
                let cut: String = text.chars().take(spec.precision.unwrap_or(usize::MAX)).collect();
                Ok(spec.aligned("", &cut, '<'))
            }
            Some(conversion) if conversion != 's' => Err(unknown(conversion)),
            _ => Err(Fault::value_error("'=' alignment not allowed in string format specifier")),
        };
    }
    let (negative, body) = match (value, spec.conversion) {
        (_, Some(conversion @ ('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%'))) => {
            spec.real(as_float(value)?, conversion)?
        }
        (Value::Float(x), None) => match spec.precision {
            Some(precision) if x.is_finite() => {
                (x.is_sign_negative(), general(x.abs(), precision.max(1), false, true))
            }
            _ => (x.is_sign_negative() && !x.is_nan(), float(x.abs())),
        },
        (Value::Float(x), Some('n')) => spec.real(*x, 'g')?,
        (Value::Float(_), Some(conversion)) => return Err(unknown(conversion)),
        (_, conversion) => {
            let whole = value.as_int().unwrap_or_default();
            spec.whole(&whole, conversion.unwrap_or('d'))
                .ok_or_else(|| unknown(conversion.unwrap_or('d')))??
        }
    };
    let body = match spec.grouping {
        Some(separator) => {
            let size = if matches!(spec.conversion, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
            grouped(&body, separator, size)
        }
        None => body,
    };
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (false, '+') => "+",
        (false, ' ') => " ",
        _ => "",
    };
    Ok(spec.aligned(sign, &body, '>'))
}

impl Specification {
    fn real(&self, x: f64, conversion: char) -> Result<(bool, String)> {
        let negative = x.is_sign_negative() && !x.is_nan();
        if conversion == '%' {
            let digits = float_digits(x * 100.0, 'f', self.precision, self.alternate)?;
            return Ok((negative, digits + "%"));
        }
        Ok((negative, float_digits(x, conversion, self.precision, self.alternate)?))
    }

    /// An integer; `None` for a conversion that is not for integers.
    fn whole(&self, value: &BigInt, conversion: char) -> Option<Result<(bool, String)>> {
        let (base, prefix) = match conversion {
            'd' | 'n' => (10, ""),
            'b' => (2, "0b"),
            'o' => (8, "0o"),
            'x' => (16, "0x"),
            'X' => (16, "0X"),
            'c' => {
                let c = value.to_u32().and_then(char::from_u32);
                let out_of_range = || Fault::other("%c arg not in range(0x110000)");
                return Some(c.map(|c| (false, c.to_string())).ok_or_else(out_of_range));
            }
            _ => return None,
        };
        if self.precision.is_some() {
            let message = "precision not allowed in integer format specifier";
            return Some(Err(Fault::value_error(message)));
        }
        let prefix = if self.alternate { prefix } else { "" };
        let digits = magnitude(value, base, conversion == 'X');
        Some(digits.map(|digits| (is_negative(value), format!("{prefix}{digits}"))))
    }

    fn aligned(&self, sign: &str, body: &str, default: char) -> String {
        let length = sign.len() + body.chars().count();
        let missing = self.width.saturating_sub(length);
        let pad = |count: usize| String::from(self.fill).repeat(count);
        let align = match self.align {
            // A zero before the width means nothing for a string but its fill.
            Some('=') if default == '<' => '<',
            Some(align) => align,
            None => default,
        };
        match align {
            '<' => format!("{sign}{body}{}", pad(missing)),
            '^' => format!("{}{sign}{body}{}", pad(missing / 2), pad(missing - missing / 2)),
            '=' => format!("{sign}{}{body}", pad(missing)),
            _ => format!("{}{sign}{body}", pad(missing)),
        }
    }
}

/// Rounds half to even at a decimal place, as Python's `round(x, places)`.
pub(crate) fn rounded(value: &Value, places: i64) -> Result<Value> {
    value.defined()?;
    if let Some(whole) = value.as_int() {
        if places >= 0 {
            return Ok(Value::Int(whole));
        }
        let power = u32::try_from(-places).unwrap_or(u32::MAX).min(5000);
        let unit = BigInt::from(10).pow(power);
        let half: BigInt = &unit / 2;
        let floor = num_integer::Integer::div_floor(&whole, &unit);
        let rest = &whole - &floor * &unit;
        let odd = num_integer::Integer::is_odd(&floor);
        let up = rest > half || (rest == half && odd);
        return Ok(Value::Int((floor + BigInt::from(u8::from(up))) * unit));
    }
    let Value::Float(x) = value else {
        let name = value.type_name();
        let message = format!("type {name} doesn't define __round__ method");
        return Err(Fault::type_error(message));
    };
    if !x.is_finite() || places > 340 {
        return Ok(Value::Float(*x));
    }
    if places >= 0 {
        let text = format!("{x:.*}", usize::try_from(places).unwrap_or(0));
        return Ok(Value::Float(text.parse().unwrap_or(*x)));
    }
    let whole = BigInt::from_f64(x.trunc()).unwrap_or_default();
    if places < -400 {
        return Ok(Value::Float(0.0f64.copysign(*x)));
    }
    // Beside a fraction, a tie of the integer part is none.
    let doubled = whole * 2 + BigInt::from(if x.fract() == 0.0 { 0 } else { x.signum() as i64 });
    let unit = BigInt::from(10).pow(u32::try_from(-places).unwrap_or(0)) * 2;
    let floor = num_integer::Integer::div_floor(&doubled, &unit);
    let rest = &doubled - &floor * &unit;
    let half: BigInt = &unit / 2;
    let up = rest > half || (rest == half && num_integer::Integer::is_odd(&floor));
    let units = floor + BigInt::from(u8::from(up));
    let rounded: BigInt = units * &half;
    let rounded = rounded.to_f64().unwrap_or(*x);
    Ok(Value::Float(if rounded == 0.0 { 0.0f64.copysign(*x) } else { rounded }))
}
