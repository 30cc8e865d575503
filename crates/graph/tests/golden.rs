//! Optimizers, clipping and cross-entropy against values that numpy computed from the published
//! definitions and PyTorch confirmed (`xtask/oracle/models/golden_optimizers.py` makes the file and
//! documents it), and orthogonalisation against its definition by singular values.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::Value;
use stoa_graph::reference::{Array, run};
use stoa_graph::{AdamWSpec, Builder, DType, MuonSpec, Op, Orthogonalizer, TensorType};

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/golden/optimizers.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Results of one op; integers where `i32s` says.
fn results(op: Op, inputs: &[Array], i32s: &[usize]) -> Vec<Array> {
    let mut b = Builder::new();
    let mut given = BTreeMap::new();
    let mut values = Vec::new();
    for (i, array) in inputs.iter().enumerate() {
        let dtype = if i32s.contains(&i) { DType::I32 } else { DType::F32 };
        let ty = TensorType::new(dtype, array.shape.clone());
        values.push(b.data(format!("x{i}"), ty).unwrap());
        given.insert(format!("x{i}"), array.clone());
    }
    let outputs = b.add_node(op, &values).unwrap();
    for (i, &v) in outputs.iter().enumerate() {
        b.returns(format!("y{i}"), v).unwrap();
    }
    let mut found = run(&b.finish(), &given).unwrap();
    (0..outputs.len()).map(|i| found.remove(&format!("y{i}")).unwrap()).collect()
}

/// A number, or nested lists of numbers.
fn array(value: &Value) -> Array {
    match value {
        Value::Array(rows) => {
            let rows: Vec<Array> = rows.iter().map(array).collect();
            let inner = rows.first().map_or(vec![], |row| row.shape.clone());
            let shape = [vec![rows.len()], inner].concat();
            Array::new(shape, rows.into_iter().flat_map(|row| row.data).collect::<Vec<_>>())
        }
        number => Array::scalar(number.as_f64().unwrap()),
    }
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn cases<'a>(golden: &'a Value, name: &str) -> &'a [Value] {
    let cases = golden[name].as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

#[track_caller]
fn close(found: &Array, expected: &Value, tolerance: f64, what: &str) {
    let expected = array(expected);
    assert_eq!(found.shape, expected.shape, "{what}");
    let scale = expected.data.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    for (i, (a, b)) in found.data.iter().zip(&expected.data).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}[{i}]: {a} is not {b}");
    }
}

/// Both sides compute in f64 on the same f32 numbers: roundings of 2⁻⁵³ over some dozen operations.
const ROUNDING: f64 = 1e-13;
/// Coefficients of the iterations are f32 here, f64 there: 2⁻²⁵ each, grown over five steps in
/// which small singular values grow by up to 8.
const COEFFICIENTS: f64 = 1e-5;

fn orthogonalizer(case: &Value) -> Orthogonalizer {
    match case["iteration"].as_str().unwrap() {
        "newton_schulz" => Orthogonalizer::NewtonSchulz,
        "polar_express" => Orthogonalizer::PolarExpress,
        other => panic!("unknown iteration {other}"),
    }
}

#[test]
fn adamw() {
    let golden = golden();
    for case in cases(&golden, "adamw") {
        let spec = AdamWSpec {
            beta1: number(&case["beta1"]),
            beta2: number(&case["beta2"]),
            eps: number(&case["eps"]),
            weight_decay: number(&case["weight_decay"]),
            lr_scale: 0.25,
        };
        let mut p = array(&case["parameter"]);
        let (mut m, mut v) = (Array::zeros(&p.shape), Array::zeros(&p.shape));
        for (i, step) in cases(case, "steps").iter().enumerate() {
            let lr = Array::scalar(step["lr"].as_f64().unwrap() * 4.0);
            let count = Array::scalar((i + 1) as f64);
            let inputs = [p, array(&step["gradient"]), m, v, lr, count, array(&step["factor"])];
            [p, m, v] = results(Op::AdamW(spec), &inputs, &[]).try_into().unwrap();
            let what = |of: &str| format!("{of} after step {}", i + 1);
            close(&p, &step["parameter"], ROUNDING, &what("p"));
            close(&m, &step["m"], ROUNDING, &what("m"));
            close(&v, &step["v"], ROUNDING, &what("v"));
        }
    }
}

#[test]
fn muon() {
    let golden = golden();
    for case in cases(&golden, "muon") {
        let spec = MuonSpec {
            nesterov: case["nesterov"].as_bool().unwrap(),
            orthogonalizer: orthogonalizer(case),
            iterations: usize::try_from(case["iterations"].as_u64().unwrap()).unwrap(),
            weight_decay: number(&case["weight_decay"]),
            lr_scale: 0.25,
        };
        let mut p = array(&case["parameter"]);
        let mut buffer = Array::zeros(&p.shape);
        for (i, step) in cases(case, "steps").iter().enumerate() {
            let lr = Array::scalar(step["lr"].as_f64().unwrap() * 4.0);
            let scalars = [lr, array(&step["momentum"]), array(&step["factor"])];
            let inputs = [&[p, array(&step["gradient"]), buffer], &scalars[..]].concat();
            [p, buffer] = results(Op::Muon(spec), &inputs, &[]).try_into().unwrap();
            close(&p, &step["parameter"], COEFFICIENTS, &format!("p after step {}", i + 1));
            close(&buffer, &step["buffer"], ROUNDING, &format!("buffer after step {}", i + 1));
        }
    }
}

/// What Muon makes of a gradient when it moves a parameter 0 by it: −lr·gain·u, momentum 0.
fn orthogonalised(gradient: &Array, orthogonalizer: Orthogonalizer) -> Array {
    let spec = MuonSpec {
        nesterov: false,
        orthogonalizer,
        iterations: 5,
        weight_decay: 0.0,
        lr_scale: 1.0,
    };
    let zeros = Array::zeros(&gradient.shape);
    let scalars = [-1.0, 0.0, 1.0].map(Array::scalar);
    let inputs = [&[zeros.clone(), gradient.clone(), zeros], &scalars[..]].concat();
    let mut p = results(Op::Muon(spec), &inputs, &[]).remove(0);
    let gain = (gradient.shape[0] as f64 / gradient.shape[1] as f64).max(1.0).sqrt();
    p.data.iter_mut().for_each(|x| *x /= gain);
    p
}

#[test]
fn orthogonalisation() {
    let golden = golden();
    for case in cases(&golden, "orthogonalize") {
        let found = orthogonalised(&array(&case["input"]), orthogonalizer(case));
        close(&found, &case["output"], COEFFICIENTS, &case["iteration"].to_string());
    }
}

/// I − 2vvᵀ/‖v‖²: an orthogonal matrix that mixes all coordinates.
fn reflection(v: &[f64]) -> Vec<Vec<f64>> {
    let norm: f64 = v.iter().map(|x| x * x).sum();
    let entry = |i: usize, j: usize| f64::from(i == j) - 2.0 * v[i] * v[j] / norm;
    (0..v.len()).map(|i| (0..v.len()).map(|j| entry(i, j)).collect()).collect()
}

#[test]
fn orthogonalisation_moves_singular_values_to_one_and_keeps_their_vectors() {
    // U·diag(s)·Vᵀ with known U [5, 5] and V [3, 3]; the iteration may change s alone.
    let (u, v) = (reflection(&[1.0, -2.0, 0.5, 3.0, 1.5]), reflection(&[0.3, 2.0, -1.0]));
    let singular = [2.0, 0.7, 0.05];
    let at = |s: &[f64], i: usize, j: usize| (0..3).map(|k| u[i][k] * s[k] * v[j][k]).sum::<f64>();
    let matrix = |s: &[f64]| {
        let data: Vec<f64> = (0..15).map(|e| at(s, e / 3, e % 3)).collect();
        Array::new([5, 3], data)
    };
    for orthogonalizer in [Orthogonalizer::NewtonSchulz, Orthogonalizer::PolarExpress] {
        let (factor, eps) = orthogonalizer.normalisation();
        let norm = singular.iter().map(|s| s * s).sum::<f64>().sqrt();
        let scaled = |s: f64| s / (f64::from(factor) * norm + f64::from(eps));
        // Each singular value goes through the polynomials by itself.
        let moved = singular.map(|s| {
            (0..5).fold(scaled(s), |x, step| {
                let (a, b, c) = orthogonalizer.coefficients(step);
                f64::from(a) * x + f64::from(b) * x.powi(3) + f64::from(c) * x.powi(5)
            })
        });
        // Newton–Schulz is tuned to end within 0.7..1.2 (kellerjordan.github.io/posts/muon); the
        // polynomials of Polar Express, evaluated over 0.001..0.98, end within 0.858..1.142.
        let range = match orthogonalizer {
            Orthogonalizer::NewtonSchulz => 0.65..1.2,
            Orthogonalizer::PolarExpress => 0.858..1.142,
        };
        assert!(moved.iter().all(|s| range.contains(s)), "{orthogonalizer:?}: {moved:?}");
        let expected = matrix(&moved);
        for transposed in [false, true] {
            let transpose = |x: &Array| {
                let data: Vec<f64> = (0..15).map(|e| x.data[e % 5 * 3 + e / 5]).collect();
                if transposed { Array::new([3, 5], data) } else { x.clone() }
            };
            let found = orthogonalised(&transpose(&matrix(&singular)), orthogonalizer);
            for (found, expected) in found.data.iter().zip(&transpose(&expected).data) {
                // Five steps of roundings of 2⁻⁵³ that grow at most 8⁵-fold.
                assert!((found - expected).abs() < 1e-11, "{orthogonalizer:?}");
            }
        }
    }
}

#[test]
fn clipping() {
    let golden = golden();
    for case in cases(&golden, "clip") {
        let gradients: Vec<Array> = cases(case, "gradients").iter().map(array).collect();
        let norm = results(Op::GlobalNorm, &gradients, &[]).remove(0);
        close(&norm, &case["norm"], ROUNDING, "norm");
        let op = Op::ClipFactor { max_norm: number(&case["max_norm"]) };
        let factor = results(op, &[norm, Array::scalar(f64::INFINITY)], &[])[0].data[0];
        for (gradient, clipped) in gradients.iter().zip(cases(case, "clipped")) {
            let mut found = gradient.clone();
            found.data.iter_mut().for_each(|g| *g *= factor);
            close(&found, clipped, ROUNDING, "clipped");
        }
    }
}

#[test]
fn cross_entropy() {
    let golden = golden();
    for case in cases(&golden, "cross_entropy") {
        let softcap = case["softcap"].as_f64().map(|cap| cap as f32);
        let inputs = ["x", "w", "targets", "weights"].map(|name| array(&case[name]));
        let forward = results(Op::CrossEntropy { softcap }, &inputs, &[2]);
        close(&forward[0], &case["loss"], ROUNDING, "loss");
        close(&forward[1], &case["nll"], ROUNDING, "nll");
        let op = Op::CrossEntropyBackward { softcap };
        let backward = results(op, &[&inputs[..], &[Array::scalar(1.0)]].concat(), &[2]);
        for (found, name) in backward.iter().zip(["dx", "dw", "loss", "nll"]) {
            close(found, &case[name], ROUNDING, name);
        }
    }
}
