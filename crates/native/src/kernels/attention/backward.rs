//! Gradient of attention: scores are computed again tile by tile and turned into probabilities
//! with the forward's lse (FlashAttention-2, arXiv 2307.08691 §3.1, algorithm 2). One task owns
//! the keys of one key head, or a fixed share of them, and visits all queries that see them, so
//! every sum has one order.

use super::forward::gather_rows;
use super::product::{Left, Right, Target, transpose};
use super::ranges::KeyRange;
use super::tile::{self, KEYS, QUERIES, Visibility, Window, padded};
use super::{Heads, Rows};
use crate::context::Context;
use crate::isa::{Kernel, Simd};
use crate::kernels::disjoint::Disjoint;
use crate::kernels::math::{LOG2E, dot, exp2};

/// Tasks that keep any machine of interest busy. With fewer key heads than this the keys of a head
/// are shared among tasks too.
const TASKS: usize = 32;
/// Most shares of one key head: each costs a copy of dq.
const MAX_SHARES: usize = 8;

/// Tasks that share the keys of one key head: a matter of shape only.
fn shares(heads: Heads) -> usize {
    let owners = (heads.batch * heads.kv_heads).max(1);
    (TASKS / owners).clamp(1, MAX_SHARES).min(heads.time.div_ceil(KEYS).max(1))
}

/// Elements of the pool's joint scratch that [`attention_backward`] uses.
pub fn attention_backward_scratch(heads: Heads) -> usize {
    match shares(heads) {
        1 => 0,
        shares => shares * heads.rows() * heads.q_row(),
    }
}

/// Gradients of [`super::attention`] with respect to q, k and v, from its results and the gradient
/// `dout` of `out`: given q, k, v, out, lse, dout, writes dq, dk, dv. A query that sees no key gets
/// and gives no gradient.
///
/// # Panics
/// If a slice does not have its shape.
pub fn attention_backward(
    context: Context<'_>,
    heads: Heads,
    ranges: &[KeyRange],
    [q, k, v, out, lse, dout]: [&[f32]; 6],
    (dq, dk, dv): (&mut [f32], &mut [f32], &mut [f32]),
) {
    heads.check(ranges, q, k, v);
    assert!(out.len() == q.len() && dout.len() == q.len() && dq.len() == q.len());
    assert!(dk.len() == k.len() && dv.len() == k.len());
    assert_eq!(lse.len(), heads.rows() * heads.heads, "attention: lse is [rows, heads]");
    let inputs = Inputs { heads, ranges, q, k, v, out, lse, dout };
    let shares = shares(heads);
    if shares == 1 {
        return all_shares(context, inputs, shares, dq, dk, dv);
    }
    context.pool.with_joint_scratch(attention_backward_scratch(heads), |parts| {
        all_shares(context, inputs, shares, parts, dk, dv);
        sum_parts(context, parts, dq);
    });
}

/// Runs every share of every key head; `dq` is [shares, rows, heads·head_dim].
fn all_shares(
    context: Context<'_>,
    inputs: Inputs<'_>,
    shares: usize,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let heads = inputs.heads;
    let (dq, dk, dv) = (Disjoint::new(dq), Disjoint::new(dk), Disjoint::new(dv));
    let tiles = heads.time.div_ceil(KEYS).div_ceil(shares);
    context.pool.run(heads.batch * heads.kv_heads * shares, &|task, worker| {
        let (at, share) = (task / shares, task % shares);
        let (sequence, kv_head) = (at / heads.kv_heads, at % heads.kv_heads);
        let start = (share * tiles * KEYS).min(heads.time);
        let keys = (start, (start + tiles * KEYS).min(heads.time));
        let dq_start = share * heads.rows() * heads.q_row();
        context.pool.with_scratch(worker, scratch_floats(heads.head_dim), |scratch| {
            let (dq, dk, dv) = (&dq, &dk, &dv);
            context.isa.dispatch(KeyShare {
                inputs,
                dq,
                dq_start,
                dk,
                dv,
                sequence,
                kv_head,
                keys,
                scratch,
            });
        });
    });
}

/// out = Σ parts, in order; `parts` is [n, out.len()].
fn sum_parts(context: Context<'_>, parts: &[f32], out: &mut [f32]) {
    const BLOCK: usize = 1 << 14;
    let len = out.len();
    let target = Disjoint::new(out);
    context.pool.run(len.div_ceil(BLOCK), &|task, _| {
        let start = task * BLOCK;
        // SAFETY: each task has its own block.
        let out = unsafe { target.part(start, BLOCK.min(len - start)) };
        context.isa.dispatch(SumParts { parts, len, start, out });
    });
}

struct SumParts<'a> {
    parts: &'a [f32],
    len: usize,
    start: usize,
    out: &'a mut [f32],
}

impl Kernel for SumParts<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, out) in self.out.chunks_mut(S::LANES).enumerate() {
            let at = self.start + i * S::LANES;
            let mut sum = s.zero();
            for part in self.parts.chunks_exact(self.len) {
                sum = s.add(sum, s.load_partial(&part[at..at + out.len()]));
            }
            s.store_partial(sum, out);
        }
    }
}

#[derive(Clone, Copy)]
struct Inputs<'a> {
    heads: Heads,
    ranges: &'a [KeyRange],
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: &'a [f32],
    lse: &'a [f32],
    dout: &'a [f32],
}

/// Scratch of one worker: queries and dout transposed, two tiles of scores, five tiles of rows.
fn scratch_floats(head_dim: usize) -> usize {
    2 * head_dim * QUERIES
        + 2 * KEYS * QUERIES
        + 3 * QUERIES * padded(head_dim)
        + 2 * KEYS * padded(head_dim)
}

/// Some keys of one key head, with all queries that see them.
struct KeyShare<'a> {
    inputs: Inputs<'a>,
    dq: &'a Disjoint<'a, f32>,
    dq_start: usize,
    dk: &'a Disjoint<'a, f32>,
    dv: &'a Disjoint<'a, f32>,
    sequence: usize,
    kv_head: usize,
    keys: (usize, usize),
    scratch: &'a mut [f32],
}

impl Kernel for KeyShare<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Inputs { heads, ranges, .. } = self.inputs;
        let (time, d) = (heads.time, heads.head_dim);
        let (q_row, kv_row) = (heads.q_row(), heads.kv_row());
        let kv_at = self.sequence * time * kv_row + self.kv_head * d;
        for key in self.keys.0..self.keys.1 {
            // SAFETY: these rows of this head belong to this task alone.
            unsafe {
                self.dk.part(kv_at + key * kv_row, d).fill(0.0);
                self.dv.part(kv_at + key * kv_row, d).fill(0.0);
            }
        }
        let mut blocks = Blocks::new(heads, self.scratch);
        let group = heads.heads / heads.kv_heads;
        for head in self.kv_head * group..(self.kv_head + 1) * group {
            for first in (0..time).step_by(QUERIES) {
                let count = (time - first).min(QUERIES);
                let row = self.sequence * time + first;
                let visible = Visibility::new::<S>(count, |i| ranges[row + i]);
                let (start, end) = visible.span();
                let (start, end) = (start.max(self.keys.0), end.min(self.keys.1));
                // SAFETY: rows and features lie inside the tensors, whose shapes were checked; dq
                // rows of this head (and share) and dk, dv rows of this key head and share are
                // written by this task alone.
                unsafe {
                    blocks.take_queries(s, &self.inputs, row, head, count);
                    for key in (start / KEYS * KEYS..end).step_by(KEYS) {
                        let keys = (end - key).min(KEYS);
                        let at = kv_at + key * kv_row;
                        let rows = |x: &[f32]| Rows { start: x[at..].as_ptr(), row: kv_row };
                        let (k, v) = (rows(self.inputs.k), rows(self.inputs.v));
                        if key + KEYS < end {
                            k.prefetch(s, KEYS, KEYS, d);
                            v.prefetch(s, KEYS, KEYS, d);
                        }
                        let to = |x: &Disjoint<'_, f32>| Target {
                            start: x.at(at),
                            row: kv_row,
                            accumulate: true,
                        };
                        blocks.pass(s, &visible, key, keys, (k, v), to(self.dk), to(self.dv));
                    }
                    let dq = self.dq.at(self.dq_start + row * q_row + head * d);
                    blocks.store_dq(s, dq, q_row);
                }
            }
        }
    }
}

/// One tile of queries and what is computed for it.
struct Blocks<'a> {
    heads: Heads,
    count: usize,
    /// lse in units of log2; +∞ for a query that sees nothing, so that its weights are 0.
    lse: [f32; QUERIES],
    /// Σ_f dout·out: the mean of dout·v under the probabilities.
    mean: [f32; QUERIES],
    /// [head_dim, QUERIES]
    queries: &'a mut [f32],
    /// [head_dim, QUERIES]
    dout: &'a mut [f32],
    /// [KEYS, QUERIES]: scores, then probabilities.
    scores: &'a mut [f32],
    /// [KEYS, QUERIES]: dout·v, then the gradient of the scores.
    dscores: &'a mut [f32],
    /// [QUERIES, padded head_dim]
    query_rows: &'a mut [f32],
    /// [QUERIES, padded head_dim]
    dout_rows: &'a mut [f32],
    /// [QUERIES, padded head_dim]
    dq: &'a mut [f32],
    /// [KEYS, padded head_dim]
    key_rows: &'a mut [f32],
    /// [KEYS, padded head_dim]
    value_rows: &'a mut [f32],
}

impl<'a> Blocks<'a> {
    /// `scratch` has [`scratch_floats`] elements.
    fn new(heads: Heads, scratch: &'a mut [f32]) -> Self {
        let (d, wide) = (heads.head_dim, padded(heads.head_dim));
        let mut rest = scratch;
        let mut take = |floats: usize| -> &'a mut [f32] {
            let (taken, left) = std::mem::take(&mut rest).split_at_mut(floats);
            rest = left;
            taken
        };
        Blocks {
            heads,
            count: 0,
            lse: [0.0; QUERIES],
            mean: [0.0; QUERIES],
            queries: take(d * QUERIES),
            dout: take(d * QUERIES),
            scores: take(KEYS * QUERIES),
            dscores: take(KEYS * QUERIES),
            query_rows: take(QUERIES * wide),
            dout_rows: take(QUERIES * wide),
            dq: take(QUERIES * wide),
            key_rows: take(KEYS * wide),
            value_rows: take(KEYS * wide),
        }
    }

    /// Reads `count` queries from `row` and what belongs to them.
    ///
    /// # Safety
    /// The rows must lie inside the tensors.
    #[inline(always)]
    unsafe fn take_queries<S: Simd>(
        &mut self,
        s: S,
        inputs: &Inputs<'_>,
        row: usize,
        head: usize,
        count: usize,
    ) {
        let Inputs { heads, q, out, lse, dout, .. } = inputs;
        let (d, wide, stride) = (heads.head_dim, padded(heads.head_dim), heads.q_row());
        let at = row * stride + head * d;
        let rows = |x: &[f32]| Rows { start: x[at..].as_ptr(), row: stride };
        self.count = count;
        // SAFETY: as the caller promises; scratch blocks have the shapes stated above.
        unsafe {
            gather_rows(s, rows(q), count, d, self.query_rows);
            gather_rows(s, rows(dout), count, d, self.dout_rows);
            let (queries, gradients) = (self.query_rows.as_ptr(), self.dout_rows.as_ptr());
            let to = self.queries.as_mut_ptr();
            transpose(s, count, d, QUERIES, heads.scale * LOG2E, |i| queries.add(i * wide), to);
            let to = self.dout.as_mut_ptr();
            transpose(s, count, d, QUERIES, 1.0, |i| gradients.add(i * wide), to);
        }
        self.dq[..count * wide].fill(0.0);
        self.lse = [f32::INFINITY; QUERIES];
        self.mean = [0.0; QUERIES];
        for i in 0..count {
            let lse = lse[(row + i) * heads.heads + head];
            if lse != f32::NEG_INFINITY {
                self.lse[i] = lse * LOG2E;
            }
            let out = &out[at + i * stride..at + i * stride + d];
            self.mean[i] = dot(s, out, &self.dout_rows[i * wide..]);
        }
    }

    /// Adds the contribution of keys `start..start + keys`.
    ///
    /// # Safety
    /// `k` and `v` must be readable and `dk` and `dv` writable at `keys` rows of head_dim.
    #[inline(always)]
    unsafe fn pass<S: Simd>(
        &mut self,
        s: S,
        visible: &Visibility,
        start: usize,
        keys: usize,
        (k, v): (Rows, Rows),
        dk: Target,
        dv: Target,
    ) {
        let window = visible.window(start, keys);
        if window.is_empty() {
            return;
        }
        let (d, wide) = (self.heads.head_dim, padded(self.heads.head_dim));
        let (scores, dscores) = (self.scores.as_mut_ptr(), self.dscores.as_mut_ptr());
        // SAFETY: k, v, dk and dv are the caller's promise; scratch blocks have the shapes stated.
        unsafe {
            gather_rows(s, k, keys, d, self.key_rows);
            gather_rows(s, v, keys, d, self.value_rows);
            let left = |rows: &[f32]| Left { start: rows.as_ptr(), row: wide, column: 1 };
            let right = |rows: &[f32]| Right { start: rows.as_ptr(), row: wide };
            let (queries, dout) = (self.queries.as_ptr(), self.dout.as_ptr());
            tile::scores(s, &window, keys, d, left(self.key_rows), queries, scores);
            tile::scores(s, &window, keys, d, left(self.value_rows), dout, dscores);
            for group in 0..visible.groups() {
                let seen = window.keys[group];
                if let Some(cap) = self.heads.score_cap {
                    tile::cap(s, group, seen, cap * LOG2E, scores);
                }
                if !window.whole[group] && seen.0 < seen.1 {
                    visible.mask(s, group, start, seen, f32::NEG_INFINITY, scores);
                }
                self.differentiate(s, group, seen);
            }
            self.hide(s, &window, keys, visible.groups());
            let (count, rows) = (self.count, right(self.dout_rows));
            tile::weigh_transposed(s, &window, keys, count, d, scores, rows, dv);
            let rows = right(self.query_rows);
            tile::weigh_transposed(s, &window, keys, count, d, dscores, rows, dk);
            let dq = Target { start: self.dq.as_mut_ptr(), row: wide, accumulate: true };
            tile::weigh(s, &window, count, d, dscores, right(self.key_rows), dq);
        }
    }

    /// Scores and dout·v of a group → probabilities and the gradient of q·k. A capped score
    /// c = cap·t has the slope (1 − t)(1 + t).
    #[inline(always)]
    fn differentiate<S: Simd>(&mut self, s: S, group: usize, keys: (usize, usize)) {
        let lane = group * S::LANES;
        let (lse, mean) = (s.load(&self.lse[lane..]), s.load(&self.mean[lane..]));
        let scale = s.splat(self.heads.scale);
        let cap = self.heads.score_cap.map(|cap| s.splat(cap * LOG2E));
        let one = s.splat(1.0);
        for key in keys.0..keys.1 {
            let score = &mut self.scores[key * QUERIES + lane..];
            let dscore = &mut self.dscores[key * QUERIES + lane..];
            let value = s.load(score);
            let p = exp2(s, s.sub(value, lse));
            let dp = s.sub(s.load(dscore), mean);
            s.store(p, score);
            let gradient = s.mul(s.mul(p, dp), scale);
            let gradient = match cap {
                None => gradient,
                // What the mask hides is −∞, and its slope 0 as at the end of the curve.
                Some(cap) => {
                    let t = s.max(s.neg(one), s.div(value, cap));
                    s.mul(gradient, s.mul(s.sub(one, t), s.add(one, t)))
                }
            };
            s.store(gradient, dscore);
        }
    }

    /// Zeroes what no query of a group sees: sums over queries run across groups.
    #[inline(always)]
    fn hide<S: Simd>(&mut self, s: S, window: &Window, keys: usize, groups: usize) {
        for group in 0..groups {
            let seen = window.keys[group];
            for key in (0..seen.0).chain(seen.1..keys) {
                let at = key * QUERIES + group * S::LANES;
                s.store(s.zero(), &mut self.scores[at..]);
                s.store(s.zero(), &mut self.dscores[at..]);
            }
        }
    }

    /// Writes dq of the tile; query i goes to `to[i·row]`.
    ///
    /// # Safety
    /// `to` must be writable at `count` rows of head_dim.
    #[inline(always)]
    unsafe fn store_dq<S: Simd>(&self, s: S, to: *mut f32, row: usize) {
        let d = self.heads.head_dim;
        for i in 0..self.count {
            for f in (0..d).step_by(S::LANES) {
                let vector = s.load(&self.dq[i * padded(d) + f..]);
                // SAFETY: feature f < head_dim of query i < count.
                unsafe { s.store_first_ptr(vector, to.add(i * row + f), d - f) }
            }
        }
    }
}
