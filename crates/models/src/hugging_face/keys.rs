//! Keys of a `config.json` over the defaults of a family: spellings, contradictions, and what becomes of
//! keys that the family does not read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::key_lists::{HARMLESS, SPELLINGS, UNSUPPORTED};
use super::rows::{ROWS, Row};
use crate::{ModelError, Note};

type Result<T> = std::result::Result<T, ModelError>;

/// The spelling under which a key is read.
pub(super) fn canonical(key: &str) -> &str {
    SPELLINGS.iter().find(|all| all.contains(&key)).map_or(key, |all| all[0])
}

/// Keys of a family's table.
pub(super) fn table(row: &Row) -> Map<String, Value> {
    serde_json::from_str(row.keys).expect("the table is written as JSON objects")
}

/// The keys that a family reads, each with its value.
pub(super) struct Keys {
    /// By canonical spelling: spelling in the file or the table, value, and whether the file has it.
    values: BTreeMap<String, (String, Value, bool)>,
}

impl Keys {
    /// The keys of a file over the defaults of a family.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] with a key that changes the result and is not read.
    pub fn new(row: &Row, file: &Map<String, Value>, notes: &mut Vec<Note>) -> Result<Self> {
        let own = table(row);
        let of_table = |(key, value): (&String, &Value)| {
            (canonical(key).to_owned(), (key.clone(), value.clone(), false))
        };
        let mut values: BTreeMap<_, _> = own.iter().map(of_table).collect();
        // The family's own spelling last, so that it decides.
        let (own_keys, others): (Vec<_>, Vec<_>) =
            file.iter().partition(|(key, _)| own.contains_key(*key));
        for (key, value) in others.into_iter().chain(own_keys) {
            let name = canonical(key);
            let Some((spelling, set, from_file)) = values.get_mut(name) else {
                unread(key, name, value, notes)?;
                continue;
            };
            // A null where a number belongs says nothing.
            if value.is_null() && !set.is_null() && !nullable(name) && !*from_file {
                continue;
            }
            if *from_file && set != value {
                notes.push(Note::new(
                    format!("config.json: `{spelling}`"),
                    format!("is {set}, and `{key}` is {value}: `{key}` counts"),
                ));
            }
            (*spelling, *set, *from_file) = (key.clone(), value.clone(), true);
        }
        for size in SIZES {
            if let Some((spelling, value, false)) = values.get(*size) {
                let text = format!("is not given; taken as {value}, as transformers does");
                notes.push(Note::new(format!("config.json: `{spelling}`"), text));
            }
        }
        Ok(Keys { values })
    }

    /// A key of the family, unless it is null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).map(|(_, value, _)| value).filter(|value| !value.is_null())
    }

    pub fn size(&self, key: &str) -> Result<usize> {
        let value = self.get(key).and_then(whole);
        value.ok_or_else(|| self.unsupported(key, "a whole number is needed"))
    }

    /// A size that may be null.
    pub fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        if self.get(key).is_some() { self.size(key).map(Some) } else { Ok(None) }
    }

    pub fn number(&self, key: &str) -> Result<f64> {
        let value = self.get(key).and_then(Value::as_f64);
        value.ok_or_else(|| self.unsupported(key, "a number is needed"))
    }

    /// A number that may be null.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        if self.get(key).is_some() { self.number(key).map(Some) } else { Ok(None) }
    }

    /// True or false; false where null or not of the family.
    pub fn flag(&self, key: &str) -> Result<bool> {
        self.get(key).map_or(Ok(false), |value| {
            value.as_bool().ok_or_else(|| self.unsupported(key, "true or false is needed"))
        })
    }

    pub fn unsupported(&self, key: &str, expected: impl Into<String>) -> ModelError {
        let (spelling, value) = self
            .values
            .get(key)
            .map_or((key, "nothing".into()), |(spelling, value, _)| (spelling, value.to_string()));
        ModelError::Unsupported { key: spelling.to_owned(), value, expected: expected.into() }
    }
}

/// Sizes whose absence is worth a word.
const SIZES: &[&str] = &[
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
];

/// Whether null is a value of its own, other than the default.
fn nullable(key: &str) -> bool {
    matches!(
        key,
        "sliding_window"
            | "num_key_value_heads"
            | "head_dim"
            | "final_logit_softcapping"
            | "attn_logit_softcapping"
    )
}

/// A whole number, also where it is written 32.0.
fn whole(value: &Value) -> Option<usize> {
    let float = || value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..9e15).contains(x));
    let whole = value.as_u64().or_else(|| float().map(|x| x as u64))?;
    usize::try_from(whole).ok()
}

/// A key that the family does not read: refused where it changes the result, said where it is not known.
fn unread(key: &str, name: &str, value: &Value, notes: &mut Vec<Note>) -> Result<()> {
    let neutral = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    };
    if neutral || HARMLESS.contains(&key) {
        return Ok(());
    }
    let refused = |expected: String| {
        Err(ModelError::Unsupported { key: key.to_owned(), value: value.to_string(), expected })
    };
    if let Some((_, harmless)) = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name) {
        if harmless.contains(&value.to_string().as_str()) {
            return Ok(());
        }
        return refused(harmless.first().map_or("no such key".into(), |one| (*one).to_owned()));
    }
    let of_another = |row: &Row| table(row).keys().any(|known| canonical(known) == name);
    if ROWS.iter().any(of_another) && !NEUTRAL.contains(&(name, value.to_string().as_str())) {
        return refused("models of this class do not have it".into());
    }
    if !ROWS.iter().any(of_another) {
        let text = "is not known, and was left aside";
        notes.push(Note::new(format!("config.json: `{key}`"), text));
    }
    Ok(())
}

/// Keys of other families, with values that change nothing.
const NEUTRAL: &[(&str, &str)] = &[
    ("partial_rotary_factor", "1.0"),
    ("partial_rotary_factor", "1"),
    ("embedding_multiplier", "1.0"),
    ("residual_multiplier", "1.0"),
    ("logits_scaling", "1.0"),
    ("logit_scale", "1.0"),
    ("parallel_attn", "true"),
];
