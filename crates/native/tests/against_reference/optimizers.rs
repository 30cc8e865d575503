//! Norms, clipping, AdamW and Muon.

use stoa_graph::reference::Array;
use stoa_graph::{AdamWSpec, MuonSpec, Op, Orthogonalizer};

use crate::draws::Draws;
use crate::harness::{Given, ULP, check_large, check_op, f32s};

#[test]
fn global_norms() {
    let shapes: [&[&[usize]]; 5] = [
        &[&[]],
        &[&[1]],
        &[&[3, 5], &[7], &[]],
        &[&[33, 67], &[0], &[17]],
        &[&[70_001], &[40_000]],
    ];
    for shapes in shapes {
        let mut draws = Draws::new(shapes.len() as u64);
        let given: Vec<Given> = shapes.iter().map(|s| f32s(draws.array(s, 1.0))).collect();
        let elements: usize = given.iter().map(|g| g.array.data.len()).sum();
        // Sums of squares in blocks: the error grows slower than the count.
        let tolerance = (4.0 + (elements as f64).sqrt()) * ULP;
        if elements < 10_000 {
            check_op(&Op::GlobalNorm, &given, tolerance);
        } else {
            check_large(&Op::GlobalNorm, &given, tolerance);
        }
    }
}

#[test]
fn clip_factors() {
    let inf = f64::INFINITY;
    for max_norm in [1.0, 0.25, f32::INFINITY] {
        for (norm, limit) in [
            (0.5, inf),
            (4.0, inf),
            (4.0, 4.0),
            (4.0, 3.0),
            (0.0, inf),
            (inf, inf),
            (f64::NAN, inf),
            (4.0, f64::NAN),
            (1e30, inf),
        ] {
            let given = [norm, limit].map(|x| f32s(Array::scalar(x)));
            check_op(&Op::ClipFactor { max_norm }, &given, ULP);
        }
    }
}

fn scalars(values: &[f64]) -> impl Iterator<Item = Given> {
    values.iter().map(|&x| f32s(Array::scalar(x)))
}

#[test]
fn adamw() {
    let specs = [
        AdamWSpec { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, lr_scale: 0.5 },
        AdamWSpec { beta1: 0.8, beta2: 0.995, eps: 1e-3, weight_decay: 0.0, lr_scale: 1.0 },
        AdamWSpec { beta1: 0.0, beta2: 0.0, eps: 1e-8, weight_decay: 0.0, lr_scale: 1.0 },
    ];
    for spec in specs {
        for shape in [&[][..], &[1], &[7], &[3, 17], &[5, 131], &[70_001]] {
            for (step, factor) in [(1.0, 1.0), (7.0, 0.3), (20_000.0, 1.0), (3.0, 0.0)] {
                let mut draws = Draws::new(shape.len() as u64);
                let mut given: Vec<Given> =
                    [1.0, 1.0, 0.1].into_iter().map(|s| f32s(draws.array(shape, s))).collect();
                let mut second = draws.array(shape, 1.0);
                // Away from zero: the root of a second moment near 0 has no digits to compare.
                second.data.iter_mut().for_each(|x| *x = f64::from((x.abs() + 0.01) as f32));
                given.push(f32s(second));
                given.extend(scalars(&[0.1, step, factor]));
                // The quotient m/√v reaches 10 and lr is 0.1; √(1 − βᵗ) loses digits at t = 1.
                let check = if shape == [70_001] { check_large } else { adamw_from_all_sources };
                check(&Op::AdamW(spec), &given, 64.0 * ULP);
            }
        }
    }
}

/// Sharing moments would put negative numbers under the root; the rest may be shared.
fn adamw_from_all_sources(op: &Op, given: &[Given], tolerance: f64) {
    let mut given = given.to_vec();
    // Moments that may stand for each other: all positive.
    for tensor in &mut given[..3] {
        tensor.array.data.iter_mut().for_each(|x| *x = f64::from((x.abs() + 0.01) as f32));
    }
    check_large(op, &given, tolerance);
    check_op(op, &given, tolerance);
}

#[test]
fn muon() {
    for orthogonalizer in [Orthogonalizer::NewtonSchulz, Orthogonalizer::PolarExpress] {
        for (nesterov, weight_decay) in [(true, 0.1), (false, 0.0)] {
            for (rows, cols) in
                [(1, 1), (1, 7), (7, 1), (5, 5), (3, 17), (17, 3), (33, 67), (67, 48)]
            {
                for factor in [1.0, 0.3, 0.0] {
                    let spec = MuonSpec {
                        nesterov,
                        orthogonalizer,
                        iterations: 5,
                        weight_decay,
                        lr_scale: 0.5,
                    };
                    let mut draws = Draws::new((rows * cols) as u64);
                    let mut given: Vec<Given> =
                        (0..3).map(|_| f32s(draws.array(&[rows, cols], 1.0))).collect();
                    given.extend(scalars(&[0.1, 0.9, factor]));
                    // Five iterations raise small singular values, and errors in them, up to
                    // 8.2·4·3.9·3.3·2.3 ≈ 1000-fold; the rate is 0.05.
                    check_op(&Op::Muon(spec), &given, 500.0 * ULP);
                }
            }
        }
    }
}

#[test]
fn muon_of_a_large_matrix() {
    let spec = MuonSpec {
        nesterov: true,
        orthogonalizer: Orthogonalizer::PolarExpress,
        iterations: 6,
        weight_decay: 0.0,
        lr_scale: 1.0,
    };
    for (rows, cols) in [(131, 259), (259, 131)] {
        let mut draws = Draws::new(3);
        let mut given: Vec<Given> = (0..3).map(|_| f32s(draws.array(&[rows, cols], 1.0))).collect();
        given.extend(scalars(&[0.1, 0.9, 1.0]));
        check_large(&Op::Muon(spec), &given, 1000.0 * ULP);
    }
}
