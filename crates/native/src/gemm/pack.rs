//! Copies operands into strips the inner loop reads in order, converting as it goes.
//!
//! A strip covers `width` consecutive *outer* indices (rows of A, columns of B) and a range of the
//! contraction index k: `[depth][width]` elements of a [`Form`], each of one or two k, zero for
//! indices beyond the edge. A matrix is seen here as `[outer, inner]`: A as it is, B transposed.

use super::blocks::BlockMatrix;
use super::form::Form;
use super::panels::PanelMatrix;
use super::view::{Element, MatRef};
use crate::isa::{Isa, Kernel, Simd};
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
    /// Strips for `outer` indices of `depth` elements, `width` wide and one after the other, in
    /// `buffer`.
    ///
    /// # Panics
    /// If they do not fit.
    pub(super) fn in_buffer(
        buffer: &mut [f32],
        width: usize,
        outer: usize,
        depth: usize,
    ) -> Strips {
        assert!(buffer.len() >= outer.next_multiple_of(width) * depth, "packing space");
        Strips { start: buffer.as_mut_ptr(), len: width * depth }
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
    /// Weights in panels, the right factor of a product in f32.
    Panels(PanelMatrix<'a>),
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

impl<'a> From<PanelMatrix<'a>> for Operand<'a> {
    fn from(matrix: PanelMatrix<'a>) -> Self {
        Operand::Panels(matrix)
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
            Operand::Panels(m) => m.rows(),
        }
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        match self {
            Operand::F32(m) => m.cols,
            Operand::F16(m) => m.cols,
            Operand::Bf16(m) => m.cols,
            Operand::Blocks(m) => m.cols(),
            Operand::Panels(m) => m.cols(),
        }
    }

    /// The transpose, of the same memory.
    pub fn t(self) -> Self {
        match self {
            Operand::F32(m) => Operand::F32(m.t()),
            Operand::F16(m) => Operand::F16(m.t()),
            Operand::Bf16(m) => Operand::Bf16(m.t()),
            Operand::Blocks(m) => Operand::Blocks(m.t()),
            Operand::Panels(m) => Operand::Panels(m.t()),
        }
    }

    /// `count` rows from `first` on.
    ///
    /// # Panics
    /// If there are fewer, or they are rows of a transposed matrix of blocks or of panels.
    pub fn rows_from(self, first: usize, count: usize) -> Self {
        match self {
            Operand::F32(m) => Operand::F32(m.block(first, 0, count, m.cols)),
            Operand::F16(m) => Operand::F16(m.block(first, 0, count, m.cols)),
            Operand::Bf16(m) => Operand::Bf16(m.block(first, 0, count, m.cols)),
            Operand::Blocks(m) => Operand::Blocks(m.rows_from(first, count)),
            Operand::Panels(_) => panic!("panels are read as a whole"),
        }
    }

    /// Copies a row, as f32.
    ///
    /// # Panics
    /// If there is no such row or it has another length.
    pub fn row_to_f32(&self, isa: Isa, row: usize, to: &mut [f32]) {
        fn copy<T: Element>(m: &MatRef<'_, T>, row: usize, to: &mut [f32]) {
            assert_eq!(m.cols, to.len(), "a row of {} elements", m.cols);
            to.iter_mut().enumerate().for_each(|(i, to)| *to = m.at(row, i).to_f32());
        }
        match self {
            Operand::F32(m) => copy(m, row, to),
            Operand::F16(m) => copy(m, row, to),
            Operand::Bf16(m) => copy(m, row, to),
            Operand::Blocks(m) => {
                let (row, columns) = (Span { at: row, len: 1 }, Span { at: 0, len: m.cols() });
                to.copy_from_slice(&m.part(isa, row, columns));
            }
            Operand::Panels(m) => m.row_to_f32(isa, row, to),
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
            Operand::Panels(_) => false,
        }
    }

    /// Packs a block, strip after strip; the matrix must be `[outer, inner]`.
    ///
    /// # Safety
    /// `to` must have a strip of WIDTH elements for every INNER of `inner.len` begun, used by no one
    /// else, for each WIDTH outer indices begun.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    pub(super) unsafe fn pack<F: Form, const WIDTH: usize>(
        &self,
        form: F,
        outer: Span,
        inner: Span,
        to: Strips,
    ) {
        let s = form.simd();
        match *self {
            Operand::F32(from) => s.enter(Pack::<F, f32, WIDTH> { form, from, outer, inner, to }),
            Operand::F16(from) => s.enter(Pack::<F, f16, WIDTH> { form, from, outer, inner, to }),
            Operand::Bf16(from) => s.enter(Pack::<F, bf16, WIDTH> { form, from, outer, inner, to }),
            Operand::Blocks(from) => {
                let numbers = from.part(<F::Simd as Simd>::ISA, outer, inner);
                let from = if from.is_row_adjacent() {
                    MatRef::new(&numbers, inner.len, outer.len).t()
                } else {
                    MatRef::new(&numbers, outer.len, inner.len)
                };
                let [outer, inner] = [outer, inner].map(|span| Span { at: 0, ..span });
                s.enter(Pack::<F, f32, WIDTH> { form, from, outer, inner, to });
            }
            Operand::Panels(from) => {
                assert!(from.width() == WIDTH, "panels are as wide as strips");
                // SAFETY: passed on to the caller.
                unsafe { from.pack(s, outer, inner, to) };
                let whole = (from.panels() * WIDTH).max(outer.at);
                let end = outer.at + outer.len;
                if whole < end {
                    let start = to.start.wrapping_add((whole - outer.at) / WIDTH * to.len);
                    let rest = Span { at: 0, len: end - whole };
                    // SAFETY: the last of the strips.
                    unsafe {
                        from.rest().pack::<F, WIDTH>(form, rest, inner, Strips { start, ..to })
                    };
                }
            }
        }
    }
}

/// Made by [`Operand::pack`] alone, whose caller vouches for `to`.
struct Pack<'a, F, T, const WIDTH: usize> {
    form: F,
    from: MatRef<'a, T>,
    outer: Span,
    inner: Span,
    to: Strips,
}

impl<F: Form, T: Element, const WIDTH: usize> Kernel for Pack<'_, F, T, WIDTH> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Pack { form, from, outer, inner, to } = self;
        if inner.len == 0 {
            return;
        }
        let copied = if from.is_row_adjacent() { outer.len / WIDTH } else { 0 };
        if copied > 0 {
            let block = from.block(outer.at, inner.at, copied * WIDTH, inner.len);
            // SAFETY: `to` has `copied` strips.
            unsafe { pack_copying::<F, T, WIDTH>(form, block, to) };
        }
        for (i, span) in outer.pieces(WIDTH).enumerate().skip(copied) {
            let block = from.block(span.at, inner.at, span.len, inner.len);
            // SAFETY: strip i of `to`, used by no one else.
            unsafe { pack_strip::<F, T, WIDTH>(form, block, to.start.add(i * to.len)) };
        }
    }
}

/// The element of a row at `depth`, zero beyond the edge.
#[inline(always)]
fn element<F: Form, T: Element>(form: F, from: MatRef<'_, T>, row: usize, depth: usize) -> f32 {
    let number = |i: usize| {
        let k = depth * F::INNER + i;
        if i < F::INNER && row < from.rows && k < from.cols {
            from.at(row, k).to_f32()
        } else {
            0.0
        }
    };
    form.element([number(0), number(1)])
}

/// Packs one strip, `[depth][WIDTH]`.
///
/// # Safety
/// `strip` must have that place, used by no one else, and `from` at most WIDTH rows.
#[inline(always)]
unsafe fn pack_strip<F: Form, T: Element, const WIDTH: usize>(
    form: F,
    from: MatRef<'_, T>,
    strip: *mut f32,
) {
    // SAFETY: all accesses lie inside the view and inside `[depth][WIDTH]`.
    unsafe {
        if from.col_stride == 1 && from.row_stride != 1 {
            pack_transposing::<F, T, WIDTH>(form, from, strip);
        } else {
            for depth in 0..from.cols.div_ceil(F::INNER) {
                for i in 0..WIDTH {
                    *strip.add(depth * WIDTH + i) = element(form, from, i, depth);
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
unsafe fn pack_copying<F: Form, T: Element, const WIDTH: usize>(
    form: F,
    from: MatRef<'_, T>,
    to: Strips,
) {
    let (s, lanes) = (form.simd(), F::Simd::LANES);
    let strips = from.rows / WIDTH;
    let depths = from.cols.div_ceil(F::INNER);
    // Where runs follow one another the hardware sees them coming.
    let lines = if from.col_stride > from.rows { from.rows * size_of::<T>() } else { 0 };
    for depth in 0..depths {
        let k = depth * F::INNER;
        // The runs of the element's k; the second repeats the first where there is none.
        let runs = [k, (k + F::INNER - 1).min(from.cols - 1)];
        let runs = runs.map(|k| from.ptr.wrapping_add(k * from.col_stride));
        for run in &runs[..F::INNER] {
            let ahead = run.wrapping_add(PREFETCH_AHEAD * from.col_stride).cast::<u8>();
            for line in (0..lines).step_by(64) {
                s.prefetch(ahead.wrapping_add(line).cast());
            }
        }
        let whole = k + F::INNER <= from.cols;
        for strip in 0..strips {
            // SAFETY: WIDTH numbers per strip lie at each k of the view.
            unsafe {
                let p = runs.map(|run| run.add(strip * WIDTH));
                let to = to.start.add(strip * to.len + depth * WIDTH);
                if whole && WIDTH >= lanes {
                    // The last vector is moved back to end with the strip, overlapping another.
                    for at in (0..WIDTH).step_by(lanes) {
                        let at = at.min(WIDTH - lanes);
                        s.store_ptr(form.along_outer(p.map(|p| p.add(at))), to.add(at));
                    }
                } else if whole && strip + 1 < strips && depth + 1 < depths {
                    // A whole vector reads into the next strip's input and writes into the next
                    // depth of this one, which comes later.
                    s.store_ptr(form.along_outer(p), to);
                } else {
                    for i in 0..WIDTH {
                        *to.add(i) = element(form, from, strip * WIDTH + i, depth);
                    }
                }
            }
        }
    }
}

/// Inner indices adjacent in memory: squares of LANES × LANES elements are transposed in registers.
///
/// # Safety
/// As for [`pack_strip`].
#[inline(always)]
unsafe fn pack_transposing<F: Form, T: Element, const WIDTH: usize>(
    form: F,
    from: MatRef<'_, T>,
    strip: *mut f32,
) {
    let (s, lanes) = (form.simd(), F::Simd::LANES);
    let depths = from.cols.div_ceil(F::INNER);
    let squares = from.cols / F::INNER / lanes;
    // From the highest rows down: what a vector writes past the strip's width belongs to the next
    // depth of a lower group of rows, which comes later and overwrites it.
    for group in (0..WIDTH.div_ceil(lanes)).rev() {
        let row = group * lanes;
        let height = lanes.min(WIDTH - row);
        for square in 0..squares {
            let depth = square * lanes;
            let mut rows = s.square(s.zero());
            for (i, v) in rows.as_mut().iter_mut().enumerate() {
                if i < height && row + i < from.rows {
                    let at = (row + i) * from.row_stride + depth * F::INNER;
                    // SAFETY: INNER · LANES numbers from there on lie inside the row.
                    *v = unsafe { form.along_inner(from.ptr.add(at)) };
                }
            }
            let columns = s.transpose(rows);
            for (i, v) in columns.as_ref().iter().enumerate() {
                // SAFETY: depth + i < depths. A full vector may pass the strip's width only when
                // another depth follows to take it.
                unsafe {
                    let to = strip.add((depth + i) * WIDTH + row);
                    if height == lanes || depth + i + 1 < depths {
                        s.store_ptr(*v, to);
                    } else {
                        s.store_partial_ptr(*v, to, height);
                    }
                }
            }
        }
        for depth in squares * lanes..depths {
            for i in 0..height {
                // SAFETY: inside the strip.
                unsafe {
                    *strip.add(depth * WIDTH + row + i) = element(form, from, row + i, depth)
                };
            }
        }
    }
}
