//! What can be asked of a store: one post's path through the rules, counts, a sample, differences.
//!
//! Everything here reads; nothing changes the store.

use super::attributes::{self, Mark, VERDICT};
use super::manifest::Manifest;
use crate::error::CorpusError;
use crate::store::Store;
use serde::Serialize;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use stoa_posts::{Post, Values, read_columns, read_posts};
use stoa_random::{mix, stable_hash};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// A rule's word on a post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleVerdict {
    /// The rule.
    pub rule: String,
    /// Whether it kept the post; nothing when it was not asked.
    pub kept: Option<bool>,
    /// Why it dropped the post.
    pub reason: Option<String>,
    /// The post this one repeats.
    pub of: Option<String>,
}

/// A post with its path through the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The shard it stands in.
    pub shard: String,
    /// Its row there, from 0.
    pub row: usize,
    /// The post.
    pub post: Post,
    /// What each rule says of it, in the order of the rules; the sum of all last.
    pub verdicts: Vec<RuleVerdict>,
}

/// Every row with an identifier, and what the rules say of it.
///
/// # Errors
/// No finished store; a file that cannot be read.
pub fn explain(store: &Store, id: &str) -> Result<Vec<Explained>, CorpusError> {
    let manifest = Manifest::read(store)?;
    let mut explained = Vec::new();
    for shard in manifest.shards.keys() {
        let ids = ids(store, shard)?;
        let rows: Vec<usize> =
            (0..ids.len()).filter(|&row| ids[row].as_deref() == Some(id)).collect();
        if rows.is_empty() {
            continue;
        }
        let posts = read_posts(&store.posts(shard))?;
        let mut verdicts: Vec<Vec<RuleVerdict>> = vec![Vec::new(); rows.len()];
        for stage in &manifest.stages {
            let marks = attributes::read(store, &stage.stage, shard)?;
            for (verdicts, &row) in verdicts.iter_mut().zip(&rows) {
                let mark = marks.get(row).cloned().unwrap_or_default();
                let kept = (mark != Mark::Unasked).then_some(mark == Mark::Kept);
                let (reason, of) = match mark {
                    Mark::Dropped { reason, of } => (Some(reason), of),
                    _ => (None, None),
                };
                verdicts.push(RuleVerdict { rule: stage.stage.clone(), kept, reason, of });
            }
        }
        for (row, verdicts) in rows.into_iter().zip(verdicts) {
            explained.push(Explained {
                shard: shard.clone(),
                row,
                post: posts[row].clone(),
                verdicts,
            });
        }
    }
    Ok(explained)
}

fn ids(store: &Store, shard: &str) -> Result<Vec<Option<String>>, CorpusError> {
    texts(store, shard, "id")
}

fn texts(store: &Store, shard: &str, column: &str) -> Result<Vec<Option<String>>, CorpusError> {
    let columns = read_columns(&store.posts(shard), &[column])?;
    Ok(columns.into_iter().next().flatten().and_then(Values::into_texts).unwrap_or_default())
}

/// Posts, and how many of them were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survival {
    /// Rows.
    pub posts: u64,
    /// Kept by every rule.
    pub kept: u64,
}

/// Counts of a store beyond its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// All posts.
    pub all: Survival,
    /// By language.
    pub by_language: BTreeMap<String, Survival>,
    /// By source, so that a source that a rule wiped out is seen.
    pub by_source: BTreeMap<String, Survival>,
    /// By basis of use.
    pub by_basis: BTreeMap<String, Survival>,
    /// Posts that are gone, by what removed them.
    pub removed: BTreeMap<String, u64>,
    /// Authors by hash, and those with a kept post.
    pub authors: Survival,
    /// Bytes of text of kept posts.
    pub text_bytes: u64,
    /// Posts in the largest group of copies, the kept one included.
    pub largest_cluster: u64,
    /// First and last time of kept posts, in Unix seconds.
    pub created: Option<(i64, i64)>,
}

/// Counts a store.
///
/// # Errors
/// No finished store; a file that cannot be read.
pub fn statistics(store: &Store) -> Result<Statistics, CorpusError> {
    let manifest = Manifest::read(store)?;
    let mut statistics = Statistics::default();
    let (mut authors, mut kept_authors) = (HashSet::new(), HashSet::new());
    let mut clusters: HashMap<u128, u64> = HashMap::new();
    for shard in manifest.shards.keys() {
        let posts = read_posts(&store.posts(shard))?;
        let marks = attributes::read(store, VERDICT, shard)?;
        for (post, mark) in posts.iter().zip(&marks) {
            let kept = *mark == Mark::Kept;
            let language = post.language.code().to_string();
            let source = post.origin.source.to_string();
            for survival in [
                &mut statistics.all,
                statistics.by_language.entry(language).or_default(),
                statistics.by_source.entry(source).or_default(),
                statistics.by_basis.entry(post.basis.clone()).or_default(),
            ] {
                survival.posts += 1;
                survival.kept += u64::from(kept);
            }
            if !post.author.is_empty() {
                let author = xxh3_64(post.author.as_bytes());
                authors.insert(author);
                if kept {
                    kept_authors.insert(author);
                }
            }
            if let Some(tombstone) = post.tombstone {
                *statistics.removed.entry(tombstone.removal.name().to_string()).or_insert(0) += 1;
            }
            if let Mark::Dropped { of: Some(of), .. } = mark {
                *clusters.entry(xxh3_128(of.as_bytes())).or_insert(1) += 1;
            }
            if kept {
                statistics.text_bytes += post.text.len() as u64;
                if let Some(at) = post.created_at_unix_seconds {
                    let (first, last) = statistics.created.unwrap_or((at, at));
                    statistics.created = Some((first.min(at), last.max(at)));
                }
            }
        }
    }
    statistics.authors = Survival { posts: authors.len() as u64, kept: kept_authors.len() as u64 };
    statistics.largest_cluster = clusters.into_values().max().unwrap_or(0);
    Ok(statistics)
}

/// A drawn post with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sampled {
    /// The post.
    pub post: Post,
    /// The first rule that dropped it; nothing when it was kept.
    pub dropped_by: Option<String>,
}

/// Draws `count` posts; with `wanted` only those that this rule dropped, or `kept` ones. The same
/// store and seed give the same posts.
///
/// # Errors
/// No finished store; a rule that it does not have; a file that cannot be read.
pub fn sample(
    store: &Store,
    count: usize,
    seed: u64,
    wanted: Option<&str>,
) -> Result<Vec<Sampled>, CorpusError> {
    let manifest = Manifest::read(store)?;
    if let Some(name) = wanted {
        let rules = manifest.stages.iter().map(|stage| stage.stage.as_str());
        let known: Vec<&str> = rules.filter(|rule| *rule != VERDICT).chain(["kept"]).collect();
        if !known.contains(&name) {
            let (name, known) = (name.to_string(), known.join(", "));
            return Err(CorpusError::UnknownRule { name, known });
        }
    }
    // The rows of lowest hash: a uniform draw that needs no second pass.
    let mut drawn: BinaryHeap<(u64, String, usize, Option<String>)> = BinaryHeap::new();
    for shard in manifest.shards.keys() {
        let ids = ids(store, shard)?;
        let marks = attributes::read(store, VERDICT, shard)?;
        for (row, (id, mark)) in ids.iter().zip(marks).enumerate() {
            let dropped_by = match mark {
                Mark::Dropped { reason, .. } => Some(reason),
                _ => None,
            };
            let fits = match wanted {
                None => true,
                Some("kept") => dropped_by.is_none(),
                Some(rule) => dropped_by.as_deref() == Some(rule),
            };
            if fits {
                let id = id.as_deref().unwrap_or("");
                let rank = mix(seed ^ stable_hash(format!("{shard}/{row}/{id}").as_bytes()));
                drawn.push((rank, shard.clone(), row, dropped_by));
                if drawn.len() > count {
                    drawn.pop();
                }
            }
        }
    }
    let mut by_shard: BTreeMap<String, Vec<(u64, usize, Option<String>)>> = BTreeMap::new();
    for (rank, shard, row, dropped_by) in drawn {
        by_shard.entry(shard).or_default().push((rank, row, dropped_by));
    }
    let mut sampled = Vec::new();
    for (shard, rows) in by_shard {
        let posts = read_posts(&store.posts(&shard))?;
        for (rank, row, dropped_by) in rows {
            sampled.push((rank, Sampled { post: posts[row].clone(), dropped_by }));
        }
    }
    sampled.sort_by_key(|(rank, _)| *rank);
    Ok(sampled.into_iter().map(|(_, sampled)| sampled).collect())
}

/// How two stores differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Identifiers that only the first has.
    pub only_before: u64,
    /// Identifiers that only the second has.
    pub only_after: u64,
    /// Kept in both.
    pub kept_in_both: u64,
    /// Kept before and dropped after, by the rule that drops them now.
    pub now_dropped: BTreeMap<String, u64>,
    /// Dropped before and kept after, by the rule that dropped them.
    pub now_kept: BTreeMap<String, u64>,
    /// Dropped in both, by different rules: `before → after`.
    pub other_rule: BTreeMap<String, u64>,
    /// Identifiers whose text changed.
    pub other_text: u64,
}

/// Compares two stores by identifier. It keeps 40 bytes a post of the first in memory.
///
/// # Errors
/// No finished store; a file that cannot be read.
pub fn difference(before: &Store, after: &Store) -> Result<Difference, CorpusError> {
    let mut rules: Vec<String> = vec!["kept".to_string()];
    let mut known: HashMap<u128, (u32, u64)> = HashMap::new();
    let mut rows = |store: &Store, take: &mut dyn FnMut(u128, u32, u64, &[String])| {
        for shard in Manifest::read(store)?.shards.keys() {
            let (ids, bodies) = (ids(store, shard)?, texts(store, shard, "text")?);
            let marks = attributes::read(store, VERDICT, shard)?;
            for ((id, text), mark) in ids.iter().zip(&bodies).zip(marks) {
                let rule = match mark {
                    Mark::Dropped { reason, .. } => {
                        let place = rules.iter().position(|rule| *rule == reason);
                        place.unwrap_or_else(|| {
                            rules.push(reason);
                            rules.len() - 1
                        })
                    }
                    _ => 0,
                };
                let id = xxh3_128(id.as_deref().unwrap_or("").as_bytes());
                let text = xxh3_64(text.as_deref().unwrap_or("").as_bytes());
                take(id, rule as u32, text, &rules);
            }
        }
        Ok::<(), CorpusError>(())
    };
    // Of several versions of one post the kept one counts.
    rows(before, &mut |id, rule, text, _| {
        let entry = known.entry(id).or_insert((rule, text));
        if rule == 0 {
            *entry = (rule, text);
        }
    })?;
    let mut now: HashMap<u128, (u32, u64)> = HashMap::new();
    rows(after, &mut |id, rule, text, _| {
        let entry = now.entry(id).or_insert((rule, text));
        if rule == 0 {
            *entry = (rule, text);
        }
    })?;
    let mut difference = Difference::default();
    for (id, (after, text)) in &now {
        let Some((before, old_text)) = known.remove(id) else {
            difference.only_after += 1;
            continue;
        };
        difference.other_text += u64::from(old_text != *text);
        let name = |rule: u32| rules[rule as usize].clone();
        match (before, *after) {
            (0, 0) => difference.kept_in_both += 1,
            (0, after) => *difference.now_dropped.entry(name(after)).or_insert(0) += 1,
            (before, 0) => *difference.now_kept.entry(name(before)).or_insert(0) += 1,
            (before, after) if before != after => {
                let pair = format!("{} → {}", name(before), name(after));
                *difference.other_rule.entry(pair).or_insert(0) += 1;
            }
            _ => {}
        }
    }
    difference.only_before = known.len() as u64;
    Ok(difference)
}
