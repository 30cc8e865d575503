//! Where the files of a run are.

use std::path::{Path, PathBuf};

/// The directory of a run.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// Where it is.
    pub directory: PathBuf,
}

impl RunFiles {
    /// The files of the run in `directory`.
    pub fn new(directory: &Path) -> Self {
        RunFiles { directory: directory.to_owned() }
    }

    /// Everything that determines the result, resolved.
    pub fn run(&self) -> PathBuf {
        self.directory.join("run.toml")
    }

    /// Where the text came from. Written when the text is whole.
    pub fn source(&self) -> PathBuf {
        self.directory.join("corpus/source.json")
    }

    /// The store that posts were ingested into.
    pub fn store(&self) -> PathBuf {
        self.directory.join("corpus/store")
    }

    /// Documents of a square, of both sides.
    pub fn documents(&self) -> PathBuf {
        self.directory.join("corpus/documents.jsonl")
    }

    /// Dialogues of a square.
    pub fn dialogues(&self) -> PathBuf {
        self.directory.join("corpus/dialogues.jsonl")
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> PathBuf {
        self.directory.join("tokenizer.json")
    }

    /// The token shards.
    pub fn tokens(&self) -> PathBuf {
        self.directory.join("tokens")
    }

    /// Tokens of the training documents.
    pub fn train_tokens(&self) -> PathBuf {
        self.directory.join("tokens/train.tokens")
    }

    /// Tokens of the held-out documents.
    pub fn held_out_tokens(&self) -> PathBuf {
        self.directory.join("tokens/held_out.tokens")
    }

    /// Tokens of the dialogues; which of them are learned stands in the `.learned` of the same name.
    pub fn dialogue_tokens(&self) -> PathBuf {
        self.directory.join("tokens/dialogues.tokens")
    }

    /// The last examination.
    pub fn exam(&self) -> PathBuf {
        self.directory.join("exam.json")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.directory.join("report.html")
    }
}
