//! Reading values one after the other, as Python's `iter` and `next` do.

use std::rc::Rc;
use std::sync::Arc;

use super::fault::{Fault, Result};
use super::limits::Limits;
use super::value::{Dict, Range, Sequence, Stream, Value, View};

/// A place in something that can be iterated.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Items(Rc<Sequence>, usize),
    /// A string and a byte in it.
    Characters(Arc<str>, usize),
    Entries(View, Rc<Dict>, usize),
    Range(Range, usize),
    Stream(Rc<Stream>),
    Empty,
}

impl Source {
    /// The beginning of a value.
    ///
    /// # Errors
    /// What cannot be iterated.
    pub fn of(value: &Value) -> Result<Self> {
        Ok(match value {
            Value::Undefined(_) => Source::Empty,
            Value::Str(text) | Value::Markup(text) => Source::Characters(Arc::clone(text), 0),
            Value::List(items) | Value::Tuple(items) => Source::Items(Rc::clone(items), 0),
            Value::Dict(dict) => Source::Entries(View::Keys, Rc::clone(dict), 0),
            Value::View(view, dict) => Source::Entries(*view, Rc::clone(dict), 0),
            Value::Range(range) => Source::Range(*range, 0),
            Value::Stream(stream) => Source::Stream(Rc::clone(stream)),
            other => {
                let name = other.type_name();
                return Err(Fault::type_error(format!("'{name}' object is not iterable")));
            }
        })
    }

    /// The next value.
    ///
    /// # Errors
    /// What went wrong where a stream's values were computed.
    pub fn next(&mut self) -> Result<Option<Value>> {
        Ok(match self {
            Source::Items(items, at) => {
                *at += 1;
                items.items.get(*at - 1).cloned()
            }
            Source::Characters(text, at) => text[*at..].chars().next().map(|c| {
                *at += c.len_utf8();
                Value::str(c.to_string())
            }),
            Source::Entries(view, dict, at) => {
                *at += 1;
                match dict.entries().get(*at - 1) {
                    Some((key, value)) => Some(match view {
                        View::Keys => key.clone(),
                        View::Values => value.clone(),
                        View::Items => Value::tuple(vec![key.clone(), value.clone()])?,
                    }),
                    None => None,
                }
            }
            Source::Range(range, at) => {
                *at += 1;
                (*at <= range.len()).then(|| Value::int(range.get(*at - 1)))
            }
            Source::Stream(stream) => {
                let next = stream.items.borrow_mut().pop_front();
                match next {
                    Some(value) => Some(value),
                    None => match stream.fault.borrow_mut().take() {
                        Some(fault) => return Err(fault),
                        None => None,
                    },
                }
            }
            Source::Empty => None,
        })
    }
}

/// `list(value)`.
pub(crate) fn collected(value: &Value, limits: &Limits) -> Result<Vec<Value>> {
    let mut source = Source::of(value)?;
    let mut items = Vec::new();
    while let Some(item) = source.next()? {
        limits.spend(1)?;
        items.push(item);
    }
    Ok(items)
}

/// `len(value)`, if it has one.
pub(crate) fn length_of(value: &Value) -> Option<usize> {
    match value {
        Value::Undefined(_) => Some(0),
        Value::Str(text) | Value::Markup(text) => Some(text.chars().count()),
        Value::List(items) | Value::Tuple(items) => Some(items.items.len()),
        Value::Dict(dict) | Value::View(_, dict) => Some(dict.len()),
        Value::Range(range) => Some(range.len()),
        _ => None,
    }
}

/// `len(value)`.
///
/// # Errors
/// What has no length.
pub(crate) fn length(value: &Value) -> Result<usize> {
    length_of(value).ok_or_else(|| {
        Fault::type_error(format!("object of type '{}' has no len()", value.type_name()))
    })
}
