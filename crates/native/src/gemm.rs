//! Matrix products: C = alpha · A · B + beta · C in f32, with what surrounds them fused in.
//!
//! [`gemm`] is the plain product over strided views; [`gemm_fused`] adds an [`Epilogue`] on finished
//! tiles. Operands may be stored as f16, bf16
//! or quantised blocks. [`gemm_skinny`] serves decoding, where x has a few
//! rows. The packed, blocked scheme is that of Goto and BLIS; each file names its source.
//!
//! Numerics: every output is a sum over k in an order that depends on the sizes and the
//! instruction set only, so it is bitwise the same for any number of threads. NaN and infinities in
//! A and B propagate as in the plain sum; with `beta == 0` C is overwritten whatever it held, and
//! with `alpha == 0` the product is still formed (0 · NaN is NaN). The error of an element is below
//! about `k · ε · Σ|a||b|`.

mod blocking;
mod blocks;
pub mod epilogue;
mod micro;
mod pack;
mod skinny;
mod view;

pub use blocks::BlockMatrix;
pub use epilogue::{Epilogue, Tile};
pub use pack::Operand;
pub use skinny::{FEW_ROWS, gemm_skinny};
pub use view::{Element, MatMut, MatRef};

use crate::isa::{Isa, Portable};
use crate::pool::Pool;
use blocking::Product;
use micro::Tiling;

/// C = alpha · A · B + beta · C.
///
/// # Panics
/// If the shapes do not match: A `[m, k]`, B `[k, n]`, C `[m, n]`.
pub fn gemm<'a>(
    pool: &Pool,
    isa: Isa,
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Operand<'a>>,
    beta: f32,
    c: MatMut<'a>,
) {
    let (a, b) = (a.into(), b.into());
    // The inner loop wants the columns of C adjacent; otherwise compute Cᵀ = Bᵀ Aᵀ.
    if c.col_stride != 1 && c.row_stride == 1 {
        run(pool, isa, Product { alpha, a: b.t(), b_t: a, beta, c: c.t(), finished: None });
    } else {
        run(pool, isa, Product { alpha, a, b_t: b.t(), beta, c, finished: None });
    }
}

/// C = epilogue(alpha · A · B + beta · C). The columns of C must be adjacent in memory.
///
/// # Panics
/// If the shapes do not match (A `[m, k]`, B `[k, n]`, C `[m, n]`) or the columns of C are not
/// adjacent.
pub fn gemm_fused<'a, E: Epilogue>(
    pool: &Pool,
    isa: Isa,
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Operand<'a>>,
    beta: f32,
    c: MatMut<'a>,
    epilogue: &E,
) {
    assert!(c.col_stride == 1 || c.cols <= 1, "an epilogue needs the columns of C adjacent");
    let finished = |tile: &mut Tile<'_>| isa.dispatch(epilogue::Finish(epilogue, tile));
    let (a, b_t) = (a.into(), b.into().t());
    run(pool, isa, Product { alpha, a, b_t, beta, c, finished: Some(&finished) });
}

fn run(pool: &Pool, isa: Isa, product: Product<'_>) {
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
    with_tiling(isa, Multiply { pool, product: &product });
}

struct Multiply<'a> {
    pool: &'a Pool,
    product: &'a Product<'a>,
}

impl TiledKernel for Multiply<'_> {
    type Output = ();
    fn run<S: Tiling>(self, s: S) {
        blocking::multiply(s, self.pool, self.product);
    }
}

/// A computation over the tile sizes of an instruction set, not itself compiled for it.
trait TiledKernel {
    type Output;
    fn run<S: Tiling>(self, s: S) -> Self::Output;
}

fn with_tiling<K: TiledKernel>(isa: Isa, kernel: K) -> K::Output {
    let absent = "this machine lacks the instruction set asked for; use Isa::detect()";
    match isa {
        Isa::Portable => kernel.run(Portable),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => kernel.run(crate::isa::Avx2::new().expect(absent)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => kernel.run(crate::isa::Avx512::new().expect(absent)),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => kernel.run(crate::isa::Neon::new().expect(absent)),
        #[allow(unreachable_patterns, reason = "which sets exist depends on the target")]
        _ => panic!("{absent}"),
    }
}
