//! Weighted mean squared error per row, and its gradient.

use crate::context::Context;
use crate::isa::{Kernel, Simd};
use crate::kernels::disjoint::Disjoint;

/// Elements a task works on.
const TASK: usize = 1 << 14;

/// Σ_i weights_i·mean_j (prediction_ij − target_ij)² for n = weights.len() rows.
///
/// # Panics
/// If the lengths do not fit.
pub fn mean_squared_error(
    context: Context<'_>,
    prediction: &[f32],
    target: &[f32],
    weights: &[f32],
) -> f32 {
    let d = width(prediction, target, weights);
    let mut means = vec![0.0_f32; weights.len()];
    let shared = Disjoint::new(&mut means);
    let per_task = (TASK / d.max(1)).max(1);
    context.pool.run(weights.len().div_ceil(per_task), &|task, _| {
        let rows = task * per_task..((task + 1) * per_task).min(weights.len());
        for row in rows {
            let at = row * d..(row + 1) * d;
            let sum = context.isa.dispatch(Distance(&prediction[at.clone()], &target[at]));
            // SAFETY: one element per row.
            unsafe { shared.part(row, 1)[0] = sum / d as f32 };
        }
    });
    let sum: f64 = means.iter().zip(weights).map(|(&m, &w)| f64::from(m) * f64::from(w)).sum();
    sum as f32
}

/// Elements of a row.
fn width(prediction: &[f32], target: &[f32], weights: &[f32]) -> usize {
    assert_eq!(prediction.len(), target.len(), "squared error: shapes differ");
    let d = prediction.len() / weights.len().max(1);
    assert_eq!(d * weights.len(), prediction.len(), "squared error: a weight per row");
    d
}

/// Σ (a − b)²
struct Distance<'a>(&'a [f32], &'a [f32]);

impl Kernel for Distance<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sums = [s.zero(); 4];
        for (i, (a, b)) in self.0.chunks(S::LANES).zip(self.1.chunks(S::LANES)).enumerate() {
            let difference = s.sub(s.load_partial(a), s.load_partial(b));
            sums[i % 4] = s.mul_add(difference, difference, sums[i % 4]);
        }
        s.reduce_add(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
    }
}

/// dprediction = dloss·weights_i·2/d·(prediction_ij − target_ij)
///
/// # Panics
/// If the lengths do not fit.
pub fn mean_squared_error_backward(
    context: Context<'_>,
    prediction: &[f32],
    target: &[f32],
    weights: &[f32],
    dloss: f32,
    dprediction: &mut [f32],
) {
    let d = width(prediction, target, weights);
    assert_eq!(dprediction.len(), prediction.len(), "squared error: shapes differ");
    if d == 0 {
        return;
    }
    let per_task = (TASK / d).max(1);
    let to = Disjoint::new(dprediction);
    context.pool.run(weights.len().div_ceil(per_task), &|task, _| {
        for row in task * per_task..((task + 1) * per_task).min(weights.len()) {
            let at = row * d..(row + 1) * d;
            let factor = dloss * weights[row] * (2.0 / d as f32);
            // SAFETY: each row is written once.
            let to = unsafe { to.part(row * d, d) };
            context.isa.dispatch(Slope { factor, a: &prediction[at.clone()], b: &target[at], to });
        }
    });
}

/// to = factor·(a − b)
struct Slope<'a> {
    factor: f32,
    a: &'a [f32],
    b: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Slope<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let factor = s.splat(self.factor);
        let inputs = self.a.chunks(S::LANES).zip(self.b.chunks(S::LANES));
        for ((a, b), to) in inputs.zip(self.to.chunks_mut(S::LANES)) {
            let difference = s.sub(s.load_partial(a), s.load_partial(b));
            s.store_partial(s.mul(factor, difference), to);
        }
    }
}
