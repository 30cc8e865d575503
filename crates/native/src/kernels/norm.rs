//! RMSNorm (arXiv 1910.07467 eq. 4) and its gradient, over the whole row or per head.

use super::disjoint::Disjoint;
use super::math::dot;
use crate::context::Context;
use crate::isa::{Kernel, Simd};

/// Elements a task works on: enough to repay handing it out, few enough to stay in cache.
const TASK: usize = 1 << 14;
/// Most partial sums of dw: what one thread adds up at the end.
const MAX_PARTIALS: usize = 64;

/// y = x / sqrt(mean(x²) + eps) [· w], the mean over each consecutive `group` elements.
///
/// # Panics
/// If `group` does not divide x, or y or w has another length.
pub fn rms_norm(
    context: Context<'_>,
    group: usize,
    eps: f32,
    x: &[f32],
    w: Option<&[f32]>,
    y: &mut [f32],
) {
    check(group, x, y, w);
    let groups = x.len() / group;
    let per_task = (TASK / group).max(1);
    let y = Disjoint::new(y);
    context.pool.run(groups.div_ceil(per_task), &|task, _| {
        let start = task * per_task * group;
        let x = &x[start..(start + per_task * group).min(groups * group)];
        // SAFETY: each task has its own rows.
        let y = unsafe { y.part(start, x.len()) };
        context.isa.dispatch(Forward { group, eps, x, w, y });
    });
}

fn check(group: usize, x: &[f32], y: &[f32], w: Option<&[f32]>) {
    assert!(
        group > 0 && x.len().is_multiple_of(group),
        "rms_norm: groups of {group} in {}",
        x.len()
    );
    assert_eq!(x.len(), y.len(), "rms_norm: input and output differ");
    assert!(w.is_none_or(|w| w.len() == group), "rms_norm: a weight per feature of a group");
}

/// 1 / sqrt(mean(x²) + eps)
#[inline(always)]
fn inverse_rms<S: Simd>(s: S, x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(s, x, x) / x.len() as f32 + eps).sqrt()
}

struct Forward<'a> {
    group: usize,
    eps: f32,
    x: &'a [f32],
    w: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.x.chunks_exact(self.group).zip(self.y.chunks_exact_mut(self.group));
        for (x, y) in rows {
            let r = s.splat(inverse_rms(s, x, self.eps));
            let vectors = x.chunks(S::LANES).zip(y.chunks_mut(S::LANES));
            match self.w {
                None => vectors.for_each(|(x, y)| s.store_partial(s.mul(s.load_partial(x), r), y)),
                Some(w) => vectors.zip(w.chunks(S::LANES)).for_each(|((x, y), w)| {
                    let scaled = s.mul(s.load_partial(x), r);
                    s.store_partial(s.mul(scaled, s.load_partial(w)), y);
                }),
            }
        }
    }
}

/// With r = 1/rms and g = dy[·w]: dx = r·(g − x·r²·mean(g·x)), added to what `dx` holds when
/// `accumulate`; dw = Σ dy·x·r over all groups. A weight comes with its gradient or not at all.
///
/// # Panics
/// If `group` does not divide x, or another slice does not have its length.
pub fn rms_norm_backward(
    context: Context<'_>,
    group: usize,
    eps: f32,
    x: &[f32],
    dy: &[f32],
    w: Option<&[f32]>,
    accumulate: bool,
    dx: &mut [f32],
    dw: Option<&mut [f32]>,
) {
    check(group, x, dx, w);
    assert_eq!(x.len(), dy.len(), "rms_norm_backward: dy has the shape of x");
    assert_eq!(w.is_some(), dw.is_some(), "rms_norm_backward: w and dw go together");
    let groups = x.len() / group;
    let per_task = (TASK / group).max(groups.div_ceil(MAX_PARTIALS)).max(1);
    let tasks = groups.div_ceil(per_task);
    let dx = Disjoint::new(dx);
    let width = if w.is_some() { group } else { 0 };
    context.pool.with_joint_scratch(tasks * width, |partials| {
        let shared = Disjoint::new(partials);
        context.pool.run(tasks, &|task, _| {
            let start = task * per_task * group;
            let len = (per_task * group).min(x.len() - start);
            // SAFETY: each task has its own rows and its own partial sum.
            let (dx, dw) = unsafe { (dx.part(start, len), shared.part(task * width, width)) };
            let (x, dy) = (&x[start..start + len], &dy[start..start + len]);
            context.isa.dispatch(Backward { group, eps, x, dy, w, accumulate, dx, dw });
        });
        if let Some(dw) = dw {
            assert_eq!(dw.len(), group, "rms_norm_backward: dw has the shape of w");
            dw.fill(0.0);
            for partial in partials.chunks_exact(group) {
                dw.iter_mut().zip(partial).for_each(|(dw, p)| *dw += p);
            }
        }
    });
}

struct Backward<'a> {
    group: usize,
    eps: f32,
    x: &'a [f32],
    dy: &'a [f32],
    w: Option<&'a [f32]>,
    accumulate: bool,
    dx: &'a mut [f32],
    dw: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.group;
        self.dw.fill(0.0);
        for (row, dx) in self.dx.chunks_exact_mut(n).enumerate() {
            let (x, dy) = (&self.x[row * n..(row + 1) * n], &self.dy[row * n..(row + 1) * n]);
            let r = inverse_rms(s, x, self.eps);
            let product = match self.w {
                None => dot(s, dy, x),
                Some(w) => triple(s, dy, x, w),
            };
            // x is scaled by r before its own factor, so that an infinite x gives 0·∞ = NaN only
            // where the formula does.
            let mean = s.splat(product * r / n as f32);
            let r = s.splat(r);
            for i in (0..n).step_by(S::LANES) {
                let end = (i + S::LANES).min(n);
                let (scaled, dy) =
                    (s.mul(s.load_partial(&x[i..end]), r), s.load_partial(&dy[i..end]));
                let g = match self.w {
                    None => dy,
                    Some(w) => s.mul(dy, s.load_partial(&w[i..end])),
                };
                let gradient = s.mul(r, s.neg_mul_add(scaled, mean, g));
                let to = &mut dx[i..end];
                let before = if self.accumulate { s.load_partial(to) } else { s.zero() };
                s.store_partial(s.add(before, gradient), to);
                if self.w.is_some() {
                    let dw = &mut self.dw[i..end];
                    s.store_partial(s.mul_add(dy, scaled, s.load_partial(dw)), dw);
                }
            }
        }
    }
}

/// Σ a·b·c
#[inline(always)]
fn triple<S: Simd>(s: S, a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut sums = [s.zero(); 2];
    let vectors = a.chunks(S::LANES).zip(b.chunks(S::LANES)).zip(c.chunks(S::LANES));
    for (i, ((a, b), c)) in vectors.enumerate() {
        let ab = s.mul(s.load_partial(a), s.load_partial(b));
        sums[i % 2] = s.mul_add(ab, s.load_partial(c), sums[i % 2]);
    }
    s.reduce_add(s.add(sums[0], sums[1]))
}
