//! Matrix products: C = alpha · A · B + beta · C summed in f32, with what follows them fused in.
//!
//! [`gemm`] is the plain product over strided views; [`gemm_fused`] adds an [`Epilogue`] on
//! finished tiles. Operands may be stored as f16, bf16 or quantised blocks, and rounded to bf16 to
//! be multiplied ([`Arithmetic`]). Rows of q8_0 are multiplied with quantised weights in integers
//! (`integer`). The packed, blocked scheme is that of Goto and BLIS; each file
//! names its source. Weights can be kept in panels ([`PanelMatrix`]), which few rows, as in
//! decoding, read in place.
//!
//! Numerics: every output is a sum over k in an order that depends on the sizes and the instruction
//! set only, so it is bitwise the same for any number of threads; where beta is 0 or 1
//! it depends on k alone, so a row of A gives the same bits alone and among any others. NaN and
//! infinities in A and B propagate as in the plain sum; with `beta == 0` C is overwritten whatever
//! it held, and with `alpha == 0` the product is still formed (0 · NaN is NaN). The error of an
//! element is below about `k · ε · Σ|a||b|`, with a and b as they are multiplied. Products of bf16
//! take numbers below the least normal f32 for zero.

mod blocking;
mod blocks;
pub mod epilogue;
mod few;
mod form;
mod integer;
mod micro;
mod pack;
mod panels;
mod view;

pub use blocks::BlockMatrix;
pub use epilogue::{Epilogue, Tile};
pub use pack::Operand;
pub use panels::{PanelMatrix, has_panels, to_panels, to_rows};
pub use view::{Element, MatMut, MatRef};

use crate::isa::{Isa, Portable};
use crate::pool::Pool;
use blocking::Product;
use form::{Rounded, Whole};
use micro::Tiling;

/// What the operands of a product are rounded to before they are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Nothing: all formats an operand can have are exact in f32.
    F32,
    /// bfloat16, to nearest even.
    Bf16,
}

/// How numbers are multiplied: with which instructions, at which precision. Sums are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arithmetic {
    /// The instruction set. Products of bf16 have their own instruction on [`Isa::Avx512Bf16`]; the
    /// other sets round and multiply f32.
    pub isa: Isa,
    /// The precision of the operands.
    pub precision: Precision,
}

impl From<Isa> for Arithmetic {
    fn from(isa: Isa) -> Self {
        Arithmetic { isa, precision: Precision::F32 }
    }
}

/// C = alpha · A · B + beta · C.
///
/// # Panics
/// If the shapes do not match: A `[m, k]`, B `[k, n]`, C `[m, n]`.
pub fn gemm<'a>(
    pool: &Pool,
    arithmetic: impl Into<Arithmetic>,
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Operand<'a>>,
    beta: f32,
    c: MatMut<'a>,
) {
    let (arithmetic, a, b) = (arithmetic.into(), a.into(), b.into());
    // The inner loop wants the columns of C adjacent; otherwise compute Cᵀ = Bᵀ Aᵀ.
    if c.col_stride != 1 && c.row_stride == 1 {
        run(pool, arithmetic, Product { alpha, a: b.t(), b_t: a, beta, c: c.t(), finished: None });
    } else {
        run(pool, arithmetic, Product { alpha, a, b_t: b.t(), beta, c, finished: None });
    }
}

/// C = epilogue(alpha · A · B + beta · C). The columns of C must be adjacent in memory.
///
/// # Panics
/// If the shapes do not match (A `[m, k]`, B `[k, n]`, C `[m, n]`) or the columns of C are not
/// adjacent.
pub fn gemm_fused<'a, E: Epilogue>(
    pool: &Pool,
    arithmetic: impl Into<Arithmetic>,
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Operand<'a>>,
    beta: f32,
    c: MatMut<'a>,
    epilogue: &E,
) {
    assert!(c.col_stride == 1 || c.cols <= 1, "an epilogue needs the columns of C adjacent");
    let arithmetic = arithmetic.into();
    let finished = |tile: &mut Tile<'_>| arithmetic.isa.dispatch(epilogue::Finish(epilogue, tile));
    let (a, b_t) = (a.into(), b.into().t());
    run(pool, arithmetic, Product { alpha, a, b_t, beta, c, finished: Some(&finished) });
}

fn run(pool: &Pool, arithmetic: Arithmetic, product: Product<'_>) {
    let (m, n) = (product.c.rows, product.c.cols);
    let (a_rows, a_cols) = (product.a.rows(), product.a.cols());
    let (b_rows, b_cols) = (product.b_t.cols(), product.b_t.rows());
    assert!(
        a_rows == m && b_cols == n && a_cols == b_rows,
        "[{a_rows}, {a_cols}] times [{b_rows}, {b_cols}] does not make [{m}, {n}]"
    );
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        arithmetic.precision == Precision::F32 || !matches!(product.b_t, Operand::Panels(_)),
        "panels are multiplied in f32"
    );
    if integer::suits(&product) {
        return integer::multiply(pool, arithmetic.isa, panel_width(arithmetic.isa), &product);
    }
    with_tiling(arithmetic, Multiply { pool, product: &product });
}

/// How many columns of a product a panel of weights makes.
pub fn panel_width(isa: Isa) -> usize {
    struct Width;
    impl TiledKernel for Width {
        type Output = usize;
        fn run<S: Tiling>(self, _: S) -> usize {
            S::NR
        }
    }
    with_tiling(isa.into(), Width)
}

struct Multiply<'a> {
    pool: &'a Pool,
    product: &'a Product<'a>,
}

impl TiledKernel for Multiply<'_> {
    type Output = ();
    fn run<S: Tiling>(self, s: S) {
        match (self.product.a, self.product.b_t) {
            (Operand::F32(x), Operand::Panels(w)) if few::suits(&x, self.product) => {
                few::multiply(s, self.pool, self.product, x, w);
            }
            _ => blocking::multiply(s, self.pool, self.product),
        }
    }
}

/// A computation over the tile sizes of an instruction set, not itself compiled for it.
trait TiledKernel {
    type Output;
    fn run<S: Tiling>(self, s: S) -> Self::Output;
}

fn with_tiling<K: TiledKernel>(arithmetic: Arithmetic, kernel: K) -> K::Output {
    let absent = "this machine lacks the instruction set asked for; use Isa::detect()";
    #[cfg(target_arch = "aarch64")]
    use crate::isa::Neon;
    #[cfg(target_arch = "x86_64")]
    use crate::isa::{Avx2, Avx512, Avx512Bf16};
    match (arithmetic.isa, arithmetic.precision) {
        (Isa::Portable, Precision::F32) => kernel.run(Whole(Portable)),
        (Isa::Portable, Precision::Bf16) => kernel.run(Rounded(Portable)),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2 | Isa::AvxVnni, Precision::F32) => kernel.run(Whole(Avx2::new().expect(absent))),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2 | Isa::AvxVnni, Precision::Bf16) => {
            kernel.run(Rounded(Avx2::new().expect(absent)))
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512 | Isa::Avx512Vnni | Isa::Avx512Bf16, Precision::F32) => {
            kernel.run(Whole(Avx512::new().expect(absent)))
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512 | Isa::Avx512Vnni, Precision::Bf16) => {
            kernel.run(Rounded(Avx512::new().expect(absent)))
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, Precision::Bf16) => {
            kernel.run(form::Pairs(Avx512Bf16::new().expect(absent)))
        }
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon, Precision::F32) => kernel.run(Whole(Neon::new().expect(absent))),
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon, Precision::Bf16) => kernel.run(Rounded(Neon::new().expect(absent))),
        #[allow(unreachable_patterns, reason = "which sets exist depends on the target")]
        _ => panic!("{absent}"),
    }
}
