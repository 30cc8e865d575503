//! RMSNorm (arXiv 1910.07467 eq. 4), layer normalisation (arXiv 1607.06450 eq. 4) and their
//! gradients, over the whole row or per head.

use super::disjoint::Disjoint;
use super::math::dot;
use crate::context::Context;
use crate::isa::{Kernel, Simd};
use std::ops::Range;

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
    let width = if w.is_some() { group } else { 0 };
    let body = |rows: Range<usize>, dx: &mut [f32], dw: &mut [f32]| {
        let (x, dy) = (&x[rows.clone()], &dy[rows]);
        context.isa.dispatch(Backward { group, eps, x, dy, w, accumulate, dx, dw });
    };
    with_partial_sums(context, group, width, dx, &body, |partials| {
        if let Some(dw) = dw {
            assert_eq!(dw.len(), group, "rms_norm_backward: dw has the shape of w");
            add_up(partials, width, 0, dw);
        }
    });
}

/// Runs `body` over tasks of whole groups, each with its elements, its part of `dx` and `width` sums of its
/// own; then hands the sums of all tasks to `total`, in their order.
fn with_partial_sums(
    context: Context<'_>,
    group: usize,
    width: usize,
    dx: &mut [f32],
    body: &(dyn Fn(Range<usize>, &mut [f32], &mut [f32]) + Sync),
    total: impl FnOnce(&[f32]),
) {
    let (size, groups) = (dx.len(), dx.len() / group);
    let per_task = (TASK / group).max(groups.div_ceil(MAX_PARTIALS)).max(1);
    let tasks = groups.div_ceil(per_task);
    let dx = Disjoint::new(dx);
    context.pool.with_joint_scratch(tasks * width, |partials| {
        let shared = Disjoint::new(partials);
        context.pool.run(tasks, &|task, _| {
            let start = task * per_task * group;
            let end = (start + per_task * group).min(size);
            // SAFETY: each task has its own rows and its own sums.
            let (dx, sums) =
                unsafe { (dx.part(start, end - start), shared.part(task * width, width)) };
            body(start..end, dx, sums);
        });
        total(partials);
    });
}

/// Sums what each `width` of `partials` holds from `at` on.
fn add_up(partials: &[f32], width: usize, at: usize, to: &mut [f32]) {
    to.fill(0.0);
    for partial in partials.chunks_exact(width) {
        to.iter_mut().zip(&partial[at..]).for_each(|(sum, p)| *sum += p);
    }
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

/// y = (x − mean) / sqrt(variance + eps) · scale [+ bias], mean and variance those of each
/// consecutive `group` elements; scale and bias repeat every so many elements as they have.
///
/// # Panics
/// If `group` does not divide the scale, or that x, or y or the bias has another length.
pub fn layer_norm(
    context: Context<'_>,
    group: usize,
    eps: f32,
    x: &[f32],
    scale: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let period = scale.len();
    check(period, x, y, Some(scale));
    assert!(group > 0 && period.is_multiple_of(group), "layer_norm: groups of {group} in {period}");
    assert!(bias.is_none_or(|bias| bias.len() == period), "layer_norm: a bias per feature");
    let periods = x.len() / period;
    let per_task = (TASK / period).max(1);
    let y = Disjoint::new(y);
    context.pool.run(periods.div_ceil(per_task), &|task, _| {
        let start = task * per_task * period;
        let x = &x[start..(start + per_task * period).min(x.len())];
        // SAFETY: each task has its own rows.
        let y = unsafe { y.part(start, x.len()) };
        context.isa.dispatch(LayerNorm { group, eps, x, scale, bias, y });
    });
}

/// x − mean for at most one vector of x; 0 beyond its end.
#[inline(always)]
fn centred<S: Simd>(s: S, x: &[f32], mean: f32) -> S::F32 {
    const MAX_LANES: usize = 16;
    let means = [mean; MAX_LANES];
    s.sub(s.load_partial(x), s.load_partial(&means[..x.len()]))
}

/// Mean, and 1 / sqrt(variance + eps), the variance taken of centred elements.
#[inline(always)]
fn moments<S: Simd>(s: S, x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mut sums = [s.zero(); 2];
    for (i, x) in x.chunks(S::LANES).enumerate() {
        sums[i % 2] = s.add(sums[i % 2], s.load_partial(x));
    }
    let mean = s.reduce_add(s.add(sums[0], sums[1])) / n;
    let mut squares = [s.zero(); 2];
    for (i, x) in x.chunks(S::LANES).enumerate() {
        let centred = centred(s, x, mean);
        squares[i % 2] = s.mul_add(centred, centred, squares[i % 2]);
    }
    let variance = s.reduce_add(s.add(squares[0], squares[1])) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

struct LayerNorm<'a> {
    group: usize,
    eps: f32,
    x: &'a [f32],
    scale: &'a [f32],
    bias: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.group;
        // The group of the scale that a group of x has.
        let places = (0..self.scale.len()).step_by(n).cycle();
        let groups = self.x.chunks_exact(n).zip(self.y.chunks_exact_mut(n));
        for ((x, y), place) in groups.zip(places) {
            let scale = &self.scale[place..place + n];
            let bias = self.bias.map(|bias| &bias[place..place + n]);
            let (mean, r) = moments(s, x, self.eps);
            for i in (0..n).step_by(S::LANES) {
                let end = (i + S::LANES).min(n);
                let standard = s.mul(centred(s, &x[i..end], mean), s.splat(r));
                let scaled = s.mul(standard, s.load_partial(&scale[i..end]));
                let value = match bias {
                    None => scaled,
                    Some(bias) => s.add(scaled, s.load_partial(&bias[i..end])),
                };
                s.store_partial(value, &mut y[i..end]);
            }
        }
    }
}

/// With x̂ = (x − mean)·r and g = dy·scale: dx = r·(g − mean(g) − x̂·mean(g·x̂)), added to what
/// `dx` holds when `accumulate`; dscale = Σ dy·x̂ and dbias = Σ dy over all groups that share them.
///
/// # Panics
/// If `group` does not divide the scale, or that x, or another slice does not have its length.
pub fn layer_norm_backward(
    context: Context<'_>,
    group: usize,
    eps: f32,
    [x, dy, scale]: [&[f32]; 3],
    accumulate: bool,
    dx: &mut [f32],
    (dscale, dbias): (&mut [f32], Option<&mut [f32]>),
) {
    let period = scale.len();
    check(period, x, dx, Some(scale));
    assert!(group > 0 && period.is_multiple_of(group), "layer_norm_backward: groups of {group}");
    assert_eq!(x.len(), dy.len(), "layer_norm_backward: dy has the shape of x");
    let body = |rows: Range<usize>, dx: &mut [f32], sums: &mut [f32]| {
        let (dscale, dbias) = sums.split_at_mut(period);
        let (x, dy) = (&x[rows.clone()], &dy[rows]);
        let kernel = LayerNormBackward { group, eps, x, dy, scale, accumulate, dx, dscale, dbias };
        context.isa.dispatch(kernel);
    };
    with_partial_sums(context, period, 2 * period, dx, &body, |partials| {
        add_up(partials, 2 * period, 0, dscale);
        if let Some(dbias) = dbias {
            add_up(partials, 2 * period, period, dbias);
        }
    });
}

struct LayerNormBackward<'a> {
    group: usize,
    eps: f32,
    x: &'a [f32],
    dy: &'a [f32],
    scale: &'a [f32],
    accumulate: bool,
    dx: &'a mut [f32],
    dscale: &'a mut [f32],
    dbias: &'a mut [f32],
}

impl Kernel for LayerNormBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.group;
        self.dscale.fill(0.0);
        self.dbias.fill(0.0);
        let places = (0..self.scale.len()).step_by(n).cycle();
        for ((row, dx), place) in self.dx.chunks_exact_mut(n).enumerate().zip(places) {
            let scale = &self.scale[place..place + n];
            let (dscale, dbias) =
                (&mut self.dscale[place..place + n], &mut self.dbias[place..place + n]);
            let (x, dy) = (&self.x[row * n..(row + 1) * n], &self.dy[row * n..(row + 1) * n]);
            let (mean, r) = moments(s, x, self.eps);
            let (mut sum, mut along) = (s.zero(), s.zero());
            for i in (0..n).step_by(S::LANES) {
                let end = (i + S::LANES).min(n);
                let dy = s.load_partial(&dy[i..end]);
                let g = s.mul(dy, s.load_partial(&scale[i..end]));
                let standard = s.mul(centred(s, &x[i..end], mean), s.splat(r));
                sum = s.add(sum, g);
                along = s.mul_add(g, standard, along);
                let (dscale, dbias) = (&mut dscale[i..end], &mut dbias[i..end]);
                s.store_partial(s.mul_add(dy, standard, s.load_partial(dscale)), dscale);
                s.store_partial(s.add(s.load_partial(dbias), dy), dbias);
            }
            let sum = s.splat(s.reduce_add(sum) / n as f32);
            let along = s.splat(s.reduce_add(along) / n as f32);
            for i in (0..n).step_by(S::LANES) {
                let end = (i + S::LANES).min(n);
                let dy = s.load_partial(&dy[i..end]);
                let g = s.mul(dy, s.load_partial(&scale[i..end]));
                let standard = s.mul(centred(s, &x[i..end], mean), s.splat(r));
                let inner = s.neg_mul_add(standard, along, s.sub(g, sum));
                let gradient = s.mul(s.splat(r), inner);
                let to = &mut dx[i..end];
                let before = if self.accumulate { s.load_partial(to) } else { s.zero() };
                s.store_partial(s.add(before, gradient), to);
            }
        }
    }
}
