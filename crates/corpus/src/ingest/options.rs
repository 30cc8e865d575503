//! What determines the result of an ingest, and the plan by which a stopped one is resumed.

use crate::error::CorpusError;
use crate::split::SplitBy;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use stoa_posts::{DateOrder, Durability, PostsError, ReadOptions};
use stoa_remote::Facts;

/// A stage that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// HTML entities, tracking links, NFC, whole texts: part of reading, always done.
    Normalise,
    /// Languages of posts whose source names none.
    Language,
    /// Rules on single posts and on templates.
    Rules,
    /// Texts that stand in evaluation sets.
    Decontaminate,
    /// Equal normal forms.
    Exact,
    /// Nearly equal texts.
    Near,
    /// Personal data.
    Pii,
    /// Threads, documents, dialogues.
    Threads,
}

impl Stage {
    /// Every stage with its name, in the order in which they run.
    pub const ALL: [(&'static str, Stage); 8] = [
        ("normalise", Stage::Normalise),
        ("language", Stage::Language),
        ("rules", Stage::Rules),
        ("decontaminate", Stage::Decontaminate),
        ("exact", Stage::Exact),
        ("near", Stage::Near),
        ("pii", Stage::Pii),
        ("threads", Stage::Threads),
    ];

    /// The stage of a name.
    pub fn from_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, stage)| stage)
    }
}

/// How many rejected records a run bears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RejectBound {
    /// So many records.
    Count(u64),
    /// This share of all records, from 0 to 1.
    Share(f64),
}

/// What to ingest and how.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Files, folders, archives, addresses, or `-` for standard input, in order.
    pub sources: Vec<PathBuf>,
    /// The directory to write to.
    pub out: PathBuf,
    /// How sources are read.
    pub read: ReadOptions,
    /// Stages to run.
    pub stages: Vec<Stage>,
    /// Profile of rules (`rules::PROFILES`).
    pub profile: String,
    /// Basis of use of posts whose source states none.
    pub basis: String,
    /// Licence of posts whose source states none.
    pub licence: Option<String>,
    /// Key file of author hashes, instead of one made in the store.
    pub author_key: Option<PathBuf>,
    /// Evaluation sets whose texts must not be trained on.
    pub evaluation_sets: Vec<PathBuf>,
    /// How the held-out border is drawn.
    pub split: SplitBy,
    /// More rejected records than this end the run with an error.
    pub max_rejects: Option<RejectBound>,
    /// Posts and notices in a shard.
    pub shard_posts: usize,
    /// Threads that work at once.
    pub threads: usize,
    /// Whether files survive a power cut.
    pub durability: Durability,
}

impl IngestOptions {
    /// All stages of `sources` into `out`.
    pub fn new(sources: Vec<PathBuf>, out: &Path) -> IngestOptions {
        IngestOptions {
            sources,
            out: out.to_path_buf(),
            read: ReadOptions { embedded: true, ..ReadOptions::default() },
            stages: Stage::ALL.iter().map(|(_, stage)| *stage).collect(),
            profile: "posts".to_string(),
            basis: String::new(),
            licence: None,
            author_key: None,
            evaluation_sets: Vec::new(),
            split: SplitBy::default(),
            max_rejects: None,
            shard_posts: 1 << 16,
            threads: 1,
            durability: Durability::default(),
        }
    }

    /// Whether a stage runs.
    pub fn runs(&self, stage: Stage) -> bool {
        self.stages.contains(&stage)
    }
}

/// A source as it was when the ingest began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its path, as given.
    pub path: PathBuf,
    /// Size in bytes; 0 for a folder and for standard input.
    pub bytes: u64,
    /// Time of last change in Unix seconds; 0 for standard input. Not in the manifest: the same posts
    /// give the same manifest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What this program makes of equal sources and options: raised when other bytes come of them. Stores of
/// 0.1.0 have none; in 1 languages are identified and say where they come from; in 2 tables, times, rounded
/// identifiers, exporters and deletions are read in another way, scripts without spaces have words by weight and the
/// script that carries a text decides its language.
pub(super) const REVISION: u32 = 2;

/// Everything that determines the result. Written first; an ingest resumes only with an equal one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) version: String,
    /// [`REVISION`] of the program.
    #[serde(default)]
    pub(super) revision: u32,
    pub(super) sources: Vec<SourceFile>,
    pub(super) format: String,
    pub(super) map: Vec<(String, String)>,
    /// How tables are written and text is encoded, where it was given; absent where it was not.
    #[serde(default, skip_serializing_if = "Given::is_nothing")]
    pub(super) given: Given,
    pub(super) embedded: bool,
    pub(super) keep_truncated: bool,
    pub(super) stages: Vec<Stage>,
    pub(super) profile: String,
    pub(super) basis: String,
    pub(super) licence: Option<String>,
    pub(super) evaluation_sets: Vec<SourceFile>,
    pub(super) split: SplitBy,
    pub(super) shard_posts: usize,
}

impl Plan {
    pub(super) fn of(options: &IngestOptions) -> Result<Plan, CorpusError> {
        let mut stages = options.stages.clone();
        stages.sort();
        stages.dedup();
        let mut sources = source_files(&options.sources)?;
        // What is written below a folder changes its time.
        for source in sources.iter_mut().filter(|source| holds(&source.path, &options.out)) {
            source.changed = 0;
        }
        Ok(Plan {
            version: env!("CARGO_PKG_VERSION").to_string(),
            revision: REVISION,
            sources,
            format: options.read.format.name().to_string(),
            map: options.read.map.clone(),
            given: Given::of(&options.read),
            embedded: options.read.embedded,
            keep_truncated: options.read.keep_truncated,
            stages,
            profile: options.profile.clone(),
            basis: options.basis.clone(),
            licence: options.licence.clone(),
            evaluation_sets: source_files(&options.evaluation_sets)?,
            split: options.split,
            shard_posts: options.shard_posts,
        })
    }

    /// Whether both ask for the same, whatever the revisions of their programs.
    pub(super) fn asks_as(&self, other: &Plan) -> bool {
        Plan { revision: other.revision, ..self.clone() } == *other
    }

    /// The plan without what differs between equal copies of the sources.
    pub(super) fn without_times(mut self) -> Plan {
        self.sources.iter_mut().chain(&mut self.evaluation_sets).for_each(|file| file.changed = 0);
        self
    }
}

/// What the options state of a source that is else found from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quote: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delimiter: Option<char>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_header: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dates: Option<String>,
}

impl Given {
    fn of(read: &ReadOptions) -> Given {
        Given {
            quote: read.table.quote.map(|quote| quote.name().to_string()),
            delimiter: read.table.delimiter.map(char::from),
            no_header: read.table.no_header,
            encoding: read.encoding.clone(),
            dates: (read.dates != DateOrder::Unstated).then(|| read.dates.name().to_string()),
        }
    }

    fn is_nothing(&self) -> bool {
        *self == Given::default()
    }
}

/// Whether a source is the very folder of the store.
pub(super) fn is_same(source: &Path, out: &Path) -> bool {
    match (source.canonicalize(), out.canonicalize()) {
        (Ok(source), Ok(out)) => source == out,
        _ => false,
    }
}

/// Whether a source is a folder in which the store is.
fn holds(source: &Path, out: &Path) -> bool {
    let there = out.ancestors().find_map(|part| {
        let part = if part.as_os_str().is_empty() { Path::new(".") } else { part };
        part.canonicalize().ok()
    });
    match (source.canonicalize(), there) {
        (Ok(source), Some(out)) => source.is_dir() && out.starts_with(source),
        _ => false,
    }
}

fn source_files(paths: &[PathBuf]) -> Result<Vec<SourceFile>, CorpusError> {
    paths.iter().map(|path| source_file(path)).collect()
}

fn source_file(path: &Path) -> Result<SourceFile, CorpusError> {
    let path = path.to_path_buf();
    if path == Path::new("-") {
        return Ok(SourceFile { path, bytes: 0, changed: 0 });
    }
    if stoa_remote::is_address(&path) {
        let Facts { bytes, changed } = stoa_remote::facts(&path).map_err(PostsError::from)?;
        return Ok(SourceFile { path: stoa_remote::shown(&path), bytes, changed });
    }
    let metadata = std::fs::metadata(&path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => PostsError::NotFound { path: path.clone() }.into(),
        _ => CorpusError::Io { path: path.clone(), cause },
    })?;
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(SourceFile {
        path,
        bytes: if metadata.is_dir() { 0 } else { metadata.len() },
        changed: changed.map_or(0, |since| since.as_secs()),
    })
}
