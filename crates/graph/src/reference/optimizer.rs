//! Gradient clipping, AdamW and Muon.

use super::Array;
use super::matmul::matmul;
use crate::{AdamWSpec, MuonSpec, Orthogonalizer};

/// Root of the sum of all squares.
pub(super) fn global_norm(tensors: &[&Array]) -> Array {
    Array::scalar(tensors.iter().flat_map(|t| &t.data).map(|x| x * x).sum::<f64>().sqrt())
}

/// min(1, max_norm/norm); 0 when the norm is not finite or exceeds `limit`.
pub(super) fn clip_factor(norm: f64, limit: f64, max_norm: f32) -> f64 {
    if !norm.is_finite() || norm > limit {
        return 0.0;
    }
    (f64::from(max_norm) / norm).min(1.0)
}

/// p, g, m, v, lr, step, factor → p, m, v (arXiv 1711.05101, algorithm 2).
pub(super) fn adamw(inputs: &[&Array], spec: &AdamWSpec) -> Vec<Array> {
    let [p, g, m, v, lr, step, factor] = inputs else { unreachable!("the shape rule counted") };
    let (mut p, mut m, mut v) = ((*p).clone(), (*m).clone(), (*v).clone());
    let factor = factor.data[0];
    if factor == 0.0 {
        return vec![p, m, v];
    }
    let (beta1, beta2) = (f64::from(spec.beta1), f64::from(spec.beta2));
    let lr = lr.data[0] * f64::from(spec.lr_scale);
    let step = step.data[0];
    for i in 0..p.data.len() {
        let g = g.data[i] * factor;
        m.data[i] = beta1 * m.data[i] + (1.0 - beta1) * g;
        v.data[i] = beta2 * v.data[i] + (1.0 - beta2) * g * g;
        let first = m.data[i] / (1.0 - beta1.powf(step));
        let second = v.data[i] / (1.0 - beta2.powf(step));
        let update = first / (second.sqrt() + f64::from(spec.eps));
        p.data[i] -= lr * (update + f64::from(spec.weight_decay) * p.data[i]);
    }
    vec![p, m, v]
}

/// p, g, buffer, lr, momentum, factor → p, buffer.
pub(super) fn muon(inputs: &[&Array], spec: &MuonSpec) -> Vec<Array> {
    let [p, g, buffer, lr, momentum, factor] = inputs else {
        unreachable!("the shape rule counted")
    };
    let (mut p, mut buffer) = ((*p).clone(), (*buffer).clone());
    let (momentum, factor) = (momentum.data[0], factor.data[0]);
    if factor == 0.0 {
        return vec![p, buffer];
    }
    let mut direction = Array::zeros(&p.shape);
    for i in 0..p.data.len() {
        let g = g.data[i] * factor;
        buffer.data[i] = momentum * buffer.data[i] + (1.0 - momentum) * g;
        direction.data[i] = if spec.nesterov {
            momentum * buffer.data[i] + (1.0 - momentum) * g
        } else {
            buffer.data[i]
        };
    }
    let u = orthogonalise(&direction, spec.orthogonalizer, spec.iterations);
    let (rows, cols) = (p.shape[0] as f64, p.shape[1] as f64);
    let gain = (rows / cols).max(1.0).sqrt();
    let lr = lr.data[0] * f64::from(spec.lr_scale);
    for i in 0..p.data.len() {
        p.data[i] -= lr * (gain * u.data[i] + f64::from(spec.weight_decay) * p.data[i]);
    }
    vec![p, buffer]
}

/// X ← aX + b(XXᵀ)X + c(XXᵀ)²X on the matrix lying on its long side.
fn orthogonalise(x: &Array, orthogonalizer: Orthogonalizer, iterations: usize) -> Array {
    let tall = x.shape[0] > x.shape[1];
    let (factor, eps) = orthogonalizer.normalisation();
    let divisor = f64::from(factor) * global_norm(&[x]).data[0] + f64::from(eps);
    let mut x = if tall { transpose(x) } else { x.clone() };
    x.data.iter_mut().for_each(|x| *x /= divisor);
    for step in 0..iterations {
        let (a, b, c) = orthogonalizer.coefficients(step);
        let (a, b, c) = (f64::from(a), f64::from(b), f64::from(c));
        let gram = matmul(&x, &x, false, true);
        let mut polynomial = matmul(&gram, &gram, false, false);
        for (p, g) in polynomial.data.iter_mut().zip(&gram.data) {
            *p = b * g + c * *p;
        }
        let product = matmul(&polynomial, &x, false, false);
        x.data.iter_mut().zip(&product.data).for_each(|(x, p)| *x = a * *x + p);
    }
    if tall { transpose(&x) } else { x }
}

fn transpose(x: &Array) -> Array {
    let (rows, cols) = (x.shape[0], x.shape[1]);
    let mut out = Array::zeros(&[cols, rows]);
    for i in 0..rows {
        for j in 0..cols {
            out.data[j * rows + i] = x.data[i * cols + j];
        }
    }
    out
}
