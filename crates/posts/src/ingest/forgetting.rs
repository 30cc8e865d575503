//! Removing posts or people from a store that is finished: rows, documents, dialogues, manifest.
//!
//! The words go; the identifier stays with its tombstone, so that the post is known as gone. Files
//! are rewritten one after the other and the manifest last: interrupted, it is run again.

use super::attributes::{self, Mark};
use super::gathering::VERDICT;
use super::manifest::{self, Manifest};
use crate::conversations::reading_order;
use crate::corpus::{Split, document, thread_dialogues};
use crate::error::PostsError;
use crate::post::{Post, Removal, Tombstone};
use crate::store::{AuthorKey, Store, Values, read_columns, read_posts, write_posts, write_whole};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Rows whose words are gone.
    pub posts: u64,
    /// Their identifiers.
    pub ids: Vec<String>,
    /// Files that were rewritten, by path in the store.
    pub files: Vec<String>,
    /// Documents that held their words.
    pub documents: Vec<String>,
}

/// Whom to forget.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Identifiers of posts.
    pub ids: HashSet<String>,
    /// Hashes of authors.
    pub authors: HashSet<String>,
    /// When it was asked for, in Unix seconds.
    pub at_unix_seconds: i64,
}

/// Removes what is asked for.
///
/// # Errors
/// No finished store; a file that cannot be read or written.
pub fn forget(store: &Store, key: &AuthorKey, request: &Request) -> Result<Forgotten, PostsError> {
    let mut manifest = Manifest::read(store)?;
    let mut forgotten = Forgotten::default();
    for shard in manifest.shards.keys() {
        forget_rows(store, shard, request, &mut forgotten)?;
    }
    if forgotten.posts == 0 {
        return Ok(forgotten);
    }
    let gone: HashSet<&str> = forgotten.ids.iter().map(String::as_str).collect();
    let (documents, files) = rewrite_threads(store, key, &manifest, &gone)?;
    forgotten.documents = documents;
    forgotten.files.extend(files);
    manifest.recount(store)?;
    manifest.write(store)?;
    forgotten.files.push("manifest.json".to_string());
    Ok(forgotten)
}

fn forget_rows(
    store: &Store,
    shard: &str,
    request: &Request,
    forgotten: &mut Forgotten,
) -> Result<(), PostsError> {
    let path = store.posts(shard);
    let asked = ["id", "author", "author_id"];
    let mut columns = read_columns(&path, &asked)?.into_iter();
    let mut next = || columns.next().flatten().and_then(Values::into_texts).unwrap_or_default();
    let (ids, authors, author_ids) = (next(), next(), next());
    let named = |names: &HashSet<String>, name: &Option<String>| {
        name.as_ref().is_some_and(|name| names.contains(name))
    };
    let rows: Vec<usize> = (0..ids.len())
        .filter(|&row| {
            named(&request.ids, &ids[row])
                || named(&request.authors, &authors[row])
                || author_ids.get(row).is_some_and(|id| named(&request.authors, id))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut posts = read_posts(&path)?;
    for &row in &rows {
        let post = &mut posts[row];
        post.text.clear();
        post.source_app = None;
        post.tombstone.get_or_insert(Tombstone {
            at_unix_seconds: Some(request.at_unix_seconds),
            removal: Removal::Forgotten,
        });
        forgotten.posts += 1;
        forgotten.ids.push(post.id.clone());
    }
    // Verdicts first: a run stopped in between has dropped the post already.
    for rule in [VERDICT, "tombstone"] {
        let mut marks = attributes::read(store, rule, shard)?;
        for &row in &rows {
            let removal = posts[row].tombstone.map_or("", |tombstone| tombstone.removal.name());
            marks[row] = Mark::dropped(if rule == VERDICT { "tombstone" } else { removal });
        }
        attributes::write(store, rule, shard, &posts, &marks, Vec::new())?;
        forgotten.files.push(format!("attrs/{rule}/{shard}.parquet"));
    }
    write_posts(&path, &posts)?;
    forgotten.files.push(format!("posts/{shard}.parquet"));
    Ok(())
}

/// Rewrites the documents that held forgotten posts, and the dialogues of their threads; names the
/// documents and the files.
fn rewrite_threads(
    store: &Store,
    key: &AuthorKey,
    manifest: &Manifest,
    gone: &HashSet<&str>,
) -> Result<(Vec<String>, Vec<String>), PostsError> {
    let identify = |handle: &str| key.hash(handle);
    let (mut names, mut files) = (Vec::new(), Vec::new());
    for bucket in 0..super::BUCKETS {
        let path = store.documents(bucket);
        if !path.exists() {
            continue;
        }
        let mut lines = read_lines(&path)?;
        let posts_of = |line: &Value| -> Vec<String> {
            let ids = line["posts"].as_array().into_iter().flatten();
            ids.filter_map(Value::as_str).map(str::to_string).collect()
        };
        let hit = |line: &Value| posts_of(line).iter().any(|id| gone.contains(id.as_str()));
        let affected: HashSet<String> = lines
            .iter()
            .filter(|line| hit(line))
            .filter_map(|line| line["id"].as_str().map(str::to_string))
            .collect();
        if affected.is_empty() {
            continue;
        }
        let wanted: HashSet<String> = lines
            .iter()
            .filter(|line| line["id"].as_str().is_some_and(|id| affected.contains(id)))
            .flat_map(posts_of)
            .collect();
        let living = living_posts(store, manifest, &wanted)?;
        let mut dialogues: HashMap<String, Vec<Value>> = HashMap::new();
        for line in &mut lines {
            let Some(id) = line["id"].as_str().map(str::to_string) else { continue };
            if !affected.contains(&id) {
                continue;
            }
            let posts: Vec<Post> =
                posts_of(line).iter().filter_map(|id| living.get(id).cloned()).collect();
            let split =
                if line["split"] == json!(Split::HeldOut) { Split::HeldOut } else { Split::Train };
            if posts.is_empty() {
                *line = Value::Null;
                continue;
            }
            let thread = reading_order(id.clone(), posts);
            let document = document(&thread, &thread.replies, split, &identify);
            let ids: Vec<&str> =
                thread.replies.iter().map(|reply| reply.post.id.as_str()).collect();
            *line = json!({"id": document.id, "text": document.text, "language": document.language,
                "split": document.split, "posts": ids});
            if split == Split::Train {
                let told = thread_dialogues(&thread, &thread.replies, &identify);
                dialogues.entry(id.clone()).or_default().extend(told.into_iter().map(|dialogue| {
                    let messages: Vec<Value> = dialogue
                        .turns
                        .iter()
                        .map(|turn| json!({"role": turn.role, "content": turn.text}))
                        .collect();
                    json!({"messages": messages, "language": dialogue.language, "thread": id})
                }));
            }
        }
        lines.retain(|line| !line.is_null());
        write_lines(&path, &lines)?;
        files.push(format!("documents/{bucket:02}.jsonl"));
        let path = store.dialogues(bucket);
        if path.exists() {
            let mut told = Vec::new();
            let mut placed: HashSet<String> = HashSet::new();
            for line in read_lines(&path)? {
                let thread = line["thread"].as_str().unwrap_or("").to_string();
                if !affected.contains(&thread) {
                    told.push(line);
                } else if placed.insert(thread.clone()) {
                    told.extend(dialogues.remove(&thread).unwrap_or_default());
                }
            }
            write_lines(&path, &told)?;
            files.push(format!("dialogues/{bucket:02}.jsonl"));
        }
        names.extend(affected);
    }
    names.sort();
    Ok((names, files))
}

/// The posts of some identifiers that are still kept.
fn living_posts(
    store: &Store,
    manifest: &Manifest,
    wanted: &HashSet<String>,
) -> Result<HashMap<String, Post>, PostsError> {
    let mut living = HashMap::new();
    for shard in manifest.shards.keys() {
        let ids = read_columns(&store.posts(shard), &["id"])?;
        let ids = ids.into_iter().next().flatten().and_then(Values::into_texts).unwrap_or_default();
        if !ids.iter().flatten().any(|id| wanted.contains(id)) {
            continue;
        }
        let marks = attributes::read(store, VERDICT, shard)?;
        for (post, mark) in read_posts(&store.posts(shard))?.into_iter().zip(marks) {
            if mark == Mark::Kept && wanted.contains(&post.id) {
                living.insert(post.id.clone(), post);
            }
        }
    }
    Ok(living)
}

fn read_lines(path: &Path) -> Result<Vec<Value>, PostsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| PostsError::Io { path: path.to_path_buf(), cause })?;
    let mut lines = Vec::new();
    for (line, text) in text.lines().enumerate() {
        lines.push(serde_json::from_str(text).map_err(|error| PostsError::WrongJson {
            path: path.to_path_buf(),
            line: line as u64 + 1,
            byte_offset: 0,
            cause: error.to_string(),
        })?);
    }
    Ok(lines)
}

fn write_lines(path: &Path, lines: &[Value]) -> Result<(), PostsError> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write_whole(path, text.as_bytes())
}

impl Manifest {
    /// Counts and checksums again what a store holds.
    fn recount(&mut self, store: &Store) -> Result<(), PostsError> {
        let names: Vec<String> = self.stages.iter().map(|stage| stage.stage.clone()).collect();
        let shards: Vec<String> = self.shards.keys().cloned().collect();
        self.stages = manifest::count(store, &shards, &names)?;
        self.kept = self.stages.last().map_or(0, |verdict| verdict.kept);
        self.files = manifest::checksums(store)?;
        Ok(())
    }
}
