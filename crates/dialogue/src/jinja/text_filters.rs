//! Jinja2's filters that make text.

use super::arguments::{Args, flag, index, text};
use super::fault::{Fault, Result};
use super::numbers::{parse_float, truncated};
use super::operators::{int_to_float, truth};
use super::paths::Path;
use super::printf::printf;
use super::run::Run;
use super::streams::{Source, collected, length};
use super::strings::{centered, changed_case, replaced, rsplit, stripped};
use super::text::{escaped, repr, str_of};
use super::value::Value;
use super::words::{is_space, is_word, lines, words};
use super::wrapping::wrapped;

/// The names of these filters.
pub(crate) const TEXT_FILTERS: &[&str] = &[
    "capitalize",
    "center",
    "e",
    "escape",
    "filesizeformat",
    "forceescape",
    "format",
    "indent",
    "join",
    "lower",
    "pprint",
    "replace",
    "safe",
    "string",
    "striptags",
    "title",
    "trim",
    "truncate",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

impl Run {
    /// The text of a value, kept as HTML if it is.
    fn soft_text(&self, value: &Value) -> Result<String> {
        str_of(value, &self.limits)
    }

    /// What a filter of text makes of a value.
    pub fn text_filter(&self, name: &str, value: &Value, args: Args) -> Result<Value> {
        match name {
            "string" => {
                let [] = args.positional(name, 0)?;
                if value.as_str().is_some() {
                    return Ok(value.clone());
                }
                self.soft_text(value).map(Value::str)
            }
            "capitalize" | "lower" | "upper" => {
                let [] = args.positional(name, 0)?;
                Ok(Value::str(changed_case(&self.soft_text(value)?, name)))
            }
            "title" => {
                let [] = args.positional(name, 0)?;
                Ok(Value::str(titled(&self.soft_text(value)?)))
            }
            "trim" => {
                let [set] = args.bind(name, ["chars"], 0)?;
                stripped(&self.soft_text(value)?, "strip", set.as_ref()).map(Value::str)
            }
            "center" => {
                let [width] = args.bind(name, ["width"], 0)?;
                let width = width.as_ref().map(index).transpose()?.unwrap_or(80);
                centered(&self.soft_text(value)?, width, ' ', &self.limits).map(Value::str)
            }
            "replace" => {
                let [old, new, count] = args.bind(name, ["old", "new", "count"], 2)?;
                let old = self.soft_text(&old.unwrap_or(Value::None))?;
                let new = self.soft_text(&new.unwrap_or(Value::None))?;
                let count = match count {
                    None | Some(Value::None) => -1,
                    Some(count) => index(&count)?,
                };
                let this = self.soft_text(value)?;
                replaced(&this, &old, &new, count, &self.limits).map(Value::str)
            }
            "format" => {
                let values = match (args.positional.is_empty(), args.keyword.is_empty()) {
                    (false, false) => {
                        let message = "can't handle positional and keyword arguments at the same \
                                       time";
                        return Err(Fault::other(message));
                    }
                    (_, true) => Value::tuple(args.positional)?,
                    (true, false) => {
                        let named = args.keyword.into_iter();
                        Value::dict(named.map(|(name, value)| (Value::Str(name), value)))?
                    }
                };
                printf(&self.soft_text(value)?, &values, &self.limits).map(Value::str)
            }
            "wordcount" => {
                let [] = args.positional(name, 0)?;
                let this = self.soft_text(value)?;
                let runs = this.split(|c| !is_word(c)).filter(|word| !word.is_empty());
                Ok(Value::int(runs.count()))
            }
            "join" => self.join(value, args),
            "indent" | "truncate" | "wordwrap" => self.laid_out(name, value, args),
            "filesizeformat" => file_size(value, args).map(Value::str),
            "pprint" => {
                let [] = args.positional(name, 0)?;
                self.pretty(value)
            }
            _ => self.html(name, value, args),
        }
    }

    fn join(&self, value: &Value, args: Args) -> Result<Value> {
        let [separator, attribute] = args.bind("join", ["d", "attribute"], 0)?;
        let separator = separator.map_or(Ok(String::new()), |d| self.soft_text(&d))?;
        let path = Path::new(attribute.filter(|a| !matches!(a, Value::None)).as_ref())?;
        let mut source = Source::of(value)?;
        let (mut out, mut first) = (String::new(), true);
        while let Some(item) = source.next()? {
            let item = self.soft_text(&path.of(self, &item)?)?;
            if !first {
                out.push_str(&separator);
            }
            first = false;
            self.limits.spend(separator.len() / 16)?;
            self.limits.fits(out.len() + item.len())?;
            out.push_str(&item);
        }
        Ok(Value::str(out))
    }

    fn laid_out(&self, name: &str, value: &Value, args: Args) -> Result<Value> {
        match name {
            "indent" => {
                let [width, first, blank] = args.bind(name, ["width", "first", "blank"], 0)?;
                let width = width.unwrap_or_else(|| Value::int(4));
                let indention = match width.as_str() {
                    Some(text) => text.to_owned(),
                    None => {
                        let width = usize::try_from(index(&width)?).unwrap_or(0);
                        self.limits.bytes(width)?;
                        " ".repeat(width)
                    }
                };
                let this = match value.defined()?.as_str() {
                    Some(this) => this,
                    None => {
                        let name = value.type_name();
                        return Err(Fault::type_error(format!("cannot indent '{name}'")));
                    }
                };
                self.indented(this, &indention, flag(first), flag(blank)).map(Value::str)
            }
            "truncate" => {
                let names = ["length", "killwords", "end", "leeway"];
                let [most, killwords, end, leeway] = args.bind(name, names, 0)?;
                let most = most.as_ref().map(index).transpose()?.unwrap_or(255);
                let end = end.unwrap_or_else(|| Value::str("..."));
                let leeway = match leeway {
                    None | Some(Value::None) => 5,
                    Some(leeway) => index(&leeway)?,
                };
                let end_length = length(&end)? as i64;
                if most < end_length || leeway < 0 {
                    return Err(Fault::other(format!("expected length >= {end_length}")));
                }
                if length(value)? as i64 <= most.saturating_add(leeway) {
                    return Ok(value.clone());
                }
                let kept = usize::try_from(most - end_length).unwrap_or(0);
                let cut: String = text(value)?.chars().take(kept).collect();
                let cut = if flag(killwords) {
                    cut
                } else {
                    rsplit(&cut, Some(" "), 1)?.first().copied().unwrap_or_default().to_owned()
                };
                Ok(Value::str(cut + text(&end)?))
            }
            _ => {
                let names = ["width", "break_long_words", "wrapstring", "break_on_hyphens"];
                let [width, breaks, with, hyphens] = args.bind(name, names, 0)?;
                let width = width.as_ref().map(index).transpose()?.unwrap_or(79);
                let breaks = breaks.is_none_or(|value| truth(&value));
                let hyphens = hyphens.is_none_or(|value| truth(&value));
                let with = match with {
                    None | Some(Value::None) => "\n".to_owned(),
                    Some(with) => text(&with)?.to_owned(),
                };
                let Some(this) = value.defined()?.as_str() else {
                    return Err(Fault::other("wordwrap needs a string"));
                };
                let mut all = Vec::new();
                for line in lines(this, false) {
                    all.push(wrapped(line, width, breaks, hyphens)?.join(&with));
                }
                self.limits.bytes(this.len().saturating_mul(with.len() + 1))?;
                Ok(Value::str(all.join(&with)))
            }
        }
    }

    fn indented(&self, this: &str, indention: &str, first: bool, blank: bool) -> Result<String> {
        let this = format!("{this}\n");
        let lines = lines(&this, false);
        self.limits.bytes(this.len() + lines.len().saturating_mul(indention.len()))?;
        let mut out = if first { indention.to_owned() } else { String::new() };
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                out.push('\n');
                if blank || !line.is_empty() {
                    out.push_str(indention);
                }
            }
            out.push_str(line);
        }
        Ok(out)
    }

    /// `pprint.pformat` of what fits on a line.
    fn pretty(&self, value: &Value) -> Result<Value> {
        let text = match value {
            Value::Dict(dict) => {
                let order = super::sorting::sorted(dict.entries().to_vec(), |a, b| {
                    super::operators::less(&a.0, &b.0, &self.limits)
                })?;
                repr(&Value::dict(order)?, &self.limits)?
            }
            value => repr(value, &self.limits)?,
        };
        if text.chars().count() > 80 {
            return Err(Fault::other("pprint of more than a line is not supported"));
        }
        Ok(Value::str(text))
    }

    fn html(&self, name: &str, value: &Value, args: Args) -> Result<Value> {
        match name {
            "safe" => {
                let [] = args.positional(name, 0)?;
                Ok(Value::Markup(self.soft_text(value)?.into()))
            }
            "e" | "escape" => {
                let [] = args.positional(name, 0)?;
                if matches!(value, Value::Markup(_)) {
                    return Ok(value.clone());
                }
                self.escape(&self.soft_text(value)?)
            }
            "forceescape" => {
                let [] = args.positional(name, 0)?;
                self.escape(&self.soft_text(value)?)
            }
            "striptags" => {
                let [] = args.positional(name, 0)?;
                let this = self.soft_text(value)?;
                if this.contains('&') {
                    return Err(Fault::other("striptags of HTML entities is not supported"));
                }
                Ok(Value::str(without_tags(&this)))
            }
            "urlencode" => {
                let [] = args.positional(name, 0)?;
                self.url_encoded(value).map(Value::str)
            }
            "xmlattr" => {
                let [space] = args.bind(name, ["autospace"], 0)?;
                let Value::Dict(dict) = value.defined()? else {
                    return Err(Fault::other("xmlattr needs a dict"));
                };
                let mut out = Vec::new();
                for (key, value) in dict.entries() {
                    if matches!(value, Value::None | Value::Undefined(_)) {
                        continue;
                    }
                    let key = text(key)?;
                    if key.contains([' ', '\t', '\n', '\r', '\x0b', '\x0c', '/', '>', '=']) {
                        let message = format!("invalid character in attribute name: '{key}'");
                        return Err(Fault::value_error(message));
                    }
                    let value = match value {
                        Value::Markup(text) => (**text).to_owned(),
                        value => escaped(&self.soft_text(value)?),
                    };
                    out.push(format!("{}=\"{value}\"", escaped(key)));
                }
                let joined = out.join(" ");
                let spaced = space.is_none_or(|value| truth(&value)) && !joined.is_empty();
                Ok(Value::str(if spaced { format!(" {joined}") } else { joined }))
            }
            other => Err(Fault::other(format!("the filter {other} is not supported"))),
        }
    }

    fn escape(&self, this: &str) -> Result<Value> {
        self.limits.bytes(this.len().saturating_mul(5))?;
        Ok(Value::Markup(escaped(this).into()))
    }

    fn url_encoded(&self, value: &Value) -> Result<String> {
        let pairs = match value {
            Value::Str(_) | Value::Markup(_) => return Ok(quoted(&self.soft_text(value)?, false)),
            Value::Dict(dict) => dict.entries().to_vec(),
            other => match Source::of(other) {
                Err(_) => return Ok(quoted(&self.soft_text(value)?, false)),
                Ok(_) => {
                    let mut pairs = Vec::new();
                    for pair in collected(other, &self.limits)? {
                        let mut pair = collected(&pair, &self.limits)?;
                        let (Some(value), Some(key), None) = (pair.pop(), pair.pop(), pair.pop())
                        else {
                            return Err(Fault::value_error("urlencode needs pairs"));
                        };
                        pairs.push((key, value));
                    }
                    pairs
                }
            },
        };
        let mut out = Vec::new();
        for (key, value) in &pairs {
            let (key, value) = (self.soft_text(key)?, self.soft_text(value)?);
            out.push(format!("{}={}", quoted(&key, true), quoted(&value, true)));
        }
        Ok(out.join("&"))
    }
}

/// Each word's first letter upper case and the rest lower; words begin after white space, hyphens
/// and opening brackets.
fn titled(this: &str) -> String {
    let separates = |c: char| c == '-' || is_space(c) || matches!(c, '(' | '{' | '[' | '<');
    let mut out = String::new();
    let mut rest = this;
    while let Some(first) = rest.chars().next() {
        if separates(first) {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(rest.find(separates).unwrap_or(rest.len()));
        out.extend(first.to_uppercase());
        out.push_str(&word[first.len_utf8()..].to_lowercase());
        rest = after;
    }
    out
}

fn file_size(value: &Value, args: Args) -> Result<String> {
    let [binary] = args.bind("filesizeformat", ["binary"], 0)?;
    let binary = flag(binary);
    let bytes = match (value.defined()?, value.as_int()) {
        (Value::Float(x), _) => Some(*x),
        (_, Some(whole)) => Some(int_to_float(&whole)?),
        (other, _) => other.as_str().and_then(parse_float),
    };
    let Some(bytes) = bytes else {
        return Err(Fault::value_error("could not convert to float"));
    };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok("1 Byte".to_owned());
    }
    if bytes < base {
        return Ok(format!("{} Bytes", truncated(bytes).unwrap_or_default()));
    }
    let mut out = String::new();
    for (i, letter) in ["k", "M", "G", "T", "P", "E", "Z", "Y"].into_iter().enumerate() {
        let unit = base.powi(i as i32 + 2);
        let prefix =
            if binary { format!("{}iB", letter.to_uppercase()) } else { format!("{letter}B") };
        out = format!("{:.1} {prefix}", base * bytes / unit);
        if bytes < unit {
            break;
        }
    }
    Ok(out)
}

/// HTML without comments and tags, white space as single spaces.
fn without_tags(this: &str) -> String {
    let mut out = this.to_owned();
    while let Some(begin) = out.find("<!--") {
        let Some(end) = out[begin..].find("-->") else { break };
        out.replace_range(begin..begin + end + 3, "");
    }
    while let Some(begin) = out.find('<') {
        let Some(end) = out[begin..].find('>') else { break };
        out.replace_range(begin..=begin + end, "");
    }
    words(&out).collect::<Vec<_>>().join(" ")
}

/// `urllib.parse.quote`; for queries, slashes are quoted and spaces are plus signs.
fn quoted(this: &str, query: bool) -> String {
    let mut out = String::new();
    for byte in this.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if !query => out.push('/'),
            b' ' if query => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
