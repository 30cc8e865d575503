//! Keys and their values. Arrays are kept by element type, so that they take no more than a few times
//! their bytes in the file.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::GgufError;

/// A value of a key.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the types of the format, by their names")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Array(Array),
}

/// An array of values of one type.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the types of the format, by their names")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    String(Vec<String>),
    Array(Vec<Array>),
}

/// Runs an expression on the elements of an array of whichever type.
macro_rules! with_elements {
    ($array:expr, $elements:ident => $body:expr) => {
        match $array {
            Array::U8($elements) => $body,
            Array::I8($elements) => $body,
            Array::U16($elements) => $body,
            Array::I16($elements) => $body,
            Array::U32($elements) => $body,
            Array::I32($elements) => $body,
            Array::U64($elements) => $body,
            Array::I64($elements) => $body,
            Array::F32($elements) => $body,
            Array::F64($elements) => $body,
            Array::Bool($elements) => $body,
            Array::String($elements) => $body,
            Array::Array($elements) => $body,
        }
    };
}

impl Array {
    /// Number of elements.
    pub fn len(&self) -> usize {
        with_elements!(self, elements => elements.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of the element type in files.
    pub(crate) const fn kind(&self) -> u32 {
        match self {
            Array::U8(_) => 0,
            Array::I8(_) => 1,
            Array::U16(_) => 2,
            Array::I16(_) => 3,
            Array::U32(_) => 4,
            Array::I32(_) => 5,
            Array::F32(_) => 6,
            Array::Bool(_) => 7,
            Array::String(_) => 8,
            Array::Array(_) => 9,
            Array::U64(_) => 10,
            Array::I64(_) => 11,
            Array::F64(_) => 12,
        }
    }

    /// Whole numbers that are not negative; `None` when any is another.
    pub fn sizes(&self) -> Option<Vec<usize>> {
        match self {
            Array::U8(x) => Some(x.iter().map(|&x| x.into()).collect()),
            Array::U16(x) => Some(x.iter().map(|&x| x.into()).collect()),
            Array::U32(x) => x.iter().map(|&x| usize::try_from(x).ok()).collect(),
            Array::U64(x) => x.iter().map(|&x| usize::try_from(x).ok()).collect(),
            Array::I8(x) => x.iter().map(|&x| usize::try_from(x).ok()).collect(),
            Array::I16(x) => x.iter().map(|&x| usize::try_from(x).ok()).collect(),
            Array::I32(x) => x.iter().map(|&x| usize::try_from(x).ok()).collect(),
            Array::I64(x) => x.iter().map(|&x| usize::try_from(x).ok()).collect(),
            _ => None,
        }
    }
}

impl Value {
    /// Number of the type in files.
    pub(crate) const fn kind(&self) -> u32 {
        match self {
            Value::U8(_) => 0,
            Value::I8(_) => 1,
            Value::U16(_) => 2,
            Value::I16(_) => 3,
            Value::U32(_) => 4,
            Value::I32(_) => 5,
            Value::F32(_) => 6,
            Value::Bool(_) => 7,
            Value::String(_) => 8,
            Value::Array(_) => 9,
            Value::U64(_) => 10,
            Value::I64(_) => 11,
            Value::F64(_) => 12,
        }
    }

    /// A whole number that is not negative.
    pub fn size(&self) -> Option<usize> {
        match *self {
            Value::U8(x) => Some(x.into()),
            Value::U16(x) => Some(x.into()),
            Value::U32(x) => usize::try_from(x).ok(),
            Value::U64(x) => usize::try_from(x).ok(),
            Value::I8(x) => usize::try_from(x).ok(),
            Value::I16(x) => usize::try_from(x).ok(),
            Value::I32(x) => usize::try_from(x).ok(),
            Value::I64(x) => usize::try_from(x).ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        match *self {
            Value::F32(x) => Some(x.into()),
            Value::F64(x) => Some(x),
            Value::I8(x) => Some(x.into()),
            Value::I16(x) => Some(x.into()),
            Value::I32(x) => Some(x.into()),
            Value::I64(x) => Some(x as f64),
            Value::U8(_) | Value::U16(_) | Value::U32(_) | Value::U64(_) => {
                self.size().map(|x| x as f64)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    /// As people read it, long arrays by their length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::U8(x) => write!(f, "{x}"),
            Value::I8(x) => write!(f, "{x}"),
            Value::U16(x) => write!(f, "{x}"),
            Value::I16(x) => write!(f, "{x}"),
            Value::U32(x) => write!(f, "{x}"),
            Value::I32(x) => write!(f, "{x}"),
            Value::U64(x) => write!(f, "{x}"),
            Value::I64(x) => write!(f, "{x}"),
            Value::F32(x) => write!(f, "{x}"),
            Value::F64(x) => write!(f, "{x}"),
            Value::Bool(x) => write!(f, "{x}"),
            Value::String(x) => {
                let short: String = x.chars().take(60).collect();
                let more = if short.len() < x.len() { "…" } else { "" };
                write!(f, "{short:?}{more}")
            }
            Value::Array(array) => write!(f, "an array of {}", array.len()),
        }
    }
}

macro_rules! from {
    ($($rust:ty => $kind:ident),*) => {$(
        impl From<$rust> for Value {
            fn from(value: $rust) -> Self {
                Value::$kind(value)
            }
        }
        impl From<Vec<$rust>> for Value {
            fn from(values: Vec<$rust>) -> Self {
                Value::Array(Array::$kind(values))
            }
        }
    )*};
}
from!(u32 => U32, i32 => I32, u16 => U16, f32 => F32, bool => Bool, String => String);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// For messages.
    path: PathBuf,
    entries: Vec<(String, Value)>,
}

impl Metadata {
    /// No keys, of the file at a path.
    pub fn new(path: &Path) -> Self {
        Metadata { path: path.to_owned(), entries: Vec::new() }
    }

    pub(crate) fn of(path: &Path, entries: Vec<(String, Value)>) -> Self {
        Metadata { path: path.to_owned(), entries }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of them.
    pub fn entries(&self) -> &[(String, Value)] {
        &self.entries
    }

    /// Sets a key; one that is there keeps its place.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|entry| entry.0 == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Removes the keys that a test picks.
    pub fn remove(&mut self, picked: impl Fn(&str) -> bool) {
        self.entries.retain(|(key, _)| !picked(key));
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|entry| entry.0 == key).map(|entry| &entry.1)
    }

    /// A whole number, where the key is there.
    ///
    /// # Errors
    /// [`GgufError::KeyType`].
    pub fn size(&self, key: &str) -> Result<Option<usize>, GgufError> {
        self.read(key, "a whole number", Value::size)
    }

    /// A number, where the key is there.
    ///
    /// # Errors
    /// [`GgufError::KeyType`].
    pub fn number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        self.read(key, "a number", Value::number)
    }

    /// A flag, where the key is there.
    ///
    /// # Errors
    /// [`GgufError::KeyType`].
    pub fn flag(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.read(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// Text, where the key is there.
    ///
    /// # Errors
    /// [`GgufError::KeyType`].
    pub fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.read(key, "text", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An array of texts, where the key is there.
    ///
    /// # Errors
    /// [`GgufError::KeyType`].
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, GgufError> {
        self.read(key, "an array of texts", |value| match value {
            Value::Array(Array::String(texts)) => Some(texts.as_slice()),
            // An empty array may be of any type.
            Value::Array(array) if array.is_empty() => Some(&[]),
            _ => None,
        })
    }

    /// An array of f32, where the key is there.
    ///
    /// # Errors
    /// [`GgufError::KeyType`].
    pub fn floats(&self, key: &str) -> Result<Option<&[f32]>, GgufError> {
        self.read(key, "an array of f32", |value| match value {
            Value::Array(Array::F32(numbers)) => Some(numbers.as_slice()),
            Value::Array(array) if array.is_empty() => Some(&[]),
            _ => None,
        })
    }

    /// An array of whole numbers, where the key is there.
    ///
    /// # Errors
    /// [`GgufError::KeyType`].
    pub fn sizes(&self, key: &str) -> Result<Option<Vec<usize>>, GgufError> {
        self.read(key, "an array of whole numbers", |value| match value {
            Value::Array(array) if array.is_empty() => Some(Vec::new()),
            Value::Array(array) => array.sizes(),
            _ => None,
        })
    }

    /// What a reader gives, or an error that there is no such key.
    ///
    /// # Errors
    /// [`GgufError::MissingKey`].
    pub fn required<T>(&self, key: &str, found: Option<T>) -> Result<T, GgufError> {
        let (path, name) = (&self.path, key);
        found.ok_or_else(|| GgufError::MissingKey { path: path.clone(), key: name.to_owned() })
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let found = read(value).ok_or_else(|| GgufError::KeyType {
            path: self.path.clone(),
            key: key.to_owned(),
            found: value.to_string(),
            expected,
        })?;
        Ok(Some(found))
    }
}
