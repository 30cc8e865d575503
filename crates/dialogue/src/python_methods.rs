//! What Jinja2 offers templates and Jinja's Rust engine lacks or defines otherwise: methods of
//! Python's strings, filters and tests. Positions in strings count characters, as in Python. How
//! values are written is in `python_text`.

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use crate::python_text::str_of;

/// Adds them to an environment.
pub(crate) fn register(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("int", int);
    environment.add_filter("sum", sum);
    environment.add_filter("replace", replace);
    // Python's strings and dicts count as sequences too.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    // `None` cannot be iterated in Python; Jinja2's undefined value can.
    environment.add_test("iterable", |value: &Value| {
        value.kind() != ValueKind::None && value.try_iter().is_ok()
            || value.kind() == ValueKind::String
    });
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn method(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return pycompat::unknown_method_callback(state, value, method, args);
    };
    Ok(match method {
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            text.strip_prefix(prefix).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        "rsplit" => {
            let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
            rsplit(text, separator, most.and_then(|n| usize::try_from(n).ok()))?.into()
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            partition(text, separator, method == "rpartition")?.into()
        }
        "zfill" => {
            let (width,): (i64,) = from_args(args)?;
            zfill(text, usize::try_from(width).unwrap_or(0))?.into()
        }
        "find" | "index" => {
            let (part,): (&str,) = from_args(args)?;
            position(text, text.find(part), part, method == "index")?.into()
        }
        "rfind" | "rindex" => {
            let (part,): (&str,) = from_args(args)?;
            position(text, text.rfind(part), part, method == "rindex")?.into()
        }
        "swapcase" => {
            let () = from_args(args)?;
            text.chars().map(swapped).collect::<String>().into()
        }
        _ => return pycompat::unknown_method_callback(state, value, method, args),
    })
}

fn swapped(c: char) -> String {
    if c.is_lowercase() { c.to_uppercase().collect() } else { c.to_lowercase().collect() }
}

/// Characters before byte `at`; −1, or an error, where there is none.
fn position(text: &str, at: Option<usize>, part: &str, required: bool) -> Result<i64, Error> {
    match at {
        Some(at) => Ok(text[..at].chars().count() as i64),
        None if required => Err(invalid(format!("substring {part:?} not found"))),
        None => Ok(-1),
    }
}

fn rsplit(text: &str, separator: Option<&str>, most: Option<usize>) -> Result<Vec<String>, Error> {
    let most = most.unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = Vec::new();
    match separator {
        Some("") => return Err(invalid("empty separator")),
        Some(separator) => parts.extend(text.rsplitn(most.saturating_add(1), separator)),
        None => {
            let mut rest = text.trim_end();
            while parts.len() < most
                && let Some((at, space)) = rest.char_indices().rfind(|(_, c)| c.is_whitespace())
            {
                parts.push(&rest[at + space.len_utf8()..]);
                rest = rest[..at].trim_end();
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
        }
    }
    Ok(parts.into_iter().rev().map(str::to_owned).collect())
}

fn partition(text: &str, separator: &str, last: bool) -> Result<Vec<String>, Error> {
    if separator.is_empty() {
        return Err(invalid("empty separator"));
    }
    let found = if last { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match found {
        Some((before, after)) => [before, separator, after],
        None if last => ["", "", text],
        None => [text, "", ""],
    };
    Ok(parts.map(str::to_owned).to_vec())
}

/// Widest number that `zfill` fills: a template must not be able to ask for all memory.
const MAX_WIDTH: usize = 10_000;

fn zfill(text: &str, width: usize) -> Result<String, Error> {
    if width > MAX_WIDTH {
        return Err(invalid(format!("zfill to {width} characters; at most {MAX_WIDTH}")));
    }
    let missing = width.saturating_sub(text.chars().count());
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    Ok(format!("{sign}{}{digits}", "0".repeat(missing)))
}

fn length(value: &Value) -> Result<usize, Error> {
    if value.is_undefined() {
        return Ok(0);
    }
    let refused = || invalid(format!("cannot calculate length of value of type {}", value.kind()));
    value.len().ok_or_else(refused)
}

/// Jinja2's `int(value, default=0, base=10)`: what is no number becomes the default.
fn int(value: &Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let default = match default {
        Some(default) => default,
        None => options.get::<Option<Value>>("default")?.unwrap_or_else(|| Value::from(0)),
    };
    let base = options.get::<Option<u32>>("base")?.unwrap_or(10);
    options.assert_all_used()?;
    if !(2..=36).contains(&base) {
        return Err(invalid(format!("int: base {base} is not from 2 to 36")));
    }
    let number = match value.kind() {
        ValueKind::Bool => Some(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => return Ok(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(truncated),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default().trim();
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            let prefix = match base {
                2 => "0b",
                8 => "0o",
                16 => "0x",
                _ => "",
            };
            let digits = digits.strip_prefix(prefix).unwrap_or(digits);
            let whole = i64::from_str_radix(&format!("{sign}{digits}"), base).ok();
            whole.or_else(|| text.parse().ok().and_then(truncated))
        }
        _ => None,
    };
    Ok(number.map_or(default, Value::from))
}

/// The whole part of a number that 64 bits hold.
fn truncated(number: f64) -> Option<i64> {
    (number.abs() < i64::MAX as f64).then_some(number as i64)
}

/// Jinja2's `sum(values, attribute=None, start=0)`.
fn sum(values: &Value, attribute: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let attribute = match attribute {
        Some(attribute) => Some(attribute),
        None => options.get::<Option<Value>>("attribute")?,
    };
    let start = options.get::<Option<Value>>("start")?.unwrap_or_else(|| Value::from(0));
    options.assert_all_used()?;
    let (mut whole, mut real, mut is_real) = (0i64, 0.0, !start.is_integer());
    let items = values.try_iter()?.map(|item| match &attribute {
        Some(attribute) => item.get_item(attribute),
        None => Ok(item),
    });
    for item in std::iter::once(Ok(start)).chain(items) {
        let item = item?;
        let number = f64::try_from(item.clone());
        real +=
            number.map_err(|_| invalid(format!("cannot add a value of type {}", item.kind())))?;
        match i64::try_from(item.clone()) {
            Ok(number) if item.is_integer() => {
                whole = whole.checked_add(number).ok_or_else(|| invalid("sum is too large"))?;
            }
            _ => is_real = true,
        }
    }
    Ok(if is_real { Value::from(real) } else { Value::from(whole) })
}

/// Jinja2's `replace(s, old, new, count=None)`.
fn replace(value: &Value, old: &str, new: &str, count: Option<i64>) -> String {
    let text = str_of(value);
    match count.and_then(|count| usize::try_from(count).ok()) {
        Some(count) => text.replacen(old, new, count),
        None => text.replace(old, new),
    }
}
