//! A configuration from the keys of a file and the row of its family.

use serde_json::{Map, Value};

use super::keys::Keys;
use super::positions;
use super::rows::{Blocks, Flag, QkNorms, Row, Windows};
use crate::config::check_layers;
use crate::{
    Biases, Block, Family, LanguageConfig, Mlp, MlpKind, ModelError, Note, QkNorm, SlidingWindow,
};

type Result<T> = std::result::Result<T, ModelError>;

pub(super) fn language(
    row: &Row,
    file: &Map<String, Value>,
    notes: &mut Vec<Note>,
) -> Result<LanguageConfig> {
    let keys = Keys::new(row, file, notes)?;
    let facts = &row.facts;
    let sizes = sizes(row, &keys)?;
    let config = LanguageConfig {
        family: row.family,
        block: block(row, &keys)?,
        biases: Biases {
            qkv: flag(&keys, facts.qkv_bias)?,
            output: flag(&keys, facts.output_bias)?,
            mlp: flag(&keys, facts.mlp_bias)?,
        },
        norm: facts.norm,
        qk_norm: match facts.qk_norm {
            QkNorms::Always(norm) => norm,
            QkNorms::Where(key, norm) if keys.flag(key)? => norm,
            QkNorms::Where(..) => QkNorm::None,
        },
        norm_offset: facts.norm_offset,
        rms_eps: keys.number("rms_norm_eps")? as f32,
        tied_head: keys.flag("tie_word_embeddings")?,
        learned_positions: facts.learned_positions,
        layers_without_positions: unrotated(&keys, sizes.layers)?,
        logit_softcap: keys.optional_number("final_logit_softcapping")?.map(|cap| cap as f32),
        score_softcap: keys.optional_number("attn_logit_softcapping")?.map(|cap| cap as f32),
        ..sizes
    };
    let config = with_windows(row, &keys, config)?;
    let config = with_scales(row, &keys, config)?;
    if facts.learned_positions { Ok(config) } else { with_positions(&keys, config) }
}

fn sizes(row: &Row, keys: &Keys) -> Result<LanguageConfig> {
    let (hidden, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let intermediate = match keys.optional_size("intermediate_size")? {
        Some(size) => size,
        None => hidden.saturating_mul(4),
    };
    let head_dim = match keys.optional_size("head_dim")? {
        Some(size) => size,
        None if heads > 0 && hidden.is_multiple_of(heads) => hidden / heads,
        None => return Err(keys.unsupported("hidden_size", "a multiple of the number of heads")),
    };
    let layers = keys.size("num_hidden_layers")?;
    check_layers(layers)?;
    Ok(LanguageConfig {
        vocab: keys.size("vocab_size")?,
        hidden,
        layers,
        heads,
        kv_heads: kv_heads(row, keys, heads)?,
        head_dim,
        mlp: Mlp { kind: mlp_kind(row, keys)?, intermediate },
        max_time: keys.size("max_position_embeddings")?,
        ..LanguageConfig::from_depth(1, 1)
    })
}

fn kv_heads(row: &Row, keys: &Keys, heads: usize) -> Result<usize> {
    if row.family == Family::Falcon && !keys.flag("new_decoder_architecture")? {
        return Ok(if keys.flag("multi_query")? { 1 } else { heads });
    }
    Ok(keys.optional_size("num_key_value_heads")?.unwrap_or(heads))
}

fn mlp_kind(row: &Row, keys: &Keys) -> Result<MlpKind> {
    let name = keys.get("hidden_act").and_then(Value::as_str).unwrap_or("nothing");
    let kind = match (row.facts.gated, name) {
        (true, "silu" | "swish") => MlpKind::Swiglu,
        (true, "gelu") if row.facts.gelu_is_tanh => MlpKind::Geglu,
        (true, "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => MlpKind::Geglu,
        (true, "gelu") => MlpKind::GegluExact,
        (true, "relu") => MlpKind::Reglu,
        (false, "silu" | "swish") => MlpKind::Silu,
        (false, "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => MlpKind::Gelu,
        (false, "gelu") => MlpKind::GeluExact,
        (false, "relu") => MlpKind::Relu,
        (false, "relu2") => MlpKind::ReluSquared,
        _ => {
            let expected = "silu, gelu, gelu_pytorch_tanh or relu";
            return Err(keys.unsupported("hidden_act", expected));
        }
    };
    Ok(kind)
}

fn block(row: &Row, keys: &Keys) -> Result<Block> {
    Ok(match row.facts.blocks {
        Blocks::Always(block) => block,
        Blocks::Either(key, if_true, if_false) => {
            if keys.flag(key)? {
                if_true
            } else {
                if_false
            }
        }
        Blocks::Falcon => {
            let new = keys.flag("new_decoder_architecture")?;
            match keys.optional_size("num_ln_in_parallel_attn")?.unwrap_or(2) {
                2 if new => Block::ParallelTwoNorms,
                _ if new || keys.flag("parallel_attn")? => Block::Parallel,
                _ => Block::PreNorm,
            }
        }
    })
}

fn flag(keys: &Keys, flag: Flag) -> Result<bool> {
    match flag {
        Flag::No => Ok(false),
        Flag::Yes => Ok(true),
        Flag::Key(key) => keys.flag(key),
    }
}

/// Layers without positions, as a list of 0 and 1 or every n-th.
fn unrotated(keys: &Keys, layers: usize) -> Result<Vec<usize>> {
    let refused = || keys.unsupported("no_rope_layers", "a 0 or a 1 for each layer");
    match keys.get("no_rope_layers") {
        Some(Value::Array(given)) if given.len() == layers => {
            let rotates = given.iter().map(|value| value.as_u64().filter(|&flag| flag <= 1));
            let rotates: Vec<u64> = rotates.collect::<Option<_>>().ok_or_else(refused)?;
            Ok((0..layers).filter(|&layer| rotates[layer] == 0).collect())
        }
        Some(Value::Array(given)) if !given.is_empty() => Err(refused()),
        Some(Value::Array(_)) | None => match keys.optional_size("no_rope_layer_interval")? {
            Some(0) => Err(keys.unsupported("no_rope_layer_interval", "at least 1")),
            Some(n) => Ok((0..layers).filter(|layer| (layer + 1) % n == 0).collect()),
            None => Ok(Vec::new()),
        },
        Some(_) => Err(refused()),
    }
}

fn with_windows(row: &Row, keys: &Keys, config: LanguageConfig) -> Result<LanguageConfig> {
    let layers = config.layers;
    let by_use = matches!(row.facts.windows, Windows::FromLayer | Windows::Unrotated);
    // Read whether or not there are windows: other kinds of layers are refused.
    let listed = listed(keys, layers)?;
    let window = keys.optional_size("sliding_window")?;
    let Some(window) = window.filter(|_| row.facts.windows != Windows::Never) else {
        return Ok(config);
    };
    if by_use && !keys.flag("use_sliding_window")? {
        return Ok(config);
    }
    let windowed: Vec<usize> = match (listed, row.facts.windows) {
        (Some(listed), _) => listed,
        (None, Windows::Never) => Vec::new(),
        (None, Windows::All) => (0..layers).collect(),
        (None, Windows::FromLayer) => {
            (keys.size("max_window_layers")?.min(layers)..layers).collect()
        }
        (None, Windows::Unrotated) => config.layers_without_positions.clone(),
        (None, Windows::AllButEvery(default)) => {
            let n = keys.optional_size("sliding_window_pattern")?.unwrap_or(default);
            (0..layers).filter(|layer| n == 0 || (layer + 1) % n != 0).collect()
        }
    };
    let rotated_only = row.facts.rotates_windows_only;
    let unrotated = (0..layers).filter(|layer| rotated_only && !windowed.contains(layer));
    let layers_without_positions =
        if rotated_only { unrotated.collect() } else { config.layers_without_positions };
    let any = !windowed.is_empty();
    let sliding_window = any.then_some(SlidingWindow { window, layers: windowed });
    Ok(LanguageConfig { sliding_window, layers_without_positions, ..config })
}

/// Layers that `layer_types` gives a window.
fn listed(keys: &Keys, layers: usize) -> Result<Option<Vec<usize>>> {
    let refused = || {
        keys.unsupported("layer_types", "`full_attention` or `sliding_attention` for each layer")
    };
    let Some(given) = keys.get("layer_types") else { return Ok(None) };
    let kinds = given.as_array().filter(|kinds| kinds.len() == layers).ok_or_else(refused)?;
    let mut windowed = Vec::new();
    for (layer, kind) in kinds.iter().enumerate() {
        match kind.as_str() {
            Some("sliding_attention") => windowed.push(layer),
            Some("full_attention") => {}
            _ => return Err(refused()),
        }
    }
    Ok(Some(windowed))
}

fn with_scales(row: &Row, keys: &Keys, config: LanguageConfig) -> Result<LanguageConfig> {
    // A factor of 1 is none.
    let factor = |key: &str| -> Result<Option<f64>> {
        Ok(keys.optional_number(key)?.filter(|&factor| factor != 1.0))
    };
    let usual = (config.head_dim as f32).powf(-0.5);
    let from_scalar = keys.optional_number("query_pre_attn_scalar")?.map(|x| x.powf(-0.5));
    let attention = from_scalar.or(keys.optional_number("attention_multiplier")?);
    let root = row.facts.embedding_root.then(|| (config.hidden as f64).sqrt());
    let logits = factor("logits_scaling")?.map(|by| 1.0 / by).or(factor("logit_scale")?);
    Ok(LanguageConfig {
        embedding_scale: root.or(factor("embedding_multiplier")?).map(|by| by as f32),
        residual_scale: factor("residual_multiplier")?.map(|by| by as f32),
        attention_scale: attention.map(|by| by as f32).filter(|&by| by != usual),
        logit_scale: logits.map(|by| by as f32),
        ..config
    })
}

fn with_positions(keys: &Keys, config: LanguageConfig) -> Result<LanguageConfig> {
    let positions::Positions { theta, scaling, local_theta, rotated } =
        positions::read(keys, config.max_time)?;
    let whole = rotated == 1.0;
    if !(0.0..=1.0).contains(&rotated) {
        return Err(keys.unsupported("partial_rotary_factor", "0 to 1"));
    }
    // Rounded down, as transformers does.
    let rotary_dim = (!whole).then_some((config.head_dim as f64 * rotated) as usize);
    Ok(LanguageConfig {
        rope_theta: theta,
        rope_scaling: scaling,
        local_rope_theta: local_theta,
        rotary_dim: rotary_dim.filter(|&dim| dim != config.head_dim),
        ..config
    })
}
