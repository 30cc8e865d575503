//! One query and some of the heads that share a key head, which read each key and value once. The
//! arithmetic is that of a tile of queries, operation for operation: scores summed over the
//! features in order, a running maximum over tiles of keys at multiples of [`KEYS`], and sums over
//! the keys of a tile in order. So a query has the same bits alone and in a tile. Scores lie in
//! lanes by key here, by query there.

use std::ops::Range;

use super::super::attention::{KEYS, padded};
use super::{Cached, Entry};
use crate::isa::{Kernel, Simd};
use crate::kernels::curves::{Curve, SoftCap};
use crate::kernels::math::{LOG2E, exp2};

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// Heads that share a value while it is in a register.
const HEADS: usize = 4;

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

/// Asks for numbers of a cache that lie together.
#[inline(always)]
fn prefetch<S: Simd, T: Entry>(s: S, units: &[T], at: usize, numbers: usize) {
    const LINE: usize = 64;
    let start = units[at / T::NUMBERS..].as_ptr().cast::<u8>();
    for byte in (0..numbers / T::NUMBERS * size_of::<T>()).step_by(LINE) {
        s.prefetch(start.wrapping_add(byte).cast());
    }
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

impl<T: Entry> Kernel for Single<'_, T> {
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
            // Pages lie anywhere: the next ones are asked for while these are attended to.
            let ahead = (tile + KEYS).min(end)..(tile + 2 * KEYS).min(end);
            for (entries, at) in cached.pieces(sequence, kv_head, ahead) {
                prefetch(s, cached.keys, at, entries.len() * d);
                prefetch(s, cached.values, at, entries.len() * d);
            }
            running.score(s, cached.keys, rows);
            running.bound(s, heads.score_cap, rows.len());
            (0..group).for_each(|head| running.soften(s, head, rows.len()));
            running.weigh(s, cached.values, rows);
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
    fn score<S: Simd, T: Entry>(&mut self, s: S, keys: &[T], rows: &[usize]) {
        let d = self.head_dim;
        let whole = d - d % S::LANES;
        let (group, filled) = (self.max.len(), rows.len().next_multiple_of(S::LANES));
        (0..group).for_each(|head| self.scores[head * KEYS..][..filled].fill(0.0));
        let last = rows.len() - 1;
        let numbers = keys.len() * T::NUMBERS;
        assert!(rows.iter().all(|row| row + d <= numbers), "keys lie in their cache");
        for f in (0..whole).step_by(S::LANES) {
            for first in (0..filled).step_by(S::LANES) {
                let mut square = s.square(s.zero());
                for (i, vector) in square.as_mut().iter_mut().enumerate() {
                    // Missing keys repeat the last one.
                    let at = rows[(first + i).min(last)] + f;
                    // SAFETY: features of a row that was checked to lie in the cache.
                    *vector = unsafe { T::load(s, keys.as_ptr(), at) };
                }
                let columns = s.transpose(square);
                self.add_scores(s, first, f, columns.as_ref());
            }
        }
        for f in whole..d {
            for first in (0..filled).step_by(S::LANES) {
                let mut column = [0.0; MOST_LANES];
                for (i, x) in column[..S::LANES].iter_mut().enumerate() {
                    *x = T::get(keys, rows[(first + i).min(last)] + f);
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

    /// Adds the weighted values that begin at `rows`. Several heads share what is read and widened.
    #[inline(always)]
    fn weigh<S: Simd, T: Entry>(&mut self, s: S, values: &[T], rows: &[usize]) {
        let (d, numbers) = (self.head_dim, values.len() * T::NUMBERS);
        assert!(rows.iter().all(|row| row + d <= numbers), "values lie in their cache");
        let heads = self.max.len();
        for head in (0..heads).step_by(HEADS) {
            match (heads - head).min(HEADS) {
                1 => self.weigh_heads::<S, T, 1>(s, head, values, rows),
                2 => self.weigh_heads::<S, T, 2>(s, head, values, rows),
                3 => self.weigh_heads::<S, T, 3>(s, head, values, rows),
                _ => self.weigh_heads::<S, T, HEADS>(s, head, values, rows),
            }
        }
    }

    /// As [`Group::weigh`], for `H` heads from `head` on.
    #[inline(always)]
    fn weigh_heads<S: Simd, T: Entry, const H: usize>(
        &mut self,
        s: S,
        head: usize,
        values: &[T],
        rows: &[usize],
    ) {
        let (d, wide) = (self.head_dim, padded(self.head_dim));
        let whole = d - d % S::LANES;
        let mut f = 0;
        while f < whole {
            // As many sums as sixteen registers hold beside what they are made of, or 32.
            let most = if S::LANES == 8 && H > 2 { 2 } else { 4 };
            f += match ((whole - f) / S::LANES).min(most) {
                1 => self.weigh_block::<S, T, H, 1>(s, head, f, values, rows),
                2 | 3 => self.weigh_block::<S, T, H, 2>(s, head, f, values, rows),
                _ => self.weigh_block::<S, T, H, 4>(s, head, f, values, rows),
            };
        }
        for head in head..head + H {
            let (weights, out) = (&self.scores[head * KEYS..], &mut self.out[head * wide..]);
            for f in (whole..d).step_by(S::LANES) {
                let mut sum = s.zero();
                for (&weight, &row) in weights.iter().zip(rows) {
                    let mut lanes = [0.0; MOST_LANES];
                    let row = row + f..row + d.min(f + S::LANES);
                    lanes.iter_mut().zip(row).for_each(|(lane, at)| *lane = T::get(values, at));
                    sum = s.mul_add(s.splat(weight), s.load(&lanes), sum);
                }
                s.store(s.add(sum, s.load(&out[f..])), &mut out[f..]);
            }
        }
    }

    /// As [`Group::weigh_heads`], for `W` vectors of features from `f` on. How many features these are.
    #[inline(always)]
    fn weigh_block<S: Simd, T: Entry, const H: usize, const W: usize>(
        &mut self,
        s: S,
        head: usize,
        f: usize,
        values: &[T],
        rows: &[usize],
    ) -> usize {
        let wide = padded(self.head_dim);
        let weights: [&[f32]; H] =
            std::array::from_fn(|h| &self.scores[(head + h) * KEYS..][..rows.len()]);
        let mut sums = [[s.zero(); W]; H];
        for (i, &row) in rows.iter().enumerate() {
            let x: [S::F32; W] = std::array::from_fn(|j| {
                // SAFETY: features of a row that was checked to lie in the cache.
                unsafe { T::load(s, values.as_ptr(), row + f + j * S::LANES) }
            });
            for h in 0..H {
                let weight = s.splat(weights[h][i]);
                for j in 0..W {
                    sums[h][j] = s.mul_add(weight, x[j], sums[h][j]);
                }
            }
        }
        for (h, sums) in sums.iter().enumerate() {
            let out = &mut self.out[(head + h) * wide + f..];
            for (sum, out) in sums.iter().zip(out.chunks_exact_mut(S::LANES)) {
                s.store(s.add(*sum, s.load(out)), out);
            }
        }
        W * S::LANES
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
