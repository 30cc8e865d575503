//! Checkpoints made by `transformers` (xtask/oracle/models/golden_checkpoints.py) give here the
//! logits, loss and gradients they give there; and `config.json` written here says the same.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stoa_graph::reference::{ReferenceEngine, Rounding};
use stoa_graph::{Buffers, DType, Engine, Recompute, Tensor};
use stoa_models::*;

const ENGINE: ReferenceEngine = ReferenceEngine::new(Rounding::Declared);

#[derive(serde::Deserialize)]
struct Expected {
    /// [batch, time]
    ids: Vec<Vec<i32>>,
    /// [batch, time, vocab]
    logits: Vec<Vec<Vec<f64>>>,
    loss: f64,
    gradient_norms: BTreeMap<String, f64>,
}

fn cases() -> Vec<(PathBuf, Expected)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(golden)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("config.json").exists())
        .collect();
    cases.sort();
    assert_eq!(cases.len(), 4, "{cases:?}");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(path.join("expected.json")).unwrap();
        (path, serde_json::from_str(&text).unwrap())
    };
    cases.into_iter().map(read).collect()
}

/// Logits of a sequence, [time, vocab].
fn logits(config: &LanguageConfig, weights: &Weights, ids: &[i32], dtype: DType) -> Vec<f64> {
    let n = ids.len();
    let spec = DecodingSpec {
        tokens: n,
        rows: n,
        pages: 1,
        page: n,
        columns: 1,
        weights: dtype,
        caches: DType::F32,
    };
    let mut state = Buffers::new();
    upload(&ENGINE, with_matrix_dtype(config, weights.clone(), dtype).unwrap(), &mut state)
        .unwrap();
    for (name, ty) in cache_types(config, &spec) {
        state.insert(name, ENGINE.upload(&Tensor::zeros(&ty)).unwrap());
    }
    let ints = |values: Vec<i32>| Tensor::i32([n], values).unwrap();
    let all = ints((0..n as i32).collect());
    let (tokens, zeros) = (ints(ids.to_vec()), ints(vec![0; n]));
    let table = Tensor::i32([n, 1], vec![0; n]).unwrap();
    let program = decoding_program(config, &spec).unwrap();
    let places = [("table", &table), ("sequences", &zeros), ("positions", &all)];
    let data = [&[("tokens", &tokens), ("rows", &all)], &places[..]].concat();
    let outputs = ENGINE
        .compile(&program, &Default::default())
        .unwrap()
        .run(&mut state, &data)
        .unwrap()
        .outputs()
        .unwrap();
    outputs["logits"].to_f64()
}

#[test]
fn logits_are_those_of_transformers() {
    for (path, expected) in cases() {
        let Loaded { config, weights, .. } = load(&path).unwrap();
        let stored = weights["model.embed_tokens.weight"].ty().dtype;
        // Matrices that are stored in bf16 may stay so: widening them is exact.
        for dtype in [DType::F32, stored] {
            for (ids, rows) in expected.ids.iter().zip(&expected.logits) {
                let found = logits(&config, &weights, ids, dtype);
                let far = rows
                    .iter()
                    .flatten()
                    .zip(&found)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f64::max);
                // Logits of size 10 in f32 on both sides, printed with 7 digits; rounding grows
                // through two layers of weights with standard deviation 0.3.
                assert!(far < 2e-4, "{}: {far} with {dtype}", path.display());
            }
        }
    }
}

#[test]
fn loss_and_gradients_are_those_of_transformers() {
    for (path, expected) in cases() {
        let Loaded { config, weights, .. } = load(&path).unwrap();
        let (batch, time) = (expected.ids.len(), expected.ids[0].len());
        let n = batch * time;
        let shape = TrainingShape { batch, time, segmented: false };
        // Exact state: the expected gradients were computed in f64.
        let engine = ReferenceEngine::new(Rounding::Exact);
        let mut state = Buffers::new();
        upload(
            &engine,
            with_matrix_dtype(&config, weights.clone(), DType::F32).unwrap(),
            &mut state,
        )
        .unwrap();
        for parameter in parameters(&config) {
            let zero = Tensor::zeros(&parameter.ty(DType::F32));
            state.insert(gradient_name(&parameter.name), engine.upload(&zero).unwrap());
        }
        let ints = |values: Vec<i32>| Tensor::i32([n], values).unwrap();
        let next = |row: &Vec<i32>| row[1..].iter().copied().chain([-1]).collect::<Vec<_>>();
        let tokens = ints(expected.ids.concat());
        let targets = ints(expected.ids.iter().flat_map(next).collect());
        let positions = ints((0..n).map(|i| (i % time) as i32).collect());
        let weight = 1.0 / (batch * (time - 1)) as f32;
        let mean = Tensor::f32([n], vec![weight; n]).unwrap();
        let program = Forward::language(&config, shape, Precision::F32)
            .unwrap()
            .accumulation_program(Recompute::Cheap)
            .unwrap();
        let data = [
            ("tokens", &tokens),
            ("targets", &targets),
            ("positions", &positions),
            ("weights", &mean),
        ];
        let outputs = engine
            .compile(&program, &Default::default())
            .unwrap()
            .run(&mut state, &data)
            .unwrap()
            .outputs()
            .unwrap();
        let loss = outputs["loss"].to_f64()[0];
        // The mean's weight is rounded to f32 (6e-8), the loss to f32.
        assert!((loss / expected.loss - 1.0).abs() < 1e-6, "{}: {loss}", path.display());
        assert_eq!(expected.gradient_norms.len(), parameters(&config).len());
        for (name, norm) in &expected.gradient_norms {
            let name = gradient_name(name);
            let gradient = &download(&engine, &state, [name.as_str()]).unwrap()[&name];
            let found = gradient.to_f64().iter().map(|g| g * g).sum::<f64>().sqrt();
            // `transformers` computes norms and rotary angles in f32 whatever the model's type.
            assert!((found / norm - 1.0).abs() < 1e-5, "{name}: {found} against {norm}");
        }
    }
}

#[test]
fn our_config_says_what_theirs_said() {
    for (path, _) in cases() {
        let theirs: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&std::fs::read_to_string(path.join("config.json")).unwrap())
                .unwrap();
        let config = load(&path).unwrap().config;
        let ours: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&to_hugging_face(&config)).unwrap();
        // About the weights' file, the tokenizer, initialisation, or unused: not the function.
        let not_of_the_function = [
            "dtype",
            "bos_token_id",
            "eos_token_id",
            "pad_token_id",
            "initializer_range",
            "transformers_version",
            "use_cache",
            "pretraining_tp",
            "layer_types",
            "max_window_layers",
            "sliding_window",
            "use_sliding_window",
        ];
        for (key, value) in &theirs {
            if !not_of_the_function.contains(&key.as_str()) {
                assert_eq!(ours.get(key), Some(value), "{}: {key}", path.display());
            }
        }
    }
}
