//! The closed set of tensor operations. Each variant's doc is its definition: inputs in order,
//! outputs in order, formula; its text in programs follows. All tensors are row-major and
//! contiguous; `tokens` stands for the flattened [batch, time] axes. Other facts, FLOPs among them,
//! are in `facts`, shape rules in `shape_rules`, gradients in `gradient`, the executable definition
//! in `reference`. No op reads anything but its inputs. Activations are of any float type, all those
//! of an op alike unless its definition says more; inside an op arithmetic is f32 at least, and
//! results are rounded once.
//!
//! Non-finite values follow IEEE 754 in every op: NaN and infinity reach every result whose formula
//! reads them (0·∞ and 0·NaN included) and no other, except where a variant says so. An engine that
//! computes in f32 may reach infinity where the formula in exact arithmetic does not, and one that
//! adds the terms of a formula in another order may give NaN for infinity or the reverse; never a
//! finite number for either.

use std::fmt;

use crate::{
    AdamWSpec, AttentionSpec, CachedAttentionSpec, DType, MuonSpec, Nonlinearity, RopeSpec,
    TensorType,
};

/// One tensor operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// () → a tensor of type `ty` with every element `value`.
    Fill {
        /// Type of the result.
        ty: TensorType,
        /// The element.
        value: f32,
    },
    /// x → the same elements under another shape.
    Reshape {
        /// New dimensions, with the same number of elements.
        shape: Vec<usize>,
    },
    /// x (float or quantised) → x in a float type, rounded to nearest even; beyond its range ±∞.
    /// A float x can also be cast to `q8_0`, row by row as [`quantise`](crate::quantise) rounds:
    /// activations that meet quantised weights in a product.
    Cast {
        /// New element type.
        dtype: DType,
    },
    /// a, b (same type) → a + b.
    Add,
    /// a, b (same type) → a·b element by element.
    Mul,
    /// x → by·x.
    Scale {
        /// The factor.
        by: f32,
    },
    /// a, b[, bias f32 \[n\]] → op(a)·op(b) [+ bias on each row], where op transposes when the flag
    /// says so.
    /// a: float [m, k] ([k, m] when transposed); b: float or quantised [k, n] ([n, k]); the
    /// result [m, n] in the type `result`. Sums are f32. Two bf16 operands are multiplied as such;
    /// numbers below the least normal f32 may count as zero then. Where a is bf16 or f16 an engine may
    /// round b to the type of a before it multiplies.
    /// a may be `q8_0` where b is quantised and transposed, so that blocks of both lie along k: the
    /// product of the numbers that they stand for. The integers of a block are multiplied and
    /// summed exactly, and the blocks of a sum are added in f32 from the first to the last, each
    /// with one rounding of its scale and one of the sum (of its minimum likewise, after it).
    /// A weight is stored [out, in], so a linear layer is `transpose_b`.
    MatMul {
        /// a is given as [k, m].
        transpose_a: bool,
        /// b is given as [n, k].
        transpose_b: bool,
        /// A bias is given.
        bias: bool,
        /// Type of the result.
        result: DType,
    },
    /// x [.., features][, w \[group\]] → x / sqrt(mean(x²) + eps) [· w], the mean over each
    /// consecutive `group` features (RMSNorm, arXiv 1910.07467 eq. 4). `group` is the feature count
    /// for a layer norm and head_dim for QK-norm. An infinity makes itself NaN and the rest of its
    /// group 0.
    RmsNorm {
        /// Features normalised together; divides the last dimension.
        group: usize,
        /// Added to the mean square.
        eps: f32,
        /// A weight is given.
        weighted: bool,
    },
    /// x, dy[, w] → dx[, dw \[group\]].
    RmsNormBackward {
        /// As in the forward op.
        group: usize,
        /// As in the forward op.
        eps: f32,
        /// A weight is given and its gradient returned.
        weighted: bool,
    },
    /// x [.., features], scale \[n·group\][, bias \[n·group\]] → (x − mean)/sqrt(variance + eps)·scale
    /// [+ bias], mean and variance those of each consecutive `group` features (layer normalisation,
    /// arXiv 1607.06450 eq. 4). n·group divides the features; scale and bias repeat every so many, so
    /// that n is 1 for a layer norm and the number of heads where each has factors of its own. NaN or
    /// an infinity makes its group NaN.
    LayerNorm {
        /// Features normalised together; divides the last dimension.
        group: usize,
        /// Added to the variance.
        eps: f32,
        /// A bias is given.
        biased: bool,
    },
    /// x, dy, scale → dx, dscale \[n·group\][, dbias \[n·group\]].
    LayerNormBackward {
        /// As in the forward op.
        group: usize,
        /// As in the forward op.
        eps: f32,
        /// The gradient of a bias is returned.
        biased: bool,
    },
    /// x [tokens, heads·head_dim], positions i32 [tokens, axes] → x with each head rotated, as
    /// [`RopeSpec`] says.
    Rope(RopeSpec),
    /// q [batch·time, heads·head_dim], k, v [batch·time, kv_heads·head_dim][, segments i32
    /// [batch·time]] → out (as q), lse f32 [batch·time, heads] (log of the softmax denominator).
    /// With segments a query sees only keys of its own segment; equal ids must be contiguous.
    /// A query that sees no key gives out 0 and lse −∞. A key or value with NaN or infinity may
    /// make NaN of queries of its sequence that do not see it, and of no other sequence.
    Attention {
        /// Shape and mask.
        spec: AttentionSpec,
        /// Segment ids are given.
        segmented: bool,
    },
    /// q, k, v, out, lse, dout[, segments] → dq, dk, dv. `out` and `lse` are the forward's results.
    AttentionBackward {
        /// As in the forward op.
        spec: AttentionSpec,
        /// As in the forward op.
        segmented: bool,
    },
    /// x → f(x) element by element.
    Activation(Nonlinearity),
    /// x, dy → dy·f′(x).
    ActivationBackward(Nonlinearity),
    /// gate, up → f(gate)·up: SwiGLU with SiLU, GeGLU with GELU (arXiv 2002.05202 eq. 5 and 6).
    Gated(Nonlinearity),
    /// gate, up, dy → dgate, dup.
    GatedBackward(Nonlinearity),
    /// table float or quantised [rows, d], ids i32 \[n\] → [n, d]: rows of the table. An id outside the table is an
    /// error of the run.
    Gather,
    /// ids i32 \[n\], dy f32 [n, d] → [rows, d]: dy summed by id, in order of n.
    GatherBackward {
        /// Rows of the table.
        rows: usize,
    },
    /// x float [n, d], w float or quantised [vocab, d], targets i32 \[n\], weights f32 \[n\] → loss scalar,
    /// nll f32 \[n\]. logits = softcap(x·wᵀ); nll_i = logsumexp(logits_i) − logits_i\[target_i\];
    /// loss = Σ weights_i·nll_i. A target of −1 is ignored: nll 0, no gradient, whatever stands in
    /// its row of x and its weight. Other targets outside 0..vocab are an error of the run. The
    /// logits are never whole in memory.
    CrossEntropy {
        /// Bound of the logits, as in [`Nonlinearity::SoftCap`].
        softcap: Option<f32>,
    },
    /// x, w, targets, weights, dloss scalar → dx, dw, loss, nll, all f32.
    /// The last two are the forward's results, so that a program with both needs this one only. Where
    /// x and w are both bf16, the gradient of the logits is rounded to bf16 for its two products.
    CrossEntropyBackward {
        /// As in the forward op.
        softcap: Option<f32>,
    },
    /// prediction float [n, d], target alike, weights f32 \[n\] → loss scalar:
    /// Σ_i weights_i·mean_j (prediction_ij − target_ij)².
    MeanSquaredError,
    /// prediction, target, weights, dloss scalar → dprediction.
    MeanSquaredErrorBackward,
    /// Any number of f32 tensors → scalar: root of the sum of all their squares.
    GlobalNorm,
    /// norm scalar, limit scalar → scalar: the factor of gradient clipping, min(1, max_norm/norm);
    /// 0 when the norm is not finite or exceeds `limit` (the step is to be skipped). A limit of
    /// NaN is no limit.
    ClipFactor {
        /// Norm that gradients are scaled down to; infinity for none.
        max_norm: f32,
    },
    /// p, g, m, v, lr scalar, step scalar (from 1), factor scalar → p, m, v: with rate =
    /// lr·lr_scale, p ← p − rate·(m̂/(√v̂ + eps) + weight_decay·p). The gradient is g·factor; a factor of 0 leaves p, m and v as they are, whatever stands in g.
    AdamW(AdamWSpec),
    /// p [rows, cols], g, momentum buffer, lr scalar, momentum scalar, factor scalar → p, buffer.
    /// buffer ← momentum·buffer + (1 − momentum)·g·factor; u = orthogonalise(nesterov lerp);
    /// p ← p − lr·lr_scale·(sqrt(max(1, rows/cols))·u + weight_decay·p). A factor of 0 leaves both
    /// as they are, whatever stands in g. The lerp is momentum·buffer + (1 − momentum)·g·factor with
    /// `nesterov`, else the buffer itself.
    Muon(MuonSpec),
    /// cache float or `q8_0` [pages, kv_heads, page, head_dim], new float [n, kv_heads·head_dim], table
    /// i32 [m, k], sequences i32 \[n\], positions i32 \[n\] → cache with new_i at the place of
    /// (sequences_i, positions_i), rounded to the cache's type, in order of i. To `q8_0` each row of
    /// head_dim, whole blocks, is rounded as [`quantise`](crate::quantise) does, from itself alone; the
    /// blocks of other rows stay as they are. Sequence s keeps its position p in
    /// page table[s, p div page] of the cache, at p mod page, one row of head_dim for each key head;
    /// sequences may share pages. Rows with sequence −1 are left out and their position is not
    /// read. Other sequences outside the table, positions outside 0..k·page and pages in the table
    /// outside the cache are an error of the run.
    KvAppend,
    /// q float [n, heads·head_dim], keys and values float or `q8_0` [pages, kv_heads, page, head_dim],
    /// table i32 [m, k], sequences i32 \[n\], positions i32 \[n\] → out (as q): query i attends to
    /// positions 0..=positions_i of its sequence (within the window), which lie as in
    /// [`Op::KvAppend`], and reads no other, whatever stands there. Sequence −1 gives 0; what lies
    /// outside is an error of the run as there.
    CachedAttention(CachedAttentionSpec),
}

impl Op {
    /// Name in programs, errors and profiles.
    pub const fn name(&self) -> &'static str {
        match self {
            Op::Fill { .. } => "fill",
            Op::Reshape { .. } => "reshape",
            Op::Cast { .. } => "cast",
            Op::Add => "add",
            Op::Mul => "mul",
            Op::Scale { .. } => "scale",
            Op::MatMul { .. } => "matmul",
            Op::RmsNorm { .. } => "rms_norm",
            Op::RmsNormBackward { .. } => "rms_norm_backward",
            Op::LayerNorm { .. } => "layer_norm",
            Op::LayerNormBackward { .. } => "layer_norm_backward",
            Op::Rope(_) => "rope",
            Op::Attention { .. } => "attention",
            Op::AttentionBackward { .. } => "attention_backward",
            Op::Activation(_) => "activation",
            Op::ActivationBackward(_) => "activation_backward",
            Op::Gated(_) => "gated",
            Op::GatedBackward(_) => "gated_backward",
            Op::Gather => "gather",
            Op::GatherBackward { .. } => "gather_backward",
            Op::CrossEntropy { .. } => "cross_entropy",
            Op::CrossEntropyBackward { .. } => "cross_entropy_backward",
            Op::MeanSquaredError => "mean_squared_error",
            Op::MeanSquaredErrorBackward => "mean_squared_error_backward",
            Op::GlobalNorm => "global_norm",
            Op::ClipFactor { .. } => "clip_factor",
            Op::AdamW(_) => "adamw",
            Op::Muon(_) => "muon",
            Op::KvAppend => "kv_append",
            Op::CachedAttention(_) => "cached_attention",
        }
    }

    /// Attributes as a program prints them, `transpose_b, result f32`; empty for an op that has
    /// none, or whose types say it all.
    fn attributes(&self) -> String {
        let flags = |flags: &[(&str, bool)]| -> Vec<String> {
            flags.iter().filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned()).collect()
        };
        match self {
            Op::Fill { value, .. } => value.to_string(),
            Op::Scale { by } => format!("by {by}"),
            Op::MatMul { transpose_a, transpose_b, bias, result: _ } => {
                let (a, b) = (*transpose_a, *transpose_b);
                flags(&[("transpose_a", a), ("transpose_b", b), ("bias", *bias)]).join(", ")
            }
            Op::RmsNorm { group, eps, weighted } | Op::RmsNormBackward { group, eps, weighted } => {
                let flags = flags(&[("weighted", *weighted)]);
                [vec![format!("group {group}"), format!("eps {eps}")], flags].concat().join(", ")
            }
            Op::LayerNorm { group, eps, biased } | Op::LayerNormBackward { group, eps, biased } => {
                let flags = flags(&[("biased", *biased)]);
                [vec![format!("group {group}"), format!("eps {eps}")], flags].concat().join(", ")
            }
            Op::Rope(spec) => {
                let pairs = spec.frequencies.len();
                let range = match &*spec.frequencies {
                    [] => String::new(),
                    [first, .., last] => format!(" {first} to {last}"),
                    [only] => format!(" {only}"),
                };
                let start =
                    format!("head_dim {}, axes {}, {pairs} pairs{range}", spec.head_dim, spec.axes);
                let factor = (spec.factor != 1.0).then(|| format!("factor {}", spec.factor));
                let flags = flags(&[("inverse", spec.inverse)]);
                [vec![start], Vec::from_iter(factor), flags].concat().join(", ")
            }
            Op::Attention { spec, segmented } | Op::AttentionBackward { spec, segmented } => {
                let flags = flags(&[("segmented", *segmented)]);
                [vec![spec.to_string()], flags].concat().join(", ")
            }
            Op::CachedAttention(spec) => spec.to_string(),
            Op::Activation(f) | Op::ActivationBackward(f) | Op::Gated(f) | Op::GatedBackward(f) => {
                format!("{f:?}")
            }
            Op::GatherBackward { rows } => format!("rows {rows}"),
            Op::CrossEntropy { softcap } | Op::CrossEntropyBackward { softcap } => {
                softcap.map(|c| format!("softcap {c}")).unwrap_or_default()
            }
            Op::ClipFactor { max_norm } => format!("max_norm {max_norm}"),
            Op::AdamW(spec) => format!("{spec:?}"),
            Op::Muon(spec) => format!("{spec:?}"),
            Op::Reshape { .. }
            | Op::Cast { .. }
            | Op::Add
            | Op::Mul
            | Op::Gather
            | Op::MeanSquaredError
            | Op::MeanSquaredErrorBackward
            | Op::GlobalNorm
            | Op::KvAppend => String::new(),
        }
    }
}

impl fmt::Display for Op {
    /// `matmul{transpose_b}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.attributes().as_str() {
            "" => Ok(()),
            attributes => write!(f, "{{{attributes}}}"),
        }
    }
}
