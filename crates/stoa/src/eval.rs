//! `stoa eval …`: measures a trained run.

use std::path::Path;

use serde_json::json;
use stoa_graph::{Buffers, DType, Placement};
use stoa_models::{upload, with_matrix_dtype};
use stoa_runs::{RunFiles, model_directory};
use stoa_tokens::{TokenShard, Tokenizer};
use stoa_training::{Documents, Evaluator, Measure, token_bytes};

use crate::cli::{EvalCommand, MachineArgs};
use crate::terminal::Terminal;
use crate::{engine, exam};

/// Rows of held-out text read at once, and their length.
const ROWS: (usize, usize) = (16, 256);

/// Runs a command.
///
/// # Errors
/// A run that cannot be read.
pub fn run(
    command: &EvalCommand,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    match command {
        EvalCommand::Exam { run, seed, questions } => {
            exam::run(run, *seed, *questions, machine, terminal)
        }
        EvalCommand::Bpb { run } => bits_per_byte(run, machine, terminal),
    }
}

fn bits_per_byte(run: &Path, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let files = RunFiles::new(run);
    let engine = engine::open(machine)?;
    let directory = model_directory(run, terminal)?;
    let (config, weights) = stoa_models::load(&directory)?;
    let tokenizer = Tokenizer::open(&files.tokenizer())?;
    let shard = TokenShard::open_for(&files.held_out_tokens(), tokenizer.fingerprint())?;
    shard.verify()?;
    let documents = Documents::from_shards(vec![shard], &tokenizer)?;
    let bytes = token_bytes(&tokenizer);
    let rows = (ROWS.0, ROWS.1.min(config.max_time));
    let mut evaluator = Evaluator::new(
        (&*engine, &Placement::default()),
        &config,
        &documents,
        &bytes,
        rows,
        usize::MAX,
    )?;
    let mut state = Buffers::new();
    upload(&*engine, with_matrix_dtype(&config, weights, DType::F32)?, &mut state)?;
    let evaluation = evaluator.run(&mut state)?;
    let summary = json!({
        "bits_per_byte": evaluation.bits_per_byte(),
        "loss": evaluation.loss(),
        "tokens": evaluation.tokens,
        "bytes": evaluation.bytes,
        "model": directory,
    });
    terminal.result(&summary, || {
        format!(
            "{:.4} bits per byte on {} bytes of held-out text ({})",
            evaluation.score(),
            evaluation.bytes,
            directory.display()
        )
    })
}
