//! Fill, reshape, casts and pointwise ops.

use stoa_graph::{DType, Nonlinearity, Op, TensorType};

use crate::draws::Draws;
use crate::harness::{ULP, check_large, check_op, f32s, typed};

/// Around vector widths of 4, 8 and 16 and their multiples.
const SIZES: [usize; 12] = [0, 1, 2, 3, 7, 8, 15, 17, 31, 33, 67, 257];
/// Past any share of work that one thread takes.
const LARGE: usize = 70_001;

#[test]
fn fill() {
    for dtype in [DType::F32, DType::BF16, DType::F16, DType::I32] {
        for n in SIZES {
            check_op(&Op::Fill { ty: TensorType::new(dtype, [n]), value: 3.0 }, &[], 0.0);
        }
        check_large(&Op::Fill { ty: TensorType::new(dtype, [LARGE]), value: 3.0 }, &[], 0.0);
    }
}

#[test]
fn reshape_of_every_type() {
    for dtype in [DType::F32, DType::BF16, DType::F16, DType::I32] {
        let integers = Draws::new(1).integers(&[3, 5, 2], 0..100);
        check_op(&Op::Reshape { shape: vec![2, 15] }, &[typed(dtype, integers)], 0.0);
    }
}

#[test]
fn casts_between_all_float_types() {
    let floats = [DType::F32, DType::BF16, DType::F16];
    for from in floats {
        for to in floats {
            for n in SIZES.into_iter().chain([LARGE]) {
                let mut x = Draws::new(2).array(&[n], 3.0);
                // Numbers that must be rounded: thirds of the type cast from.
                x.data.iter_mut().for_each(|x| *x /= 3.0);
                check_large(&Op::Cast { dtype: to }, &[typed(from, x)], 0.0);
            }
            let x = Draws::new(3).array(&[5, 7], 1e5);
            check_op(&Op::Cast { dtype: to }, &[typed(from, x)], 0.0);
        }
    }
}

/// Blocks of numbers of every size, halves between two integers, zeros, and what has no number.
#[test]
fn casts_to_blocks_round_as_weights_do() {
    for from in [DType::F32, DType::BF16, DType::F16] {
        let mut x = Draws::new(5).array(&[7, 1056], 3.0);
        for (block, x) in x.data.chunks_mut(32).enumerate() {
            let size = [1.0, 1e-3, 1e-6, 1e-9, 0.0, 3e4][block % 6];
            x.iter_mut().for_each(|x| *x *= size);
        }
        for (i, x) in x.data[..32].iter_mut().enumerate() {
            *x = if i == 0 { 127.0 } else { i as f64 - 16.5 };
        }
        x.data[32 * 40] = f64::NAN;
        x.data[32 * 50 + 31] = f64::NEG_INFINITY;
        check_large(&Op::Cast { dtype: DType::Q8_0 }, &[typed(from, x)], 0.0);
    }
    let x = Draws::new(6).array(&[1, LARGE.next_multiple_of(32)], 1.0);
    check_large(&Op::Cast { dtype: DType::Q8_0 }, &[typed(DType::F32, x)], 0.0);
}

/// Ops of one and of two f32 tensors, with the roundings of their formula and its functions.
fn ops() -> Vec<(Op, usize, f64)> {
    vec![
        (Op::Add, 2, 1.0),
        (Op::Mul, 2, 1.0),
        (Op::Scale { by: -1.7 }, 1, 1.0),
        (Op::Activation(Nonlinearity::SoftCap { cap: 1.3 }), 1, 8.0),
        (Op::ActivationBackward(Nonlinearity::SoftCap { cap: 1.3 }), 2, 16.0),
        (Op::Activation(Nonlinearity::ReluSquared), 1, 1.0),
        (Op::Activation(Nonlinearity::Silu), 1, 8.0),
        (Op::ActivationBackward(Nonlinearity::ReluSquared), 2, 2.0),
        (Op::ActivationBackward(Nonlinearity::Silu), 2, 16.0),
        (Op::Activation(Nonlinearity::Gelu), 1, 8.0),
        // The slope grows with x² before it falls: its factors are near 5.
        (Op::ActivationBackward(Nonlinearity::Gelu), 2, 32.0),
        (Op::Activation(Nonlinearity::Relu), 1, 1.0),
        (Op::ActivationBackward(Nonlinearity::Relu), 2, 1.0),
        // e^(−z²) carries the rounding of z², a few units where the function is not yet small.
        (Op::Activation(Nonlinearity::GeluExact), 1, 16.0),
        (Op::ActivationBackward(Nonlinearity::GeluExact), 2, 32.0),
        (Op::Gated(Nonlinearity::GeluExact), 2, 16.0),
        (Op::GatedBackward(Nonlinearity::GeluExact), 3, 32.0),
        (Op::Gated(Nonlinearity::Silu), 2, 8.0),
        (Op::GatedBackward(Nonlinearity::Silu), 3, 16.0),
        (Op::Gated(Nonlinearity::ReluSquared), 2, 2.0),
        (Op::GatedBackward(Nonlinearity::ReluSquared), 3, 4.0),
        (Op::Gated(Nonlinearity::Gelu), 2, 8.0),
        (Op::GatedBackward(Nonlinearity::Gelu), 3, 32.0),
    ]
}

#[test]
fn pointwise_ops_over_odd_sizes() {
    for (op, arity, roundings) in ops() {
        for n in SIZES {
            let mut draws = Draws::new(n as u64);
            let inputs: Vec<_> = (0..arity).map(|_| f32s(draws.array(&[n], 4.0))).collect();
            check_op(&op, &inputs, roundings * ULP);
        }
        let mut draws = Draws::new(4);
        let inputs: Vec<_> = (0..arity).map(|_| f32s(draws.array(&[3, 5, 7], 4.0))).collect();
        check_op(&op, &inputs, roundings * ULP);
        let inputs: Vec<_> = (0..arity).map(|_| f32s(draws.array(&[], 4.0))).collect();
        check_op(&op, &inputs, roundings * ULP);
        let inputs: Vec<_> = (0..arity).map(|_| f32s(draws.array(&[LARGE], 4.0))).collect();
        check_large(&op, &inputs, roundings * ULP);
    }
}

#[test]
fn far_from_zero_functions_saturate_like_the_formula() {
    for (op, arity, roundings) in ops() {
        let mut draws = Draws::new(5);
        for scale in [30.0, 200.0, 1e4, 1e-6] {
            let inputs: Vec<_> = (0..arity).map(|_| f32s(draws.array(&[67], scale))).collect();
            // Relative to results of the order of the inputs' product.
            check_large(&op, &inputs, 4.0 * roundings * ULP);
        }
    }
}
