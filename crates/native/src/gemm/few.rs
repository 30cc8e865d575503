//! A few rows times weights in panels: the product of decoding, bound by reading the weights once.
//!
//! The order of sums is that of the blocked product, so that a row has the same bits alone and
//! among many: one accumulator a column over each span of k, from zero and k ascending, and the
//! spans added to C in order. A panel is one run through memory, in its own format; the next lines
//! are asked for ahead. With more rows `blocking`, which unpacks weights once for all of them, is
//! faster.

use std::marker::PhantomData;

use half::{bf16, f16};
use stoa_graph::DType;

use super::blocking::{Blocks, Product};
use super::epilogue::Tile;
use super::micro::Tiling;
use super::pack::{Span, Strips};
use super::panels::{Format, PanelMatrix, Plain, with_format};
use super::view::MatRef;
use crate::isa::{Kernel, Simd};
use crate::pool::Pool;

/// Rows of x up to which reading panels in place beats unpacking them.
const MOST_ROWS: usize = 12;
/// Bytes ahead that are asked for: across the border of a page, where the hardware's prefetcher
/// stops.
const AHEAD: usize = 4096;
/// Bytes of weights per task: long enough to be worth claiming, short enough to share evenly.
const TASK_BYTES: usize = 64 << 10;
/// Lanes of the widest vector.
const MOST_LANES: usize = 16;
/// Vectors of the widest tile.
const MOST_VECTORS: usize = 3;

/// Whether this is the faster way for so many rows. Both give the same bits.
pub(super) fn suits(x: &MatRef<'_>, product: &Product<'_>) -> bool {
    let adjacent = |cols: usize, stride: usize| cols <= 1 || stride == 1;
    x.rows <= MOST_ROWS
        && adjacent(x.cols, x.col_stride)
        && adjacent(product.c.cols, product.c.col_stride)
}

/// Carries out a product whose left factor is `x` and whose right factor is `w` transposed.
pub(super) fn multiply<S: Tiling>(
    s: S,
    pool: &Pool,
    product: &Product<'_>,
    x: MatRef<'_>,
    w: PanelMatrix<'_>,
) {
    assert!(S::INNER == 1 && w.width() == S::NR, "panels are as wide as tiles of f32");
    let span = Blocks::new::<S>(x.rows, product.c.cols, x.cols).kc;
    let columns = |first: usize, count: usize, panel: *const u8| Columns {
        x,
        product,
        panel,
        width: S::NR,
        span,
        columns: Span { at: first, len: count },
    };
    let per_task = (TASK_BYTES / w.panel_bytes().max(1)).max(1);
    let whole = w.panels().div_ceil(per_task);
    let rest = usize::from(w.panels() * S::NR < product.c.cols);
    pool.run_neighbours(whole + rest, &|task, worker| {
        let first = task * per_task;
        if task < whole {
            let panels = first..w.panels().min(first + per_task);
            for panel in panels.clone() {
                let columns = columns(panel * S::NR, S::NR, w.panel(panel).as_ptr());
                with_format!(w.dtype(), F => columns.multiply::<S, F>(s));
            }
            finish(product, Span { at: first * S::NR, len: panels.len() * S::NR });
            return;
        }
        let at = w.panels() * S::NR;
        let left = Span { at, len: product.c.cols - at };
        pool.with_scratch(worker, S::NR * x.cols, |scratch| {
            let to = Strips::in_buffer(scratch, S::NR, left.len, x.cols);
            let [outer, inner] = [left.len, x.cols].map(|len| Span { at: 0, len });
            // SAFETY: the strip fits into the buffer, which is borrowed.
            unsafe { s.pack_b(&w.rest(), outer, inner, to) };
            columns(at, left.len, scratch.as_ptr().cast()).multiply::<S, Plain<f32>>(s);
        });
        finish(product, left);
    });
}

/// What follows the product, on finished columns.
pub(super) fn finish(product: &Product<'_>, columns: Span) {
    let c = &product.c;
    if let Some(finished) = product.finished {
        finished(&mut Tile {
            row: 0,
            col: columns.at,
            rows: c.rows,
            cols: columns.len,
            ptr: c.ptr.wrapping_add(columns.at * c.col_stride),
            row_stride: c.row_stride,
            life: PhantomData,
        });
    }
}

/// The columns of C that a panel makes, or as many of them as there are.
struct Columns<'a> {
    x: MatRef<'a>,
    product: &'a Product<'a>,
    panel: *const u8,
    width: usize,
    /// Indices of the sum that an accumulator sums.
    span: usize,
    columns: Span,
}

impl Columns<'_> {
    fn multiply<S: Tiling, F: Format>(&self, s: S) {
        s.simd().enter(Few::<F> { columns: self, format: PhantomData });
    }
}

struct Few<'a, F> {
    columns: &'a Columns<'a>,
    format: PhantomData<F>,
}

impl<F: Format> Kernel for Few<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.columns.width / S::LANES {
            2 => self.vectors::<S, 2>(s),
            MOST_VECTORS => self.vectors::<S, MOST_VECTORS>(s),
            vectors => unreachable!("tiles of {vectors} vectors"),
        }
    }
}

impl<F: Format> Few<'_, F> {
    #[inline(always)]
    fn vectors<S: Simd, const VECTORS: usize>(&self, s: S) {
        let rows = self.columns.x.rows;
        let mut row = 0;
        // As many together as the smallest register file holds sums for; the panel comes from a
        // cache for those that follow.
        while row < rows {
            row += match rows - row {
                1 => self.rows::<S, VECTORS, 1>(s, row),
                2 => self.rows::<S, VECTORS, 2>(s, row),
                3 => self.rows::<S, VECTORS, 3>(s, row),
                4 => self.rows::<S, VECTORS, 4>(s, row),
                5 => self.rows::<S, VECTORS, 5>(s, row),
                _ => self.rows::<S, VECTORS, 6>(s, row),
            };
        }
    }

    /// ROWS rows from `first` on; how many.
    #[inline(always)]
    fn rows<S: Simd, const VECTORS: usize, const ROWS: usize>(&self, s: S, first: usize) -> usize {
        let Columns { x, panel, width, span, .. } = *self.columns;
        let x_rows: [*const f32; ROWS] =
            std::array::from_fn(|i| x.ptr.wrapping_add((first + i) * x.row_stride));
        let row_bytes = F::bytes(width, 1);
        let mut from = 0;
        loop {
            let end = x.cols.min(from + span);
            let mut sums = [[s.zero(); VECTORS]; ROWS];
            for k in from..end {
                let ahead = panel.wrapping_add(F::bytes(width, k) + AHEAD);
                for line in (0..row_bytes).step_by(64) {
                    s.prefetch(ahead.wrapping_add(line).cast());
                }
                // SAFETY: k < cols, inside the panel and the rows of x.
                unsafe {
                    let weights: [S::F32; VECTORS] =
                        std::array::from_fn(|v| F::load(s, panel, width, k, v * S::LANES));
                    for i in 0..ROWS {
                        let value = s.splat(*x_rows[i].add(k));
                        for v in 0..VECTORS {
                            sums[i][v] = s.mul_add(value, weights[v], sums[i][v]);
                        }
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                self.store(s, first + i, from == 0, sums);
            }
            from = end;
            if from == x.cols {
                return ROWS;
            }
        }
    }

    /// Adds the sums of a span to a row of C, with the roundings of the blocked product.
    #[inline(always)]
    fn store<S: Simd, const VECTORS: usize>(
        &self,
        s: S,
        row: usize,
        is_first: bool,
        sums: &[S::F32; VECTORS],
    ) {
        let Columns { product, columns, .. } = self.columns;
        let c = &product.c;
        let beta = if is_first { product.beta } else { 1.0 };
        let (scale, keep) = (s.splat(product.alpha), s.splat(beta));
        let to = c.ptr.wrapping_add(row * c.row_stride + columns.at * c.col_stride);
        for (v, &sum) in sums.iter().enumerate() {
            let (to, sum) = (to.wrapping_add(v * S::LANES), s.mul(scale, sum));
            let left = columns.len.saturating_sub(v * S::LANES);
            // SAFETY: `left` elements of the row follow, used by this task alone.
            unsafe {
                if columns.len == self.columns.width {
                    let all = if beta == 0.0 { sum } else { s.mul_add(keep, s.load_ptr(to), sum) };
                    s.store_ptr(all, to);
                } else {
                    let mut lanes = [0.0; MOST_LANES];
                    s.store(sum, &mut lanes);
                    for (i, &sum) in lanes[..left.min(S::LANES)].iter().enumerate() {
                        let to = to.add(i);
                        *to = if beta == 0.0 { sum } else { beta * *to + sum };
                    }
                }
            }
        }
    }
}
