//! Errors of this room.

use std::path::{Path, PathBuf};

use stoa_durable::FileError;
use stoa_remote::RemoteError;

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
    /// No name for a model.
    #[error(
        "`{0}` is no name for a model; take letters, digits, `.`, `_` and `-`, or two such words with a \
         `/` between"
    )]
    Name(String),
    /// A name that stands for another model.
    #[error("there is a model {name} already, from {origin}; give another --name or remove it")]
    Taken {
        /// The name.
        name: String,
        /// Where the other one came from.
        origin: String,
    },
    /// Neither a path nor a name.
    #[error(
        "there is neither a path nor a model {}; models here: {}; `stoa models get hf:ORG/NAME` fetches \
         one", model.display(), names.join(", ")
    )]
    NoSuchModel {
        /// What was asked for.
        model: PathBuf,
        /// Names there are.
        names: Vec<String>,
    },
    /// A record that is not what was written.
    #[error("{} is damaged ({problem}); remove its folder and get the model again", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No room on the disk.
    #[error(
        "{} MB are needed in {}, and {} MB are free there; make room, or choose another directory \
         (--out, or STOA_MODELS of models by name)", needed / 1_000_000, directory.display(), free / 1_000_000
    )]
    NoSpace {
        /// Where.
        directory: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// No name of a model on the hub.
    #[error(
        "`{0}` is no name of the hub; write hf:ORG/NAME, hf:ORG/NAME:FILE or hf:ORG/NAME@REVISION"
    )]
    HubName(String),
    /// The hub refuses, or answers with something else.
    #[error("{address}: {problem}; {remedy}")]
    HubAnswer {
        /// What was asked for.
        address: String,
        /// What came.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file that is not there, or not the only one of its kind.
    #[error("{}", no_file(repository, file, files))]
    NoFile {
        /// The model on the hub.
        repository: String,
        /// What was asked for; empty for the whole model.
        file: String,
        /// What there is instead.
        files: Vec<String>,
    },
    /// A pickle.
    #[error(
        "{0} is a PyTorch pickle, which may run code when it is opened, and is not fetched; get a model \
         with safetensors or GGUF files"
    )]
    Pickle(String),
    /// A name that would lead out of the model's folder, or that another file gets.
    #[error(
        "the hub names a file `{0}`, which leads out of the model's folder or takes the name of another; nothing was fetched"
    )]
    UnsafeName(String),
    /// The network.
    #[error(transparent)]
    Remote(RemoteError),
    /// Writing.
    #[error(transparent)]
    Durable(#[from] FileError),
    /// A directory in which parts of a model are missing.
    #[error("{} holds {there}, but {missing}; {remedy}", directory.display())]
    Incomplete {
        /// The directory.
        directory: PathBuf,
        /// What the directory holds.
        there: String,
        /// What it lacks.
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

fn no_file(repository: &str, file: &str, files: &[String]) -> String {
    let what = match (file, files) {
        ("", []) => "no weights in safetensors or GGUF".to_owned(),
        ("", _) => "no safetensors, but GGUF files".to_owned(),
        (file, []) => format!("no file `{file}`"),
        (file, _) => format!("no file `{file}`, or several that are named so"),
    };
    match files {
        [] => format!("{repository} has {what}; choose another model"),
        files => format!(
            "{repository} has {what}: {}; name one: hf:{repository}:{}",
            files.join(", "),
            files[0]
        ),
    }
}
