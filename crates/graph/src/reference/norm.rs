//! RMSNorm (arXiv 1910.07467 eq. 4), layer normalisation (arXiv 1607.06450) and their gradients.

use super::Array;

/// 1/sqrt(mean(x²) + eps).
fn inverse_rms(x: &[f64], eps: f64) -> f64 {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    1.0 / (mean + eps).sqrt()
}

/// x/sqrt(mean(x²) + eps) [·w] over each `group` features.
pub(super) fn rms_norm(x: &Array, w: Option<&Array>, group: usize, eps: f64) -> Array {
    let mut out = Array::zeros(&x.shape);
    for start in (0..x.data.len()).step_by(group) {
        let x = &x.data[start..start + group];
        let r = inverse_rms(x, eps);
        for j in 0..group {
            out.data[start + j] = x[j] * r * w.map_or(1.0, |w| w.data[j]);
        }
    }
    out
}

/// With x̂ = x·r and g = dy[·w]: dx = r·(g − x̂·mean(g·x̂)) and dw = Σ dy·x̂.
pub(super) fn rms_norm_backward(
    x: &Array,
    dy: &Array,
    w: Option<&Array>,
    group: usize,
    eps: f64,
) -> Vec<Array> {
    let mut dx = Array::zeros(&x.shape);
    let mut dw = Array::zeros(&[group]);
    for start in (0..x.data.len()).step_by(group) {
        let x = &x.data[start..start + group];
        let dy = &dy.data[start..start + group];
        let r = inverse_rms(x, eps);
        let g: Vec<f64> = (0..group).map(|j| dy[j] * w.map_or(1.0, |w| w.data[j])).collect();
        let mean = (0..group).map(|j| g[j] * x[j] * r).sum::<f64>() / group as f64;
        for j in 0..group {
            dx.data[start + j] = r * (g[j] - x[j] * r * mean);
            dw.data[j] += dy[j] * x[j] * r;
        }
    }
    if w.is_some() { vec![dx, dw] } else { vec![dx] }
}

/// (x − mean)/sqrt(variance + eps) of a group, and 1/sqrt(variance + eps).
fn standardised(x: &[f64], eps: f64) -> (Vec<f64>, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let r = 1.0 / (variance + eps).sqrt();
    (x.iter().map(|x| (x - mean) * r).collect(), r)
}

/// (x − mean)/sqrt(variance + eps)·scale [+ bias] over each `group` features; scale and bias repeat
/// every so many features as they have.
pub(super) fn layer_norm(
    x: &Array,
    scale: &Array,
    bias: Option<&Array>,
    group: usize,
    eps: f64,
) -> Array {
    let mut out = Array::zeros(&x.shape);
    for start in (0..x.data.len()).step_by(group) {
        let (standard, _) = standardised(&x.data[start..start + group], eps);
        let at = start % scale.data.len();
        for j in 0..group {
            let bias = bias.map_or(0.0, |bias| bias.data[at + j]);
            out.data[start + j] = standard[j] * scale.data[at + j] + bias;
        }
    }
    out
}

/// With x̂ = (x − mean)·r and g = dy·scale: dx = r·(g − mean(g) − x̂·mean(g·x̂)), dscale = Σ dy·x̂
/// and dbias = Σ dy.
pub(super) fn layer_norm_backward(
    x: &Array,
    dy: &Array,
    scale: &Array,
    group: usize,
    eps: f64,
) -> Vec<Array> {
    let mut dx = Array::zeros(&x.shape);
    let (mut dscale, mut dbias) = (Array::zeros(&scale.shape), Array::zeros(&scale.shape));
    for start in (0..x.data.len()).step_by(group) {
        let (standard, r) = standardised(&x.data[start..start + group], eps);
        let dy = &dy.data[start..start + group];
        let at = start % scale.data.len();
        let g: Vec<f64> = dy.iter().zip(&scale.data[at..]).map(|(dy, scale)| dy * scale).collect();
        let mean = g.iter().sum::<f64>() / group as f64;
        let along = g.iter().zip(&standard).map(|(g, x)| g * x).sum::<f64>() / group as f64;
        for j in 0..group {
            dx.data[start + j] = r * (g[j] - mean - standard[j] * along);
            dscale.data[at + j] += dy[j] * standard[j];
            dbias.data[at + j] += dy[j];
        }
    }
    vec![dx, dscale, dbias]
}
