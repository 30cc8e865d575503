//! Sources to a store: posts with verdicts, documents, dialogues, and a manifest that proves them.
//!
//! Steps are made of independent tasks whose outputs appear whole: read each source to raw shards,
//! settle removals and versions by identifier, judge each shard, find copies over the corpus, thread,
//! write. Work in progress lies under `state/`; a run that was killed goes on with what is there and
//! ends with the same bytes. Nothing is dropped silently: every verdict stands in `attrs/`.

mod asking;
mod attributes;
mod copies;
mod decontamination;
mod forgetting;
mod gathering;
mod judging;
mod manifest;
mod options;
mod reading;
mod settling;
mod tasks;
mod threading;

pub use asking::{
    Difference, Explained, RuleVerdict, Sampled, Statistics, Survival, difference, explain, sample,
    statistics,
};
pub use forgetting::{Forgotten, Request, forget};
pub use gathering::Gathered;
pub use manifest::{Manifest, StageCounts};
pub use options::{IngestOptions, RejectBound, SourceFile, Stage};
pub use tasks::Progress;

use crate::error::PostsError;
use crate::rules::{self, PROFILES};
use crate::store::{AuthorKey, Store, write_whole};
use judging::Judge;
use options::Plan;
use reading::SourceCounts;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Parts that identifiers and threads are divided into: what one task holds in memory is a 64th of
/// the keys of the corpus.
pub(crate) const BUCKETS: usize = 64;

/// A shard of posts: its place in the order of reading and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shard {
    source: usize,
    part: usize,
    name: String,
    posts: u64,
}

/// Where work in progress lies.
struct Work {
    root: PathBuf,
    plan: Plan,
}

impl Work {
    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn source_counts(&self, source: usize) -> PathBuf {
        self.root.join("sources").join(format!("{source:05}.json"))
    }

    fn source_rejects(&self, source: usize) -> PathBuf {
        self.root.join("rejects").join(format!("{source:05}.jsonl"))
    }

    fn raw(&self, source: usize, part: usize) -> PathBuf {
        self.root.join("raw").join(format!("{}.parquet", shard_name(source, part)))
    }

    fn keys(&self, source: usize, part: usize) -> PathBuf {
        self.root.join("keys").join(shard_name(source, part))
    }

    fn settled(&self, bucket: usize) -> PathBuf {
        self.root.join("settled").join(format!("{bucket:02}"))
    }

    fn alive(&self, shard: &str) -> PathBuf {
        self.root.join("alive").join(shard)
    }

    fn read_alive(&self, shard: &str) -> Result<Vec<bool>, PostsError> {
        let path = self.alive(shard);
        let bytes = std::fs::read(&path).map_err(|cause| PostsError::Io { path, cause })?;
        Ok(bytes.into_iter().map(|byte| byte == 1).collect())
    }

    fn copies_done(&self) -> PathBuf {
        self.root.join("copies.done")
    }

    fn threads(&self, bucket: usize) -> PathBuf {
        self.root.join("threads").join(format!("{bucket:02}"))
    }

    fn threads_done(&self) -> PathBuf {
        self.root.join("threads.done")
    }

    fn by_thread(&self, shard: &str) -> PathBuf {
        self.root.join("by-thread").join(shard)
    }

    fn sides(&self, shard: &str) -> PathBuf {
        self.root.join("sides").join(format!("{shard}.json"))
    }
}

fn shard_name(source: usize, part: usize) -> String {
    format!("{source:05}-{part:05}")
}

/// Ingests, or goes on with an ingest that was stopped, or finds it done.
///
/// # Errors
/// See [`PostsError`]: sources that cannot be read, too many rejects, a directory that holds another
/// ingest.
pub fn ingest(options: &IngestOptions, progress: &Progress<'_>) -> Result<Manifest, PostsError> {
    options.read.check()?;
    let rules = rules::profile(&options.profile).ok_or_else(|| PostsError::UnknownProfile {
        name: options.profile.clone(),
        known: PROFILES.join(", "),
    })?;
    let plan = Plan::of(options)?;
    let store = Store::new(&options.out);
    let work = Work { root: store.state(), plan };
    if store.manifest().exists() {
        let manifest = Manifest::read(&store)?;
        if !manifest.is_of(&work.plan) {
            return Err(PostsError::OtherIngest { path: options.out.clone() });
        }
        std::fs::remove_dir_all(&work.root).ok();
        return Ok(manifest);
    }
    let _lock = begin(&store, &work)?;
    let key_path = options.author_key.clone().unwrap_or_else(|| store.author_key());
    let key = AuthorKey::open_or_create(&key_path)?;
    let evaluations = decontamination::read(&options.evaluation_sets)?;

    let counts = reading::run(options, &work, &key, progress)?;
    let shards = shards(&counts);
    let places: Vec<(usize, usize)> = shards.iter().map(|s| (s.source, s.part)).collect();
    let authors: Vec<_> = counts.iter().flat_map(|counts| counts.authors.clone()).collect();
    settling::run(&work, &places, &authors, options.threads, progress)?;
    let judge =
        Judge { options, work: &work, store: &store, rules: &rules, evaluations: &evaluations };
    judge.run(&shards, progress)?;
    copies::run(options, &work, &store, &shards, progress)?;
    let names = gathering::rules_in_order(&store, &rules);
    gathering::verdicts(&store, &shards, &names, options.threads, progress)?;
    let gathered = if options.runs(Stage::Threads) {
        threading::run(&work, &store, &shards, options.threads, progress)?;
        Some(gathering::run(options, &work, &store, &key, &shards, progress)?)
    } else {
        None
    };
    write_rejects(&store, &work, counts.len())?;
    let manifest = manifest::write(
        &store,
        &work.plan,
        &counts,
        &shards,
        &names,
        gathered,
        options.threads,
        progress,
    )?;
    std::fs::remove_dir_all(&work.root).ok();
    Ok(manifest)
}

/// Opens the directory for this plan alone; the lock is held as long as what is returned.
fn begin(store: &Store, work: &Work) -> Result<File, PostsError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |cause| PostsError::Io { path, cause }
    };
    for folder in ["sources", "rejects"] {
        let folder = work.folder(folder);
        std::fs::create_dir_all(&folder).map_err(io(&folder))?;
    }
    let path = work.folder("lock");
    let lock = File::create(&path).map_err(io(&path))?;
    if lock.try_lock().is_err() {
        return Err(PostsError::Busy { path: store.root().to_path_buf() });
    }
    let path = work.folder("plan.json");
    let text = serde_json::to_vec_pretty(&work.plan)
        .map_err(|cause| PostsError::Io { path: path.clone(), cause: cause.into() })?;
    match std::fs::read(&path) {
        Ok(before) if before == text => {}
        Ok(_) => return Err(PostsError::OtherIngest { path: store.root().to_path_buf() }),
        Err(_) => write_whole(&path, &text)?,
    }
    Ok(lock)
}

/// Shards with posts, in the order of reading. A shard of notices alone has keys but no row.
fn shards(counts: &[SourceCounts]) -> Vec<Shard> {
    let mut shards = Vec::new();
    for (source, counts) in counts.iter().enumerate() {
        for (part, &posts) in counts.shards.iter().enumerate() {
            shards.push(Shard { source, part, name: shard_name(source, part), posts });
        }
    }
    shards
}

fn write_rejects(store: &Store, work: &Work, sources: usize) -> Result<(), PostsError> {
    let path = store.rejects();
    let partial = path.with_extension("jsonl.partial");
    let io = |cause| PostsError::Io { path: path.clone(), cause };
    let mut all = File::create(&partial).map_err(io)?;
    for source in 0..sources {
        let mut one = File::open(work.source_rejects(source)).map_err(io)?;
        std::io::copy(&mut one, &mut all).map_err(io)?;
    }
    all.sync_all().map_err(io)?;
    std::fs::rename(&partial, &path).map_err(io)
}
