//! `stoa bench decode`: prompt and answer speed of a model: one of a directory, or a Llama with random
//! weights.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use stoa_graph::{Buffers, CompileOptions, DType, Engine, Executable, OpProfile, Tensor};
use stoa_models::{
    DecodingSpec, LanguageConfig, Loaded, Mlp, Weights, cache_types, decoding_program, load,
    parameters, save_model, upload, with_matrix_dtype,
};

use super::args::{BenchDecodeArgs, Workload};
use super::median;
use super::workload::drawn;
use crate::cli::MachineArgs;
use crate::engine;
use crate::peak_memory::peak_rss_bytes;
use crate::terminal::Terminal;

#[derive(Serialize)]
struct Report {
    engine: String,
    size: String,
    weights: String,
    cache: String,
    prompt_tokens: usize,
    prompt_tokens_per_second: f64,
    answer_tokens: usize,
    answer_tokens_per_second: f64,
    /// The share of attention over the cache in the time of a token of the answer, by a profile of the
    /// last tokens run once more.
    attention_share: f64,
    weight_bytes: usize,
    /// The cache of keys and values, and what the programs need besides it and the weights.
    cache_bytes: usize,
    arena_bytes: usize,
    peak_rss_bytes: u64,
}

/// Tokens of a prompt that go through the model at once.
const CHUNK: usize = 128;

/// Tokens of a page of the cache, as the assistant has them.
const PAGE: usize = 32;

/// Tokens of the answer that are profiled.
const PROFILED: usize = 16;

/// Runs a prompt and an answer and prints the rates.
///
/// # Errors
/// When the engine refuses the model.
pub fn run(
    args: &BenchDecodeArgs,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let engine = engine::open(machine)?;
    let (config, stored) = match &args.model {
        Some(directory) => {
            let Loaded { config, weights, notes } = load(directory)?;
            notes.iter().for_each(|note| terminal.note(note.to_string()));
            (config, Some(weights))
        }
        None => (llama(args.size), None),
    };
    let dtype = args.weights;
    let prompt = args.prompt.next_multiple_of(CHUNK).max(CHUNK);
    let pages = (prompt + args.tokens).div_ceil(PAGE);
    let spec = |tokens| DecodingSpec {
        tokens,
        rows: 1,
        pages,
        page: PAGE,
        columns: pages,
        weights: dtype,
        caches: args.cache,
    };
    // First, so that a model over the memory limit is refused before it is made.
    let options = CompileOptions { pack_weights: true, ..CompileOptions::default() };
    let mut prefill = engine.compile(&decoding_program(&config, &spec(CHUNK))?, &options)?;
    let mut decode = engine.compile(&decoding_program(&config, &spec(1))?, &options)?;
    let mut state = Buffers::new();
    place_weights(&*engine, &config, stored, dtype, args.save.as_deref(), &mut state)?;
    for (name, ty) in cache_types(&config, &spec(1)) {
        state.insert(name, engine.upload(&Tensor::zeros(&ty))?);
    }
    let mut bar = terminal.bar("decode", (prompt + args.tokens) as u64, "tokens");
    let mut feed = |executable: &mut dyn Executable, at: usize, tokens: usize| {
        let started = Instant::now();
        let ids = (at..at + tokens).map(|i| (i * 7919 % config.vocab) as i32).collect();
        let positions = (at..at + tokens).map(|i| i as i32).collect();
        let table = (0..tokens).flat_map(|_| 0..pages as i32).collect();
        let data = [
            ("tokens", Tensor::i32([tokens], ids)?),
            ("table", Tensor::i32([tokens, pages], table)?),
            ("sequences", Tensor::i32([tokens], vec![0; tokens])?),
            ("positions", Tensor::i32([tokens], positions)?),
            ("rows", Tensor::i32([1], vec![tokens as i32 - 1])?),
        ];
        let given: Vec<(&str, &Tensor)> = data.iter().map(|(n, t)| (*n, t)).collect();
        let mut results = executable.run(&mut state, &given)?.outputs()?;
        let seconds = started.elapsed().as_secs_f64();
        bar.update((at + tokens) as u64, "");
        anyhow::Ok((seconds, results.remove("logits")))
    };
    // Twice: the first pass touches memory for the first time.
    let (mut prompt_seconds, mut logits) = (0.0, None);
    for _ in 0..2 {
        prompt_seconds = 0.0;
        for at in (0..prompt).step_by(CHUNK) {
            let (seconds, last) = feed(prefill.as_mut(), at, CHUNK)?;
            prompt_seconds += seconds;
            logits = last;
        }
    }
    if let (Some(directory), Some(logits)) = (&args.save, logits) {
        let text = serde_json::json!({ "logits": logits.to_f64() }).to_string();
        let path = directory.join("logits.json");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let steps = (0..args.tokens).map(|i| Ok(feed(decode.as_mut(), prompt + i, 1)?.0));
    let steps = steps.collect::<anyhow::Result<Vec<f64>>>()?;
    decode.start_profile();
    for at in (prompt..prompt + args.tokens).rev().take(PROFILED) {
        feed(decode.as_mut(), at, 1)?;
    }
    let attention_share = attention_share(&decode.take_profile());
    let report = Report {
        engine: engine.facts().name,
        size: match &args.model {
            Some(directory) => directory.display().to_string(),
            None => format!("{:?}", args.size),
        },
        weights: dtype.to_string(),
        cache: args.cache.to_string(),
        prompt_tokens: prompt,
        prompt_tokens_per_second: prompt as f64 / prompt_seconds,
        answer_tokens: args.tokens,
        answer_tokens_per_second: 1.0 / median(&steps),
        attention_share,
        weight_bytes: parameters(&config).iter().map(|p| p.ty(dtype).size_bytes()).sum(),
        cache_bytes: cache_types(&config, &spec(1)).iter().map(|(_, ty)| ty.size_bytes()).sum(),
        arena_bytes: [prefill.memory(), decode.memory()]
            .map(|plan| plan.arena_bytes + plan.scratch_bytes)
            .into_iter()
            .fold(0, usize::max),
        peak_rss_bytes: peak_rss_bytes(),
    };
    bar.finish("done");
    terminal.result(&report, || {
        format!(
            "{} weights ({} MiB) on {}: prompt {:.0} tokens/s, answer {:.1} tokens/s\n\
             attention over {} tokens in {}: {:.1} % of a token of the answer",
            report.weights,
            report.weight_bytes >> 20,
            report.engine,
            report.prompt_tokens_per_second,
            report.answer_tokens_per_second,
            report.prompt_tokens + report.answer_tokens,
            report.cache,
            100.0 * report.attention_share
        )
    })
}

/// The share of attention over caches in the time of a profile; 0 of an engine that has none.
fn attention_share(profile: &[OpProfile]) -> f64 {
    let seconds = |of: &dyn Fn(&OpProfile) -> bool| -> f64 {
        profile.iter().filter(|op| of(op)).map(|op| op.seconds).sum()
    };
    let (all, attention) = (seconds(&|_| true), seconds(&|op| op.op == "cached_attention"));
    if all > 0.0 { attention / all } else { 0.0 }
}

/// Uploads the weights of a model, those of a file or drawn ones, each as its program declares it.
fn place_weights(
    engine: &dyn Engine,
    config: &LanguageConfig,
    stored: Option<Weights>,
    dtype: DType,
    save: Option<&Path>,
    state: &mut Buffers,
) -> anyhow::Result<()> {
    // A saved model has no blocks: another program makes them of the same numbers.
    let saved = if save.is_some() && dtype.is_quantised() { DType::F32 } else { dtype };
    let weights: Box<dyn Iterator<Item = (String, Tensor)>> = match stored {
        Some(weights) => Box::new(with_matrix_dtype(config, weights, saved)?),
        None => Box::new(parameters(config).into_iter().map(|p| {
            let tensor = drawn(&p).converted(p.ty(saved).dtype);
            (p.name, tensor.expect("rows of these sizes are whole blocks"))
        })),
    };
    let Some(directory) = save else { return Ok(upload(engine, weights, state)?) };
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let weights: Weights = weights.collect();
    save_model(directory, config, &weights)?;
    Ok(upload(engine, with_matrix_dtype(config, weights, dtype)?, state)?)
}

/// The workload's size as a Llama: SwiGLU of 8/3 the width, which makes the same matrices.
fn llama(size: Workload) -> LanguageConfig {
    let config = size.config();
    LanguageConfig {
        mlp: Mlp::swiglu(config.hidden * 8 / 3),
        norm_weights: true,
        max_time: 4096,
        ..config
    }
}
