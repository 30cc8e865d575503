//! Weights that other tools store in 8 bits with scales (xtask/oracle/models/golden_eight_bits.py): the
//! logits of `transformers` with the numbers that they stand for; and files that lack a scale.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use stoa_graph::reference::{ReferenceEngine, Rounding};
use stoa_graph::{Buffers, CompileOptions, DType, Engine, Tensor};
use stoa_models::*;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/eight_bits")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// [ids, vocab] of one pass.
fn logits(model: &Loaded, ids: &[i32]) -> Vec<f64> {
    let engine = ReferenceEngine::new(Rounding::Declared);
    let n = ids.len();
    let spec = DecodingSpec {
        tokens: n,
        rows: n,
        pages: 1,
        page: n,
        columns: 1,
        weights: DType::F32,
        caches: DType::F32,
    };
    let mut state = Buffers::new();
    let weights = with_matrix_dtype(&model.config, model.weights.clone(), DType::F32).unwrap();
    upload(&engine, weights, &mut state).unwrap();
    for (name, ty) in cache_types(&model.config, &spec) {
        state.insert(name, engine.upload(&Tensor::zeros(&ty)).unwrap());
    }
    let ints = |shape: &[usize], all: Vec<i32>| Tensor::i32(shape, all).unwrap();
    let each = ints(&[n], (0..n as i32).collect());
    let data = [
        ("tokens", &ints(&[n], ids.to_vec())),
        ("rows", &each),
        ("positions", &each),
        ("sequences", &ints(&[n], vec![0; n])),
        ("table", &ints(&[n, 1], vec![0; n])),
    ];
    let program = decoding_program(&model.config, &spec).unwrap();
    let mut executable = engine.compile(&program, &CompileOptions::default()).unwrap();
    executable.run(&mut state, &data).unwrap().outputs().unwrap()["logits"].to_f64()
}

#[test]
fn models_of_8_bits_compute_what_their_numbers_stand_for() {
    let entries = std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let expected = json(&case.join("expected.json"));
        let ids: Vec<i32> = serde_json::from_value(expected["ids"].clone()).unwrap();
        let rows: Vec<Vec<f64>> = serde_json::from_value(expected["logits"].clone()).unwrap();
        let model = load(&case).unwrap_or_else(|error| panic!("{name}: {error}"));
        let ty = match &name {
            name if name.ends_with("e5m2") => "F8_E5M2",
            name if name.starts_with("fp8") => "F8_E4M3",
            _ => "I8",
        };
        let notes: Vec<String> = model.notes.iter().map(Note::to_string).collect();
        let dequantised = format!("weights: tensors of 8 bits, 7 of {ty}, are dequantised to f32");
        let activations =
            "weights: 7 scales of activations, which are not rounded, left aside".to_owned();
        let with_activations = if name == "fp8_tensors" { vec![activations] } else { vec![] };
        assert_eq!(notes, [vec![dequantised], with_activations].concat(), "{name}");
        let expected = rows.concat();
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        let variance =
            expected.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / expected.len() as f64;
        let ours = logits(&model, &ids);
        assert_eq!(ours.len(), expected.len());
        let far = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{name}: logits {:.1e} of the standard deviation", far / variance.sqrt());
        // The same numbers in f32 on both sides, summed in another order.
        assert!(far < 1e-4 * variance.sqrt(), "{name}: {far}");
    }
}

/// A directory with the files of a case, of which tensors, their types and the configuration are changed.
fn changed(
    case: &str,
    change: impl Fn(&str, Dtype, Vec<usize>, Vec<u8>) -> Option<(Dtype, Vec<usize>, Vec<u8>)>,
    config: impl Fn(&mut Value),
) -> tempfile::TempDir {
    let from = golden().join(case);
    let directory = tempfile::tempdir().unwrap();
    let mut keys = json(&from.join("config.json"));
    config(&mut keys);
    std::fs::write(directory.path().join("config.json"), keys.to_string()).unwrap();
    let bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<(String, (Dtype, Vec<usize>, Vec<u8>))> = file
        .iter()
        .filter_map(|(name, view)| {
            let data = view.data().to_vec();
            Some((name.to_owned(), change(name, view.dtype(), view.shape().to_vec(), data)?))
        })
        .collect();
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    std::fs::write(directory.path().join("model.safetensors"), file).unwrap();
    directory
}

fn same(
    _: &str,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
) -> Option<(Dtype, Vec<usize>, Vec<u8>)> {
    Some((dtype, shape, data))
}

#[test]
fn every_byte_stands_for_what_torch_reads() {
    let codes = json(&golden().join("codes.json"));
    for (name, ty, case) in [
        ("float8_e4m3fn", Dtype::F8_E4M3, "fp8_tensors"),
        ("float8_e5m2", Dtype::F8_E5M2, "fp8_e5m2"),
    ] {
        // q_proj is [40, 40]: all 256 bytes, six times over.
        let all = |tensor: &str, dtype, shape: Vec<usize>, data: Vec<u8>| {
            let query = tensor.contains("q_proj");
            Some(match dtype == ty {
                true if query => (dtype, shape, (0..data.len()).map(|i| i as u8).collect()),
                _ if query && tensor.ends_with("weight_scale") => {
                    (dtype, shape, 1_f32.to_le_bytes().to_vec())
                }
                _ => (dtype, shape, data),
            })
        };
        let directory = changed(case, all, |_| {});
        let weights = load(directory.path()).unwrap().weights;
        let found = weights["model.layers.0.self_attn.q_proj.weight"].to_f64();
        for (byte, number) in codes[name].as_array().unwrap().iter().enumerate() {
            let expected =
                number.as_f64().unwrap_or_else(|| number.as_str().unwrap().parse().unwrap());
            let same = found[byte] == expected || found[byte].is_nan() && expected.is_nan();
            assert!(same, "{name} {byte}: {} {expected}", found[byte]);
        }
    }
}

#[test]
fn a_missing_or_misshapen_scale_is_named() {
    let without = |tensor: &str, dtype, shape, data| {
        (!tensor.contains("v_proj.weight_scale")).then_some((dtype, shape, data))
    };
    let refused = |directory: tempfile::TempDir| load(directory.path()).unwrap_err().to_string();
    let message = refused(changed("fp8_blocks", without, |_| {}));
    let stem = "model.layers.0.self_attn.v_proj.weight";
    assert!(message.contains(&format!("`{stem}` is stored as F8_E4M3")), "{message}");
    assert!(message.contains(&format!("{stem}_scale_inv, {stem}_scale, ")), "{message}");
    let short = |tensor: &str, dtype, shape: Vec<usize>, data: Vec<u8>| {
        let own = tensor.ends_with("down_proj.weight_scale");
        Some(if own { (dtype, vec![3, 1], data[..12].to_vec()) } else { (dtype, shape, data) })
    };
    let message = refused(changed("int8_rows", short, |_| {}));
    let words = ["down_proj.weight_scale` has dimensions [3, 1]", "[40, 56]"];
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
    // Blocks of 16 that nothing names are not those of DeepSeek.
    let silent =
        |keys: &mut Value| drop(keys.as_object_mut().unwrap().remove("quantization_config"));
    let message = refused(changed("fp8_blocks", same, silent));
    assert!(message.contains("weight_block_size"), "{message}");
    // A scale of what has none is no tensor of the model.
    let wide = |tensor: &str, dtype: Dtype, shape: Vec<usize>, data: Vec<u8>| {
        Some(if dtype == Dtype::I8 && tensor.ends_with("weight") {
            let numbers = data.iter().flat_map(|&b| f32::from(b as i8).to_le_bytes()).collect();
            (Dtype::F32, shape, numbers)
        } else {
            (dtype, shape, data)
        })
    };
    let message = refused(changed("int8_rows", wide, |_| {}));
    assert!(message.contains("unknown tensors") && message.contains("_scale"), "{message}");
    let columns = |tensor: &str, dtype, shape, data: Vec<u8>| {
        let format = tensor.ends_with("weight_format");
        Some((dtype, shape, if format { vec![2] } else { data }))
    };
    let message = refused(changed("int8_bitsandbytes", columns, |_| {}));
    assert!(message.contains("weight_format` = [2]"), "{message}");
}

#[test]
fn the_type_is_the_one_that_the_file_names() {
    let bf16 = |keys: &mut Value| keys["torch_dtype"] = "bfloat16".into();
    let exact = load(&golden().join("int8_rows")).unwrap();
    let rounded = load(changed("int8_rows", same, bf16).path()).unwrap();
    assert!(rounded.notes[0].text.ends_with("dequantised to bf16"), "{:?}", rounded.notes);
    for (name, tensor) in &rounded.weights {
        let matrix = name.contains("proj");
        assert_eq!(tensor.dtype(), if matrix { DType::BF16 } else { DType::F32 }, "{name}");
        assert_eq!(*tensor, exact.weights[name].converted(tensor.dtype()).unwrap(), "{name}");
    }
    let far = |tensor: &str, dtype, shape, data: Vec<u8>| {
        let scale = tensor.ends_with("up_proj.weight_scale");
        Some((
            dtype,
            shape,
            if scale { 1e5_f32.to_le_bytes().repeat(data.len() / 4) } else { data },
        ))
    };
    let f16 = |keys: &mut Value| keys["torch_dtype"] = "float16".into();
    let message = load(changed("int8_rows", far, f16).path()).unwrap_err().to_string();
    assert!(message.contains("up_proj.weight` holds") && message.contains("bfloat16"), "{message}");
}
