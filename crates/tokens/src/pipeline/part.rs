//! A part of a tokenizer file, with its place in the file, so that a refusal can name it.

use serde_json::Value;

use crate::TokensError;
use crate::error::excerpt;

/// A value of a tokenizer file and the path that leads to it.
#[derive(Clone)]
pub(crate) struct Part<'a> {
    pub(crate) field: String,
    pub(crate) value: &'a Value,
}

impl<'a> Part<'a> {
    /// The part at a top-level field.
    pub(crate) fn new(field: &str, value: &'a Value) -> Self {
        Self { field: field.to_owned(), value }
    }

    /// The part in a field of this one; null where there is none.
    pub(crate) fn get(&self, name: &str) -> Part<'a> {
        Part { field: format!("{}.{name}", self.field), value: &self.value[name] }
    }

    /// Whether there is nothing here.
    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// The name of the kind of part this is.
    pub(crate) fn kind(&self) -> Result<&'a str, TokensError> {
        self.get("type").text("the name of a part")
    }

    /// The items of a list in a field.
    pub(crate) fn items(&self, name: &str) -> Result<Vec<Part<'a>>, TokensError> {
        let list = self.get(name);
        let Some(items) = list.value.as_array() else {
            return Err(list.unsupported("a list"));
        };
        let item = |(at, value)| Part { field: format!("{}[{at}]", list.field), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// This part and, where it is a `Sequence`, those in its list `name`, however deep, in order.
    pub(crate) fn flattened(&self, name: &str) -> Result<Vec<Part<'a>>, TokensError> {
        if self.is_null() {
            return Ok(Vec::new());
        }
        if self.kind()? != "Sequence" {
            return Ok(vec![self.clone()]);
        }
        let mut parts = Vec::new();
        for item in self.items(name)? {
            parts.extend(item.flattened(name)?);
        }
        Ok(parts)
    }

    /// The text here.
    pub(crate) fn text(&self, supported: &str) -> Result<&'a str, TokensError> {
        self.value.as_str().ok_or_else(|| self.unsupported(supported))
    }

    /// The one character here.
    pub(crate) fn character(&self) -> Result<char, TokensError> {
        let refuse = || self.unsupported("one character");
        let mut characters = self.value.as_str().ok_or_else(refuse)?.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(refuse()),
        }
    }

    /// A flag in a field, and what it is where there is none.
    pub(crate) fn flag(&self, name: &str, absent: bool) -> Result<bool, TokensError> {
        let flag = self.get(name);
        match flag.value {
            Value::Null => Ok(absent),
            Value::Bool(flag) => Ok(*flag),
            _ => Err(flag.unsupported("true or false")),
        }
    }

    /// A number in a field.
    pub(crate) fn number(&self, name: &str) -> Result<u32, TokensError> {
        let number = self.get(name);
        let value = number.value.as_u64().and_then(|value| u32::try_from(value).ok());
        value.ok_or_else(|| number.unsupported("a whole number below 2^32"))
    }

    /// The refusal of this part by its name.
    pub(crate) fn unsupported(&self, supported: &str) -> TokensError {
        TokensError::Unsupported {
            field: self.field.clone(),
            value: excerpt(&self.value.to_string()),
            supported: supported.to_owned(),
        }
    }

    /// The refusal of this part because its kind is none of `supported`.
    pub(crate) fn unknown_kind(&self, supported: &str) -> TokensError {
        self.get("type").unsupported(supported)
    }
}
