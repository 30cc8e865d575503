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

/// One query and neighbouring heads: some that read one key head, or all that read several.
pub(super) struct Single<'a, T> {
    pub cached: Cached<'a, T>,
    pub query: usize,
    pub heads: Range<usize>,
    /// [`scratch_floats`] elements.
    pub scratch: &'a mut [f32],
}

/// A row that is read soon, asked for.
#[inline(always)]
fn prefetch<S: Simd, T: Entry>(s: S, units: *const T, row: usize, head_dim: usize) {
    const LINE: usize = 64;
    let start = units.wrapping_add(row / T::NUMBERS).cast::<u8>();
    for byte in (0..head_dim / T::NUMBERS * size_of::<T>()).step_by(LINE) {
        s.prefetch(start.wrapping_add(byte).cast());
    }
}

/// The first numbers of the rows of some entries of a sequence.
#[derive(Clone, Copy)]
struct Rows {
    begins: [usize; KEYS],
    count: usize,
}

impl Rows {
    #[inline(always)]
    fn new<T>(
        cached: &Cached<'_, T>,
        sequence: usize,
        kv_head: usize,
        entries: Range<usize>,
    ) -> Self {
        let (mut begins, count, d) = ([0; KEYS], entries.len(), cached.heads.head_dim());
        for (entries, at) in cached.pieces(sequence, kv_head, entries) {
            for (i, begin) in begins[entries].iter_mut().enumerate() {
                *begin = at + i * d;
            }
        }
        Rows { begins, count }
    }

    /// Those of the key head that is so many numbers further.
    #[inline(always)]
    fn moved(&self, by: usize) -> Self {
        Rows { begins: self.begins.map(|begin| begin + by), count: self.count }
    }

    #[inline(always)]
    fn begins(&self) -> &[usize] {
        &self.begins[..self.count]
    }
}

impl<T: Entry> Kernel for Single<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Single { cached, query, heads: Range { start, end }, scratch } = self;
        let (heads, d) = (cached.heads, cached.heads.head_dim());
        let kv_heads = start / heads.group()..(end - 1) / heads.group() + 1;
        let group = (end - start) / kv_heads.len();
        let first_at = (query * heads.heads + start) * d;
        let floats = scratch_floats(group, d);
        let q = &cached.q[first_at..][..(end - start) * d];
        for of_group in 0..kv_heads.len() {
            let mut running = Group::of(group, d, &mut scratch[of_group * floats..][..floats]);
            running.begin(s, heads.scale, &q[of_group * group * d..][..group * d]);
        }
        let sequence = cached.places.sequences[query] as usize;
        let (first, seen) = heads.range(cached.places.positions[query] as usize);
        let entries = |tile: usize| tile.max(first).min(seen)..(tile + KEYS).min(seen);
        let next_head = heads.paging.page * d;
        let begin = first / KEYS * KEYS;
        let mut of_first = Rows::new(&cached, sequence, kv_heads.start, entries(begin));
        // All heads of a tile before the next tile: those of a page lie one after another.
        for tile in (begin..seen).step_by(KEYS) {
            let of_next = Rows::new(&cached, sequence, kv_heads.start, entries(tile + KEYS));
            let mut rows = of_first;
            for of_group in 0..kv_heads.len() {
                let mut running = Group::of(group, d, &mut scratch[of_group * floats..][..floats]);
                let is_last = of_group + 1 == kv_heads.len();
                let next = if is_last { of_next } else { rows.moved(next_head) };
                running.score(s, &cached, rows.begins(), next.begins());
                running.bound(s, heads.score_cap, rows.count);
                for head in 0..group {
                    running.soften(s, head, rows.count);
                }
                running.weigh(s, cached.values, rows.begins());
                rows = next;
            }
            of_first = of_next;
        }
        // SAFETY: these heads of a query belong to one task.
        let to = unsafe { cached.out.part(first_at, (end - start) * d) };
        for of_group in 0..kv_heads.len() {
            let running = Group::of(group, d, &mut scratch[of_group * floats..][..floats]);
            running.finish(s, first < seen, &mut to[of_group * group * d..][..group * d]);
        }
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

impl<'a> Group<'a> {
    /// The state of so many heads in its scratch.
    #[inline(always)]
    fn of(group: usize, head_dim: usize, scratch: &'a mut [f32]) -> Self {
        let wide = group * padded(head_dim);
        let (queries, rest) = scratch.split_at_mut(wide);
        let (out, rest) = rest.split_at_mut(wide);
        let (scores, rest) = rest.split_at_mut(group * KEYS);
        let (max, rest) = rest.split_at_mut(group);
        let sum = &mut rest[..group];
        Group { queries, scores, out, max, sum, head_dim }
    }

    /// Takes the queries [group, head_dim]; nothing is seen yet.
    #[inline(always)]
    fn begin<S: Simd>(&mut self, s: S, scale: f32, q: &[f32]) {
        self.out.fill(0.0);
        self.max.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
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

    /// The scores of keys that begin at `rows`. Keys and values of the rows that come next are asked for
    /// bit by bit meanwhile: asked for at once they would be waited for.
    #[inline(always)]
    fn score<S: Simd, T: Entry>(
        &mut self,
        s: S,
        cached: &Cached<'_, T>,
        rows: &[usize],
        next: &[usize],
    ) {
        let (d, keys) = (self.head_dim, cached.keys);
        let whole = d - d % S::LANES;
        let (group, filled) = (self.max.len(), rows.len().next_multiple_of(S::LANES));
        for head in 0..group {
            self.scores[head * KEYS..][..filled].fill(0.0);
        }
        let last = rows.len() - 1;
        let numbers = keys.len() * T::NUMBERS;
        assert!(rows.iter().all(|row| row + d <= numbers), "keys lie in their cache");
        let blocks = (filled / S::LANES * (whole / S::LANES)).max(1);
        let mut ahead = next.chunks(next.len().div_ceil(blocks).max(1));
        for first in (0..filled).step_by(S::LANES) {
            for f in (0..whole).step_by(S::LANES) {
                for &row in ahead.next().unwrap_or_default() {
                    prefetch(s, keys.as_ptr(), row, d);
                    prefetch(s, cached.values.as_ptr(), row, d);
                }
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
