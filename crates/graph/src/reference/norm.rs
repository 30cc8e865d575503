//! RMSNorm (arXiv 1910.07467 eq. 4) and its gradient.

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
