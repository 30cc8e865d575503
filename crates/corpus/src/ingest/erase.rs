//! Removing posts or people from a store that is finished: rows, verdicts, documents, dialogues,
//! manifest.
//!
//! The words go, with everything that was made of them; the identifier stays with its tombstone, so
//! that the post is known as gone. A repost holds the words of another post and goes with it. Where
//! others name a forgotten person, a placeholder stands for the name (`mentions`). Files are rewritten
//! one after the other and the manifest last: interrupted, it is run again.

use super::attributes::{self, Mark, VERDICT};
use super::manifest::{self, Manifest};
use super::mentions;
use super::rewrite;
use crate::error::CorpusError;
use crate::store::{AuthorKey, Store};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap, HashSet};
use stoa_posts::{
    Language, LanguageSource, Post, Removal, Tombstone, Values, read_columns, read_posts,
    write_posts,
};

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Rows whose words are gone, reposts of them included.
    pub posts: u64,
    /// Their identifiers.
    pub ids: Vec<String>,
    /// Files that were rewritten, by path in the store.
    pub files: Vec<String>,
    /// Documents that held their words, or named them.
    pub documents: Vec<String>,
    /// Posts of others in which their names were masked.
    pub mentions: u64,
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
pub fn forget(store: &Store, key: &AuthorKey, request: &Request) -> Result<Forgotten, CorpusError> {
    let mut manifest = Manifest::read(store)?;
    // An ingest that was stopped at its very end may have left the posts as they were read.
    let state = store.state();
    if state.exists() {
        std::fs::remove_dir_all(&state).map_err(|cause| CorpusError::Io { path: state, cause })?;
    }
    let asked = asked_for(store, &manifest, request)?;
    let mut forgotten = Forgotten::default();
    let mut files = BTreeSet::new();
    // Reposts first: they are found by the words they repeat.
    let reposts = reposts(store, key, &manifest, request, &asked)?;
    for rows in [reposts, asked.rows] {
        for (shard, rows) in rows {
            forgotten.posts += rows.len() as u64;
            forget_rows(store, &manifest, &shard, &rows, request, &mut forgotten.ids, &mut files)?;
        }
    }
    let masked = mentions::mask(store, key, &manifest, &request.authors)?;
    if forgotten.posts == 0 && masked.posts.is_empty() {
        return Ok(forgotten);
    }
    forgotten.mentions = masked.changed;
    files.extend(masked.files);
    let gone: HashSet<&str> =
        forgotten.ids.iter().chain(&masked.posts).map(String::as_str).collect();
    let rewritten = rewrite::threads(store, key, &manifest, &gone)?;
    forgotten.documents = rewritten.threads;
    files.extend(rewritten.files);
    manifest.recount(store)?;
    manifest.write(store)?;
    forgotten.files = files.into_iter().chain(["manifest.json".to_string()]).collect();
    Ok(forgotten)
}

/// Rows by shard.
type Rows = Vec<(String, Vec<usize>)>;

/// The rows that a request names.
#[derive(Default)]
struct Asked {
    rows: Rows,
    ids: HashSet<String>,
    /// Their words by author: what reposts without a reference repeat.
    words: HashMap<String, Vec<String>>,
}

fn texts(
    store: &Store,
    shard: &str,
    names: &[&str],
) -> Result<Vec<Vec<Option<String>>>, CorpusError> {
    let columns = read_columns(&store.posts(shard), names)?.into_iter();
    Ok(columns.map(|column| column.and_then(Values::into_texts).unwrap_or_default()).collect())
}

fn asked_for(store: &Store, manifest: &Manifest, request: &Request) -> Result<Asked, CorpusError> {
    let mut asked = Asked::default();
    let named = |names: &HashSet<String>, name: Option<&Option<String>>| {
        name.and_then(Option::as_ref).is_some_and(|name| names.contains(name))
    };
    for shard in manifest.shards.keys() {
        let columns = texts(store, shard, &["id", "author", "author_id"])?;
        let [ids, authors, author_ids] = columns.as_slice() else { continue };
        let rows: Vec<usize> = (0..ids.len())
            .filter(|&row| {
                named(&request.ids, ids.get(row))
                    || named(&request.authors, authors.get(row))
                    || named(&request.authors, author_ids.get(row))
            })
            .collect();
        if rows.is_empty() {
            continue;
        }
        let bodies = texts(store, shard, &["text"])?.pop().unwrap_or_default();
        for &row in &rows {
            asked.ids.extend(ids[row].clone());
            let author = authors[row].clone().unwrap_or_default();
            let body = bodies.get(row).cloned().flatten().filter(|body| !body.is_empty());
            if let Some(body) = body.filter(|_| !author.is_empty()) {
                asked.words.entry(author).or_default().push(body);
            }
        }
        asked.rows.push((shard.clone(), rows));
    }
    Ok(asked)
}

/// The rows that repeat what is asked for: by reference, or as `RT @author: words`.
fn reposts(
    store: &Store,
    key: &AuthorKey,
    manifest: &Manifest,
    request: &Request,
    asked: &Asked,
) -> Result<Rows, CorpusError> {
    let repeats = |body: &str| {
        let Some((handle, words)) = body.strip_prefix("RT @").and_then(|rest| rest.split_once(':'))
        else {
            return false;
        };
        let author = key.hash(handle);
        // A repost may be cut where it became too long.
        let words = words.trim().trim_end_matches('…');
        request.authors.contains(&author)
            || asked.words.get(&author).is_some_and(|bodies| {
                !words.is_empty() && bodies.iter().any(|body| body.starts_with(words))
            })
    };
    let mut rows = Rows::new();
    for shard in manifest.shards.keys() {
        let columns = texts(store, shard, &["id", "reposts", "text"])?;
        let [ids, originals, bodies] = columns.as_slice() else { continue };
        let own = asked.rows.iter().find(|(name, _)| name == shard).map(|(_, rows)| rows);
        let found: Vec<usize> = (0..ids.len())
            .filter(|row| own.is_none_or(|own| own.binary_search(row).is_err()))
            .filter(|&row| {
                let original = originals.get(row).and_then(Option::as_ref);
                original.is_some_and(|original| asked.ids.contains(original))
                    || bodies.get(row).and_then(Option::as_deref).is_some_and(repeats)
            })
            .collect();
        if !found.is_empty() {
            rows.push((shard.clone(), found));
        }
    }
    Ok(rows)
}

/// Takes the words out of some rows of a shard, and every verdict on them but that they are gone.
fn forget_rows(
    store: &Store,
    manifest: &Manifest,
    shard: &str,
    rows: &[usize],
    request: &Request,
    ids: &mut Vec<String>,
    files: &mut BTreeSet<String>,
) -> Result<(), CorpusError> {
    let path = store.posts(shard);
    let mut posts = read_posts(&path)?;
    for &row in rows {
        ids.push(posts[row].id.clone());
        clear(&mut posts[row], request.at_unix_seconds);
    }
    // Verdicts first: a run stopped in between has dropped the post already.
    for rule in [VERDICT, "tombstone"] {
        let mut marks = attributes::read(store, rule, shard)?;
        for &row in rows {
            let removal = posts[row].tombstone.map_or("", |tombstone| tombstone.removal.name());
            marks[row] = Mark::dropped(if rule == VERDICT { "tombstone" } else { removal });
        }
        attributes::write(store, rule, shard, &posts, &marks, Vec::new())?;
        files.insert(format!("attrs/{rule}/{shard}.parquet"));
    }
    let others = manifest.stages.iter().map(|stage| stage.stage.as_str());
    for rule in others.filter(|rule| ![VERDICT, "tombstone"].contains(rule)) {
        attributes::clear(store, rule, shard, &posts, rows)?;
        files.insert(format!("attrs/{}/{shard}.parquet", attributes::directory(rule)));
    }
    write_posts(&path, store.durability(), &posts)?;
    files.insert(format!("posts/{shard}.parquet"));
    Ok(())
}

/// Leaves of a post who wrote it, when and where in a thread, and that it is gone.
fn clear(post: &mut Post, at_unix_seconds: i64) {
    post.text.clear();
    post.language = Language::Undetermined;
    post.language_source = LanguageSource::None;
    post.source_app = None;
    post.tombstone.get_or_insert(Tombstone {
        at_unix_seconds: Some(at_unix_seconds),
        removal: Removal::Forgotten,
    });
}

impl Manifest {
    /// Counts and checksums again what a store holds.
    fn recount(&mut self, store: &Store) -> Result<(), CorpusError> {
        let names: Vec<String> = self.stages.iter().map(|stage| stage.stage.clone()).collect();
        let shards: Vec<String> = self.shards.keys().cloned().collect();
        self.stages = manifest::count(store, &shards, &names)?;
        self.kept = self.stages.last().map_or(0, |verdict| verdict.kept);
        if let Some(gathered) = &mut self.gathered {
            rewrite::recount(store, gathered)?;
        }
        self.files = manifest::checksums(store)?;
        Ok(())
    }
}
