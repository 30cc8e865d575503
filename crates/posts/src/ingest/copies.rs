//! What only the whole corpus can tell: template spam, copies, near-copies.
//!
//! One task, since every post is held against every other; its memory is that of `near` (files
//! beyond it) and of the counts of link templates. The verdicts go to attributes shard by shard.

use super::attributes::{self, Mark};
use super::judging::rule_post;
use super::options::{IngestOptions, Stage};
use super::tasks::Progress;
use super::{Shard, Work};
use crate::error::PostsError;
use crate::near::{CopyKind, NearConfig, NearDuplicates, NearPost};
use crate::post::Post;
use crate::rules::{CorpusRule, Judgement, TemplateSpam};
use crate::store::write_whole;
use crate::store::{Buckets, Fields, Store, Values, put_bytes, put_u32, read_columns, read_posts};
use std::path::PathBuf;

/// The attributes of equal and of nearly equal texts.
pub(super) const EXACT: &str = "exact";
pub(super) const NEAR: &str = "near";

/// Judges the corpus as a whole, unless that is done.
pub(super) fn run(
    options: &IngestOptions,
    work: &Work,
    store: &Store,
    shards: &[Shard],
    progress: &Progress<'_>,
) -> Result<(), PostsError> {
    let done = work.copies_done();
    if done.exists() {
        return Ok(());
    }
    let spam = options.runs(Stage::Rules) && options.profile == "posts";
    let copies = options.runs(Stage::Exact) || options.runs(Stage::Near);
    if spam {
        template_spam(work, store, shards, progress)?;
    }
    if copies {
        let folder = work.folder("near");
        // What a killed run left there is of no use.
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder)
            .map_err(|cause| PostsError::Io { path: folder.clone(), cause })?;
        let found = find(work, store, shards, &folder, spam, progress)?;
        mark(options, work, store, shards, &found, spam)?;
        std::fs::remove_dir_all(&folder).ok();
    }
    write_whole(&done, b"")
}

/// The posts of a shard and which of them every rule so far has kept.
fn alive(
    work: &Work,
    store: &Store,
    shard: &Shard,
    spam: bool,
) -> Result<(Vec<Post>, Vec<bool>), PostsError> {
    let posts = read_posts(&store.posts(&shard.name))?;
    let mut alive = work.read_alive(&shard.name)?;
    if spam {
        let marks = attributes::read(store, &spam_rule(), &shard.name)?;
        alive.iter_mut().zip(marks).for_each(|(alive, mark)| *alive &= !mark.is_drop());
    }
    Ok((posts, alive))
}

/// The name of the rule on templates.
pub(super) fn spam_rule() -> String {
    TemplateSpam::new().name().to_string()
}

fn template_spam(
    work: &Work,
    store: &Store,
    shards: &[Shard],
    progress: &Progress<'_>,
) -> Result<(), PostsError> {
    let mut rule = TemplateSpam::new();
    let total = 2 * shards.len() as u64;
    for (index, shard) in shards.iter().enumerate() {
        let (posts, alive) = alive(work, store, shard, false)?;
        let living = posts.iter().zip(&alive).filter(|(_, alive)| **alive);
        living.for_each(|(post, _)| rule.observe(&rule_post(post)));
        progress("templates", index as u64 + 1, total);
    }
    for (index, shard) in shards.iter().enumerate() {
        let (posts, alive) = alive(work, store, shard, false)?;
        let marks: Vec<Mark> = posts
            .iter()
            .zip(alive)
            .map(|(post, alive)| match alive.then(|| rule.judge(&rule_post(post))) {
                None => Mark::Unasked,
                Some(Judgement::Keep) => Mark::Kept,
                Some(Judgement::Drop { reason }) => Mark::dropped(reason),
            })
            .collect();
        attributes::write(store, rule.name(), &shard.name, &posts, &marks, Vec::new())?;
        progress("templates", (shards.len() + index) as u64 + 1, total);
    }
    Ok(())
}

/// Finds copies; what repeats what is spilled to `folder` by the shard of the post repeated, then by
/// the shard of the one that repeats, so that no table of all identifiers is needed.
fn find(
    work: &Work,
    store: &Store,
    shards: &[Shard],
    folder: &std::path::Path,
    spam: bool,
    progress: &Progress<'_>,
) -> Result<PathBuf, PostsError> {
    let mut near = NearDuplicates::new(folder, NearConfig::default());
    // Ordinals are given to living posts only: `starts[shard]` is the first of a shard.
    let mut starts: Vec<u64> = Vec::with_capacity(shards.len() + 1);
    let mut rows: Vec<Vec<u32>> = Vec::with_capacity(shards.len());
    let mut pushed = 0;
    for (index, shard) in shards.iter().enumerate() {
        let (posts, alive) = alive(work, store, shard, spam)?;
        starts.push(pushed);
        let mut living = Vec::new();
        for (row, post) in posts.iter().enumerate().filter(|(row, _)| alive[*row]) {
            near.push(NearPost {
                id: &post.id,
                author: &post.author,
                created_at_unix_seconds: post.created_at_unix_seconds,
                text: &post.text,
            })?;
            living.push(row as u32);
            pushed += 1;
        }
        rows.push(living);
        progress("copies", index as u64 + 1, 2 * shards.len() as u64);
    }
    let place = |ordinal: u64| {
        let shard = starts.partition_point(|&start| start <= ordinal) - 1;
        (shard, rows[shard][(ordinal - starts[shard]) as usize])
    };
    let mut by_kept = Buckets::new(shards.len());
    for copied in near.finish()? {
        let copied = copied?;
        let ((shard, row), (of_shard, of_row)) = (place(copied.post), place(copied.of));
        let part = by_kept.part(of_shard);
        put_u32(part, of_row);
        put_u32(part, shard as u32);
        put_u32(part, row);
        put_u32(part, u32::from(copied.kind == CopyKind::Near));
    }
    let kept = folder.join("by-kept");
    by_kept.write(&kept)?;
    let mut by_copy = Buckets::new(shards.len());
    for (index, shard) in shards.iter().enumerate() {
        let records = Buckets::read(std::slice::from_ref(&kept), index, shards.len())?;
        if records.is_empty() {
            continue;
        }
        let ids = read_columns(&store.posts(&shard.name), &["id"])?;
        let ids = ids.into_iter().next().flatten().and_then(Values::into_texts).unwrap_or_default();
        let mut fields = Fields::new(&records);
        while !fields.is_empty() {
            let of_row = fields.u32() as usize;
            let part = by_copy.part(fields.u32() as usize);
            put_u32(part, fields.u32());
            put_u32(part, fields.u32());
            put_bytes(part, ids.get(of_row).and_then(Option::as_deref).unwrap_or("").as_bytes());
        }
        progress("copies", (shards.len() + index) as u64 + 1, 2 * shards.len() as u64);
    }
    let found = folder.join("by-copy");
    by_copy.write(&found)?;
    Ok(found)
}

/// Writes what was found as attributes.
fn mark(
    options: &IngestOptions,
    work: &Work,
    store: &Store,
    shards: &[Shard],
    found: &PathBuf,
    spam: bool,
) -> Result<(), PostsError> {
    for (index, shard) in shards.iter().enumerate() {
        let (posts, alive) = alive(work, store, shard, spam)?;
        let asked = |alive: &bool| if *alive { Mark::Kept } else { Mark::Unasked };
        let mut exact: Vec<Mark> = alive.iter().map(asked).collect();
        let mut near = exact.clone();
        let records = Buckets::read(std::slice::from_ref(found), index, shards.len())?;
        let mut fields = Fields::new(&records);
        while !fields.is_empty() {
            let (row, is_near) = (fields.u32() as usize, fields.u32() == 1);
            let of = Some(fields.text().to_string());
            if is_near && options.runs(Stage::Near) {
                near[row] = Mark::Dropped { reason: "near-copy".to_string(), of };
            } else if !is_near && options.runs(Stage::Exact) {
                exact[row] = Mark::Dropped { reason: "copy".to_string(), of };
                near[row] = Mark::Unasked;
            }
        }
        if options.runs(Stage::Exact) {
            attributes::write(store, EXACT, &shard.name, &posts, &exact, Vec::new())?;
        }
        if options.runs(Stage::Near) {
            attributes::write(store, NEAR, &shard.name, &posts, &near, Vec::new())?;
        }
    }
    Ok(())
}
