//! Trained models by their run: which checkpoint, and an assistant made of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stoa_assistant::{
    Assistant, AssistantOptions, AssistantParts, Overflow, PAGE_TOKENS, SchedulerOptions,
    default_end_tokens,
};
use stoa_dialogue::ChatTemplate;
use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{LanguageConfig, Weights, upload};
use stoa_tokens::Tokenizer;
use stoa_training::{Checkpoints, Contents, verify_checkpoint};

use crate::{Progress, RunsError};

/// The model directory that `run` stands for: itself when it holds weights, else its newest whole
/// checkpoint. What a model is made of is compared with the manifest, moments are not read. Newer
/// checkpoints that are damaged are named.
///
/// # Errors
/// [`RunsError::NotTrained`].
pub fn model_directory(run: &Path, progress: &dyn Progress) -> Result<PathBuf, RunsError> {
    if run.join("config.json").exists() {
        // Models from elsewhere have no manifest to be compared with.
        if run.join("manifest.json").exists() {
            verify_checkpoint(run, Contents::Weights)?;
        }
        return Ok(run.to_owned());
    }
    let checkpoints = Checkpoints::of_run(run);
    let mut damaged = Vec::new();
    for step in checkpoints.steps()?.into_iter().rev() {
        let path = checkpoints.path(step);
        match verify_checkpoint(&path, Contents::Weights) {
            Ok(()) => {
                for error in damaged {
                    progress.note(&format!("warning: {error}; using {}", path.display()));
                }
                return Ok(path);
            }
            Err(error) => damaged.push(error.to_string()),
        }
    }
    Err(RunsError::NotTrained { run: run.to_owned(), damaged })
}

/// An assistant for one person, without a clock.
///
/// # Errors
/// Model files that cannot be used.
pub fn assistant(
    run: &Path,
    engine: Arc<dyn Engine>,
    progress: &dyn Progress,
) -> Result<Assistant, RunsError> {
    let directory = model_directory(run, progress)?;
    let parts = AssistantParts::read(&directory, None, engine, DType::F32)
        .map_err(|source| RunsError::Model { directory, source: Box::new(source) })?;
    let options =
        AssistantOptions { overflow: Overflow::DropOldest, ..AssistantOptions::default() };
    Ok(Assistant::new(parts, options)?)
}

/// An assistant that answers many short questions at once.
///
/// # Errors
/// Weights that do not fit, memory.
pub fn batch_assistant(
    engine: Arc<dyn Engine>,
    config: &LanguageConfig,
    weights: Weights,
    tokenizer: Tokenizer,
    template: ChatTemplate,
) -> Result<Assistant, RunsError> {
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
