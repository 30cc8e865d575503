//! Products of small blocks on one thread, with the packed form in the caller's hands.
//!
//! For kernels that work block by block inside a task, such as attention: [`PackedA`] and
//! [`PackedB`] borrow scratch memory, are packed once and used many times. No cache blocking is
//! done: keep k to some hundreds and blocks within the second-level cache.

use super::blocking::{Target, multiply_tile};
use super::micro::Tiling;
use super::pack::{Operand, Span, Strips};
use super::view::MatMut;
use super::{TiledKernel, with_tiling};
use crate::isa::Isa;

/// A left factor `[m, k]` in the order the inner loop reads it.
#[derive(Clone, Copy, Debug)]
pub struct PackedA<'a> {
    isa: Isa,
    rows: usize,
    inner: usize,
    strips: &'a [f32],
}

/// A right factor `[k, n]` in the order the inner loop reads it.
#[derive(Clone, Copy, Debug)]
pub struct PackedB<'a> {
    isa: Isa,
    cols: usize,
    inner: usize,
    strips: &'a [f32],
}

/// Tile height and width of an instruction set: what block sizes should be multiples of.
pub fn tile_size(isa: Isa) -> (usize, usize) {
    struct Size;
    impl TiledKernel for Size {
        type Output = (usize, usize);
        fn run<S: Tiling>(self, _: S) -> (usize, usize) {
            (S::MR, S::NR)
        }
    }
    with_tiling(isa, Size)
}

impl<'a> PackedA<'a> {
    /// Scratch needed for `[rows, inner]`, in f32.
    pub fn floats(isa: Isa, rows: usize, inner: usize) -> usize {
        rows.next_multiple_of(tile_size(isa).0) * inner
    }

    /// Packs `a` into the front of `scratch`.
    ///
    /// # Panics
    /// If `scratch` is shorter than [`PackedA::floats`].
    pub fn new(isa: Isa, a: impl Into<Operand<'a>>, scratch: &'a mut [f32]) -> PackedA<'a> {
        let a = a.into();
        a.check();
        let (rows, inner) = (a.rows(), a.cols());
        with_tiling(isa, PackWhole { operand: &a, left: true, to: scratch });
        PackedA { isa, rows, inner, strips: scratch }
    }
}

impl<'a> PackedB<'a> {
    /// Scratch needed for `[inner, cols]`, in f32.
    pub fn floats(isa: Isa, inner: usize, cols: usize) -> usize {
        cols.next_multiple_of(tile_size(isa).1) * inner
    }

    /// Packs `b` into the front of `scratch`.
    ///
    /// # Panics
    /// If `scratch` is shorter than [`PackedB::floats`].
    pub fn new(isa: Isa, b: impl Into<Operand<'a>>, scratch: &'a mut [f32]) -> PackedB<'a> {
        let b_t = b.into().t();
        b_t.check();
        let (cols, inner) = (b_t.rows(), b_t.cols());
        with_tiling(isa, PackWhole { operand: &b_t, left: false, to: scratch });
        PackedB { isa, cols, inner, strips: scratch }
    }
}

struct PackWhole<'a, 'b> {
    operand: &'a Operand<'a>,
    left: bool,
    to: &'b mut [f32],
}

impl TiledKernel for PackWhole<'_, '_> {
    type Output = ();
    fn run<S: Tiling>(self, s: S) {
        let whole = |len| Span { at: 0, len };
        let (outer, inner) = (whole(self.operand.rows()), whole(self.operand.cols()));
        let width = if self.left { S::MR } else { S::NR };
        let to = Strips::in_buffer(self.to, width, outer.len, inner.len);
        // SAFETY: the strips fit into the buffer, which is borrowed.
        unsafe {
            if self.left {
                s.pack_a(self.operand, outer, inner, to);
            } else {
                s.pack_b(self.operand, outer, inner, to);
            }
        }
    }
}

/// C = alpha · A · B + beta · C on the calling thread, from packed factors.
///
/// # Panics
/// If the shapes do not match or the factors were packed for different instruction sets.
pub fn gemm_packed(alpha: f32, a: PackedA<'_>, b: PackedB<'_>, beta: f32, c: MatMut<'_>) {
    assert!(
        a.isa == b.isa && a.inner == b.inner && (a.rows, b.cols) == (c.rows, c.cols),
        "[{}, {}] for {} times [{}, {}] for {} does not make [{}, {}]",
        a.rows,
        a.inner,
        a.isa,
        b.inner,
        b.cols,
        b.isa,
        c.rows,
        c.cols
    );
    with_tiling(a.isa, MultiplyPacked { alpha, a, b, beta, c });
}

struct MultiplyPacked<'a> {
    alpha: f32,
    a: PackedA<'a>,
    b: PackedB<'a>,
    beta: f32,
    c: MatMut<'a>,
}

impl TiledKernel for MultiplyPacked<'_> {
    type Output = ();
    fn run<S: Tiling>(self, s: S) {
        let MultiplyPacked { alpha, a, b, beta, c } = self;
        let target = Target { ptr: c.ptr, row_stride: c.row_stride, col_stride: c.col_stride };
        let whole = |len| Span { at: 0, len };
        for (i, cols) in whole(c.cols).pieces(S::NR).enumerate() {
            let b_strip = &b.strips[i * S::NR * b.inner..];
            for (i, rows) in whole(c.rows).pieces(S::MR).enumerate() {
                let a_strip = &a.strips[i * S::MR * a.inner..];
                // SAFETY: C is borrowed exclusively; the strips were packed for this instruction
                // set and these sizes.
                unsafe {
                    multiply_tile(s, b.inner, alpha, a_strip, b_strip, beta, target, rows, cols);
                }
            }
        }
    }
}

/// Scratch that [`gemm_serial`] needs for `[m, k]` times `[k, n]`, in f32.
pub fn serial_floats(isa: Isa, m: usize, n: usize, k: usize) -> usize {
    PackedA::floats(isa, m, k) + PackedB::floats(isa, k, n)
}

/// C = alpha · A · B + beta · C on the calling thread, packing into `scratch` (64-byte alignment is
/// best, not needed).
///
/// # Panics
/// If the shapes do not match or `scratch` is shorter than [`serial_floats`].
pub fn gemm_serial<'a>(
    isa: Isa,
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Operand<'a>>,
    beta: f32,
    c: MatMut<'_>,
    scratch: &'a mut [f32],
) {
    let (a, b) = (a.into(), b.into());
    let (for_b, for_a) = scratch.split_at_mut(PackedB::floats(isa, b.rows(), b.cols()));
    gemm_packed(alpha, PackedA::new(isa, a, for_a), PackedB::new(isa, b, for_b), beta, c);
}
