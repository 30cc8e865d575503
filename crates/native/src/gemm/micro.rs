//! The innermost loop: a tile of C held in registers while one strip of A meets one strip of B.
//!
//! Strips are packed (`pack.rs`): strip of A `[depth][MR]`, strip of B `[depth][NR]`, zero beyond the
//! edge; an element holds one k, or two in the pairs of AVX-512 BF16 (`form.rs`).
//! Each step multiplies MR broadcast values of A with NR / LANES vectors of B (Goto and van de
//! Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008, section 4; Van Zee and van de
//! Geijn, "BLIS", 2015, section 3). Tile sizes fill the register file: AVX-512 14 × 2 accumulators
//! of 32 registers, AVX2 6 × 2 of 16, NEON 8 × 3 of 32. A tile with fewer rows than MR has its own
//! copy of the loop, so a ragged edge costs no wasted arithmetic along m.

use super::form::{Form, Multiply, Rounded, Whole};
use super::pack::{Operand, Span, Strips};
use crate::isa::{Kernel, Portable, Simd};

#[cfg(target_arch = "x86_64")]
use super::form::Pairs;

/// The loop for one number of rows: `(form, depth, a, b, c, c_row_stride, alpha, beta)` computes
/// `C[rows, NR] = alpha * A * B + beta * C`; with `beta == 0` C is not read.
type MicroFn<F> = unsafe fn(F, usize, *const f32, *const f32, *mut f32, usize, f32, f32);

/// Tile sizes and inner loops of a form of elements on one instruction set.
pub(super) trait Tiling: Form {
    /// Rows of a tile: the width of a strip of A.
    const MR: usize;
    /// Columns of a tile: the width of a strip of B.
    const NR: usize;
    /// Rows × columns of the largest tile.
    type Tile: AsMut<[f32]>;
    /// `C[rows, NR] = alpha * A * B + beta * C` for strips of `depth` elements and
    /// `1 <= rows <= MR`; with `beta == 0` C is not read.
    ///
    /// # Safety
    /// The strips and C must have that size.
    unsafe fn multiply(
        self,
        rows: usize,
        depth: usize,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
        c_row_stride: usize,
        alpha: f32,
        beta: f32,
    );
    /// A tile-sized buffer.
    fn tile() -> Self::Tile;
    /// [`Operand::pack`] into strips of A, MR wide.
    ///
    /// # Safety
    /// As for [`Operand::pack`].
    unsafe fn pack_a(self, a: &Operand<'_>, rows: Span, inner: Span, to: Strips);
    /// [`Operand::pack`] into strips of B, NR wide; the operand must be B transposed,
    /// `[columns, inner]`.
    ///
    /// # Safety
    /// As for [`Operand::pack`].
    unsafe fn pack_b(self, b_t: &Operand<'_>, columns: Span, inner: Span, to: Strips);
}

struct Micro<F, const MR: usize, const ROWS: usize, const VECTORS: usize> {
    form: F,
    depth: usize,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    c_row_stride: usize,
    alpha: f32,
    beta: f32,
}

/// Compiled with the features of the instruction set. Made by [`micro`] alone, whose caller vouches
/// for the pointers.
impl<F: Multiply, const MR: usize, const ROWS: usize, const VECTORS: usize> Kernel
    for Micro<F, MR, ROWS, VECTORS>
{
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Micro { form, depth, mut a, mut b, c, c_row_stride, alpha, beta } = self;
        let (s, lanes) = (form.simd(), F::Simd::LANES);
        // SAFETY: strips hold depth * MR and depth * VECTORS * LANES floats, C holds ROWS rows of
        // VECTORS * LANES floats.
        unsafe {
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    s.prefetch(c.add(row * c_row_stride + vector * lanes));
                }
            }
            let mut tile = [[s.zero(); VECTORS]; ROWS];
            for _ in 0..depth {
                let columns: [<F::Simd as Simd>::F32; VECTORS] =
                    std::array::from_fn(|vector| s.load_ptr(b.add(vector * lanes)));
                for row in 0..ROWS {
                    let value = s.splat(*a.add(row));
                    for vector in 0..VECTORS {
                        tile[row][vector] =
                            form.multiply_add(value, columns[vector], tile[row][vector]);
                    }
                }
                a = a.add(MR);
                b = b.add(VECTORS * lanes);
            }
            let scale = s.splat(alpha);
            let keep = s.splat(beta);
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let at = c.add(row * c_row_stride + vector * lanes);
                    let product = s.mul(scale, tile[row][vector]);
                    let sum = if beta == 0.0 {
                        product
                    } else {
                        s.mul_add(keep, s.load_ptr(at), product)
                    };
                    s.store_ptr(sum, at);
                }
            }
        }
    }
}

/// The bridge from a plain function pointer into code compiled with the features of the form's set.
unsafe fn micro<F: Multiply, const MR: usize, const ROWS: usize, const VECTORS: usize>(
    form: F,
    depth: usize,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    c_row_stride: usize,
    alpha: f32,
    beta: f32,
) {
    let kernel = Micro::<F, MR, ROWS, VECTORS> { form, depth, a, b, c, c_row_stride, alpha, beta };
    form.simd().enter(kernel);
}

/// Tiles of a form; `as` names the form whose loops multiply its elements.
macro_rules! tiling {
    ($form:ty as $multiply:expr => $multiplied:ty,
     $mr:literal x $vectors:literal vectors of $lanes:literal: $($rows:literal)*) => {
        impl Tiling for $form {
            const MR: usize = $mr;
            const NR: usize = $vectors * $lanes;
            type Tile = [f32; $mr * $vectors * $lanes];
            #[inline(always)]
            unsafe fn multiply(
                self,
                rows: usize,
                depth: usize,
                a: *const f32,
                b: *const f32,
                c: *mut f32,
                c_row_stride: usize,
                alpha: f32,
                beta: f32,
            ) {
                const LOOPS: [MicroFn<$multiplied>; $mr] =
                    [$(micro::<$multiplied, $mr, $rows, $vectors>),*];
                let multiplied = ($multiply)(self.0);
                // SAFETY: passed on to the caller.
                unsafe { LOOPS[rows - 1](multiplied, depth, a, b, c, c_row_stride, alpha, beta) }
            }
            #[inline(always)]
            fn tile() -> Self::Tile {
                [0.0; $mr * $vectors * $lanes]
            }
            unsafe fn pack_a(self, a: &Operand<'_>, rows: Span, inner: Span, to: Strips) {
                // SAFETY: passed on to the caller.
                unsafe { a.pack::<Self, $mr>(self, rows, inner, to) }
            }
            unsafe fn pack_b(self, b_t: &Operand<'_>, columns: Span, inner: Span, to: Strips) {
                // SAFETY: passed on to the caller.
                unsafe { b_t.pack::<Self, { $vectors * $lanes }>(self, columns, inner, to) }
            }
        }
    };
    ($isa:ty, $mr:literal x $vectors:literal vectors of $lanes:literal: $($rows:literal)*) => {
        tiling!(Whole<$isa> as Whole => Whole<$isa>,
            $mr x $vectors vectors of $lanes: $($rows)*);
        tiling!(Rounded<$isa> as Whole => Whole<$isa>,
            $mr x $vectors vectors of $lanes: $($rows)*);
    };
}

tiling!(Portable, 4 x 2 vectors of 4: 1 2 3 4);
#[cfg(target_arch = "aarch64")]
tiling!(crate::isa::Neon, 8 x 3 vectors of 4: 1 2 3 4 5 6 7 8);
#[cfg(target_arch = "x86_64")]
tiling!(crate::isa::Avx2, 6 x 2 vectors of 8: 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
tiling!(crate::isa::Avx512, 14 x 2 vectors of 16: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
#[cfg(target_arch = "x86_64")]
tiling!(Pairs as Pairs => Pairs, 14 x 2 vectors of 16: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
