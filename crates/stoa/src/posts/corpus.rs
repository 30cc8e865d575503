//! Posts of files as a corpus to train on: ingested into a store of the run, then read back.

use std::path::Path;

use anyhow::Context as _;
use stoa_corpus::ingest::{IngestOptions, Manifest};
use stoa_corpus::{Corpus, CorpusError, Document, Dropped, Store};
use stoa_dialogue::Dialogue;

use super::run_ingest;
use crate::files;
use crate::terminal::Terminal;

/// Ingests and reads documents and dialogues; also says in one line what came of the posts.
///
/// # Errors
/// What an ingest says; fewer than two posts kept.
pub fn corpus(options: &IngestOptions, terminal: &Terminal) -> anyhow::Result<(Corpus, String)> {
    let manifest = run_ingest(options, terminal)?;
    let dropped = dropped(&manifest);
    if manifest.kept < 2 {
        return Err(CorpusError::TooFewPosts {
            posts: manifest.kept as usize,
            dropped: dropped.total(),
            reasons: dropped.to_string(),
        }
        .into());
    }
    let root = Store::new(&options.out).root().to_path_buf();
    let documents: Vec<Document> = read_folder(&root.join("documents"))?;
    let dialogues: Vec<Dialogue> = read_folder(&root.join("dialogues"))?;
    let conversations = manifest.gathered.map_or(0, |gathered| gathered.threads as usize);
    let described = format!(
        "{} posts, {} kept in {conversations} conversations; {} records rejected; dropped: {dropped}",
        manifest.posts, manifest.kept, manifest.rejected
    );
    Ok((Corpus { documents, dialogues, conversations, dropped }, described))
}

/// Posts dropped by the first rule that did.
fn dropped(manifest: &Manifest) -> Dropped {
    let verdict = manifest.stages.last().map(|stage| &stage.dropped);
    let by_reason = verdict.into_iter().flatten();
    Dropped { by_reason: by_reason.map(|(rule, count)| (rule.clone(), *count as usize)).collect() }
}

/// The lines of all files of a folder, in order of name.
fn read_folder<T: serde::de::DeserializeOwned>(folder: &Path) -> anyhow::Result<Vec<T>> {
    let mut paths = Vec::new();
    if folder.exists() {
        let place = || format!("cannot read {}", folder.display());
        for entry in std::fs::read_dir(folder).with_context(place)? {
            paths.push(entry.with_context(place)?.path());
        }
    }
    paths.sort();
    let mut items = Vec::new();
    for path in paths {
        items.extend(files::read_lines(&path)?);
    }
    Ok(items)
}
