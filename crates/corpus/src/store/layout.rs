//! Where the files of a store are.

use crate::error::CorpusError;
use std::fs;
use std::path::{Path, PathBuf};
use stoa_durable::UNFINISHED;
use stoa_posts::Durability;

/// The directory of an ingest.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    durability: Durability,
}

impl Store {
    /// The store in `root`, which need not be there yet.
    pub fn new(root: &Path) -> Store {
        Store::with_durability(root, Durability::default())
    }

    /// As [`Store::new`], with files that are synced or not.
    pub fn with_durability(root: &Path, durability: Durability) -> Store {
        Store { root: root.to_path_buf(), durability }
    }

    /// Whether files are synced as they are written.
    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Everything that determines the result, counts and checksums. Written last.
    pub fn manifest(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    /// The key of author hashes.
    pub fn author_key(&self) -> PathBuf {
        self.root.join("author.key")
    }

    /// Posts of a shard.
    pub fn posts(&self, shard: &str) -> PathBuf {
        self.root.join("posts").join(format!("{shard}.parquet"))
    }

    /// Verdicts of a rule on a shard, row by row as in its posts.
    pub fn attribute(&self, rule: &str, shard: &str) -> PathBuf {
        self.root.join("attrs").join(rule).join(format!("{shard}.parquet"))
    }

    /// Documents of a bucket of threads.
    pub fn documents(&self, bucket: usize) -> PathBuf {
        self.root.join("documents").join(format!("{bucket:02}.jsonl"))
    }

    /// Dialogues of a bucket of threads.
    pub fn dialogues(&self, bucket: usize) -> PathBuf {
        self.root.join("dialogues").join(format!("{bucket:02}.jsonl"))
    }

    /// Records that were no posts.
    pub fn rejects(&self) -> PathBuf {
        self.root.join("rejects.jsonl")
    }

    /// Work in progress; gone when the manifest is there.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// The names of the shards of posts, in order.
    ///
    /// # Errors
    /// No such folder, or one that cannot be read.
    pub fn shards(&self) -> Result<Vec<String>, CorpusError> {
        names(&self.root.join("posts"), ".parquet")
    }

    /// The names of the rules with attributes, in order.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn rules(&self) -> Result<Vec<String>, CorpusError> {
        let folder = self.root.join("attrs");
        if folder.exists() { names(&folder, "") } else { Ok(Vec::new()) }
    }
}

/// Names in a folder without an ending that all must have, in order.
fn names(folder: &Path, ending: &str) -> Result<Vec<String>, CorpusError> {
    let io = |cause| CorpusError::Io { path: folder.to_path_buf(), cause };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        let stem = name.strip_suffix(ending).filter(|stem| !stem.starts_with(UNFINISHED));
        if let Some(stem) = stem {
            names.push(stem.to_string());
        }
    }
    names.sort();
    Ok(names)
}
