//! Trains a small model on a text file with several seeds and writes, for each, everything that a
//! PyTorch program needs to do the same: first weights, tokens, where each sequence of each step
//! starts, rates; and our losses.
//!
//! ```text
//! cargo run --release -p stoa-training --example shakespeare -- OUT input.txt [SEEDS] [STEPS]
//! cargo xtask oracle shakespeare OUT/seed-*
//! ```
//!
//! The text is one document cut into rows, so that rows are plain stretches of tokens.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::json;
use stoa_models::{AdamWConfig, Clipping, MatrixOptimizer, initialize, save_model};
use stoa_native::{NativeEngine, NativeOptions};
use stoa_tokens::{END_OF_TEXT, Tokenizer, TrainOptions};
use stoa_training::*;

const RUN: &str = "
[model]
depth = 4
[pretrain]
rows = 16
time = 128
evaluate_every = 0
checkpoint_every = 0
";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("give {what}"));
    let (out, input) = (PathBuf::from(next("a directory to write to")?), next("a text file")?);
    let seeds: u64 = next("").map_or(Ok(2), |s| s.parse())?;
    let steps: u64 = next("").map_or(Ok(500), |s| s.parse())?;

    let text = fs::read_to_string(input)?;
    let options = TrainOptions { vocab_size: 1024, ..TrainOptions::default() };
    let tokenizer = Tokenizer::train([&text], &options, |_| ControlFlow::Continue(()))?;
    let mut file = RunFile::parse(RUN, Path::new("built-in run"))?;
    file.stages[0].length = Some(Length::Steps(steps));
    let run = file.resolve(tokenizer.vocab_size())?;
    let time = run.stages[0].settings.time;
    let mut tokens = tokenizer.encode(&text);
    // Pairs are one more than tokens: whole rows only, so that no row is padded.
    tokens.truncate((tokens.len() + 1) / time * time - 1);
    let end = tokenizer.special(END_OF_TEXT).ok_or("no end-of-text token")?;
    let around = [&[end], &tokens[..], &[end]].concat();
    let documents = Documents::new(vec![tokens], &tokenizer)?;
    let engine = NativeEngine::new(NativeOptions::default())?;
    let placement = stoa_graph::Placement::default();

    for seed in 1..=seeds {
        let directory = out.join(format!("seed-{seed}"));
        // Everything in it is rewritten below.
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let weights = initialize(&run.model, seed);
        save_model(&directory, &run.model, &weights)?;
        let stored: Vec<u8> = around.iter().flat_map(|t| (t.0 as u16).to_le_bytes()).collect();
        fs::write(directory.join("tokens.bin"), stored)?;
        let source = Source::new(&documents, time, seed, "training text")?;
        let order = DataOrder::single(source);
        let starts: Vec<u8> = (0..steps)
            .flat_map(|step| order.pieces(step, run.stages[0].settings.rows))
            .flat_map(|row| (row[0].start as u32).to_le_bytes())
            .collect();
        fs::write(directory.join("batches.bin"), starts)?;
        fs::write(directory.join("run.json"), recipe(&run, steps).to_string())?;

        let mut losses = Losses::default();
        let start = || Ok(Start { weights: weights.clone(), first_step: 0 });
        let objective = LanguageObjective {
            name: PRETRAIN,
            stage: &run.stages[0].settings,
            seed,
            model: &run.model,
            examples: &documents,
            mixed: None,
            held_out: None,
            token_bytes: &[],
            attachments: &[],
            start: &start,
        };
        let setup = Setup {
            engine: &engine,
            placement: &placement,
            directory: &directory.join("run"),
            objective: &objective,
            stage: &run.stages[0].settings,
            changed_settings: false,
        };
        let clock = SinceStart(Instant::now());
        let outcome = Trainer::start(setup)?.run(&AtomicBool::new(false), &clock, &mut losses)?;
        fs::write(directory.join("losses.json"), json!({ "loss": losses.0 }).to_string())?;
        let last = &losses.0[losses.0.len().saturating_sub(100)..];
        println!(
            "seed {seed}: {} steps, mean loss of the last {}: {:.4}, {:.0} tokens/s",
            outcome.step,
            last.len(),
            last.iter().sum::<f32>() / last.len() as f32,
            outcome.tokens_per_second
        );
    }
    Ok(())
}

/// A clock that starts with the run; the date is not used.
struct SinceStart(Instant);

impl Clock for SinceStart {
    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    fn unix_seconds(&self) -> f64 {
        0.0
    }
}

#[derive(Default)]
struct Losses(Vec<f32>);

impl Progress for Losses {
    fn step(&mut self, metrics: &StepMetrics) {
        self.0.push(metrics.loss.unwrap_or(f32::NAN));
        if metrics.step.is_multiple_of(50) {
            eprintln!("step {} loss {:.4}", metrics.step, metrics.loss.unwrap_or(f32::NAN));
        }
    }
}

/// `run.json` of xtask/oracle/train/shakespeare_torch.py.
fn recipe(run: &Run, steps: u64) -> serde_json::Value {
    let stage = &run.stages[0].settings;
    let adamw = |pattern: &str, a: AdamWConfig| {
        json!({
            "pattern": pattern, "kind": "adamw", "lr": a.lr, "beta1": a.beta1, "beta2": a.beta2,
            "eps": a.eps, "weight_decay": a.weight_decay,
        })
    };
    let matrices = match stage.groups.matrices {
        MatrixOptimizer::AdamW(config) => adamw("", config),
        MatrixOptimizer::Muon { lr, weight_decay, iterations } => json!({
            "pattern": "", "kind": "muon", "lr": lr, "weight_decay": weight_decay,
            "iterations": iterations,
        }),
    };
    json!({
        "token_bytes": 2,
        "steps": steps,
        "batch": stage.rows,
        "time": stage.time,
        "lr": (0..steps).map(|s| stage.schedule.lr_factor(s, steps)).collect::<Vec<_>>(),
        "momentum": (0..steps).map(|s| stage.schedule.momentum(s, steps)).collect::<Vec<_>>(),
        "max_norm": stage.groups.clipping.map(|Clipping { max_norm }| max_norm),
        "evaluate_every": steps,
        "groups": [
            adamw("embed_tokens", stage.groups.embedding),
            adamw("lm_head", stage.groups.head),
            adamw("norm", stage.groups.norm),
            matrices,
        ],
    })
}
