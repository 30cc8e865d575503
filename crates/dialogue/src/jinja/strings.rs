//! Methods of Python's strings. Positions count characters.

use super::arguments::{Args, index, optional_index, text};
use super::fault::{Fault, FaultKind, Result};
use super::limits::Limits;
use super::numbers::is_negative;
use super::streams::Source;
use super::value::Value;
use super::words::{
    is_alpha, is_decimal, is_digit, is_numeric, is_printable, is_space, is_word, lines, title_case,
    trim_end, words,
};

/// Every method of `str`, also those that are refused when called.
pub(crate) const STRING_METHODS: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

/// Calls a method of a string but `format` and `format_map`.
pub(crate) fn string_method(
    this: &str,
    name: &'static str,
    args: Args,
    limits: &Limits,
) -> Result<Value> {
    limits.bytes(this.len() * 4)?;
    match name {
        "capitalize" | "casefold" | "lower" | "swapcase" | "title" | "upper" => {
            let [] = args.positional(name, 0)?;
            Ok(Value::str(changed_case(this, name)))
        }
        "isalnum" | "isalpha" | "isascii" | "isdecimal" | "isdigit" | "isidentifier"
        | "islower" | "isnumeric" | "isprintable" | "isspace" | "istitle" | "isupper" => {
            let [] = args.positional(name, 0)?;
            Ok(Value::Bool(is_of(this, name)))
        }
        "count" | "find" | "index" | "rfind" | "rindex" | "startswith" | "endswith" => {
            searched(this, name, args)
        }
        "center" | "ljust" | "rjust" | "zfill" => padded(this, name, args, limits),
        "strip" | "lstrip" | "rstrip" => {
            let [set] = args.positional(name, 0)?;
            stripped(this, name, set.as_ref()).map(Value::str)
        }
        "removeprefix" | "removesuffix" => {
            let [part] = args.positional(name, 1)?;
            let part = part.unwrap_or(Value::None);
            let part = text(&part)?;
            let cut = match name {
                "removeprefix" => this.strip_prefix(part),
                _ => this.strip_suffix(part),
            };
            Ok(Value::str(cut.unwrap_or(this)))
        }
        "split" | "rsplit" => {
            let [separator, most] = args.bind(name, ["sep", "maxsplit"], 0)?;
            let most = most.as_ref().map(index).transpose()?;
            let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            let separator = separator.unwrap_or(Value::None);
            let separator = match &separator {
                Value::None => None,
                other => Some(text(other)?),
            };
            let parts = if name == "split" {
                split(this, separator, most)?
            } else {
                rsplit(this, separator, most)?
            };
            limits.spend(parts.len())?;
            Value::list(parts.into_iter().map(Value::str).collect())
        }
        "splitlines" => {
            let [keep] = args.bind(name, ["keepends"], 0)?;
            let keep = keep.is_some_and(|keep| super::operators::truth(&keep));
            let parts = lines(this, keep);
            limits.spend(parts.len())?;
            Value::list(parts.into_iter().map(Value::str).collect())
        }
        "partition" | "rpartition" => {
            let [separator] = args.positional(name, 1)?;
            partition(this, text(&separator.unwrap_or(Value::None))?, name == "rpartition")
        }
        "join" => {
            let [items] = args.positional(name, 1)?;
            joined(this, &items.unwrap_or(Value::None), limits)
        }
        "replace" => {
            let [old, new, count] = args.positional(name, 2)?;
            let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
            let count = count.as_ref().map(index).transpose()?.unwrap_or(-1);
            replaced(this, text(&old)?, text(&new)?, count, limits).map(Value::str)
        }
        "expandtabs" => {
            let [size] = args.bind(name, ["tabsize"], 0)?;
            let size = size.as_ref().map(index).transpose()?.unwrap_or(8);
            expand_tabs(this, usize::try_from(size).unwrap_or(0), limits).map(Value::str)
        }
        other => Err(Fault::other(format!("the method {other} of strings is not supported"))),
    }
}

fn is_title(c: char) -> bool {
    use unicode_general_category::{GeneralCategory, get_general_category};
    get_general_category(c) == GeneralCategory::TitlecaseLetter
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title(c)
}

/// `str.capitalize` and its kin.
pub(crate) fn changed_case(text: &str, how: &str) -> String {
    match how {
        "lower" => text.to_lowercase(),
        "upper" => text.to_uppercase(),
        "casefold" => folded(text),
        "swapcase" => text
            .chars()
            .flat_map(|c| -> Vec<char> {
                if c.is_lowercase() {
                    c.to_uppercase().collect()
                } else {
                    c.to_lowercase().collect()
                }
            })
            .collect(),
        "capitalize" => {
            let mut out = String::new();
            if let Some(first) = text.chars().next() {
                title_case(first, &mut out);
                out.push_str(&text[first.len_utf8()..].to_lowercase());
            }
            out
        }
        _ => {
            let (mut out, mut in_word) = (String::new(), false);
            for c in text.chars() {
                if in_word {
                    out.extend(c.to_lowercase())
                } else {
                    title_case(c, &mut out)
                }
                in_word = is_cased(c);
            }
            out
        }
    }
}

/// Lower case, with the letters that fold to several or to another.
fn folded(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            'ß' | 'ẞ' => out.push_str("ss"),
            'ς' => out.push('σ'),
            'ſ' => out.push('s'),
            'µ' => out.push('μ'),
            'ŉ' => out.push_str("ʼn"),
            'ﬀ' => out.push_str("ff"),
            'ﬁ' => out.push_str("fi"),
            'ﬂ' => out.push_str("fl"),
            'ﬃ' => out.push_str("ffi"),
            'ﬄ' => out.push_str("ffl"),
            'ﬅ' | 'ﬆ' => out.push_str("st"),
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// `str.isalpha` and its kin.
pub(crate) fn is_of(text: &str, class: &str) -> bool {
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    match class {
        "isalnum" => all(|c| is_alpha(c) || is_decimal(c) || is_digit(c) || is_numeric(c)),
        "isalpha" => all(is_alpha),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(is_decimal),
        "isdigit" => all(is_digit),
        "isnumeric" => all(is_numeric),
        "isprintable" => text.chars().all(is_printable),
        "isspace" => all(is_space),
        "isidentifier" => all(is_word) && !text.starts_with(is_numeric),
        "islower" => {
            text.chars().any(char::is_lowercase)
                && !text.chars().any(|c| c.is_uppercase() || is_title(c))
        }
        "isupper" => {
            text.chars().any(char::is_uppercase)
                && !text.chars().any(|c| c.is_lowercase() || is_title(c))
        }
        _ => {
            let (mut any, mut in_word) = (false, false);
            for c in text.chars() {
                if (c.is_uppercase() || is_title(c)) == in_word && is_cased(c) {
                    return false;
                }
                in_word = is_cased(c);
                any |= in_word;
            }
            any
        }
    }
}

/// The characters from `start` to `end`, and how many stand before them; `None` where the start
/// lies behind the end.
fn window(text: &str, start: Option<i64>, end: Option<i64>) -> Option<(&str, usize)> {
    let length = text.chars().count() as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(length)).min(length));
    if start > end {
        return None;
    }
    let byte = |at: i64| {
        let at = usize::try_from(at).unwrap_or(0);
        text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
    };
    Some((&text[byte(start)..byte(end)], usize::try_from(start).unwrap_or(0)))
}

fn searched(this: &str, name: &str, args: Args) -> Result<Value> {
    let [part, start, end] = args.positional(name, 1)?;
    let part = part.unwrap_or(Value::None);
    let window = window(this, optional_index(start.as_ref())?, optional_index(end.as_ref())?);
    if name == "startswith" || name == "endswith" {
        let matches = |part: &Value| -> Result<bool> {
            let part = part.as_str().ok_or_else(|| {
                let found = part.type_name();
                let message =
                    format!("{name} first arg must be str or a tuple of str, not {found}");
                Fault::type_error(message)
            })?;
            Ok(window.is_some_and(|(text, _)| match name {
                "startswith" => text.starts_with(part),
                _ => text.ends_with(part),
            }))
        };
        if let Value::Tuple(parts) = &part {
            for part in &parts.items {
                if matches(part)? {
                    return Ok(Value::Bool(true));
                }
            }
            return Ok(Value::Bool(false));
        }
        return matches(&part).map(Value::Bool);
    }
    let part = text(&part)?;
    if name == "count" {
        return Ok(Value::int(window.map_or(0, |(text, _)| text.matches(part).count())));
    }
    let found = window.and_then(|(text, before)| {
        let at = if name.starts_with('r') { text.rfind(part) } else { text.find(part) };
        at.map(|at| before + text[..at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::int(at)),
        None if name.ends_with("index") => Err(Fault::value_error("substring not found")),
        None => Ok(Value::int(-1)),
    }
}

/// `str.center(width)`.
pub(crate) fn centered(this: &str, width: i64, fill: char, limits: &Limits) -> Result<String> {
    let missing = missing_width(this, width, limits)?;
    // CPython puts the odd space to the left when the width is odd.
    let left = missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1);
    let pad = |count: usize| String::from(fill).repeat(count);
    Ok(format!("{}{this}{}", pad(left), pad(missing - left)))
}

fn missing_width(this: &str, width: i64, limits: &Limits) -> Result<usize> {
    let width = usize::try_from(width).unwrap_or(0);
    limits.bytes(width.saturating_mul(4))?;
    Ok(width.saturating_sub(this.chars().count()))
}

fn padded(this: &str, name: &str, args: Args, limits: &Limits) -> Result<Value> {
    let [width, fill] = args.positional(name, 1)?;
    let width = index(&width.unwrap_or(Value::None))?;
    if name == "zfill" {
        if fill.is_some() {
            return Err(Fault::type_error("zfill() takes exactly one argument (2 given)"));
        }
        let zeros = "0".repeat(missing_width(this, width, limits)?);
        let (sign, digits) = this.split_at(usize::from(this.starts_with(['+', '-'])));
        return Ok(Value::str(format!("{sign}{zeros}{digits}")));
    }
    let fill = match &fill {
        Some(fill) => {
            let mut characters = text(fill)?.chars();
            match (characters.next(), characters.next()) {
                (Some(c), None) => c,
                _ => {
                    let message = "the fill character must be exactly one character long";
                    return Err(Fault::type_error(message));
                }
            }
        }
        None => ' ',
    };
    if name == "center" {
        return centered(this, width, fill, limits).map(Value::str);
    }
    let padding = String::from(fill).repeat(missing_width(this, width, limits)?);
    Ok(Value::str(if name == "ljust" { format!("{this}{padding}") } else { padding + this }))
}

/// `str.strip(set)` and its kin.
pub(crate) fn stripped(this: &str, name: &str, set: Option<&Value>) -> Result<String> {
    let set = match set {
        None | Some(Value::None) => None,
        Some(set) => Some(
            text(set).map_err(|_| Fault::type_error(format!("{name} arg must be None or str")))?,
        ),
    };
    let goes = |c: char| match set {
        Some(set) => set.contains(c),
        None => is_space(c),
    };
    let mut out = this;
    if name != "rstrip" {
        out = out.trim_start_matches(goes);
    }
    if name != "lstrip" {
        out = out.trim_end_matches(goes);
    }
    Ok(out.to_owned())
}

fn split<'t>(this: &'t str, separator: Option<&str>, most: usize) -> Result<Vec<&'t str>> {
    match separator {
        Some("") => Err(Fault::value_error("empty separator")),
        Some(separator) => Ok(this.splitn(most.saturating_add(1), separator).collect()),
        None if most == usize::MAX => Ok(words(this).collect()),
        None => {
            let mut parts = Vec::new();
            let mut rest = this.trim_start_matches(is_space);
            while parts.len() < most
                && let Some(at) = rest.find(is_space)
            {
                parts.push(&rest[..at]);
                rest = rest[at..].trim_start_matches(is_space);
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
            Ok(parts)
        }
    }
}

/// `str.rsplit`.
pub(crate) fn rsplit<'t>(
    this: &'t str,
    separator: Option<&str>,
    most: usize,
) -> Result<Vec<&'t str>> {
    let mut parts: Vec<&str> = Vec::new();
    match separator {
        Some("") => return Err(Fault::value_error("empty separator")),
        Some(separator) => parts.extend(this.rsplitn(most.saturating_add(1), separator)),
        None => {
            let mut rest = trim_end(this);
            while parts.len() < most
                && let Some((at, space)) = rest.char_indices().rfind(|(_, c)| is_space(*c))
            {
                parts.push(&rest[at + space.len_utf8()..]);
                rest = trim_end(&rest[..at]);
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
        }
    }
    parts.reverse();
    Ok(parts)
}

fn partition(this: &str, separator: &str, last: bool) -> Result<Value> {
    if separator.is_empty() {
        return Err(Fault::value_error("empty separator"));
    }
    let found = if last { this.rsplit_once(separator) } else { this.split_once(separator) };
    let parts = match found {
        Some((before, after)) => [before, separator, after],
        None if last => ["", "", this],
        None => [this, "", ""],
    };
    Value::tuple(parts.into_iter().map(Value::str).collect())
}

fn joined(this: &str, items: &Value, limits: &Limits) -> Result<Value> {
    let mut source = Source::of(items).map_err(|fault| match fault.kind {
        FaultKind::Type => Fault::type_error("can only join an iterable"),
        _ => fault,
    })?;
    let (mut out, mut count) = (String::new(), 0);
    while let Some(item) = source.next()? {
        let Some(item) = item.as_str() else {
            let name = item.type_name();
            let message = format!("sequence item {count}: expected str instance, {name} found");
            return Err(Fault::type_error(message));
        };
        if count > 0 {
            out.push_str(this);
        }
        limits.fits(out.len() + item.len())?;
        limits.bytes(this.len() + item.len())?;
        limits.spend(1)?;
        out.push_str(item);
        count += 1;
    }
    Ok(Value::str(out))
}

/// `str.replace`, all of them if `count` is negative.
pub(crate) fn replaced(
    this: &str,
    old: &str,
    new: &str,
    count: i64,
    limits: &Limits,
) -> Result<String> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let hits = this.matches(old).take(most).count();
    limits.bytes(this.len().saturating_add(hits.saturating_mul(new.len())))?;
    Ok(this.replacen(old, new, most))
}

fn expand_tabs(this: &str, size: usize, limits: &Limits) -> Result<String> {
    limits.bytes(this.matches('\t').count().saturating_mul(size))?;
    let (mut out, mut column) = (String::new(), 0);
    for c in this.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                out.push_str(&" ".repeat(spaces));
                column += spaces;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    Ok(out)
}

/// `int.bit_length` and other methods of integers.
pub(crate) fn integer_method(value: &Value, name: &'static str, args: Args) -> Result<Value> {
    let [] = args.positional(name, 0)?;
    let whole = value.as_int().unwrap_or_default();
    Ok(match name {
        "bit_length" => Value::int(whole.bits()),
        "bit_count" => Value::int(whole.magnitude().count_ones()),
        "conjugate" => Value::Int(whole),
        _ => {
            let sign = if is_negative(&whole) { "negative" } else { "positive" };
            let message = format!("the method {name} of {sign} integers is not supported");
            return Err(Fault::other(message));
        }
    })
}
