//! `stoa bench decode`: prompt and answer speed of a model: one of files, or a Llama with random
//! weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use stoa_gguf::Metadata;
use stoa_graph::{
    Buffers, CompileOptions, DType, Executable, Op, OpProfile, Program, Tensor, node_cost,
};
use stoa_models::{
    DecodingSpec, GgufModel, GgufTypes, LanguageConfig, Loaded, Mlp, StoredTypes, Weights,
    cache_types, decoding_program_of, export_gguf, load, load_gguf, parameters, upload, with_types,
};

use super::args::{BenchDecodeArgs, Kept, Workload};
use super::median;
use super::workload::drawn;
use crate::cli::MachineArgs;
use crate::engine;
use crate::peak_memory::peak_rss_bytes;
use crate::terminal::Terminal;

#[derive(Serialize)]
struct Report {
    engine: String,
    model: String,
    weights: String,
    cache: String,
    /// The type that most bytes of products have.
    base_type: String,
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
    /// What a token of the answer reads: the matrices that it is multiplied with, and the cache up to
    /// the middle of the answer.
    answer_bytes_per_token: f64,
    /// Operations of the products of a prompt, over its tokens; a multiply-add is two.
    prompt_operations_per_token: f64,
    peak_rss_bytes: u64,
    /// Of the answer, where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ops: Vec<Share>,
}

/// An op of the answer.
#[derive(Serialize)]
struct Share {
    op: String,
    steps: usize,
    microseconds_per_token: f64,
}

/// Most tokens of a prompt that go through the model at once.
const CHUNK: usize = 128;

/// Random weights, unless others are asked for.
const DRAWN: GgufTypes = GgufTypes::All(DType::F16);

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
    if let Some(path) = &args.save {
        return save(args, path, terminal);
    }
    let engine = engine::open(machine)?;
    let (config, stored) = match &args.model {
        Some(path) => {
            let (config, weights, notes) = if path.is_file() {
                let GgufModel { config, weights, notes, .. } = load_gguf(path)?;
                (config, weights, notes)
            } else {
                let Loaded { config, weights, notes } = load(path)?;
                (config, weights, notes)
            };
            notes.iter().for_each(|note| terminal.note(note.to_string()));
            (config, Some(weights))
        }
        None => (llama(args.size), None),
    };
    let types = match (args.weights, &stored) {
        (None | Some(Kept::AsStored), Some(weights)) => StoredTypes::of(&config, weights),
        (None | Some(Kept::AsStored), None) => StoredTypes::mixture(&config, DRAWN),
        (Some(Kept::As(types)), _) => StoredTypes::mixture(&config, types),
    };
    let chunk = args.prompt.clamp(1, CHUNK);
    let prompt = args.prompt.next_multiple_of(chunk).max(chunk);
    let pages = (prompt + args.tokens).div_ceil(PAGE);
    let spec = |tokens| DecodingSpec {
        tokens,
        rows: 1,
        pages,
        page: PAGE,
        columns: pages,
        weights: DType::F32,
        caches: args.cache,
    };
    let program = |tokens| decoding_program_of(&config, &spec(tokens), &|p| types.ty(p));
    // First, so that a model over the memory limit is refused before it is made.
    let options = CompileOptions { pack_weights: true, ..CompileOptions::default() };
    let (of_prompt, of_answer) = (program(chunk)?, program(1)?);
    let mut prefill = engine.compile(&of_prompt, &options)?;
    let mut decode = engine.compile(&of_answer, &options)?;
    let mut state = Buffers::new();
    match stored {
        Some(weights) => upload(&*engine, with_types(weights, types.clone())?, &mut state)?,
        None => upload(&*engine, drawn_as(&config, &types), &mut state)?,
    }
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
        for at in (0..prompt).step_by(chunk) {
            let (seconds, last) = feed(prefill.as_mut(), at, chunk)?;
            prompt_seconds += seconds;
            logits = last;
        }
    }
    if let (Some(path), Some(logits)) = (&args.logits, logits) {
        let text = serde_json::json!({ "logits": logits.to_f64() }).to_string();
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let steps = (0..args.tokens).map(|i| Ok(feed(decode.as_mut(), prompt + i, 1)?.0));
    let steps = steps.collect::<anyhow::Result<Vec<f64>>>()?;
    decode.start_profile();
    let again = (prompt..prompt + args.tokens).rev().take(PROFILED);
    let profiled = again.len();
    for at in again {
        feed(decode.as_mut(), at, 1)?;
    }
    let profile = decode.take_profile();
    let attention_share = attention_share(&profile);
    let cache: usize = cache_types(&config, &spec(1)).iter().map(|(_, ty)| ty.size_bytes()).sum();
    let (read, base) = products_read(&of_answer);
    let attended = (prompt + args.tokens / 2) as f64 / (pages * PAGE) as f64;
    let report = Report {
        engine: engine.facts().name,
        model: match &args.model {
            Some(path) => path.display().to_string(),
            None => format!("{:?}", args.size),
        },
        weights: types.to_string(),
        base_type: base.map_or("none".to_owned(), |dtype| dtype.to_string()),
        cache: args.cache.to_string(),
        prompt_tokens: prompt,
        prompt_tokens_per_second: prompt as f64 / prompt_seconds,
        answer_tokens: args.tokens,
        answer_tokens_per_second: 1.0 / median(&steps),
        attention_share,
        weight_bytes: parameters(&config).iter().map(|p| types.ty(p).size_bytes()).sum(),
        cache_bytes: cache,
        arena_bytes: [prefill.memory(), decode.memory()]
            .map(|plan| plan.arena_bytes + plan.scratch_bytes)
            .into_iter()
            .fold(0, usize::max),
        answer_bytes_per_token: read as f64 + attended * cache as f64,
        prompt_operations_per_token: product_operations(&of_prompt) as f64 / chunk as f64,
        peak_rss_bytes: peak_rss_bytes(),
        ops: match args.by_op {
            true => profile.into_iter().map(|op| share(op, profiled)).collect(),
            false => Vec::new(),
        },
    };
    bar.finish("done");
    terminal.result(&report, || report.text())
}

impl Report {
    fn text(&self) -> String {
        let mut text = format!(
            "{} weights ({} MiB) on {}: prompt {:.0} tokens/s, answer {:.1} tokens/s\n\
             attention over {} tokens in {}: {:.1} % of a token of the answer",
            self.weights,
            self.weight_bytes >> 20,
            self.engine,
            self.prompt_tokens_per_second,
            self.answer_tokens_per_second,
            self.prompt_tokens + self.answer_tokens,
            self.cache,
            100.0 * self.attention_share
        );
        for Share { op, steps, microseconds_per_token } in &self.ops {
            text += &format!("\n{op:<28} {steps:>4} {microseconds_per_token:>9.1} µs a token");
        }
        text
    }
}

fn share(op: OpProfile, tokens: usize) -> Share {
    let microseconds_per_token = op.seconds * 1e6 / tokens as f64;
    Share { op: op.op, steps: op.steps, microseconds_per_token }
}

/// The share of attention over caches in the time of a profile; 0 of an engine that has none.
fn attention_share(profile: &[OpProfile]) -> f64 {
    let seconds = |of: &dyn Fn(&OpProfile) -> bool| -> f64 {
        profile.iter().filter(|op| of(op)).map(|op| op.seconds).sum()
    };
    let (all, attention) = (seconds(&|_| true), seconds(&|op| op.op == "cached_attention"));
    if all > 0.0 { attention / all } else { 0.0 }
}

/// Bytes of the matrices that rows are multiplied with, and the type that most of them have.
fn products_read(program: &Program) -> (usize, Option<DType>) {
    let products = program.nodes().iter().filter(|node| matches!(node.op, Op::MatMul { .. }));
    let mut bytes: BTreeMap<DType, usize> = BTreeMap::new();
    for node in products {
        let weights = program.ty(node.inputs[1]);
        *bytes.entry(weights.dtype).or_default() += weights.size_bytes();
    }
    let most = bytes.iter().max_by_key(|(_, bytes)| **bytes).map(|(dtype, _)| *dtype);
    (bytes.values().sum(), most)
}

fn product_operations(program: &Program) -> u64 {
    let products = program.nodes().iter().filter(|node| matches!(node.op, Op::MatMul { .. }));
    products.map(|node| node_cost(program, node).flops).sum()
}

/// Random weights in their types, one after another.
fn drawn_as(
    config: &LanguageConfig,
    types: &StoredTypes,
) -> impl Iterator<Item = (String, Tensor)> {
    parameters(config).into_iter().map(|p| {
        let tensor = drawn(&p).converted(types.ty(&p).dtype);
        (p.name, tensor.expect("rows of these sizes are whole blocks"))
    })
}

/// What is written of a model with random weights.
#[derive(Serialize)]
struct Saved {
    saved: String,
    weights: String,
    bytes: u64,
}

/// Writes the model with random weights as GGUF.
fn save(args: &BenchDecodeArgs, path: &Path, terminal: &Terminal) -> anyhow::Result<()> {
    let types = match args.weights {
        Some(Kept::As(types)) => types,
        None | Some(Kept::AsStored) => DRAWN,
    };
    let config = llama(args.size);
    let weights: Weights =
        parameters(&config).into_iter().map(|p| (p.name.clone(), drawn(&p))).collect();
    let mut keys = Metadata::new(path);
    // What llama.cpp takes for a file without a tokenizer.
    keys.set("tokenizer.ggml.model", "no_vocab");
    let written = export_gguf(path, &config, &weights, types, &keys)?;
    let saved = Saved {
        saved: path.display().to_string(),
        weights: StoredTypes::mixture(&config, types).to_string(),
        bytes: written.bytes,
    };
    terminal.result(&saved, || {
        format!("{}: {} weights, {} MiB", saved.saved, saved.weights, saved.bytes >> 20)
    })
}

/// The workload's size as a Llama: SwiGLU of 8/3 the width, which makes the same matrices.
fn llama(size: Workload) -> LanguageConfig {
    let config = size.config();
    LanguageConfig {
        mlp: Mlp::swiglu(config.hidden * 8 / 3),
        norm_weights: true,
        max_time: 8192,
        ..config
    }
}
