//! What can go wrong while training, with what to do about it.

use std::path::{Path, PathBuf};

use stoa_graph::EngineError;
use stoa_models::ModelError;
use stoa_tokens::TokensError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// A file cannot be read or written.
    #[error("{action} {path}: {source}")]
    File {
        /// What was being done, as a verb: "reading", "writing".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The run's file is not TOML, or has unknown keys or values.
    #[error("{path}: {message}")]
    RunFile {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the line.
        message: String,
    },
    /// A setting makes no sense.
    #[error("`{field}` = {value}: {expected}")]
    Setting {
        /// Path of the setting in the run's file.
        field: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// There is nothing to learn from or to evaluate on.
    #[error("{0} holds no tokens to learn; give more text")]
    NoData(&'static str),
    /// A special token that training needs is not in the tokenizer.
    #[error("the tokenizer has no token {0:?}; train it here, or add the token to its file")]
    NoSpecialToken(&'static str),
    /// A checkpoint is not whole or not what its manifest says.
    #[error("checkpoint file {path}: {problem}; resume from an older checkpoint")]
    CorruptCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No checkpoint can be resumed from.
    #[error(
        "{directory}: no {stage} checkpoint can be used{}; {}",
        listed(.rejected),
        if .rejected.is_empty() {
            "train that stage first"
        } else {
            "remove the damaged ones to start the stage again"
        }
    )]
    NoCheckpoint {
        /// Where checkpoints were looked for.
        directory: PathBuf,
        /// The stage.
        stage: String,
        /// Checkpoints that were found and are not usable, with the reason.
        rejected: Vec<String>,
    },
    /// A run is already in the directory.
    #[error(
        "{directory} already holds a checkpoint of step {step}; \
         resume it, or choose another directory"
    )]
    Occupied {
        /// The run's directory.
        directory: PathBuf,
        /// Newest step there.
        step: u64,
    },
    /// The run about to be resumed is not the run that was saved.
    #[error(
        "checkpoint {path} was made with another {what}: {saved}, now {now}; \
         {}",
        other_run_remedy(what)
    )]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs: "seed", "data", ….
        what: &'static str,
        /// As saved.
        saved: String,
        /// As it is now.
        now: String,
    },
    /// Another process trains in this directory.
    #[error("{0} is in use by another training run; wait for it or choose another directory")]
    InUse(PathBuf),
    /// The marks of a shard of dialogues are not those of its tokens.
    #[error(
        "{tokens} and {learned} are not of the same dialogues; write both again with \
         `stoa tokens shards`"
    )]
    Unpaired {
        /// The tokens.
        tokens: PathBuf,
        /// The marks.
        learned: PathBuf,
    },
    /// Training has diverged.
    #[error(
        "step {step}: {skipped} steps in a row had a loss or gradient that is not finite; lower \
         learning_rate_scale in the run file, then run again with --resume --changed-settings"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// Steps one after the other.
        skipped: u64,
    },
    /// The model, its weights or programs.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Tokens or their shards.
    #[error(transparent)]
    Tokens(#[from] TokensError),
}

fn listed(rejected: &[String]) -> String {
    rejected.iter().map(|r| format!("\n  {r}")).collect()
}

fn other_run_remedy(what: &str) -> &'static str {
    match what {
        "configuration" => {
            "put it back, start a new run, or resume this one with --changed-settings"
        }
        _ => "put it back or start a new run",
    }
}

impl From<stoa_durable::FileError> for TrainingError {
    fn from(error: stoa_durable::FileError) -> Self {
        TrainingError::File { action: error.action, path: error.path, source: error.source }
    }
}

/// Wraps an I/O error with the action and the path, for `map_err`.
pub(crate) fn io(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> TrainingError {
    let path = path.to_owned();
    move |source| TrainingError::File { action, path, source }
}

/// An error about a setting, unless it holds.
pub(crate) fn check(
    field: impl Into<String>,
    value: impl std::fmt::Display,
    holds: bool,
    expected: impl Into<String>,
) -> Result<(), TrainingError> {
    if holds {
        return Ok(());
    }
    let (field, value, expected) = (field.into(), value.to_string(), expected.into());
    Err(TrainingError::Setting { field, value, expected })
}
