//! Gradients of pointwise ops, views and casts.

use stoa_graph::{DType, Nonlinearity};

use crate::finite::{Inputs, check};

const SHAPES: [&[usize]; 5] = [&[], &[1], &[7], &[3, 5], &[2, 1, 13]];

#[test]
fn pointwise_ops() {
    for shape in SHAPES {
        let one = Inputs::new(1).wrt(shape);
        let two = Inputs::new(2).wrt(shape).wrt(shape);
        let what = |op: &str| format!("{op} {shape:?}");
        check(&what("add"), &two, |b, x| b.add(x[0], x[1]).unwrap());
        check(&what("x + x"), &one, |b, x| b.add(x[0], x[0]).unwrap());
        check(&what("mul"), &two, |b, x| b.mul(x[0], x[1]).unwrap());
        check(&what("x·x"), &one, |b, x| b.mul(x[0], x[0]).unwrap());
        check(&what("scale"), &one, |b, x| b.scale(x[0], -1.75).unwrap());
        let capped = Nonlinearity::SoftCap { cap: 0.7 };
        let smooth = [Nonlinearity::Silu, Nonlinearity::Gelu, Nonlinearity::GeluExact, capped];
        for f in smooth.into_iter().chain([Nonlinearity::ReluSquared, Nonlinearity::Relu]) {
            check(&what(&format!("{f:?}")), &one, |b, x| b.activation(x[0], f).unwrap());
            check(&what(&format!("{f:?} gate")), &two, |b, x| b.gated(x[0], x[1], f).unwrap());
            let twice = format!("{f:?} gate of itself");
            check(&what(&twice), &one, |b, x| b.gated(x[0], x[0], f).unwrap());
        }
        let n: usize = shape.iter().product();
        check(&what("reshape"), &one, |b, x| {
            let flat = b.reshape(x[0], [n]).unwrap();
            b.mul(flat, flat).unwrap()
        });
        for dtype in [DType::BF16, DType::F16, DType::F32] {
            check(&what(&format!("cast {dtype}")), &one, |b, x| {
                let narrow = b.cast(x[0], dtype).unwrap();
                let wide = b.cast(narrow, DType::F32).unwrap();
                b.mul(wide, wide).unwrap()
            });
        }
    }
}
