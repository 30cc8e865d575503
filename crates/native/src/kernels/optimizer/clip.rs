//! Norm of all gradients together and the factor that clips it.

use crate::context::Context;
use crate::isa::{Kernel, Simd};
use crate::kernels::disjoint::Disjoint;
use crate::kernels::math::dot;

/// Elements summed in f32 before the sum goes on in f64: at most 2^14/16 additions per lane keep
/// the relative error of a block below 1e-5.
const BLOCK: usize = 1 << 14;

/// Root of the sum of all squares of all tensors. Blocks are summed in f32, their sums in order in
/// f64, so the result does not depend on the threads.
pub fn global_norm(context: Context<'_>, tensors: &[&[f32]]) -> f32 {
    sum_of_squares(context, tensors).sqrt() as f32
}

/// Σ x² over all tensors.
pub(super) fn sum_of_squares(context: Context<'_>, tensors: &[&[f32]]) -> f64 {
    let blocks: Vec<&[f32]> = tensors.iter().flat_map(|t| t.chunks(BLOCK)).collect();
    let mut sums = vec![0.0; blocks.len()];
    let shared = Disjoint::new(&mut sums);
    context.pool.run(blocks.len(), &|task, _| {
        let sum = context.isa.dispatch(SquareSum(blocks[task]));
        // SAFETY: one element per task.
        unsafe { shared.part(task, 1)[0] = f64::from(sum) };
    });
    sums.iter().sum()
}

struct SquareSum<'a>(&'a [f32]);

impl Kernel for SquareSum<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        dot(s, self.0, self.0)
    }
}

/// min(1, max_norm/norm); 0 when the norm is not finite or exceeds `limit`, that is when the step
/// is to be skipped. A limit of NaN is no limit.
pub fn clip_factor(norm: f32, limit: f32, max_norm: f32) -> f32 {
    if !norm.is_finite() || norm > limit {
        return 0.0;
    }
    (max_norm / norm).min(1.0)
}
