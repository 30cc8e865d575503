//! How Python writes values, where a template prints something that is not a string: `str()` of
//! containers and constants, and `json.dumps`. Chat templates are written against Python, and the
//! model was trained on what it prints. Written over Jinja values.

use std::fmt::Write as _;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// `str(value)`.
pub(crate) fn str_of(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Undefined => String::new(),
        _ => repr(value),
    }
}

/// `repr(value)`.
fn repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::None => "None".into(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.into(),
        ValueKind::Number => number(value),
        ValueKind::String => repr_string(value.as_str().unwrap_or_default()),
        ValueKind::Seq => {
            let items: Vec<String> =
                value.try_iter().map(|it| it.map(|v| repr(&v)).collect()).unwrap_or_default();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map => {
            let pairs: Vec<String> =
                entries(value).iter().map(|(k, v)| format!("{}: {}", repr(k), repr(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => value.to_string(),
    }
}

fn repr_string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                append(&mut out, format_args!("\\x{:02x}", c as u32))
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// Keys with their values, in order.
fn entries(value: &Value) -> Vec<(Value, Value)> {
    let keys = value.try_iter().map(|it| it.collect::<Vec<_>>()).unwrap_or_default();
    let of = |key: Value| {
        let item = value.get_item(&key).unwrap_or_default();
        (key, item)
    };
    keys.into_iter().map(of).collect()
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        value.to_string()
    } else {
        f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float)
    }
}

/// `repr` of a float: the shortest digits that read back, with an exponent below 10⁻⁴ and from 10¹⁶
/// on (CPython, `float_repr_style` short).
fn float(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "nan"
        } else if x > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .into();
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = x.to_string();
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}

/// Options of `json.dumps` that templates set.
pub(crate) struct DumpOptions {
    /// Escape everything beyond ASCII.
    pub ensure_ascii: bool,
    /// Indentation of one level; `None` for one line.
    pub indent: Option<String>,
    /// Between items, and between key and value.
    pub separators: (String, String),
    /// Order keys by name.
    pub sort_keys: bool,
}

/// `json.dumps(value)`.
pub(crate) fn dumps(value: &Value, options: &DumpOptions) -> Result<String, Error> {
    let mut out = String::new();
    dump(&mut out, value, options, 0)?;
    Ok(out)
}

fn dump(out: &mut String, value: &Value, options: &DumpOptions, level: usize) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => {
            let text = number(value);
            out.push_str(match text.as_str() {
                "nan" => "NaN",
                "inf" => "Infinity",
                "-inf" => "-Infinity",
                other => other,
            });
        }
        ValueKind::String => dump_string(out, value.as_str().unwrap_or_default(), options),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            dump_all(out, ('[', ']'), items.len(), options, level, |out, i| {
                dump(out, &items[i], options, level + 1)
            })?;
        }
        ValueKind::Map => {
            let mut fields = entries(value);
            if options.sort_keys {
                fields.sort_by(|a, b| a.0.cmp(&b.0));
            }
            dump_all(out, ('{', '}'), fields.len(), options, level, |out, i| {
                let (key, item) = &fields[i];
                // Keys of other kinds become strings of their JSON text, as in Python.
                let key = match key.as_str() {
                    Some(key) => key.to_owned(),
                    None => dumps(key, options)?,
                };
                dump_string(out, &key, options);
                out.push_str(&options.separators.1);
                dump(out, item, options, level + 1)
            })?;
        }
        kind => {
            let message = format!("a value of kind {kind} is not JSON serializable");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    }
    Ok(())
}

/// Brackets, separators and line breaks around `count` items that `item` writes.
fn dump_all(
    out: &mut String,
    brackets: (char, char),
    count: usize,
    options: &DumpOptions,
    level: usize,
    mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let new_line = |out: &mut String, level: usize| {
        if let Some(indent) = &options.indent {
            out.push('\n');
            out.push_str(&indent.repeat(level));
        }
    };
    out.push(brackets.0);
    for i in 0..count {
        if i > 0 {
            out.push_str(&options.separators.0);
        }
        new_line(out, level + 1);
        item(out, i)?;
    }
    if count > 0 {
        new_line(out, level);
    }
    out.push(brackets.1);
    Ok(())
}

fn dump_string(out: &mut String, text: &str, options: &DumpOptions) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20
                || (options.ensure_ascii && !c.is_ascii())
                || (options.ensure_ascii && c == '\u{7f}') =>
            {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    append(out, format_args!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}
