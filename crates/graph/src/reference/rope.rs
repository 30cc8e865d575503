//! Rotary position embedding (arXiv 2104.09864 §3.4), half-split pairs, one chunk per axis.

use super::Array;
use crate::RopeSpec;

/// Each pair (i, i + n) of each chunk rotated by position·frequency i of n, times the factor.
pub(super) fn rope(x: &Array, positions: &Array, spec: &RopeSpec) -> Array {
    let (chunk, half) = (spec.chunk(), spec.frequencies.len());
    let mut out = x.clone();
    for token in 0..x.shape[0] {
        let x = x.row(token);
        let out = out.row_mut(token);
        // One chunk after the other: [heads, axes, chunk].
        for (nth, start) in (0..x.len()).step_by(chunk).enumerate() {
            let position = positions.data[token * spec.axes + nth % spec.axes];
            for (i, frequency) in spec.frequencies.iter().enumerate() {
                let angle = if spec.inverse { -position } else { position } * frequency;
                let (sin, cos) = (spec.factor * angle.sin(), spec.factor * angle.cos());
                let (a, b) = (x[start + i], x[start + i + half]);
                out[start + i] = a * cos - b * sin;
                out[start + i + half] = b * cos + a * sin;
            }
        }
    }
    out
}
