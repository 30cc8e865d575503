//! The phases of an ingest, and how machines share them.
//!
//! **What is divided.** `read` has a task a source; everything after it has a task a shard of posts or a
//! task a bucket (a 64th of the identifiers, texts or threads, by hash). Machine i of n (`Share`) does
//! the tasks i-1, i-1+n, … of every phase. Tasks and their outputs do not depend on n, so a store made by
//! many machines has the bytes of one made by one, and n may differ from phase to phase.
//!
//! **What passes between machines** goes through the store directory, which all must see: a task of a
//! shard leaves its records by bucket, a task of a bucket reads its part of all of them, sorts them on
//! disk, and leaves its answers by shard. That is the shuffle of deduplication, of removals and of
//! threads; no process talks to another.
//!
//! **Barriers.** A phase begins when the one before it is complete: when every output of it is there.
//! Outputs are renamed into place whole, so a file that exists is complete. A process that sees a phase complete
//! writes `state/complete/PHASE` and removes what no later phase reads. `--phase P` fails at once when
//! an earlier phase is not complete, and names the phase and the shards that are missing; without it
//! a machine waits at each barrier as long as the caller has wait.
//!
//! **Killed and run again**, a machine does those of its tasks whose outputs are not there. Two processes
//! with one share exclude each other by a lock, as do runs with another n at the same time.
//!
//! | phase | task | reads | leaves |
//! |---|---|---|---|
//! | read | source | the source | raw posts, keys by identifier |
//! | settle | bucket | keys | removals and versions by shard |
//! | judge | shard | raw posts, removals | `posts/`, verdicts of gates and rules |
//! | templates | bucket | template keys | spam by shard |
//! | normal | shard | posts, spam | keys of normal forms |
//! | exact | bucket | keys of normal forms | exact copies by shard |
//! | bands | shard | posts, exact copies | MinHash bands |
//! | pairs | bucket | bands | candidate pairs, by shard of the earlier post |
//! | fetch | shard | candidate pairs | texts, by shard of the later post |
//! | verify | shard | texts | near-copies |
//! | resolve | one | near-copies, exact copies | which post each copy repeats |
//! | verdicts | shard | all verdicts | `attrs/verdict`, links of replies |
//! | threads-1 … 6 | bucket | links | links twice as long |
//! | chains | one | links | the rest of chains longer than 64 replies |
//! | thread-ids | bucket | links | threads by shard |
//! | documents | shard | kept posts | posts by thread, who began it |
//! | sides | bucket | who began threads | what each class of authors wrote and began |
//! | write | bucket | posts by thread | `documents/`, `dialogues/`, what is set aside by shard |
//! | checksums | shard | the shard | `attrs/split`, counts, checksums |
//! | manifest | one | all of it | `rejects.jsonl`, `manifest.json` |

use super::options::{IngestOptions, Stage};
use super::share::Share;
use super::workdir::Work;
use super::{
    BUCKETS, Ingest, Manifest, copies, documents, finished, held_out, manifest, near_copies,
    reading, removals, tasks, templates, threading, verdicts,
};
use crate::error::CorpusError;
use std::collections::BTreeSet;
use std::path::PathBuf;
use stoa_posts::write_whole;

/// A step between two barriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Read,
    Settle,
    Judge,
    Templates,
    Normal,
    Exact,
    Bands,
    Pairs,
    Fetch,
    Verify,
    Resolve,
    Verdicts,
    /// A round of pointer jumping, from 1.
    Round(usize),
    Chains,
    ThreadIds,
    Documents,
    Sides,
    Write,
    Checksums,
    Manifest,
}

/// Every phase by name, in order.
const ALL: [(&str, Phase); 19 + threading::PHASE_ROUNDS] = [
    ("read", Phase::Read),
    ("settle", Phase::Settle),
    ("judge", Phase::Judge),
    ("templates", Phase::Templates),
    ("normal", Phase::Normal),
    ("exact", Phase::Exact),
    ("bands", Phase::Bands),
    ("pairs", Phase::Pairs),
    ("fetch", Phase::Fetch),
    ("verify", Phase::Verify),
    ("resolve", Phase::Resolve),
    ("verdicts", Phase::Verdicts),
    ("threads-1", Phase::Round(1)),
    ("threads-2", Phase::Round(2)),
    ("threads-3", Phase::Round(3)),
    ("threads-4", Phase::Round(4)),
    ("threads-5", Phase::Round(5)),
    ("threads-6", Phase::Round(6)),
    ("chains", Phase::Chains),
    ("thread-ids", Phase::ThreadIds),
    ("documents", Phase::Documents),
    ("sides", Phase::Sides),
    ("write", Phase::Write),
    ("checksums", Phase::Checksums),
    ("manifest", Phase::Manifest),
];

/// The names of the phases, in order, and whether a phase is one task that a single machine does.
pub const PHASES: [(&str, bool); ALL.len()] = {
    let mut names = [("", false); ALL.len()];
    let mut at = 0;
    while at < ALL.len() {
        names[at] =
            (ALL[at].0, matches!(ALL[at].1, Phase::Resolve | Phase::Chains | Phase::Manifest));
        at += 1;
    }
    names
};

/// The phases that an ingest of these options has, as in [`PHASES`].
pub fn phases_of(options: &IngestOptions) -> Vec<(&'static str, bool)> {
    let all = ALL.into_iter().zip(PHASES);
    all.filter(|((_, phase), _)| phase.is_of(options)).map(|(_, named)| named).collect()
}

impl Phase {
    pub(super) fn from_name(name: &str) -> Result<Phase, CorpusError> {
        let found = ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, phase)| phase).ok_or_else(|| CorpusError::UnknownPhase {
            name: name.to_string(),
            known: ALL.map(|(name, _)| name).join(", "),
        })
    }

    pub(super) fn name(self) -> &'static str {
        ALL.into_iter().find(|(_, phase)| *phase == self).map_or("", |(name, _)| name)
    }

    /// Whether an ingest of these options has it.
    fn is_of(self, options: &IngestOptions) -> bool {
        let spam = templates::asked(options);
        let copies = options.runs(Stage::Exact) || options.runs(Stage::Near);
        match self {
            Phase::Templates => spam,
            Phase::Normal => spam || copies,
            Phase::Exact
            | Phase::Bands
            | Phase::Pairs
            | Phase::Fetch
            | Phase::Verify
            | Phase::Resolve => copies,
            Phase::Round(_)
            | Phase::Chains
            | Phase::ThreadIds
            | Phase::Documents
            | Phase::Sides
            | Phase::Write => options.runs(Stage::Threads),
            _ => true,
        }
    }

    /// Folders below `state/` that no task reads once it is complete. (Outputs that say that an earlier
    /// phase is done may go: that it is complete is written down.)
    fn obsolete_folders(self) -> Vec<String> {
        let folders: &[&str] = match self {
            Phase::Settle => &["keys"],
            Phase::Judge => &["raw", "settled"],
            Phase::Templates => &["template-keys"],
            Phase::Normal => &["templates", "alive"],
            Phase::Exact => &["normal"],
            Phase::Pairs => &["bands"],
            Phase::Fetch => &["pairs"],
            Phase::Verify => &["fetched"],
            Phase::Resolve => &["edges", "exact"],
            Phase::Documents => &["thread-ids"],
            Phase::Sides => &[held_out::THREAD_STARTERS],
            Phase::Write => &["by-thread"],
            Phase::Round(round) => return vec![threading::folder(round - 1)],
            Phase::ThreadIds => {
                return (0..=threading::MAX_ROUNDS).map(threading::folder).collect();
            }
            _ => &[],
        };
        folders.iter().map(|folder| (*folder).to_string()).collect()
    }
}

/// What an ingest waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The phase that is not complete.
    pub phase: &'static str,
    /// Tasks that are missing, of all.
    pub missing: usize,
    /// Tasks of the phase.
    pub tasks: usize,
    /// The shards they belong to, from 1, when there are as many machines as here.
    pub shards: Vec<usize>,
}

/// Sleeps and says whether to look again.
pub type WaitPolicy<'p> = dyn Fn(&Waiting) -> bool + 'p;

impl Ingest<'_> {
    /// Does this machine's tasks, phase by phase.
    pub(super) fn run(
        &mut self,
        own: Share,
        only: Option<Phase>,
        wait: &WaitPolicy<'_>,
    ) -> Result<Option<Manifest>, CorpusError> {
        if only.is_some_and(|phase| !phase.is_of(self.options)) {
            return finished(&self.store, &self.work);
        }
        let phases: Vec<Phase> = ALL.into_iter().map(|(_, phase)| phase).collect();
        for phase in phases.into_iter().filter(|phase| phase.is_of(self.options)) {
            // The machine that ends the ingest removes all work in progress.
            if self.store.manifest().exists() {
                break;
            }
            if only.is_none_or(|only| only == phase) && !self.is_marked(phase) {
                let tasks = self.tasks(phase)?;
                let mine: Vec<usize> = (0..tasks)
                    .filter(|&task| own.owns(task) && !self.output(phase, task).exists())
                    .collect();
                self.perform(phase, &mine)?;
            }
            if only == Some(phase) {
                // The last of the machines sees the phase complete; none waits.
                self.mark_if_complete(phase)?;
                return finished(&self.store, &self.work);
            }
            self.pass(phase, own, wait)?;
        }
        finished(&self.store, &self.work)
    }

    /// Waits until a phase is complete.
    fn pass(&mut self, phase: Phase, own: Share, wait: &WaitPolicy<'_>) -> Result<(), CorpusError> {
        loop {
            if self.store.manifest().exists() {
                return Ok(());
            }
            let missing = self.mark_if_complete(phase)?;
            if missing.is_empty() {
                return self.load(phase);
            }
            let shards: BTreeSet<usize> = missing.iter().map(|task| task % own.of + 1).collect();
            let waiting = Waiting {
                phase: phase.name(),
                missing: missing.len(),
                tasks: self.tasks(phase)?,
                shards: shards.into_iter().collect(),
            };
            if !wait(&waiting) {
                let shards: Vec<String> =
                    waiting.shards.iter().map(|shard| format!("{shard}/{}", own.of)).collect();
                return Err(CorpusError::PhaseIncomplete {
                    phase: waiting.phase,
                    missing: waiting.missing,
                    tasks: waiting.tasks,
                    shards: shards.join(", "),
                });
            }
        }
    }

    /// The tasks of a phase that are not done; writes down that there are none.
    fn mark_if_complete(&mut self, phase: Phase) -> Result<Vec<usize>, CorpusError> {
        if self.is_marked(phase) || self.store.manifest().exists() {
            return Ok(Vec::new());
        }
        let tasks = self.tasks(phase)?;
        let missing: Vec<usize> =
            (0..tasks).filter(|&task| !self.output(phase, task).exists()).collect();
        if missing.is_empty() {
            write_whole(&self.mark(phase), self.work.durability, tasks.to_string().as_bytes())?;
            // A round without tasks took nothing over from the one before it.
            for folder in phase.obsolete_folders().into_iter().filter(|_| tasks > 0) {
                std::fs::remove_dir_all(self.work.folder(&folder)).ok();
            }
        }
        Ok(missing)
    }

    fn mark(&self, phase: Phase) -> PathBuf {
        self.work.folder("complete").join(phase.name())
    }

    fn is_marked(&self, phase: Phase) -> bool {
        self.mark(phase).exists()
    }

    /// Takes into memory what later phases need of a complete one.
    fn load(&mut self, phase: Phase) -> Result<(), CorpusError> {
        match phase {
            Phase::Read => self.readings = reading::load(self.options, &self.work)?,
            Phase::Sides => self.sides = held_out::load(self)?,
            _ => {}
        }
        Ok(())
    }

    /// How many tasks a phase has; all phases before it are complete.
    fn tasks(&self, phase: Phase) -> Result<usize, CorpusError> {
        Ok(match phase {
            Phase::Read => self.options.sources.len(),
            Phase::Judge
            | Phase::Normal
            | Phase::Bands
            | Phase::Fetch
            | Phase::Verify
            | Phase::Verdicts
            | Phase::Documents
            | Phase::Checksums => self.readings.shards.len(),
            Phase::Settle
            | Phase::Templates
            | Phase::Exact
            | Phase::Pairs
            | Phase::ThreadIds
            | Phase::Sides
            | Phase::Write => BUCKETS,
            Phase::Round(round) => {
                if threading::is_open(self, round - 1)? {
                    BUCKETS
                } else {
                    0
                }
            }
            Phase::Resolve | Phase::Chains | Phase::Manifest => 1,
        })
    }

    /// The file that says that a task is done.
    fn output(&self, phase: Phase, task: usize) -> PathBuf {
        let work: &Work = &self.work;
        let shard = |folder: &str| work.of_shard(folder, &self.readings.shards[task]);
        match phase {
            Phase::Read => work.source_counts(task),
            Phase::Settle => work.of_bucket("settled", task),
            Phase::Judge => shard("alive"),
            Phase::Templates => work.of_bucket("templates", task),
            Phase::Normal => shard("living"),
            Phase::Exact => work.of_bucket("exact", task),
            Phase::Bands => shard("bands"),
            Phase::Pairs => work.of_bucket("pairs", task),
            Phase::Fetch => shard("fetched"),
            Phase::Verify => shard("edges"),
            Phase::Resolve => work.folder("chosen"),
            Phase::Verdicts => shard("links"),
            Phase::Round(round) => work.of_bucket(&threading::folder(round), task),
            Phase::Chains => work.folder("chains"),
            Phase::ThreadIds => work.of_bucket("thread-ids", task),
            Phase::Documents => shard("by-thread"),
            Phase::Sides => work.of_bucket(held_out::SIDES, task),
            Phase::Write => work.of_bucket("written", task),
            Phase::Checksums => shard("checksums"),
            Phase::Manifest => self.store.manifest(),
        }
    }

    fn perform(&self, phase: Phase, mine: &[usize]) -> Result<(), CorpusError> {
        if phase == Phase::Read {
            return reading::run(self, mine);
        }
        let threads = self.options.threads;
        tasks::run(phase.name(), mine, threads, self.progress, &|task| match phase {
            Phase::Read => Ok(()),
            Phase::Settle => removals::bucket(self, task),
            Phase::Judge => self.judge(task),
            Phase::Templates => templates::bucket(self, task),
            Phase::Normal => copies::normal(self, task),
            Phase::Exact => copies::bucket(self, task),
            Phase::Bands => near_copies::bands(self, task),
            Phase::Pairs => near_copies::pairs(self, task),
            Phase::Fetch => near_copies::fetch(self, task),
            Phase::Verify => near_copies::verify(self, task),
            Phase::Resolve => near_copies::resolve(self),
            Phase::Verdicts => verdicts::shard(self, task),
            Phase::Round(round) => threading::round(self, round, task),
            Phase::Chains => threading::chains(self),
            Phase::ThreadIds => threading::thread_ids(self, task),
            Phase::Documents => documents::shard(self, task),
            Phase::Sides => held_out::bucket(self, task),
            Phase::Write => documents::write(self, task),
            Phase::Checksums => manifest::checksum_shard(self, task),
            Phase::Manifest => manifest::write(self),
        })
    }
}
