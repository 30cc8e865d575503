//! Rotary position embedding (arXiv 2104.09864 §3.4), half-split pairs: with n frequencies, feature
//! i < n of a chunk is rotated with feature i + n and those from 2·n on are copied. Sines and cosines,
//! times a factor, come from a table that grows with the positions asked for.

use super::disjoint::Disjoint;
use crate::context::Context;
use crate::isa::{Kernel, Simd};

/// Elements a task works on.
const TASK: usize = 1 << 14;
/// Most floats kept in a table (64 MB); positions beyond are computed when met.
const MAX_TABLE: usize = 1 << 24;

/// factor·cos and factor·sin of position·frequency, by position.
#[derive(Clone, Debug)]
pub struct RopeTable {
    frequencies: Vec<f64>,
    factor: f64,
    /// [positions, 2, frequencies]
    rows: Vec<f32>,
}

impl RopeTable {
    /// An empty table for these frequencies, in radians per position, and a factor on what is rotated.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(frequencies: &[f64], factor: f64) -> Self {
        assert!(!frequencies.is_empty(), "rope: no frequencies");
        RopeTable { frequencies: frequencies.to_vec(), factor, rows: Vec::new() }
    }

    /// Whether it is the table of these frequencies and this factor.
    pub fn is_of(&self, frequencies: &[f64], factor: f64) -> bool {
        self.frequencies == frequencies && self.factor == factor
    }

    /// Floats of a row, and features of a chunk that are rotated.
    fn width(&self) -> usize {
        2 * self.frequencies.len()
    }

    /// Makes sure of positions up to `position`, as far as the table may grow.
    pub fn ensure(&mut self, position: usize) {
        let width = self.width();
        let known = self.rows.len() / width;
        let wanted = position.saturating_add(1).min(MAX_TABLE / width);
        if wanted <= known {
            return;
        }
        // Grow by half as much again, so that decoding does not extend it at every token.
        let wanted = wanted.max(known + known / 2).min(MAX_TABLE / width);
        self.rows.resize(wanted * width, 0.0);
        for position in known..wanted {
            let row = &mut self.rows[position * width..(position + 1) * width];
            turn_row(&self.frequencies, self.factor, position, row);
        }
    }

    /// factor·cos then factor·sin of a position that is in the table.
    fn row(&self, position: usize) -> Option<&[f32]> {
        self.rows.get(position * self.width()..(position + 1) * self.width())
    }
}

/// Writes cos and sin of one position, times a factor; angles are formed in f64, since a position times a
/// frequency has more digits than f32 holds.
fn turn_row(frequencies: &[f64], factor: f64, position: usize, row: &mut [f32]) {
    let (cosines, sines) = row.split_at_mut(frequencies.len());
    for ((frequency, to_cos), to_sin) in frequencies.iter().zip(cosines).zip(sines) {
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        (*to_cos, *to_sin) = ((factor * cos) as f32, (factor * sin) as f32);
    }
}

/// How rows are turned.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Elements of a row: [heads, axes, chunk].
    pub features: usize,
    /// Features of a chunk.
    pub chunk: usize,
    /// Position columns; chunk a of a head turns by column a.
    pub axes: usize,
    /// Turn backwards.
    pub inverse: bool,
}

/// y = x [tokens, features] with each chunk turned by its position; positions are [tokens, axes].
/// `None` for x when it lies in y.
///
/// # Panics
/// If the lengths do not fit.
pub fn rope(
    context: Context<'_>,
    table: &mut RopeTable,
    turn: Turn,
    positions: &[i32],
    x: Option<&[f32]>,
    y: &mut [f32],
) {
    let Turn { features, chunk, axes, .. } = turn;
    assert!(
        axes > 0 && positions.len().is_multiple_of(axes),
        "rope: positions are [tokens, {axes}]"
    );
    let tokens = positions.len() / axes;
    assert_eq!(y.len(), tokens * features, "rope: y is [tokens, {features}]");
    assert!(x.is_none_or(|x| x.len() == y.len()), "rope: x has the shape of y");
    assert_eq!(features % (chunk * axes), 0, "rope: heads of {axes} × {chunk}");
    assert!(table.width() <= chunk, "rope: {} of {chunk} features", table.width());
    if y.is_empty() {
        return;
    }
    let limit = MAX_TABLE / table.width();
    let distances = positions.iter().map(|p| p.unsigned_abs() as usize);
    if let Some(furthest) = distances.filter(|&p| p < limit).max() {
        table.ensure(furthest);
    }
    let table = &*table;
    let per_task = (TASK / features).max(1);
    let y = Disjoint::new(y);
    context.pool.run(tokens.div_ceil(per_task), &|task, _| {
        let first = task * per_task;
        let count = per_task.min(tokens - first);
        let to = y.at(first * features);
        let from = x.map_or(to.cast_const(), |x| x[first * features..].as_ptr());
        let positions = &positions[first * axes..(first + count) * axes];
        context.isa.dispatch(Rows { table, turn, positions, from, to });
    });
}

/// The rows of one task. `from` and `to` may be the same.
struct Rows<'a> {
    table: &'a RopeTable,
    turn: Turn,
    /// [rows, axes]
    positions: &'a [i32],
    from: *const f32,
    to: *mut f32,
}

impl Kernel for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Turn { features, chunk, axes, inverse } = self.turn;
        let width = self.table.width();
        let mut beyond = Vec::new();
        for (at, &position) in self.positions.iter().enumerate() {
            let (token, axis) = (at / axes, at % axes);
            let distance = position.unsigned_abs() as usize;
            let row = match self.table.row(distance) {
                Some(row) => row,
                None => {
                    beyond.resize(width, 0.0);
                    let RopeTable { frequencies, factor, .. } = self.table;
                    turn_row(frequencies, *factor, distance, &mut beyond);
                    &beyond
                }
            };
            let backwards = inverse != (position < 0);
            for start in (axis * chunk..features).step_by(axes * chunk) {
                let at = token * features + start;
                // SAFETY: the chunk lies inside the task's rows, which `from` and `to` either share or
                // have apart; what is not rotated is copied unless they share it.
                unsafe {
                    let (from, to) = (self.from.add(at), self.to.add(at));
                    turn_chunk(s, row, backwards, from, to);
                    if from != to {
                        to.add(width).copy_from_nonoverlapping(from.add(width), chunk - width);
                    }
                }
            }
        }
    }
}

/// Turns one chunk.
///
/// # Safety
/// `from` must be readable and `to` writable at `row.len()` elements.
#[inline(always)]
unsafe fn turn_chunk<S: Simd>(s: S, row: &[f32], backwards: bool, from: *const f32, to: *mut f32) {
    let half = row.len() / 2;
    for i in (0..half).step_by(S::LANES) {
        let count = (half - i).min(S::LANES);
        let cos = s.load_partial(&row[i..i + count]);
        let sin = s.load_partial(&row[half + i..half + i + count]);
        let sin = if backwards { s.neg(sin) } else { sin };
        // SAFETY: `count` elements of each half, as the caller promises; both are read before
        // either is written.
        unsafe {
            let a = s.load_first_ptr(from.add(i), count);
            let b = s.load_first_ptr(from.add(half + i), count);
            let first = s.neg_mul_add(b, sin, s.mul(a, cos));
            let second = s.mul_add(a, sin, s.mul(b, cos));
            s.store_first_ptr(first, to.add(i), count);
            s.store_first_ptr(second, to.add(half + i), count);
        }
    }
}
