//! AdamW (arXiv 1711.05101, algorithm 2) in one pass over parameter, gradient and moments.

use crate::context::Context;
use crate::isa::{Kernel, Simd};
use crate::kernels::disjoint::Disjoint;

/// Elements a task works on.
const TASK: usize = 1 << 14;

/// Constants of one step.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f32,
    /// Learning rate of this parameter.
    pub lr: f32,
    /// Number of the step, from 1.
    pub step: f32,
    /// Factor on the gradient; 0 skips the step.
    pub factor: f32,
}

/// Updates p, m and v in place from the gradient g. A factor of 0 leaves all bits as they are.
///
/// # Panics
/// If the lengths differ.
pub fn adamw(
    context: Context<'_>,
    constants: AdamW,
    p: &mut [f32],
    g: &[f32],
    m: &mut [f32],
    v: &mut [f32],
) {
    let len = p.len();
    assert!(g.len() == len && m.len() == len && v.len() == len, "adamw: lengths differ");
    if constants.factor == 0.0 {
        return;
    }
    let step = f64::from(constants.step);
    let unbias = |beta: f32| (1.0 / (1.0 - f64::from(beta).powf(step))) as f32;
    let (unbias1, unbias2) = (unbias(constants.beta1), unbias(constants.beta2));
    let (p, m, v) = (Disjoint::new(p), Disjoint::new(m), Disjoint::new(v));
    context.pool.run(len.div_ceil(TASK), &|task, _| {
        let start = task * TASK;
        let count = TASK.min(len - start);
        let g = &g[start..start + count];
        // SAFETY: each task has its own block.
        let (p, m, v) =
            unsafe { (p.part(start, count), m.part(start, count), v.part(start, count)) };
        context.isa.dispatch(Step { constants, unbias1, unbias2, p, g, m, v });
    });
}

struct Step<'a> {
    constants: AdamW,
    unbias1: f32,
    unbias2: f32,
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Kernel for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AdamW { beta1, beta2, eps, weight_decay, lr, factor, .. } = self.constants;
        let rest = |beta: f32| s.splat((1.0 - f64::from(beta)) as f32);
        let (rest1, rest2) = (rest(beta1), rest(beta2));
        let (beta1, beta2, eps) = (s.splat(beta1), s.splat(beta2), s.splat(eps));
        let (decay, lr, factor) = (s.splat(weight_decay), s.splat(lr), s.splat(factor));
        let (unbias1, unbias2) = (s.splat(self.unbias1), s.splat(self.unbias2));
        let vectors = self.p.chunks_mut(S::LANES).zip(self.g.chunks(S::LANES));
        let moments = self.m.chunks_mut(S::LANES).zip(self.v.chunks_mut(S::LANES));
        for ((p, g), (m, v)) in vectors.zip(moments) {
            let g = s.mul(s.load_partial(g), factor);
            let first = s.mul_add(rest1, g, s.mul(beta1, s.load_partial(m)));
            let second = s.mul_add(s.mul(rest2, g), g, s.mul(beta2, s.load_partial(v)));
            s.store_partial(first, m);
            s.store_partial(second, v);
            let root = s.add(s.sqrt(s.mul(second, unbias2)), eps);
            let update = s.div(s.mul(first, unbias1), root);
            let before = s.load_partial(p);
            let change = s.mul_add(decay, before, update);
            s.store_partial(s.neg_mul_add(lr, change, before), p);
        }
    }
}
