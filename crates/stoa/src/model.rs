//! Trained models by their run: which checkpoint, and an assistant made of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use stoa_assistant::{
    Assistant, AssistantOptions, AssistantParts, Clock, Overflow, PAGE_TOKENS, SchedulerOptions,
    default_end_tokens,
};
use stoa_dialogue::ChatTemplate;
use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{LanguageConfig, Weights, upload};
use stoa_tokens::Tokenizer;
use stoa_training::{Checkpoints, verify_checkpoint};

use crate::terminal::Terminal;

/// The model directory that `run` stands for: itself when it holds weights, else its newest whole
/// checkpoint. Newer ones that are damaged are named.
///
/// # Errors
/// When there is none.
pub fn directory(run: &Path, terminal: &Terminal) -> anyhow::Result<PathBuf> {
    if run.join("config.json").exists() {
        // Models from elsewhere have no manifest to be compared with.
        if run.join("manifest.json").exists() {
            verify_checkpoint(run)?;
        }
        return Ok(run.to_owned());
    }
    let checkpoints = Checkpoints::of_run(run);
    let mut damaged = Vec::new();
    for step in checkpoints.steps()?.into_iter().rev() {
        let path = checkpoints.path(step);
        match verify_checkpoint(&path) {
            Ok(()) => {
                for error in damaged {
                    terminal.note(format!("warning: {error}; using {}", path.display()));
                }
                return Ok(path);
            }
            Err(error) => damaged.push(error.to_string()),
        }
    }
    let why = if damaged.is_empty() {
        "it holds no checkpoint; train one with `stoa up --dir …`".to_owned()
    } else {
        format!("its checkpoints are damaged: {}", damaged.join("; "))
    };
    anyhow::bail!("{} is not a trained run: {why}", run.display())
}

/// An assistant for one person.
///
/// # Errors
/// Model files that cannot be used.
pub fn assistant(
    run: &Path,
    engine: Arc<dyn Engine>,
    terminal: &Terminal,
) -> anyhow::Result<Assistant> {
    let directory = directory(run, terminal)?;
    let read = || format!("cannot load the model in {}", directory.display());
    let parts = AssistantParts::read(&directory, None, engine, DType::F32).with_context(read)?;
    let options =
        AssistantOptions { overflow: Overflow::DropOldest, ..AssistantOptions::default() };
    Ok(Assistant::new(parts, options)?.with_clock(clock()))
}

/// An assistant that answers many short questions at once.
///
/// # Errors
/// Weights that do not fit, memory.
pub fn examinee(
    engine: Arc<dyn Engine>,
    config: &LanguageConfig,
    weights: Weights,
    tokenizer: Tokenizer,
    template: ChatTemplate,
) -> anyhow::Result<Assistant> {
    let mut state = Buffers::new();
    upload(engine.as_ref(), weights, &mut state)?;
    let end_tokens = default_end_tokens(&tokenizer);
    let config = config.clone();
    let parts = AssistantParts { engine, config, state, tokenizer, template, end_tokens };
    let context = 256.min(parts.config.max_time);
    let scheduler = SchedulerOptions {
        pages: Some(32 * context.div_ceil(PAGE_TOKENS)),
        context: Some(context),
        ..SchedulerOptions::default()
    };
    let options = AssistantOptions { scheduler, ..AssistantOptions::default() };
    Ok(Assistant::new(parts, options)?)
}

/// A clock for the timings of answers.
fn clock() -> Clock {
    let start = Instant::now();
    Box::new(move || start.elapsed())
}
