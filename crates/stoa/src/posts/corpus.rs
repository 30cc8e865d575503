//! Posts as a corpus to train on: ingested into a store, then read back.

use std::collections::BTreeMap;
use std::fmt;

use stoa_corpus::ingest::{self, IngestOptions, Manifest};
use stoa_corpus::{Corpus, CorpusError, SplitBy, Store};
use stoa_posts::Durability;
use stoa_square::Square;

use super::run_ingest;
use crate::files;
use crate::terminal::Terminal;

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

/// Ingests and reads documents and dialogues; also says in one line what came of the posts.
///
/// # Errors
/// What an ingest says; fewer than two posts kept.
pub fn corpus(options: &IngestOptions, terminal: &Terminal) -> anyhow::Result<(Corpus, String)> {
    let manifest = run_ingest(options, terminal)?;
    let dropped = Dropped::of(&manifest);
    if manifest.kept < 2 {
        return Err(CorpusError::TooFewPosts {
            posts: manifest.kept as usize,
            dropped: dropped.total() as usize,
            reasons: dropped.to_string(),
        }
        .into());
    }
    let corpus = Corpus::of_store(&Store::new(&options.out))?;
    let threads = manifest.gathered.map_or(0, |gathered| gathered.threads);
    let described = format!(
        "{} posts, {} kept in {threads} conversations; {} records rejected; dropped: {dropped}",
        manifest.posts, manifest.kept, manifest.rejected
    );
    Ok((corpus, described))
}

/// The documents of a square's posts, by the rules that all posts go through, with its own dialogues; and what
/// was dropped. Threads are split by name, so that the held-out side takes no fact out of training.
///
/// The store is temporary: all of it follows from the seed.
///
/// # Errors
/// A temporary folder that cannot be written.
pub fn square_corpus(square: &Square, threads: usize) -> anyhow::Result<(Corpus, Dropped)> {
    let folder = tempfile::tempdir()?;
    let posts = folder.path().join("square.jsonl");
    files::write_lines(&posts, &square.posts)?;
    let mut options = IngestOptions::new(vec![posts], &folder.path().join("store"));
    options.split = SplitBy::Thread;
    options.threads = threads;
    options.durability = Durability::Unsynced;
    let manifest = ingest::ingest(&options, &|_, _, _| {})?;
    let mut corpus = Corpus::of_store(&Store::new(&options.out))?;
    corpus.dialogues = square.dialogues();
    Ok((corpus, Dropped::of(&manifest)))
}
