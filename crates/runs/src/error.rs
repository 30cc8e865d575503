//! Errors of this room.

use std::path::{Path, PathBuf};

use stoa_dialogue::DialogueError;
use stoa_durable::FileError;
use stoa_tokens::TokensError;

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
    /// A line of a store is not what an ingest writes.
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
    /// A share that does not exist.
    #[error("shard {index} of {of}: write I/N from 1/N to N/N")]
    NoSuchShare {
        /// Index, from 1.
        index: usize,
        /// Shares in all.
        of: usize,
    },
    /// A shard.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A dialogue or its template.
    #[error(transparent)]
    Dialogue(#[from] DialogueError),
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
