//! First step: each source to raw shards, with what is needed to settle versions and removals.
//!
//! A source is one task. Its posts go to shards of bounded size, authors hashed; its notices and
//! the keys of its posts to buckets by identifier; its rejects to lines of JSON.

use super::options::{IngestOptions, RejectBound};
use super::removals::{self, AuthorNotice, Events};
use super::workdir::{PostShard, Work, shard_name};
use super::{BUCKETS, Ingest, tasks};
use crate::error::CorpusError;
use crate::store::{AuthorKey, Buckets};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use stoa_posts::worker_pool::{Answer, WorkerPool};
use stoa_posts::{
    About, Durability, Item, Notice, Post, PostsError, Rejected, Remarks, Scanned, scan_with,
    write_posts, write_whole,
};

/// What reading a source gave; its file says that the source is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceCounts {
    pub(super) records: u64,
    pub(super) posts: u64,
    pub(super) notices: u64,
    pub(super) asides: u64,
    pub(super) rejected: u64,
    pub(super) reasons: BTreeMap<String, u64>,
    /// What was guessed, changed, rounded or left out.
    #[serde(default)]
    pub(super) remarks: Remarks,
    /// Place and reason of the first record of a source without posts.
    pub(super) unusable: Option<String>,
    /// Posts in each shard.
    pub(super) shards: Vec<u64>,
    pub(super) authors: Vec<AuthorNotice>,
    /// Bytes of files read.
    pub(super) bytes: u64,
}

/// What reading all sources gave.
#[derive(Default)]
pub(super) struct Readings {
    pub(super) counts: Vec<SourceCounts>,
    /// Shards in the order of reading. One of notices alone has keys but no row.
    pub(super) shards: Vec<PostShard>,
    /// Notices about every post of an author.
    pub(super) of_authors: HashMap<u128, Events>,
}

/// Reads sources.
pub(super) fn run(ingest: &Ingest<'_>, mine: &[usize]) -> Result<(), CorpusError> {
    let Ingest { options, work, key, progress, .. } = ingest;
    let total: u64 = mine.iter().map(|&index| work.plan.sources[index].bytes).sum();
    let read_before = AtomicU64::new(0);
    let rejects = AtomicU64::new(0);
    let pool = WorkerPool::new();
    let helped = (options.threads > 1).then_some(&pool);
    let source = |index: usize| {
        let meter = AtomicU64::new(0);
        let path = partial(&work.source_rejects(index));
        let rejects_file =
            File::create(&path).map_err(|cause| CorpusError::Io { path: path.clone(), cause })?;
        let mut reader = SourceReader {
            options,
            work,
            key,
            index,
            posts: Vec::new(),
            buckets: Buckets::new(BUCKETS),
            pending: 0,
            counts: SourceCounts::default(),
            rejected: BufWriter::new(rejects_file),
            pool: helped,
            writing: None,
        };
        let mut reported = 0;
        let path = &options.sources[index];
        let scanned = scan_with(path, &options.read, &meter, helped, &mut |item| {
            if let Item::Rejected(_) = &item {
                let rejects = rejects.fetch_add(1, Ordering::Relaxed) + 1;
                if let Some(RejectBound::Count(bound)) = options.max_rejects {
                    check_bound(rejects, bound)?;
                }
            }
            reader.take(item)?;
            let bytes = meter.load(Ordering::Relaxed);
            if bytes >= reported + REPORT_BYTES {
                read_before.fetch_add(bytes - reported, Ordering::Relaxed);
                reported = bytes;
                progress("read", read_before.load(Ordering::Relaxed).min(total), total);
            }
            Ok(())
        });
        let scanned = match scanned {
            Ok(scanned) => scanned,
            // One source of many that holds nothing is counted; the run judges the whole.
            Err(PostsError::NoUsablePosts { records, first_reason, remarks, .. }) => {
                reader.counts.unusable = Some(first_reason);
                Scanned { records, rejected: records, remarks, ..Scanned::default() }
            }
            Err(PostsError::Empty { .. }) if options.sources.len() > 1 => Scanned::default(),
            Err(PostsError::NothingRead { remarks, .. }) if options.sources.len() > 1 => {
                Scanned { remarks, ..Scanned::default() }
            }
            Err(error) => return Err(error.into()),
        };
        read_before.fetch_add(meter.load(Ordering::Relaxed) - reported, Ordering::Relaxed);
        reader.finish(scanned, meter.into_inner())?;
        progress("read", read_before.load(Ordering::Relaxed).min(total), total);
        Ok(())
    };
    // A thread without a source of its own helps those that have one.
    let quiet = |_: &'static str, _: u64, _: u64| {};
    let helpers = options.threads.saturating_sub(mine.len());
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|| pool.work());
        }
        let done = tasks::run("read", mine, options.threads, &quiet, &source);
        pool.dismiss();
        done
    })
}

/// What reading gave, once every source is read; fails when it is too little or too much was rejected.
pub(super) fn load(options: &IngestOptions, work: &Work) -> Result<Readings, CorpusError> {
    let mut counts = Vec::with_capacity(options.sources.len());
    for index in 0..options.sources.len() {
        let path = work.source_counts(index);
        counts.push(read_counts(&path)?.ok_or(PostsError::NotFound { path })?);
    }
    let sum = |get: fn(&SourceCounts) -> u64| counts.iter().map(get).sum::<u64>();
    let (records, rejected) = (sum(|counts| counts.records), sum(|counts| counts.rejected));
    match options.max_rejects {
        Some(RejectBound::Share(share)) => check_bound(rejected, (share * records as f64) as u64)?,
        Some(RejectBound::Count(bound)) => check_bound(rejected, bound)?,
        None => {}
    }
    if sum(|counts| counts.posts + counts.notices) == 0 {
        let path = options.sources.first().map(|path| stoa_remote::shown(path)).unwrap_or_default();
        let kind = || counts.iter().find_map(|counts| counts.reasons.keys().next().cloned());
        let first = counts.iter().find_map(|counts| counts.unusable.clone()).or_else(kind);
        let mut remarks = Remarks::default();
        counts.iter().for_each(|counts| remarks.merge(&counts.remarks));
        let error = match first {
            Some(first_reason) => {
                PostsError::NoUsablePosts { path, records, first_reason, remarks }
            }
            None if remarks.is_empty() => PostsError::Empty { path },
            None => PostsError::NothingRead { path, remarks },
        };
        return Err(error.into());
    }
    let mut readings = Readings::default();
    for (source, counts) in counts.iter().enumerate() {
        for (part, &posts) in counts.shards.iter().enumerate() {
            readings.shards.push(PostShard { source, part, name: shard_name(source, part), posts });
        }
        removals::add_notices(&counts.authors, &mut readings.of_authors);
    }
    readings.counts = counts;
    Ok(readings)
}

/// Bytes between reports of progress.
const REPORT_BYTES: u64 = 1 << 20;

fn check_bound(rejected: u64, bound: u64) -> Result<(), CorpusError> {
    if rejected <= bound {
        return Ok(());
    }
    Err(CorpusError::TooManyRejects { rejected, bound })
}

fn read_counts(path: &Path) -> Result<Option<SourceCounts>, CorpusError> {
    let Ok(text) = std::fs::read(path) else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| CorpusError::WrongJson {
        path: path.to_path_buf(),
        line: error.line() as u64,
        byte_offset: 0,
        cause: error.to_string(),
    })
}

/// Where rejects stand until their source is done.
fn partial(path: &Path) -> PathBuf {
    path.with_extension("jsonl.partial")
}

struct SourceReader<'r, 'c> {
    options: &'r IngestOptions,
    work: &'c Work,
    key: &'c AuthorKey,
    index: usize,
    posts: Vec<Post>,
    /// Notices since the last shard.
    buckets: Buckets,
    /// Posts and notices since the last shard.
    pending: usize,
    counts: SourceCounts,
    rejected: BufWriter<File>,
    pool: Option<&'r WorkerPool<'c>>,
    /// The shard before, on its way to the disk.
    writing: Option<Answer<Result<(), CorpusError>>>,
}

impl SourceReader<'_, '_> {
    fn take(&mut self, item: Item) -> Result<(), CorpusError> {
        match item {
            Item::Post(post) => self.post(*post),
            Item::Notice(notice) => self.notice(notice),
            Item::Rejected(rejected) => return self.reject(&rejected),
        }
        self.pending += 1;
        if self.pending >= self.options.shard_posts { self.flush() } else { Ok(()) }
    }

    fn post(&mut self, mut post: Post) {
        if post.basis.is_empty() {
            post.basis.clone_from(&self.options.basis);
        }
        if post.licence.is_none() {
            post.licence.clone_from(&self.options.licence);
        }
        self.posts.push(post);
    }

    fn notice(&mut self, notice: Notice) {
        match &notice.about {
            About::Post(id) => removals::put_notice(&mut self.buckets, id, &notice),
            About::Author(author) => {
                self.counts.authors.push(AuthorNotice {
                    author: self.key.hash(author),
                    removal: notice.removal,
                    reversed: notice.reversed,
                    at_unix_seconds: notice.at_unix_seconds,
                });
            }
        }
    }

    fn reject(&mut self, rejected: &Rejected) -> Result<(), CorpusError> {
        let kind = rejected.reason.kind();
        *self.counts.reasons.entry(kind.to_string()).or_insert(0) += 1;
        let line = json!({
            "source": rejected.source,
            "line": rejected.line,
            "byte_offset": rejected.byte_offset,
            "reason": rejected.reason.to_string(),
        });
        let path = self.work.source_rejects(self.index);
        writeln!(self.rejected, "{line}").map_err(|cause| CorpusError::Io { path, cause })
    }

    /// Sends a shard to the disk; one at a time is on its way.
    fn flush(&mut self) -> Result<(), CorpusError> {
        self.written()?;
        let shard = RawShard {
            source: self.index,
            part: self.counts.shards.len(),
            posts: std::mem::take(&mut self.posts),
            buckets: std::mem::replace(&mut self.buckets, Buckets::new(BUCKETS)),
        };
        self.counts.shards.push(shard.posts.len() as u64);
        self.pending = 0;
        let (work, key) = (self.work, self.key);
        match self.pool {
            None => shard.write(work, key),
            Some(pool) => {
                self.writing = Some(pool.submit(move || shard.write(work, key)));
                Ok(())
            }
        }
    }

    /// Waits until the shard before is on the disk.
    fn written(&mut self) -> Result<(), CorpusError> {
        match self.writing.take().zip(self.pool) {
            None => Ok(()),
            Some((writing, pool)) => writing.wait(pool),
        }
    }

    fn finish(mut self, scanned: Scanned, bytes: u64) -> Result<(), CorpusError> {
        if self.pending > 0 {
            self.flush()?;
        }
        self.written()?;
        let path = self.work.source_rejects(self.index);
        let io = |cause| CorpusError::Io { path: path.clone(), cause };
        let file = self.rejected.into_inner().map_err(|error| io(error.into_error()))?;
        if self.work.durability == Durability::Synced {
            file.sync_all().map_err(io)?;
        }
        std::fs::rename(partial(&path), &path).map_err(io)?;
        self.counts.records = scanned.records;
        self.counts.posts = scanned.posts;
        self.counts.notices = scanned.notices;
        self.counts.asides = scanned.asides;
        self.counts.rejected = scanned.rejected;
        self.counts.remarks = scanned.remarks;
        self.counts.bytes = bytes;
        let text = serde_json::to_vec(&self.counts).map_err(|error| CorpusError::Io {
            path: self.work.source_counts(self.index),
            cause: error.into(),
        })?;
        Ok(write_whole(&self.work.source_counts(self.index), self.work.durability, &text)?)
    }
}

/// A shard before it is written.
struct RawShard {
    source: usize,
    part: usize,
    posts: Vec<Post>,
    /// Notices about posts.
    buckets: Buckets,
}

impl RawShard {
    /// Hashes authors and writes posts and keys.
    fn write(mut self, work: &Work, key: &AuthorKey) -> Result<(), CorpusError> {
        let mut hashes: HashMap<String, String> = HashMap::new();
        let mut hash = |author: &str| match hashes.get(author) {
            Some(hash) => hash.clone(),
            None => {
                let hash = key.hash(author);
                hashes.insert(author.to_string(), hash.clone());
                hash
            }
        };
        for (row, post) in self.posts.iter_mut().enumerate() {
            post.author = hash(&post.author);
            post.author_id = post.author_id.take().map(|id| hash(&id));
            removals::put_post(&mut self.buckets, post, self.source, self.part, row);
        }
        self.buckets.write(&work.keys(self.source, self.part), work.durability)?;
        Ok(write_posts(&work.raw(self.source, self.part), work.durability, &self.posts)?)
    }
}
