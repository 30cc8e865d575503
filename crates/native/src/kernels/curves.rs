//! Nonlinearities on vectors, and the four pointwise functions made of each: its value, its slope
//! times a gradient, a gate and the gradient of a gate. A new one is an implementation of [`Curve`].

use super::math::{normal_below, tanh};
use super::pointwise::Function;
use crate::isa::Simd;

/// A nonlinearity; implementations are `#[inline(always)]`.
pub(crate) trait Curve: Copy + Sync {
    /// f(x) and f′(x); what is not used of it is not computed.
    fn value_and_slope<S: Simd>(self, s: S, x: S::F32) -> (S::F32, S::F32);
}

/// max(0, x)², NaN for NaN.
#[derive(Clone, Copy)]
pub(crate) struct ReluSquared;

impl Curve for ReluSquared {
    #[inline(always)]
    fn value_and_slope<S: Simd>(self, s: S, x: S::F32) -> (S::F32, S::F32) {
        let positive = s.max(s.zero(), x);
        (s.mul(positive, positive), s.add(positive, positive))
    }
}

/// x·σ with σ = sigmoid(x); the slope is σ + x·σ·(1 − σ).
#[derive(Clone, Copy)]
pub(crate) struct Silu;

impl Curve for Silu {
    #[inline(always)]
    fn value_and_slope<S: Simd>(self, s: S, x: S::F32) -> (S::F32, S::F32) {
        let sigmoid = s.sigmoid(x);
        let rest = s.sub(s.splat(1.0), sigmoid);
        let value = s.mul(x, sigmoid);
        (value, s.mul_add(value, rest, sigmoid))
    }
}

/// √(2/π) and the coefficient of the cube (arXiv 1606.08415 §2).
const GELU: (f32, f32) = (0.797_884_6, 0.044_715);

/// 0.5·x·(1 + t) with t = tanh(c·(x + k·x³)); the slope is 0.5·(1 + t + x·(1 − t²)·c·(1 + 3·k·x²)).
#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl Curve for Gelu {
    #[inline(always)]
    fn value_and_slope<S: Simd>(self, s: S, x: S::F32) -> (S::F32, S::F32) {
        let (c, k) = GELU;
        let (half, one, square) = (s.splat(0.5), s.splat(1.0), s.mul(x, x));
        let t = tanh(s, s.mul(x, s.mul_add(square, s.splat(c * k), s.splat(c))));
        let above = s.add(one, t);
        let inner = s.mul_add(square, s.splat(3.0 * c * k), s.splat(c));
        // (1 − t)(1 + t) keeps the digits that 1 − t² loses.
        let bend = s.mul(s.mul(s.sub(one, t), above), s.mul(x, inner));
        (s.mul(s.mul(half, x), above), s.mul(half, s.add(above, bend)))
    }
}

/// x·Φ(x) with Φ the normal distribution; the slope is Φ(x) + x·φ(x), φ its density.
#[derive(Clone, Copy)]
pub(crate) struct GeluExact;

impl Curve for GeluExact {
    #[inline(always)]
    fn value_and_slope<S: Simd>(self, s: S, x: S::F32) -> (S::F32, S::F32) {
        // 1/√(2π)
        const PEAK: f32 = 0.398_942_3;
        let below = normal_below(s, x);
        let density = s.mul(s.splat(PEAK), s.exp(s.mul(s.mul(x, x), s.splat(-0.5))));
        (s.mul(x, below), s.mul_add(x, density, below))
    }
}

/// max(0, x), NaN for NaN.
#[derive(Clone, Copy)]
pub(crate) struct Relu;

impl Curve for Relu {
    #[inline(always)]
    fn value_and_slope<S: Simd>(self, s: S, x: S::F32) -> (S::F32, S::F32) {
        let positive = s.max(s.zero(), x);
        // 1 above zero and 0 below; NaN, which is on neither side, stays.
        let slope = s.select(s.lt(s.zero(), x), s.splat(1.0), positive);
        (positive, slope)
    }
}

/// cap·t with t = tanh(x/cap); the slope is (1 − t)(1 + t), which keeps the digits that 1 − t² loses
/// near the cap.
#[derive(Clone, Copy)]
pub(crate) struct SoftCap {
    pub cap: f32,
}

impl Curve for SoftCap {
    #[inline(always)]
    fn value_and_slope<S: Simd>(self, s: S, x: S::F32) -> (S::F32, S::F32) {
        let (cap, one) = (s.splat(self.cap), s.splat(1.0));
        let t = tanh(s, s.div(x, cap));
        (s.mul(cap, t), s.mul(s.sub(one, t), s.add(one, t)))
    }
}

/// x → f(x)
#[derive(Clone, Copy)]
pub(crate) struct Value<C>(pub C);

impl<C: Curve> Function<1, 1> for Value<C> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [x]: [S::F32; 1]) -> [S::F32; 1] {
        [self.0.value_and_slope(s, x).0]
    }
}

/// x, dy → dy·f′(x)
#[derive(Clone, Copy)]
pub(crate) struct TimesSlope<C>(pub C);

impl<C: Curve> Function<2, 1> for TimesSlope<C> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [x, dy]: [S::F32; 2]) -> [S::F32; 1] {
        [s.mul(dy, self.0.value_and_slope(s, x).1)]
    }
}

/// gate, up → f(gate)·up
#[derive(Clone, Copy)]
pub(crate) struct Gate<C>(pub C);

impl<C: Curve> Function<2, 1> for Gate<C> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [gate, up]: [S::F32; 2]) -> [S::F32; 1] {
        [s.mul(self.0.value_and_slope(s, gate).0, up)]
    }
}

/// gate, up, dy → dy·up·f′(gate), dy·f(gate)
#[derive(Clone, Copy)]
pub(crate) struct GateBackward<C>(pub C);

impl<C: Curve> Function<3, 2> for GateBackward<C> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [gate, up, dy]: [S::F32; 3]) -> [S::F32; 2] {
        let (value, slope) = self.0.value_and_slope(s, gate);
        [s.mul(s.mul(dy, up), slope), s.mul(dy, value)]
    }
}

/// `$body` with `$curve` the curve of the nonlinearity `$f`.
macro_rules! with_curve {
    ($f:expr, $curve:ident => $body:expr) => {
        match $f {
            stoa_graph::Nonlinearity::ReluSquared => {
                let $curve = $crate::kernels::curves::ReluSquared;
                $body
            }
            stoa_graph::Nonlinearity::Silu => {
                let $curve = $crate::kernels::curves::Silu;
                $body
            }
            stoa_graph::Nonlinearity::Gelu => {
                let $curve = $crate::kernels::curves::Gelu;
                $body
            }
            stoa_graph::Nonlinearity::GeluExact => {
                let $curve = $crate::kernels::curves::GeluExact;
                $body
            }
            stoa_graph::Nonlinearity::Relu => {
                let $curve = $crate::kernels::curves::Relu;
                $body
            }
            stoa_graph::Nonlinearity::SoftCap { cap } => {
                let $curve = $crate::kernels::curves::SoftCap { cap };
                $body
            }
        }
    };
}

pub(crate) use with_curve;
