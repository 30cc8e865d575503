//! Template spam over the whole corpus: keys of (author, template) sorted by bucket.
//!
//! The rule is `rules::TemplateSpam`; here its counts are runs of equal keys on disk, so that memory does
//! not grow with the corpus.

use super::attributes::{self, Mark};
use super::options::{IngestOptions, Stage};
use super::removals::bucket_of;
use super::workdir::{place, shard_and_row};
use super::{BUCKETS, Ingest, SORT_BYTES};
use crate::error::CorpusError;
use crate::store::{Buckets, Sorter, Spread, Words};
use stoa_posts::Post;
use stoa_posts::rules::{CorpusRule as _, SPAM_COPIES, SPAM_REASON, TemplateSpam};

/// Whether the rule is asked.
pub(super) fn asked(options: &IngestOptions) -> bool {
    options.runs(Stage::Rules) && options.profile == "posts"
}

/// Key of (author, template) in two halves, then the row's place.
type KeyRecord = Words<3>;

/// Spills the keys of a shard's living posts.
pub(super) fn spill(
    ingest: &Ingest<'_>,
    index: usize,
    posts: &[Post],
    alive: &[bool],
) -> Result<(), CorpusError> {
    let mut buckets = Buckets::new(BUCKETS);
    for (row, post) in posts.iter().enumerate().filter(|(row, _)| alive[*row]) {
        if let Some(key) = TemplateSpam::key(&post.into()) {
            let record: KeyRecord = Words([(key >> 64) as u64, key as u64, place(index, row)]);
            buckets.push(bucket_of(key), &record);
        }
    }
    let shard = &ingest.readings.shards[index];
    buckets.write(&ingest.work.of_shard("template-keys", shard), ingest.work.durability)
}

/// Finds the keys of a bucket that occur too often; their rows go to their shards.
pub(super) fn bucket(ingest: &Ingest<'_>, bucket: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, .. } = ingest;
    let files = work.of_shards("template-keys", &readings.shards);
    let folder = work.sorting("templates", bucket);
    let mut sorter = Sorter::new(&folder, "keys", SORT_BYTES);
    Buckets::each(&files, bucket, BUCKETS, |record: KeyRecord| sorter.push(record))?;
    let mut out = Spread::new(&folder, readings.shards.len(), SORT_BYTES);
    let mut put = |at: u64| {
        let (shard, row) = shard_and_row(at);
        out.push(shard, row as u64, &Words([row as u64]))
    };
    // The rows of a key wait until there are enough of them; then all are passed on as they come.
    let mut key = None;
    let mut seen: u32 = 0;
    let mut waiting: Vec<u64> = Vec::new();
    for record in sorter.sorted()? {
        let Words([high, low, at]) = record?;
        if key != Some([high, low]) {
            (key, seen) = (Some([high, low]), 0);
            waiting.clear();
        }
        seen = seen.saturating_add(1);
        waiting.push(at);
        if seen >= SPAM_COPIES {
            waiting.drain(..).try_for_each(&mut put)?;
        }
    }
    out.write(&work.of_bucket("templates", bucket), work.durability)
}

/// Writes the rule's marks on a shard and takes its rows out of the living.
pub(super) fn apply(
    ingest: &Ingest<'_>,
    index: usize,
    posts: &[Post],
    alive: &mut [bool],
) -> Result<(), CorpusError> {
    let shards = &ingest.readings.shards;
    let asked = |alive: &bool| if *alive { Mark::Kept } else { Mark::Unasked };
    let mut marks: Vec<Mark> = alive.iter().map(asked).collect();
    let files = ingest.work.of_buckets("templates");
    Buckets::each(&files, index, shards.len(), |Words([row]): Words<1>| {
        marks[row as usize] = Mark::dropped(SPAM_REASON);
        alive[row as usize] = false;
        Ok(())
    })?;
    let rule = TemplateSpam::new();
    attributes::write(&ingest.store, rule.name(), &shards[index].name, posts, &marks, Vec::new())
}
