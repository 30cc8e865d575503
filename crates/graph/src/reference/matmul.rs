//! Matrix product.

use super::Array;

/// op(a)·op(b).
pub(super) fn matmul(a: &Array, b: &Array, transpose_a: bool, transpose_b: bool) -> Array {
    let (m, k) = if transpose_a { (a.shape[1], a.shape[0]) } else { (a.shape[0], a.shape[1]) };
    let n = if transpose_b { b.shape[0] } else { b.shape[1] };
    let a_at = |i: usize, p: usize| a.data[if transpose_a { p * m + i } else { i * k + p }];
    let b_at = |p: usize, j: usize| b.data[if transpose_b { j * k + p } else { p * n + j }];
    let mut out = Array::zeros(&[m, n]);
    for i in 0..m {
        for j in 0..n {
            out.data[i * n + j] += (0..k).map(|p| a_at(i, p) * b_at(p, j)).sum::<f64>();
        }
    }
    out
}

/// x + bias on each row.
pub(super) fn add_to_rows(x: &Array, bias: &Array) -> Array {
    let mut out = x.clone();
    for i in 0..x.shape[0] {
        out.row_mut(i).iter_mut().zip(&bias.data).for_each(|(x, bias)| *x += bias);
    }
    out
}
