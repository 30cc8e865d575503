//! Errors of this room.

use std::path::{Path, PathBuf};

use crate::foreign::Foreign;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
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
    /// There is nothing at a path.
    #[error(
        "there is no {}; give a GGUF file, a model directory, or a run (`stoa up --dir …` makes one)",
        .0.display()
    )]
    Nothing(PathBuf),
    /// A file that is not read as a model.
    #[error("{} is {}; {}", path.display(), foreign.what, foreign.remedy)]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        foreign: &'static Foreign,
    },
    /// A file of a model that is not what its name says.
    #[error("{}: {problem}; {remedy}", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A directory that does not say which of several models is meant.
    #[error("{} holds {what}: {}; give one of them", directory.display(), names.join(", "))]
    Several {
        /// The directory.
        directory: PathBuf,
        /// What it holds several of.
        what: &'static str,
        /// Their names.
        names: Vec<String>,
    },
    /// A directory in which parts of a model are missing.
    #[error("{} holds {there}, but {missing}; {remedy}", directory.display())]
    Incomplete {
        /// The directory.
        directory: PathBuf,
        /// What is there.
        there: String,
        /// What is not.
        missing: String,
        /// What to do.
        remedy: String,
    },
}

/// For `map_err`: the error of an action on a path.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ShelfError {
    let path = path.to_owned();
    move |source| ShelfError::File { action, path, source }
}
