//! Values of templates: those of Python that Jinja2 lets templates have. Lists and dicts do not
//! change once made, since the sandbox permits no change; namespaces do.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use num_bigint::BigInt;
use num_traits::{FromPrimitive as _, ToPrimitive as _};

use super::fault::{Fault, Result};
use super::functions::Function;
use super::limits::MAX_VALUE_DEPTH;
use super::loops::Loop;
use super::run::MacroValue;
use crate::Json;

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Why using it fails.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(BigInt),
    Float(f64),
    Str(Arc<str>),
    /// Text that counts as HTML (`safe`, `escape`).
    Markup(Arc<str>),
    List(Rc<Sequence>),
    Tuple(Rc<Sequence>),
    Dict(Rc<Dict>),
    View(View, Rc<Dict>),
    Range(Range),
    /// A generator or other iterator, used up by reading it.
    Stream(Rc<Stream>),
    Namespace(Rc<RefCell<Dict>>),
    Loop(Rc<Loop>),
    Macro(Rc<MacroValue>),
    Cycler(Rc<Cycler>),
    /// The separator, and whether it was used.
    Joiner(Rc<(Value, Cell<bool>)>),
    /// A method of a value.
    Method(Rc<(Value, &'static str)>),
    Function(Function),
}

/// Items of a list or tuple.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub items: Vec<Value>,
    depth: usize,
}

/// What `keys()`, `values()` and `items()` give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Keys,
    Values,
    Items,
}

/// A Python `range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub start: i64,
    pub stop: i64,
    pub step: i64,
}

impl Range {
    pub fn len(self) -> usize {
        let (start, stop, step) =
            (i128::from(self.start), i128::from(self.stop), i128::from(self.step));
        let span = if step > 0 { stop - start } else { start - stop };
        let steps = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs().max(1));
        usize::try_from(steps).unwrap_or(usize::MAX)
    }

    pub fn get(self, index: usize) -> i64 {
        self.start.wrapping_add(self.step.wrapping_mul(index as i64))
    }
}

/// Values to come, and the error after them if there is one.
#[derive(Debug)]
pub(crate) struct Stream {
    pub kind: &'static str,
    pub items: RefCell<VecDeque<Value>>,
    pub fault: RefCell<Option<Fault>>,
}

/// `cycler(...)`.
#[derive(Debug)]
pub(crate) struct Cycler {
    pub items: Vec<Value>,
    pub at: Cell<usize>,
}

/// A value that can be a key: equal keys are equal values of Python.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Undefined,
    None,
    Int(BigInt),
    /// Bits of a number that is no integer.
    Float(u64),
    Str(Arc<str>),
    Tuple(Vec<Key>),
    Range(usize, i64, i64),
    /// Anything that is equal to itself alone.
    Object(usize),
}

/// A dict: entries in the order in which their keys came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dict {
    entries: Vec<(Value, Value)>,
    index: HashMap<Key, usize>,
    depth: usize,
}

impl Dict {
    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.index.get(key).map(|&at| &self.entries[at].1)
    }

    pub fn get_str(&self, key: &str) -> Option<&Value> {
        self.get(&Key::Str(key.into()))
    }

    /// Sets the value of a key; a key that is there keeps its place.
    pub fn insert(&mut self, key: Value, value: Value) -> Result<()> {
        self.depth = self.depth.max(inside(value.depth().max(key.depth()))?);
        match self.index.entry(key.key()?) {
            std::collections::hash_map::Entry::Occupied(place) => {
                self.entries[*place.get()].1 = value;
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push((key, value));
            }
        }
        Ok(())
    }

    /// Takes all entries out.
    pub fn take(&mut self) -> Vec<(Value, Value)> {
        self.index.clear();
        std::mem::take(&mut self.entries)
    }
}

/// The depth of a container of values of this depth.
fn inside(depth: usize) -> Result<usize> {
    if depth >= MAX_VALUE_DEPTH {
        let message = format!("lists and dicts nested deeper than {MAX_VALUE_DEPTH} levels");
        return Err(Fault::new(super::fault::FaultKind::Limit, message));
    }
    Ok(depth + 1)
}

impl Value {
    pub fn str(text: impl Into<Arc<str>>) -> Self {
        Value::Str(text.into())
    }

    pub fn int(value: impl Into<BigInt>) -> Self {
        Value::Int(value.into())
    }

    pub fn undefined(name: &str) -> Self {
        Value::Undefined(format!("'{name}' is undefined").into())
    }

    pub fn list(items: Vec<Value>) -> Result<Self> {
        Ok(Value::List(Rc::new(Sequence::new(items)?)))
    }

    pub fn tuple(items: Vec<Value>) -> Result<Self> {
        Ok(Value::Tuple(Rc::new(Sequence::new(items)?)))
    }

    pub fn dict(entries: impl IntoIterator<Item = (Value, Value)>) -> Result<Self> {
        let mut dict = Dict::default();
        for (key, value) in entries {
            dict.insert(key, value)?;
        }
        Ok(Value::Dict(Rc::new(dict)))
    }

    /// An iterator over what was computed, and the error that ended it.
    pub fn stream(kind: &'static str, items: Vec<Value>, fault: Option<Fault>) -> Self {
        let (items, fault) = (RefCell::new(items.into()), RefCell::new(fault));
        Value::Stream(Rc::new(Stream { kind, items, fault }))
    }

    /// The value of JSON.
    pub fn from_json(json: &Json) -> Result<Self> {
        Ok(match json {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Integer(value) => Value::int(*value),
            Json::Float(value) => Value::Float(*value),
            Json::String(text) => Value::str(text.as_str()),
            Json::Array(items) => {
                let items: Result<Vec<Value>> = items.iter().map(Value::from_json).collect();
                Value::list(items?)?
            }
            Json::Object(fields) => {
                let mut dict = Dict::default();
                for (name, value) in fields {
                    dict.insert(Value::str(name.as_str()), Value::from_json(value)?)?;
                }
                Value::Dict(Rc::new(dict))
            }
        })
    }

    /// Levels of containers in it.
    pub fn depth(&self) -> usize {
        match self {
            Value::List(items) | Value::Tuple(items) => items.depth,
            Value::Dict(dict) | Value::View(_, dict) => dict.depth,
            Value::Method(method) => method.0.depth(),
            Value::Stream(stream) => {
                stream.items.borrow().iter().map(Value::depth).max().unwrap_or(0)
            }
            Value::Cycler(cycler) => cycler.items.iter().map(Value::depth).max().unwrap_or(0) + 1,
            Value::Joiner(joiner) => joiner.0.depth() + 1,
            _ => 0,
        }
    }

    /// Its text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) | Value::Markup(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is an `Undefined`.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    /// An integer, booleans among them.
    pub fn as_int(&self) -> Option<BigInt> {
        match self {
            Value::Int(value) => Some(value.clone()),
            Value::Bool(value) => Some(BigInt::from(*value)),
            _ => None,
        }
    }

    /// The name of its type in Python.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Markup(_) => "Markup",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::View(View::Keys, _) => "dict_keys",
            Value::View(View::Values, _) => "dict_values",
            Value::View(View::Items, _) => "dict_items",
            Value::Range(_) => "range",
            Value::Stream(stream) => stream.kind,
            Value::Namespace(_) => "Namespace",
            Value::Loop(_) => "LoopContext",
            Value::Macro(_) => "Macro",
            Value::Cycler(_) => "Cycler",
            Value::Joiner(_) => "Joiner",
            Value::Method(_) => "builtin_function_or_method",
            Value::Function(_) => "function",
        }
    }

    /// The error of using an undefined value, if it is one.
    pub fn defined(&self) -> Result<&Self> {
        match self {
            Value::Undefined(hint) => Err(Fault::other(&**hint)),
            other => Ok(other),
        }
    }

    /// As a key of a dict.
    ///
    /// # Errors
    /// What cannot be hashed.
    pub fn key(&self) -> Result<Key> {
        Ok(match self {
            Value::Undefined(_) => Key::Undefined,
            Value::None => Key::None,
            Value::Bool(value) => Key::Int(BigInt::from(*value)),
            Value::Int(value) => Key::Int(value.clone()),
            Value::Float(value) => match BigInt::from_f64(*value) {
                Some(whole) if whole.to_f64() == Some(*value) => Key::Int(whole),
                _ => Key::Float(value.to_bits()),
            },
            Value::Str(text) | Value::Markup(text) => Key::Str(Arc::clone(text)),
            Value::Tuple(items) => {
                Key::Tuple(items.items.iter().map(Value::key).collect::<Result<_>>()?)
            }
            Value::Range(range) => match range.len() {
                0 => Key::Range(0, 0, 0),
                1 => Key::Range(1, range.start, 0),
                length => Key::Range(length, range.start, range.step),
            },
            Value::List(_) | Value::Dict(_) | Value::View(View::Keys | View::Items, _) => {
                let name = self.type_name();
                return Err(Fault::type_error(format!("unhashable type: '{name}'")));
            }
            Value::View(View::Values, dict) => Key::Object(Rc::as_ptr(dict).addr()),
            Value::Stream(stream) => Key::Object(Rc::as_ptr(stream).addr()),
            Value::Namespace(names) => Key::Object(Rc::as_ptr(names).addr()),
            Value::Loop(state) => Key::Object(Rc::as_ptr(state).addr()),
            Value::Macro(function) => Key::Object(Rc::as_ptr(function).addr()),
            Value::Cycler(cycler) => Key::Object(Rc::as_ptr(cycler).addr()),
            Value::Joiner(joiner) => Key::Object(Rc::as_ptr(joiner).addr()),
            Value::Method(method) => Key::Object(Rc::as_ptr(method).addr()),
            Value::Function(function) => Key::Object(*function as usize),
        })
    }

    /// Whether Python would say `is`. Small integers and short strings are one object each there.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::None, Value::None) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => {
                a == b && (-5..=256).contains(&a.to_i32().unwrap_or(-6))
            }
            (Value::Str(a), Value::Str(b)) => Arc::ptr_eq(a, b) || (a == b && a.len() <= 1),
            (Value::Undefined(a), Value::Undefined(b)) => Rc::ptr_eq(a, b),
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                Rc::ptr_eq(a, b)
            }
            (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
            (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
            (Value::Stream(a), Value::Stream(b)) => Rc::ptr_eq(a, b),
            (Value::Macro(a), Value::Macro(b)) => Rc::ptr_eq(a, b),
            (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
            (Value::Cycler(a), Value::Cycler(b)) => Rc::ptr_eq(a, b),
            (Value::Function(a), Value::Function(b)) => a == b,
            _ => false,
        }
    }
}

impl Sequence {
    fn new(items: Vec<Value>) -> Result<Self> {
        let depth = inside(items.iter().map(Value::depth).max().unwrap_or(0))?;
        Ok(Sequence { items, depth })
    }
}
