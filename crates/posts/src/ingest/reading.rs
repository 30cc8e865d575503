//! First step: each source to raw shards, with what is needed to settle versions and removals.
//!
//! A source is one task. Its posts go to shards of bounded size, authors hashed; its notices and
//! the keys of its posts to buckets by identifier; its rejects to lines of JSON.

use super::options::{IngestOptions, RejectBound};
use super::settling::{self, AuthorNotice};
use super::tasks::{self, Progress};
use super::{BUCKETS, Work};
use crate::error::{PostsError, Rejected};
use crate::post::{About, Notice, Post};
use crate::read::{Item, Scanned, scan};
use crate::store::{AuthorKey, Buckets, write_posts, write_whole};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What reading a source gave; its file says that the source is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceCounts {
    pub(super) records: u64,
    pub(super) posts: u64,
    pub(super) notices: u64,
    pub(super) asides: u64,
    pub(super) rejected: u64,
    pub(super) reasons: BTreeMap<String, u64>,
    /// Posts in each shard.
    pub(super) shards: Vec<u64>,
    pub(super) authors: Vec<AuthorNotice>,
    /// Bytes of files read.
    pub(super) bytes: u64,
}

/// Reads every source that is not done yet.
pub(super) fn run(
    options: &IngestOptions,
    work: &Work,
    key: &AuthorKey,
    progress: &Progress<'_>,
) -> Result<Vec<SourceCounts>, PostsError> {
    let total: u64 = work.plan.sources.iter().map(|source| source.bytes).sum();
    let read_before = AtomicU64::new(0);
    let records = AtomicU64::new(0);
    let rejects = AtomicU64::new(0);
    // Place and reason of the first record of a source without posts, for the error if all are so.
    let unusable: Mutex<Option<String>> = Mutex::new(None);
    let quiet = |_: &'static str, _: u64, _: u64| {};
    tasks::run("read", options.sources.len(), options.threads, &quiet, &|index| {
        let done = work.source_counts(index);
        if let Some(counts) = read_counts(&done)? {
            read_before.fetch_add(counts.bytes, Ordering::Relaxed);
            records.fetch_add(counts.records, Ordering::Relaxed);
            rejects.fetch_add(counts.rejected, Ordering::Relaxed);
            return Ok(());
        }
        let meter = AtomicU64::new(0);
        let path = partial(&work.source_rejects(index));
        let rejects_file =
            File::create(&path).map_err(|cause| PostsError::Io { path: path.clone(), cause })?;
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
            hashes: HashMap::new(),
        };
        let mut reported = 0;
        let scanned = scan(&options.sources[index], &options.read, &meter, &mut |item| {
            records.fetch_add(1, Ordering::Relaxed);
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
            Err(PostsError::NoUsablePosts { records, first_reason, .. }) => {
                let mut unusable = unusable.lock().unwrap_or_else(PoisonError::into_inner);
                unusable.get_or_insert(first_reason);
                Scanned { records, rejected: records, ..Scanned::default() }
            }
            Err(PostsError::Empty { .. }) if options.sources.len() > 1 => Scanned::default(),
            Err(error) => return Err(error),
        };
        read_before.fetch_add(meter.load(Ordering::Relaxed) - reported, Ordering::Relaxed);
        reader.finish(scanned, meter.into_inner())?;
        progress("read", read_before.load(Ordering::Relaxed).min(total), total);
        Ok(())
    })?;
    let mut counts = Vec::with_capacity(options.sources.len());
    for index in 0..options.sources.len() {
        let path = work.source_counts(index);
        counts.push(read_counts(&path)?.ok_or(PostsError::NotFound { path })?);
    }
    let records: u64 = counts.iter().map(|counts| counts.records).sum();
    let rejected: u64 = counts.iter().map(|counts| counts.rejected).sum();
    if let Some(RejectBound::Share(share)) = options.max_rejects {
        check_bound(rejected, (share * records as f64) as u64)?;
    }
    let posts: u64 = counts.iter().map(|counts| counts.posts).sum();
    let notices: u64 = counts.iter().map(|counts| counts.notices).sum();
    if posts + notices == 0 {
        let path = options.sources.first().cloned().unwrap_or_default();
        // What was read before a kill is remembered by kind alone.
        let kind = || counts.iter().find_map(|counts| counts.reasons.keys().next().cloned());
        let first = unusable.into_inner().unwrap_or_else(PoisonError::into_inner).or_else(kind);
        return Err(match first {
            Some(first_reason) => PostsError::NoUsablePosts { path, records, first_reason },
            None => PostsError::Empty { path },
        });
    }
    Ok(counts)
}

/// Bytes between reports of progress.
const REPORT_BYTES: u64 = 1 << 20;

fn check_bound(rejected: u64, bound: u64) -> Result<(), PostsError> {
    if rejected <= bound {
        return Ok(());
    }
    Err(PostsError::TooManyRejects { rejected, bound })
}

fn read_counts(path: &Path) -> Result<Option<SourceCounts>, PostsError> {
    let Ok(text) = std::fs::read(path) else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| PostsError::WrongJson {
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

struct SourceReader<'r> {
    options: &'r IngestOptions,
    work: &'r Work,
    key: &'r AuthorKey,
    index: usize,
    posts: Vec<Post>,
    buckets: Buckets,
    /// Posts and notices since the last shard.
    pending: usize,
    counts: SourceCounts,
    rejected: BufWriter<File>,
    hashes: HashMap<String, String>,
}

/// Authors whose hashes are remembered; beyond it the table starts anew.
const REMEMBERED_AUTHORS: usize = 1 << 18;

impl SourceReader<'_> {
    fn take(&mut self, item: Item) -> Result<(), PostsError> {
        match item {
            Item::Post(post) => self.post(*post),
            Item::Notice(notice) => self.notice(notice),
            Item::Rejected(rejected) => return self.reject(&rejected),
        }
        self.pending += 1;
        if self.pending >= self.options.shard_posts { self.flush() } else { Ok(()) }
    }

    fn hash(&mut self, author: &str) -> String {
        if let Some(hash) = self.hashes.get(author) {
            return hash.clone();
        }
        if self.hashes.len() >= REMEMBERED_AUTHORS {
            self.hashes.clear();
        }
        let hash = self.key.hash(author);
        self.hashes.insert(author.to_string(), hash.clone());
        hash
    }

    fn post(&mut self, mut post: Post) {
        post.author = self.hash(&post.author);
        post.author_id = post.author_id.take().map(|id| self.hash(&id));
        if post.basis.is_empty() {
            post.basis.clone_from(&self.options.basis);
        }
        if post.licence.is_none() {
            post.licence.clone_from(&self.options.licence);
        }
        let shard = self.counts.shards.len();
        settling::put_post(&mut self.buckets, &post, (self.index, shard), self.posts.len());
        self.posts.push(post);
    }

    fn notice(&mut self, notice: Notice) {
        match &notice.about {
            About::Post(id) => settling::put_notice(&mut self.buckets, id, &notice),
            About::Author(author) => {
                let author = self.hash(author);
                self.counts.authors.push(AuthorNotice {
                    author,
                    removal: notice.removal,
                    reversed: notice.reversed,
                    at_unix_seconds: notice.at_unix_seconds,
                });
            }
        }
    }

    fn reject(&mut self, rejected: &Rejected) -> Result<(), PostsError> {
        let kind = rejected.reason.kind();
        *self.counts.reasons.entry(kind.to_string()).or_insert(0) += 1;
        let line = json!({
            "source": rejected.source,
            "line": rejected.line,
            "byte_offset": rejected.byte_offset,
            "reason": rejected.reason.to_string(),
        });
        let path = self.work.source_rejects(self.index);
        writeln!(self.rejected, "{line}").map_err(|cause| PostsError::Io { path, cause })
    }

    fn flush(&mut self) -> Result<(), PostsError> {
        let shard = self.counts.shards.len();
        let buckets = std::mem::replace(&mut self.buckets, Buckets::new(BUCKETS));
        buckets.write(&self.work.keys(self.index, shard))?;
        write_posts(&self.work.raw(self.index, shard), &self.posts)?;
        self.counts.shards.push(self.posts.len() as u64);
        self.posts.clear();
        self.pending = 0;
        Ok(())
    }

    fn finish(mut self, scanned: Scanned, bytes: u64) -> Result<(), PostsError> {
        if self.pending > 0 {
            self.flush()?;
        }
        let path = self.work.source_rejects(self.index);
        let io = |cause| PostsError::Io { path: path.clone(), cause };
        let file = self.rejected.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)?;
        std::fs::rename(partial(&path), &path).map_err(io)?;
        self.counts.records = scanned.records;
        self.counts.posts = scanned.posts;
        self.counts.notices = scanned.notices;
        self.counts.asides = scanned.asides;
        self.counts.rejected = scanned.rejected;
        self.counts.bytes = bytes;
        let text = serde_json::to_vec(&self.counts).map_err(|error| PostsError::Io {
            path: self.work.source_counts(self.index),
            cause: error.into(),
        })?;
        write_whole(&self.work.source_counts(self.index), &text)
    }
}
