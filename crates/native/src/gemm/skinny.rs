//! y = x · Wᵀ + beta · y for a few rows of x: the product of decoding, bound by reading W once.
//!
//! W `[n, k]` is read in place, row by row, in its own format; each output is a dot product kept in
//! one vector of partial sums. Several rows of W (or of x) run side by side to hide the latency of
//! the multiply-add. The columns of W must be adjacent. For more than [`FEW_ROWS`] rows of x `gemm`,
//! which packs W, is faster.

use super::view::{Element, MatMut, MatRef};
use crate::isa::{Isa, Kernel, Simd};
use crate::pool::Pool;

/// Rows of x handled in one pass over W.
pub const FEW_ROWS: usize = 8;
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
    mut y: MatMut<'_>,
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
    let per_task = (TASK_BYTES / row_bytes).next_multiple_of(FEW_ROWS).max(FEW_ROWS);
    for first in (0..x.rows).step_by(FEW_ROWS) {
        let rows = FEW_ROWS.min(x.rows - first);
        let x = x.block(first, 0, rows, x.cols);
        let y = y.block(first, 0, rows, w.rows);
        pool.run(w.rows.div_ceil(per_task), &|task, _| {
            let from = task * per_task;
            let to = w.rows.min(from + per_task);
            isa.dispatch(Dots { x, w, beta, y: &y, from, to });
        });
    }
}

/// Columns `from..to` of y for at most [`FEW_ROWS`] rows of x.
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
        // Rows of x times rows of W side by side: near eight independent sums.
        match self.x.rows {
            1 => self.columns::<S, 1, 8>(s),
            2 => self.columns::<S, 2, 4>(s),
            3 => self.columns::<S, 3, 2>(s),
            4 => self.columns::<S, 4, 2>(s),
            5 => self.columns::<S, 5, 1>(s),
            6 => self.columns::<S, 6, 1>(s),
            7 => self.columns::<S, 7, 1>(s),
            _ => self.columns::<S, FEW_ROWS, 1>(s),
        }
    }
}

impl<T: Element> Dots<'_, T> {
    #[inline(always)]
    fn columns<S: Simd, const M: usize, const R: usize>(&self, s: S) {
        let whole = self.from + (self.to - self.from) / R * R;
        for column in (self.from..whole).step_by(R) {
            self.dots::<S, M, R>(s, column);
        }
        // Each output is the same sum whether its column had neighbours or not.
        for column in whole..self.to {
            self.dots::<S, M, 1>(s, column);
        }
    }

    /// M × R dot products.
    #[inline(always)]
    fn dots<S: Simd, const M: usize, const R: usize>(&self, s: S, column: usize) {
        let Dots { x, w, beta, y, .. } = *self;
        let k = x.cols;
        let x_rows: [*const f32; M] = std::array::from_fn(|i| x.ptr.wrapping_add(i * x.row_stride));
        let w_rows: [*const T; R] =
            std::array::from_fn(|j| w.ptr.wrapping_add((column + j) * w.row_stride));
        // The rows of a model are a few kilobytes long, too short for the hardware's prefetcher to get
        // going on R of them at a time: each is asked for while the one R rows before it is read.
        let ahead = R * w.row_stride;
        let mut sums = [[s.zero(); R]; M];
        let whole = k / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            for row in w_rows {
                s.prefetch(row.wrapping_add(ahead + at).cast());
            }
            // SAFETY: at + LANES <= k, inside the rows.
            unsafe {
                let w_parts: [S::F32; R] = std::array::from_fn(|j| T::load(s, w_rows[j].add(at)));
                for i in 0..M {
                    let x_part = s.load_ptr(x_rows[i].add(at));
                    for j in 0..R {
                        sums[i][j] = s.mul_add(x_part, w_parts[j], sums[i][j]);
                    }
                }
            }
        }
        for i in 0..M {
            for j in 0..R {
                let mut sum = s.reduce_add(sums[i][j]);
                for at in whole..k {
                    // SAFETY: at < k, inside the rows.
                    sum += unsafe { *x_rows[i].add(at) * (*w_rows[j].add(at)).to_f32() };
                }
                let to = y.ptr.wrapping_add(i * y.row_stride + (column + j) * y.col_stride);
                // SAFETY: inside y; columns are disjoint between tasks.
                unsafe { *to = if beta == 0.0 { sum } else { beta.mul_add(*to, sum) } };
            }
        }
    }
}
