//! Elementary functions on vectors, beyond those of [`Simd`]. Each states its error; the tests
//! measure it on every instruction set.

use std::f32::consts::LOG2_E;

use crate::isa::Simd;

/// log2(e), the factor that turns e^x into 2^x.
pub(crate) const LOG2E: f32 = LOG2_E;

/// 2^x with a relative error below 2e-7 where the result is a normal number; 0 below −150,
/// infinity from 128, NaN for NaN.
///
/// 2^r on [−½, ½] is the Taylor polynomial of degree 7, whose remainder (ln 2/2)^8/8! is below
/// 5.3e-9.
#[inline(always)]
pub(crate) fn exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // `x` second, so that NaN passes through. 2^−151 rounds to 0.
    let x = s.min(s.splat(129.0), s.max(s.splat(-151.0), x));
    let n = s.round(x);
    let r = s.sub(x, n);
    // ln(2)^k / k!
    const TAYLOR: [f32; 7] = [
        1.540_353e-4,
        1.333_355_8e-3,
        9.618_129e-3,
        5.550_411e-2,
        0.240_226_5,
        std::f32::consts::LN_2,
        1.0,
    ];
    let mut p = s.splat(1.525_273_4e-5);
    for c in TAYLOR {
        p = s.mul_add(p, r, s.splat(c));
    }
    s.scale_exp2(p, n)
}

/// tanh x within 4 units in the last place; ±1 at ±infinity, NaN for NaN.
///
/// Small arguments use the odd polynomial of Cephes `tanhf` (S. Moshier, netlib cephes/single),
/// larger ones 1 − 2/(e^2x + 1).
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let square = s.mul(x, x);
    let mut p = s.splat(-5.704_988_7e-3);
    for c in [2.063_908_8e-2, -5.373_971e-2, 1.333_144_2e-1, -3.333_328e-1] {
        p = s.mul_add(p, square, s.splat(c));
    }
    let near = s.mul_add(s.mul(p, square), x, x);
    let one = s.splat(1.0);
    let size = s.abs(x);
    let e = s.exp(s.add(size, size));
    let far = s.sub(one, s.div(s.splat(2.0), s.add(e, one)));
    let far = s.select(s.lt(x, s.zero()), s.neg(far), far);
    s.select(s.lt(size, s.splat(0.625)), near, far)
}

/// Share of the normal distribution below x, ½·erfc(−x/√2), with a relative error below 1e-6 down to
/// −8 and an absolute one below 1e-7 everywhere; NaN for NaN.
///
/// erfc(z) = t·e^(p(t) − z²) for z ≥ 0 with t = 1/(1 + z/2), as in Numerical Recipes §6.2; p is the
/// Chebyshev fit of degree 9 to ln(erfc(z)·e^(z²)/t) on t = 1/6 to 1, within 5e-8.
#[inline(always)]
pub(crate) fn normal_below<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const FIT: [f32; 9] = [
        -0.680_827_2,
        1.156_733_8,
        -0.696_252,
        -0.080_280_4,
        1.267_592_3e-3,
        3.460_28e-2,
        0.386_640_4,
        0.998_632_8,
        -1.265_448,
    ];
    let one = s.splat(1.0);
    let z = s.mul(s.abs(x), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = s.div(one, s.mul_add(z, s.splat(0.5), one));
    let mut p = s.splat(0.144_930_2);
    for c in FIT {
        p = s.mul_add(p, t, s.splat(c));
    }
    let tail = s.mul(s.mul(t, s.splat(0.5)), s.exp(s.sub(p, s.mul(z, z))));
    s.select(s.lt(x, s.zero()), tail, s.sub(one, tail))
}

/// Σ a·b, in an order fixed by the length and the instruction set. `b` may be longer than `a`.
#[inline(always)]
pub(crate) fn dot<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    // Four sums, so that one addition need not wait for the one before.
    let mut sums = [s.zero(); 4];
    let (quads, rest) = a.split_at(a.len() - a.len() % (4 * S::LANES));
    for (a, b) in quads.chunks_exact(4 * S::LANES).zip(b.chunks_exact(4 * S::LANES)) {
        for (i, sum) in sums.iter_mut().enumerate() {
            let at = i * S::LANES;
            *sum = s.mul_add(s.load(&a[at..]), s.load(&b[at..]), *sum);
        }
    }
    for (a, b) in rest.chunks(S::LANES).zip(b[quads.len()..].chunks(S::LANES)) {
        sums[0] = s.mul_add(s.load_partial(a), s.load_partial(b), sums[0]);
    }
    s.reduce_add(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, Kernel};

    /// Applies exp2 and tanh to each input.
    struct Both<'a>(&'a [f32]);

    impl Kernel for Both<'_> {
        type Output = (Vec<f32>, Vec<f32>);
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (Vec<f32>, Vec<f32>) {
            let mut out = (vec![0.0; self.0.len()], vec![0.0; self.0.len()]);
            for (i, x) in self.0.chunks(S::LANES).enumerate() {
                let at = i * S::LANES..i * S::LANES + x.len();
                let x = s.load_partial(x);
                s.store_partial(exp2(s, x), &mut out.0[at.clone()]);
                s.store_partial(tanh(s, x), &mut out.1[at]);
            }
            out
        }
    }

    #[test]
    fn errors_are_within_what_is_stated() {
        let grid: Vec<f32> = (-2_000_000..2_000_000).map(|i| i as f32 * 6.37e-5).collect();
        for isa in Isa::available() {
            let (powers, tangents) = isa.dispatch(Both(&grid));
            for ((&x, &p), &t) in grid.iter().zip(&powers).zip(&tangents) {
                let want = f64::from(x).exp2();
                if (-126.0..128.0).contains(&x) {
                    assert!((f64::from(p) / want - 1.0).abs() < 2e-7, "{isa}: 2^{x} = {p}");
                }
                let want = f64::from(x).tanh();
                let ulp = f64::from(want.abs() as f32) * f64::from(f32::EPSILON);
                assert!((f64::from(t) - want).abs() <= 4.0 * ulp, "{isa}: tanh {x} = {t}");
            }
        }
    }

    #[test]
    fn limits_are_those_of_ieee() {
        let inputs = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, 128.0, -152.0, -1e30, 1e30];
        for isa in Isa::available() {
            let (p, t) = isa.dispatch(Both(&inputs));
            assert_eq!((p[0], p[1], p[3]), (f32::INFINITY, 0.0, 1.0), "{isa}");
            assert_eq!((p[4], p[5], p[6], p[7]), (f32::INFINITY, 0.0, 0.0, f32::INFINITY), "{isa}");
            assert_eq!((t[0], t[1], t[3], t[6], t[7]), (1.0, -1.0, 0.0, -1.0, 1.0), "{isa}");
            assert!(p[2].is_nan() && t[2].is_nan(), "{isa}");
        }
    }
}
