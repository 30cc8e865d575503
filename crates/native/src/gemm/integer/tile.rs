//! The innermost loops: some rows of activations against the columns of a panel.
//!
//! A block of 32 numbers is summed in integers, exactly; then its sum times both scales is added to
//! the sum so far in f32, block after block from the first. So the bits of a result depend on its
//! row and column alone.

use std::marker::PhantomData;

use super::format::{At, QUADS, Unpacked, Weights};
use super::rows::Strip;
use crate::gemm::blocking::Product;
use crate::gemm::pack::Span;
use crate::isa::{Dots, Kernel, Simd};

/// Bytes ahead that are asked for: across the border of a page, where the hardware's prefetcher
/// stops.
const AHEAD: usize = 4096;
/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// A panel of weights.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub start: *const u8,
    pub width: usize,
    /// Blocks along the sum.
    pub blocks: usize,
}

/// Strips of rows times a panel, into columns of C.
pub(super) struct Tiles<'a, S, W> {
    pub s: S,
    pub panel: Panel,
    pub strips: &'a [Strip],
    pub product: &'a Product<'a>,
    pub columns: Span,
    pub weights: PhantomData<W>,
}

impl<S: Dots, W: Weights> Kernel for Tiles<'_, S, W> {
    type Output = ();
    #[inline(always)]
    fn run<T: Simd>(self, _: T) {
        match self.panel.width / S::LANES {
            2 => self.vectors::<2>(),
            3 => self.vectors::<3>(),
            vectors => unreachable!("panels of {vectors} vectors"),
        }
    }
}

impl<S: Dots, W: Weights> Tiles<'_, S, W> {
    #[inline(always)]
    fn vectors<const VECTORS: usize>(&self) {
        for strip in self.strips {
            match strip.rows.len {
                1 => self.tile::<VECTORS, 1>(strip),
                2 => self.tile::<VECTORS, 2>(strip),
                3 if S::ROWS >= 3 => self.tile::<VECTORS, 3>(strip),
                4 if S::ROWS >= 4 => self.tile::<VECTORS, 4>(strip),
                5 if S::ROWS >= 5 && !W::STREAMED => self.tile::<VECTORS, 5>(strip),
                6 if S::ROWS >= 6 && !W::STREAMED => self.tile::<VECTORS, 6>(strip),
                rows => unreachable!("strips of {rows} rows"),
            }
        }
    }

    /// One strip. Loops over rows and vectors are plain ones over arrays of fixed size, which the
    /// compiler turns into registers; closures that it does not inline would lose the instructions.
    #[inline(always)]
    fn tile<const VECTORS: usize, const ROWS: usize>(&self, strip: &Strip) {
        let s = self.s;
        let Panel { start, width, blocks } = self.panel;
        let mut sums = [[s.zero(); VECTORS]; ROWS];
        for block in 0..blocks {
            if W::STREAMED {
                let (mut line, end) = (W::bytes(width, block), W::bytes(width, block + 1));
                while line < end {
                    s.prefetch(start.wrapping_add(line + AHEAD).cast());
                    line += 64;
                }
            }
            let at = At { panel: start, width, block, column: 0 };
            // SAFETY: the block and its columns lie in the panel, the words in the strip.
            unsafe {
                for part in 0..W::PARTS {
                    let counts = self.count::<VECTORS, ROWS>(strip, at, part);
                    let mut scales = [s.zero(); VECTORS];
                    for v in 0..VECTORS {
                        scales[v] = W::scale(s, at.column(v * S::LANES), part);
                    }
                    for row in 0..ROWS {
                        let scale = s.splat(f32::from_bits(strip.word::<ROWS>(block, 0, row)));
                        for v in 0..VECTORS {
                            let count = s.to_f32(counts[row][v]);
                            let both = s.mul(scales[v], scale);
                            sums[row][v] = s.mul_add(both, count, sums[row][v]);
                        }
                    }
                }
                if W::HAS_MINIMUM {
                    let mut minima = [s.zero(); VECTORS];
                    for v in 0..VECTORS {
                        minima[v] = W::minimum(s, at.column(v * S::LANES));
                    }
                    for row in 0..ROWS {
                        let sum = s.splat(f32::from_bits(strip.word::<ROWS>(block, 1, row)));
                        for v in 0..VECTORS {
                            sums[row][v] = s.mul_add(minima[v], sum, sums[row][v]);
                        }
                    }
                }
            }
        }
        for row in 0..ROWS {
            self.store(strip.rows.at + row, &sums[row]);
        }
    }

    /// The dot products of a part of a block, for each row and column.
    ///
    /// # Safety
    /// The block must lie in the panel and in the strip.
    #[inline(always)]
    unsafe fn count<const VECTORS: usize, const ROWS: usize>(
        &self,
        strip: &Strip,
        at: At,
        part: usize,
    ) -> [[S::I32; VECTORS]; ROWS] {
        let (s, quads) = (self.s, QUADS / W::PARTS);
        let mut counts = [[s.splat_i32(0); VECTORS]; ROWS];
        let mut partial = counts;
        let mut weights = [s.splat_i32(0); VECTORS];
        // SAFETY: passed on to the caller.
        unsafe {
            for row in 0..ROWS {
                let begin = s.splat_i32(strip.word::<ROWS>(at.block, 2 + part, row) as i32);
                counts[row] = [begin; VECTORS];
            }
            let run = if W::MOST > 127 { quads } else { s.run(W::MOST).min(quads) };
            let mut first = 0;
            while first < quads {
                if W::MOST <= 127 {
                    for row in 0..ROWS {
                        for v in 0..VECTORS {
                            partial[row][v] = s.begin(counts[row][v]);
                        }
                    }
                }
                for quad in part * quads + first..part * quads + first + run {
                    for v in 0..VECTORS {
                        weights[v] = W::quad(s, at.column(v * S::LANES), quad);
                    }
                    for row in 0..ROWS {
                        let x = s.splat_i32(strip.word::<ROWS>(at.block, 4 + quad, row) as i32);
                        for v in 0..VECTORS {
                            if W::MOST > 127 {
                                counts[row][v] = s.dot_wide(counts[row][v], weights[v], x);
                            } else {
                                partial[row][v] = s.dot(partial[row][v], weights[v], x);
                            }
                        }
                    }
                }
                if W::MOST <= 127 {
                    for row in 0..ROWS {
                        for v in 0..VECTORS {
                            counts[row][v] = s.settle(counts[row][v], partial[row][v]);
                        }
                    }
                }
                first += run;
            }
        }
        counts
    }

    /// Writes the sums of a row to its columns of C.
    #[inline(always)]
    fn store<const VECTORS: usize>(&self, row: usize, sums: &[S::F32; VECTORS]) {
        let (s, Product { alpha, beta, c, .. }) = (self.s, self.product);
        let (scale, keep) = (s.splat(*alpha), s.splat(*beta));
        let to = c.ptr.wrapping_add(row * c.row_stride + self.columns.at);
        for (v, &sum) in sums.iter().enumerate() {
            let (to, sum) = (to.wrapping_add(v * S::LANES), s.mul(scale, sum));
            let left = self.columns.len.saturating_sub(v * S::LANES);
            // SAFETY: `left` elements of the row follow, used by this task alone.
            unsafe {
                if left >= S::LANES {
                    let all = if *beta == 0.0 { sum } else { s.mul_add(keep, s.load_ptr(to), sum) };
                    s.store_ptr(all, to);
                } else {
                    let mut lanes = [0.0; MOST_LANES];
                    let all = if *beta == 0.0 {
                        sum
                    } else {
                        s.mul_add(keep, s.load_partial_ptr(to, left), sum)
                    };
                    s.store(all, &mut lanes);
                    for (i, &sum) in lanes[..left].iter().enumerate() {
                        *to.add(i) = sum;
                    }
                }
            }
        }
    }
}

/// Writes the weights of a panel as [`Unpacked`] reads them.
pub(super) struct Unpack<S, W, const WIDE: bool, const MINIMUM: bool, const PARTS: usize> {
    pub s: S,
    pub panel: Panel,
    /// As many words as [`Unpacked::words`] says, for each column.
    pub to: *mut u8,
    pub weights: PhantomData<W>,
}

impl<S: Dots, W: Weights, const WIDE: bool, const MINIMUM: bool, const PARTS: usize> Kernel
    for Unpack<S, W, WIDE, MINIMUM, PARTS>
{
    type Output = ();
    #[inline(always)]
    fn run<T: Simd>(self, _: T) {
        let (s, Panel { start, width, blocks }) = (self.s, self.panel);
        for block in 0..blocks {
            let (mut line, end) = (W::bytes(width, block), W::bytes(width, block + 1));
            while line < end {
                s.prefetch(start.wrapping_add(line + AHEAD).cast());
                line += 64;
            }
            let mut column = 0;
            while column < width {
                let at = At { panel: start, width, block, column };
                let mut word = Unpacked::<WIDE, MINIMUM, PARTS>::words(block, 0);
                // SAFETY: the block and its columns lie in the panel, and the words in `to`.
                unsafe {
                    let to = self.to.add(4 * column);
                    for part in 0..PARTS {
                        s.store_ptr(W::scale(s, at, part), to.add(4 * word * width).cast());
                        word += 1;
                        if MINIMUM {
                            s.store_ptr(W::minimum(s, at), to.add(4 * word * width).cast());
                            word += 1;
                        }
                        for quad in part * QUADS / PARTS..(part + 1) * QUADS / PARTS {
                            s.store_quads(W::quad(s, at, quad), to.add(4 * word * width));
                            word += 1;
                        }
                    }
                }
                column += S::LANES;
            }
        }
    }
}
