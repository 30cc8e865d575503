//! Which thread each post belongs to, when links lie in different shards: pointer jumping over buckets.
//!
//! Every post starts with a link: to its conversation, to what it answers, or to itself. Each round
//! replaces a link by the link of what it points to (Wyllie 1979, "The complexity of parallel
//! computations", section 3), so a chain of n replies takes log2 n rounds. A link to a post that is
//! not there ends the chain. Loops, which only damaged data has, end after a bound of rounds.

use super::settling::{bucket_of, key_of};
use super::tasks::{self, Progress};
use super::{BUCKETS, Shard, Work};
use crate::error::PostsError;
use crate::store::{Buckets, Fields, Store, put_bytes, put_u32, put_u128, read_posts};
use std::collections::HashMap;

/// Rounds after which a chain must be a loop: 2^24 replies.
const MOST_ROUNDS: usize = 24;

/// A post's link.
struct Link<'a> {
    /// Key of the post.
    node: u128,
    shard: u32,
    row: u32,
    /// Whether `target` names the thread.
    ended: bool,
    /// Identifier of what it points to.
    target: &'a str,
}

fn put(out: &mut Vec<u8>, link: &Link<'_>) {
    put_u128(out, link.node);
    put_u32(out, link.shard);
    put_u32(out, link.row);
    put_u32(out, u32::from(link.ended));
    put_bytes(out, link.target.as_bytes());
}

fn take<'a>(fields: &mut Fields<'a>) -> Link<'a> {
    Link {
        node: fields.u128(),
        shard: fields.u32(),
        row: fields.u32(),
        ended: fields.u32() != 0,
        target: fields.text(),
    }
}

/// Finds the thread of every post and spills its name by shard, unless that is done.
pub(super) fn run(
    work: &Work,
    store: &Store,
    shards: &[Shard],
    threads: usize,
    progress: &Progress<'_>,
) -> Result<(), PostsError> {
    if work.threads_done().exists() {
        return Ok(());
    }
    let folder = work.folder("links");
    std::fs::remove_dir_all(&folder).ok();
    let first: Vec<_> =
        shards.iter().map(|shard| folder.join(format!("0-{}", shard.name))).collect();
    tasks::run("links", shards.len(), threads, progress, &|index| {
        let mut buckets = Buckets::new(BUCKETS);
        // Dropped posts still say which thread their replies belong to.
        for (row, post) in read_posts(&store.posts(&shards[index].name))?.iter().enumerate() {
            let (ended, target) = match (&post.conversation, &post.in_reply_to) {
                (Some(conversation), _) => (true, conversation),
                (None, Some(parent)) => (false, parent),
                (None, None) => (true, &post.id),
            };
            let node = key_of(&post.id);
            let link = Link { node, shard: index as u32, row: row as u32, ended, target };
            put(buckets.part(bucket_of(node)), &link);
        }
        buckets.write(&first[index])
    })?;
    let mut files = first;
    for round in 1..=MOST_ROUNDS {
        let open = std::sync::atomic::AtomicBool::new(false);
        // Questions: what does the target point to? They go to the target's bucket.
        let questions: Vec<_> =
            (0..BUCKETS).map(|bucket| folder.join(format!("{round}-ask-{bucket}"))).collect();
        tasks::run("threads", BUCKETS, threads, progress, &|bucket| {
            let records = Buckets::read(&files, bucket, BUCKETS)?;
            let mut fields = Fields::new(&records);
            let mut out = Buckets::new(BUCKETS);
            while !fields.is_empty() {
                let link = take(&mut fields);
                if !link.ended {
                    open.store(true, std::sync::atomic::Ordering::Relaxed);
                    put(out.part(bucket_of(key_of(link.target))), &link);
                }
            }
            out.write(&questions[bucket])
        })?;
        if !open.into_inner() {
            break;
        }
        let answers: Vec<_> =
            (0..BUCKETS).map(|bucket| folder.join(format!("{round}-{bucket}"))).collect();
        tasks::run("threads", BUCKETS, threads, progress, &|bucket| {
            let records = Buckets::read(&files, bucket, BUCKETS)?;
            let mut fields = Fields::new(&records);
            let mut out = Buckets::new(BUCKETS);
            let mut links: HashMap<u128, (bool, &str)> = HashMap::new();
            while !fields.is_empty() {
                let link = take(&mut fields);
                // Of rows with one identifier the first speaks.
                links.entry(link.node).or_insert((link.ended, link.target));
                if link.ended {
                    put(out.part(bucket_of(link.node)), &link);
                }
            }
            let asked = Buckets::read(&questions, bucket, BUCKETS)?;
            let mut fields = Fields::new(&asked);
            while !fields.is_empty() {
                let mut link = take(&mut fields);
                let last_round = round == MOST_ROUNDS;
                (link.ended, link.target) = match links.get(&key_of(link.target)) {
                    Some(&(ended, target)) => (ended || last_round, target),
                    None => (true, link.target),
                };
                put(out.part(bucket_of(link.node)), &link);
            }
            out.write(&answers[bucket])
        })?;
        for file in files.iter().chain(&questions) {
            std::fs::remove_file(file).ok();
        }
        files = answers;
    }
    let by_shard = |bucket: usize| work.threads(bucket);
    tasks::run("threads", BUCKETS, threads, progress, &|bucket| {
        let records = Buckets::read(&files, bucket, BUCKETS)?;
        let mut fields = Fields::new(&records);
        let mut out = Buckets::new(shards.len());
        while !fields.is_empty() {
            let link = take(&mut fields);
            let part = out.part(link.shard as usize);
            put_u32(part, link.row);
            put_bytes(part, link.target.as_bytes());
        }
        out.write(&by_shard(bucket))
    })?;
    std::fs::remove_dir_all(&folder).ok();
    crate::store::write_whole(&work.threads_done(), b"")
}

/// The thread of each row of a shard.
pub(super) fn of_shard(
    work: &Work,
    shard: usize,
    shards: usize,
    rows: usize,
) -> Result<Vec<String>, PostsError> {
    let files: Vec<_> = (0..BUCKETS).map(|bucket| work.threads(bucket)).collect();
    let records = Buckets::read(&files, shard, shards)?;
    let mut fields = Fields::new(&records);
    let mut threads = vec![String::new(); rows];
    while !fields.is_empty() {
        let row = fields.u32() as usize;
        let thread = fields.text();
        if let Some(place) = threads.get_mut(row) {
            *place = thread.to_string();
        }
    }
    Ok(threads)
}
