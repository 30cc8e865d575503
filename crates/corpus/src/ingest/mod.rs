//! Sources to a store: posts with verdicts, documents, dialogues, and a manifest that proves them.
//!
//! An ingest is a row of phases ([`PHASES`]), a phase a number of tasks, and a task reads what earlier
//! phases left and writes its output whole. Work in progress lies under `state/`; a run that was killed
//! resumes and ends with the same bytes. Nothing is dropped silently: every verdict
//! stands in `attrs/`. How several machines share the tasks is described in `phases`.

mod attributes;
mod copies;
mod counts;
mod decontamination;
mod documents;
mod erase;
mod filter;
mod held_out;
mod lines;
mod locks;
mod manifest;
mod mentions;
mod near_copies;
mod options;
mod phases;
mod queries;
mod reading;
mod removals;
mod rewrite;
mod share;
mod tasks;
mod templates;
mod threading;
mod verdicts;
mod workdir;

pub use counts::{EvaluationCounts, ThreadCounts};
pub use erase::{Forgotten, Request, forget};
pub use manifest::{Manifest, StageCounts};
pub use options::{IngestOptions, RejectBound, SourceFile, Stage};
pub use phases::{PHASES, WaitPolicy, Waiting, phases_of};
pub use queries::{
    Difference, Explained, RuleVerdict, Sampled, Statistics, Survival, difference, explain, sample,
    statistics,
};
pub use share::Share;
pub use tasks::Progress;

use crate::error::CorpusError;
use crate::store::{AuthorKey, Store};
use held_out::Sides;
use options::Plan;
use phases::Phase;
use reading::Readings;
use stoa_posts::address;
use stoa_posts::decontamination::Evaluations;
use stoa_posts::rules::{self, PROFILES, Rule};
use workdir::Work;

/// Parts that identifiers, texts and threads are divided into. A part is one task; it is sorted on disk,
/// so their number bounds how many machines help, not how large a corpus may be.
pub(crate) const BUCKETS: usize = 64;

/// Memory of a sort, in bytes; a task has at most two at work. Beyond it sorts go to disk.
const SORT_BYTES: usize = 64 << 20;

/// An ingest at work.
struct Ingest<'i> {
    options: &'i IngestOptions,
    work: Work,
    store: Store,
    key: AuthorKey,
    rules: Vec<Box<dyn Rule>>,
    evaluations: Evaluations,
    progress: &'i Progress<'i>,
    /// What reading gave, once all of it is done.
    readings: Readings,
    /// On which sides threads fall, once that is known.
    sides: Sides,
}

/// Ingests, resumes an ingest that was stopped, or finds it done.
///
/// # Errors
/// See [`CorpusError`]: sources that cannot be read, too many rejects, a directory that holds another
/// ingest.
pub fn ingest(options: &IngestOptions, progress: &Progress<'_>) -> Result<Manifest, CorpusError> {
    let never = |_: &Waiting| false;
    let done = ingest_shard(options, Share::ALL, None, progress, &never)?;
    done.ok_or_else(|| CorpusError::NoStore { path: options.out.clone() })
}

/// Does one machine's share of an ingest: of every phase, or of the phase of one name. At the end of a
/// phase whose other shares are not done, `wait` is asked whether to look again; it sleeps. The
/// manifest is returned when the whole ingest is done.
///
/// # Errors
/// As [`ingest`]; a phase before the one asked for that is not complete, and no wait.
pub fn ingest_shard(
    options: &IngestOptions,
    own: Share,
    phase: Option<&str>,
    progress: &Progress<'_>,
    wait: &WaitPolicy<'_>,
) -> Result<Option<Manifest>, CorpusError> {
    options.read.check()?;
    let options =
        &IngestOptions { sources: address::expanded(&options.sources)?, ..options.clone() };
    let only = phase.map(Phase::from_name).transpose()?;
    if own != Share::ALL && options.sources.iter().any(|source| source.as_os_str() == "-") {
        return Err(CorpusError::SharedStdin);
    }
    let rules = rules::profile(&options.profile).ok_or_else(|| CorpusError::UnknownProfile {
        name: options.profile.clone(),
        known: PROFILES.join(", "),
    })?;
    if options.sources.iter().any(|source| options::is_same(source, &options.out)) {
        return Err(CorpusError::OutIsSource { path: options.out.clone() });
    }
    let plan = Plan::of(options)?;
    let store = Store::with_durability(&options.out, options.durability);
    let work = Work { root: store.state(), durability: options.durability, plan };
    if let Some(manifest) = finished(&store, &work)? {
        return Ok(Some(manifest));
    }
    let (_locks, key) = locks::begin(&store, &work, own, || {
        let path = options.author_key.clone().unwrap_or_else(|| store.author_key());
        AuthorKey::open_or_create(&path)
    })?;
    let evaluations = decontamination::read(&options.evaluation_sets)?;
    let readings = Readings::default();
    let sides = Sides::default();
    let mut ingest =
        Ingest { options, work, store, key, rules, evaluations, progress, readings, sides };
    ingest.run(own, only, wait)
}

/// The manifest of a finished ingest of this plan; what is left of work in progress goes.
fn finished(store: &Store, work: &Work) -> Result<Option<Manifest>, CorpusError> {
    if !store.manifest().exists() {
        return Ok(None);
    }
    let manifest = Manifest::read(store)?;
    if !manifest.is_of(&work.plan) {
        return Err(CorpusError::OtherIngest { path: store.root().to_path_buf() });
    }
    std::fs::remove_dir_all(&work.root).ok();
    Ok(Some(manifest))
}
