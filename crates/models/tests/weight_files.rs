//! Weight files: there and back, in every type; and files that lie, which must give an error that
//! says what is wrong and never a panic.

#![allow(clippy::unwrap_used)]

use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use stoa_graph::{DType, Tensor, TensorType};
use stoa_models::*;

fn model() -> (LanguageConfig, Weights) {
    let config = LanguageConfig { max_time: 64, ..LanguageConfig::from_depth(1, 40) };
    let weights = initialize(&config, 1);
    (config, weights)
}

/// A model directory, of whatever family it was saved as.
fn read(directory: &std::path::Path) -> (LanguageConfig, Weights) {
    let Loaded { config, weights, notes } = load(directory).unwrap();
    assert_eq!(notes, []);
    (LanguageConfig { family: Family::None, ..config }, weights)
}

#[test]
fn a_model_directory_reads_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (config, weights) = model();
    save_model(directory.path(), &config, &weights).unwrap();
    assert_eq!(read(directory.path()), (config.clone(), weights.clone()));

    let half: Weights = with_matrix_dtype(&config, weights, DType::BF16).unwrap().collect();
    save_model(directory.path(), &config, &half).unwrap();
    let read = load(directory.path()).unwrap().weights;
    assert_eq!(read["model.norm.weight"].ty().dtype, DType::F32);
    assert_eq!(read, half);
}

#[test]
fn f64_is_rounded_to_f32_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (config, weights) = model();
    save_model(directory.path(), &config, &weights).unwrap();
    let wide: Vec<(&String, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, tensor)| {
            // A quarter of the last place of an f32 more: rounding has something to take away.
            let wider = |x: f64| (x * (1.0 + f64::powi(2.0, -26))).to_le_bytes();
            let bytes = tensor.to_f64().into_iter().flat_map(wider).collect();
            (name, tensor.shape().to_vec(), bytes)
        })
        .collect();
    let views = wide.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    std::fs::write(directory.path().join("model.safetensors"), file).unwrap();
    let read = load(directory.path()).unwrap();
    assert_eq!(read.weights, weights);
    let notes: Vec<String> = read.notes.iter().map(Note::to_string).collect();
    assert_eq!(notes, [format!("weights: {} tensors of f64 are rounded to f32", weights.len())]);
}

#[test]
fn loaded_weights_outlive_the_file_they_are_mapped_from() {
    let directory = tempfile::tempdir().unwrap();
    let (config, weights) = model();
    save_model(directory.path(), &config, &weights).unwrap();
    let loaded = load(directory.path()).unwrap().weights;
    // Over the file that they are read from, and once more from what was written.
    let narrow: Weights = with_matrix_dtype(&config, loaded.clone(), DType::F16).unwrap().collect();
    save_model(directory.path(), &config, &narrow).unwrap();
    assert_eq!(loaded, weights);
    save_model(directory.path(), &config, &loaded).unwrap();
    assert_eq!(load(directory.path()).unwrap().weights, weights);
    drop(directory);
    assert_eq!(loaded, weights);
}

#[test]
fn the_largest_weights_are_converted_first() {
    let (config, weights) = model();
    let sizes: Vec<usize> = with_matrix_dtype(&config, weights.clone(), DType::BF16)
        .unwrap()
        .map(|(_, tensor)| tensor.ty().elements())
        .collect();
    assert_eq!(sizes.len(), weights.len());
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
}

#[test]
fn rows_that_are_not_whole_blocks_are_refused() {
    let (config, _) = model();
    let matrix = |columns| Tensor::zeros(&TensorType::f32([3, columns]));
    let quantised = |columns| {
        let weights = Weights::from([("lm_head.weight".to_owned(), matrix(columns))]);
        with_matrix_dtype(&config, weights, DType::Q8_0).map(|all| all.collect::<Weights>())
    };
    assert_eq!(quantised(64).unwrap()["lm_head.weight"].ty().to_string(), "q8_0[3, 64]");
    assert_eq!(
        quantised(33).unwrap_err().to_string(),
        "tensor `lm_head.weight`: q8_0[3, 33] does not exist: the last dimension must be a \
         multiple of the 32 elements of a block"
    );
}

#[test]
fn files_are_the_same_bytes_every_time() {
    let (_, weights) = model();
    assert_eq!(to_safetensors(&weights).unwrap(), to_safetensors(&weights.clone()).unwrap());
}

#[test]
fn every_element_type_reads_back() {
    let tensors = [
        Tensor::new([3], vec![1.5, f32::NEG_INFINITY, -0.0]),
        Tensor::new([3], vec![bf16::ONE, bf16::MAX, bf16::NEG_ONE]),
        Tensor::new([3], vec![f16::ONE, f16::INFINITY, f16::MIN]),
        Tensor::new([3], vec![i32::MIN, -1, 7]),
        Tensor::new([3], vec![0, 1, i32::MAX]),
    ];
    let weights: Weights = tensors
        .into_iter()
        .enumerate()
        .map(|(i, tensor)| (format!("t{i}"), tensor.unwrap()))
        .collect();
    assert_eq!(from_safetensors(&to_safetensors(&weights).unwrap()).unwrap(), weights);
}

#[test]
fn a_quantised_tensor_has_no_place_in_a_safetensors_file() {
    let tensor = Tensor::zeros(&TensorType::new(DType::Q8_0, [2, 32]));
    let weights = Weights::from([("w".to_owned(), tensor)]);
    let message = "tensor `w` has element type q8_0; store it as F32, BF16, F16 or I32";
    assert_eq!(to_safetensors(&weights).unwrap_err().to_string(), message);
}

#[test]
fn a_sharded_directory_reads_whole_and_stays_inside_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (config, weights) = model();
    save_model(directory.path(), &config, &weights).unwrap();
    std::fs::remove_file(directory.path().join("model.safetensors")).unwrap();
    let (first, second): (Weights, Weights) =
        weights.clone().into_iter().partition(|(name, _)| name.contains("layers"));
    let files = [("a.safetensors", first), ("b.safetensors", second)];
    let mut map = serde_json::Map::new();
    for (file, part) in &files {
        save(&directory.path().join(file), part).unwrap();
        map.extend(part.keys().map(|name| (name.clone(), (*file).into())));
    }
    let index = directory.path().join("model.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    assert_eq!(load(directory.path()).unwrap().weights, weights);

    for outside in ["../a.safetensors", "/etc/passwd", "..", "x/../../y"] {
        map.insert("model.norm.weight".into(), outside.into());
        std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
        let message = load(directory.path()).unwrap_err().to_string();
        assert!(message.contains("same directory"), "{outside}: {message}");
    }
}

#[test]
fn weights_of_another_model_are_refused_by_name() {
    let (config, weights) = model();
    let refused = |change: fn(&mut Weights)| {
        let mut changed = weights.clone();
        change(&mut changed);
        model_weights(&config, changed).unwrap_err()
    };
    let missing = refused(|w| drop(w.remove("model.norm.weight")));
    assert!(
        matches!(&missing, ModelError::OtherTensors { missing, .. } if missing == &["model.norm.weight"])
    );
    let unknown = refused(|w| drop(w.insert("model.extra".into(), Tensor::scalar(0.0))));
    assert!(matches!(&unknown, ModelError::UnknownTensors(n) if n == &["model.extra"]));
    let shape = refused(|w| {
        w.insert("lm_head.weight".into(), Tensor::f32([64, 40], vec![0.0; 2560]).unwrap());
    });
    let message = shape.to_string();
    assert!(message.contains("f32[64, 40]") && message.contains("f32[40, 64]"), "{message}");
    let dtype = refused(|w| {
        w.insert("model.norm.weight".into(), Tensor::i32([64], vec![0; 64]).unwrap());
    });
    assert!(dtype.to_string().contains("i32[64]"));
}

#[test]
fn absurd_headers_are_errors() {
    let with_header = |header: &str, data: &[u8]| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        from_safetensors(&bytes)
    };
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    assert!(with_header(&one("F32", "[2]", "[0,8]"), &[0; 8]).is_ok());
    let hostile = [
        ("no header", String::new(), 0),
        ("not JSON", "{".into(), 0),
        ("data cut short", one("F32", "[2]", "[0,8]"), 7),
        ("data left over", one("F32", "[2]", "[0,8]"), 9),
        ("shape larger than data", one("F32", "[3]", "[0,8]"), 8),
        ("offsets backwards", one("F32", "[2]", "[8,0]"), 8),
        ("offsets not from zero", one("F32", "[1]", "[4,8]"), 8),
        ("overflow", one("F32", "[4294967296,4294967296,4294967296]", "[0,8]"), 8),
        ("largest sizes", one("F32", "[18446744073709551615]", "[0,18446744073709551615]"), 8),
        ("unknown type", one("F99", "[2]", "[0,8]"), 8),
        ("type without a place here", one("I64", "[1]", "[0,8]"), 8),
    ];
    for (what, header, bytes) in hostile {
        assert!(with_header(&header, &vec![0; bytes]).is_err(), "{what}");
    }
    // A header said to be longer than any file.
    assert!(from_safetensors(&u64::MAX.to_le_bytes()).is_err());
    assert!(from_safetensors(&[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    /// A damaged file is an error or other numbers, never a panic.
    #[test]
    fn damaged_files_do_not_panic(at in 0usize..600, byte in any::<u8>(), cut in 0usize..600) {
        let weights: Weights = [("a", vec![1.0; 8]), ("b", vec![2.0; 24])]
            .map(|(name, data)| (name.to_owned(), Tensor::f32([data.len()], data).unwrap()))
            .into();
        let mut bytes = to_safetensors(&weights).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = from_safetensors(&bytes);
        bytes.truncate(cut % (bytes.len() + 1));
        let _ = from_safetensors(&bytes);
    }
}
