//! JSON that keeps the order of its keys, since templates print what they are given.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction or exponent.
    Integer(i128),
    /// Any other number, and integers beyond 64 bits.
    Float(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, its keys in the order given.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The same value with `change` applied to every string in it, keys included.
    pub(crate) fn map_strings(&self, change: &mut dyn FnMut(&str) -> String) -> Json {
        match self {
            Json::String(s) => Json::String(change(s)),
            Json::Array(items) => {
                Json::Array(items.iter().map(|item| item.map_strings(change)).collect())
            }
            Json::Object(fields) => {
                let field =
                    |(key, value): &(String, Json)| (change(key), value.map_strings(change));
                Json::Object(fields.iter().map(field).collect())
            }
            other => other.clone(),
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::String(text.to_owned())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Integer(value) => serializer.serialize_i128(*value),
            Json::Float(value) => serializer.serialize_f64(*value),
            Json::String(value) => serializer.serialize_str(value),
            Json::Array(items) => serializer.collect_seq(items),
            Json::Object(fields) => serializer.collect_map(fields.iter().map(|(k, v)| (k, v))),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        while let Some((key, value)) = access.next_entry::<String, Json>()? {
            // A repeated key takes the last value, as in Python.
            match fields.iter_mut().find(|(k, _)| *k == key) {
                Some(field) => field.1 = value,
                None => fields.push((key, value)),
            }
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_kinds() {
        let text = r#"{"z":1,"a":[true,null,-2.5,"é"],"m":{},"z2":18446744073709551615}"#;
        let value: Json = serde_json::from_str(text).unwrap();
        let Json::Object(fields) = &value else { panic!("{value:?}") };
        let keys: Vec<_> = fields.iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(keys, ["z", "a", "m", "z2"]);
        assert_eq!(fields[3].1, Json::Integer(18_446_744_073_709_551_615));
        let back = serde_json::to_string(&value).unwrap();
        assert!(back.starts_with(r#"{"z":1,"a":[true,null,-2.5,"é"],"m":{},"#), "{back}");
    }

    #[test]
    fn a_repeated_key_takes_the_last_value() {
        let value: Json = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        let one = |k: &str, n| (k.to_owned(), Json::Integer(n));
        assert_eq!(value, Json::Object(vec![one("a", 3), one("b", 2)]));
    }
}
