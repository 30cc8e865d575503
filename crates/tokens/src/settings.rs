//! What a tokenizer file holds beside vocabulary, merges and added tokens, as data: kept so that
//! it can be written back as it was read.

use serde_json::{Value, json};

use crate::Pattern;

/// The parts of a file in the form of a `tokenizer.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    /// Saved by a training script; has no effect here.
    pub(crate) truncation: Value,
    /// Saved by a training script; has no effect here.
    pub(crate) padding: Value,
    pub(crate) normalizer: Value,
    pub(crate) pre_tokenizer: Value,
    pub(crate) post_processor: Value,
    pub(crate) decoder: Value,
    pub(crate) model: ModelSettings,
    /// What else the source holds that has no effect here, in a few words each.
    pub(crate) notes: Vec<String>,
}

/// The fields of a BPE model.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub(crate) struct ModelSettings {
    /// The share of merges left out at random in training elsewhere; has no effect here.
    pub(crate) dropout: Option<f64>,
    /// The token for what has none.
    pub(crate) unk_token: Option<String>,
    /// Stands before every part of a word but the first.
    pub(crate) continuing_subword_prefix: Option<String>,
    /// Stands after the last part of a word.
    pub(crate) end_of_word_suffix: Option<String>,
    /// Whether neighbours that have no token become one unknown token.
    #[serde(deserialize_with = "null_is_no")]
    pub(crate) fuse_unk: bool,
    /// Whether characters without a token become tokens `<0xNN>` of their bytes.
    #[serde(deserialize_with = "null_is_no")]
    pub(crate) byte_fallback: bool,
    /// Whether a piece that is a token is that token, whatever merging would give.
    #[serde(deserialize_with = "null_is_no")]
    pub(crate) ignore_merges: bool,
}

/// A flag that may be null.
fn null_is_no<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let flag: Option<bool> = serde::Deserialize::deserialize(deserializer)?;
    Ok(flag.unwrap_or(false))
}

impl Settings {
    /// Byte-level pieces cut by a published pattern, nothing else.
    pub(crate) fn byte_level(pattern: Pattern) -> Self {
        let pre_tokenizer = match pattern {
            Pattern::Gpt2 => byte_level(false, true, true),
            _ => split_then_bytes(&[pattern.regex()]),
        };
        Self {
            pre_tokenizer,
            post_processor: byte_level(true, false, true),
            decoder: byte_level(true, true, true),
            ..Self::default()
        }
    }

    /// What the file asks for that has no effect here, each in a few words.
    pub(crate) fn left_aside(&self) -> Vec<String> {
        let mut left = self.notes.clone();
        if !self.truncation.is_null() {
            left.push(format!("truncation ({})", brief(&self.truncation)));
        }
        if !self.padding.is_null() {
            left.push(format!("padding ({})", brief(&self.padding)));
        }
        if let Some(dropout) = self.model.dropout.filter(|&dropout| dropout != 0.0) {
            left.push(format!("model.dropout ({dropout})"));
        }
        left
    }
}

/// A value of a file in a message.
fn brief(value: &Value) -> String {
    let length = ["max_length", "strategy"].iter().find_map(|&name| {
        let value = &value[name];
        (!value.is_null()).then(|| format!("{name} {value}"))
    });
    crate::error::excerpt(&length.unwrap_or_else(|| value.to_string()))
}

/// A `ByteLevel` part, which serves as pre-tokeniser, post-processor and decoder.
pub(crate) fn byte_level(add_prefix_space: bool, trim_offsets: bool, use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": trim_offsets,
        "use_regex": use_regex,
    })
}

/// A pre-tokeniser that cuts at the matches of expressions, one after the other, then spells
/// bytes.
pub(crate) fn split_then_bytes(expressions: &[&str]) -> Value {
    let split = |expression: &&str| {
        json!({
            "type": "Split",
            "pattern": {"Regex": expression},
            "behavior": "Isolated",
            "invert": false,
        })
    };
    let level = byte_level(false, true, false);
    let steps: Vec<_> = expressions.iter().map(split).chain([level]).collect();
    json!({"type": "Sequence", "pretokenizers": steps})
}

/// A post-processor that puts special tokens, by name and id, around a text.
pub(crate) fn template(prefix: &[(String, u32)], suffix: &[(String, u32)]) -> Value {
    let special = |type_id: u32| move |(name, _): &(String, u32)| json!({"SpecialToken": {"id": name, "type_id": type_id}});
    let around = |name: &str, type_id: u32| -> Vec<Value> {
        let before = prefix.iter().map(special(type_id));
        let text = json!({"Sequence": {"id": name, "type_id": type_id}});
        before.chain([text]).chain(suffix.iter().map(special(type_id))).collect()
    };
    let named = |(name, id): &(String, u32)| {
        (name.clone(), json!({"id": name, "ids": [id], "tokens": [name]}))
    };
    let special_tokens: serde_json::Map<_, _> = prefix.iter().chain(suffix).map(named).collect();
    let pair = [around("A", 0), around("B", 1)].concat();
    json!({
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": pair,
        "special_tokens": special_tokens,
    })
}
