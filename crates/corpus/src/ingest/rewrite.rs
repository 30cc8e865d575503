//! Documents and dialogues rewritten after posts of their threads are erased.
//!
//! The posts that stay are read from the store, masked as the ingest masked them, and written by the
//! same code. A bucket's dialogues are written before its documents: a run that is stopped in between
//! finds the thread by its document when it is repeated.

use super::attributes::{self, Mark, VERDICT};
use super::counts::ThreadCounts;
use super::lines::{dialogue_lines, document_line, mask};
use super::manifest::Manifest;
use super::options::Stage;
use super::{BUCKETS, workdir};
use crate::conversations::{Conversation, reading_order};
use crate::error::CorpusError;
use crate::store::{AuthorKey, Store, at, each_line};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use stoa_posts::{Durability, Post, Split, Values, read_columns, read_posts, write_whole_with};

/// What was rewritten.
#[derive(Default)]
pub(super) struct Rewritten {
    /// Threads, by name, in order.
    pub(super) threads: Vec<String>,
    /// Files, by path in the store.
    pub(super) files: Vec<String>,
}

/// What a line of a document says of itself.
#[derive(Deserialize)]
struct DocumentPosts {
    id: String,
    split: Split,
    posts: Vec<String>,
}

/// A line of a document, for counting.
#[derive(Deserialize)]
struct DocumentText {
    id: String,
    split: Split,
    text: String,
}

/// What a line of a dialogue says of itself.
#[derive(Deserialize)]
struct DialogueThread {
    thread: String,
}

/// The posts that stay, by identifier, each with its place in the order of reading.
type Living = HashMap<String, Vec<(u64, Post)>>;

/// Rewrites every thread whose documents hold one of the posts that are `gone`.
pub(super) fn threads(
    store: &Store,
    key: &AuthorKey,
    manifest: &Manifest,
    gone: &HashSet<&str>,
) -> Result<Rewritten, CorpusError> {
    // Threads that held what is gone, by bucket: the posts that each of their documents lists.
    let mut hit: BTreeMap<usize, HashMap<String, Vec<String>>> = BTreeMap::new();
    for bucket in (0..BUCKETS).filter(|&bucket| store.documents(bucket).exists()) {
        let path = store.documents(bucket);
        let mut threads: HashMap<String, Vec<String>> = HashMap::new();
        each_line(&path, |document: DocumentPosts, _| {
            if document.posts.iter().any(|id| gone.contains(id.as_str())) {
                threads.insert(document.id, Vec::new());
            }
            Ok(())
        })?;
        if threads.is_empty() {
            continue;
        }
        // A thread may have several documents, and names its people by all of its posts.
        each_line(&path, |document: DocumentPosts, _| {
            if let Some(posts) = threads.get_mut(&document.id) {
                posts.extend(document.posts);
            }
            Ok(())
        })?;
        hit.insert(bucket, threads);
    }
    let wanted: HashSet<&str> =
        hit.values().flat_map(HashMap::values).flatten().map(String::as_str).collect();
    let living = living_posts(store, manifest, &wanted)?;
    let mut rewritten = Rewritten::default();
    for (bucket, threads) in hit {
        let names: Vec<String> = threads.keys().cloned().collect();
        let threads = threads.into_iter().map(|(id, posts)| thread(id, &posts, &living));
        let files = rewrite(store, key, bucket, threads.collect())?;
        rewritten.threads.extend(names);
        rewritten.files.extend(files);
    }
    rewritten.threads.sort();
    Ok(rewritten)
}

/// Counts again what documents and dialogues a store holds. Missing parents stay as they were counted
/// when all posts of a thread were at hand.
pub(super) fn recount(store: &Store, gathered: &mut ThreadCounts) -> Result<(), CorpusError> {
    let mut counted = ThreadCounts { threads: 0, held_out: 0, dialogues: 0, bytes: 0, ..*gathered };
    for bucket in (0..BUCKETS).filter(|&bucket| store.documents(bucket).exists()) {
        // A thread is in one bucket, and its documents follow each other.
        let mut last = None;
        each_line(&store.documents(bucket), |line: DocumentText, _| {
            counted.held_out += u64::from(line.split == Split::HeldOut);
            counted.bytes += line.text.len() as u64;
            if last.as_ref() != Some(&line.id) {
                counted.threads += 1;
                last = Some(line.id);
            }
            Ok(())
        })?;
        if store.dialogues(bucket).exists() {
            each_line(&store.dialogues(bucket), |_: DialogueThread, _| {
                counted.dialogues += 1;
                Ok(())
            })?;
        }
    }
    *gathered = counted;
    Ok(())
}

/// What is left of a thread.
fn thread(id: String, listed: &[String], living: &Living) -> (String, Conversation) {
    let mut times: HashMap<&str, usize> = HashMap::new();
    listed.iter().for_each(|id| *times.entry(id).or_default() += 1);
    let mut posts: Vec<&(u64, Post)> = times
        .into_iter()
        .filter_map(|(id, times)| Some(living.get(id)?.iter().take(times)))
        .flatten()
        .collect();
    posts.sort_by_key(|(place, _)| *place);
    let posts = posts.into_iter().map(|(_, post)| post.clone()).collect();
    (id.clone(), reading_order(id, posts))
}

/// Writes a bucket's dialogues and documents with some of its threads rewritten; names the files.
fn rewrite(
    store: &Store,
    key: &AuthorKey,
    bucket: usize,
    threads: HashMap<String, Conversation>,
) -> Result<Vec<String>, CorpusError> {
    let (documents, dialogues) = (store.documents(bucket), store.dialogues(bucket));
    // The posts of each document that is left, in the order of reading, as a thread of its own.
    let part = |document: &DocumentPosts| {
        let thread = threads.get(&document.id)?;
        let listed: HashSet<&str> = document.posts.iter().map(String::as_str).collect();
        let kept: Vec<bool> =
            thread.replies.iter().map(|reply| listed.contains(reply.post.id.as_str())).collect();
        Some((thread, thread.clone().retain(&kept)))
    };
    let mut files = Vec::new();
    if dialogues.exists() {
        let mut dialogues_of: HashMap<String, Vec<String>> = HashMap::new();
        each_line(&documents, |document: DocumentPosts, _| {
            if let Some((thread, part)) = part(&document) {
                let lines = dialogue_lines(key, thread, &part.replies, document.split);
                dialogues_of.entry(document.id).or_default().extend(lines);
            }
            Ok(())
        })?;
        rewrite_lines(&dialogues, store.durability(), |line: DialogueThread| {
            // All dialogues of a thread stand where its first one stood.
            threads
                .contains_key(&line.thread)
                .then(|| dialogues_of.remove(&line.thread).unwrap_or_default())
        })?;
        files.push(format!("dialogues/{bucket:02}.jsonl"));
    }
    rewrite_lines(&documents, store.durability(), |document: DocumentPosts| {
        let (thread, part) = part(&document)?;
        let left = (!part.replies.is_empty())
            .then(|| document_line(key, thread, &part.replies, document.split).line);
        Some(left.into_iter().collect())
    })?;
    files.push(format!("documents/{bucket:02}.jsonl"));
    Ok(files)
}

/// The posts of some identifiers that are still kept, as documents hold them.
fn living_posts(
    store: &Store,
    manifest: &Manifest,
    wanted: &HashSet<&str>,
) -> Result<Living, CorpusError> {
    let mut living = Living::new();
    for (index, shard) in manifest.shards.keys().enumerate() {
        let ids = read_columns(&store.posts(shard), &["id"])?;
        let ids = ids.into_iter().next().flatten().and_then(Values::into_texts).unwrap_or_default();
        if !ids.iter().flatten().any(|id| wanted.contains(id.as_str())) {
            continue;
        }
        let marks = attributes::read(store, VERDICT, shard)?;
        let posts = read_posts(&store.posts(shard))?.into_iter().zip(marks).enumerate();
        for (row, (mut post, mark)) in posts {
            if mark == Mark::Kept && wanted.contains(post.id.as_str()) {
                if manifest.ran(Stage::Pii) {
                    mask(&mut post);
                }
                let place = workdir::place(index, row);
                living.entry(post.id.clone()).or_default().push((place, post));
            }
        }
    }
    Ok(living)
}

/// Writes a file again with other lines where `rewrite` gives some, and as it was elsewhere.
fn rewrite_lines<T: serde::de::DeserializeOwned>(
    path: &Path,
    durability: Durability,
    mut rewrite: impl FnMut(T) -> Option<Vec<String>>,
) -> Result<(), CorpusError> {
    write_whole_with(path, durability, |file| {
        let mut out = BufWriter::new(file);
        each_line(path, |read: T, text| match rewrite(read) {
            None => out.write_all(text.as_bytes()).map_err(at(path)),
            Some(lines) => {
                lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(at(path))
            }
        })?;
        out.flush().map_err(at(path))
    })
}
