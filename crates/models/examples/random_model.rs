//! Saves random models, of every class and in every variant that the golden files of families have and
//! some of our own making, and beside each the logits that the reference engine gives for some ids, as
//! `logits.json`:
//!
//! ```text
//! cargo run -p stoa-models --example random_model -- OUT
//! cargo xtask oracle logits OUT/qwen3 --ids 3,1,4,1,5
//! ```
//!
//! The second command prints what `transformers` gives for the same directory and ids.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stoa_graph::reference::{ReferenceEngine, Rounding};
use stoa_graph::{Buffers, CompileOptions, DType, Engine, Tensor};
use stoa_models::*;

/// Longer than the sliding window of one of the models.
const IDS: [i32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(std::env::args_os().nth(1).ok_or("give a directory to write to")?);
    let qwen3 = LanguageConfig {
        hidden: 48,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        layers: 3,
        mlp: Mlp::swiglu(80),
        rope_theta: 50_000.0,
        rope_scaling: None,
        max_time: 64,
        ..LanguageConfig::from_depth(3, 61)
    };
    let window = SlidingWindow { window: 4, layers: vec![0, 2] };
    let mut models = vec![
        ("llama", LanguageConfig { qk_norm: QkNorm::None, ..qwen3.clone() }),
        ("llama-tied", LanguageConfig { qk_norm: QkNorm::None, tied_head: true, ..qwen3.clone() }),
        ("qwen3-windowed", LanguageConfig { sliding_window: Some(window), ..qwen3.clone() }),
        ("qwen3", qwen3),
    ];
    let families = families()?;
    models.extend(families.iter().map(|(name, config)| (name.as_str(), config.clone())));
    for (seed, (name, config)) in (1..).zip(models) {
        let directory = out.join(name);
        std::fs::create_dir_all(&directory)?;
        let weights = random(&config, seed)?;
        save_model(&directory, &config, &weights)?;
        let logits = logits(&config, &weights)?;
        let rows: Vec<&[f64]> = logits.chunks(config.vocab).collect();
        std::fs::write(
            directory.join("logits.json"),
            serde_json::to_string(&BTreeMap::from([("logits", rows)]))?,
        )?;
    }
    Ok(())
}

/// The configurations of the golden files, by the names of their directories.
fn families() -> Result<Vec<(String, LanguageConfig)>, Box<dyn std::error::Error>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(golden)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path.join("config.json"))?;
        found.push((name, from_hugging_face(&text)?.config));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Weights with standard deviation 0.3 and norm factors around 1, so that an error anywhere shows.
fn random(config: &LanguageConfig, seed: u64) -> Result<Weights, Box<dyn std::error::Error>> {
    let mut weights = Weights::new();
    for parameter in parameters(config) {
        let uniform = |i| {
            (stoa_random::Stream::new(seed, &parameter.name).bits(i) >> 40) as f32
                / (1 << 24) as f32
        };
        let norm = parameter.group == ParameterGroup::Norm;
        let value = |i| if norm { 0.75 + 0.5 * uniform(i) } else { 1.04 * (uniform(i) - 0.5) };
        let elements = parameter.shape.iter().product::<usize>() as u64;
        let tensor = Tensor::f32(parameter.shape.clone(), (0..elements).map(value).collect())?;
        weights.insert(parameter.name, tensor);
    }
    Ok(weights)
}

/// [time, vocab]
fn logits(
    config: &LanguageConfig,
    weights: &Weights,
) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let engine = ReferenceEngine::new(Rounding::Declared);
    let n = IDS.len();
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
    upload(&engine, weights.clone(), &mut state)?;
    for (name, ty) in cache_types(config, &spec) {
        state.insert(name, engine.upload(&Tensor::zeros(&ty))?);
    }
    let all = Tensor::i32([n], (0..n as i32).collect())?;
    let (tokens, zeros) = (Tensor::i32([n], IDS.to_vec())?, Tensor::i32([n], vec![0; n])?);
    let table = Tensor::i32([n, 1], vec![0; n])?;
    let places = [("table", &table), ("sequences", &zeros), ("positions", &all)];
    let data = [&[("tokens", &tokens), ("rows", &all)], &places[..]].concat();
    let mut executable =
        engine.compile(&decoding_program(config, &spec)?, &CompileOptions::default())?;
    Ok(executable.run(&mut state, &data)?.outputs()?["logits"].to_f64())
}
