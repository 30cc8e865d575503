//! Errors of this room.

use std::path::{Path, PathBuf};

use stoa_assistant::AssistantError;
use stoa_corpus::CorpusError;
use stoa_dialogue::DialogueError;
use stoa_durable::FileError;
use stoa_graph::{DType, EngineError};
use stoa_models::ModelError;
use stoa_shelf::ShelfError;
use stoa_square::SquareError;
use stoa_tokens::TokensError;
use stoa_training::TrainingError;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// A file or directory cannot be read or written.
    #[error("{action} {}: {source}", path.display())]
    File {
        /// What was done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Not a store.
    #[error(
        "{} holds no documents/; give the directory that `stoa posts ingest --out` wrote",
        .0.display()
    )]
    NoStore(PathBuf),
    /// A line of a store or of a run's text is not what was written.
    #[error("{} line {line}: {problem}; run the ingest again", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The directory holds shards of something else.
    #[error(
        "{} holds shards of {what}; give another --out or remove it",
        directory.display()
    )]
    OtherShards {
        /// The directory.
        directory: PathBuf,
        /// What differs: "another tokenizer", "another chat template".
        what: &'static str,
    },
    /// A file of a run is not what was written there.
    #[error("{} is damaged; remove it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The directory holds a run of something else.
    #[error(
        "{} holds a run of other text or another seed; give another --dir or remove it",
        .0.display()
    )]
    OtherText(PathBuf),
    /// A run file without a tokenizer.
    #[error("the run file names no data.tokenizer")]
    NoTokenizer,
    /// A stage that a run does not have.
    #[error("the run has no stage {name}; it has {known}")]
    NoStage {
        /// The name asked for.
        name: String,
        /// Names of its stages.
        known: String,
    },
    /// A model that is larger than memory.
    #[error(
        "the weights of {layers} layers of width {hidden} and their optimizer need {:.1} GiB of \
         memory, the limit is {:.3} GiB; choose a smaller depth, or raise --memory-limit",
        gib(*needed),
        gib(*limit)
    )]
    TooLarge {
        /// Layers.
        layers: usize,
        /// Width.
        hidden: usize,
        /// Bytes needed.
        needed: f64,
        /// Bytes there are.
        limit: f64,
    },
    /// A directory without a model.
    #[error("{} is not a trained run: {}", run.display(), why_untrained(damaged))]
    NotTrained {
        /// The directory.
        run: PathBuf,
        /// Checkpoints that are damaged, with the reason.
        damaged: Vec<String>,
    },
    /// A model that cannot be loaded.
    #[error("cannot load the model {}", path.display())]
    Model {
        /// Its directory or file.
        path: PathBuf,
        /// Why.
        source: Box<AssistantError>,
    },
    /// A model whose licence is not stated.
    #[error(
        "the files of {} state no licence, so that what may be done with it is not known; find out, then \
         give --accept-unknown-licence", .0.display()
    )]
    UnknownLicence(PathBuf),
    /// Something is where a model is to be written.
    #[error("{} exists already; give another --out", .0.display())]
    Exists(PathBuf),
    /// A type that safetensors files do not have.
    #[error("safetensors have no type {0}; choose f32, f16 or bf16")]
    NoFloat(DType),
    /// A tensor that does not read back as it was written.
    #[error("{}: tensor `{name}` does not read back as it was written; check the disk", directory.display())]
    Unlike {
        /// Where it was written.
        directory: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A written model that does not do what its source does.
    #[error("{} is not what it was written from: {what}; it is removed", path.display())]
    Otherwise {
        /// What was written.
        path: PathBuf,
        /// What differs, and what can be done.
        what: String,
    },
    /// What a path holds instead of a model.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Posts or their store.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The sample square.
    #[error(transparent)]
    Square(#[from] SquareError),
    /// A tokenizer or a shard.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A dialogue or its template.
    #[error(transparent)]
    Dialogue(#[from] DialogueError),
    /// Training.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// A model or its weights.
    #[error(transparent)]
    Weights(#[from] ModelError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An assistant.
    #[error(transparent)]
    Assistant(#[from] AssistantError),
}

fn gib(bytes: f64) -> f64 {
    bytes / f64::from(1_u32 << 30)
}

fn why_untrained(damaged: &[String]) -> String {
    if damaged.is_empty() {
        "it holds no checkpoint; train one with `stoa up --dir …`".to_owned()
    } else {
        format!("its checkpoints are damaged: {}", damaged.join("; "))
    }
}

impl From<FileError> for RunsError {
    fn from(error: FileError) -> Self {
        RunsError::File { action: error.action, path: error.path, source: error.source }
    }
}

/// For `map_err`: the error of an action on a path.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RunsError {
    let path = path.to_owned();
    move |source| RunsError::File { action, path, source }
}
