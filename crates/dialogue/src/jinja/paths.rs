//! The way from an item to a part of it that filters compare: `attribute='a.b.0'`.

use super::attributes::item;
use super::fault::Result;
use super::run::Run;
use super::value::Value;

/// Keys to look up one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    keys: Vec<Value>,
    /// What stands for parts that are undefined.
    default: Option<Value>,
    /// Whether strings are made lower case.
    folds: bool,
}

impl Path {
    /// The path that an argument names; none is the item itself.
    pub fn new(attribute: Option<&Value>) -> Result<Self> {
        let keys = match attribute {
            None => Vec::new(),
            Some(attribute) => match attribute.as_str() {
                Some(text) => text.split('.').map(key).collect(),
                None => vec![attribute.clone()],
            },
        };
        Ok(Path { keys, default: None, folds: false })
    }

    /// The paths that a list with commas names.
    pub fn several(attribute: Option<&Value>, folds: bool) -> Result<Vec<Self>> {
        match attribute.and_then(Value::as_str) {
            Some(text) => text
                .split(',')
                .map(|part| Ok(Path::new(Some(&Value::str(part)))?.folding(folds)))
                .collect(),
            None => Ok(vec![Path::new(attribute)?.folding(folds)]),
        }
    }

    /// The way to an item by number.
    pub fn index(at: usize) -> Self {
        Path { keys: vec![Value::int(at)], default: None, folds: false }
    }

    pub fn folding(self, folds: bool) -> Self {
        Path { folds, ..self }
    }

    pub fn or(self, default: Option<Value>) -> Self {
        Path { default, ..self }
    }

    /// The part of an item.
    pub fn of(&self, run: &Run, from: &Value) -> Result<Value> {
        run.limits.spend(1 + self.keys.len())?;
        let mut value = from.clone();
        for key in &self.keys {
            value = item(run, &value, key)?;
            if let (true, Some(default)) = (value.is_undefined(), &self.default) {
                value = default.clone();
            }
        }
        Ok(match &value {
            Value::Str(text) | Value::Markup(text) if self.folds => Value::str(text.to_lowercase()),
            _ => value,
        })
    }
}

fn key(part: &str) -> Value {
    let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match part.parse::<u64>() {
        Ok(number) if digits => Value::int(number),
        _ => Value::str(part),
    }
}
