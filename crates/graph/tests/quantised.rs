//! Block-quantised weights: bit for bit those of ggml (`xtask/oracle/models/golden_quantised.py`
//! makes the file with its Python package), and their place in types, tensors and programs.

#![allow(clippy::unwrap_used)]

mod draws;

use draws::Draws;
use proptest::prelude::*;
use serde_json::Value;
use stoa_graph::reference::{Array, Rounding, run_rounded};
use stoa_graph::{Builder, DType, Tensor, TensorType, dequantise, quantise};

const TYPES: [DType; 2] = [DType::Q8_0, DType::Q4_0];

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

#[test]
fn blocks_are_those_of_ggml() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/golden/quantised.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let given = numbers(&golden["given"]);
    assert_eq!(given.len(), 9 * 32);
    for dtype in TYPES {
        let expected = &golden[dtype.name()];
        let blocks = quantise(dtype, &given);
        let hex: String = blocks.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected["blocks"].as_str().unwrap(), "{dtype}");
        let mut found = vec![0.0; given.len()];
        dequantise(dtype, &blocks, &mut found);
        assert_eq!(found, numbers(&expected["numbers"]), "{dtype}");
    }
}

#[test]
fn a_block_with_a_number_that_is_not_finite_is_nan() {
    for dtype in TYPES {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut given = [0.5; 64];
            given[40] = wrong;
            let mut found = [0.0; 64];
            dequantise(dtype, &quantise(dtype, &given), &mut found);
            assert!(found[..32].iter().all(|x| (x - 0.5).abs() < 0.04), "{dtype}: {found:?}");
            assert!(found[32..].iter().all(|x| x.is_nan()), "{dtype}: {found:?}");
        }
    }
}

#[test]
fn sizes_are_whole_blocks() {
    let ty = TensorType::new(DType::Q8_0, [3, 64]);
    assert_eq!((ty.elements(), ty.size_bytes()), (192, 3 * 2 * 34));
    assert_eq!(TensorType::new(DType::Q4_0, [3, 64]).size_bytes(), 3 * 2 * 18);
    let mut b = Builder::new();
    let partial = b.state("w", TensorType::new(DType::Q4_0, [64, 3])).unwrap_err().to_string();
    let message = "q4_0[64, 3] does not exist: the last dimension must be a multiple of the 32 \
                   elements of a block";
    assert_eq!(partial, message);
    let w = b.state("w", ty.clone()).unwrap();
    assert!(b.reshape(w, [6, 32]).is_ok());
    assert!(b.reshape(w, [4, 48]).is_err());
    let fill = b.fill(ty.clone(), 1.0).unwrap_err().to_string();
    assert_eq!(fill, "fill: fills numbers, not q8_0");
    let short = Tensor::from_bytes(ty, &[0; 34]).unwrap_err().to_string();
    assert_eq!(short, "q8_0[3, 64] takes 204 bytes, was given 34");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, rng_seed: proptest::test_runner::RngSeed::Fixed(8), ..Default::default()
    })]

    /// Half a step of the grid, which is 1/127 of the extreme or 1/8 of it (all but the far end,
    /// which rounds to 7/8: a whole step), and the rounding of the scale to 11 digits.
    #[test]
    fn numbers_move_by_at_most_a_step(seed: u64, scale in 1e-3_f64..1e3) {
        let given: Vec<f32> =
            Draws::new(seed).array(&[96]).data.iter().map(|x| (x * scale) as f32).collect();
        for (dtype, step) in [(DType::Q8_0, 0.5 / 127.0), (DType::Q4_0, 1.0 / 8.0)] {
            let mut found = vec![0.0; given.len()];
            dequantise(dtype, &quantise(dtype, &given), &mut found);
            for (given, found) in given.chunks(32).zip(found.chunks(32)) {
                let extreme = given.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let bound = extreme * (step + 2.0_f32.powi(-11));
                for (x, y) in given.iter().zip(found) {
                    prop_assert!((x - y).abs() <= bound, "{dtype}: {x} became {y}, ± {bound}");
                }
            }
        }
    }

    /// What a block stands for quantises to the same block.
    #[test]
    fn quantising_twice_changes_no_bit(seed: u64) {
        let ty = |dtype| TensorType::new(dtype, [3, 32]);
        for dtype in TYPES {
            let once = Tensor::from_f64(&ty(dtype), &Draws::new(seed).array(&[96]).data).unwrap();
            prop_assert_eq!(&Tensor::from_f64(&ty(dtype), &once.to_f64()).unwrap(), &once);
        }
    }
}

/// A program reads a quantised weight as the numbers its blocks stand for: in a product in either
/// layout, as a table, as a head, and cast.
#[test]
fn a_quantised_weight_reads_as_its_numbers() {
    for dtype in TYPES {
        let mut b = Builder::new();
        let x = b.data("x", TensorType::f32([3, 64])).unwrap();
        let ids = b.data("ids", TensorType::i32([3])).unwrap();
        let weights = b.data("weights", TensorType::f32([3])).unwrap();
        let w = b.state("w", TensorType::new(dtype, [32, 64])).unwrap();
        let wide = b.state("wide", TensorType::f32([32, 64])).unwrap();
        for (name, w) in [("narrow", w), ("wide", wide)] {
            let up = b.linear(x, w).unwrap();
            let down = b.matmul(up, w, false, false).unwrap();
            let rows = b.gather(w, ids).unwrap();
            let (loss, _) = b.cross_entropy(x, w, ids, weights, None).unwrap();
            let cast = b.cast(w, DType::F32).unwrap();
            for (part, value) in [("down", down), ("rows", rows), ("loss", loss), ("cast", cast)] {
                b.returns(format!("{name} {part}"), value).unwrap();
            }
        }
        let mut draws = Draws::new(3);
        let stored = draws.array(&[32, 64]).to_tensor(dtype).unwrap();
        let inputs = [
            ("x", draws.array(&[3, 64])),
            ("ids", Array::new([3], [4.0, 0.0, 31.0])),
            ("weights", draws.array(&[3])),
            ("w", Array::from(&stored)),
            ("wide", Array::from(&stored)),
        ];
        let inputs = inputs.into_iter().map(|(name, array)| (name.to_owned(), array)).collect();
        let found = run_rounded(&b.finish(), &inputs, Rounding::Declared).unwrap();
        for part in ["down", "rows", "loss", "cast"] {
            let [narrow, wide] = ["narrow", "wide"].map(|name| &found[&format!("{name} {part}")]);
            assert_eq!(narrow, wide, "{dtype} {part}");
        }
    }
}
