//! Which thread each post belongs to, when links lie in different shards: pointer jumping over buckets.
//!
//! Every post starts with a link: to its conversation, to what it answers, or to itself. Each round
//! replaces a link by the link of what it points to (Wyllie 1979, "The complexity of parallel
//! computations", section 3), so a chain of n replies takes log2 n rounds. A link to a post that is
//! not there ends the chain. Loops, which only damaged data has, end after a bound of rounds; the least
//! identifier of a loop names the thread of all that hang on it. For that an open link carries the least
//! identifier among the posts it has jumped over.
//!
//! A round is one pass with one barrier: a bucket holds the links of its posts and the questions to them,
//! and puts each answer both where the link belongs and, as the next question, where it now points.

use super::options::Stage;
use super::removals::{bucket_of, key_of};
use super::workdir::{place, shard_and_row};
use super::{BUCKETS, Ingest, SORT_BYTES};
use crate::error::CorpusError;
use crate::store::{Buckets, Fields, Keyed, Sorter, Spread, Words, put_bytes, put_u32, put_u128};
use std::path::PathBuf;
use stoa_posts::{Post, write_whole};

/// Rounds that have a phase of their own; longer chains are followed in the phase `chains`.
pub(super) const PHASE_ROUNDS: usize = 6;
/// Rounds after which a chain must be a loop: 2^24 replies.
pub(super) const MAX_ROUNDS: usize = 24;

/// The last bucket of a round's files says how many questions are open.
const OPEN: usize = BUCKETS;

/// A link of a post, or a question: key of the post in two halves, which of both, place of the row that
/// asks. It carries whether the link names the thread, the key of the post it is the link of, what it
/// points to, and the least identifier on the way.
type LinkRecord = Keyed<4>;
const LINK: u64 = 0;
const QUESTION: u64 = 1;

/// A row for its shard. It carries the thread's name.
type Named = Keyed<1>;

/// A post's link.
struct Link<'a> {
    /// Key of the post.
    node: u128,
    /// Its row.
    place: u64,
    /// Whether `target` names the thread.
    ended: bool,
    /// Identifier of what it points to.
    target: &'a str,
    /// Least identifier from the post to before `target`; empty when `ended`.
    least: &'a str,
}

impl Link<'_> {
    fn record(&self, kind: u64) -> (usize, LinkRecord) {
        let key = if kind == LINK { self.node } else { key_of(self.target) };
        let mut body = Vec::with_capacity(28 + self.target.len() + self.least.len());
        put_u32(&mut body, u32::from(self.ended));
        put_u128(&mut body, self.node);
        put_bytes(&mut body, self.target.as_bytes());
        put_bytes(&mut body, self.least.as_bytes());
        let words = [(key >> 64) as u64, key as u64, kind, self.place];
        (bucket_of(key), Keyed { words, body: body.into_boxed_slice() })
    }

    fn of(record: &LinkRecord) -> Link<'_> {
        let mut fields = Fields::new(&record.body);
        Link {
            place: record.words[3],
            ended: fields.u32() != 0,
            node: fields.u128(),
            target: fields.text(),
            least: fields.text(),
        }
    }
}

/// Spills the links of a shard and the first questions; an empty file when threads are not asked for.
pub(super) fn links(ingest: &Ingest<'_>, index: usize, posts: &[Post]) -> Result<(), CorpusError> {
    let mut buckets = Buckets::new(BUCKETS + 1);
    let mut open = 0;
    // Dropped posts still say which thread their replies belong to.
    for (row, post) in posts.iter().enumerate().filter(|_| ingest.options.runs(Stage::Threads)) {
        let (ended, target) = match (&post.conversation, &post.in_reply_to) {
            (Some(conversation), _) => (true, conversation),
            (None, Some(parent)) => (false, parent),
            (None, None) => (true, &post.id),
        };
        let least = if ended { "" } else { &post.id };
        let link = Link { node: key_of(&post.id), place: place(index, row), ended, target, least };
        let (bucket, record) = link.record(LINK);
        buckets.push(bucket, &record);
        if !ended {
            open += 1;
            let (bucket, record) = link.record(QUESTION);
            buckets.push(bucket, &record);
        }
    }
    buckets.push(OPEN, &Words([open]));
    let shard = &ingest.readings.shards[index];
    buckets.write(&ingest.work.of_shard("links", shard), ingest.work.durability)
}

/// The folder of a round; that of round 0 holds the links as posts state them.
pub(super) fn folder(round: usize) -> String {
    if round == 0 { "links".to_string() } else { format!("round-{round}") }
}

fn files(ingest: &Ingest<'_>, round: usize) -> Vec<PathBuf> {
    match round {
        0 => ingest.work.of_shards(&folder(0), &ingest.readings.shards),
        _ => ingest.work.of_buckets(&folder(round)),
    }
}

/// Whether a round that is complete leaves questions. A round that had no task leaves none.
pub(super) fn is_open(ingest: &Ingest<'_>, round: usize) -> Result<bool, CorpusError> {
    let files = files(ingest, round);
    if files.first().is_none_or(|file| !file.exists()) {
        return Ok(false);
    }
    let mut open = 0;
    Buckets::each(&files, OPEN, BUCKETS + 1, |Words([questions]): Words<1>| {
        open += questions;
        Ok(())
    })?;
    Ok(open > 0)
}

/// Answers the questions to a bucket.
pub(super) fn round(ingest: &Ingest<'_>, round: usize, bucket: usize) -> Result<(), CorpusError> {
    let work = &ingest.work;
    let name = folder(round);
    let sorting = work.sorting(&name, bucket);
    let mut sorter = Sorter::new(&sorting, "links", SORT_BYTES);
    let before = files(ingest, round - 1);
    Buckets::each(&before, bucket, BUCKETS + 1, |record: LinkRecord| sorter.push(record))?;
    let mut out = Spread::new(&sorting, BUCKETS + 1, SORT_BYTES);
    let mut open = 0;
    let mut order = 0;
    let mut put = |link: &Link<'_>, kind: u64| {
        let (bucket, record) = link.record(kind);
        order += 1;
        out.push(bucket, order, &record)
    };
    // Of rows with one identifier the first counts.
    let mut holder: Option<LinkRecord> = None;
    for record in sorter.sorted()? {
        let record = record?;
        let same = holder.as_ref().is_some_and(|first| first.words[..2] == record.words[..2]);
        let link = Link::of(&record);
        if record.words[2] == LINK {
            if link.ended {
                put(&link, LINK)?;
            }
            if !same {
                holder = Some(record);
            }
            continue;
        }
        let answer = holder.as_ref().filter(|_| same).map(Link::of);
        let (ended, target, least) = match &answer {
            None => (true, link.target, ""),
            Some(answer) if answer.ended => (true, answer.target, ""),
            // The posts that the answer has jumped over are the whole loop.
            Some(answer) if round == MAX_ROUNDS => (true, answer.least, ""),
            Some(answer) => (false, answer.target, link.least.min(answer.least)),
        };
        let link = Link { ended, target, least, ..link };
        put(&link, LINK)?;
        if !ended {
            open += 1;
            put(&link, QUESTION)?;
        }
    }
    out.push(OPEN, 0, &Words([open]))?;
    out.write(&work.of_bucket(&name, bucket), work.durability)
}

/// Follows longer chains to their end in one process; writes which round was the last.
pub(super) fn chains(ingest: &Ingest<'_>) -> Result<(), CorpusError> {
    let there = |round: &usize| files(ingest, *round).first().is_some_and(|file| file.exists());
    let mut last = (0..=PHASE_ROUNDS).rev().find(there).unwrap_or(0);
    while is_open(ingest, last)? {
        last += 1;
        for bucket in 0..BUCKETS {
            if !ingest.work.of_bucket(&folder(last), bucket).exists() {
                round(ingest, last, bucket)?;
            }
        }
    }
    let work = &ingest.work;
    Ok(write_whole(&work.folder("chains"), work.durability, last.to_string().as_bytes())?)
}

/// Writes the threads of the posts of a bucket, by shard.
pub(super) fn thread_ids(ingest: &Ingest<'_>, bucket: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, .. } = ingest;
    let path = work.folder("chains");
    let text = std::fs::read_to_string(&path);
    let last = text.map_err(|cause| CorpusError::Io { path, cause })?.trim().parse().unwrap_or(0);
    let sorting = work.sorting("names", bucket);
    let mut out = Spread::new(&sorting, readings.shards.len(), SORT_BYTES);
    Buckets::each(&files(ingest, last), bucket, BUCKETS + 1, |record: LinkRecord| {
        let link = Link::of(&record);
        let (shard, row) = shard_and_row(link.place);
        let named: Named = Keyed { words: [row as u64], body: link.target.as_bytes().into() };
        out.push(shard, row as u64, &named)
    })?;
    out.write(&work.of_bucket("thread-ids", bucket), work.durability)
}

/// The thread of each row of a shard.
pub(super) fn of_shard(
    ingest: &Ingest<'_>,
    shard: usize,
    rows: usize,
) -> Result<Vec<String>, CorpusError> {
    let files = ingest.work.of_buckets("thread-ids");
    let mut threads = vec![String::new(); rows];
    Buckets::each(&files, shard, ingest.readings.shards.len(), |named: Named| {
        if let Some(place) = threads.get_mut(named.words[0] as usize) {
            *place = String::from_utf8_lossy(&named.body).into_owned();
        }
        Ok(())
    })?;
    Ok(threads)
}
