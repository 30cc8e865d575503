//! How Python writes values: `str()`, `repr()`, `json.dumps`. Chat templates are written against
//! Python, and models are trained on what it prints.

use std::fmt::Write as _;

use super::fault::{Fault, Result};
use super::limits::{Limits, MAX_DIGITS};
use super::value::{Value, View};
use super::words::is_printable;

/// `str(value)`.
pub(crate) fn str_of(value: &Value, limits: &Limits) -> Result<String> {
    match value {
        Value::Undefined(_) => Ok(String::new()),
        Value::Str(text) | Value::Markup(text) => {
            limits.bytes(text.len())?;
            Ok((**text).to_owned())
        }
        other => repr(other, limits),
    }
}

/// `repr(value)`.
pub(crate) fn repr(value: &Value, limits: &Limits) -> Result<String> {
    let mut out = String::new();
    write_repr(&mut out, value, limits)?;
    Ok(out)
}

fn write_repr(out: &mut String, value: &Value, limits: &Limits) -> Result<()> {
    let _level = limits.enter()?;
    limits.fits(out.len())?;
    limits.spend(1)?;
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
        Value::Int(value) => out.push_str(&int_text(value)?),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Str(text) => {
            limits.bytes(text.len())?;
            write_string(out, text);
        }
        Value::Markup(text) => {
            limits.bytes(text.len())?;
            out.push_str("Markup(");
            write_string(out, text);
            out.push(')');
        }
        Value::List(items) => write_items(out, ["[", "]"], &items.items, limits)?,
        Value::Tuple(items) => {
            let close = if items.items.len() == 1 { ",)" } else { ")" };
            write_items(out, ["(", close], &items.items, limits)?;
        }
        Value::Dict(dict) => write_entries(out, dict.entries(), limits)?,
        Value::View(view, dict) => {
            let side = |(key, value): &(Value, Value)| match view {
                View::Keys => Ok(key.clone()),
                View::Values => Ok(value.clone()),
                View::Items => Value::tuple(vec![key.clone(), value.clone()]),
            };
            let items: Result<Vec<Value>> = dict.entries().iter().map(side).collect();
            out.push_str(value.type_name());
            write_items(out, ["([", "])"], &items?, limits)?;
        }
        Value::Range(range) => {
            append(out, format_args!("range({}, {}", range.start, range.stop));
            if range.step != 1 {
                append(out, format_args!(", {}", range.step));
            }
            out.push(')');
        }
        Value::Namespace(names) => {
            let entries = names.borrow().entries().to_vec();
            out.push_str("<Namespace ");
            write_entries(out, &entries, limits)?;
            out.push('>');
        }
        Value::Macro(function) => {
            out.push_str("<Macro ");
            match &function.code.name {
                Some(name) => write_string(out, name),
                None => out.push_str("anonymous"),
            }
            out.push('>');
        }
        // Python adds the address of the object, which differs from run to run.
        other => append(out, format_args!("<{} object>", other.type_name())),
    }
    Ok(())
}

fn write_items(
    out: &mut String,
    brackets: [&str; 2],
    items: &[Value],
    limits: &Limits,
) -> Result<()> {
    out.push_str(brackets[0]);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_repr(out, item, limits)?;
    }
    out.push_str(brackets[1]);
    Ok(())
}

fn write_entries(out: &mut String, entries: &[(Value, Value)], limits: &Limits) -> Result<()> {
    out.push('{');
    for (i, (key, value)) in entries.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_repr(out, key, limits)?;
        out.push_str(": ");
        write_repr(out, value, limits)?;
    }
    out.push('}');
    Ok(())
}

fn write_string(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => write_escape(out, c),
        }
    }
    out.push(quote);
}

fn write_escape(out: &mut String, c: char) {
    match c as u32 {
        code @ ..=0xff => append(out, format_args!("\\x{code:02x}")),
        code @ 0x100..=0xffff => append(out, format_args!("\\u{code:04x}")),
        code => append(out, format_args!("\\U{code:08x}")),
    }
}

/// `ascii(value)`.
pub(crate) fn ascii(value: &Value, limits: &Limits) -> Result<String> {
    let mut out = String::new();
    for c in repr(value, limits)?.chars() {
        if c.is_ascii() { out.push(c) } else { write_escape(&mut out, c) }
    }
    Ok(out)
}

/// `str(int)`.
pub(crate) fn int_text(value: &num_bigint::BigInt) -> Result<String> {
    let text = value.to_string();
    if text.trim_start_matches('-').len() > MAX_DIGITS {
        let message =
            format!("exceeds the limit ({MAX_DIGITS} digits) for integer string conversion");
        return Err(Fault::value_error(message));
    }
    Ok(text)
}

/// `repr` of a float: the shortest digits that read back, with an exponent below 10⁻⁴ and from 10¹⁶
/// on (CPython, `float_repr_style` short).
pub(crate) fn float(x: f64) -> String {
    if !x.is_finite() {
        return special(x).into();
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

/// A float that is not finite.
pub(crate) fn special(x: f64) -> &'static str {
    if x.is_nan() {
        "nan"
    } else if x > 0.0 {
        "inf"
    } else {
        "-inf"
    }
}

/// Text as HTML, as `markupsafe.escape` writes it.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
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
pub(crate) fn dumps(value: &Value, options: &DumpOptions, limits: &Limits) -> Result<String> {
    let mut out = String::new();
    Dump { options, limits }.value(&mut out, value, 0)?;
    Ok(out)
}

struct Dump<'a> {
    options: &'a DumpOptions,
    limits: &'a Limits,
}

impl Dump<'_> {
    fn value(&self, out: &mut String, value: &Value, level: usize) -> Result<()> {
        let _level = self.limits.enter()?;
        self.limits.fits(out.len())?;
        self.limits.spend(1)?;
        match value {
            Value::None => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => out.push_str(&int_text(value)?),
            Value::Float(value) => out.push_str(&json_float(*value)),
            Value::Str(text) | Value::Markup(text) => self.string(out, text)?,
            Value::List(items) | Value::Tuple(items) => {
                self.several(out, ('[', ']'), items.items.len(), level, |out, i| {
                    self.value(out, &items.items[i], level + 1)
                })?;
            }
            Value::Dict(dict) => self.dict(out, dict.entries(), level)?,
            other => {
                let name = other.type_name();
                let message = format!("Object of type {name} is not JSON serializable");
                return Err(Fault::type_error(message));
            }
        }
        Ok(())
    }

    fn dict(&self, out: &mut String, entries: &[(Value, Value)], level: usize) -> Result<()> {
        let mut entries: Vec<&(Value, Value)> = entries.iter().collect();
        if self.options.sort_keys {
            entries = super::sorting::sorted(entries, |a, b| {
                super::operators::less(&a.0, &b.0, self.limits)
            })?;
        }
        self.several(out, ('{', '}'), entries.len(), level, |out, i| {
            let (key, item) = entries[i];
            let text = match key {
                Value::Str(text) | Value::Markup(text) => (**text).to_owned(),
                Value::None => "null".to_owned(),
                Value::Bool(value) => if *value { "true" } else { "false" }.to_owned(),
                Value::Int(value) => int_text(value)?,
                Value::Float(value) => json_float(*value),
                other => {
                    let name = other.type_name();
                    let message = format!("keys must be str, int, float, bool or None, not {name}");
                    return Err(Fault::type_error(message));
                }
            };
            self.string(out, &text)?;
            out.push_str(&self.options.separators.1);
            self.value(out, item, level + 1)
        })
    }

    /// Brackets, separators and line breaks around `count` items that `item` writes.
    fn several(
        &self,
        out: &mut String,
        brackets: (char, char),
        count: usize,
        level: usize,
        mut item: impl FnMut(&mut String, usize) -> Result<()>,
    ) -> Result<()> {
        let new_line = |out: &mut String, level: usize| -> Result<()> {
            if let Some(indent) = &self.options.indent {
                self.limits.bytes(indent.len() * level)?;
                out.push('\n');
                out.push_str(&indent.repeat(level));
            }
            Ok(())
        };
        out.push(brackets.0);
        for i in 0..count {
            if i > 0 {
                out.push_str(&self.options.separators.0);
            }
            new_line(out, level + 1)?;
            item(out, i)?;
        }
        if count > 0 {
            new_line(out, level)?;
        }
        out.push(brackets.1);
        Ok(())
    }

    /// A string. Characters of planes 15 and 16 stay as they are even in ASCII, since they stand
    /// for characters of special tokens while a conversation is encoded.
    fn string(&self, out: &mut String, text: &str) -> Result<()> {
        self.limits.bytes(text.len())?;
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
                    || (self.options.ensure_ascii && !c.is_ascii() && c < '\u{F0000}') =>
                {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        append(out, format_args!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
        Ok(())
    }
}

fn json_float(x: f64) -> String {
    match special(x) {
        _ if x.is_finite() => float(x),
        "nan" => "NaN".to_owned(),
        "inf" => "Infinity".to_owned(),
        _ => "-Infinity".to_owned(),
    }
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}
