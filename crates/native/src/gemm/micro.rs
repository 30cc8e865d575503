//! The innermost loop: a tile of C held in registers while one strip of A meets one strip of B.
//!
//! Strips are packed (`pack.rs`): strip of A `[k][MR]`, strip of B `[k][NR]`, zero beyond the edge.
//! Each step multiplies MR broadcast values of A with NR / LANES vectors of B (Goto and van de
//! Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008, section 4; Van Zee and van de
//! Geijn, "BLIS", 2015, section 3). Tile sizes fill the register file: AVX-512 14 × 2 accumulators
//! of 32 registers, AVX2 6 × 2 of 16, NEON 8 × 3 of 32. A tile with fewer rows than MR has its own
//! copy of the loop, so a ragged edge costs no wasted arithmetic along m.

use super::pack::{Operand, Span, Strips};
use crate::isa::{Kernel, Portable, Simd};

/// The loop for one number of rows: `(s, k, a, b, c, c_row_stride, alpha, beta)` computes
/// `C[rows, NR] = alpha * A * B + beta * C`; with `beta == 0` C is not read.
pub type MicroFn<S> = unsafe fn(S, usize, *const f32, *const f32, *mut f32, usize, f32, f32);

/// Tile sizes and inner loops of one instruction set.
pub trait Tiling: Simd {
    /// Rows of a tile: the width of a strip of A.
    const MR: usize;
    /// Columns of a tile: the width of a strip of B.
    const NR: usize;
    /// Rows × columns of the largest tile.
    type Tile: AsMut<[f32]>;
    /// The inner loop for `1 <= rows <= MR`.
    fn micro(rows: usize) -> MicroFn<Self>;
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

struct Micro<const ROWS: usize, const VECTORS: usize> {
    k: usize,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    c_row_stride: usize,
    alpha: f32,
    beta: f32,
}

impl<const ROWS: usize, const VECTORS: usize> Micro<ROWS, VECTORS> {
    /// # Safety
    /// As for [`MicroFn`].
    #[inline(always)]
    unsafe fn multiply<S: Tiling>(self, s: S) {
        let Micro { k, mut a, mut b, c, c_row_stride, alpha, beta } = self;
        // SAFETY: strips hold k * MR and k * NR floats, C holds ROWS rows of NR floats.
        unsafe {
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    s.prefetch(c.add(row * c_row_stride + vector * S::LANES));
                }
            }
            let mut tile = [[s.zero(); VECTORS]; ROWS];
            for _ in 0..k {
                let columns: [S::F32; VECTORS] =
                    std::array::from_fn(|vector| s.load_ptr(b.add(vector * S::LANES)));
                for row in 0..ROWS {
                    let value = s.splat(*a.add(row));
                    for vector in 0..VECTORS {
                        tile[row][vector] = s.mul_add(value, columns[vector], tile[row][vector]);
                    }
                }
                a = a.add(S::MR);
                b = b.add(S::NR);
            }
            let scale = s.splat(alpha);
            let keep = s.splat(beta);
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let at = c.add(row * c_row_stride + vector * S::LANES);
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

/// The bridge from a plain function pointer into code compiled with the features of `S`.
struct Enter<S: Tiling, const ROWS: usize, const VECTORS: usize>(S, Micro<ROWS, VECTORS>);

impl<S: Tiling, const ROWS: usize, const VECTORS: usize> Kernel for Enter<S, ROWS, VECTORS> {
    type Output = ();
    #[inline(always)]
    fn run<Same: Simd>(self, _: Same) {
        // SAFETY: only `micro` below makes one, whose caller vouches for the pointers.
        unsafe { self.1.multiply(self.0) }
    }
}

unsafe fn micro<S: Tiling, const ROWS: usize, const VECTORS: usize>(
    s: S,
    k: usize,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    c_row_stride: usize,
    alpha: f32,
    beta: f32,
) {
    s.enter(Enter(s, Micro::<ROWS, VECTORS> { k, a, b, c, c_row_stride, alpha, beta }));
}

macro_rules! tiling {
    ($isa:ty, $mr:literal x $vectors:literal vectors of $lanes:literal: $($rows:literal)*) => {
        impl Tiling for $isa {
            const MR: usize = $mr;
            const NR: usize = $vectors * $lanes;
            type Tile = [f32; $mr * $vectors * $lanes];
            #[inline(always)]
            fn micro(rows: usize) -> MicroFn<Self> {
                const LOOPS: [MicroFn<$isa>; $mr] = [$(micro::<$isa, $rows, $vectors>),*];
                LOOPS[rows - 1]
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
}

tiling!(Portable, 4 x 2 vectors of 4: 1 2 3 4);
#[cfg(target_arch = "aarch64")]
tiling!(crate::isa::Neon, 8 x 3 vectors of 4: 1 2 3 4 5 6 7 8);
#[cfg(target_arch = "x86_64")]
tiling!(crate::isa::Avx2, 6 x 2 vectors of 8: 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
tiling!(crate::isa::Avx512, 14 x 2 vectors of 16: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
