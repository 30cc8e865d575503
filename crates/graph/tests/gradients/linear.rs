//! Gradients of products and norms, and under weights and activations of bf16.

use stoa_graph::{Builder, DType, Nonlinearity, Op, Output, ValueId};

use crate::finite::{Inputs, POLICIES, check, differentiate, weighed};

#[test]
fn matmul_in_all_layouts() {
    for (m, k, n) in [(1, 1, 1), (1, 7, 3), (5, 1, 3), (3, 5, 1), (3, 5, 7), (13, 2, 3)] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let a = if ta { [k, m] } else { [m, k] };
            let c = if tb { [n, k] } else { [k, n] };
            let inputs = Inputs::new(3).wrt(&a).wrt(&c).wrt(&[m, n]);
            let what = format!("matmul {m}×{k}×{n} ta {ta} tb {tb}");
            check(&what, &inputs, |b, x| {
                let y = b.matmul(x[0], x[1], ta, tb).unwrap();
                b.mul(y, x[2]).unwrap()
            });
            let inputs = Inputs::new(3).wrt(&a).wrt(&c).wrt(&[n]);
            check(&format!("{what} bias"), &inputs, |b, x| {
                let result = DType::F32;
                let op = Op::MatMul { transpose_a: ta, transpose_b: tb, bias: true, result };
                let y = b.add_node(op, x).unwrap()[0];
                b.mul(y, y).unwrap()
            });
        }
    }
}

/// A bias used twice, and one under a product of bf16: its gradient is f32.
#[test]
fn biases_of_linear_layers() {
    let inputs = Inputs::new(31).wrt(&[5, 3]).wrt(&[7, 3]).wrt(&[7]).wrt(&[7, 7]);
    check("two layers with one bias", &inputs, |b, x| {
        let h = b.linear_biased(x[0], x[1], Some(x[2]), DType::F32).unwrap();
        let h = b.activation(h, Nonlinearity::Silu).unwrap();
        b.linear_biased(h, x[3], Some(x[2]), DType::F32).unwrap()
    });
    let narrow = |b: &mut Builder, x: &[ValueId]| {
        let [h, w] = [x[0], x[1]].map(|v| b.cast(v, DType::BF16).unwrap());
        b.linear_biased(h, w, Some(x[2]), DType::BF16).unwrap()
    };
    let inputs = Inputs::new(32).wrt(&[5, 3]).wrt(&[7, 3]).wrt(&[7]);
    for policy in POLICIES {
        let found = differentiate(&inputs, policy, |b, x| {
            let y = narrow(b, x);
            b.cast(y, DType::F32).unwrap()
        });
        found.check("bias of a product of bf16");
        for output in found.backward.outputs() {
            assert_eq!(found.backward.ty(output.value()).dtype, DType::F32);
        }
    }
}

#[test]
fn matmul_with_itself_and_with_one_side_constant() {
    for (ta, tb) in [(false, true), (true, false)] {
        let inputs = Inputs::new(4).wrt(&[3, 5]);
        check("x·xᵀ", &inputs, |b, x| b.matmul(x[0], x[0], ta, tb).unwrap());
    }
    let square = Inputs::new(4).wrt(&[5, 5]);
    check("x·x + x", &square, |b, x| {
        let square = b.matmul(x[0], x[0], false, false).unwrap();
        b.add(x[0], square).unwrap()
    });
    let right = Inputs::new(5).wrt(&[3, 5]).constant(&[5, 2]);
    check("x·constant", &right, |b, x| b.matmul(x[0], x[1], false, false).unwrap());
    let left = Inputs::new(5).constant(&[3, 5]).wrt(&[5, 2]);
    check("constant·x", &left, |b, x| b.matmul(x[0], x[1], false, false).unwrap());
}

#[test]
fn a_bf16_weight_in_every_layout_and_use() {
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        let a = if ta { [5, 3] } else { [3, 5] };
        let w = if tb { [7, 5] } else { [5, 7] };
        let inputs = Inputs::new(6).wrt(&a).wrt_as(DType::BF16, &w);
        check(&format!("bf16 ta {ta} tb {tb}"), &inputs, |b, x| {
            b.matmul(x[0], x[1], ta, tb).unwrap()
        });
    }
    // Its gradient is a sum of terms of several ops, all in f32.
    let inputs = Inputs::new(7).wrt_as(DType::BF16, &[7, 5]).exactly(&[1, 6, 1]).constant(&[3]);
    check("bf16 embedding, head, cast and shape", &inputs, |b, x| {
        let h = b.gather(x[0], x[1]).unwrap();
        let (loss, _) = b.cross_entropy(h, x[0], x[1], x[2], None).unwrap();
        let wide = b.cast(x[0], DType::F32).unwrap();
        let other = b.reshape(x[0], [5, 7]).unwrap();
        let both = b.matmul(wide, other, false, false).unwrap();
        let both = weighed(b, both);
        b.add(loss, both).unwrap()
    });
}

/// Activations in bf16 under f32 master weights: gradients of weights are f32, those of activations
/// have their type. Nothing is rounded here, so finite differences see the formulas alone.
#[test]
fn activations_in_bf16_under_f32_masters() {
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        let (a, w) = (if ta { [4, 3] } else { [3, 4] }, if tb { [6, 4] } else { [4, 6] });
        let inputs = Inputs::new(23).wrt(&a).wrt(&w).wrt(&[6]).exactly(&[1, 5, -1]).constant(&[3]);
        let inputs = inputs.wrt(&[7, 6]);
        let build = |b: &mut Builder, x: &[ValueId]| {
            let a = b.cast(x[0], DType::BF16).unwrap();
            let h = b.matmul(a, x[1], ta, tb).unwrap();
            let normed = b.rms_norm(h, Some(x[2]), 1e-5).unwrap();
            let gated = b.gated(normed, h, Nonlinearity::Silu).unwrap();
            // Both factors are activations, and the result is f32.
            let result = DType::F32;
            let op = Op::MatMul { transpose_a: true, transpose_b: false, bias: false, result };
            let square = b.add_node(op, &[gated, h]).unwrap()[0];
            let (loss, _) = b.cross_entropy(gated, x[5], x[3], x[4], None).unwrap();
            let error = weighed(b, square);
            b.add(loss, error).unwrap()
        };
        for recompute in POLICIES {
            let found = differentiate(&inputs, recompute, build);
            found.check(&format!("bf16 activations, ta {ta} tb {tb}"));
            for output in found.backward.outputs() {
                let Output::Returned { value, .. } = output else { continue };
                assert_eq!(found.backward.ty(*value).dtype, DType::F32, "gradient of a weight");
            }
            let narrow = |name: &str| {
                let of = found.backward.nodes().iter().filter(|n| n.op.name() == name);
                of.filter(|n| found.backward.ty(n.outputs[0]).dtype == DType::BF16).count()
            };
            assert_eq!(narrow("gated_backward"), 1);
            assert_eq!(narrow("rms_norm_backward"), 1);
        }
    }
}

#[test]
fn norms_with_and_without_weight_in_groups() {
    for (shape, group) in [
        (&[1, 1][..], 1),
        (&[3, 7], 7),
        (&[5, 6], 3),
        (&[2, 13], 13),
        (&[13], 13),
        (&[2, 3, 10], 5),
        (&[4, 3], 1),
    ] {
        let inputs = Inputs::new(8).wrt(shape).wrt(&[group]);
        for eps in [1e-6, 0.3] {
            let what = format!("norm {shape:?} by {group}, eps {eps}");
            check(&what, &inputs, |b, x| b.rms_norm_grouped(x[0], Some(x[1]), group, eps).unwrap());
            let inputs = Inputs::new(9).wrt(shape);
            check(&what, &inputs, |b, x| b.rms_norm_grouped(x[0], None, group, eps).unwrap());
            // The residual stream around a norm: its backward adds the other path by itself.
            let inputs = Inputs::new(8).wrt(shape).wrt(&[group]);
            check(&format!("{what}, residual"), &inputs, |b, x| {
                let y = b.rms_norm_grouped(x[0], Some(x[1]), group, eps).unwrap();
                let z = b.rms_norm_grouped(x[0], None, group, eps).unwrap();
                let sum = b.add(y, z).unwrap();
                b.add(x[0], sum).unwrap()
            });
        }
    }
}

#[test]
fn a_norm_of_a_constant_has_a_gradient_by_its_weight_alone() {
    let inputs = Inputs::new(10).constant(&[3, 5]).wrt(&[5]).exactly(&[0, 1, 2]);
    check("norm of a constant", &inputs, |b, x| {
        // A constant made by an op that has no gradient itself.
        let op = Op::GatherBackward { rows: 3 };
        let constant = b.add_node(op, &[x[2], x[0]]).unwrap()[0];
        b.rms_norm(constant, Some(x[1]), 1e-5).unwrap()
    });
}

#[test]
fn layer_norms_with_and_without_bias_in_groups() {
    for (shape, group, period) in [
        (&[3, 2][..], 2, 2),
        (&[3, 7], 7, 7),
        (&[5, 6], 3, 3),
        (&[13], 13, 13),
        (&[2, 3, 10], 5, 5),
        (&[4, 12], 3, 12),
        (&[2, 12], 3, 6),
    ] {
        let inputs = Inputs::new(33).wrt(shape).wrt(&[period]).wrt(&[period]);
        for (eps, biased) in [(1e-2, true), (0.3, true), (0.3, false)] {
            let given = 2 + usize::from(biased);
            let what =
                format!("layer norm {shape:?} by {group} of {period}, eps {eps}, biased {biased}");
            check(&what, &inputs, |b, x| {
                let op = Op::LayerNorm { group, eps, biased };
                let y = b.add_node(op, &x[..given]).unwrap()[0];
                // The stream around a norm, and a use of every input whatever is given.
                let all = b.rms_norm_grouped(x[0], Some(x[2]), period, 1.0).unwrap();
                let sum = b.add(y, all).unwrap();
                b.add(x[0], sum).unwrap()
            });
        }
    }
    // Of a constant: gradients by scale and bias alone.
    let inputs = Inputs::new(34).constant(&[3, 5]).wrt(&[5]).wrt(&[5]);
    check("layer norm of a constant", &inputs, |b, x| {
        b.layer_norm(x[0], x[1], Some(x[2]), 1e-5).unwrap()
    });
}
