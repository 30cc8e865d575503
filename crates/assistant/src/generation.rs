//! `generation_config.json`: how a model's publisher wants its answers drawn. What is asked for and not
//! done here is named, never passed over.

use std::path::Path;

use serde_json::{Map, Value};

use stoa_models::read_json;

use crate::{AssistantError, Sampling};

/// Sampling settings of a model; `None` where its files name none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Of [`Sampling`]; 0 where the files ask for no sampling at all.
    pub temperature: Option<f32>,
    /// Of [`Sampling`].
    pub top_k: Option<usize>,
    /// Of [`Sampling`].
    pub top_p: Option<f32>,
    /// Of [`Sampling`].
    pub min_p: Option<f32>,
    /// Of [`Sampling`].
    pub repetition_penalty: Option<f32>,
    /// Keys that ask for what is not done here, as `key = value`.
    pub unused: Vec<String>,
}

/// Keys that do not change what is drawn, or that are read elsewhere.
const NEUTRAL: &[&str] = &[
    "_from_model_config",
    "bos_token_id",
    "cache_implementation",
    "chat_format",
    "decoder_start_token_id",
    "do_sample",
    "eos_token_id",
    "max_length",
    "max_new_tokens",
    "max_window_size",
    "pad_token_id",
    "transformers_version",
    "trust_remote_code",
    "use_cache",
];

/// Keys with the value that changes nothing.
const IDLE: &[(&str, f64)] = &[
    ("num_beams", 1.0),
    ("num_beam_groups", 1.0),
    ("num_return_sequences", 1.0),
    ("typical_p", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("diversity_penalty", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("length_penalty", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("min_length", 0.0),
    ("penalty_alpha", 0.0),
    ("guidance_scale", 1.0),
];

impl GenerationDefaults {
    /// Reads the file of a model directory; none is no setting.
    ///
    /// # Errors
    /// [`AssistantError::Io`], [`AssistantError::Malformed`].
    pub fn read(directory: &Path) -> Result<Self, AssistantError> {
        let path = directory.join("generation_config.json");
        let Some(text) = crate::load::read_optional(&path)? else { return Ok(Self::default()) };
        Self::from_json(&text).map_err(|message| AssistantError::Malformed { path, message })
    }

    /// Reads the text of the file; what is wrong with it.
    fn from_json(text: &str) -> Result<Self, String> {
        let value = read_json(text.as_bytes()).map_err(|e| e.to_string())?;
        let keys: Map<String, Value> = serde_json::from_value(value).map_err(|e| e.to_string())?;
        let mut defaults = GenerationDefaults::default();
        for (key, value) in keys.iter().filter(|(_, value)| !value.is_null()) {
            let number = || value.as_f64().ok_or(format!("`{key}` is {value}, not a number"));
            match key.as_str() {
                "temperature" => defaults.temperature = Some(number()? as f32),
                "top_p" => defaults.top_p = Some(number()? as f32),
                "min_p" => defaults.min_p = Some(number()? as f32),
                "repetition_penalty" => defaults.repetition_penalty = Some(number()? as f32),
                "top_k" => {
                    let k = value.as_u64().ok_or(format!("`top_k` is {value}, not a count"))?;
                    defaults.top_k = Some(usize::try_from(k).unwrap_or(usize::MAX));
                }
                key if NEUTRAL.contains(&key) => {}
                key => {
                    let idle = IDLE
                        .iter()
                        .any(|(name, idle)| *name == key && value.as_f64() == Some(*idle));
                    if !idle && *value != Value::Bool(false) {
                        defaults.unused.push(format!("{key} = {value}"));
                    }
                }
            }
        }
        if keys.get("do_sample") == Some(&Value::Bool(false)) {
            defaults.temperature = Some(0.0);
        }
        Ok(defaults)
    }

    /// `sampling` with what the model's files set.
    pub fn over(&self, sampling: Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(sampling.temperature),
            top_k: self.top_k.unwrap_or(sampling.top_k),
            top_p: self.top_p.unwrap_or(sampling.top_p),
            min_p: self.min_p.unwrap_or(sampling.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(sampling.repetition_penalty),
            ..sampling
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_what_is_not_done_is_named() {
        let text = r#"{"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95,
            "eos_token_id": [1, 2], "num_beams": 1, "no_repeat_ngram_size": 3, "min_p": null,
            "use_cache": true, "renormalize_logits": false, "new_key": "x"}"#;
        let defaults = GenerationDefaults::from_json(text).unwrap();
        assert_eq!(defaults.temperature, Some(0.6));
        assert_eq!((defaults.top_k, defaults.top_p, defaults.min_p), (Some(20), Some(0.95), None));
        assert_eq!(defaults.unused, ["new_key = \"x\"", "no_repeat_ngram_size = 3"]);
        let sampling = defaults.over(Sampling::greedy());
        assert_eq!((sampling.temperature, sampling.top_k), (0.6, 20));
    }

    #[test]
    fn no_sampling_is_the_most_likely_token() {
        let text = r#"{"do_sample": false, "temperature": 0.6}"#;
        assert_eq!(GenerationDefaults::from_json(text).unwrap().temperature, Some(0.0));
        assert_eq!(GenerationDefaults::from_json("{}").unwrap(), GenerationDefaults::default());
    }

    #[test]
    fn malformed_values_are_refused_by_key() {
        for (text, word) in [
            (r#"{"top_k": -1}"#, "top_k"),
            (r#"{"temperature": "hot"}"#, "temperature"),
            ("[]", "map"),
        ] {
            let message = GenerationDefaults::from_json(text).unwrap_err();
            assert!(message.contains(word), "{message}");
        }
    }
}
