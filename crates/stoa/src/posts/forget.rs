//! `stoa posts forget`: posts or people out of a store, and which runs learned from it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::json;
use stoa_corpus::ingest::{self, Forgotten, Request};
use stoa_corpus::{AuthorKey, Store};

use super::ForgetArgs;
use crate::terminal::Terminal;

/// A run whose token shards were made from the store.
#[derive(Debug, Serialize)]
struct Run {
    directory: PathBuf,
    /// Documents of its corpus that held forgotten words.
    documents: usize,
    token_shards: Vec<PathBuf>,
    checkpoints: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// No such store; no key; files that cannot be written.
pub fn forget(args: &ForgetArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let store = Store::new(&args.dir);
    let key_path = args.author_key.clone().unwrap_or_else(|| store.author_key());
    anyhow::ensure!(
        key_path.exists(),
        "{} is not there, and without the key of the store authors cannot be found; give --author-key",
        key_path.display()
    );
    let key = AuthorKey::open_or_create(&key_path)?;
    let mut authors: HashSet<String> = HashSet::new();
    for author in &args.author {
        authors.insert(key.hash(author));
        // A hash that was read in the store is taken as it is.
        authors.insert(author.to_lowercase());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let request =
        Request { ids: args.id.iter().cloned().collect(), authors, at_unix_seconds: now as i64 };
    // Runs are looked through first: their corpora name the documents as they were.
    let forgotten = ingest::forget(&store, &key, &request)?;
    let mut runs = Vec::new();
    for parent in &args.runs {
        find_runs(parent, &store, &forgotten, &mut runs);
    }
    let value = json!({
        "posts": forgotten.posts,
        "ids": forgotten.ids,
        "files": forgotten.files,
        "documents": forgotten.documents,
        "mentions": forgotten.mentions,
        "runs": runs,
    });
    terminal.result(&value, || {
        let mut lines = vec![format!(
            "{} posts forgotten, their author masked in {} of others; {} files rewritten, {} documents",
            forgotten.posts,
            forgotten.mentions,
            forgotten.files.len(),
            forgotten.documents.len()
        )];
        for run in &runs {
            lines.push(format!(
                "{} learned from {} of these documents: rewrite its token shards and train again",
                run.directory.display(),
                run.documents
            ));
            for file in run.token_shards.iter().chain(&run.checkpoints) {
                lines.push(format!("  {}", file.display()));
            }
        }
        lines.join("\n")
    })
}

/// Runs below `parent`, or `parent` itself, whose documents held what is forgotten.
fn find_runs(parent: &Path, store: &Store, forgotten: &Forgotten, runs: &mut Vec<Run>) {
    let mut candidates = vec![parent.to_path_buf()];
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    candidates.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    for directory in candidates {
        if !directory.join("run.toml").exists() {
            continue;
        }
        let documents = held(&directory, store, forgotten);
        if documents > 0 {
            runs.push(Run {
                documents,
                token_shards: listed(&directory.join("tokens")),
                checkpoints: listed(&directory.join("checkpoints")),
                directory,
            });
        }
    }
}

/// How many forgotten documents the corpus of a run holds: by name, or all when the run's corpus is
/// the store itself.
fn held(directory: &Path, store: &Store, forgotten: &Forgotten) -> usize {
    let corpus = directory.join("corpus");
    let same = |path: &Path| {
        let (one, other) = (path.canonicalize().ok(), store.root().canonicalize().ok());
        one.is_some() && one == other
    };
    if same(&corpus) || same(&corpus.join("store")) {
        return forgotten.documents.len();
    }
    let names: HashSet<&str> = forgotten.documents.iter().map(String::as_str).collect();
    let text = std::fs::read_to_string(corpus.join("documents.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["id"].as_str().is_some_and(|id| names.contains(id)))
        .count()
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
