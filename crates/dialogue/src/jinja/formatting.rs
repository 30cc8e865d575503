//! `str.format`: fields by position and by name, their attributes and items, conversions, and
//! format specifications, which may hold fields themselves.

use super::arguments::Args;
use super::attributes::{attribute, item};
use super::fault::{Fault, FaultKind, Result};
use super::printf::formatted;
use super::run::Run;
use super::text::{ascii, repr, str_of};
use super::value::Value;

/// Levels of fields inside format specifications.
const MAX_LEVELS: usize = 3;

/// `text.format(...)`.
pub(crate) fn format_method(run: &Run, text: &str, args: Args) -> Result<String> {
    let named = args.keyword.into_iter().map(|(name, value)| (Value::Str(name), value));
    let named = Value::dict(named)?;
    Formatter { run, positional: args.positional, named, next: Some(0) }.format(text, MAX_LEVELS)
}

/// `text.format_map(mapping)`.
pub(crate) fn format_map(run: &Run, text: &str, args: Args) -> Result<String> {
    let [mapping] = args.positional("format_map", 1)?;
    let (positional, named) = (Vec::new(), mapping.unwrap_or(Value::None));
    Formatter { run, positional, named, next: Some(0) }.format(text, MAX_LEVELS)
}

struct Formatter<'r> {
    run: &'r Run,
    positional: Vec<Value>,
    named: Value,
    /// The next field without a number; `None` once fields have numbers.
    next: Option<usize>,
}

impl Formatter<'_> {
    fn format(&mut self, text: &str, levels: usize) -> Result<String> {
        if levels == 0 {
            return Err(Fault::value_error("max string recursion exceeded"));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
            } else if brace == "}" {
                return Err(Fault::value_error("single '}' encountered in format string"));
            } else {
                let end = field_end(rest)?;
                let field = self.field(&rest[..end], levels)?;
                self.run.limits.bytes(field.len())?;
                out.push_str(&field);
                self.run.limits.fits(out.len())?;
                rest = &rest[end + 1..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn field(&mut self, field: &str, levels: usize) -> Result<String> {
        let brackets = field.find('[').unwrap_or(field.len());
        let name_end = match field.find(['!', ':']) {
            // Inside brackets these signs belong to the key.
            Some(at) if brackets < at => {
                let close = field[brackets..].find(']').map_or(field.len(), |i| brackets + i);
                field[close..].find(['!', ':']).map_or(field.len(), |i| close + i)
            }
            Some(at) => at,
            None => field.len(),
        };
        let (name, rest) = field.split_at(name_end);
        let (conversion, specification) = match rest.strip_prefix('!') {
            Some(rest) => {
                let mut chars = rest.chars();
                let conversion = chars.next();
                let rest = chars.as_str();
                let specification = match rest.strip_prefix(':') {
                    Some(specification) => specification,
                    None if rest.is_empty() => "",
                    None => {
                        let message = "expected ':' after conversion specifier";
                        return Err(Fault::value_error(message));
                    }
                };
                (conversion.or(Some(' ')), specification)
            }
            None => (None, rest.strip_prefix(':').unwrap_or(rest)),
        };
        let mut value = self.value(name)?;
        let limits = &self.run.limits;
        value = match conversion {
            None => value,
            Some('s') => Value::str(str_of(&value, limits)?),
            Some('r') => Value::str(repr(&value, limits)?),
            Some('a') => Value::str(ascii(&value, limits)?),
            Some(other) => {
                let message = format!("unknown conversion specifier '{other}'");
                return Err(Fault::value_error(message));
            }
        };
        let specification = self.format(specification, levels - 1)?;
        formatted(&value, &specification, &self.run.limits)
    }

    /// The value of a field's name: an argument, then attributes and items of it.
    fn value(&mut self, name: &str) -> Result<Value> {
        let first_end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(first_end);
        let mut value = self.argument(first)?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return Err(Fault::value_error("empty attribute in format string"));
                }
                value = attribute(self.run, &value, &after[..end])?;
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let Some(end) = after.find(']').filter(|&end| end > 0) else {
                    return Err(Fault::value_error("empty attribute in format string"));
                };
                let key = &after[..end];
                let key = match key.parse::<u64>() {
                    Ok(number) if key.bytes().all(|b| b.is_ascii_digit()) => Value::int(number),
                    _ => Value::str(key),
                };
                value = item(self.run, &value, &key)?;
                rest = &after[end + 1..];
            } else {
                let message = "only '.' or '[' may follow ']' in format field specifier";
                return Err(Fault::value_error(message));
            }
        }
        Ok(value)
    }

    fn argument(&mut self, name: &str) -> Result<Value> {
        let position = if name.is_empty() {
            let Some(next) = self.next else {
                let message = "cannot switch from manual field specification to automatic field \
                               numbering";
                return Err(Fault::value_error(message));
            };
            self.next = Some(next + 1);
            next
        } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
            if self.next.is_some_and(|next| next > 0) {
                let message = "cannot switch from automatic field numbering to manual field \
                               specification";
                return Err(Fault::value_error(message));
            }
            self.next = None;
            name.parse().unwrap_or(usize::MAX)
        } else {
            return match &self.named {
                Value::Dict(named) => named
                    .get_str(name)
                    .cloned()
                    .ok_or_else(|| Fault::new(FaultKind::Lookup, format!("'{name}'"))),
                other => {
                    other.defined()?;
                    Err(Fault::type_error("format_map() argument must be a mapping"))
                }
            };
        };
        self.positional.get(position).cloned().ok_or_else(|| {
            let message =
                format!("replacement index {position} out of range for positional args tuple");
            Fault::new(FaultKind::Lookup, message)
        })
    }
}

/// Where the field ends that begins here.
fn field_end(text: &str) -> Result<usize> {
    let mut open = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Ok(at);
        }
    }
    Err(Fault::value_error("expected '}' before end of string"))
}
