//! The program that reads prompts and writes answers: tokens go into key and value caches, and
//! logits come out for the rows asked for. One program serves a chunk of a prompt, one token of
//! many conversations, or a mixture; sampling is the caller's.

use stoa_graph::{Builder, DType, Nonlinearity, Places, Program, TensorType};

use crate::parameters::{Module, Place};
use crate::transformer::{Transformer, cached_attention_spec, index_data};
use crate::{LanguageConfig, ModelError, Parameter};

/// Sizes of a decoding program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodingSpec {
    /// Tokens given at once, of any conversations.
    pub tokens: usize,
    /// Rows whose logits are returned.
    pub rows: usize,
    /// Pages of the caches.
    pub pages: usize,
    /// Tokens of a page.
    pub page: usize,
    /// Pages of the longest sequence.
    pub columns: usize,
    /// Element type of the matrices.
    pub weights: DType,
    /// Element type of the caches.
    pub caches: DType,
}

/// Element types that caches can have.
pub const CACHE_TYPES: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0];

/// That the caches of a model can have an element type: one of [`CACHE_TYPES`], of whose blocks the
/// keys of a head are a whole number.
///
/// # Errors
/// [`ModelError::Cache`].
pub fn check_cache(config: &LanguageConfig, caches: DType) -> Result<(), ModelError> {
    let whole = config.head_dim.is_multiple_of(caches.block().elements);
    if CACHE_TYPES.contains(&caches) && whole {
        return Ok(());
    }
    Err(ModelError::Cache { dtype: caches, head_dim: config.head_dim })
}

/// Name of the state that caches the keys (`kind` = "keys") or values ("values") of a layer.
pub fn cache_name(layer: usize, kind: &str) -> String {
    format!("cache.{layer}.{kind}")
}

/// Name of the weight that makes the keys of a layer.
pub fn key_weight(layer: usize) -> String {
    Place::in_layer(layer, Module::Key).name()
}

/// Names and types of the caches, layer by layer, keys before values; any content will do at first,
/// zeros for instance. They exist for types that pass [`check_cache`].
pub fn cache_types(config: &LanguageConfig, spec: &DecodingSpec) -> Vec<(String, TensorType)> {
    let ty =
        TensorType::new(spec.caches, [spec.pages, config.kv_heads, spec.page, config.head_dim]);
    let of = |layer| ["keys", "values"].map(|kind| (cache_name(layer, kind), ty.clone()));
    (0..config.layers).flat_map(of).collect()
}

/// Data: `tokens`, `sequences`, `positions` (i32 \[tokens\]), `table` (i32 [tokens, columns]: in row s
/// the pages of sequence s of this run; sequence −1 marks padding) and `rows` (i32 \[rows\], indices
/// into the tokens). Each token is written into its sequence at its position and sees what that
/// sequence holds up to there, so a sequence must be filled from position 0 on. Returns `logits` f32
/// [rows, vocab].
///
/// # Errors
/// [`ModelError::Config`], or sizes that do not fit.
pub fn decoding_program(
    config: &LanguageConfig,
    spec: &DecodingSpec,
) -> Result<Program, ModelError> {
    decoding_program_of(config, spec, &|parameter| parameter.ty(spec.weights))
}

/// As [`decoding_program`] for parameters of several types: `stored` gives each its own.
///
/// # Errors
/// As [`decoding_program`].
pub fn decoding_program_of(
    config: &LanguageConfig,
    spec: &DecodingSpec,
    stored: &dyn Fn(&Parameter) -> TensorType,
) -> Result<Program, ModelError> {
    config.validate()?;
    check_cache(config, spec.caches)?;
    let mut builder = Builder::new();
    let b = &mut builder;
    let context = spec.page.saturating_mul(spec.columns);
    let model = Transformer::declare(b, config, stored, context)?;
    let tokens = index_data(b, "tokens", spec.tokens)?;
    let table = b.data("table", TensorType::i32([spec.tokens, spec.columns]))?;
    let sequences = index_data(b, "sequences", spec.tokens)?;
    let positions = index_data(b, "positions", spec.tokens)?;
    let places = Places { table, sequences, positions };
    let rows = index_data(b, "rows", spec.rows)?;
    let caches = cache_types(config, spec)
        .into_iter()
        .map(|(name, ty)| Ok((b.state(&name, ty)?, name)))
        .collect::<Result<Vec<_>, ModelError>>()?;
    let x = model.blocks(b, tokens, positions, &mut |b, layer, [q, k, v]| {
        let appended = [(2 * layer, k), (2 * layer + 1, v)].map(|(cache, new)| {
            let (value, name) = &caches[cache];
            let value = b.kv_append(*value, new, places)?;
            b.updates(name, value)?;
            Ok(value)
        });
        let [keys, values] = appended;
        let spec = cached_attention_spec(config, layer);
        b.cached_attention(q, (keys?, values?), places, spec)
    })?;
    // [tokens, hidden] → [rows, hidden]
    let x = b.gather(x, rows)?;
    let x = model.final_norm(b, x)?;
    let logits = model.product(b, x, model.head(), None)?;
    let logits = match config.logit_softcap {
        Some(cap) => b.activation(logits, Nonlinearity::SoftCap { cap })?,
        None => logits,
    };
    b.returns("logits", logits)?;
    Ok(builder.finish())
}
