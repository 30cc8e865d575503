//! Attention in tiles: forward, backward, and over a cache. Scores exist one tile at a time, tiles
//! that the mask hides are skipped, heads are read where they lie in the rows.

mod backward;
mod forward;
mod product;
mod ranges;
mod tile;

use crate::isa::Simd;

pub use backward::{attention_backward, attention_backward_scratch};
pub use forward::attention;
pub(super) use forward::{Running, scratch_floats};
pub use ranges::{KeyRange, Mask, key_ranges};
pub(super) use tile::{KEYS, QUERIES, Visibility, padded};

/// Shape of an attention over whole sequences. Rows are [batch, time]; a row of q is
/// [heads, head_dim], a row of k or v is [kv_heads, head_dim].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Sequences.
    pub batch: usize,
    /// Rows of a sequence.
    pub time: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Features of one head.
    pub head_dim: usize,
    /// Factor on q·k before softmax.
    pub scale: f32,
    /// Bound of the scores, `cap·tanh(score/cap)`.
    pub score_cap: Option<f32>,
}

impl Heads {
    /// Rows of q, k and v.
    pub fn rows(&self) -> usize {
        self.batch * self.time
    }

    /// Elements of a row of q.
    fn q_row(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of a row of k or v.
    fn kv_row(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Key head that a query head reads.
    fn kv_head(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads)
    }

    /// Checks the shapes of the inputs.
    fn check(&self, ranges: &[KeyRange], q: &[f32], k: &[f32], v: &[f32]) {
        assert!(
            self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads),
            "attention: {self:?}"
        );
        assert_eq!(ranges.len(), self.rows(), "attention: one key range per row");
        assert_eq!(q.len(), self.rows() * self.q_row(), "attention: q of {self:?}");
        assert_eq!(k.len(), self.rows() * self.kv_row(), "attention: k of {self:?}");
        assert_eq!(v.len(), k.len(), "attention: v has the shape of k");
        let time = self.time as u32;
        assert!(ranges.iter().all(|r| r.1 <= time), "attention: a key range ends after {time}");
    }
}

/// Rows that are read as f32, whatever they are stored in.
pub(super) trait WideRows: Copy {
    /// `LANES` features of a row from `feature` on, a multiple of the lanes.
    ///
    /// # Safety
    /// They must be features of a row.
    unsafe fn load<S: Simd>(&self, s: S, row: usize, feature: usize) -> S::F32;
    /// A feature of a row.
    ///
    /// # Safety
    /// It must be one.
    unsafe fn get(&self, row: usize, feature: usize) -> f32;
}

impl WideRows for Rows {
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, s: S, row: usize, feature: usize) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { s.load_ptr(self.at(row).add(feature)) }
    }
    #[inline(always)]
    unsafe fn get(&self, row: usize, feature: usize) -> f32 {
        // SAFETY: passed on to the caller.
        unsafe { *self.at(row).add(feature) }
    }
}

/// Rows of a matrix by address: row i starts at `start[i·row]`.
#[derive(Clone, Copy)]
pub(super) struct Rows<T = f32> {
    pub start: *const T,
    pub row: usize,
}

impl<T> Rows<T> {
    /// Address of row i.
    #[inline(always)]
    pub fn at(self, i: usize) -> *const T {
        self.start.wrapping_add(i * self.row)
    }

    /// Asks for `count` rows of `features` from row `first`: strided rows are further apart than
    /// the hardware looks ahead.
    #[inline(always)]
    pub fn prefetch<S: Simd>(self, s: S, first: usize, count: usize, features: usize) {
        let line = 64 / size_of::<T>();
        for i in first..first + count {
            for f in (0..features).step_by(line) {
                s.prefetch(self.start.wrapping_add(i * self.row + f).cast());
            }
        }
    }
}
