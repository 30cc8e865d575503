//! What a store says of itself: how it was made, counts in and out of every stage, checksums.
//!
//! It holds no time and no path of the store, so equal sources, options and key give equal bytes.

use super::Ingest;
use super::attributes::{self, LANGUAGE, Mark, PII, SPLIT, VERDICT};
use super::counts::{EvaluationCounts, ThreadCounts, Written};
use super::held_out;
use super::options::{Plan, REVISION, Stage};
use super::reading::SourceCounts;
use super::workdir::Work;
use crate::error::CorpusError;
use crate::split::SplitBy;
use crate::store::{Store, at, read_json, write_json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use stoa_durable::FileEntry;
use stoa_posts::{Remarks, write_whole, write_whole_with};

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
    /// What streams send in addition to posts.
    pub asides: u64,
    /// Records that were no posts.
    pub rejected: u64,
    /// Of them, how many for which reason.
    pub reject_reasons: BTreeMap<String, u64>,
    /// What was guessed, changed, rounded or left out while reading, by kind.
    #[serde(default)]
    pub remarks: Remarks,
    /// Posts that every rule kept.
    pub kept: u64,
    /// Counts of each stage, in order.
    pub stages: Vec<StageCounts>,
    /// Evaluation texts, where posts were compared with some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluations: Option<EvaluationCounts>,
    /// What came of the threads.
    pub gathered: Option<ThreadCounts>,
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
    pub fn read(store: &Store) -> Result<Manifest, CorpusError> {
        let path = store.manifest();
        let text = std::fs::read(&path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => {
                CorpusError::NoStore { path: store.root().to_path_buf() }
            }
            _ => CorpusError::Io { path: path.clone(), cause },
        })?;
        serde_json::from_slice(&text).map_err(|error| CorpusError::WrongJson {
            path,
            line: error.line() as u64,
            byte_offset: 0,
            cause: error.to_string(),
        })
    }

    /// Writes the manifest of a store.
    pub(crate) fn write(&self, store: &Store) -> Result<(), CorpusError> {
        let path = store.manifest();
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|cause| CorpusError::Io { path: path.clone(), cause: cause.into() })?;
        text.push(b'\n');
        Ok(write_whole(&path, store.durability(), &text)?)
    }

    pub(super) fn is_of(&self, plan: &Plan) -> bool {
        self.plan.asks_as(&plan.clone().without_times())
    }

    /// Whether the store was made by an earlier program, which made other bytes of the same posts.
    pub fn is_older(&self) -> bool {
        self.plan.revision < REVISION
    }

    /// Whether a stage ran.
    pub(super) fn ran(&self, stage: Stage) -> bool {
        self.plan.stages.contains(&stage)
    }

    /// Compares every file with its checksum; names those that differ.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn damaged(&self, store: &Store) -> Result<Vec<String>, CorpusError> {
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

/// What a shard came to.
#[derive(Default, Serialize, Deserialize)]
struct ShardChecksums {
    /// Counts of each stage that has an attribute.
    stages: Vec<StageCounts>,
    /// Checksums by name.
    files: BTreeMap<String, String>,
}

/// The stages with an attribute, in order.
fn stage_names(ingest: &Ingest<'_>) -> Result<Vec<String>, CorpusError> {
    let there = ingest.store.rules()?;
    let silent = [LANGUAGE, PII].into_iter().filter(|name| there.iter().any(|rule| rule == name));
    let silent = silent.chain(parted(ingest).then_some(SPLIT));
    let rules = attributes::rules_in_order(&ingest.store, &ingest.rules).into_iter();
    Ok(rules.chain(silent.map(str::to_string)).chain([VERDICT.to_string()]).collect())
}

/// Whether threads are there and split by author.
fn parted(ingest: &Ingest<'_>) -> bool {
    ingest.options.runs(Stage::Threads) && ingest.sides.split_by() == SplitBy::Author
}

/// Counts the marks of a shard and takes the checksums of its files.
pub(super) fn checksum_shard(ingest: &Ingest<'_>, index: usize) -> Result<(), CorpusError> {
    let Ingest { store, readings, work, .. } = ingest;
    let shard = &readings.shards[index];
    if parted(ingest) {
        held_out::attribute(ingest, index)?;
    }
    let mut checksums_of_shard = ShardChecksums::default();
    let mut paths = vec![store.posts(&shard.name)];
    for name in stage_names(ingest)? {
        checksums_of_shard.stages.push(count_shard(store, &name, &shard.name)?);
        paths.push(store.attribute(&attributes::directory(&name), &shard.name));
    }
    for path in paths {
        let (name, sum) = named_checksum(store, &path)?;
        checksums_of_shard.files.insert(name, sum);
    }
    write_json(&work.of_shard("checksums", shard), work.durability, &checksums_of_shard)
}

/// Puts everything together; the manifest comes last.
pub(super) fn write(ingest: &Ingest<'_>) -> Result<(), CorpusError> {
    let Ingest { store, readings, work, options, evaluations, .. } = ingest;
    let sources = &readings.counts;
    write_rejects(store, work, sources.len())?;
    let mut stages: Vec<StageCounts> = stage_names(ingest)?
        .into_iter()
        .map(|stage| StageCounts { stage, ..StageCounts::default() })
        .collect();
    let mut files = BTreeMap::from([named_checksum(store, &store.rejects())?]);
    for path in work.of_shards("checksums", &readings.shards) {
        let checksums_of_shard: ShardChecksums = read_json(&path)?;
        files.extend(checksums_of_shard.files);
        stages.iter_mut().zip(checksums_of_shard.stages).for_each(|(all, one)| all.add(one));
    }
    let mut gathered = None;
    if options.runs(Stage::Threads) {
        let all: &mut ThreadCounts = gathered.get_or_insert_default();
        for path in work.of_buckets("written") {
            let written: Written = read_json(&path)?;
            files.extend(written.files);
            all.add(written.gathered);
        }
        all.split_by = ingest.sides.split_by();
    }
    let mut reject_reasons = BTreeMap::new();
    for (reason, count) in sources.iter().flat_map(|source| &source.reasons) {
        *reject_reasons.entry(reason.clone()).or_insert(0) += count;
    }
    let mut remarks = Remarks::default();
    sources.iter().for_each(|source| remarks.merge(&source.remarks));
    let sum = |get: fn(&SourceCounts) -> u64| sources.iter().map(get).sum();
    let shards = readings.shards.iter().map(|shard| (shard.name.clone(), shard.posts));
    let manifest = Manifest {
        code: concat!("stoa ", env!("CARGO_PKG_VERSION")).to_string(),
        plan: work.plan.clone().without_times(),
        seeds: BTreeMap::new(),
        records: sum(|source| source.records),
        posts: sum(|source| source.posts),
        notices: sum(|source| source.notices),
        asides: sum(|source| source.asides),
        rejected: sum(|source| source.rejected),
        reject_reasons,
        remarks,
        kept: stages.last().map_or(0, |verdict| verdict.kept),
        stages,
        evaluations: (evaluations.items() > 0).then(|| EvaluationCounts {
            items: evaluations.items(),
            too_short: evaluations.too_short(),
        }),
        gathered,
        shards: shards.collect(),
        files,
    };
    manifest.write(store)
}

fn write_rejects(store: &Store, work: &Work, sources: usize) -> Result<(), CorpusError> {
    let path = store.rejects();
    write_whole_with(&path, store.durability(), |all| {
        for source in 0..sources {
            let mut one = File::open(work.source_rejects(source)).map_err(at(&path))?;
            std::io::copy(&mut one, all).map_err(at(&path))?;
        }
        Ok(())
    })
}

impl StageCounts {
    fn add(&mut self, other: StageCounts) {
        self.asked += other.asked;
        self.kept += other.kept;
        for (reason, count) in other.dropped {
            *self.dropped.entry(reason).or_insert(0) += count;
        }
    }
}

/// Counts the marks of a rule on a shard.
fn count_shard(store: &Store, rule: &str, shard: &str) -> Result<StageCounts, CorpusError> {
    let mut counts = StageCounts { stage: rule.to_string(), ..StageCounts::default() };
    for mark in attributes::read(store, rule, shard)? {
        counts.asked += u64::from(mark != Mark::Unasked);
        counts.kept += u64::from(mark == Mark::Kept);
        if let Mark::Dropped { reason, .. } = mark {
            *counts.dropped.entry(reason).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// Counts the marks of each of some rules.
pub(super) fn count(
    store: &Store,
    shards: &[String],
    names: &[String],
) -> Result<Vec<StageCounts>, CorpusError> {
    let of_rule = |name: &String| {
        let mut all = StageCounts { stage: name.clone(), ..StageCounts::default() };
        for shard in shards {
            all.add(count_shard(store, name, shard)?);
        }
        Ok(all)
    };
    names.iter().map(of_rule).collect()
}

/// SHA-256 of every file of the store but its key, its manifest and work in progress.
pub(crate) fn checksums(store: &Store) -> Result<BTreeMap<String, String>, CorpusError> {
    let mut files = vec![store.rejects()];
    for folder in ["posts", "attrs", "documents", "dialogues"] {
        list(&store.root().join(folder), &mut files)?;
    }
    files.iter().map(|path| named_checksum(store, path)).collect()
}

/// A file's name in the store and its SHA-256.
pub(super) fn named_checksum(store: &Store, path: &Path) -> Result<(String, String), CorpusError> {
    let name = path.strip_prefix(store.root()).unwrap_or(path);
    let name = name.components().map(|part| part.as_os_str().to_string_lossy());
    Ok((name.collect::<Vec<_>>().join("/"), checksum(path)?))
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
    if !folder.exists() {
        return Ok(());
    }
    let io = |cause| CorpusError::Io { path: folder.to_path_buf(), cause };
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
fn checksum(path: &Path) -> Result<String, CorpusError> {
    Ok(FileEntry::of(path)?.sha256)
}
