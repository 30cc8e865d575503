//! What a store says of itself: how it was made, counts in and out of every stage, checksums.
//!
//! It holds no time and no path of the store, so equal sources, options and key give equal bytes.

use super::Shard;
use super::attributes::{self, Mark};
use super::gathering::{Gathered, PII, VERDICT};
use super::judging::LANGUAGE;
use super::options::Plan;
use super::reading::SourceCounts;
use super::tasks::{self, Progress};
use crate::error::PostsError;
use crate::store::{Store, write_whole};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Posts into and out of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCounts {
    /// The gate or rule.
    pub stage: String,
    /// Posts it was asked about.
    #[serde(rename = "in")]
    pub asked: u64,
    /// Posts it kept.
    #[serde(rename = "out")]
    pub kept: u64,
    /// Posts it dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// The manifest of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The program that wrote it.
    pub code: String,
    plan: Plan,
    /// Nothing here is drawn: no stage has a seed.
    pub seeds: BTreeMap<String, u64>,
    /// Records looked at: each a post, a notice, an aside of a stream, or rejected.
    pub records: u64,
    /// Rows of posts.
    pub posts: u64,
    /// Notices of removal or of its reversal.
    pub notices: u64,
    /// What streams send beside posts.
    pub asides: u64,
    /// Records that were no posts.
    pub rejected: u64,
    /// Of them, how many for which reason.
    pub reject_reasons: BTreeMap<String, u64>,
    /// Posts that every rule kept.
    pub kept: u64,
    /// Counts of each stage, in order.
    pub stages: Vec<StageCounts>,
    /// What came of the threads.
    pub gathered: Option<Gathered>,
    /// Rows of each shard.
    pub shards: BTreeMap<String, u64>,
    /// SHA-256 of each file, by its path in the store.
    pub files: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the manifest of a store.
    ///
    /// # Errors
    /// It is not there, or not what was written.
    pub fn read(store: &Store) -> Result<Manifest, PostsError> {
        let path = store.manifest();
        let text = std::fs::read(&path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => {
                PostsError::NoStore { path: store.root().to_path_buf() }
            }
            _ => PostsError::Io { path: path.clone(), cause },
        })?;
        serde_json::from_slice(&text).map_err(|error| PostsError::WrongJson {
            path,
            line: error.line() as u64,
            byte_offset: 0,
            cause: error.to_string(),
        })
    }

    /// Writes the manifest of a store.
    pub(crate) fn write(&self, store: &Store) -> Result<(), PostsError> {
        let path = store.manifest();
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|cause| PostsError::Io { path: path.clone(), cause: cause.into() })?;
        text.push(b'\n');
        write_whole(&path, &text)
    }

    pub(super) fn is_of(&self, plan: &Plan) -> bool {
        self.plan == plan.clone().without_times()
    }

    /// Compares every file with its checksum; names those that differ.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn damaged(&self, store: &Store) -> Result<Vec<String>, PostsError> {
        let mut damaged = Vec::new();
        for (name, sum) in &self.files {
            let path = store.root().join(name);
            if !path.exists() || checksum(&path)? != *sum {
                damaged.push(name.clone());
            }
        }
        Ok(damaged)
    }
}

/// Counts and checksums what was written; the manifest comes last.
pub(super) fn write(
    store: &Store,
    plan: &Plan,
    sources: &[SourceCounts],
    shards: &[Shard],
    rules: &[String],
    gathered: Option<Gathered>,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Manifest, PostsError> {
    let there = store.rules()?;
    let silent = [LANGUAGE, PII].into_iter().filter(|name| there.iter().any(|rule| rule == name));
    let names = silent.map(str::to_string);
    let names: Vec<String> =
        rules.iter().cloned().chain(names).chain([VERDICT.to_string()]).collect();
    let shard_names: Vec<String> = shards.iter().map(|shard| shard.name.clone()).collect();
    let stages = count(store, &shard_names, &names, threads, progress)?;
    let verdict = stages.last().map_or(0, |verdict| verdict.kept);
    let mut reject_reasons = BTreeMap::new();
    for (reason, count) in sources.iter().flat_map(|source| &source.reasons) {
        *reject_reasons.entry(reason.clone()).or_insert(0) += count;
    }
    let sum = |get: fn(&SourceCounts) -> u64| sources.iter().map(get).sum();
    let manifest = Manifest {
        code: concat!("stoa ", env!("CARGO_PKG_VERSION")).to_string(),
        plan: plan.clone().without_times(),
        seeds: BTreeMap::new(),
        records: sum(|source| source.records),
        posts: sum(|source| source.posts),
        notices: sum(|source| source.notices),
        asides: sum(|source| source.asides),
        rejected: sum(|source| source.rejected),
        reject_reasons,
        kept: verdict,
        stages,
        gathered,
        shards: shards.iter().map(|shard| (shard.name.clone(), shard.posts)).collect(),
        files: checksums(store, threads, progress)?,
    };
    manifest.write(store)?;
    Ok(manifest)
}

/// Counts the marks of each of some rules.
pub(super) fn count(
    store: &Store,
    shards: &[String],
    names: &[String],
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Vec<StageCounts>, PostsError> {
    let counted: Vec<Mutex<StageCounts>> = names
        .iter()
        .map(|name| Mutex::new(StageCounts { stage: name.clone(), ..StageCounts::default() }))
        .collect();
    tasks::run("count", names.len(), threads, progress, &|index| {
        let mut counts = counted[index].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for shard in shards {
            for mark in attributes::read(store, &names[index], shard)? {
                counts.asked += u64::from(mark != Mark::Unasked);
                counts.kept += u64::from(mark == Mark::Kept);
                if let Mark::Dropped { reason, .. } = mark {
                    *counts.dropped.entry(reason).or_insert(0) += 1;
                }
            }
        }
        Ok(())
    })?;
    let counted = counted.into_iter();
    Ok(counted.map(|c| c.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())).collect())
}

/// SHA-256 of every file of the store but its key, its manifest and work in progress.
pub(crate) fn checksums(
    store: &Store,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<BTreeMap<String, String>, PostsError> {
    let mut files = vec![store.rejects()];
    for folder in ["posts", "attrs", "documents", "dialogues"] {
        list(&store.root().join(folder), &mut files)?;
    }
    let sums = Mutex::new(BTreeMap::new());
    tasks::run("checksums", files.len(), threads, progress, &|index| {
        let path = &files[index];
        let sum = checksum(path)?;
        let name = path.strip_prefix(store.root()).unwrap_or(path);
        let name = name.components().map(|part| part.as_os_str().to_string_lossy());
        let name = name.collect::<Vec<_>>().join("/");
        sums.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(name, sum);
        Ok(())
    })?;
    Ok(sums.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), PostsError> {
    if !folder.exists() {
        return Ok(());
    }
    let io = |cause| PostsError::Io { path: folder.to_path_buf(), cause };
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_none_or(|extension| extension != "partial") {
            files.push(path);
        }
    }
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
fn checksum(path: &Path) -> Result<String, PostsError> {
    let io = |cause| PostsError::Io { path: path.to_path_buf(), cause };
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).map_err(io)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
