//! Muon: momentum whose direction is made orthogonal by a polynomial iteration
//! (kellerjordan.github.io/posts/muon; Polar Express, arXiv 2505.16932). The coefficients come
//! from the caller.

use super::clip::sum_of_squares;
use crate::context::Context;
use crate::gemm::{MatMut, MatRef, gemm};
use crate::isa::{Kernel, Simd};
use crate::kernels::disjoint::Disjoint;

/// Elements a task works on.
const TASK: usize = 1 << 14;
/// Rows of a block of a symmetric product: only blocks on and below the diagonal are multiplied.
const BLOCK: usize = 192;

/// Constants of one step.
#[derive(Clone, Copy, Debug)]
pub struct Muon<'a> {
    /// (a, b, c) of each iteration: X ← aX + b(XXᵀ)X + c(XXᵀ)²X.
    pub coefficients: &'a [(f32, f32, f32)],
    /// The direction is first divided by `.0·‖·‖ + .1`.
    pub normalisation: (f32, f32),
    /// Nesterov momentum instead of heavy ball.
    pub nesterov: bool,
    /// Decay of the momentum buffer.
    pub momentum: f32,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f32,
    /// Learning rate of this parameter.
    pub lr: f32,
    /// Factor on the gradient; 0 skips the step.
    pub factor: f32,
}

/// Elements of `scratch` that [`muon`] needs: the iterate twice, and two squares of its short side.
pub fn muon_scratch(rows: usize, cols: usize) -> usize {
    let short = rows.min(cols);
    2 * rows * cols + 2 * short * short
}

/// Updates p [rows, cols] and the momentum buffer in place from the gradient g:
/// buffer ← momentum·buffer + (1 − momentum)·g·factor, u = orthogonalised direction,
/// p ← p − lr·(sqrt(max(1, rows/cols))·u + weight_decay·p). A factor of 0 leaves all bits as they
/// are.
///
/// # Panics
/// If the lengths do not fit or `scratch` is smaller than [`muon_scratch`].
pub fn muon(
    context: Context<'_>,
    constants: Muon<'_>,
    (rows, cols): (usize, usize),
    p: &mut [f32],
    g: &[f32],
    buffer: &mut [f32],
    scratch: &mut [f32],
) {
    let len = rows * cols;
    assert!(p.len() == len && g.len() == len && buffer.len() == len, "muon: [{rows}, {cols}]");
    if constants.factor == 0.0 || len == 0 {
        return;
    }
    let short = rows.min(cols);
    let (mut x, rest) = scratch.split_at_mut(len);
    let (mut next, rest) = rest.split_at_mut(len);
    let (gram, rest) = rest.split_at_mut(short * short);
    let polynomial = &mut rest[..short * short];
    in_blocks(context, Direction(constants), [buffer, x], g);
    let (scale, eps) = constants.normalisation;
    let norm = sum_of_squares(context, &[x]).sqrt();
    let factor = (1.0 / (f64::from(scale) * norm + f64::from(eps))) as f32;
    for (step, &(a, b, c)) in constants.coefficients.iter().enumerate() {
        // The first iterate is the direction times `factor`, which goes into the products.
        let factor = if step == 0 { factor } else { 1.0 };
        iterate(context, (rows, cols), (a, b, c), factor, x, gram, polynomial, next);
        std::mem::swap(&mut x, &mut next);
    }
    // Without an iteration the direction is only normalised.
    let factor = if constants.coefficients.is_empty() { factor } else { 1.0 };
    let gain = (rows as f32 / cols as f32).max(1.0).sqrt() * factor;
    in_blocks(context, Update { constants, gain }, [p], x);
}

/// next = P·X with P = a·1 + b·G + c·G² and G = X·Xᵀ, on the short side (X·P with G = XᵀX when
/// rows > cols), where X is `factor·x`.
fn iterate(
    context: Context<'_>,
    (rows, cols): (usize, usize),
    (a, b, c): (f32, f32, f32),
    factor: f32,
    x: &[f32],
    gram: &mut [f32],
    polynomial: &mut [f32],
    next: &mut [f32],
) {
    let short = rows.min(cols);
    let matrix = MatRef::new(x, rows, cols);
    let flat = if rows > cols { matrix.t() } else { matrix };
    symmetric(context, factor * factor, flat, flat.t(), 0.0, gram, short);
    polynomial.copy_from_slice(gram);
    let square = MatRef::new(gram, short, short);
    symmetric(context, c, square, square, b, polynomial, short);
    polynomial.iter_mut().step_by(short + 1).for_each(|diagonal| *diagonal += a);
    let polynomial = MatRef::new(polynomial, short, short);
    let (left, right) = if rows > cols { (matrix, polynomial) } else { (polynomial, matrix) };
    gemm(context.pool, context.isa, factor, left, right, 0.0, MatMut::new(next, rows, cols));
}

/// out = alpha·left·right + beta·out for a product known to be symmetric: the blocks above the
/// diagonal are copied, not computed.
fn symmetric(
    context: Context<'_>,
    alpha: f32,
    left: MatRef<'_>,
    right: MatRef<'_>,
    beta: f32,
    out: &mut [f32],
    n: usize,
) {
    let inner = left.cols();
    let mut whole = MatMut::new(out, n, n);
    for row in (0..n).step_by(BLOCK) {
        let (height, width) = (BLOCK.min(n - row), (row + BLOCK).min(n));
        let a = left.block(row, 0, height, inner);
        let b = right.block(0, 0, inner, width);
        gemm(context.pool, context.isa, alpha, a, b, beta, whole.block(row, 0, height, width));
    }
    let shared = Disjoint::new(out);
    context.pool.run(n.div_ceil(BLOCK), &|block, _| {
        for row in block * BLOCK..((block + 1) * BLOCK).min(n) {
            for col in (block + 1) * BLOCK..n {
                // SAFETY: elements above the diagonal blocks are written once, from elements
                // below them that no task writes.
                unsafe { *shared.at(row * n + col) = *shared.at(col * n + row) }
            }
        }
    });
}

/// A pass over `N` arrays that are changed and one that is read.
trait Pass<const N: usize>: Copy + Sync {
    /// One block; implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, s: S, to: [&mut [f32]; N], from: &[f32]);
}

fn in_blocks<const N: usize, P: Pass<N>>(
    context: Context<'_>,
    pass: P,
    to: [&mut [f32]; N],
    from: &[f32],
) {
    let to = to.map(Disjoint::new);
    context.pool.run(from.len().div_ceil(TASK), &|task, _| {
        let start = task * TASK;
        let from = &from[start..from.len().min(start + TASK)];
        // SAFETY: each task has its own block.
        let to = to.each_ref().map(|to| unsafe { to.part(start, from.len()) });
        context.isa.dispatch(Block { pass, to, from });
    });
}

struct Block<'a, P, const N: usize> {
    pass: P,
    to: [&'a mut [f32]; N],
    from: &'a [f32],
}

impl<const N: usize, P: Pass<N>> Kernel for Block<'_, P, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.pass.run(s, self.to, self.from);
    }
}

/// Gradient into momentum buffer and direction.
#[derive(Clone, Copy)]
struct Direction<'a>(Muon<'a>);

impl Pass<2> for Direction<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S, [buffer, direction]: [&mut [f32]; 2], g: &[f32]) {
        let Muon { momentum, factor, nesterov, .. } = self.0;
        let (keep, take) = (s.splat(momentum), s.splat(1.0 - momentum));
        let factor = s.splat(factor);
        let arrays = buffer.chunks_mut(S::LANES).zip(direction.chunks_mut(S::LANES));
        for ((buffer, direction), g) in arrays.zip(g.chunks(S::LANES)) {
            let g = s.mul(take, s.mul(s.load_partial(g), factor));
            let moved = s.mul_add(keep, s.load_partial(buffer), g);
            s.store_partial(moved, buffer);
            let ahead = if nesterov { s.mul_add(keep, moved, g) } else { moved };
            s.store_partial(ahead, direction);
        }
    }
}

/// p ← p − lr·(gain·u + weight_decay·p)
#[derive(Clone, Copy)]
struct Update<'a> {
    constants: Muon<'a>,
    gain: f32,
}

impl Pass<1> for Update<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S, [p]: [&mut [f32]; 1], u: &[f32]) {
        let (gain, lr) = (s.splat(self.gain), s.splat(self.constants.lr));
        let decay = s.splat(self.constants.weight_decay);
        for (p, u) in p.chunks_mut(S::LANES).zip(u.chunks(S::LANES)) {
            let before = s.load_partial(p);
            let change = s.mul_add(gain, s.load_partial(u), s.mul(decay, before));
            s.store_partial(s.neg_mul_add(lr, change, before), p);
        }
    }
}
