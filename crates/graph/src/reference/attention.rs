//! Grouped-query attention with masks, forward and backward (arXiv 2205.14135 §3.1, appendix B.4,
//! without its tiling).

use super::Array;
use super::activation::{soft_cap, soft_cap_slope};
use crate::AttentionSpec;

/// Whether the masks let a query at time `t` see the key at time `s`.
fn sees(spec: &AttentionSpec, t: usize, s: usize) -> bool {
    let future = spec.causal && s > t;
    !future && spec.window.is_none_or(|window| t.abs_diff(s) < window)
}

/// The score of a raw product q·k, and its slope by the product.
pub(super) fn score(raw: f64, scale: f32, cap: Option<f32>) -> (f64, f64) {
    let scale = f64::from(scale);
    match cap.map(f64::from) {
        None => (scale * raw, scale),
        Some(cap) => (soft_cap(scale * raw, cap), scale * soft_cap_slope(scale * raw, cap)),
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// softmax(scores)·values, and the logarithm of the softmax's denominator; 0 and −∞ without keys.
pub(super) fn softmax_average<'a>(
    scores: &[f64],
    values: impl Iterator<Item = &'a [f64]>,
    width: usize,
) -> (Vec<f64>, f64) {
    let mut out = vec![0.0; width];
    if scores.is_empty() {
        return (out, f64::NEG_INFINITY);
    }
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
    for (score, value) in scores.iter().zip(values) {
        let p = (score - max).exp() / sum;
        out.iter_mut().zip(value).for_each(|(out, v)| *out += p * v);
    }
    (out, max + sum.ln())
}

/// One head of one token.
fn head(x: &Array, token: usize, head: usize, head_dim: usize) -> &[f64] {
    &x.row(token)[head * head_dim..(head + 1) * head_dim]
}

/// Rows of the keys that the query of row `token` sees.
fn visible(
    tokens: usize,
    token: usize,
    segments: Option<&Array>,
    spec: &AttentionSpec,
) -> Vec<usize> {
    let time = tokens / spec.batch;
    let (first, t) = (token - token % time, token % time);
    let one_segment = |a: usize, b: usize| segments.is_none_or(|s| s.data[a] == s.data[b]);
    (0..time)
        .filter(|&s| sees(spec, t, s))
        .map(|s| first + s)
        .filter(|&s| one_segment(token, s))
        .collect()
}

/// q, k, v → out, lse.
pub(super) fn attention(
    q: &Array,
    k: &Array,
    v: &Array,
    segments: Option<&Array>,
    spec: &AttentionSpec,
) -> Vec<Array> {
    let (tokens, dim) = (q.shape[0], spec.head_dim);
    let mut out = Array::zeros(&q.shape);
    let mut lse = Array::zeros(&[tokens, spec.heads]);
    for token in 0..tokens {
        let keys = visible(tokens, token, segments, spec);
        for h in 0..spec.heads {
            let kv = h / (spec.heads / spec.kv_heads);
            let query = head(q, token, h, dim);
            let scores: Vec<f64> = keys
                .iter()
                .map(|&s| score(dot(query, head(k, s, kv, dim)), spec.scale, spec.score_cap).0)
                .collect();
            let values = keys.iter().map(|&s| head(v, s, kv, dim));
            let (average, log_sum) = softmax_average(&scores, values, dim);
            out.row_mut(token)[h * dim..(h + 1) * dim].copy_from_slice(&average);
            lse.row_mut(token)[h] = log_sum;
        }
    }
    vec![out, lse]
}

/// q, k, v, out, lse, dout → dq, dk, dv. With a score s of q·k and p = exp(s − lse):
/// dv = Σ p·dout, ds = p·(dout·v − dout·out), dq = Σ s′·ds·k, dk = Σ s′·ds·q.
pub(super) fn attention_backward(
    [q, k, v, out, lse, dout]: [&Array; 6],
    segments: Option<&Array>,
    spec: &AttentionSpec,
) -> Vec<Array> {
    let (tokens, dim) = (q.shape[0], spec.head_dim);
    let mut dq = Array::zeros(&q.shape);
    let mut dk = Array::zeros(&k.shape);
    let mut dv = Array::zeros(&v.shape);
    for token in 0..tokens {
        for h in 0..spec.heads {
            let kv = h / (spec.heads / spec.kv_heads);
            let query = head(q, token, h, dim);
            let d = head(dout, token, h, dim);
            let delta = dot(d, head(out, token, h, dim));
            for s in visible(tokens, token, segments, spec) {
                let (key, value) = (head(k, s, kv, dim), head(v, s, kv, dim));
                let (score, slope) = score(dot(query, key), spec.scale, spec.score_cap);
                let p = (score - lse.row(token)[h]).exp();
                let dproduct = slope * p * (dot(d, value) - delta);
                for j in 0..dim {
                    dq.row_mut(token)[h * dim + j] += dproduct * key[j];
                    dk.row_mut(s)[kv * dim + j] += dproduct * query[j];
                    dv.row_mut(s)[kv * dim + j] += p * d[j];
                }
            }
        }
    }
    vec![dq, dk, dv]
}
