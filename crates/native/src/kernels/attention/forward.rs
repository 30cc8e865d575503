//! Attention forward: a tile of queries passes over the tiles of keys it sees, keeping a running
//! maximum and sum (FlashAttention-2, arXiv 2307.08691 §3.1). The result depends on the tile
//! sizes, never on who computes which tile.

use super::product::{Left, Right, Target, transpose};
use super::ranges::KeyRange;
use super::tile::{self, KEYS, QUERIES, Visibility, padded};
use super::{Heads, Rows, WideRows};
use crate::context::Context;
use crate::isa::{Kernel, Simd};
use crate::kernels::disjoint::Disjoint;
use crate::kernels::math::{LOG2E, exp2};

/// softmax(scale·q·kᵀ + mask)·v per head: q and `out` are [batch·time, heads·head_dim], k and v
/// [batch·time, kv_heads·head_dim], `ranges` one per row, `lse` [batch·time, heads] the logarithm
/// of each softmax denominator. A query that sees no key gives 0 and −∞.
///
/// A NaN in a key or value reaches the queries that see it and may reach others of the same tile.
///
/// # Panics
/// If a slice does not have its shape.
pub fn attention(
    context: Context<'_>,
    heads: Heads,
    ranges: &[KeyRange],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &mut [f32],
    lse: &mut [f32],
) {
    heads.check(ranges, q, k, v);
    assert_eq!(out.len(), q.len(), "attention: out has the shape of q");
    assert_eq!(lse.len(), heads.rows() * heads.heads, "attention: lse is [rows, heads]");
    let tiles = heads.time.div_ceil(QUERIES);
    let (out, lse) = (Disjoint::new(out), Disjoint::new(lse));
    // Late tiles see most keys of a causal mask: they go first, so that threads end together.
    context.pool.run(heads.batch * heads.heads * tiles, &|task, worker| {
        let (tile, at) =
            (tiles - 1 - task / (heads.batch * heads.heads), task % (heads.batch * heads.heads));
        let (sequence, head) = (at / heads.heads, at % heads.heads);
        context.pool.with_scratch(worker, scratch_floats(heads.head_dim), |scratch| {
            context.isa.dispatch(QueryTile {
                heads,
                ranges,
                q,
                k,
                v,
                out: &out,
                lse: &lse,
                sequence,
                head,
                tile,
                scratch,
            });
        });
    });
}

/// Scratch of one worker.
pub(in crate::kernels) fn scratch_floats(head_dim: usize) -> usize {
    head_dim * QUERIES + KEYS * QUERIES + (QUERIES + 2 * KEYS) * padded(head_dim)
}

/// One tile of queries of one head.
struct QueryTile<'a> {
    heads: Heads,
    ranges: &'a [KeyRange],
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: &'a Disjoint<'a, f32>,
    lse: &'a Disjoint<'a, f32>,
    sequence: usize,
    head: usize,
    tile: usize,
    scratch: &'a mut [f32],
}

impl Kernel for QueryTile<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Heads { time, head_dim, .. } = self.heads;
        let first = self.tile * QUERIES;
        let count = (time - first).min(QUERIES);
        let row = self.sequence * time + first;
        let (q_row, kv_row) = (self.heads.q_row(), self.heads.kv_row());
        let q = &self.q[row * q_row + self.head * head_dim..];
        let kv_at = self.sequence * time * kv_row + self.heads.kv_head(self.head) * head_dim;
        let (k, v) = (&self.k[kv_at..], &self.v[kv_at..]);
        let visible = Visibility::new::<S>(count, |i| self.ranges[row + i]);
        let mut running = Running::new(count, head_dim, self.scratch).capped(self.heads.score_cap);
        // SAFETY: query i < count and key < time lie inside q, k and v, whose shapes were checked;
        // each (row, head) of out and lse belongs to this task alone.
        unsafe {
            running.pack(s, self.heads.scale, |i| q.as_ptr().add(i * q_row));
            let (start, end) = visible.span();
            for key in (start / KEYS * KEYS..end).step_by(KEYS) {
                let keys = (end - key).min(KEYS);
                let k = Rows { start: k.as_ptr().add(key * kv_row), row: kv_row };
                let v = Rows { start: v.as_ptr().add(key * kv_row), row: kv_row };
                if key + KEYS < end {
                    k.prefetch(s, KEYS, KEYS, head_dim);
                    v.prefetch(s, KEYS, KEYS, head_dim);
                }
                running.pass(s, &visible, key, keys, k, v);
            }
            let out = self.out.at(row * q_row + self.head * head_dim);
            let lse = self.lse.at(row * self.heads.heads + self.head);
            running.finish(s, &visible, |i| out.add(i * q_row), |i| lse.add(i * self.heads.heads));
        }
    }
}

/// The running softmax of a tile of queries.
pub(in crate::kernels) struct Running<'a> {
    count: usize,
    head_dim: usize,
    /// Bound of the scores, in units of log2.
    cap: Option<f32>,
    /// Largest score so far, in units of log2.
    max: [f32; QUERIES],
    /// Sum of 2^(score − max) so far.
    sum: [f32; QUERIES],
    /// [head_dim, QUERIES]
    queries: &'a mut [f32],
    /// [KEYS, QUERIES]
    scores: &'a mut [f32],
    /// [QUERIES, padded head_dim]
    out: &'a mut [f32],
    /// [KEYS, padded head_dim]
    keys: &'a mut [f32],
    /// [KEYS, padded head_dim]
    values: &'a mut [f32],
}

impl<'a> Running<'a> {
    /// Nothing seen yet. `scratch` has [`scratch_floats`] elements.
    #[inline(always)]
    pub fn new(count: usize, head_dim: usize, scratch: &'a mut [f32]) -> Self {
        let (queries, rest) = scratch.split_at_mut(head_dim * QUERIES);
        let (scores, rest) = rest.split_at_mut(KEYS * QUERIES);
        let (out, rest) = rest.split_at_mut(QUERIES * padded(head_dim));
        let (keys, rest) = rest.split_at_mut(KEYS * padded(head_dim));
        let values = &mut rest[..KEYS * padded(head_dim)];
        out[..count * padded(head_dim)].fill(0.0);
        let (max, sum) = ([f32::NEG_INFINITY; QUERIES], [0.0; QUERIES]);
        Running { count, head_dim, cap: None, max, sum, queries, scores, out, keys, values }
    }

    /// With scores bounded by `cap·tanh(score/cap)`.
    #[inline(always)]
    pub fn capped(self, cap: Option<f32>) -> Self {
        Running { cap: cap.map(|cap| cap * LOG2E), ..self }
    }

    /// Takes the queries; `row(i)` is the address of query i.
    ///
    /// # Safety
    /// `row(i)` must be readable at `head_dim` elements for i < count.
    #[inline(always)]
    pub unsafe fn pack<S: Simd>(&mut self, s: S, scale: f32, row: impl Fn(usize) -> *const f32) {
        let to = self.queries.as_mut_ptr();
        // SAFETY: the rows are the caller's promise; `queries` has head_dim rows of QUERIES.
        unsafe { transpose(s, self.count, self.head_dim, QUERIES, scale * LOG2E, row, to) }
    }

    /// Attends to keys `start..start + keys`, at most [`KEYS`] of them; row i of `k` and `v` is key
    /// and value `start + i`.
    ///
    /// # Safety
    /// Rows i < keys of `k` and `v` must have head_dim features.
    #[inline(always)]
    pub unsafe fn pass<S: Simd, R: WideRows>(
        &mut self,
        s: S,
        visible: &Visibility,
        start: usize,
        keys: usize,
        k: R,
        v: R,
    ) {
        let window = visible.window(start, keys);
        if window.is_empty() {
            return;
        }
        let (head_dim, wide) = (self.head_dim, padded(self.head_dim));
        let scores = self.scores.as_mut_ptr();
        // SAFETY: k and v are the caller's promise; scratch blocks have the shapes stated above.
        unsafe {
            gather_rows(s, k, keys, head_dim, self.keys);
            gather_rows(s, v, keys, head_dim, self.values);
            let rows = Left { start: self.keys.as_ptr(), row: wide, column: 1 };
            tile::scores(s, &window, keys, head_dim, rows, self.queries.as_ptr(), scores);
            for group in 0..visible.groups() {
                let keys = window.keys[group];
                if keys.0 < keys.1 {
                    if let Some(cap) = self.cap {
                        tile::cap(s, group, keys, cap, scores);
                    }
                    if !window.whole[group] {
                        visible.mask(s, group, start, keys, f32::NEG_INFINITY, scores);
                    }
                    self.soften(s, group, keys);
                }
            }
            let v = Right { start: self.values.as_ptr(), row: wide };
            let out = Target { start: self.out.as_mut_ptr(), row: wide, accumulate: true };
            tile::weigh(s, &window, self.count, head_dim, scores, v, out);
        }
    }

    /// Turns the scores of a group into exponentials under the new maximum and rescales what came
    /// before.
    #[inline(always)]
    fn soften<S: Simd>(&mut self, s: S, group: usize, keys: (usize, usize)) {
        let lane = group * S::LANES;
        let column = &mut self.scores[lane..];
        let before = s.load(&self.max[lane..]);
        let mut max = before;
        for key in keys.0..keys.1 {
            // The maximum ignores NaN; the sum below does not.
            max = s.max(s.load(&column[key * QUERIES..]), max);
        }
        // While nothing is seen the maximum is −∞, and −∞ − (−∞) would be NaN.
        let nothing = s.splat(f32::NEG_INFINITY);
        let base = s.select(s.eq(max, nothing), s.zero(), max);
        let mut sum = s.zero();
        for key in keys.0..keys.1 {
            let at = &mut column[key * QUERIES..];
            let weight = exp2(s, s.sub(s.load(at), base));
            sum = s.add(sum, weight);
            s.store(weight, at);
        }
        let factor = exp2(s, s.sub(before, base));
        let sum = s.mul_add(s.load(&self.sum[lane..]), factor, sum);
        s.store(sum, &mut self.sum[lane..]);
        s.store(max, &mut self.max[lane..]);
        let mut factors = [0.0; QUERIES];
        s.store(factor, &mut factors);
        let wide = padded(self.head_dim);
        for i in 0..S::LANES.min(self.count - lane) {
            if factors[i] != 1.0 {
                let factor = s.splat(factors[i]);
                let row = &mut self.out[(lane + i) * wide..(lane + i + 1) * wide];
                for x in row.chunks_exact_mut(S::LANES) {
                    s.store(s.mul(s.load(x), factor), x);
                }
            }
        }
    }

    /// Writes out and lse of each query.
    ///
    /// # Safety
    /// `out(i)` must be writable at `head_dim` elements and `lse(i)` at one, for i < count.
    #[inline(always)]
    pub unsafe fn finish<S: Simd>(
        &self,
        s: S,
        visible: &Visibility,
        out: impl Fn(usize) -> *mut f32,
        lse: impl Fn(usize) -> *mut f32,
    ) {
        for i in 0..self.count {
            let (sum, max, seen) = (self.sum[i], self.max[i], visible.sees(i));
            // Scores that are all −∞ leave a sum of 0, and 0/0: NaN, as softmax has it.
            let factor = s.splat(if seen { 1.0 / sum } else { 0.0 });
            let row = &self.out[i * padded(self.head_dim)..];
            for f in (0..self.head_dim).step_by(S::LANES) {
                // SAFETY: feature f < head_dim of query i.
                unsafe {
                    let value = s.mul(s.load(&row[f..]), factor);
                    s.store_first_ptr(value, out(i).add(f), self.head_dim - f);
                }
            }
            // Scores are in units of log2; the sum is between 1 and the number of keys.
            let denominator = (f64::from(max) + f64::from(sum).log2()) * std::f64::consts::LN_2;
            let denominator = if sum == 0.0 { f64::NAN } else { denominator };
            // SAFETY: one element for query i.
            unsafe { *lse(i) = if seen { denominator as f32 } else { f32::NEG_INFINITY } }
        }
    }
}

/// Copies the first `count` rows of `features`, widened to f32, to `copy` [count, padded features]; the padding is
/// unspecified.
///
/// Rows of a matrix with many heads lie a large power of two apart, where they would evict each
/// other from the L1 cache; a copy does not, and costs one access against `QUERIES` uses.
///
/// # Safety
/// There must be `count` rows of `features`.
#[inline(always)]
pub(super) unsafe fn gather_rows<S: Simd>(
    s: S,
    rows: impl WideRows,
    count: usize,
    features: usize,
    copy: &mut [f32],
) {
    let wide = padded(features);
    assert!(copy.len() >= count * wide, "a copy of {count} rows of {wide}");
    let whole = features - features % S::LANES;
    for i in 0..count {
        // SAFETY: feature f < features of row i < count; `copy` holds `wide` ≥ features per row.
        unsafe {
            for f in (0..whole).step_by(S::LANES) {
                s.store_ptr(rows.load(s, i, f), copy.as_mut_ptr().add(i * wide + f));
            }
            for f in whole..features {
                copy[i * wide + f] = rows.get(i, f);
            }
        }
    }
}
