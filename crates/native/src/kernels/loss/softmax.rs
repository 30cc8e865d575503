//! One row of logits: its negative log-likelihood, and in its place its gradient.

use crate::isa::{Kernel, Simd};
use crate::kernels::curves::{Curve, SoftCap};

/// What becomes of a row.
pub(super) struct Row<'a> {
    pub logits: &'a mut [f32],
    pub target: usize,
    pub softcap: Option<f32>,
    /// With a factor the logits are replaced by factor·(softmax − one-hot)·cap′.
    pub gradient: Option<f32>,
}

impl Kernel for Row<'_> {
    /// `logsumexp(logits) − logits[target]`
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Row { logits, target, softcap, gradient } = self;
        let max = largest(s, logits, softcap);
        let chosen = logits[target];
        let sum = sum_of_exponentials(s, logits, max);
        if let Some(factor) = gradient {
            differentiate(s, logits, max, factor / sum, softcap);
            let slope = softcap.map_or(1.0, |cap| slope(chosen / cap));
            logits[target] -= factor * slope;
        }
        f64::from(max) - f64::from(chosen) + f64::from(sum).ln()
    }
}

/// Caps the logits in place and returns the largest; NaN are passed over.
#[inline(always)]
fn largest<S: Simd>(s: S, logits: &mut [f32], softcap: Option<f32>) -> f32 {
    let mut max = [s.splat(f32::NEG_INFINITY); 2];
    let whole = logits.len() - logits.len() % S::LANES;
    let (vectors, rest) = logits.split_at_mut(whole);
    for (i, x) in vectors.chunks_exact_mut(S::LANES).enumerate() {
        let mut v = s.load(x);
        if let Some(cap) = softcap {
            v = SoftCap { cap }.value_and_slope(s, v).0;
            s.store(v, x);
        }
        max[i % 2] = s.max(v, max[i % 2]);
    }
    if let Some(cap) = softcap
        && !rest.is_empty()
    {
        let v = SoftCap { cap }.value_and_slope(s, s.load_partial(rest)).0;
        s.store_partial(v, rest);
    }
    let start = s.reduce_max(s.max(max[0], max[1]));
    rest.iter().copied().fold(start, f32::max)
}

/// Σ e^(logit − max)
#[inline(always)]
fn sum_of_exponentials<S: Simd>(s: S, logits: &[f32], max: f32) -> f32 {
    let max = s.splat(max);
    let mut sums = [s.zero(); 4];
    let vectors = logits.chunks_exact(S::LANES);
    let rest = vectors.remainder();
    for (i, x) in vectors.enumerate() {
        sums[i % 4] = s.add(sums[i % 4], s.exp(s.sub(s.load(x), max)));
    }
    let mut sum = s.reduce_add(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])));
    if !rest.is_empty() {
        let mut last = [0.0; 16];
        s.store(s.exp(s.sub(s.load_partial(rest), max)), &mut last);
        last[..rest.len()].iter().for_each(|e| sum += e);
    }
    sum
}

/// logit ← factor·e^(logit − max)·cap′
#[inline(always)]
fn differentiate<S: Simd>(s: S, logits: &mut [f32], max: f32, factor: f32, softcap: Option<f32>) {
    let (max, factor) = (s.splat(max), s.splat(factor));
    for x in logits.chunks_mut(S::LANES) {
        let logit = s.load_partial(x);
        let mut gradient = s.mul(s.exp(s.sub(logit, max)), factor);
        if let Some(cap) = softcap {
            let t = s.mul(logit, s.splat(1.0 / cap));
            let one = s.splat(1.0);
            gradient = s.mul(gradient, s.mul(s.sub(one, t), s.add(one, t)));
        }
        s.store_partial(gradient, x);
    }
}

/// Slope of the cap where its result is t·cap: 1 − t².
fn slope(t: f32) -> f32 {
    (1.0 - t) * (1.0 + t)
}
