//! Rotary position embedding (arXiv 2104.09864 §3.4), half-split pairs, one chunk per axis.

use super::Array;
use crate::RopeSpec;

/// Each pair (i, i + chunk/2) of each chunk turned by position·theta^(−2i/chunk).
pub(super) fn rope(x: &Array, positions: &Array, spec: &RopeSpec) -> Array {
    let chunk = spec.head_dim / spec.axes;
    let half = chunk / 2;
    let mut out = Array::zeros(&x.shape);
    for token in 0..x.shape[0] {
        let x = x.row(token);
        let out = out.row_mut(token);
        // One chunk after the other: [heads, axes, chunk].
        for (nth, start) in (0..x.len()).step_by(chunk).enumerate() {
            let position = positions.data[token * spec.axes + nth % spec.axes];
            for i in 0..half {
                let frequency = f64::from(spec.theta).powf(-2.0 * i as f64 / chunk as f64);
                let angle = if spec.inverse { -position } else { position } * frequency;
                let (sin, cos) = angle.sin_cos();
                let (a, b) = (x[start + i], x[start + i + half]);
                out[start + i] = a * cos - b * sin;
                out[start + i + half] = b * cos + a * sin;
            }
        }
    }
    out
}
