//! One query and some of the heads that share a key head, which read each key and value once. The
//! arithmetic is that of a tile of queries, operation for operation: scores summed over the
//! features in order, a running maximum over tiles of keys at multiples of [`KEYS`], and sums over
//! the keys of a tile in order. So a query has the same bits alone and in a tile. Scores lie in
//! lanes by key here, by query there.

use std::ops::Range;

use super::super::attention::{KEYS, padded};
use super::Cached;
use crate::isa::{Kernel, Simd};
use crate::kernels::convert::Float;
use crate::kernels::curves::{Curve, SoftCap};
use crate::kernels::math::{LOG2E, exp2};

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// Scratch of so many heads.
pub(super) fn scratch_floats(heads: usize, head_dim: usize) -> usize {
    heads * (padded(head_dim) * 2 + KEYS + 2)
}

/// One query and neighbouring heads that read one key head.
pub(super) struct Single<'a, T> {
    pub cached: Cached<'a, T>,
    pub query: usize,
    pub heads: Range<usize>,
    /// [`scratch_floats`] elements.
    pub scratch: &'a mut [f32],
}

/// The running softmax of some heads of a group.
struct Group<'a> {
    /// [group, padded head_dim]: the queries, scaled to scores in units of log2.
    queries: &'a mut [f32],
    /// [group, KEYS]
    scores: &'a mut [f32],
    /// [group, padded head_dim]
    out: &'a mut [f32],
    /// Largest score so far, by head.
    max: &'a mut [f32],
    /// Sum of 2^(score − max) so far, by head.
    sum: &'a mut [f32],
    head_dim: usize,
}

impl<T: Float> Kernel for Single<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Single { cached, query, heads: Range { start, end }, scratch } = self;
        let heads = cached.heads;
        let (kv_head, group, d) = (start / heads.group(), end - start, heads.head_dim());
        let at = (query * heads.heads + start) * d;
        let mut running = Group::new(s, group, d, scratch);
        running.pack(s, heads.scale, &cached.q[at..][..group * d]);
        let sequence = cached.places.sequences[query] as usize;
        let (first, end) = heads.range(cached.places.positions[query] as usize);
        for tile in (first / KEYS * KEYS..end).step_by(KEYS) {
            let entries = tile.max(first)..(tile + KEYS).min(end);
            let mut rows = [0; KEYS];
            let rows = &mut rows[..entries.len()];
            for (entries, at) in cached.pieces(sequence, kv_head, entries) {
                let piece = rows[entries].iter_mut().enumerate();
                piece.for_each(|(i, row)| *row = at + i * d);
            }
            running.score(s, cached.keys, rows);
            running.bound(s, heads.score_cap, rows.len());
            for head in 0..group {
                running.soften(s, head, rows.len());
                running.weigh(s, head, cached.values, rows);
            }
        }
        // SAFETY: these heads of a query belong to one task.
        let to = unsafe { cached.out.part(at, group * d) };
        running.finish(s, first < end, to);
    }
}

impl<'a> Group<'a> {
    /// Nothing seen yet.
    #[inline(always)]
    fn new<S: Simd>(_: S, group: usize, head_dim: usize, scratch: &'a mut [f32]) -> Self {
        let wide = group * padded(head_dim);
        let (queries, rest) = scratch.split_at_mut(wide);
        let (out, rest) = rest.split_at_mut(wide);
        let (scores, rest) = rest.split_at_mut(group * KEYS);
        let (max, rest) = rest.split_at_mut(group);
        let sum = &mut rest[..group];
        out.fill(0.0);
        max.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        Group { queries, scores, out, max, sum, head_dim }
    }

    /// Takes the queries [group, head_dim].
    #[inline(always)]
    fn pack<S: Simd>(&mut self, s: S, scale: f32, q: &[f32]) {
        let (factor, d) = (s.splat(scale * LOG2E), self.head_dim);
        if d == 0 {
            return;
        }
        for (q, to) in q.chunks_exact(d).zip(self.queries.chunks_exact_mut(padded(d))) {
            for (q, to) in q.chunks(S::LANES).zip(to.chunks_mut(S::LANES)) {
                s.store(s.mul(s.load_partial(q), factor), to);
            }
        }
    }

    /// The scores of keys that begin at `rows`.
    #[inline(always)]
    fn score<S: Simd, T: Float>(&mut self, s: S, keys: &[T], rows: &[usize]) {
        let d = self.head_dim;
        let whole = d - d % S::LANES;
        let (group, filled) = (self.max.len(), rows.len().next_multiple_of(S::LANES));
        (0..group).for_each(|head| self.scores[head * KEYS..][..filled].fill(0.0));
        let last = rows.len() - 1;
        for f in (0..whole).step_by(S::LANES) {
            for first in (0..filled).step_by(S::LANES) {
                let mut square = s.square(s.zero());
                for (i, vector) in square.as_mut().iter_mut().enumerate() {
                    // Missing keys repeat the last one.
                    let key = &keys[rows[(first + i).min(last)] + f..][..S::LANES];
                    // SAFETY: LANES elements of the slice just cut.
                    *vector = unsafe { T::load(s, key.as_ptr()) };
                }
                let columns = s.transpose(square);
                self.add_scores(s, first, f, columns.as_ref());
            }
        }
        for f in whole..d {
            for first in (0..filled).step_by(S::LANES) {
                let mut column = [0.0; MOST_LANES];
                for (i, x) in column[..S::LANES].iter_mut().enumerate() {
                    *x = keys[rows[(first + i).min(last)] + f].to_f32();
                }
                self.add_scores(s, first, f, &[s.load(&column)]);
            }
        }
    }

    /// Bounds the scores by cap·tanh(score/cap), if they are; those of lanes beyond the last key
    /// are then −∞.
    #[inline(always)]
    fn bound<S: Simd>(&mut self, s: S, cap: Option<f32>, keys: usize) {
        let filled = keys.next_multiple_of(S::LANES);
        for head in 0..self.max.len() {
            let scores = &mut self.scores[head * KEYS..][..filled];
            if let Some(cap) = cap {
                let curve = SoftCap { cap: cap * LOG2E };
                for x in scores.chunks_exact_mut(S::LANES) {
                    s.store(curve.value_and_slope(s, s.load(x)).0, x);
                }
            }
            scores[keys..].fill(f32::NEG_INFINITY);
        }
    }

    /// Adds features `f..` of a vector of keys to the scores of all heads.
    #[inline(always)]
    fn add_scores<S: Simd>(&mut self, s: S, first: usize, f: usize, columns: &[S::F32]) {
        let wide = padded(self.head_dim);
        for head in 0..self.max.len() {
            let scores = &mut self.scores[head * KEYS + first..];
            let query = &self.queries[head * wide + f..][..columns.len()];
            let mut sums = s.load(scores);
            for (&q, &column) in query.iter().zip(columns) {
                sums = s.mul_add(column, s.splat(q), sums);
            }
            s.store(sums, scores);
        }
    }

    /// Turns the scores of a head into exponentials under the new maximum and rescales what came
    /// before.
    #[inline(always)]
    fn soften<S: Simd>(&mut self, s: S, head: usize, keys: usize) {
        let scores = &mut self.scores[head * KEYS..][..keys.next_multiple_of(S::LANES)];
        let before = self.max[head];
        let mut most = s.splat(before);
        for scores in scores.chunks_exact(S::LANES) {
            // The maximum ignores NaN; the sum below does not.
            most = s.max(s.load(scores), most);
        }
        let max = s.reduce_max(most);
        let base = s.splat(if max == f32::NEG_INFINITY { 0.0 } else { max });
        for scores in scores.chunks_exact_mut(S::LANES) {
            s.store(exp2(s, s.sub(s.load(scores), base)), scores);
        }
        let sum = scores[..keys].iter().fold(0.0, |sum, weight| sum + weight);
        let factor = exp2(s, s.sub(s.splat(before), base));
        let mut lanes = [0.0; MOST_LANES];
        s.store(s.mul_add(s.splat(self.sum[head]), factor, s.splat(sum)), &mut lanes);
        self.sum[head] = lanes[0];
        self.max[head] = max;
        s.store(factor, &mut lanes);
        if lanes[0] != 1.0 {
            let wide = padded(self.head_dim);
            for x in self.out[head * wide..][..wide].chunks_exact_mut(S::LANES) {
                s.store(s.mul(s.load(x), factor), x);
            }
        }
    }

    /// Adds the weighted values that begin at `rows`.
    #[inline(always)]
    fn weigh<S: Simd, T: Float>(&mut self, s: S, head: usize, values: &[T], rows: &[usize]) {
        /// Vectors of a row summed together.
        const WIDTH: usize = 4;
        let (d, wide) = (self.head_dim, padded(self.head_dim));
        let weights = &self.scores[head * KEYS..][..rows.len()];
        let out = &mut self.out[head * wide..][..wide];
        let whole = d - d % S::LANES;
        let wides = whole - whole % (WIDTH * S::LANES);
        assert!(rows.iter().all(|row| row + d <= values.len()), "values lie in their cache");
        for f in (0..wides).step_by(WIDTH * S::LANES) {
            let mut sums = [s.zero(); WIDTH];
            for (&weight, &row) in weights.iter().zip(rows) {
                let weight = s.splat(weight);
                for (j, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: features of a row that was checked to lie in the cache.
                    let x = unsafe { T::load(s, values.as_ptr().add(row + f + j * S::LANES)) };
                    *sum = s.mul_add(weight, x, *sum);
                }
            }
            for (j, &sum) in sums.iter().enumerate() {
                let out = &mut out[f + j * S::LANES..];
                s.store(s.add(sum, s.load(out)), out);
            }
        }
        for f in (wides..d).step_by(S::LANES) {
            let mut sum = s.zero();
            for (&weight, &row) in weights.iter().zip(rows) {
                let mut lanes = [0.0; MOST_LANES];
                let row = values[row + f..row + d.min(f + S::LANES)].iter();
                lanes.iter_mut().zip(row).for_each(|(lane, x)| *lane = x.to_f32());
                sum = s.mul_add(s.splat(weight), s.load(&lanes), sum);
            }
            s.store(s.add(sum, s.load(&out[f..])), &mut out[f..]);
        }
    }

    /// Writes the softmax average of each head; 0 where nothing is seen.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, seen: bool, to: &mut [f32]) {
        let d = self.head_dim;
        if d == 0 {
            return;
        }
        let rows = to.chunks_exact_mut(d).zip(self.out.chunks_exact(padded(d)));
        for ((to, out), sum) in rows.zip(&*self.sum) {
            let factor = s.splat(if seen { 1.0 / sum } else { 0.0 });
            for (to, out) in to.chunks_mut(S::LANES).zip(out.chunks_exact(S::LANES)) {
                s.store_partial(s.mul(s.load(out), factor), to);
            }
        }
    }
}
