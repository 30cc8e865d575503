//! Pointwise nonlinearities and their slopes. Written so that NaN goes through: a comparison with
//! NaN is false, and takes the branch that computes.

use super::Array;
use crate::Nonlinearity;

/// f(x).
pub(super) fn value(f: Nonlinearity, x: f64) -> f64 {
    match f {
        Nonlinearity::ReluSquared if x <= 0.0 => 0.0,
        Nonlinearity::ReluSquared => x * x,
        Nonlinearity::Silu => silu(x),
    }
}

/// f′(x).
pub(super) fn slope(f: Nonlinearity, x: f64) -> f64 {
    match f {
        Nonlinearity::ReluSquared if x <= 0.0 => 0.0,
        Nonlinearity::ReluSquared => 2.0 * x,
        Nonlinearity::Silu => silu_slope(x),
    }
}

/// x·sigmoid(x).
pub(super) fn silu(x: f64) -> f64 {
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

/// dgate = dy·up·silu′(gate), dup = dy·silu(gate).
pub(super) fn swiglu_backward(gate: &Array, up: &Array, dy: &Array) -> Vec<Array> {
    let mut dgate = Array::zeros(&gate.shape);
    let mut dup = Array::zeros(&gate.shape);
    for i in 0..gate.data.len() {
        dgate.data[i] = dy.data[i] * up.data[i] * silu_slope(gate.data[i]);
        dup.data[i] = dy.data[i] * silu(gate.data[i]);
    }
    vec![dgate, dup]
}
