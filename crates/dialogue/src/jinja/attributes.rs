//! What a value holds: attributes, items, slices, and the methods of values. As in Jinja2's
//! sandbox, an attribute that would change a list or dict, or that begins with an underscore, is
//! undefined.

use std::rc::Rc;

use num_bigint::BigInt;
use num_traits::ToPrimitive as _;

use super::arguments::{Args, index, optional_index};
use super::fault::{Fault, Result};
use super::formatting::{format_map, format_method};
use super::limits::Limits;
use super::loops::LOOP_METHODS;
use super::operators::equal;
use super::run::Run;
use super::streams::collected;
use super::strings::{STRING_METHODS, integer_method, string_method};
use super::text::repr;
use super::value::{Dict, Sequence, Value, View};

const INTEGER_METHODS: [&str; 6] =
    ["as_integer_ratio", "bit_count", "bit_length", "conjugate", "from_bytes", "to_bytes"];
const FLOAT_METHODS: [&str; 5] = ["as_integer_ratio", "conjugate", "fromhex", "hex", "is_integer"];
const DICT_METHODS: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const DICT_CHANGES: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const LIST_METHODS: [&str; 3] = ["copy", "count", "index"];
const LIST_CHANGES: [&str; 8] =
    ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
const SEQUENCE_METHODS: [&str; 2] = ["count", "index"];

/// Python's `getattr(value, name)`, if there is such an attribute.
fn own_attribute(run: &Run, value: &Value, name: &str) -> Result<Option<Value>> {
    let methods: &[&'static str] = match value {
        Value::Str(_) | Value::Markup(_) => &STRING_METHODS,
        Value::Dict(_) => &DICT_METHODS,
        Value::List(_) => &LIST_METHODS,
        Value::Tuple(_) | Value::Range(_) => &SEQUENCE_METHODS,
        Value::Int(_) | Value::Bool(_) => &INTEGER_METHODS,
        Value::Float(_) => &FLOAT_METHODS,
        Value::Loop(_) => &LOOP_METHODS,
        Value::Cycler(_) => &["next", "reset"],
        _ => &[],
    };
    if let Some(method) = methods.iter().find(|method| **method == name) {
        return Ok(Some(Value::Method(Rc::new((value.clone(), method)))));
    }
    let changes: &[&str] = match value {
        Value::Dict(_) => &DICT_CHANGES,
        Value::List(_) => &LIST_CHANGES,
        _ => &[],
    };
    if changes.contains(&name) {
        let kind = value.type_name();
        let message = format!("access to attribute '{name}' of '{kind}' object is unsafe");
        return Ok(Some(Value::Undefined(message.into())));
    }
    Ok(match (value, name) {
        (Value::Int(_) | Value::Bool(_), "real" | "numerator") => value.as_int().map(Value::Int),
        (Value::Int(_) | Value::Bool(_), "imag") => Some(Value::int(0)),
        (Value::Int(_) | Value::Bool(_), "denominator") => Some(Value::int(1)),
        (Value::Float(_), "real") => Some(value.clone()),
        (Value::Float(_), "imag") => Some(Value::Float(0.0)),
        (Value::Range(range), "start") => Some(Value::int(range.start)),
        (Value::Range(range), "stop") => Some(Value::int(range.stop)),
        (Value::Range(range), "step") => Some(Value::int(range.step)),
        (Value::Namespace(names), _) => names.borrow().get_str(name).cloned(),
        (Value::Loop(state), _) => state.attribute(name, run)?,
        (Value::Macro(function), "name") => {
            Some(function.code.name.clone().map_or(Value::None, Value::Str))
        }
        (Value::Macro(function), "arguments") => {
            let names = function.code.parameters.iter().map(|name| Value::Str(name.text.clone()));
            Some(Value::tuple(names.collect())?)
        }
        (Value::Macro(function), "caller") => Some(Value::Bool(function.code.caller.is_some())),
        (Value::Macro(function), "catch_kwargs") => {
            Some(Value::Bool(function.code.kwargs.is_some()))
        }
        (Value::Macro(function), "catch_varargs") => {
            Some(Value::Bool(function.code.varargs.is_some()))
        }
        (Value::Cycler(cycler), "current") => cycler.items.get(cycler.at.get()).cloned(),
        (Value::Cycler(cycler), "items") => Some(Value::tuple(cycler.items.clone())?),
        (Value::Cycler(cycler), "pos") => Some(Value::int(cycler.at.get())),
        (Value::Joiner(joiner), "sep") => Some(joiner.0.clone()),
        (Value::Joiner(joiner), "used") => Some(Value::Bool(joiner.1.get())),
        _ => None,
    })
}

/// Python's `value[key]`, `None` for its `TypeError` and `LookupError`.
fn own_item(value: &Value, key: &Value) -> Result<Option<Value>> {
    let place = |length: usize| {
        let at = key.as_int()?.to_i64()?;
        let at = if at < 0 { at.checked_add(length as i64)? } else { at };
        usize::try_from(at).ok().filter(|&at| at < length)
    };
    Ok(match value {
        Value::Str(text) | Value::Markup(text) => {
            if key.as_int().is_none() {
                return Ok(None);
            }
            let at = place(text.chars().count());
            at.and_then(|at| text.chars().nth(at)).map(|c| Value::str(c.to_string()))
        }
        Value::List(items) | Value::Tuple(items) => {
            place(items.items.len()).map(|at| items.items[at].clone())
        }
        Value::Dict(dict) => match key.key() {
            Ok(key) => dict.get(&key).cloned(),
            Err(_) => None,
        },
        Value::Range(range) => place(range.len()).map(|at| Value::int(range.get(at))),
        Value::Undefined(hint) => return Err(Fault::other(&**hint)),
        _ => None,
    })
}

fn object_type(value: &Value) -> String {
    match value {
        Value::None => "None".to_owned(),
        other => format!("'{} object'", other.type_name()),
    }
}

/// `value.name` of a template.
///
/// # Errors
/// Attributes of what is undefined.
pub(crate) fn attribute(run: &Run, value: &Value, name: &str) -> Result<Value> {
    value.defined()?;
    if !name.starts_with('_')
        && let Some(found) = own_attribute(run, value, name)?
    {
        return Ok(found);
    }
    if let Some(found) = own_item(value, &Value::str(name))? {
        return Ok(found);
    }
    let message = format!("{} has no attribute '{name}'", object_type(value));
    Ok(Value::Undefined(message.into()))
}

/// `value[key]` of a template.
///
/// # Errors
/// Items of what is undefined.
pub(crate) fn item(run: &Run, value: &Value, key: &Value) -> Result<Value> {
    value.defined()?;
    if let Some(found) = own_item(value, key)? {
        return Ok(found);
    }
    let message = match key.as_str() {
        Some(name) => {
            if !name.starts_with('_')
                && let Some(found) = own_attribute(run, value, name)?
            {
                return Ok(found);
            }
            format!("{} has no attribute '{name}'", object_type(value))
        }
        None => {
            let key = repr(key, &run.limits)?;
            format!("{} has no element {key}", object_type(value))
        }
    };
    Ok(Value::Undefined(message.into()))
}

/// `value[start:stop:step]`.
pub(crate) fn slice(value: &Value, bounds: &[Option<Value>; 3], limits: &Limits) -> Result<Value> {
    value.defined()?;
    let length = match value {
        Value::Str(text) | Value::Markup(text) => text.chars().count(),
        Value::List(items) | Value::Tuple(items) => items.items.len(),
        Value::Range(range) => range.len(),
        Value::Dict(_) => return Err(Fault::type_error("unhashable type: 'slice'")),
        other => {
            let name = other.type_name();
            return Err(Fault::type_error(format!("'{name}' object is not subscriptable")));
        }
    };
    let [start, stop, step] = bounds;
    let step = optional_index(step.as_ref())?.unwrap_or(1);
    let bounds = (optional_index(start.as_ref())?, optional_index(stop.as_ref())?);
    let (start, count) = slice_places(length, bounds, step)?;
    limits.spend(count + length / 16)?;
    let place = |i: usize| usize::try_from(start + step.saturating_mul(i as i64)).unwrap_or(0);
    let pick = |items: &Sequence| (0..count).map(|i| items.items[place(i)].clone()).collect();
    Ok(match value {
        Value::List(items) => Value::list(pick(items))?,
        Value::Tuple(items) => Value::tuple(pick(items))?,
        Value::Range(range) => Value::Range(super::value::Range {
            start: range.get(place(0)),
            stop: range.get(place(0)) + range.step * step * count as i64,
            step: range.step * step,
        }),
        text => {
            let chars: Vec<char> = text.as_str().unwrap_or_default().chars().collect();
            let out: String = (0..count).map(|i| chars[place(i)]).collect();
            if matches!(text, Value::Markup(_)) {
                Value::Markup(out.into())
            } else {
                Value::str(out)
            }
        }
    })
}

/// The first place of a slice and how many there are.
fn slice_places(
    length: usize,
    (start, stop): (Option<i64>, Option<i64>),
    step: i64,
) -> Result<(i64, usize)> {
    if step == 0 {
        return Err(Fault::value_error("slice step cannot be zero"));
    }
    let length = length as i64;
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |at: i64| {
        let at = if at < 0 { at.saturating_add(length) } else { at };
        at.clamp(lowest, highest)
    };
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (start, stop) = (start.map_or(first, place), stop.map_or(last, place));
    let span = if step > 0 { stop - start } else { start - stop };
    let count = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
    Ok((start, usize::try_from(count).unwrap_or(0)))
}

/// Calls a method of a value.
pub(crate) fn call_method(
    run: &Run,
    this: &Value,
    name: &'static str,
    args: Args,
) -> Result<Value> {
    match this {
        Value::Str(text) | Value::Markup(text) => {
            let result = match name {
                "format" => Value::str(format_method(run, text, args)?),
                "format_map" => Value::str(format_map(run, text, args)?),
                _ => string_method(text, name, args, &run.limits)?,
            };
            Ok(match (this, result) {
                (Value::Markup(_), Value::Str(text)) => Value::Markup(text),
                (_, result) => result,
            })
        }
        Value::Dict(dict) => dict_method(dict, name, args),
        Value::List(items) | Value::Tuple(items) if name == "copy" => {
            let [] = args.positional(name, 0)?;
            run.limits.spend(items.items.len())?;
            Value::list(items.items.clone())
        }
        Value::List(_) | Value::Tuple(_) | Value::Range(_) => {
            sequence_method(this, name, args, &run.limits)
        }
        Value::Int(_) | Value::Bool(_) => integer_method(this, name, args),
        Value::Float(x) if name == "is_integer" => {
            let [] = args.positional(name, 0)?;
            Ok(Value::Bool(x.is_finite() && x.fract() == 0.0))
        }
        Value::Float(x) if name == "conjugate" => Ok(Value::Float(*x)),
        Value::Loop(state) => state.call_method(name, args, run),
        Value::Cycler(cycler) => {
            let [] = args.positional(name, 0)?;
            let at = cycler.at.get();
            if name == "reset" {
                cycler.at.set(0);
                return Ok(Value::None);
            }
            cycler.at.set((at + 1) % cycler.items.len().max(1));
            Ok(cycler.items.get(at).cloned().unwrap_or(Value::None))
        }
        other => {
            let kind = other.type_name();
            Err(Fault::other(format!("the method {name} of {kind} is not supported")))
        }
    }
}

fn dict_method(dict: &Rc<Dict>, name: &'static str, args: Args) -> Result<Value> {
    let view = match name {
        "keys" => View::Keys,
        "values" => View::Values,
        "items" => View::Items,
        "get" => {
            let [key, default] = args.positional(name, 1)?;
            let key = key.unwrap_or(Value::None).key()?;
            return Ok(dict.get(&key).cloned().or(default).unwrap_or(Value::None));
        }
        "copy" => {
            let [] = args.positional(name, 0)?;
            return Ok(Value::Dict(Rc::new((**dict).clone())));
        }
        other => return Err(Fault::other(format!("the method {other} of dicts is not supported"))),
    };
    let [] = args.positional(name, 0)?;
    Ok(Value::View(view, Rc::clone(dict)))
}

fn sequence_method(this: &Value, name: &'static str, args: Args, limits: &Limits) -> Result<Value> {
    let [wanted, start, stop] = args.positional(name, 1)?;
    let wanted = wanted.unwrap_or(Value::None);
    let items = collected(this, limits)?;
    if name == "count" {
        let mut count = 0;
        for item in &items {
            count += usize::from(item.same(&wanted) || equal(item, &wanted, limits)?);
        }
        return Ok(Value::int(count));
    }
    let length = items.len() as i64;
    let bound = |value: Option<Value>, default: i64| -> Result<i64> {
        let Some(value) = value else { return Ok(default) };
        let at = index(&value)?;
        Ok(if at < 0 { at.saturating_add(length).max(0) } else { at })
    };
    let (start, stop) = (bound(start, 0)?, bound(stop, i64::MAX)?);
    for (i, item) in items.iter().enumerate() {
        let inside = (start..stop).contains(&(i as i64));
        if inside && (item.same(&wanted) || equal(item, &wanted, limits)?) {
            return Ok(Value::Int(BigInt::from(i)));
        }
    }
    let wanted = repr(&wanted, limits)?;
    Err(Fault::value_error(format!("{wanted} is not in {}", this.type_name())))
}
