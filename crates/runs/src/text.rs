//! The text of a run: posts ingested into a store, or the sample square. What is whole is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stoa_corpus::ingest::{self, IngestOptions, Manifest};
use stoa_corpus::{Corpus, CorpusError, SplitBy, Store};
use stoa_dialogue::Dialogue;
use stoa_posts::Durability;
use stoa_square::{Square, SquareConfig};

use crate::error::io;
use crate::lines::JsonLines;
use crate::shards::ShardText;
use crate::{Progress, RunFiles, RunsError, Work, write_lines};

/// Where a run's text came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TextSource {
    /// The sample square of this seed.
    Square {
        /// Its seed.
        seed: u64,
    },
    /// Files of posts.
    Posts {
        /// Their paths, as given.
        files: Vec<String>,
    },
}

impl TextSource {
    /// That of files of posts.
    pub fn of_posts(files: &[PathBuf]) -> Self {
        TextSource::Posts { files: files.iter().map(|file| file.display().to_string()).collect() }
    }

    /// Reads where the text of a run came from; `None` when it is not whole yet.
    ///
    /// # Errors
    /// [`RunsError::Damaged`].
    pub fn read(files: &RunFiles) -> Result<Option<Self>, RunsError> {
        let path = files.source();
        let Ok(text) = fs::read(&path) else { return Ok(None) };
        let damaged = |source| RunsError::Damaged { path: path.clone(), source };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }
}

/// The text of a run, in files.
pub struct RunText {
    /// Documents and dialogues.
    pub files: ShardText,
    /// The square they are of, about which the truth is known.
    pub square: Option<SquareText>,
    /// One line on what it is.
    pub described: String,
}

/// A sample square with its text.
pub struct SquareText {
    /// The square.
    pub square: Square,
    /// Its documents and dialogues: little text, whatever the seed.
    pub corpus: Corpus,
}

impl RunText {
    /// The square of a seed, written into a run's directory.
    ///
    /// # Errors
    /// [`RunsError::OtherText`] for a directory with a run of other text; files that cannot be written.
    pub fn of_square(seed: u64, threads: usize, files: &RunFiles) -> Result<Self, RunsError> {
        let source = TextSource::Square { seed };
        let before = same_source(&source, files)?;
        let square = Square::generate(seed, &SquareConfig::default())?;
        let (corpus, _) = square_corpus(&square, threads)?;
        let (documents, dialogues) = (files.documents(), files.dialogues());
        let other = holds_other(&documents, &corpus.documents)
            || holds_other(&dialogues, &corpus.dialogues);
        if before && other {
            return Err(RunsError::OtherText(files.directory.clone()));
        }
        write_lines(&documents, &corpus.documents)?;
        write_lines(&dialogues, &corpus.dialogues)?;
        write_source(&source, files)?;
        let described = format!(
            "the sample square of seed {seed}: {} people, {} places, {} facts, {} posts",
            square.people.len(),
            square.places.len(),
            square.facts.len(),
            square.posts.len()
        );
        let text = ShardText { documents: vec![documents], dialogues: vec![dialogues] };
        Ok(RunText { files: text, square: Some(SquareText { square, corpus }), described })
    }

    /// Posts, ingested into a store in a run's directory.
    ///
    /// # Errors
    /// [`RunsError::OtherText`] for a directory with a run of other text; what an ingest refuses;
    /// fewer than two posts kept.
    pub fn of_posts(
        posts: &[PathBuf],
        threads: usize,
        files: &RunFiles,
        progress: &dyn Progress,
    ) -> Result<Self, RunsError> {
        let source = TextSource::of_posts(posts);
        same_source(&source, files)?;
        let mut options = IngestOptions::new(posts.to_vec(), &files.store());
        options.threads = threads;
        let begun_before = options.out.exists();
        let described = ingested(&options, progress).map_err(|error| {
            if !begun_before {
                // Files that cannot be used begin no run: the directory stays free for others.
                // What cannot be removed is refused by name at the next call.
                let _ = fs::remove_dir_all(&options.out);
            }
            match error {
                RunsError::Corpus(CorpusError::OtherIngest { .. }) => {
                    RunsError::OtherText(files.directory.clone())
                }
                error => error,
            }
        })?;
        write_source(&source, files)?;
        Ok(RunText { files: ShardText::of_store(&options.out)?, square: None, described })
    }

    /// First messages of some dialogues, spread evenly over all `dialogues` of them: prompts whose
    /// answers show what a model is like. (A square makes its dialogues kind by kind.)
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn openings(&self, count: usize, dialogues: usize) -> Result<Vec<String>, RunsError> {
        let step = (dialogues / count.max(1)).max(1);
        let lines = JsonLines::<Dialogue>::of_files(&self.files.dialogues);
        let spread = lines.step_by(step).take(count);
        let opening = |dialogue: Result<Dialogue, RunsError>| {
            let first = dialogue.map(|d| d.messages.first().map(|m| m.text().to_owned()));
            first.transpose()
        };
        spread.filter_map(opening).collect()
    }
}

/// Refuses to continue a run that was begun with other text; gives whether it was begun with this.
/// The source is written last, so without it the text was not whole.
fn same_source(source: &TextSource, files: &RunFiles) -> Result<bool, RunsError> {
    match TextSource::read(files)? {
        Some(before) if before != *source => Err(RunsError::OtherText(files.directory.clone())),
        before => Ok(before.is_some()),
    }
}

fn write_source(source: &TextSource, files: &RunFiles) -> Result<(), RunsError> {
    let text = serde_json::to_vec_pretty(source).expect("plain records");
    Ok(stoa_durable::write(&files.source(), &text)?)
}

/// Whether a file holds other lines than these. One that is gone is written again.
fn holds_other<T: DeserializeOwned + PartialEq>(path: &Path, lines: &[T]) -> bool {
    path.exists() && crate::read_lines::<T>(path).ok().is_none_or(|found| found != lines)
}

/// Ingests with the progress of every phase, and says when an earlier version made the store.
///
/// # Errors
/// What an ingest refuses.
pub fn ingest(options: &IngestOptions, progress: &dyn Progress) -> Result<Manifest, RunsError> {
    let manifest = ingest::ingest(options, &ingest_progress(progress))?;
    if manifest.is_older() {
        progress.note(&format!(
            "{}: an earlier version made this store, and it stays as it is; ingest into another folder \
             to have languages identified",
            options.out.display()
        ));
    }
    Ok(manifest)
}

/// The progress of an ingest: work for every phase.
pub fn ingest_progress(progress: &dyn Progress) -> impl Fn(&'static str, u64, u64) + Sync + '_ {
    let shown: Mutex<Option<(&'static str, Box<dyn Work>)>> = Mutex::new(None);
    move |phase: &'static str, done: u64, total: u64| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref().is_none_or(|(before, _)| *before != phase) {
            let unit = if phase == "read" { "bytes" } else { "parts" };
            *shown = Some((phase, progress.begin(phase, total.max(1), unit)));
        }
        if let Some((_, work)) = shown.as_mut() {
            work.update(done, "");
        }
    }
}

/// Ingests, and says in one line what came of the posts.
fn ingested(options: &IngestOptions, progress: &dyn Progress) -> Result<String, RunsError> {
    let manifest = ingest(options, progress)?;
    let dropped = Dropped::of(&manifest);
    for (kind, count) in manifest.remarks.iter() {
        progress.note(&format!("{kind}: {count}"));
    }
    if manifest.kept < 2 {
        let error = CorpusError::TooFewPosts {
            posts: manifest.kept as usize,
            dropped: dropped.total() as usize,
            reasons: dropped.to_string(),
        };
        return Err(error.into());
    }
    let threads = manifest.gathered.map_or(0, |gathered| gathered.threads);
    Ok(format!(
        "{} posts, {} kept in {threads} conversations; {} records rejected; dropped: {dropped}",
        manifest.posts, manifest.kept, manifest.rejected
    ))
}

/// How many posts each rule dropped.
#[derive(Clone, Debug, Default)]
pub struct Dropped {
    /// Counts by the first rule that dropped a post.
    pub by_rule: BTreeMap<String, u64>,
}

impl Dropped {
    fn of(manifest: &Manifest) -> Dropped {
        let verdict = manifest.stages.last().map(|stage| stage.dropped.clone());
        Dropped { by_rule: verdict.unwrap_or_default() }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_rule.values().sum()
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_rule.is_empty() {
            return f.write_str("none");
        }
        let parts: Vec<String> =
            self.by_rule.iter().map(|(rule, count)| format!("{rule}: {count}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// The documents of a square's posts, by the rules that all posts go through, with its own dialogues; and
/// what was dropped. Threads are split by name, so that the held-out side takes no fact out of training.
///
/// The store is temporary: all of it follows from the seed.
///
/// # Errors
/// A temporary folder that cannot be written.
pub fn square_corpus(square: &Square, threads: usize) -> Result<(Corpus, Dropped), RunsError> {
    let temporary = std::env::temp_dir();
    let folder = tempfile::tempdir().map_err(io("creating a folder in", &temporary))?;
    let posts = folder.path().join("square.jsonl");
    write_lines(&posts, &square.posts)?;
    let mut options = IngestOptions::new(vec![posts], &folder.path().join("store"));
    options.split = SplitBy::Thread;
    options.threads = threads;
    options.durability = Durability::Unsynced;
    let manifest = ingest::ingest(&options, &|_, _, _| {})?;
    let mut corpus = Corpus::of_store(&Store::new(&options.out))?;
    corpus.dialogues = square.dialogues();
    Ok((corpus, Dropped::of(&manifest)))
}
