//! `config.json` both ways. A model that a class of `transformers` computes is written as that
//! class (`LlamaForCausalLM`, `Qwen3ForCausalLM`); any other under our own name with the whole
//! configuration in it, so that foreign loaders refuse it by name instead of computing something
//! else. What is read and not supported is refused, never ignored.

use serde_json::{Map, Value, json};

use crate::{LanguageConfig, Mlp, ModelError, QkNorm, RopeScaling, SlidingWindow};

type Result<T> = std::result::Result<T, ModelError>;

/// The class of models that no class of `transformers` computes.
const OWN_CLASS: &str = "StoaForCausalLM";

/// Text of `config.json` for a configuration.
pub fn to_hugging_face(config: &LanguageConfig) -> String {
    let classes = [shared_keys(config, "LlamaForCausalLM", "llama"), qwen3_keys(config)];
    let computes = |value: &Value| {
        from_hugging_face(&value.to_string())
            .is_ok_and(|read| LanguageConfig { family: config.family, ..read } == *config)
    };
    let own = json!({
        "architectures": [OWN_CLASS],
        "model_type": "stoa",
        "vocab_size": config.vocab,
        "language": config,
    });
    let value = classes.into_iter().find(computes).unwrap_or(own);
    let mut text = serde_json::to_string_pretty(&value).expect("a JSON value is always written");
    text.push('\n');
    text
}

/// The configuration that the text of a `config.json` describes.
///
/// # Errors
/// [`ModelError::Json`] on malformed text, [`ModelError::Unsupported`] with the key that asks for
/// something else, [`ModelError::Config`] when sizes do not fit.
pub fn from_hugging_face(text: &str) -> Result<LanguageConfig> {
    let keys: Map<String, Value> = serde_json::from_str(text)?;
    let file = Keys { keys: &keys };
    let class = file.class()?;
    let config = match class {
        Class::Own => serde_json::from_value(file.required("language")?.clone())?,
        Class::Llama => file.language(false)?,
        Class::Qwen3 => file.language(true)?,
    };
    config.validate()?;
    Ok(config)
}

fn shared_keys(config: &LanguageConfig, class: &str, model_type: &str) -> Value {
    let mut value = json!({
        "architectures": [class],
        "model_type": model_type,
        "vocab_size": config.vocab,
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.mlp.intermediate,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_time,
        "rms_norm_eps": shortest(config.rms_eps),
        // `transformers` 4 and most other loaders read the first, 5 the second.
        "rope_theta": shortest(config.rope_theta),
        "rope_parameters": rope_parameters(config),
        "attention_bias": false,
        "attention_dropout": 0.0,
        "mlp_bias": false,
        "tie_word_embeddings": config.tied_head,
        "torch_dtype": "float32",
    });
    if let Some(scaling) = &config.rope_scaling {
        value["rope_scaling"] = json!(scaling);
    }
    value
}

/// Rotary positions as `transformers` 5 names them.
fn rope_parameters(config: &LanguageConfig) -> Value {
    let mut keys =
        config.rope_scaling.as_ref().map_or(json!({ "rope_type": "default" }), |s| json!(s));
    keys["rope_theta"] = json!(shortest(config.rope_theta));
    keys
}

fn qwen3_keys(config: &LanguageConfig) -> Value {
    let mut value = shared_keys(config, "Qwen3ForCausalLM", "qwen3");
    let keys = value.as_object_mut().expect("made as an object");
    keys.remove("mlp_bias");
    if let Some(SlidingWindow { window, layers }) = &config.sliding_window {
        let kind = |layer| {
            if layers.contains(&layer) { "sliding_attention" } else { "full_attention" }
        };
        let kinds: Vec<&str> = (0..config.layers).map(kind).collect();
        keys.insert("use_sliding_window".into(), json!(true));
        keys.insert("sliding_window".into(), json!(window));
        keys.insert("layer_types".into(), json!(kinds));
        // Only a default for `layer_types`, where loaders do not know those.
        let first = layers.iter().min().copied().unwrap_or(config.layers);
        keys.insert("max_window_layers".into(), json!(first));
    }
    value
}

/// An `f32` as the shortest decimal that reads back as it: 1e-6, not 9.999999974752427e-7.
fn shortest(x: f32) -> f64 {
    x.to_string().parse().expect("a number's own text")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Own,
    Llama,
    Qwen3,
}

/// The keys of a `config.json`.
struct Keys<'a> {
    keys: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn class(&self) -> Result<Class> {
        let name = match self.get("architectures") {
            Some(Value::Array(names)) if names.len() == 1 => names[0].as_str(),
            _ => None,
        };
        match name {
            Some(OWN_CLASS) => Ok(Class::Own),
            Some("LlamaForCausalLM") => Ok(Class::Llama),
            Some("Qwen3ForCausalLM") => Ok(Class::Qwen3),
            _ => Err(self.unsupported(
                "architectures",
                format!("[\"LlamaForCausalLM\"], [\"Qwen3ForCausalLM\"] or [\"{OWN_CLASS}\"]"),
            )),
        }
    }

    fn language(&self, qwen3: bool) -> Result<LanguageConfig> {
        self.must_be_absent_or("hidden_act", &[json!("silu")])?;
        self.must_be_absent_or("attention_bias", &[json!(false)])?;
        self.must_be_absent_or("mlp_bias", &[json!(false)])?;
        self.must_be_absent_or("pretraining_tp", &[json!(1)])?;
        self.must_be_absent_or("quantization_config", &[])?;
        let (hidden, heads) = (self.size("hidden_size")?, self.size("num_attention_heads")?);
        let layers = self.size("num_hidden_layers")?;
        // Defaults are those of the configuration classes of transformers 5.23.
        let kv_heads = self.size_or("num_key_value_heads", if qwen3 { 32 } else { heads })?;
        let default_head_dim = if qwen3 { 128 } else { hidden / heads.max(1) };
        Ok(LanguageConfig {
            vocab: self.size("vocab_size")?,
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim: self.size_or("head_dim", default_head_dim)?,
            mlp: Mlp::swiglu(self.size("intermediate_size")?),
            qk_norm: if qwen3 { QkNorm::PerHead } else { QkNorm::None },
            rope_theta: self.rope_theta()?,
            rope_scaling: self.rope_scaling()?,
            rms_eps: self.number_or("rms_norm_eps", 1e-6)? as f32,
            tied_head: self.flag_or("tie_word_embeddings", false)?,
            sliding_window: if qwen3 { self.sliding_window(layers)? } else { None },
            max_time: self.size_or("max_position_embeddings", if qwen3 { 32_768 } else { 2048 })?,
            ..LanguageConfig::from_depth(1, 1)
        })
    }

    fn rope_theta(&self) -> Result<f32> {
        let top = self.number_or("rope_theta", 10_000.0)?;
        let Some(parameters) = self.get("rope_parameters") else { return Ok(top as f32) };
        match parameters.get("rope_theta") {
            None => Ok(top as f32),
            Some(theta) => theta
                .as_f64()
                .map(|theta| theta as f32)
                .ok_or_else(|| self.unsupported("rope_parameters", "a number as rope_theta")),
        }
    }

    /// What `rope_parameters`, or `rope_scaling` of `transformers` 4, say of stretched positions.
    fn rope_scaling(&self) -> Result<Option<RopeScaling>> {
        for key in ["rope_parameters", "rope_scaling"] {
            let Some(given) = self.get(key) else { continue };
            let refused = |expected: &str| self.unsupported(key, expected);
            let mut keys = given.as_object().ok_or_else(|| refused("an object"))?.clone();
            keys.remove("rope_theta");
            if keys.remove("partial_rotary_factor").is_some_and(|factor| factor != json!(1.0)) {
                return Err(refused("rotation of whole heads"));
            }
            // An older name of the same key.
            if let Some(kind) = keys.remove("type") {
                keys.insert("rope_type".to_owned(), kind);
            }
            if keys.get("rope_type").is_none_or(|kind| kind == "default") {
                continue;
            }
            let scaling = serde_json::from_value(Value::Object(keys));
            return scaling.map(Some).map_err(|error| {
                refused(&format!("scaling of kind linear, llama3 or yarn ({error})"))
            });
        }
        Ok(None)
    }

    fn sliding_window(&self, layers: usize) -> Result<Option<SlidingWindow>> {
        if !self.flag_or("use_sliding_window", false)? || self.get("sliding_window").is_none() {
            return Ok(None);
        }
        let window = self.size("sliding_window")?;
        let windowed = match self.get("layer_types") {
            None => (self.size_or("max_window_layers", 28)?.min(layers)..layers).collect(),
            Some(Value::Array(kinds)) if kinds.len() == layers => {
                let mut windowed = Vec::new();
                for (layer, kind) in kinds.iter().enumerate() {
                    match kind.as_str() {
                        Some("sliding_attention") => windowed.push(layer),
                        Some("full_attention") => {}
                        _ => return Err(self.unsupported("layer_types", LAYER_TYPES)),
                    }
                }
                windowed
            }
            Some(_) => return Err(self.unsupported("layer_types", LAYER_TYPES)),
        };
        let any = !windowed.is_empty();
        Ok(any.then_some(SlidingWindow { window, layers: windowed }))
    }

    /// A key, unless it is absent or null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    fn required(&self, key: &str) -> Result<&Value> {
        self.get(key).ok_or_else(|| self.unsupported(key, "this key is needed"))
    }

    fn size(&self, key: &str) -> Result<usize> {
        let value = self.required(key)?.as_u64().and_then(|n| usize::try_from(n).ok());
        value.ok_or_else(|| self.unsupported(key, "a whole number"))
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        self.get(key).map_or(Ok(default), |value| {
            value.as_f64().ok_or_else(|| self.unsupported(key, "a number"))
        })
    }

    fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        self.get(key).map_or(Ok(default), |value| {
            value.as_bool().ok_or_else(|| self.unsupported(key, "true or false"))
        })
    }

    fn must_be_absent_or(&self, key: &str, allowed: &[Value]) -> Result<()> {
        match self.get(key) {
            Some(value) if !allowed.contains(value) => {
                let allowed = allowed.first().map_or("no such key".into(), Value::to_string);
                Err(self.unsupported(key, allowed))
            }
            _ => Ok(()),
        }
    }

    fn unsupported(&self, key: &str, expected: impl Into<String>) -> ModelError {
        let value = self.keys.get(key).map_or("nothing".into(), Value::to_string);
        ModelError::Unsupported { key: key.to_owned(), value, expected: expected.into() }
    }
}

const LAYER_TYPES: &str = "`full_attention` or `sliding_attention` for each layer";

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(config: &LanguageConfig) -> String {
        let text = to_hugging_face(config);
        assert_eq!(from_hugging_face(&text).unwrap(), *config, "{text}");
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
            LanguageConfig { qk_norm: QkNorm::None, ..windowed.clone() },
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
        let scaled = from_hugging_face(&Value::Object(keys).to_string()).unwrap();
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
        refused("architectures", json!(["GPT2LMHeadModel"]));
        refused("architectures", json!([]));
        refused("hidden_act", json!("gelu"));
        refused("attention_bias", json!(true));
        refused("rope_scaling", json!({"rope_type": "spiral", "factor": 2.0}));
        refused("rope_parameters", json!({"rope_type": "llama3", "rope_theta": 1e4}));
        let yarn = json!({
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096,
            "mscale": 2.0,
        });
        refused("rope_parameters", yarn);
        refused("rope_parameters", json!({"partial_rotary_factor": 0.5}));
        refused("rope_scaling", json!({"rope_type": "linear", "factor": -2.0}));
        refused("hidden_size", json!(-1));
        refused("vocab_size", json!("many"));
        refused("vocab_size", Value::Null);
        assert!(matches!(from_hugging_face("{"), Err(ModelError::Json(_))));
        assert!(matches!(from_hugging_face("[]"), Err(ModelError::Json(_))));
    }
}
