//! The closed set of tensor operations. Each variant's doc is its definition: inputs in order,
//! outputs in order, formula. All tensors are row-major and contiguous; `tokens` stands for the
//! flattened [batch, time] axes. Shape rules are in `shape_rules`, gradients in `gradient`, costs
//! in `cost`, the executable definition in `reference`. No op reads anything but its inputs.
//! Activations are of any float type, all those of an op alike unless its definition says more;
//! inside an op arithmetic is f32 at least, and results are rounded once.
//!
//! Non-finite values follow IEEE 754 in every op: NaN and infinity reach every result whose formula
//! reads them (0·∞ and 0·NaN included) and no other, except where a variant says so. An engine that
//! computes in f32 may reach infinity where the formula in exact arithmetic does not, and one that
//! adds the terms of a formula in another order may give NaN for infinity or the reverse; never a
//! finite number for either.

use std::sync::Arc;

use crate::TensorType;

/// Pointwise nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// max(0, x)²: ReLU² (Primer, arXiv 2109.08668 §4.2). NaN stays NaN.
    ReluSquared,
    /// x·sigmoid(x): SiLU, also called swish (arXiv 1710.05941). −∞ gives −∞·0, which is NaN.
    Silu,
    /// 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))): GELU in its usual approximation (arXiv 1606.08415
    /// §2). −∞ gives −∞·0, which is NaN.
    Gelu,
    /// cap·tanh(x/cap): x bounded smoothly. ±∞ gives ±cap.
    SoftCap {
        /// Bound of the result; positive.
        cap: f32,
    },
}

/// Attention over whole sequences: softmax(capped(scale·q·kᵀ) + mask)·v per head.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionSpec {
    /// Sequences in the batch; rows of q are [batch, time].
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads` (grouped-query attention, arXiv 2305.13245 §2.2).
    pub kv_heads: usize,
    /// Features of one head.
    pub head_dim: usize,
    /// Whether a query sees only keys at its own and earlier times.
    pub causal: bool,
    /// Sliding window: a query at time t sees keys at times > t − window (and, when not causal,
    /// < t + window).
    pub window: Option<usize>,
    /// Factor on q·k before softmax; usually head_dim^−½.
    pub scale: f32,
    /// Bound of the scores before the mask, as in [`Nonlinearity::SoftCap`]; `None` for none.
    pub score_cap: Option<f32>,
}

/// Attention over paged caches: each query sees the past of its sequence. The other numbers are those
/// of [`AttentionSpec`].
#[derive(Clone, Debug, PartialEq)]
pub struct CachedAttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Features of one head.
    pub head_dim: usize,
    /// Sliding window: a query at position p sees keys at positions > p − window.
    pub window: Option<usize>,
    /// Factor on q·k before softmax.
    pub scale: f32,
    /// Bound of the scores before the mask; `None` for none.
    pub score_cap: Option<f32>,
}

/// Rotary position embedding (arXiv 2104.09864 §3.4), half-split pairing as in Llama checkpoints:
/// with one axis and n frequencies, feature i < n of a head is paired with i + n, and the pair is
/// rotated by position·frequencies\[i\]; features from 2·n on stay as they are. With `axes` > 1 the
/// head is cut into that many equal chunks, and chunk a is treated so with position column a.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    /// Features of one head; divisible by `axes`.
    pub head_dim: usize,
    /// Radians per position of each pair of a chunk; at most half as many as a chunk has features.
    pub frequencies: Arc<[f64]>,
    /// Position columns: 1 for text, 2 for pictures.
    pub axes: usize,
    /// Rotate backwards: the transpose, used as gradient.
    pub inverse: bool,
}

impl RopeSpec {
    /// The frequencies of the paper for whole chunks: theta^(−2i/chunk).
    pub fn geometric(head_dim: usize, theta: f32, axes: usize) -> Self {
        let half = head_dim / axes.max(1) / 2;
        let frequency = |i: usize| f64::from(theta).powf(-(i as f64) / half as f64);
        let frequencies = (0..half).map(frequency).collect();
        RopeSpec { head_dim, frequencies, axes, inverse: false }
    }

    /// Features of a chunk.
    pub fn chunk(&self) -> usize {
        self.head_dim / self.axes
    }
}

/// Constants of AdamW (arXiv 1711.05101, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWSpec {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, multiplied by the learning rate and `lr_scale`.
    pub weight_decay: f32,
    /// Factor of this parameter group on the learning rate.
    pub lr_scale: f32,
}

/// Polynomial used to orthogonalise a Muon update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Orthogonalizer {
    /// The quintic Newton–Schulz iteration with coefficients (3.4445, −4.7750, 2.0315).
    NewtonSchulz,
    /// Polar Express (arXiv 2505.16932, algorithm 1), coefficients for five steps.
    PolarExpress,
}

impl Orthogonalizer {
    /// Coefficients (a, b, c) of step `step`: X ← aX + b(XXᵀ)X + c(XXᵀ)²X. The last ones repeat.
    pub fn coefficients(self, step: usize) -> (f32, f32, f32) {
        // arXiv 2505.16932, algorithm 1 run offline for 5 steps: lower bound 1e-3, safety 2e-2 but
        // on the last step, cushion 2e-2.
        const POLAR_EXPRESS: [(f32, f32, f32); 5] = [
            (8.156_554, -22.483_294, 15.878_77),
            (4.042_93, -2.808_917_5, 0.500_017_8),
            (3.891_667_8, -2.772_484_2, 0.506_064_8),
            (3.285_753_6, -2.368_129_5, 0.464_490_24),
            (2.346_541_3, -1.709_782_8, 0.423_235_5),
        ];
        match self {
            // kellerjordan.github.io/posts/muon: tuned for slope at zero, not for convergence.
            Orthogonalizer::NewtonSchulz => (3.4445, -4.7750, 2.0315),
            Orthogonalizer::PolarExpress => POLAR_EXPRESS[step.min(POLAR_EXPRESS.len() - 1)],
        }
    }

    /// The matrix is first divided by `factor·‖X‖_F + eps`, so that its spectral norm is below 1.
    pub const fn normalisation(self) -> (f32, f32) {
        match self {
            Orthogonalizer::NewtonSchulz => (1.0, 1e-7),
            Orthogonalizer::PolarExpress => (1.02, 1e-6),
        }
    }
}

/// Constants of Muon: momentum, orthogonalised by a polynomial iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuonSpec {
    /// Nesterov momentum instead of heavy ball.
    pub nesterov: bool,
    /// The iteration.
    pub orthogonalizer: Orthogonalizer,
    /// Its steps.
    pub iterations: usize,
    /// Decoupled weight decay, multiplied by the learning rate and `lr_scale`.
    pub weight_decay: f32,
    /// Factor of this parameter group on the learning rate.
    pub lr_scale: f32,
}

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
    Cast {
        /// New element type.
        dtype: crate::DType,
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
    /// A weight is stored [out, in], so a linear layer is `transpose_b`.
    MatMul {
        /// a is given as [k, m].
        transpose_a: bool,
        /// b is given as [n, k].
        transpose_b: bool,
        /// A bias is given.
        bias: bool,
        /// Type of the result.
        result: crate::DType,
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
    /// x [tokens, heads·head_dim], positions i32 [tokens, axes] → x with each head rotated.
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
    /// cache [pages, kv_heads, page, head_dim], new float [n, kv_heads·head_dim], table i32 [m, k],
    /// sequences i32 \[n\], positions i32 \[n\] → cache with new_i at the place of (sequences_i,
    /// positions_i), rounded to the cache's type, in order of i. Sequence s keeps its position p in
    /// page table[s, p div page] of the cache, at p mod page, one row of head_dim for each key head;
    /// sequences may share pages. Rows with sequence −1 are left out and their position is not
    /// read. Other sequences outside the table, positions outside 0..k·page and pages in the table
    /// outside the cache are an error of the run.
    KvAppend,
    /// q float [n, heads·head_dim], keys and values [pages, kv_heads, page, head_dim], table i32
    /// [m, k], sequences i32 \[n\], positions i32 \[n\] → out (as q): query i attends to
    /// positions 0..=positions_i of its sequence (within the window), which lie as in
    /// [`Op::KvAppend`], and reads no other, whatever stands there. Sequence −1 gives 0; what lies
    /// outside is an error of the run as there.
    CachedAttention(CachedAttentionSpec),
}
