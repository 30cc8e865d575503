//! y = x · Wᵀ + beta · y for a few rows of x: the product of decoding, bound by reading W once.
//!
//! W `[n, k]` is read in place, one row after the other, in its own format: a single run through memory,
//! which is what the hardware's prefetcher follows best. Each output is a dot product kept in two
//! vectors of partial sums, the same ones whoever is beside it. The columns of W must be adjacent. For
//! more than [`FEW_ROWS`] rows of x `gemm`, which packs W, is faster.

use super::view::{Element, MatMut, MatRef};
use crate::isa::{Isa, Kernel, Simd};
use crate::pool::Pool;

/// Rows of x up to which reading W in place beats packing it.
pub const FEW_ROWS: usize = 8;
/// Rows of x that meet a row of W together: 2 × 4 sums fit the smallest register file. The row of W comes
/// from the first-level cache for the others.
const TOGETHER: usize = 4;
/// Bytes ahead that are asked for: across the border of a page, where the hardware's prefetcher stops.
const AHEAD: usize = 4096;
/// Bytes of W per task: long enough to be worth claiming, short enough to share evenly.
const TASK_BYTES: usize = 64 << 10;

/// y `[m, n]` = x `[m, k]` · Wᵀ + beta · y, with W `[n, k]` in any [`Element`] format. With `beta == 0` y
/// is overwritten whatever it held.
///
/// # Panics
/// If the shapes do not match or the columns of x or W are not adjacent.
pub fn gemm_skinny<T: Element>(
    pool: &Pool,
    isa: Isa,
    x: MatRef<'_>,
    w: MatRef<'_, T>,
    beta: f32,
    y: MatMut<'_>,
) {
    assert!(
        x.cols == w.cols && (y.rows, y.cols) == (x.rows, w.rows),
        "[{}, {}] times the transpose of [{}, {}] does not make [{}, {}]",
        x.rows,
        x.cols,
        w.rows,
        w.cols,
        y.rows,
        y.cols
    );
    let adjacent = |cols: usize, stride: usize| cols <= 1 || stride == 1;
    assert!(
        adjacent(x.cols, x.col_stride) && adjacent(w.cols, w.col_stride),
        "the columns of x and W must be adjacent, their strides are {} and {}",
        x.col_stride,
        w.col_stride
    );
    let row_bytes = (w.cols * size_of::<T>()).max(1);
    let per_task = (TASK_BYTES / row_bytes).max(1);
    pool.run(w.rows.div_ceil(per_task), &|task, _| {
        let from = task * per_task;
        let to = w.rows.min(from + per_task);
        isa.dispatch(Dots { x, w, beta, y: &y, from, to });
    });
}

/// Columns `from..to` of y.
struct Dots<'a, T> {
    x: MatRef<'a>,
    w: MatRef<'a, T>,
    beta: f32,
    y: &'a MatMut<'a>,
    from: usize,
    to: usize,
}

impl<T: Element> Kernel for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for column in self.from..self.to {
            for first in (0..self.x.rows).step_by(TOGETHER) {
                match self.x.rows - first {
                    1 => self.dots::<S, 1>(s, first, column),
                    2 => self.dots::<S, 2>(s, first, column),
                    3 => self.dots::<S, 3>(s, first, column),
                    _ => self.dots::<S, TOGETHER>(s, first, column),
                }
            }
        }
    }
}

impl<T: Element> Dots<'_, T> {
    /// The dot products of M rows of x, from `first`, with the row of W that makes `column` of y.
    #[inline(always)]
    fn dots<S: Simd, const M: usize>(&self, s: S, first: usize, column: usize) {
        let Dots { x, w, beta, y, .. } = *self;
        let k = x.cols;
        let x_rows: [*const f32; M] =
            std::array::from_fn(|i| x.ptr.wrapping_add((first + i) * x.row_stride));
        let w_row = w.ptr.wrapping_add(column * w.row_stride);
        let mut sums = [[s.zero(); 2]; M];
        let whole = k / S::LANES * S::LANES;
        let pairs = whole / (2 * S::LANES) * (2 * S::LANES);
        let mut add = |at: usize, half: usize| {
            // SAFETY: at + LANES <= k, inside the rows.
            unsafe {
                let w_part = T::load(s, w_row.add(at));
                for i in 0..M {
                    let x_part = s.load_ptr(x_rows[i].add(at));
                    sums[i][half] = s.mul_add(x_part, w_part, sums[i][half]);
                }
            }
        };
        for at in (0..pairs).step_by(2 * S::LANES) {
            s.prefetch(w_row.cast::<u8>().wrapping_add(at * size_of::<T>() + AHEAD).cast());
            add(at, 0);
            add(at + S::LANES, 1);
        }
        if pairs < whole {
            add(pairs, 0);
        }
        for i in 0..M {
            let mut sum = s.reduce_add(s.add(sums[i][0], sums[i][1]));
            for at in whole..k {
                // SAFETY: at < k, inside the rows.
                sum += unsafe { *x_rows[i].add(at) * (*w_row.add(at)).to_f32() };
            }
            let to = y.ptr.wrapping_add((first + i) * y.row_stride + column * y.col_stride);
            // SAFETY: inside y; columns are disjoint between tasks.
            unsafe { *to = if beta == 0.0 { sum } else { beta.mul_add(*to, sum) } };
        }
    }
}
