//! Constants of ops that are more than a number: nonlinearities, masks, frequencies, optimizers.
//! Which op reads them how is defined in `op`.

use std::fmt;
use std::sync::Arc;

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
    /// x·Φ(x) with Φ the normal distribution, (1 + erf(x/√2))/2: GELU as it is defined (arXiv 1606.08415
    /// §2). −∞ gives −∞·0, which is NaN.
    GeluExact,
    /// max(0, x). NaN stays NaN.
    Relu,
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

/// Attention over paged caches: each query sees the past of its sequence. The other numbers are
/// those of [`AttentionSpec`].
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
/// rotated by position·frequencies\[i\] and multiplied by `factor`; features from 2·n on stay as they
/// are. With `axes` > 1 the head is cut into that many equal chunks, and chunk a is treated so with
/// position column a.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    /// Features of one head; divisible by `axes`.
    pub head_dim: usize,
    /// Radians per position of each pair of a chunk; at most half as many as a chunk has features.
    pub frequencies: Arc<[f64]>,
    /// Factor on the features that are rotated, 1 for a rotation alone (`attention_factor` of YaRN and
    /// LongRoPE: arXiv 2309.00071 §3.4).
    pub factor: f64,
    /// Position columns: 1 for text, 2 for pictures.
    pub axes: usize,
    /// Rotate backwards, with the same factor: the transpose, used as gradient.
    pub inverse: bool,
}

impl RopeSpec {
    /// The frequencies of the paper for whole chunks: theta^(−2i/chunk).
    pub fn geometric(head_dim: usize, theta: f32, axes: usize) -> Self {
        let half = head_dim / axes.max(1) / 2;
        let frequency = |i: usize| f64::from(theta).powf(-(i as f64) / half as f64);
        let frequencies = (0..half).map(frequency).collect();
        RopeSpec { head_dim, frequencies, factor: 1.0, axes, inverse: false }
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

impl fmt::Display for AttentionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AttentionSpec { batch, heads, kv_heads, head_dim, causal, .. } = self;
        let mask = if *causal { "causal" } else { "both ways" };
        write!(f, "batch {batch}, heads {heads}/{kv_heads} of {head_dim}, {mask}")?;
        scores(f, self.window, self.scale, self.score_cap)
    }
}

impl fmt::Display for CachedAttentionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CachedAttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap } = self;
        write!(f, "heads {heads}/{kv_heads} of {head_dim}")?;
        scores(f, *window, *scale, *score_cap)
    }
}

/// How the scores of an attention come about.
fn scores(
    f: &mut fmt::Formatter<'_>,
    window: Option<usize>,
    scale: f32,
    cap: Option<f32>,
) -> fmt::Result {
    window.map_or(Ok(()), |window| write!(f, ", window {window}"))?;
    write!(f, ", scale {scale}")?;
    cap.map_or(Ok(()), |cap| write!(f, ", score_cap {cap}"))
}
