//! Near-duplicates over the whole corpus, by shards; what they are is in `near`.
//!
//! Buckets of MinHash bands propose pairs; the text of the earlier post travels to the shard of the later
//! one, which compares; the pairs that are near-copies, few and small, are chosen from in one task in
//! the order of time. Of what grows with the corpus that task alone holds something in memory: some 40
//! bytes a post that is a near-copy, or that has one.

use super::copies::Equal;
use super::removals::key_of;
use super::workdir::{place, shard_and_row};
use super::{BUCKETS, Ingest, SORT_BYTES};
use crate::error::CorpusError;
use crate::near::{
    Features, Firsts, MAX_CLUSTER, MIN_WORDS, Signer, THRESHOLD, order_of, similarity, word_count,
};
use crate::store::{Buckets, Fields, Keyed, Sorter, Spread, Words, put_bytes};
use std::collections::{HashMap, HashSet};
use stoa_posts::{Post, normal_form, read_posts};

/// Key of a band, then a post in the order of time: time, hash of the identifier, place.
type Band = Words<4>;
/// A question for the shard of an earlier post: its row, the later post's place.
type Pair = Words<2>;
/// A text for the shard of later posts: the earlier post in the order of time. It carries the identifier,
/// the normal form, and the rows of the later posts.
type Fetched = Keyed<3>;
/// A near-copy: the later post in the order of time, then the earlier one. It carries the identifier of
/// the earlier.
type Edge = Keyed<6>;
/// A chosen copy for its shard: its row, 0 for an exact and 1 for a near copy. It carries the identifier
/// of the post it repeats.
pub(super) type Chosen = Keyed<2>;

fn in_order(post: &Post, place: u64) -> [u64; 3] {
    [order_of(post.created_at_unix_seconds), (key_of(&post.id) >> 64) as u64, place]
}

/// Spills the bands of a shard's posts that live and are no exact copies.
pub(super) fn bands(ingest: &Ingest<'_>, index: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, store, .. } = ingest;
    let shard = &readings.shards[index];
    let posts = read_posts(&store.posts(&shard.name))?;
    let mut alive = work.read_flags("living", shard)?;
    let equal = work.of_buckets("exact");
    Buckets::each(&equal, index, readings.shards.len(), |copy: Equal| {
        alive[copy.words[0] as usize] = false;
        Ok(())
    })?;
    let mut signer = Signer::new();
    let mut buckets = Buckets::new(BUCKETS);
    for (row, post) in posts.iter().enumerate().filter(|(row, _)| alive[*row]) {
        let text = normal_form(&post.text);
        if word_count(&text) < MIN_WORDS {
            continue;
        }
        let [created, id, place] = in_order(post, place(index, row));
        for key in signer.band_keys(&Features::of(&text)) {
            let band: Band = Words([key, created, id, place]);
            buckets.push(key as usize % BUCKETS, &band);
        }
    }
    buckets.write(&work.of_shard("bands", shard), work.durability)
}

/// Pairs posts that share a band of a bucket.
pub(super) fn pairs(ingest: &Ingest<'_>, bucket: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, .. } = ingest;
    let files = work.of_shards("bands", &readings.shards);
    let folder = work.sorting("pairs", bucket);
    let mut sorter = Sorter::new(&folder, "bands", SORT_BYTES);
    Buckets::each(&files, bucket, BUCKETS, |band: Band| sorter.push(band))?;
    let mut out = Spread::new(&folder, readings.shards.len(), SORT_BYTES);
    let mut firsts = Firsts::new();
    for band in sorter.sorted()? {
        let Words([key, _, _, place]) = band?;
        firsts.take(key, place, |&later, &earlier| {
            let (shard, row) = shard_and_row(earlier);
            let pair: Pair = Words([row as u64, later]);
            out.push(shard, row as u64, &pair)
        })?;
    }
    out.write(&work.of_bucket("pairs", bucket), work.durability)
}

/// Sends the texts of a shard's earlier posts to the shards of the later ones, each once a shard.
pub(super) fn fetch(ingest: &Ingest<'_>, index: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, store, .. } = ingest;
    let shard = &readings.shards[index];
    let folder = work.sorting("fetch", index);
    let mut sorter = Sorter::new(&folder, "pairs", SORT_BYTES);
    let files = work.of_buckets("pairs");
    Buckets::each(&files, index, readings.shards.len(), |pair: Pair| sorter.push(pair))?;
    let mut out = Spread::new(&folder, readings.shards.len(), SORT_BYTES);
    let mut pairs = sorter.sorted()?.peekable();
    let posts =
        if pairs.peek().is_some() { read_posts(&store.posts(&shard.name))? } else { Vec::new() };
    while let Some(pair) = pairs.next() {
        let Words([row, later]) = pair?;
        let (to, later_row) = shard_and_row(later);
        let mut rows = vec![later_row as u32];
        // Places sort by shard, so all later rows of one shard follow each other, repeats included.
        while let Some(next) = pairs.next_if(|pair| {
            matches!(pair, Ok(Words([other, later])) if *other == row && shard_and_row(*later).0 == to)
        }) {
            let (_, later_row) = shard_and_row(next?.0[1]);
            if rows.last() != Some(&(later_row as u32)) {
                rows.push(later_row as u32);
            }
        }
        let Some(post) = posts.get(row as usize) else { continue };
        let mut body = Vec::new();
        put_bytes(&mut body, post.id.as_bytes());
        put_bytes(&mut body, normal_form(&post.text).as_bytes());
        rows.iter().for_each(|row| body.extend_from_slice(&row.to_le_bytes()));
        let words = in_order(post, place(index, row as usize));
        let fetched: Fetched = Keyed { words, body: body.into_boxed_slice() };
        out.push(to, row, &fetched)?;
    }
    out.write(&work.of_shard("fetched", shard), work.durability)
}

/// Compares a shard's later posts with what was fetched for them.
pub(super) fn verify(ingest: &Ingest<'_>, index: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, store, .. } = ingest;
    let shard = &readings.shards[index];
    let files = work.of_shards("fetched", &readings.shards);
    let mut posts: Option<Vec<Post>> = None;
    let mut later: HashMap<u32, Features> = HashMap::new();
    let mut out = Buckets::new(1);
    Buckets::each(&files, index, readings.shards.len(), |fetched: Fetched| {
        let posts = match &mut posts {
            Some(posts) => posts,
            none => none.insert(read_posts(&store.posts(&shard.name))?),
        };
        let mut fields = Fields::new(&fetched.body);
        let id = fields.bytes();
        let earlier = Features::of(fields.text());
        while !fields.is_empty() {
            let row = fields.u32();
            let Some(post) = posts.get(row as usize) else { continue };
            let features =
                later.entry(row).or_insert_with(|| Features::of(&normal_form(&post.text)));
            if similarity(features, &earlier) >= THRESHOLD {
                let [created, hash, at] = in_order(post, place(index, row as usize));
                let [of_created, of_hash, of] = fetched.words;
                let words = [created, hash, at, of_created, of_hash, of];
                let edge: Edge = Keyed { words, body: id.into() };
                out.push(0, &edge);
            }
        }
        Ok(())
    })?;
    out.write(&work.of_shard("edges", shard), work.durability)
}

/// Chooses, in the order of time: a post is dropped for the earliest kept post that it resembles and that
/// has room. An exact copy of a near-copy repeats that one's kept post.
pub(super) fn resolve(ingest: &Ingest<'_>) -> Result<(), CorpusError> {
    let Ingest { work, readings, .. } = ingest;
    let shards = &readings.shards;
    let folder = work.sorting("choose", 0);
    let mut edges = Sorter::new(&folder, "edges", SORT_BYTES);
    Buckets::each(&work.of_shards("edges", shards), 0, 1, |edge: Edge| edges.push(edge))?;
    let mut dropped: HashSet<u64> = HashSet::new();
    let mut copies_of: HashMap<u64, usize> = HashMap::new();
    // By place: near-copies with the identifier of the kept post.
    let mut near = Sorter::new(&folder, "near", SORT_BYTES);
    for edge in edges.sorted()? {
        let Keyed { words: [_, _, later, _, _, earlier], body } = edge?;
        let full = copies_of.get(&earlier).is_some_and(|&copies| copies >= MAX_CLUSTER);
        if full || dropped.contains(&later) || dropped.contains(&earlier) {
            continue;
        }
        dropped.insert(later);
        *copies_of.entry(earlier).or_insert(0) += 1;
        near.push(Keyed { words: [later], body })?;
    }
    drop((dropped, copies_of));
    // By the place of the kept post: exact copies with its identifier.
    let mut equal = Sorter::new(&folder, "equal", SORT_BYTES);
    let files = work.of_buckets("exact");
    for shard in 0..shards.len() {
        Buckets::each(&files, shard, shards.len(), |Keyed { words: [row, of], body }: Equal| {
            equal.push(Keyed { words: [of, place(shard, row as usize)], body })
        })?;
    }
    let mut out = Spread::new(&folder, shards.len(), SORT_BYTES);
    let mut put = |at: u64, kind: u64, body: Box<[u8]>| {
        let (shard, row) = shard_and_row(at);
        let chosen: Chosen = Keyed { words: [row as u64, kind], body };
        out.push(shard, row as u64, &chosen)
    };
    let mut equal = equal.sorted()?.peekable();
    for record in near.sorted()? {
        let Keyed { words: [at], body } = record?;
        while let Some(copy) = equal.next_if(|c| !matches!(c, Ok(copy) if copy.words[0] > at)) {
            let Keyed { words: [of, copy], body: id } = copy?;
            put(copy, 0, if of == at { body.clone() } else { id })?;
        }
        put(at, 1, body)?;
    }
    for copy in equal {
        let Keyed { words: [_, copy], body: id } = copy?;
        put(copy, 0, id)?;
    }
    out.write(&work.folder("chosen"), work.durability)
}
