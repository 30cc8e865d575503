//! Losses and their gradients.

use super::activation::{soft_cap, soft_cap_slope};
use super::attention::dot;
use super::table::checked_or_none;
use super::{Array, Result};

/// One row of a cross-entropy.
struct Row {
    target: usize,
    /// x·wᵀ, before the cap.
    raw: Vec<f64>,
    /// Softmax of the capped logits.
    probabilities: Vec<f64>,
    nll: f64,
}

/// Row `i`; `None` when its target is ignored, in which case nothing else of it is read.
fn row(
    op: &'static str,
    [x, w, targets]: [&Array; 3],
    i: usize,
    cap: Option<f64>,
) -> Result<Option<Row>> {
    let vocab = w.shape[0];
    let Some(target) = checked_or_none(op, targets, i, vocab)? else { return Ok(None) };
    let raw: Vec<f64> = (0..vocab).map(|v| dot(x.row(i), w.row(v))).collect();
    let logits: Vec<f64> = raw.iter().map(|&z| cap.map_or(z, |cap| soft_cap(z, cap))).collect();
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - max).exp()).sum();
    let nll = max + sum.ln() - logits[target];
    let probabilities = logits.iter().map(|z| (z - max).exp() / sum).collect();
    Ok(Some(Row { target, raw, probabilities, nll }))
}

/// x, w, targets, weights → loss, nll.
pub(super) fn cross_entropy(
    x: &Array,
    w: &Array,
    targets: &Array,
    weights: &Array,
    softcap: Option<f32>,
) -> Result<(Array, Array)> {
    let n = x.shape[0];
    let mut nll = Array::zeros(&[n]);
    let mut loss = 0.0;
    for i in 0..n {
        if let Some(row) = row("cross_entropy", [x, w, targets], i, softcap.map(f64::from))? {
            nll.data[i] = row.nll;
            loss += weights.data[i] * row.nll;
        }
    }
    Ok((Array::scalar(loss), nll))
}

/// x, w, targets, weights, dloss → dx, dw, loss, nll. The gradient by a capped logit is
/// dloss·weight·(probability − [is target]).
pub(super) fn cross_entropy_backward(
    [x, w, targets, weights, dloss]: [&Array; 5],
    softcap: Option<f32>,
) -> Result<Vec<Array>> {
    let (n, vocab, cap) = (x.shape[0], w.shape[0], softcap.map(f64::from));
    let mut dx = Array::zeros(&x.shape);
    let mut dw = Array::zeros(&w.shape);
    let mut nll = Array::zeros(&[n]);
    let mut loss = 0.0;
    for i in 0..n {
        let Some(row) = row("cross_entropy_backward", [x, w, targets], i, cap)? else { continue };
        nll.data[i] = row.nll;
        loss += weights.data[i] * row.nll;
        for v in 0..vocab {
            let is_target = if v == row.target { 1.0 } else { 0.0 };
            let slope = cap.map_or(1.0, |cap| soft_cap_slope(row.raw[v], cap));
            let d = dloss.data[0] * weights.data[i] * (row.probabilities[v] - is_target) * slope;
            for j in 0..x.shape[1] {
                dx.row_mut(i)[j] += d * w.row(v)[j];
                dw.row_mut(v)[j] += d * x.row(i)[j];
            }
        }
    }
    Ok(vec![dx, dw, Array::scalar(loss), nll])
}

/// Σ_i weights_i·mean_j (prediction_ij − target_ij)².
pub(super) fn mean_squared_error(prediction: &Array, target: &Array, weights: &Array) -> Array {
    let d = prediction.shape[1];
    let mut loss = 0.0;
    for i in 0..prediction.shape[0] {
        let squares = prediction.row(i).iter().zip(target.row(i)).map(|(p, t)| (p - t).powi(2));
        loss += weights.data[i] * squares.sum::<f64>() / d as f64;
    }
    Array::scalar(loss)
}

/// dloss·weights_i·2/d·(prediction_ij − target_ij).
pub(super) fn mean_squared_error_backward(
    prediction: &Array,
    target: &Array,
    weights: &Array,
    dloss: &Array,
) -> Array {
    let d = prediction.shape[1];
    let mut out = Array::zeros(&prediction.shape);
    for i in 0..prediction.shape[0] {
        for j in 0..d {
            let difference = prediction.row(i)[j] - target.row(i)[j];
            out.row_mut(i)[j] = dloss.data[0] * weights.data[i] * 2.0 / d as f64 * difference;
        }
    }
    out
}
