//! Copies operands into strips the inner loop reads in order, converting as it goes.
//!
//! A strip covers `width` consecutive *outer* indices (rows of A, columns of B) and a range of the
//! contraction index k: `[k][width]`, zero for outer indices beyond the edge. A matrix is seen here
//! as `[outer, inner]`: A as it is, B transposed.

use super::blocks::BlockMatrix;
use super::view::{Element, MatRef};
use crate::isa::{Kernel, Simd};
use half::{bf16, f16};

/// A range of indices: first and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First index.
    pub at: usize,
    /// Number of indices.
    pub len: usize,
}

impl Span {
    /// The range cut into pieces of `size`, the last one shorter.
    pub fn pieces(self, size: usize) -> impl ExactSizeIterator<Item = Span> {
        (0..self.len.div_ceil(size)).map(move |i| self.piece(size, i))
    }

    /// Piece `i` of [`Span::pieces`], empty beyond the last.
    pub fn piece(self, size: usize, i: usize) -> Span {
        Span { at: self.at + i * size, len: size.min(self.len.saturating_sub(i * size)) }
    }
}

/// Where strips are packed to: strip i starts at `start[i·len]`.
#[derive(Clone, Copy)]
pub struct Strips {
    /// First element of the first strip.
    pub start: *mut f32,
    /// Elements from one strip to the next.
    pub len: usize,
}

impl Strips {
    /// Strips for `outer` × `inner` elements, `width` wide and one after the other, in `buffer`.
    ///
    /// # Panics
    /// If they do not fit.
    pub(super) fn in_buffer(
        buffer: &mut [f32],
        width: usize,
        outer: usize,
        inner: usize,
    ) -> Strips {
        assert!(buffer.len() >= outer.next_multiple_of(width) * inner, "packing space");
        Strips { start: buffer.as_mut_ptr(), len: width * inner }
    }
}

/// One factor of a product: a matrix in any [`Element`] format or in blocks.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// Single precision.
    F32(MatRef<'a, f32>),
    /// IEEE half precision.
    F16(MatRef<'a, f16>),
    /// bfloat16.
    Bf16(MatRef<'a, bf16>),
    /// Quantised blocks.
    Blocks(BlockMatrix<'a>),
}

impl<'a> From<MatRef<'a, f32>> for Operand<'a> {
    fn from(matrix: MatRef<'a, f32>) -> Self {
        Operand::F32(matrix)
    }
}
impl<'a> From<MatRef<'a, f16>> for Operand<'a> {
    fn from(matrix: MatRef<'a, f16>) -> Self {
        Operand::F16(matrix)
    }
}
impl<'a> From<MatRef<'a, bf16>> for Operand<'a> {
    fn from(matrix: MatRef<'a, bf16>) -> Self {
        Operand::Bf16(matrix)
    }
}

impl<'a> From<BlockMatrix<'a>> for Operand<'a> {
    fn from(matrix: BlockMatrix<'a>) -> Self {
        Operand::Blocks(matrix)
    }
}

impl<'a> Operand<'a> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Operand::F32(m) => m.rows,
            Operand::F16(m) => m.rows,
            Operand::Bf16(m) => m.rows,
            Operand::Blocks(m) => m.rows(),
        }
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        match self {
            Operand::F32(m) => m.cols,
            Operand::F16(m) => m.cols,
            Operand::Bf16(m) => m.cols,
            Operand::Blocks(m) => m.cols(),
        }
    }

    /// The transpose, of the same memory.
    pub fn t(self) -> Self {
        match self {
            Operand::F32(m) => Operand::F32(m.t()),
            Operand::F16(m) => Operand::F16(m.t()),
            Operand::Bf16(m) => Operand::Bf16(m.t()),
            Operand::Blocks(m) => Operand::Blocks(m.t()),
        }
    }

    /// Whether neighbours along the outer index are neighbours in memory, so that packing copies runs
    /// of them and transposes nothing.
    pub(super) fn is_outer_adjacent(&self) -> bool {
        match self {
            Operand::F32(m) => m.is_row_adjacent(),
            Operand::F16(m) => m.is_row_adjacent(),
            Operand::Bf16(m) => m.is_row_adjacent(),
            Operand::Blocks(m) => m.is_row_adjacent(),
        }
    }

    /// Packs a block, strip after strip; the matrix must be `[outer, inner]`.
    ///
    /// # Safety
    /// `to` must have a strip of WIDTH · `inner.len` elements, used by no one else, for each WIDTH
    /// outer indices begun.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    pub(super) unsafe fn pack<S: Simd, const WIDTH: usize>(
        &self,
        s: S,
        outer: Span,
        inner: Span,
        to: Strips,
    ) {
        match *self {
            Operand::F32(from) => s.enter(Pack::<f32, WIDTH> { from, outer, inner, to }),
            Operand::F16(from) => s.enter(Pack::<f16, WIDTH> { from, outer, inner, to }),
            Operand::Bf16(from) => s.enter(Pack::<bf16, WIDTH> { from, outer, inner, to }),
            Operand::Blocks(from) => {
                let numbers = from.part(outer, inner);
                let from = if from.is_row_adjacent() {
                    MatRef::new(&numbers, inner.len, outer.len).t()
                } else {
                    MatRef::new(&numbers, outer.len, inner.len)
                };
                let [outer, inner] = [outer, inner].map(|span| Span { at: 0, ..span });
                s.enter(Pack::<f32, WIDTH> { from, outer, inner, to });
            }
        }
    }
}

/// Made by [`Operand::pack`] alone, whose caller vouches for `to`.
struct Pack<'a, T, const WIDTH: usize> {
    from: MatRef<'a, T>,
    outer: Span,
    inner: Span,
    to: Strips,
}

impl<T: Element, const WIDTH: usize> Kernel for Pack<'_, T, WIDTH> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pack { from, outer, inner, to } = self;
        if inner.len == 0 {
            return;
        }
        let copied = if from.is_row_adjacent() { outer.len / WIDTH } else { 0 };
        if copied > 0 {
            let block = from.block(outer.at, inner.at, copied * WIDTH, inner.len);
            // SAFETY: `to` has `copied` strips.
            unsafe { pack_copying::<S, T, WIDTH>(s, block, to) };
        }
        for (i, span) in outer.pieces(WIDTH).enumerate() {
            if i >= copied {
                // SAFETY: strip i of `to`, used by no one else.
                let strip = unsafe {
                    std::slice::from_raw_parts_mut(to.start.add(i * to.len), WIDTH * inner.len)
                };
                let block = from.block(span.at, inner.at, span.len, inner.len);
                pack_strip::<S, T, WIDTH>(s, block, strip);
            }
        }
    }
}

/// Packs one strip. `strip` is `[k][WIDTH]`.
#[inline(always)]
pub(super) fn pack_strip<S: Simd, T: Element, const WIDTH: usize>(
    s: S,
    from: MatRef<'_, T>,
    strip: &mut [f32],
) {
    assert!(from.rows <= WIDTH && strip.len() >= from.cols * WIDTH);
    // SAFETY: all accesses lie inside the view and inside `[k][WIDTH]`, just checked.
    unsafe {
        if from.col_stride == 1 && from.row_stride != 1 {
            pack_transposing::<S, T, WIDTH>(s, from, strip.as_mut_ptr());
        } else {
            let (rows, cols) = (from.rows, from.cols);
            for k in 0..cols {
                for i in 0..WIDTH {
                    let inside = i < rows;
                    let p = from.ptr.wrapping_add(i * from.row_stride + k * from.col_stride);
                    *strip.get_unchecked_mut(k * WIDTH + i) =
                        if inside { (*p).to_f32() } else { 0.0 };
                }
            }
        }
    }
}

/// How many k ahead the copying pack asks for its input: with a large stride each k is on another
/// page, where the hardware's prefetcher does not follow.
const PREFETCH_AHEAD: usize = 8;

/// Outer indices adjacent in memory and whole strips: for every k, one run of memory is dealt out
/// to all strips. Going strip by strip instead would fetch every cache line once per strip.
///
/// # Safety
/// `from` must have whole strips of rows at stride 1, WIDTH be at least LANES / 2, and `to` hold
/// the strips.
#[inline(always)]
unsafe fn pack_copying<S: Simd, T: Element, const WIDTH: usize>(
    s: S,
    from: MatRef<'_, T>,
    to: Strips,
) {
    let strips = from.rows / WIDTH;
    // Where runs follow one another the hardware sees them coming.
    let lines = if from.col_stride > from.rows { from.rows * size_of::<T>() } else { 0 };
    for k in 0..from.cols {
        let run = from.ptr.wrapping_add(k * from.col_stride);
        let ahead = run.wrapping_add(PREFETCH_AHEAD * from.col_stride).cast::<u8>();
        for line in (0..lines).step_by(64) {
            s.prefetch(ahead.wrapping_add(line).cast());
        }
        for strip in 0..strips {
            // SAFETY: WIDTH elements per strip lie at each k of the view.
            unsafe {
                let (p, to) = (run.add(strip * WIDTH), to.start.add(strip * to.len + k * WIDTH));
                if WIDTH >= S::LANES {
                    // The last vector is moved back to end with the strip, overlapping another.
                    for at in (0..WIDTH).step_by(S::LANES) {
                        let at = at.min(WIDTH - S::LANES);
                        s.store_ptr(T::load(s, p.add(at)), to.add(at));
                    }
                } else if strip + 1 < strips && k + 1 < from.cols {
                    // A whole vector reads into the next strip's input and writes into the next
                    // k of this one, which comes later.
                    s.store_ptr(T::load(s, p), to);
                } else {
                    for i in 0..WIDTH {
                        *to.add(i) = (*p.add(i)).to_f32();
                    }
                }
            }
        }
    }
}

/// Inner indices adjacent in memory: squares of LANES × LANES are transposed in registers.
#[inline(always)]
unsafe fn pack_transposing<S: Simd, T: Element, const WIDTH: usize>(
    s: S,
    from: MatRef<'_, T>,
    strip: *mut f32,
) {
    let squares = from.cols / S::LANES;
    // From the highest rows down: what a vector writes past the strip's width belongs to the next
    // k of a lower group of rows, which comes later and overwrites it.
    for group in (0..WIDTH.div_ceil(S::LANES)).rev() {
        let row = group * S::LANES;
        let height = S::LANES.min(WIDTH - row);
        for square in 0..squares {
            let k = square * S::LANES;
            let mut rows = s.square(s.zero());
            for (i, v) in rows.as_mut().iter_mut().enumerate() {
                if i < height && row + i < from.rows {
                    // SAFETY: LANES elements from k on lie inside the row.
                    *v = unsafe { T::load(s, from.ptr.add((row + i) * from.row_stride + k)) };
                }
            }
            let columns = s.transpose(rows);
            for (i, v) in columns.as_ref().iter().enumerate() {
                // SAFETY: k + i < cols. A full vector may pass the strip's width only when
                // another k follows to take it.
                unsafe {
                    let to = strip.add((k + i) * WIDTH + row);
                    if height == S::LANES || k + i + 1 < from.cols {
                        s.store_ptr(*v, to);
                    } else {
                        s.store_partial_ptr(*v, to, height);
                    }
                }
            }
        }
        for k in squares * S::LANES..from.cols {
            for i in 0..height {
                // SAFETY: inside the view, or zero; inside the strip.
                unsafe {
                    let inside = row + i < from.rows;
                    let p = from.ptr.wrapping_add((row + i) * from.row_stride + k);
                    *strip.add(k * WIDTH + row + i) = if inside { (*p).to_f32() } else { 0.0 };
                }
            }
        }
    }
}
