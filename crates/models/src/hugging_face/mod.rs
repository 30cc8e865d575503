//! `config.json` both ways, by a table of families. A model that a class of `transformers` computes is
//! written as that class; any other under our own name with the whole configuration in it, so that
//! foreign loaders refuse it by name instead of computing something else. A key that changes the
//! result is read or refused, never ignored; one that is not known is said.

mod eight_bits;
mod key_lists;
mod keys;
mod positions;
mod read;
mod rows;

use serde_json::{Map, Value, json};

use crate::published::keeps_names;
use crate::{Family, LanguageConfig, MlpKind, ModelError, Note, QkNorm, read_json};
pub use eight_bits::EightBits;
use key_lists::NOT_COMPUTED;
use keys::{canonical, table};
use rows::{Blocks, Flag, QkNorms, ROWS, Row};

type Result<T> = std::result::Result<T, ModelError>;

/// The class of models that no class of `transformers` computes.
const OWN_CLASS: &str = "StoaForCausalLM";

/// A configuration and what is to be said of how it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadConfig {
    /// The configuration.
    pub config: LanguageConfig,
    /// Family whose tensor names and arrangement the file's class has; `None` for our own class.
    pub stored_as: Family,
    /// What is said of weights that are stored in 8 bits.
    pub eight_bits: EightBits,
    /// What was taken as a default, left aside or decided.
    pub notes: Vec<Note>,
}

/// Text of `config.json` for a configuration whose weights are saved as [`save_model`] does.
///
/// [`save_model`]: crate::save_model
pub fn to_hugging_face(config: &LanguageConfig) -> String {
    text(published_class(config).map_or_else(|| own_keys(config), |(_, keys)| keys))
}

/// Text of `config.json` beside weights under the names of [`parameters`]: of a family's class only
/// where that has the same names.
///
/// [`parameters`]: crate::parameters()
pub fn to_hugging_face_as_named(config: &LanguageConfig) -> String {
    let same = published_class(config).filter(|(family, _)| keeps_names(*family, config));
    text(same.map_or_else(|| own_keys(config), |(_, keys)| keys))
}

/// The family whose class and tensor names a model is saved with; `None` for our own.
pub fn published_family(config: &LanguageConfig) -> Option<Family> {
    published_class(config).map(|(family, _)| family)
}

/// The configuration that the text of a `config.json` describes.
///
/// # Errors
/// [`ModelError::Json`] on malformed text, [`ModelError::Unsupported`] with the key that asks for
/// something else, [`ModelError::Config`] when sizes do not fit.
pub fn from_hugging_face(text: &str) -> Result<ReadConfig> {
    let mut file: Map<String, Value> = serde_json::from_value(read_json(text.as_bytes())?)?;
    let mut notes = Vec::new();
    let row = class(&file, &mut notes)?;
    let eight_bits = eight_bits::taken(&mut file)?;
    let Some(row) = row else {
        let language = file.remove("language").unwrap_or(Value::Null);
        let config: LanguageConfig = serde_json::from_value(language)?;
        config.validate()?;
        return Ok(ReadConfig { config, stored_as: Family::None, eight_bits, notes });
    };
    if let Some(Value::Object(inner)) = file.remove("text_config") {
        notes.push(Note::new(
            "config.json: `text_config`",
            "is what is read: the model is used for text alone",
        ));
        file = inner;
    }
    let config = read::language(row, &file, &mut notes)?;
    config.validate()?;
    Ok(ReadConfig { stored_as: config.family, config, eight_bits, notes })
}

/// The row of a file's class, `None` for our own.
fn class(file: &Map<String, Value>, notes: &mut Vec<Note>) -> Result<Option<&'static Row>> {
    let names = file.get("architectures").and_then(Value::as_array);
    let name = names.filter(|names| names.len() == 1).and_then(|names| names[0].as_str());
    let model_type = file.get("model_type").and_then(Value::as_str);
    if name == Some(OWN_CLASS) || (name.is_none() && model_type == Some("stoa")) {
        return Ok(None);
    }
    let by_type =
        ROWS.iter().find(|row| model_type.is_some_and(|given| row.model_types.contains(&given)));
    let by_class = ROWS.iter().find(|row| name.is_some_and(|name| row.classes.contains(&name)));
    let absent = file.get("architectures").is_none_or(|value| {
        value.is_null() || value.as_array().is_some_and(|names| names.is_empty())
    });
    match (by_class, by_type) {
        (Some(row), Some(other)) if row.family != other.family => {
            let text =
                format!("says {}, and `model_type` {}", row.classes[0], other.model_types[0]);
            notes.push(Note::new(
                "config.json: `architectures`",
                format!("{text}: `architectures` counts"),
            ));
            Ok(Some(row))
        }
        (Some(row), _) => Ok(Some(row)),
        (None, Some(row)) if absent => Ok(Some(row)),
        // The bare model of a family, as embedding models and some exports name it.
        (None, Some(row)) if name.is_some_and(|name| is_bare(row, name)) => Ok(Some(row)),
        _ => {
            let (key, value) = match (file.get("architectures"), file.get("model_type")) {
                (Some(value), _) if !absent => ("architectures", value.to_string()),
                (_, Some(value)) => ("model_type", value.to_string()),
                _ => ("architectures", "nothing".to_owned()),
            };
            let known: Vec<&str> = ROWS.iter().map(|row| row.classes[0]).collect();
            let known = format!("{}, {OWN_CLASS}", known.join(", "));
            let expected = match not_computed(name.or(model_type)) {
                Some(what) => format!("{what} are not computed, only {known}"),
                None => format!("one of {known}"),
            };
            Err(ModelError::Unsupported { key: key.to_owned(), value, expected })
        }
    }
}

/// What a class or model type computes that is known and not computed here.
fn not_computed(name: Option<&str>) -> Option<&'static str> {
    let name = name?;
    NOT_COMPUTED.iter().find(|(_, names)| names.contains(&name)).map(|(what, _)| *what)
}

/// `LlamaModel` beside `LlamaForCausalLM`.
fn is_bare(row: &Row, name: &str) -> bool {
    let stem = row.classes[0].trim_end_matches("ForCausalLM").trim_end_matches("LMHeadModel");
    name.strip_prefix(stem) == Some("Model")
}

/// The first class that computes a configuration, its own family's before others, with its keys.
fn published_class(config: &LanguageConfig) -> Option<(Family, Value)> {
    let own = ROWS.iter().filter(|row| row.family == config.family);
    let others = ROWS.iter().filter(|row| row.family != config.family);
    own.chain(others).find_map(|row| {
        let keys = written(row, config)?;
        let read = from_hugging_face(&keys.to_string()).ok()?.config;
        let same = LanguageConfig { family: config.family, ..read } == *config;
        same.then_some((row.family, keys))
    })
}

/// The keys of a class for a configuration, which need not fit it.
fn written(row: &Row, config: &LanguageConfig) -> Option<Value> {
    let mut keys = Map::new();
    keys.insert("architectures".into(), json!([row.classes[0]]));
    keys.insert("model_type".into(), json!(row.model_types[0]));
    for key in table(row).keys() {
        let flag = flag(row, config, key);
        let value = flag.map(Value::from).or_else(|| value(row, config, canonical(key)))?;
        if !value.is_null() || key == "sliding_window" {
            keys.insert(key.clone(), value);
        }
    }
    keys.insert("attention_dropout".into(), json!(0.0));
    keys.insert("torch_dtype".into(), json!("float32"));
    // The default of Phi-3 is a row that small vocabularies lack, and transformers fails on it.
    keys.insert("pad_token_id".into(), Value::Null);
    Some(Value::Object(keys))
}

/// A key that is true or false by what the configuration has.
fn flag(row: &Row, config: &LanguageConfig, key: &str) -> Option<bool> {
    let facts = &row.facts;
    for (fact, has) in [
        (facts.qkv_bias, config.biases.qkv),
        (facts.output_bias, config.biases.output),
        (facts.mlp_bias, config.biases.mlp),
    ] {
        if matches!(fact, Flag::Key(name) if name == key) {
            return Some(has);
        }
    }
    if matches!(facts.qk_norm, QkNorms::Where(name, _) if name == key) {
        return Some(config.qk_norm != QkNorm::None);
    }
    match facts.blocks {
        Blocks::Either(name, if_true, _) if name == key => Some(config.block == if_true),
        Blocks::Either(..) | Blocks::Always(_) | Blocks::Falcon => None,
    }
}

/// The value of a key; `None` where the class has no such value.
fn value(row: &Row, config: &LanguageConfig, key: &str) -> Option<Value> {
    let number = |x: Option<f32>| x.map_or(Value::Null, |x| json!(shortest(x)));
    let inverse = |x: f32| json!(tidy_number(1.0 / f64::from(x)));
    Some(match key {
        "vocab_size" => json!(config.vocab),
        "hidden_size" => json!(config.hidden),
        "num_hidden_layers" => json!(config.layers),
        "num_attention_heads" => json!(config.heads),
        "num_key_value_heads" => json!(config.kv_heads),
        "head_dim" => json!(config.head_dim),
        "intermediate_size" => json!(config.mlp.intermediate),
        "hidden_act" => json!(activation(config.mlp.kind)?),
        "max_position_embeddings" => json!(config.max_time),
        "rms_norm_eps" => json!(shortest(config.rms_eps)),
        "tie_word_embeddings" => json!(config.tied_head),
        "rope_theta" => json!(shortest(config.rope_theta)),
        // `transformers` 4 and most other loaders read it, 5 reads the next.
        "rope_scaling" => config.rope_scaling.as_ref().map_or(Value::Null, |s| json!(s)),
        "rope_parameters" => positions::parameters(config, row.family == Family::Gemma3),
        "rope_local_base_freq" => number(config.local_rope_theta),
        "partial_rotary_factor" => json!(positions::rotated(config)),
        "original_max_position_embeddings" => original_context(config),
        "sliding_window" => {
            config.sliding_window.as_ref().map_or(Value::Null, |sliding| json!(sliding.window))
        }
        "use_sliding_window" => json!(config.sliding_window.is_some()),
        "max_window_layers" => {
            let first = config.sliding_window.as_ref().and_then(|s| s.layers.iter().min());
            json!(first.copied().unwrap_or(config.layers))
        }
        "layer_types" => {
            config.sliding_window.as_ref().map_or(Value::Null, |_| layer_types(config))
        }
        "sliding_window_pattern" => Value::Null,
        "no_rope_layers" => (0..config.layers)
            .map(|layer| u8::from(config.rotates(layer)))
            .collect::<Vec<_>>()
            .into(),
        "no_rope_layer_interval" => Value::Null,
        "final_logit_softcapping" => number(config.logit_softcap),
        "attn_logit_softcapping" => number(config.score_softcap),
        "query_pre_attn_scalar" => config
            .attention_scale
            .map_or(json!(config.head_dim), |x| whole(tidy_number(f64::from(x).powi(-2)))),
        "attention_multiplier" => {
            json!(config.attention_scale.map_or((config.head_dim as f64).powf(-0.5), shortest))
        }
        "embedding_multiplier" => json!(config.embedding_scale.map_or(1.0, shortest)),
        "residual_multiplier" => json!(config.residual_scale.map_or(1.0, shortest)),
        "logits_scaling" => config.logit_scale.map_or(json!(1.0), inverse),
        "logit_scale" => json!(config.logit_scale.map_or(1.0, shortest)),
        "multi_query" => json!(config.kv_heads == 1),
        "parallel_attn" => json!(config.block != crate::Block::PreNorm),
        // Where groups of heads or two norms need it.
        "new_decoder_architecture" => json!(
            config.block == crate::Block::ParallelTwoNorms
                || (config.kv_heads != 1 && config.kv_heads != config.heads)
        ),
        "num_ln_in_parallel_attn" => match config.block {
            crate::Block::ParallelTwoNorms => json!(2),
            crate::Block::Parallel => json!(1),
            crate::Block::PreNorm | crate::Block::PostNorm | crate::Block::PreAndPostNorm => {
                Value::Null
            }
        },
        _ => return None,
    })
}

/// The context of pretraining, where positions are stretched beyond it.
fn original_context(config: &LanguageConfig) -> Value {
    let scaling = config.rope_scaling.as_ref().map(|scaling| json!(scaling));
    let original = scaling.and_then(|s| s.get("original_max_position_embeddings").cloned());
    original.unwrap_or(json!(config.max_time))
}

fn layer_types(config: &LanguageConfig) -> Value {
    let kind = |layer| {
        let windowed = config.window(layer).is_some();
        if windowed { "sliding_attention" } else { "full_attention" }
    };
    (0..config.layers).map(kind).collect::<Vec<_>>().into()
}

fn own_keys(config: &LanguageConfig) -> Value {
    json!({
        "architectures": [OWN_CLASS],
        "model_type": "stoa",
        "vocab_size": config.vocab,
        "language": config,
    })
}

fn text(value: Value) -> String {
    let mut text = serde_json::to_string_pretty(&value).expect("a JSON value is always written");
    text.push('\n');
    text
}

/// Name of a pointwise function in `ACT2FN` of transformers.
fn activation(kind: MlpKind) -> Option<&'static str> {
    Some(match kind {
        MlpKind::Swiglu | MlpKind::Silu => "silu",
        MlpKind::Geglu => "gelu_pytorch_tanh",
        MlpKind::Gelu => "gelu_new",
        MlpKind::GegluExact | MlpKind::GeluExact => "gelu",
        MlpKind::Reglu | MlpKind::Relu => "relu",
        // Families without a gate know it by this name.
        MlpKind::ReluSquared => "relu2",
    })
}

/// An `f32` as the shortest decimal that reads back as it: 1e-6, not 9.999999974752427e-7.
fn shortest(x: f32) -> f64 {
    x.to_string().parse().expect("a number's own text")
}

/// A number without the digits that rounding to `f32` has left: 24, not 23.99999989.
fn tidy_number(x: f64) -> f64 {
    let rounded = (x * 1e4).round() / 1e4;
    if (rounded / x - 1.0).abs() < 1e-6 { rounded } else { x }
}

/// A number without a point where it needs none: transformers refuses 24.0 for a whole number.
fn whole(x: f64) -> Value {
    let whole = x.fract() == 0.0 && (0.0..9e15).contains(&x);
    if whole { json!(x as u64) } else { json!(x) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mlp, RopeScaling, SlidingWindow};

    fn read(text: &str) -> LanguageConfig {
        LanguageConfig { family: Family::None, ..from_hugging_face(text).unwrap().config }
    }

    fn there_and_back(config: &LanguageConfig) -> String {
        let text = to_hugging_face(config);
        assert_eq!(read(&text), *config, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        value["architectures"][0].as_str().unwrap().to_owned()
    }

    #[test]
    fn classes_follow_what_the_model_has() {
        let qwen3 = LanguageConfig::from_depth(3, 500);
        assert_eq!(there_and_back(&qwen3), "Qwen3ForCausalLM");
        let windowed = LanguageConfig {
            sliding_window: Some(SlidingWindow { window: 16, layers: vec![0, 2] }),
            ..qwen3.clone()
        };
        assert_eq!(there_and_back(&windowed), "Qwen3ForCausalLM");
        let llama = LanguageConfig { qk_norm: QkNorm::None, tied_head: true, ..qwen3.clone() };
        assert_eq!(there_and_back(&llama), "LlamaForCausalLM");
        for own in [
            LanguageConfig { mlp: Mlp::relu_squared(99), ..qwen3.clone() },
            LanguageConfig { norm_weights: false, ..qwen3.clone() },
            LanguageConfig { logit_softcap: Some(15.0), ..qwen3.clone() },
        ] {
            assert_eq!(there_and_back(&own), OWN_CLASS);
        }
    }

    /// The keys of Llama 3.1 and later, as `transformers` 4 wrote them and as 5 does.
    #[test]
    fn scaled_positions_read_and_write() {
        let plain = LanguageConfig { qk_norm: QkNorm::None, ..LanguageConfig::from_depth(2, 100) };
        let mut keys: Map<String, Value> = serde_json::from_str(&to_hugging_face(&plain)).unwrap();
        keys.remove("rope_parameters");
        let four = json!({
            "factor": 32, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3",
        });
        keys.insert("rope_scaling".into(), four);
        let scaled = read(&Value::Object(keys).to_string());
        let scaling = RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        assert_eq!(scaled, LanguageConfig { rope_scaling: Some(scaling), ..plain.clone() });
        assert_eq!(there_and_back(&scaled), "LlamaForCausalLM");
        let linear = RopeScaling::Linear { factor: 2.0 };
        there_and_back(&LanguageConfig { rope_scaling: Some(linear), ..plain });
    }

    #[test]
    fn what_is_not_supported_is_refused_by_key() {
        let text = to_hugging_face(&LanguageConfig {
            qk_norm: QkNorm::None,
            ..LanguageConfig::from_depth(2, 100)
        });
        let refused = |key: &str, value: Value| {
            let mut keys: Map<String, Value> = serde_json::from_str(&text).unwrap();
            keys.insert(key.into(), value);
            let error = from_hugging_face(&Value::Object(keys).to_string()).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(key), "{message}");
        };
        refused("architectures", json!(["MambaForCausalLM"]));
        refused("hidden_act", json!("mish"));
        refused("attention_bias", json!("yes"));
        refused("use_sliding_window", json!(true));
        refused("rope_scaling", json!({"rope_type": "spiral", "factor": 2.0}));
        refused("rope_parameters", json!({"rope_type": "llama3", "rope_theta": 1e4}));
        let yarn = json!({
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096,
            "mscale": 2.0,
        });
        refused("rope_parameters", yarn);
        refused("partial_rotary_factor", json!(0.5));
        refused("rope_scaling", json!({"rope_type": "linear", "factor": -2.0}));
        refused("hidden_size", json!(-1));
        refused("vocab_size", json!("many"));
        refused("vocab_size", json!(-1.5));
        assert!(matches!(from_hugging_face("{"), Err(ModelError::Json(_))));
        assert!(matches!(from_hugging_face("[]"), Err(ModelError::Json(_))));
    }
}
