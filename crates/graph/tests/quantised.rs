//! Block-quantised weights: bit for bit those of ggml (`xtask/oracle/models/golden_quantised.py`
//! makes the file with its Python package), and their place in types, tensors and programs.

#![allow(clippy::unwrap_used)]

mod draws;

use draws::Draws;
use proptest::prelude::*;
use serde_json::Value;
use stoa_graph::reference::{Array, Rounding, run_rounded};
use stoa_graph::{Builder, DType, Tensor, TensorType, dequantise, quantise};

/// Types with blocks of 32.
const SIMPLE: [DType; 5] = [DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1];
/// Types with blocks of 256.
const NESTED: [DType; 5] = [DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K];

fn types() -> impl Iterator<Item = DType> {
    SIMPLE.into_iter().chain(NESTED)
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn golden(file: &str) -> (Vec<f32>, Value) {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/golden/");
    let text = std::fs::read_to_string(format!("{directory}{file}")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    (numbers(&golden["given"]), golden)
}

fn bytes_of(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn blocks_are_those_of_ggml() {
    let (given, golden) = golden("quantised.json");
    assert_eq!(given.len(), 9 * 32);
    for dtype in SIMPLE {
        let expected = &golden[dtype.name()];
        let blocks = quantise(dtype, &given);
        assert_eq!(blocks, bytes_of(&expected["blocks"]), "{dtype}");
        let mut found = vec![0.0; given.len()];
        dequantise(dtype, &blocks, &mut found);
        assert_eq!(found, numbers(&expected["numbers"]), "{dtype}");
    }
}

#[test]
fn nested_blocks_are_those_of_ggml() {
    let (given, golden) = golden("quantised_nested.json");
    assert_eq!(given.len(), 7 * 256);
    for dtype in NESTED {
        let expected = &golden[dtype.name()];
        let blocks = bytes_of(&expected["blocks"]);
        let mut found = vec![0.0; given.len()];
        dequantise(dtype, &blocks, &mut found);
        let hash = found
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        assert_eq!(format!("{hash:016x}"), expected["fnv1a"], "{dtype}");
        assert_eq!(quantise(dtype, &given), blocks, "{dtype}");
    }
}

#[test]
fn a_block_with_a_number_that_is_not_finite_is_nan() {
    for dtype in types() {
        let n = dtype.block().elements;
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut given = vec![0.5; 2 * n];
            given[n + 8] = wrong;
            let mut found = vec![0.0; 2 * n];
            dequantise(dtype, &quantise(dtype, &given), &mut found);
            assert!(found[..n].iter().all(|x| (x - 0.5).abs() < 0.04), "{dtype}: {found:?}");
            assert!(found[n..].iter().all(|x| x.is_nan()), "{dtype}: {found:?}");
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

    /// Half a step of the grid: 1/127 of the extreme; 1/8 or 1/16 of it (all but the far end, which
    /// rounds to 7/8: a whole step); 1/15 or 1/31 of what lies between the ends, at most twice the
    /// extreme. And the rounding of scale and offset to 11 digits, each of which may double. Of
    /// nested types, whose parts have scales of 4 to 8 bits, twice the step.
    #[test]
    fn numbers_move_by_at_most_a_step(seed: u64, scale in 1.0_f64..1e3) {
        let given: Vec<f32> =
            Draws::new(seed).array(&[512]).data.iter().map(|x| (x * scale) as f32).collect();
        let steps = [
            (DType::Q8_0, 0.5 / 127.0),
            (DType::Q4_0, 1.0 / 8.0),
            (DType::Q5_0, 1.0 / 16.0),
            (DType::Q4_1, 1.0 / 15.0),
            (DType::Q5_1, 1.0 / 31.0),
            (DType::Q2_K, 2.0 / 3.0),
            (DType::Q3_K, 2.0 / 4.0),
            (DType::Q4_K, 2.0 / 15.0),
            (DType::Q5_K, 2.0 / 31.0),
            (DType::Q6_K, 2.0 / 32.0),
        ];
        for (dtype, step) in steps {
            let mut found = vec![0.0; given.len()];
            dequantise(dtype, &quantise(dtype, &given), &mut found);
            let n = dtype.block().elements;
            for (given, found) in given.chunks(n).zip(found.chunks(n)) {
                let extreme = given.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let bound = extreme * (step + 2.0_f32.powi(-10));
                for (x, y) in given.iter().zip(found) {
                    prop_assert!((x - y).abs() <= bound, "{dtype}: {x} became {y}, ± {bound}");
                }
            }
        }
    }

    /// What a block stands for quantises to the same block, where the scale is that of the extreme.
    #[test]
    fn quantising_twice_changes_no_bit(seed: u64) {
        let ty = |dtype| TensorType::new(dtype, [3, 32]);
        for dtype in [DType::Q8_0, DType::Q4_0, DType::Q5_0] {
            let once = Tensor::from_f64(&ty(dtype), &Draws::new(seed).array(&[96]).data).unwrap();
            prop_assert_eq!(&Tensor::from_f64(&ty(dtype), &once.to_f64()).unwrap(), &once);
        }
    }
}

/// A program reads a quantised weight as the numbers its blocks stand for: in a product in either
/// layout, as a table, as a head, and cast.
#[test]
fn a_quantised_weight_reads_as_its_numbers() {
    for dtype in types() {
        let mut b = Builder::new();
        let x = b.data("x", TensorType::f32([3, 256])).unwrap();
        let ids = b.data("ids", TensorType::i32([3])).unwrap();
        let weights = b.data("weights", TensorType::f32([3])).unwrap();
        let w = b.state("w", TensorType::new(dtype, [32, 256])).unwrap();
        let wide = b.state("wide", TensorType::f32([32, 256])).unwrap();
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
        let given = draws.array(&[32, 256]);
        let stored = given.to_tensor(dtype).unwrap();
        let inputs = [
            ("x", draws.array(&[3, 256])),
            ("ids", Array::new([3], [4.0, 0.0, 31.0])),
            ("weights", draws.array(&[3])),
            ("w", given),
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
