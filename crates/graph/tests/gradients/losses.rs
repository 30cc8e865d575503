//! Gradients of tables and losses.

use stoa_graph::DType;

use crate::finite::{Inputs, check};

#[test]
fn gathered_rows() {
    for (rows, d, ids) in
        [(1, 1, &[0][..]), (5, 3, &[4, 0, 4, 4, 2]), (7, 1, &[6, 6, 6]), (13, 5, &[3, 12])]
    {
        let inputs = Inputs::new(14).wrt(&[rows, d]).exactly(ids);
        check("gather", &inputs, |b, x| {
            let y = b.gather(x[0], x[1]).unwrap();
            b.mul(y, y).unwrap()
        });
    }
}

#[test]
fn cross_entropy_with_cap_weights_and_ignored_targets() {
    for (n, d, vocab) in [(1, 1, 1), (1, 3, 7), (5, 3, 1), (5, 7, 13), (4, 2, 3)] {
        for softcap in [None, Some(0.9), Some(15.0)] {
            for ignored in [0, 1, n] {
                let mut inputs = Inputs::new(15).wrt(&[n, d]).wrt(&[vocab, d]);
                let range = 0..i64::try_from(vocab).unwrap();
                let mut targets = inputs.draws.integers(&[n], range);
                targets.data[n - ignored..].fill(-1.0);
                let inputs = inputs.push(DType::I32, targets, false).constant(&[n]);
                let what = format!("{n}×{d}→{vocab}, cap {softcap:?}, {ignored} ignored");
                check(&what, &inputs, |b, x| {
                    let (loss, _) = b.cross_entropy(x[0], x[1], x[2], x[3], softcap).unwrap();
                    // A factor, so that dloss is not 1.
                    b.scale(loss, -2.5).unwrap()
                });
            }
        }
    }
}

#[test]
fn squared_errors_by_both_sides() {
    for (n, d) in [(1, 1), (3, 1), (1, 5), (5, 7)] {
        let inputs = Inputs::new(16).wrt(&[n, d]).wrt(&[n, d]).constant(&[n]);
        check(&format!("mse {n}×{d}"), &inputs, |b, x| {
            let loss = b.mean_squared_error(x[0], x[1], x[2]).unwrap();
            b.scale(loss, 3.0).unwrap()
        });
        check("mse of x against itself", &inputs, |b, x| {
            let y = b.mul(x[0], x[1]).unwrap();
            b.mean_squared_error(x[0], y, x[2]).unwrap()
        });
    }
}
