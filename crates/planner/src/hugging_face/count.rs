//! Parameters of a model to the last one, as its class builds them: from sizes and flags, by adding up
//! matrices, biases, norms and tables. Knows no file.

use super::family::{Norm, QueryKeyNorm};
use crate::model::{Counts, ModelShape};

/// What decides the number of parameters besides the shape.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Details {
    pub(super) norm: Norm,
    /// Norms of a block.
    pub(super) block_norms: u128,
    pub(super) final_norm: bool,
    pub(super) embed_norm: bool,
    pub(super) qk_norm: QueryKeyNorm,
    pub(super) qkv_bias: bool,
    pub(super) out_bias: bool,
    pub(super) ffn_bias: bool,
    pub(super) head_bias: bool,
    pub(super) sinks: bool,
    /// Router and experts have biases.
    pub(super) expert_bias: bool,
    pub(super) shared_gate: bool,
    /// Rows of a table of positions.
    pub(super) positions: u128,
    /// Width of the embedding where it is another than the hidden one.
    pub(super) embed_width: Option<u128>,
    /// The paper does not count the embedding as active.
    pub(super) active_without_embedding: bool,
}

/// Parameters, and those a token passes through: all but the routed experts it does not visit.
/// `None` beyond what can be counted.
pub(super) fn count(shape: &ModelShape, details: &Details) -> Option<Counts> {
    let (h, v) = (shape.hidden as u128, shape.vocab as u128);
    let width = details.embed_width.unwrap_or(h);
    // Two matrices between an embedding of another width and the blocks.
    let projections = if width == h { 0 } else { 2 * width * h };
    let embedding = v * width;
    let head = if shape.tied { 0 } else { v * width } + if details.head_bias { v } else { 0 };
    let norms = u128::from(details.final_norm) + u128::from(details.embed_norm);
    let outer =
        embedding + head + projections + details.positions * h + norms * details.norm.params(h);
    let block = attention(shape, details) + details.block_norms * details.norm.params(h);
    let layers = shape.layers as u128;
    let (sparse, dense) = match shape.experts {
        Some(e) => (layers - (e.dense_layers as u128).min(layers), e.dense_layers as u128),
        None => (0, layers),
    };
    let (routed, beside) = experts(shape, details);
    let total = outer
        + layers * block
        + dense.min(layers) * feed_forward(shape, shape.ffn as u128, details.ffn_bias)
        + sparse * (routed + beside);
    let idle = shape.experts.map_or(0, |e| {
        sparse * (routed / e.count as u128) * (e.count - e.per_token.min(e.count)) as u128
    });
    let looked_up = if details.active_without_embedding { embedding } else { 0 };
    let counted = |n: u128| u64::try_from(n).ok();
    Some(Counts { total: counted(total)?, active: counted(total - idle - looked_up)? })
}

/// Attention of a block with its biases and norms of queries and keys.
fn attention(shape: &ModelShape, details: &Details) -> u128 {
    let (h, heads) = (shape.hidden as u128, shape.heads as u128);
    let (queries, keys) =
        (heads * shape.head_dim as u128, (shape.kv_heads * shape.head_dim) as u128);
    let values = shape.value_width() as u128;
    let bias = |on: bool, n: u128| if on { n } else { 0 };
    let out = values * h + bias(details.out_bias, h);
    if let Some(latent) = shape.latent {
        let (rank, width) = (latent.query_rank as u128, latent.kv_rank as u128);
        let positional = shape.head_dim.saturating_sub(latent.value_dim) as u128;
        let up = heads * (shape.head_dim as u128 - positional + latent.value_dim as u128);
        let query = if rank == 0 {
            h * queries
        } else {
            h * rank + bias(details.qkv_bias, rank) + rank + rank * queries
        };
        let kept = width - positional;
        return query + h * width + bias(details.qkv_bias, width) + kept + kept * up + out;
    }
    let norms = match details.qk_norm {
        QueryKeyNorm::None => 0,
        QueryKeyNorm::Head => 2 * shape.head_dim as u128,
        QueryKeyNorm::HeadWithBias => 4 * shape.head_dim as u128,
        QueryKeyNorm::Width => queries + keys,
    };
    let sinks = if details.sinks { heads } else { 0 };
    h * (queries + 2 * keys) + bias(details.qkv_bias, queries + 2 * keys) + out + norms + sinks
}

/// A feed-forward block of some width.
fn feed_forward(shape: &ModelShape, width: u128, biased: bool) -> u128 {
    let (h, matrices) = (shape.hidden as u128, shape.ffn_matrices() as u128);
    matrices * h * width + if biased { (matrices - 1) * width + h } else { 0 }
}

/// Routed experts of a layer, and what stands beside them: router, shared expert, its gate.
fn experts(shape: &ModelShape, details: &Details) -> (u128, u128) {
    let Some(e) = shape.experts else { return (0, 0) };
    let (h, count) = (shape.hidden as u128, e.count as u128);
    let routed = count * feed_forward(shape, e.ffn as u128, details.expert_bias);
    let router = h * count + if details.expert_bias { count } else { 0 };
    let shared = feed_forward(shape, e.shared_ffn as u128, false);
    (routed, router + shared + if details.shared_gate { h } else { 0 })
}
