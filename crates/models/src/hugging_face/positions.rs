//! Rotary positions in `config.json`: `rope_theta` and `rope_scaling` of transformers 4,
//! `rope_parameters` of 5, one for all layers or one for each kind.

use serde_json::{Map, Value, json};

use super::keys::Keys;
use super::shortest;
use crate::{LanguageConfig, ModelError, RopeScaling};

type Result<T> = std::result::Result<T, ModelError>;

/// What a file says of positions.
pub(super) struct Positions {
    pub theta: f32,
    pub scaling: Option<RopeScaling>,
    pub local_theta: Option<f32>,
    /// Share of each head that is rotated.
    pub rotated: f64,
}

/// Kinds of layers in a `rope_parameters` for each.
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// Reads positions of a model with this longest context.
pub(super) fn read(keys: &Keys, max_time: usize) -> Result<Positions> {
    let mut theta = keys.number("rope_theta")?;
    let mut local_theta = keys.optional_number("rope_local_base_freq")?;
    let mut rotated = keys.optional_number("partial_rotary_factor")?.unwrap_or(1.0);
    let mut scaling = None;
    for key in ["rope_parameters", "rope_scaling"] {
        let Some(given) = keys.get(key) else { continue };
        let refused = |expected: &str| keys.unsupported(key, expected);
        let object = |value: &Value| value.as_object().cloned().ok_or_else(|| refused("an object"));
        let mut parameters = object(given)?;
        if let Some(full) = parameters.remove(FULL) {
            let mut sliding = parameters.remove(SLIDING).map_or(Ok(Map::new()), |v| object(&v))?;
            if let Some(theta) = sliding.remove("rope_theta").and_then(|v| v.as_f64()) {
                local_theta = Some(theta);
            }
            let plain = sliding.remove("rope_type").is_none_or(|kind| kind == "default");
            if !plain || !sliding.is_empty() || !parameters.is_empty() {
                return Err(refused("unstretched positions in layers with a window"));
            }
            parameters = object(&full)?;
        }
        let number = |value: Value, name: &str| {
            value.as_f64().ok_or_else(|| refused(&format!("a number as {name}")))
        };
        if let Some(value) = parameters.remove("rope_theta") {
            theta = number(value, "rope_theta")?;
        }
        if let Some(value) = parameters.remove("partial_rotary_factor") {
            rotated = number(value, "partial_rotary_factor")?;
        }
        let found = read_scaling(keys, parameters, max_time).map_err(|error| {
            refused(&format!("scaling of kind linear, dynamic, llama3, yarn or longrope ({error})"))
        })?;
        scaling = scaling.or(found);
    }
    let (theta, local_theta) = (theta as f32, local_theta.map(|theta| theta as f32));
    Ok(Positions { theta, scaling, local_theta, rotated })
}

/// Scaling in the form that is stored here, whose keys are those of transformers.
fn read_scaling(
    keys: &Keys,
    mut parameters: Map<String, Value>,
    max_time: usize,
) -> std::result::Result<Option<RopeScaling>, String> {
    const ORIGINAL: &str = "original_max_position_embeddings";
    parameters.retain(|_, value| !value.is_null());
    // An older name of the same key.
    if let Some(kind) = parameters.remove("type") {
        parameters.entry("rope_type").or_insert(kind);
    }
    let kind = parameters.get("rope_type").and_then(Value::as_str).unwrap_or("default").to_owned();
    let original = keys.get(ORIGINAL).cloned().unwrap_or(json!(max_time));
    match kind.as_str() {
        "default" => {
            parameters.remove("rope_type");
            return match parameters.keys().next() {
                Some(key) if key != "factor" && key != ORIGINAL => {
                    Err(format!("`{key}` belongs to no scaling"))
                }
                _ => Ok(None),
            };
        }
        "linear" | "dynamic" => {
            parameters.remove(ORIGINAL);
        }
        "yarn" => {
            parameters.entry(ORIGINAL).or_insert(original);
            // The defaults of the authors, sometimes written out.
            if parameters.get("truncate") == Some(&json!(true)) {
                parameters.remove("truncate");
            }
        }
        "longrope" | "su" => {
            parameters.insert("rope_type".into(), json!("longrope"));
            let original = parameters.entry(ORIGINAL).or_insert(original).as_f64();
            let factor = parameters.remove("factor").and_then(|factor| factor.as_f64());
            let original = original.ok_or("a number as original_max_position_embeddings")?;
            let factor = factor.unwrap_or(max_time as f64 / original);
            // `_compute_longrope_parameters` of transformers.
            let sharpening =
                if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
            parameters.entry("attention_factor").or_insert(json!(sharpening));
        }
        _ => {}
    }
    serde_json::from_value(Value::Object(parameters)).map(Some).map_err(|error| error.to_string())
}

/// `rope_parameters` as transformers 5 names them.
pub(super) fn parameters(config: &LanguageConfig, by_kind: bool) -> Value {
    let plain = || json!({ "rope_type": "default" });
    let mut all = config.rope_scaling.as_ref().map_or_else(plain, |scaling| json!(scaling));
    all["rope_theta"] = json!(shortest(config.rope_theta));
    if by_kind {
        let mut sliding = plain();
        let theta = config.local_rope_theta.unwrap_or(config.rope_theta);
        sliding["rope_theta"] = json!(shortest(theta));
        return json!({ FULL: all, SLIDING: sliding });
    }
    if config.rotary_dim.is_some() {
        all["partial_rotary_factor"] = json!(rotated(config));
    }
    all
}

/// Share of each head that is rotated.
pub(super) fn rotated(config: &LanguageConfig) -> f64 {
    config.rotary_dim.unwrap_or(config.head_dim) as f64 / config.head_dim as f64
}
