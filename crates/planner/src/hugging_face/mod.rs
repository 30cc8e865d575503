//! Shapes from a Hugging Face `config.json`: sizes and the exact number of parameters of every family in
//! `data/families.toml`, or a refusal that names what is not understood. What the file does not say and
//! its class decides is listed, and so are keys that were not read. Reads sizes only; never weights.

mod count;
mod family;
mod fields;
mod shape;

use serde_json::{Map, Value};

pub use family::{FAMILY_DATA, Families};

use crate::error::{PlanError, Result};
use crate::model::ModelShape;
use crate::plan::Assumption;
use fields::Fields;

/// A model read from a file.
#[derive(Clone, Debug)]
pub struct ReadModel {
    /// Its shape, with its count.
    pub shape: ModelShape,
    /// What the file left to its class, and what of it was not read.
    pub assumptions: Vec<Assumption>,
}

/// Reads a `config.json`.
///
/// # Errors
/// When it is no JSON object, of a family that is not understood, or without a size that has no default.
pub fn read(text: &str, place: &str) -> Result<ReadModel> {
    read_as(&Families::published(), text, place)
}

/// The same by a table of families that was read before.
///
/// # Errors
/// As [`read`].
pub fn read_as(families: &Families, text: &str, place: &str) -> Result<ReadModel> {
    let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
    let text = text.trim_start_matches('\u{feff}');
    let value: Value = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
    let whole = value.as_object().ok_or_else(|| malformed("is no JSON object".to_owned()))?;
    let inner = ["text_config", "llm_config", "language_config"]
        .into_iter()
        .find_map(|key| whole.get(key).and_then(Value::as_object).map(|inner| (key, inner)));
    let outer = model_type(families, whole);
    if let Some(outer) = &outer {
        families.plannable(outer, place)?;
    }
    // The language model inside another says its type, or the other one implies it; older files of such
    // models hold its fields themselves.
    let within = outer.as_deref().and_then(|kind| families.inner(kind)).map(str::to_owned);
    let (config, kind) = match inner {
        Some((_, inner)) => (inner, model_type(families, inner).or(within)),
        None => (whole, within.or(outer)),
    };
    let kind = kind.ok_or_else(|| {
        let key = inner.map_or_else(String::new, |(key, _)| format!("{key}."));
        malformed(format!("`{key}model_type` is missing; add it, for example \"llama\""))
    })?;
    let family = families.find(&kind, place)?;
    let fields = Fields::new(config, place);
    if inner.is_some() {
        fields.assume(
            "config.json: the language model alone, without what sees or hears".to_owned(),
            "config.json : le modèle de langue seul, sans ce qui voit ou entend".to_owned(),
        );
    }
    let shape = shape::shape(&fields, family, &kind)?;
    Ok(ReadModel { shape, assumptions: fields.finish() })
}

/// The type of a model by its own word, or by the class it names.
fn model_type(families: &Families, config: &Map<String, Value>) -> Option<String> {
    if let Some(kind) = config.get("model_type").and_then(Value::as_str) {
        return Some(kind.to_owned());
    }
    let class = config.get("architectures")?.as_array()?.first()?.as_str()?;
    families.of_architecture(class).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(read: &ReadModel) -> Vec<String> {
        read.assumptions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_class_decides_is_listed_and_so_is_what_was_not_read() {
        let text = r#"{"model_type":"mistral","num_hidden_layers":4,"hidden_size":256,
            "intermediate_size":512,"num_attention_heads":8,"vocab_size":1000,"head_dim":32,
            "sliding_window":null,"tie_word_embeddings":false,"rope_theta":1e4,"extra_wings":2}"#;
        let read = read(text, "c.json").unwrap();
        assert_eq!(read.shape.kv_heads, 8);
        assert_eq!(
            said(&read),
            [
                "config.json: `num_key_value_heads` not given: 8, the default of its class",
                "config.json: not read: `extra_wings`",
            ]
        );
    }

    #[test]
    fn the_language_model_is_found_inside_and_by_its_class() {
        let inner = r#""num_hidden_layers":4,"hidden_size":256,"intermediate_size":512,
            "num_attention_heads":8,"vocab_size":1000"#;
        let nested = format!("{{\"model_type\":\"gemma3\",\"text_config\":{{{inner}}}}}");
        let read_nested = read(&nested, "x").unwrap();
        assert_eq!((read_nested.shape.head_dim, read_nested.shape.tied), (256, true));
        assert!(said(&read_nested)[0].contains("language model alone"), "{:?}", said(&read_nested));
        let by_class = format!("{{\"architectures\":[\"LlamaForCausalLM\"],{inner}}}");
        assert_eq!(read(&by_class, "x").unwrap().shape.name, "llama");
    }

    #[test]
    fn what_is_missing_or_not_understood_is_named() {
        let sizes = r#""num_hidden_layers":4,"hidden_size":256,"intermediate_size":512,
            "num_attention_heads":8,"vocab_size":1000"#;
        for (text, word) in [
            ("[1]".to_owned(), "no JSON object"),
            ("{".to_owned(), "EOF"),
            (format!("{{{sizes}}}"), "`model_type` is missing"),
            ("{\"model_type\":\"llama\",\"hidden_size\":64}".to_owned(), "num_hidden_layers"),
            (format!("{{\"model_type\":\"t5\",{sizes}}}"), "not understood: it has an encoder"),
            (format!("{{\"model_type\":\"jamba\",{sizes}}}"), "state-space"),
            (
                format!(
                    "{{\"model_type\":\"mllama\",\"text_config\":{{\"model_type\":\"llama\",{sizes}}}}}"
                ),
                "attention to pictures",
            ),
            (format!("{{\"model_type\":\"lama\",{sizes}}}"), "nearest: llama"),
            (format!("{{\"model_type\":\"mpt\",\"no_bias\":false,{sizes}}}"), "`no_bias` is false"),
            (
                format!("{{\"model_type\":\"llama\",\"attention_bias\":\"no\",{sizes}}}"),
                "attention_bias",
            ),
            (
                format!("{{\"model_type\":\"llama\",\"num_key_value_heads\":\"8\",{sizes}}}"),
                "num_key_value_heads",
            ),
            (
                format!("{{\"model_type\":\"llama\",\"num_key_value_heads\":3,{sizes}}}"),
                "must divide",
            ),
            (format!("{{\"model_type\":\"mixtral\",{sizes}}}"), "num_local_experts"),
        ] {
            let error = read(&text, "c.json").unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
