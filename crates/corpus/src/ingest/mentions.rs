//! The names of forgotten people in what others wrote: placeholders for their handles, for links to
//! their profiles, and for their names without a sign where these are written like no word.
//!
//! A store knows people by keyed hashes, so that each name that a text holds is hashed and compared.

use super::manifest::Manifest;
use crate::error::CorpusError;
use crate::store::{AuthorKey, Store};
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use stoa_posts::pii::{self, Account, Finding, PiiKind};
use stoa_posts::{Values, read_columns, read_posts, write_posts};

/// Shortest name without a sign that is looked for.
const BARE_LETTERS: usize = 4;

/// What was masked.
#[derive(Default)]
pub(super) struct Masked {
    /// Posts in which a name was masked, now or before: their documents are written again, as a
    /// forgetting that was stopped may have left them as they were.
    pub(super) posts: Vec<String>,
    /// Posts in which a name was masked now.
    pub(super) changed: u64,
    /// Files, by path in the store.
    pub(super) files: BTreeSet<String>,
}

/// Masks the names of some authors, given by their hashes, in every post of a store.
pub(super) fn mask(
    store: &Store,
    key: &AuthorKey,
    manifest: &Manifest,
    authors: &HashSet<String>,
) -> Result<Masked, CorpusError> {
    let mut masked = Masked::default();
    if authors.is_empty() {
        return Ok(masked);
    }
    for shard in manifest.shards.keys() {
        let path = store.posts(shard);
        let texts = read_columns(&path, &["text"])?.pop().flatten();
        let texts = texts.and_then(Values::into_texts).unwrap_or_default();
        let found: Vec<Vec<Finding>> = texts
            .iter()
            .map(|text| text.as_deref().map_or(Vec::new(), |text| names_in(text, key, authors)))
            .collect();
        let before = |text: &Option<String>| {
            text.as_deref().is_some_and(|text| text.contains(PiiKind::Handle.placeholder()))
        };
        if found.iter().all(Vec::is_empty) && !texts.iter().any(before) {
            continue;
        }
        let mut posts = read_posts(&path)?;
        let mut changed = 0;
        for ((post, found), text) in posts.iter_mut().zip(&found).zip(&texts) {
            if !found.is_empty() {
                post.text = pii::mask(&post.text, found).into_owned();
                changed += 1;
            }
            if !found.is_empty() || before(text) {
                masked.posts.push(post.id.clone());
            }
        }
        if changed > 0 {
            masked.changed += changed;
            write_posts(&path, store.durability(), &posts)?;
            masked.files.insert(format!("posts/{shard}.parquet"));
        }
    }
    Ok(masked)
}

/// Where a text names one of some authors, in order.
fn names_in(text: &str, key: &AuthorKey, authors: &HashSet<String>) -> Vec<Finding> {
    let mut named = pii::accounts(text);
    let taken: Vec<Range<usize>> = named.iter().map(|account| account.range.clone()).collect();
    let outside = |account: &Account| {
        let range = &account.range;
        taken.iter().all(|taken| range.end <= taken.start || taken.end <= range.start)
    };
    named.extend(bare_names(text).filter(outside));
    named.retain(|account| account.names().iter().any(|name| authors.contains(&key.hash(name))));
    named.sort_by_key(|account| account.range.start);
    let found = |account: Account| Finding { kind: PiiKind::Handle, range: account.range };
    named.into_iter().map(found).collect()
}

/// Words that no language writes, with letters and an underscore or a digit: names without a sign.
fn bare_names(text: &str) -> impl Iterator<Item = Account> {
    let start = text.as_ptr() as usize;
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| {
            let sign = |letter: char| letter == '_' || letter.is_ascii_digit();
            word.len() >= BARE_LETTERS
                && word.contains(sign)
                && word.contains(|letter: char| letter.is_ascii_alphabetic())
        })
        .map(move |word| {
            let at = word.as_ptr() as usize - start;
            Account { range: at..at + word.len(), name: word.to_string() }
        })
}
