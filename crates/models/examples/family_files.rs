//! Writes a tiny random model of every architecture of GGUF files, and beside each what the reference
//! engine makes of some ids, for `cargo xtask oracle export`, which asks llama.cpp the same:
//!
//! ```text
//! cargo run -p stoa-models --example family_files -- OUT
//! ```
//!
//! `OUT/NAME.gguf` has no tokenizer; `OUT/NAME.json` has `ids`, the `logits` after the last of them,
//! `greedy`, the most likely tokens that follow, and `gaps`, by how much each was the most likely, as
//! a share of the standard deviation of the logits.

use std::path::{Path, PathBuf};

use serde_json::json;
use stoa_gguf::Metadata;
use stoa_graph::reference::{ReferenceEngine, Rounding};
use stoa_graph::{Buffers, CompileOptions, DType, Engine, Tensor};
use stoa_models::*;

type Failure = Box<dyn std::error::Error>;

/// Longer than the windows of the models.
const IDS: [i32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
/// Tokens of an answer.
const ANSWER: usize = 24;

fn main() -> Result<(), Failure> {
    let out = PathBuf::from(std::env::args_os().nth(1).ok_or("give a directory to write to")?);
    std::fs::create_dir_all(&out)?;
    for (seed, (name, config)) in (1..).zip(models()) {
        let weights = random(&config, seed)?;
        let path = out.join(format!("{name}.gguf"));
        let mut keys = Metadata::new(&path);
        keys.set("tokenizer.ggml.model", "none");
        let types = GgufTypes::All(DType::F32);
        let report = export_gguf(&path, &config, &weights, types, &keys)?;
        let mut ids = IDS.to_vec();
        let first = logits(&config, &weights, &ids)?;
        let (mut greedy, mut gaps, mut last) = (Vec::new(), Vec::new(), first.clone());
        for _ in 0..ANSWER {
            let (best, gap) = best(&last);
            greedy.push(best);
            gaps.push(gap);
            ids.push(best);
            last = logits(&config, &weights, &ids)?;
        }
        let answers = json!({
            "architecture": report.architecture,
            "ids": IDS, "logits": first, "greedy": greedy, "gaps": gaps,
        });
        write(&out.join(format!("{name}.json")), &answers)?;
    }
    Ok(())
}

fn write(path: &Path, value: &serde_json::Value) -> Result<(), Failure> {
    Ok(std::fs::write(path, value.to_string())?)
}

/// The models by name, in shapes that llama.cpp computes.
fn models() -> Vec<(&'static str, LanguageConfig)> {
    let base = LanguageConfig {
        hidden: 64,
        layers: 3,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        mlp: Mlp::swiglu(96),
        qk_norm: QkNorm::None,
        max_time: 96,
        ..LanguageConfig::from_depth(1, 61)
    };
    let inner = |kind| Mlp { kind, intermediate: 96 };
    let all_biases = Biases { qkv: true, output: true, mlp: true };
    let gemma = LanguageConfig {
        norm_offset: true,
        mlp: inner(MlpKind::Geglu),
        embedding_scale: Some(8.0),
        tied_head: true,
        ..base.clone()
    };
    let gemma2 = LanguageConfig {
        block: Block::PreAndPostNorm,
        score_softcap: Some(50.0),
        logit_softcap: Some(30.0),
        sliding_window: Some(SlidingWindow { window: 8, layers: vec![0, 2] }),
        ..gemma.clone()
    };
    let gemma3 = LanguageConfig {
        layers: 6,
        block: Block::PreAndPostNorm,
        qk_norm: QkNorm::PerHead,
        rope_theta: 1e6,
        local_rope_theta: Some(10_000.0),
        sliding_window: Some(SlidingWindow { window: 8, layers: (0..5).collect() }),
        ..gemma.clone()
    };
    let longrope = RopeScaling::LongRope {
        short_factor: vec![1.0; 8],
        long_factor: (0..8).map(|pair| 1.0 + f64::from(pair) / 4.0).collect(),
        original_max_position_embeddings: 8,
        attention_factor: 1.25,
    };
    let llama3 = RopeScaling::Llama3 {
        factor: 4.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 32,
    };
    let yarn = RopeScaling::Yarn {
        factor: 4.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_max_position_embeddings: 24,
        attention_factor: None,
    };
    let layer_norms = LanguageConfig { norm: Norm::Layer, kv_heads: 4, ..base.clone() };
    let neox = LanguageConfig {
        block: Block::ParallelTwoNorms,
        mlp: inner(MlpKind::GeluExact),
        biases: all_biases,
        rotary_dim: Some(4),
        ..layer_norms.clone()
    };
    let stablelm = LanguageConfig { rotary_dim: Some(8), ..layer_norms.clone() };
    let command_r = LanguageConfig {
        block: Block::Parallel,
        norm: Norm::LayerUnbiased,
        logit_scale: Some(0.25),
        tied_head: true,
        ..base.clone()
    };
    let granite = LanguageConfig {
        embedding_scale: Some(12.0),
        residual_scale: Some(0.25),
        attention_scale: Some(0.5),
        logit_scale: Some(0.125),
        ..base.clone()
    };
    let gpt2 = LanguageConfig {
        mlp: inner(MlpKind::Gelu),
        biases: all_biases,
        learned_positions: true,
        tied_head: true,
        ..layer_norms.clone()
    };
    let falcon = LanguageConfig {
        kv_heads: 1,
        block: Block::Parallel,
        mlp: inner(MlpKind::GeluExact),
        tied_head: true,
        ..layer_norms.clone()
    };
    let qkv = Biases { qkv: true, ..Biases::default() };
    let named = |family, config: &LanguageConfig| LanguageConfig { family, ..config.clone() };
    let phi3 = named(Family::Phi3, &base);
    vec![
        ("llama", LanguageConfig { rope_scaling: Some(llama3), ..base.clone() }),
        ("llama-yarn", LanguageConfig { rope_scaling: Some(yarn), ..base.clone() }),
        ("llama-biases", LanguageConfig { biases: all_biases, ..named(Family::Llama, &base) }),
        ("mistral", LanguageConfig { head_dim: 32, ..named(Family::Mistral, &base) }),
        ("qwen2", LanguageConfig { biases: qkv, tied_head: true, ..named(Family::Qwen2, &base) }),
        ("qwen3", LanguageConfig { qk_norm: QkNorm::PerHead, ..base.clone() }),
        ("gemma", named(Family::Gemma, &gemma)),
        ("gemma2", named(Family::Gemma2, &gemma2)),
        ("gemma3", named(Family::Gemma3, &gemma3)),
        ("phi3", phi3.clone()),
        ("phi3-longrope", LanguageConfig { rope_scaling: Some(longrope), ..phi3.clone() }),
        ("phi3-partial", LanguageConfig { rotary_dim: Some(8), tied_head: true, ..phi3 }),
        (
            "olmo2",
            LanguageConfig {
                block: Block::PostNorm,
                qk_norm: QkNorm::OverAllHeads,
                kv_heads: 4,
                ..base.clone()
            },
        ),
        ("granite", named(Family::Granite, &granite)),
        ("stablelm", named(Family::Stablelm, &stablelm)),
        (
            "stablelm-parallel",
            LanguageConfig { block: Block::Parallel, ..named(Family::Stablelm, &stablelm) },
        ),
        ("gptneox", named(Family::GptNeox, &neox)),
        (
            "gptneox-sequential",
            LanguageConfig { block: Block::PreNorm, ..named(Family::GptNeox, &neox) },
        ),
        ("gpt2", named(Family::Gpt2, &gpt2)),
        ("falcon", named(Family::Falcon, &falcon)),
        ("command-r", named(Family::Cohere, &command_r)),
        (
            "smollm3",
            LanguageConfig {
                layers: 4,
                layers_without_positions: vec![3],
                tied_head: true,
                ..named(Family::Smollm3, &base)
            },
        ),
    ]
}

/// Matrices with standard deviation 0.2, factors of norms around 1, biases around 0, so that an error
/// anywhere shows.
fn random(config: &LanguageConfig, seed: u64) -> Result<Weights, Failure> {
    let mut weights = Weights::new();
    for parameter in parameters(config) {
        let stream = stoa_random::Stream::new(seed, &parameter.name);
        let uniform = |i| (stream.bits(i) >> 40) as f32 / (1 << 24) as f32 - 0.5;
        let middle = match parameter.group {
            ParameterGroup::Norm if !config.norm_offset => 1.0,
            _ => 0.0,
        };
        let width = if parameter.is_matrix() { 0.7 } else { 0.5 };
        let value = |i| middle + width * uniform(i);
        let elements = parameter.shape.iter().product::<usize>() as u64;
        let tensor = Tensor::f32(parameter.shape.clone(), (0..elements).map(value).collect())?;
        weights.insert(parameter.name, tensor);
    }
    Ok(weights)
}

/// The most likely token, and how far the next one is behind it.
fn best(logits: &[f64]) -> (i32, f64) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let n = logits.len() as f64;
    let mean = logits.iter().sum::<f64>() / n;
    let deviation = (logits.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    (order[0] as i32, (logits[order[0]] - logits[order[1]]) / deviation)
}

/// Logits after the last of some ids.
fn logits(config: &LanguageConfig, weights: &Weights, ids: &[i32]) -> Result<Vec<f64>, Failure> {
    let engine = ReferenceEngine::new(Rounding::Declared);
    let n = ids.len();
    let spec = DecodingSpec {
        tokens: n,
        rows: 1,
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
    let positions = Tensor::i32([n], (0..n as i32).collect())?;
    let (tokens, zeros) = (Tensor::i32([n], ids.to_vec())?, Tensor::i32([n], vec![0; n])?);
    let table = Tensor::i32([n, 1], vec![0; n])?;
    let row = Tensor::i32([1], vec![n as i32 - 1])?;
    let places = [("table", &table), ("sequences", &zeros), ("positions", &positions)];
    let data = [&[("tokens", &tokens), ("rows", &row)], &places[..]].concat();
    let mut executable =
        engine.compile(&decoding_program(config, &spec)?, &CompileOptions::default())?;
    Ok(executable.run(&mut state, &data)?.outputs()?["logits"].to_f64())
}
