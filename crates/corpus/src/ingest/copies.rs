//! Equal texts over the whole corpus: keys of normal forms sorted by bucket, the earliest post kept.
//!
//! What equal texts are is in `near`.

use super::removals::{bucket_of, key_of};
use super::workdir::{place, shard_and_row};
use super::{BUCKETS, Ingest, SORT_BYTES, templates};
use crate::error::CorpusError;
use crate::near::{exact_key, order_of};
use crate::store::{Buckets, Keyed, Sorter, Spread};
use stoa_posts::{normal_form, read_posts, write_whole};
use xxhash_rust::xxh3::xxh3_64;

/// A post's text as a key of two halves, then the post in the order of time: time, hash of the
/// identifier, place. It carries the identifier.
type KeyRecord = Keyed<5>;

/// A copy for its shard: its row, the place of the kept post. It carries that one's identifier.
pub(super) type Equal = Keyed<2>;

/// Takes template spam out of a shard and spills the keys of what lives on.
pub(super) fn normal(ingest: &Ingest<'_>, index: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, store, .. } = ingest;
    let shard = &readings.shards[index];
    let posts = read_posts(&store.posts(&shard.name))?;
    let mut alive = work.read_flags("alive", shard)?;
    if templates::asked(ingest.options) {
        templates::apply(ingest, index, &posts, &mut alive)?;
    }
    let mut buckets = Buckets::new(BUCKETS);
    for (row, post) in posts.iter().enumerate().filter(|(row, _)| alive[*row]) {
        let author = xxh3_64(post.author.as_bytes());
        let Some(key) = exact_key(&normal_form(&post.text), author) else { continue };
        let record: KeyRecord = Keyed {
            words: [
                (key >> 64) as u64,
                key as u64,
                order_of(post.created_at_unix_seconds),
                (key_of(&post.id) >> 64) as u64,
                place(index, row),
            ],
            body: post.id.as_bytes().into(),
        };
        buckets.push(bucket_of(key), &record);
    }
    buckets.write(&work.of_shard("normal", shard), work.durability)?;
    let alive: Vec<u8> = alive.into_iter().map(u8::from).collect();
    Ok(write_whole(&work.of_shard("living", shard), work.durability, &alive)?)
}

/// Finds the equal texts of a bucket.
pub(super) fn bucket(ingest: &Ingest<'_>, bucket: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, .. } = ingest;
    let files = work.of_shards("normal", &readings.shards);
    let folder = work.sorting("exact", bucket);
    let mut sorter = Sorter::new(&folder, "keys", SORT_BYTES);
    Buckets::each(&files, bucket, BUCKETS, |record: KeyRecord| sorter.push(record))?;
    let mut out = Spread::new(&folder, readings.shards.len(), SORT_BYTES);
    let mut first: Option<KeyRecord> = None;
    for record in sorter.sorted()? {
        let record = record?;
        match &first {
            Some(kept) if kept.words[..2] == record.words[..2] => {
                let (shard, row) = shard_and_row(record.words[4]);
                let row = row as u64;
                let equal: Equal = Keyed { words: [row, kept.words[4]], body: kept.body.clone() };
                out.push(shard, row, &equal)?;
            }
            _ => first = Some(record),
        }
    }
    out.write(&work.of_bucket("exact", bucket), work.durability)
}
