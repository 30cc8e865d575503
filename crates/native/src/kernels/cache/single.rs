//! One query against a block of keys: the partial softmax of each head of a key head's group.

use std::ops::Range;

use super::{Cached, CachedHeads};
use crate::isa::{Kernel, Simd};
use crate::kernels::convert::Float;
use crate::kernels::curves::{Curve, SoftCap};

/// Entries of a block: long enough to repay a task, short enough to share a long context among
/// threads, and a fixed number, so that an answer does not depend on who else is being answered.
pub(super) const KEY_BLOCK: usize = 256;

/// Softmax over some of the keys: per head of a group, the largest score, the sum of exponentials
/// under it, and the weighted values.
pub(super) struct Partial {
    head_dim: usize,
    max: Vec<f32>,
    sum: Vec<f32>,
    /// [group, head_dim]
    out: Vec<f32>,
}

impl Partial {
    /// Nothing seen yet.
    pub fn nothing(heads: CachedHeads) -> Self {
        let (group, head_dim) = (heads.group(), heads.head_dim());
        Partial {
            head_dim,
            max: vec![f32::NEG_INFINITY; group],
            sum: vec![0.0; group],
            out: vec![0.0; group * head_dim],
        }
    }

    /// Adds what another part of the keys gave.
    pub fn absorb(&mut self, other: &Partial) {
        for head in 0..self.max.len() {
            // The maximum ignores NaN; the sums do not.
            let max = self.max[head].max(other.max[head]);
            let base = if max == f32::NEG_INFINITY { 0.0 } else { max };
            let (mine, theirs) = ((self.max[head] - base).exp(), (other.max[head] - base).exp());
            self.sum[head] = self.sum[head] * mine + other.sum[head] * theirs;
            let at = head * self.head_dim..(head + 1) * self.head_dim;
            for (a, b) in self.out[at.clone()].iter_mut().zip(&other.out[at]) {
                *a = *a * mine + b * theirs;
            }
            self.max[head] = max;
        }
    }

    /// Writes the softmax average of each head.
    pub fn store<T>(&self, cached: Cached<'_, T>, query: usize, kv_head: usize) {
        let heads = cached.heads;
        let group = heads.group();
        let start = (query * heads.heads + kv_head * group) * self.head_dim;
        // SAFETY: the heads of a query and key head are written by whoever combines them, once.
        let to = unsafe { cached.out.part(start, group * self.head_dim) };
        let rows = to.chunks_exact_mut(self.head_dim).zip(self.out.chunks_exact(self.head_dim));
        // A window of 0 shows nothing.
        let (first, end) = heads.range(cached.places.positions[query] as usize);
        for ((to, out), sum) in rows.zip(&self.sum) {
            let factor = if first < end { 1.0 / sum } else { 0.0 };
            to.iter_mut().zip(out).for_each(|(to, out)| *to = out * factor);
        }
    }
}

/// One query, one key head, some entries. `scratch` holds [`KEY_BLOCK`] scores per head.
pub(super) struct Single<'a, T> {
    pub cached: Cached<'a, T>,
    pub query: usize,
    pub kv_head: usize,
    pub entries: Range<usize>,
    pub scratch: &'a mut [f32],
}

impl<'a, T: Float> Single<'a, T> {
    /// As a kernel that fills `partial`.
    pub fn into_kernel(self, partial: &'a mut Partial) -> impl Kernel<Output = ()> {
        Attend { single: self, partial }
    }

    /// Fills `partial`, which has seen nothing.
    #[inline(always)]
    pub fn attend<S: Simd>(self, s: S, partial: &mut Partial) {
        let Cached { heads, q, keys, values, places, .. } = self.cached;
        let (group, d) = (heads.group(), heads.head_dim());
        let q = &q[(self.query * heads.heads + self.kv_head * group) * d..][..group * d];
        let sequence = places.sequences[self.query] as usize;
        let pieces = || self.cached.pieces(sequence, self.kv_head, self.entries.clone());
        for (entries, at) in pieces() {
            for (i, key) in entries.clone().zip(keys[at..].chunks_exact(d.max(1))) {
                for head in 0..group {
                    let score = heads.scale * dot_wide(s, &q[head * d..(head + 1) * d], key);
                    self.scratch[head * KEY_BLOCK + i] = score;
                    partial.max[head] = partial.max[head].max(score);
                }
            }
        }
        for head in 0..group {
            let scores = &mut self.scratch[head * KEY_BLOCK..][..self.entries.len()];
            if let Some(cap) = heads.score_cap {
                bound(s, scores, cap);
                partial.max[head] = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            }
            let max = partial.max[head];
            let base = if max == f32::NEG_INFINITY { 0.0 } else { max };
            partial.sum[head] = exponentials(s, scores, base);
        }
        for head in 0..group {
            let out = &mut partial.out[head * d..(head + 1) * d];
            for (entries, at) in pieces() {
                let weights = &self.scratch[head * KEY_BLOCK..][entries];
                add_average(s, weights, &values[at..], out);
            }
        }
    }
}

struct Attend<'a, T> {
    single: Single<'a, T>,
    partial: &'a mut Partial,
}

impl<T: Float> Kernel for Attend<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.single.attend(s, self.partial);
    }
}

/// Σ q·key with the key widened.
#[inline(always)]
fn dot_wide<S: Simd, T: Float>(s: S, q: &[f32], key: &[T]) -> f32 {
    let mut sums = [s.zero(); 2];
    let whole = q.len() - q.len() % S::LANES;
    for (i, at) in (0..whole).step_by(S::LANES).enumerate() {
        let key = &key[at..at + S::LANES];
        // SAFETY: LANES elements of the slice just cut.
        let key = unsafe { T::load(s, key.as_ptr()) };
        sums[i % 2] = s.mul_add(s.load(&q[at..]), key, sums[i % 2]);
    }
    let mut sum = s.reduce_add(s.add(sums[0], sums[1]));
    for (q, key) in q[whole..].iter().zip(&key[whole..]) {
        sum += q * key.to_f32();
    }
    sum
}

/// x ← cap·tanh(x/cap).
#[inline(always)]
fn bound<S: Simd>(s: S, scores: &mut [f32], cap: f32) {
    let curve = SoftCap { cap };
    for x in scores.chunks_mut(S::LANES) {
        s.store_partial(curve.value_and_slope(s, s.load_partial(x)).0, x);
    }
}

/// x ← e^(x − base); returns their sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, scores: &mut [f32], base: f32) -> f32 {
    let base = s.splat(base);
    let mut sum = s.zero();
    let whole = scores.len() - scores.len() % S::LANES;
    let (vectors, rest) = scores.split_at_mut(whole);
    for x in vectors.chunks_exact_mut(S::LANES) {
        let e = s.exp(s.sub(s.load(x), base));
        s.store(e, x);
        sum = s.add(sum, e);
    }
    if !rest.is_empty() {
        let e = s.exp(s.sub(s.load_partial(rest), base));
        s.store_partial(e, rest);
    }
    rest.iter().fold(s.reduce_add(sum), |sum, e| sum + e)
}

/// out += Σ_i weights_i·rows_i; the rows follow each other.
#[inline(always)]
fn add_average<S: Simd, T: Float>(s: S, weights: &[f32], rows: &[T], out: &mut [f32]) {
    /// Vectors of a row summed together.
    const WIDTH: usize = 4;
    let d = out.len();
    assert!(weights.len() * d <= rows.len());
    let mut f = 0;
    while f + WIDTH * S::LANES <= d {
        let mut sums: [S::F32; WIDTH] = std::array::from_fn(|j| s.load(&out[f + j * S::LANES..]));
        for (i, &weight) in weights.iter().enumerate() {
            let weight = s.splat(weight);
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: inside row i, whose last element was checked to exist.
                let x = unsafe { T::load(s, rows.as_ptr().add(i * d + f + j * S::LANES)) };
                *sum = s.mul_add(weight, x, *sum);
            }
        }
        for (j, &sum) in sums.iter().enumerate() {
            s.store(sum, &mut out[f + j * S::LANES..]);
        }
        f += WIDTH * S::LANES;
    }
    while f + S::LANES <= d {
        let mut sum = s.load(&out[f..]);
        for (i, &weight) in weights.iter().enumerate() {
            // SAFETY: as above.
            let x = unsafe { T::load(s, rows.as_ptr().add(i * d + f)) };
            sum = s.mul_add(s.splat(weight), x, sum);
        }
        s.store(sum, &mut out[f..]);
        f += S::LANES;
    }
    for f in f..d {
        for (i, weight) in weights.iter().enumerate() {
            out[f] += weight * rows[i * d + f].to_f32();
        }
    }
}
