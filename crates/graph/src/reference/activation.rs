//! Pointwise nonlinearities and their slopes. Written so that NaN goes through: a comparison with
//! NaN is false, and takes the branch that computes.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use super::Array;
use crate::Nonlinearity;

/// f(x).
pub(super) fn value(f: Nonlinearity, x: f64) -> f64 {
    match f {
        Nonlinearity::ReluSquared if x <= 0.0 => 0.0,
        Nonlinearity::ReluSquared => x * x,
        Nonlinearity::Relu if x <= 0.0 => 0.0,
        Nonlinearity::Relu => x,
        Nonlinearity::GeluExact => x * normal_below(x),
        Nonlinearity::Silu => silu(x),
        Nonlinearity::Gelu => 0.5 * x * (1.0 + gelu_inner(x).tanh()),
        Nonlinearity::SoftCap { cap } => soft_cap(x, f64::from(cap)),
    }
}

/// f′(x).
pub(super) fn slope(f: Nonlinearity, x: f64) -> f64 {
    match f {
        Nonlinearity::ReluSquared if x <= 0.0 => 0.0,
        Nonlinearity::ReluSquared => 2.0 * x,
        Nonlinearity::Relu if x <= 0.0 => 0.0,
        Nonlinearity::Relu if x > 0.0 => 1.0,
        Nonlinearity::Relu => x,
        Nonlinearity::GeluExact => {
            let density = 0.5 * FRAC_2_SQRT_PI / SQRT_2 * (-0.5 * x * x).exp();
            normal_below(x) + x * density
        }
        Nonlinearity::Silu => silu_slope(x),
        Nonlinearity::Gelu => {
            let t = gelu_inner(x).tanh();
            let inner_slope = FRAC_2_SQRT_PI / SQRT_2 * (1.0 + 3.0 * GELU_CUBE * x * x);
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope
        }
        Nonlinearity::SoftCap { cap } => soft_cap_slope(x, f64::from(cap)),
    }
}

/// Coefficient of the cube in GELU's approximation (arXiv 1606.08415 §2).
const GELU_CUBE: f64 = 0.044715;

/// √(2/π)·(x + 0.044715·x³)
fn gelu_inner(x: f64) -> f64 {
    FRAC_2_SQRT_PI / SQRT_2 * (x + GELU_CUBE * x * x * x)
}

/// Share of the normal distribution below x: (1 + erf(x/√2))/2.
fn normal_below(x: f64) -> f64 {
    0.5 * (1.0 + erf(x / SQRT_2))
}

/// 2/√π·e^(−x²)·Σ 2ⁿ·x^(2n+1)/(1·3·…·(2n+1)) (DLMF 7.6.2): terms of one sign, so none cancel. From 6 on
/// 1 is nearest, and below that 200 terms are more than what counts.
fn erf(x: f64) -> f64 {
    if x.abs() >= 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// x·sigmoid(x).
fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// (x·s)′ = s + x·s·(1 − s).
fn silu_slope(x: f64) -> f64 {
    let s = sigmoid(x);
    s + x * s * (1.0 - s)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// cap·tanh(x/cap).
pub(super) fn soft_cap(x: f64, cap: f64) -> f64 {
    cap * (x / cap).tanh()
}

/// 1 − tanh²(x/cap).
pub(super) fn soft_cap_slope(x: f64, cap: f64) -> f64 {
    1.0 - (x / cap).tanh().powi(2)
}

/// dgate = dy·up·f′(gate), dup = dy·f(gate).
pub(super) fn gated_backward(f: Nonlinearity, gate: &Array, up: &Array, dy: &Array) -> Vec<Array> {
    let mut dgate = Array::zeros(&gate.shape);
    let mut dup = Array::zeros(&gate.shape);
    for i in 0..gate.data.len() {
        dgate.data[i] = dy.data[i] * up.data[i] * slope(f, gate.data[i]);
        dup.data[i] = dy.data[i] * value(f, gate.data[i]);
    }
    vec![dgate, dup]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_is_that_of_tables() {
        // Abramowitz and Stegun, table 7.1.
        for (x, expected) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9)] {
            assert!((erf(x) - expected).abs() < 5e-11, "{x}: {}", erf(x));
        }
        assert!((erf(-2.0) + 0.995_322_265_0).abs() < 5e-11);
        // 1 − erf(5.9) is 7e-17.
        assert!((erf(5.9) - 1.0).abs() < 1e-15);
        assert!(erf(f64::NAN).is_nan());
    }
}
