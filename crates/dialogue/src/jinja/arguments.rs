//! Arguments of a call, and their way to the parameters of what is called.

use std::sync::Arc;

use num_bigint::BigInt;
use num_traits::ToPrimitive as _;

use super::fault::{Fault, Result};
use super::operators::truth;
use super::value::Value;

/// Arguments by position and by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args {
    pub positional: Vec<Value>,
    pub keyword: Vec<(Arc<str>, Value)>,
}

impl Args {
    /// Takes the argument of this name.
    pub fn pop(&mut self, name: &str) -> Option<Value> {
        let at = self.keyword.iter().position(|(known, _)| &**known == name)?;
        Some(self.keyword.remove(at).1)
    }

    /// One value for each parameter, `None` where none was given and none is required.
    ///
    /// # Errors
    /// Python's `TypeError` for too many, too few or unknown arguments.
    pub fn bind<const N: usize>(
        self,
        function: &str,
        parameters: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        let given = self.positional.len();
        if given > N {
            return Err(Fault::type_error(format!(
                "{function}() takes at most {N} arguments ({given} given)"
            )));
        }
        let mut out = [const { None }; N];
        for (place, value) in out.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.keyword {
            let Some(at) = parameters.iter().position(|known| **known == *name) else {
                let message = format!("{function}() got an unexpected keyword argument '{name}'");
                return Err(Fault::type_error(message));
            };
            if out[at].replace(value).is_some() {
                let message = format!("{function}() got multiple values for argument '{name}'");
                return Err(Fault::type_error(message));
            }
        }
        for (name, value) in parameters.iter().zip(&out).take(required) {
            if value.is_none() {
                let message = format!("{function}() missing required argument '{name}'");
                return Err(Fault::type_error(message));
            }
        }
        Ok(out)
    }

    /// As [`Args::bind`] for functions that take no argument by name.
    pub fn positional<const N: usize>(
        self,
        function: &str,
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        if let Some((name, _)) = self.keyword.first() {
            let message = format!("{function}() takes no keyword arguments ('{name}' given)");
            return Err(Fault::type_error(message));
        }
        if self.positional.len() < required {
            let given = self.positional.len();
            let message =
                format!("{function}() expected at least {required} arguments, got {given}");
            return Err(Fault::type_error(message));
        }
        self.bind(function, [""; N], 0)
    }
}

/// The text of an argument that must be a string.
pub(crate) fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .ok_or_else(|| Fault::type_error(format!("must be str, not {}", value.type_name())))
}

/// An argument that must be an integer.
pub(crate) fn integer(value: &Value) -> Result<BigInt> {
    value.as_int().ok_or_else(|| {
        let name = value.type_name();
        Fault::type_error(format!("'{name}' object cannot be interpreted as an integer"))
    })
}

/// An integer argument, cut to 64 bits: for positions and counts.
pub(crate) fn index(value: &Value) -> Result<i64> {
    let value = integer(value)?;
    let limit = if super::numbers::is_negative(&value) { i64::MIN } else { i64::MAX };
    Ok(value.to_i64().unwrap_or(limit))
}

/// An index or nothing for `None`.
pub(crate) fn optional_index(value: Option<&Value>) -> Result<Option<i64>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(value) => index(value).map(Some).map_err(|_| {
            let message = "slice indices must be integers or None or have an __index__ method";
            Fault::type_error(message)
        }),
    }
}

/// Whether an argument that may be left out is given and true.
pub(crate) fn flag(value: Option<Value>) -> bool {
    value.is_some_and(|value| truth(&value))
}
