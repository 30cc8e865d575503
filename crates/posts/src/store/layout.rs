//! Where the files of a store are, and how a file appears whole.

use crate::error::PostsError;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The directory of an ingest.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in `root`, which need not be there yet.
    pub fn new(root: &Path) -> Store {
        Store { root: root.to_path_buf() }
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
    pub fn shards(&self) -> Result<Vec<String>, PostsError> {
        names(&self.root.join("posts"), ".parquet")
    }

    /// The names of the rules with attributes, in order.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn rules(&self) -> Result<Vec<String>, PostsError> {
        let folder = self.root.join("attrs");
        if folder.exists() { names(&folder, "") } else { Ok(Vec::new()) }
    }
}

/// Names in a folder without an ending that all must have, in order.
fn names(folder: &Path, ending: &str) -> Result<Vec<String>, PostsError> {
    let io = |cause| PostsError::Io { path: folder.to_path_buf(), cause };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(ending) {
            names.push(stem.to_string());
        }
    }
    names.sort();
    Ok(names)
}

/// Writes a file, whole or not at all. A writer killed on the way leaves `NAME.partial`, which the
/// next one overwrites.
///
/// # Errors
/// With the path: no permission, disk full.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PostsError> {
    write_whole_with(path, |file| {
        file.write_all(bytes).map_err(|cause| PostsError::Io { path: path.to_path_buf(), cause })
    })
}

/// As [`write_whole`], for what is not in memory: `write` puts it into the file.
pub(crate) fn write_whole_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), PostsError>,
) -> Result<(), PostsError> {
    let io = |cause| PostsError::Io { path: path.to_path_buf(), cause };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let mut file = File::create(&partial).map_err(io)?;
    write(&mut file)?;
    file.sync_all().map_err(io)?;
    fs::rename(&partial, path).map_err(io)
}
