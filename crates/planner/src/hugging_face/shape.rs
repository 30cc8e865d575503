//! From the fields of a config.json and the entry of its family to a shape with its exact count.

use serde_json::Value;

use super::count::{Details, count};
use super::family::{Family, Moe, QueryKeyNorm, Rule, Window};
use super::fields::Fields;
use crate::error::Result;
use crate::model::{Experts, LatentAttention, ModelShape};

/// The shape of a model of a family.
///
/// # Errors
/// When a size is missing or a field says what is not understood.
pub(super) fn shape(fields: &Fields, family: &Family, kind: &str) -> Result<ModelShape> {
    check_only(fields, family)?;
    let layers = fields.needed(&family.layers)?;
    let hidden = fields.needed(&family.hidden)?;
    let usual = |keys: &[String], default: Option<usize>| match default {
        Some(default) => fields.size_or(keys, default),
        None => fields.needed(keys),
    };
    let heads = usual(&family.heads, family.heads_default)?;
    let vocab = usual(&family.vocab, family.vocab_default)?;
    let ffn = ffn(fields, family, hidden)?;
    let kv_heads = kv_heads(fields, family, heads)?;
    let mut shape = ModelShape::dense(kind, layers, hidden, ffn, heads, kv_heads, vocab);
    shape.head_dim = match fields.size(&family.head_dim)? {
        Some(width) => width,
        None => match family.head_dim_default.filter(|_| !fields.has(&family.head_dim)) {
            Some(default) => fields.size_or(&family.head_dim, default)?,
            None => head_width(fields, hidden, heads)?,
        },
    };
    shape.gated = family.gated;
    shape.tied = tied(fields, family)?;
    shape.parallel_block = fields.flag(&family.parallel)?;
    let mut details = details(fields, family)?;
    if family.rule == Some(Rule::Falcon) {
        falcon(fields, &mut shape, &mut details)?;
    }
    if family.latent {
        latent(fields, &mut shape)?;
    }
    if let Some(moe) = &family.moe {
        experts(fields, moe, &mut shape)?;
        details.expert_bias = moe.biased;
        details.shared_gate = moe.shared_gate;
    }
    if let Some(window) = &family.window {
        shape.window = limited(fields, window)?;
    }
    shape.check()?;
    let counted = count(&shape, &details);
    let counted = counted
        .ok_or_else(|| fields.malformed("more parameters than can be counted: check sizes"))?;
    shape.counted = Some(counted);
    if !family.extra_layers.is_empty() {
        shape.extra_layers = fields.size(&family.extra_layers)?.unwrap_or(0);
    }
    if shape.extra_layers > 0 {
        let n = shape.extra_layers;
        fields.assume(
            format!("{n} more blocks predict further tokens: in time and memory, not in the count"),
            format!(
                "{n} blocs de plus prédisent d'autres jetons : comptés en temps et mémoire seuls"
            ),
        );
    }
    Ok(shape)
}

/// Refuses what a key says that the family's count does not hold for.
fn check_only(fields: &Fields, family: &Family) -> Result<()> {
    for only in &family.only {
        let value = fields.value(&only.key).filter(|value| !value.is_null());
        if let Some(value) = value.filter(|value| **value != only.is) {
            return Err(fields.malformed(format!(
                "`{}` is {value}, which is not understood; {} is",
                only.key, only.is
            )));
        }
    }
    Ok(())
}

fn ffn(fields: &Fields, family: &Family, hidden: usize) -> Result<usize> {
    let times = match (&family.ffn_ratio, family.ffn_times_hidden) {
        (Some(key), Some(usual)) => Some(fields.size_or(std::slice::from_ref(key), usual)?),
        (_, times) => times,
    };
    match (fields.size(&family.ffn)?, times) {
        (Some(width), _) => Ok(width),
        (None, None) => fields.needed(&family.ffn),
        (None, Some(times)) => {
            // Where a key could say otherwise, its absence is an assumption.
            if !family.ffn.is_empty() && !fields.has(&family.ffn) {
                return fields.size_or(&family.ffn, times * hidden);
            }
            Ok(times * hidden)
        }
    }
}

fn kv_heads(fields: &Fields, family: &Family, heads: usize) -> Result<usize> {
    if fields.flag(&family.single_kv)? {
        return Ok(1);
    }
    if family.kv.is_empty() || family.rule == Some(Rule::Falcon) {
        return Ok(heads);
    }
    match fields.size(&family.kv)? {
        Some(kv_heads) => Ok(kv_heads),
        // A null means as many as queries, whatever the class has by default.
        None if fields.has(&family.kv) => Ok(heads),
        None => fields.size_or(&family.kv, family.kv_default.unwrap_or(heads)),
    }
}

/// Width of a head that no key gives.
fn head_width(fields: &Fields, hidden: usize, heads: usize) -> Result<usize> {
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(fields.malformed(format!(
            "{heads} heads do not divide the hidden size {hidden}, and no width of a head is given"
        )));
    }
    Ok(hidden / heads)
}

fn tied(fields: &Fields, family: &Family) -> Result<bool> {
    let key = "tie_word_embeddings";
    let falcon = family.rule == Some(Rule::Falcon);
    if falcon && fields.value(key).is_none_or(Value::is_null) {
        fields.assume(
            format!(
                "config.json: `{key}` not given: false, as the published checkpoints have a head"
            ),
            format!("config.json : `{key}` non donné : false, comme les modèles publiés"),
        );
        return Ok(false);
    }
    fields.truth(key, family.tied)
}

fn details(fields: &Fields, family: &Family) -> Result<Details> {
    let one = fields.flag(&family.one_norm)?;
    let qk_norm = match family.qk_norm {
        QueryKeyNorm::None => QueryKeyNorm::None,
        _ if !fields.flag(&family.qk_norm_on)? => QueryKeyNorm::None,
        norm => norm,
    };
    let positions = match &family.positions {
        Some(table) => fields.size_or(&table.keys, table.otherwise)? + table.more,
        None => 0,
    };
    Ok(Details {
        norm: family.norm,
        block_norms: if one { 1 } else { u128::from(family.block_norms) },
        final_norm: fields.flag(&family.final_norm)?,
        embed_norm: family.embed_norm,
        qk_norm,
        qkv_bias: fields.flag(&family.qkv_bias)?,
        out_bias: fields.flag(&family.out_bias)?,
        ffn_bias: fields.flag(&family.ffn_bias)?,
        head_bias: fields.flag(&family.head_bias)?,
        sinks: family.sinks,
        positions: positions as u128,
        embed_width: fields.size(&family.embed_width)?.map(|width| width as u128),
        active_without_embedding: family.active_without_embedding,
        ..Details::default()
    })
}

/// Falcon: the newer decoder has groups of heads and two norms or one; the older one head of keys where
/// `multi_query`, and one norm where blocks are parallel.
fn falcon(fields: &Fields, shape: &mut ModelShape, details: &mut Details) -> Result<()> {
    let newer = fields.truth("new_decoder_architecture", false)?;
    let parallel = fields.truth("parallel_attn", true)?;
    let kv = ["num_kv_heads".to_owned(), "n_head_kv".to_owned()];
    shape.parallel_block = parallel || newer;
    shape.kv_heads = if newer {
        match fields.size(&kv)? {
            Some(kv_heads) => kv_heads,
            None => fields.size_or(&kv, shape.heads)?,
        }
    } else if fields.truth("multi_query", true)? {
        // The older decoder does not read the number of key-value heads then.
        let _ = fields.size(&kv)?;
        1
    } else {
        let _ = fields.size(&kv)?;
        shape.heads
    };
    let norms = fields.size(&["num_ln_in_parallel_attn".to_owned()])?.unwrap_or(2);
    details.block_norms = match (newer, norms) {
        (true, 2) => 2,
        _ if parallel => 1,
        _ => 2,
    };
    Ok(())
}

fn latent(fields: &Fields, shape: &mut ModelShape) -> Result<()> {
    let key = |name: &str| [name.to_owned()];
    let rank = match fields.size(&key("q_lora_rank"))? {
        Some(rank) => rank,
        None if fields.has(&key("q_lora_rank")) => 0,
        None => fields.size_or(&key("q_lora_rank"), 1536)?,
    };
    let kv_rank = fields.size_or(&key("kv_lora_rank"), 512)?;
    let rope = fields.size_or(&key("qk_rope_head_dim"), 64)?;
    let nope = fields.size_or(&key("qk_nope_head_dim"), 128)?;
    let value_dim = fields.size_or(&key("v_head_dim"), 128)?;
    if nope != value_dim {
        return Err(fields.malformed(format!(
            "`qk_nope_head_dim` {nope} other than `v_head_dim` {value_dim} is not understood"
        )));
    }
    shape.head_dim = rope + nope;
    shape.latent = Some(LatentAttention { query_rank: rank, kv_rank: kv_rank + rope, value_dim });
    Ok(())
}

fn experts(fields: &Fields, moe: &Moe, shape: &mut ModelShape) -> Result<()> {
    let count = fields.needed(&moe.count)?;
    let per_token = match moe.per_token_default {
        Some(default) => fields.size_or(&moe.per_token, default)?,
        None => fields.needed(&moe.per_token)?,
    };
    let width = if moe.width.is_empty() { shape.ffn } else { fields.needed(&moe.width)? };
    let shared_ffn = if moe.shared_as_expert {
        width
    } else if moe.shared_count.is_empty() {
        if moe.shared_width.is_empty() { 0 } else { fields.needed(&moe.shared_width)? }
    } else if fields.has(&moe.shared_count) {
        // A null means none.
        fields.size(&moe.shared_count)?.unwrap_or(0) * width
    } else {
        fields.size_or(&moe.shared_count, moe.shared_count_default)? * width
    };
    let layers = shape.layers;
    let dense_layers = if moe.stepped {
        layers - stepped(fields, layers)?
    } else if moe.interleaved {
        layers - interleaved(fields, layers)?
    } else if moe.first_dense.is_empty() {
        0
    } else {
        fields.size_or(&moe.first_dense, moe.first_dense_default)?.min(layers)
    };
    if dense_layers > 0 && !moe.dense_width.is_empty() {
        shape.ffn = fields.needed(&moe.dense_width)?;
    } else {
        // Read, though no layer is that wide.
        let _ = fields.size(&moe.dense_width)?;
    }
    shape.experts = Some(Experts { count, per_token, ffn: width, shared_ffn, dense_layers });
    Ok(())
}

/// Whole numbers of a list.
fn indices(fields: &Fields, key: &str) -> Result<Option<Vec<usize>>> {
    let Some(value) = fields.value(key).filter(|value| !value.is_null()) else { return Ok(None) };
    let list = value.as_array().and_then(|list| {
        list.iter().map(|item| item.as_u64().map(|n| n as usize)).collect::<Option<Vec<usize>>>()
    });
    match list {
        Some(list) => Ok(Some(list)),
        None => Err(fields.malformed(format!("`{key}` is {value}; it must be a list of numbers"))),
    }
}

/// Layers with experts: every `decoder_sparse_step`-th but those of `mlp_only_layers`.
fn stepped(fields: &Fields, layers: usize) -> Result<usize> {
    let step = fields.size_or(&["decoder_sparse_step".to_owned()], 1)?.max(1);
    let dense = indices(fields, "mlp_only_layers")?.unwrap_or_default();
    Ok((0..layers).filter(|i| (i + 1).is_multiple_of(step) && !dense.contains(i)).count())
}

/// Layers with experts: those of `moe_layers`, or every `interleave_moe_layer_step`-th.
fn interleaved(fields: &Fields, layers: usize) -> Result<usize> {
    let step = ["interleave_moe_layer_step".to_owned()];
    if let Some(list) = indices(fields, "moe_layers")? {
        let _ = fields.size(&step)?;
        return Ok((0..layers).filter(|i| list.contains(i)).count());
    }
    Ok(layers / fields.size_or(&step, 1)?.max(1))
}

/// Keys that a query sees at most, and the share of layers so limited.
fn limited(fields: &Fields, window: &Window) -> Result<Option<(usize, f64)>> {
    if !fields.flag(&window.on)? {
        let _ = fields.size(&window.keys)?;
        return Ok(None);
    }
    let width = match (fields.size(&window.keys)?, window.otherwise) {
        (None, Some(usual)) if !fields.has(&window.keys) => fields.size_or(&window.keys, usual)?,
        (None, _) => return Ok(None),
        (Some(width), _) => width,
    };
    if width == 0 {
        return Ok(None);
    }
    let kinds = fields.value("layer_types").and_then(Value::as_array).filter(|k| !k.is_empty());
    let pattern = fields.size(&["sliding_window_pattern".to_owned()])?.or(window.pattern);
    let share = match (kinds, pattern.filter(|n| *n > 0), window.share) {
        (Some(kinds), _, _) => {
            let near = |kind: &&Value| {
                matches!(kind.as_str(), Some("sliding_attention" | "chunked_attention"))
            };
            kinds.iter().filter(near).count() as f64 / kinds.len() as f64
        }
        (None, Some(pattern), _) => (pattern - 1) as f64 / pattern as f64,
        (None, None, share) => share.unwrap_or(1.0),
    };
    Ok(Some((width, share)))
}
