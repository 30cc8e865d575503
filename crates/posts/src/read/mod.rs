//! Readers: any usual source of posts to posts and notices, one after the other, in constant memory.
//!
//! Containers (`container`), compression (`decode`) and formats (`framing`) are detected from the content;
//! what the fields of a network mean stands in a file of its own (`x`, `gnip`, `bluesky`,
//! `fediverse`, `reddit`). A record that is no post is rejected with its place and reading continues;
//! damage to a source ends it.

pub mod address;
mod bluesky;
mod bluesky_repo;
mod car;
mod clean_text;
mod columns;
mod container;
mod decode;
mod dialect;
mod encoding;
mod fediverse;
mod field_columns;
mod field_table;
mod fields;
mod file_signature;
mod framing;
mod gnip;
mod gone;
mod gone_notices;
mod header_limit;
mod identifiers;
mod input;
mod intake;
mod json;
mod network;
mod note_tweets;
mod options;
mod own_output;
mod parse_ahead;
mod record;
mod reddit;
mod refusal;
mod remarks;
mod rows;
mod table;
mod timestamp;
mod values;
mod x;

use crate::error::{PostsError, RejectReason, Rejected};
use crate::post::{Notice, Post};
use crate::worker_pool::WorkerPool;
use bluesky_repo::Repos;
pub use columns::{Row, Rows};
use container::{Content, Role};
pub use dialect::{Quote, TableOptions};
use framing::{Frames, Raw, RawFrame};
use input::Input;
pub use intake::{Intake, read_all};
use network::Shaping;
use note_tweets::Notes;
pub use options::{Format, ReadOptions};
use parse_ahead::{Ahead, Parsed, ParsedItem, Reading};
use record::{Judged, Judgement};
pub use remarks::Remarks;
use rows::ParquetRows;
use std::collections::HashSet;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
pub use timestamp::DateOrder;

/// One thing a source holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A post, possibly one that is marked as gone.
    Post(Box<Post>),
    /// A notice about posts or authors.
    Notice(Notice),
    /// A record that was passed over.
    Rejected(Rejected),
}

/// Counts of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Records looked at: every one is a post, a notice, an aside or rejected.
    pub records: u64,
    /// Posts, marked or not.
    pub posts: u64,
    /// Notices.
    pub notices: u64,
    /// What streams send in addition to posts: likes, follows, limits.
    pub asides: u64,
    /// Records passed over.
    pub rejected: u64,
    /// What was guessed, changed, rounded or left out.
    pub remarks: Remarks,
}

/// Takes what a scan finds; an error ends the scan.
pub type Sink<'s> = dyn FnMut(Item) -> Result<(), PostsError> + 's;

/// Author given to the posts of an X archive, which do not name it.
const ARCHIVE_OWNER: &str = "archive_owner";

/// Reads a file, folder, archive, or standard input (`-`), and hands over what it holds, in order.
/// `meter` counts the bytes of files as they are read.
///
/// # Errors
/// See [`PostsError`]: no such file, damage, no usable post, and whatever `sink` says.
pub fn scan(
    path: &Path,
    options: &ReadOptions,
    meter: &AtomicU64,
    sink: &mut Sink<'_>,
) -> Result<Scanned, PostsError> {
    scan_with(path, options, meter, None, sink)
}

/// As [`scan`], with a pool of threads that parses records ahead; the items and their order
/// are the same.
///
/// # Errors
/// As [`scan`].
pub fn scan_with(
    path: &Path,
    options: &ReadOptions,
    meter: &AtomicU64,
    pool: Option<&WorkerPool<'_>>,
    sink: &mut Sink<'_>,
) -> Result<Scanned, PostsError> {
    options.check()?;
    let mut scan = Scan {
        shaping: Arc::new(options.shaping()),
        options,
        pool,
        notes: Notes::default(),
        repos: Repos::default(),
        bots: HashSet::new(),
        counts: Scanned::default(),
        first_reason: None,
        sink,
    };
    let done = container::visit(path, options, meter, &mut |role, name, content| match content {
        Content::Stream(stream) => scan.stream(role, name, stream),
        Content::Parquet => scan.rows(name),
        Content::Unread(remarks) => {
            scan.counts.remarks.merge(remarks);
            Ok(())
        }
    });
    let done = done.and_then(|()| scan.complete_notes());
    done.map_err(|error| match error {
        PostsError::Truncated { path, decoded_bytes, cause, .. } => {
            PostsError::Truncated { path, decoded_bytes, cause, posts: scan.counts.posts }
        }
        other => other,
    })?;
    scan.check_total(path)?;
    Ok(scan.counts)
}

struct Scan<'s, 'c> {
    options: &'s ReadOptions,
    shaping: Arc<Shaping>,
    pool: Option<&'s WorkerPool<'c>>,
    /// Whole texts of long posts, and the posts that wait for theirs.
    notes: Notes,
    repos: Repos,
    /// Accounts whose own records call them programs.
    bots: HashSet<String>,
    counts: Scanned,
    first_reason: Option<String>,
    sink: &'s mut Sink<'s>,
}

impl Scan<'_, '_> {
    /// Reading that ends without anything is an error, which says why.
    fn check_total(&self, path: &Path) -> Result<(), PostsError> {
        let path = path.to_path_buf();
        match &self.first_reason {
            _ if self.counts.records > self.counts.rejected => Ok(()),
            None if self.counts.remarks.is_empty() => Err(PostsError::Empty { path }),
            None => Err(PostsError::NothingRead { path, remarks: self.counts.remarks.clone() }),
            Some(reason) => Err(PostsError::NoUsablePosts {
                path,
                records: self.counts.records,
                first_reason: reason.clone(),
                remarks: self.counts.remarks.clone(),
            }),
        }
    }

    fn stream(
        &mut self,
        role: Role,
        name: &Path,
        stream: Box<dyn Read + '_>,
    ) -> Result<(), PostsError> {
        let failed = |cause| input::io_error(name, true, 0, cause);
        let (stream, compressed) = decode::decoded(stream).map_err(failed)?;
        if role == Role::Notes {
            return self.notes.read(name, stream);
        }
        let (head, stream) = decode::peek(stream, car::HEAD_BYTES);
        if car::is_car(&head) {
            return self.car(name, decode::buffered(Box::new(stream)));
        }
        let given = self.options.encoding.as_deref().and_then(encoding::named);
        let (stream, facts) = encoding::as_utf8(Box::new(stream), given);
        let source: Arc<str> = Arc::from(name.display().to_string());
        let mut input = Input::new(stream, name, compressed, self.options.record_limit_bytes);
        let head = input.head()?;
        let rounded = identifiers::are_rounded(&head);
        let Some(mut frames) = Frames::open(input, &head, self.options)? else { return Ok(()) };
        let judgement = Judgement { rounded, ..self.judgement() };
        let reading = self.reading(role, name, &source, frames.is_archive(), judgement);
        let mut ahead = Ahead::new(self.pool, reading);
        let ended = loop {
            match frames.next() {
                Ok(Some(frame)) => {
                    if let Some(batch) = ahead.push(frame) {
                        self.take(&source, batch, ahead.records())?;
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        while let Some(batch) = ahead.rest() {
            self.take(&source, batch, ahead.records())?;
        }
        self.counts.remarks.merge(&frames.remarks());
        facts.remark(&mut self.counts.remarks);
        match ended {
            Err(error) if self.options.keep_truncated && is_cut(&error) => {
                let reason = RejectReason::Broken(error.to_string());
                let batch = vec![Parsed {
                    line: 0,
                    byte_offset: 0,
                    items: vec![ParsedItem::Rejected(reason)],
                    remarks: Remarks::default(),
                }];
                self.take(&source, batch, ahead.records())
            }
            ended => ended,
        }
    }

    /// What is known of every source.
    fn judgement(&self) -> Judgement {
        Judgement { dates: self.options.dates, rounded: false }
    }

    fn reading(
        &mut self,
        role: Role,
        path: &Path,
        source: &Arc<str>,
        archive: bool,
        judgement: Judgement,
    ) -> Arc<Reading> {
        Arc::new(Reading {
            shaping: Arc::clone(&self.shaping),
            source: Arc::clone(source),
            removed: role == Role::Deleted,
            archive,
            repo: self.repos.place(path),
            judgement,
        })
    }

    /// The posts of a CAR.
    fn car(&mut self, path: &Path, stream: Box<dyn BufRead + '_>) -> Result<(), PostsError> {
        let repo = car::read(path, stream)?;
        self.counts.remarks.merge(&repo.remarks);
        self.counts.records += repo.others;
        self.counts.asides += repo.others;
        let source: Arc<str> = Arc::from(path.display().to_string());
        let judgement = self.judgement();
        let reading = self.reading(Role::Posts, path, &source, false, judgement);
        let mut ahead = Ahead::new(self.pool, reading);
        let posts = repo.posts.into_iter().zip(1..).map(|(post, line)| RawFrame {
            line,
            byte_offset: 0,
            content: Ok(Raw::Value(post)),
        });
        let damaged = repo.damaged.into_iter().map(car::Damaged::frame);
        for frame in damaged.chain(posts) {
            if let Some(batch) = ahead.push(frame) {
                self.take(&source, batch, ahead.records())?;
            }
        }
        while let Some(batch) = ahead.rest() {
            self.take(&source, batch, ahead.records())?;
        }
        Ok(())
    }

    /// The rows of a Parquet file.
    fn rows(&mut self, path: &Path) -> Result<(), PostsError> {
        let source: Arc<str> = Arc::from(path.display().to_string());
        let judgement = self.judgement();
        let reading = self.reading(Role::Posts, path, &source, false, judgement);
        let mut ahead = Ahead::new(self.pool, reading);
        let mut rows = ParquetRows::open(path)?;
        let mut line = 0;
        let ended = loop {
            match rows.next() {
                Ok(Some(value)) => {
                    line += 1;
                    let content = Ok(Raw::Value(value));
                    let Some(batch) = ahead.push(RawFrame { line, byte_offset: 0, content }) else {
                        continue;
                    };
                    self.take(&source, batch, ahead.records())?;
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Damage ends a source after the rows before it.
        while let Some(batch) = ahead.rest() {
            self.take(&source, batch, ahead.records())?;
        }
        ended
    }

    /// Numbers what a batch holds and hands it on.
    fn take(
        &mut self,
        source: &Arc<str>,
        batch: Vec<Parsed>,
        record: &mut u64,
    ) -> Result<(), PostsError> {
        for Parsed { line, byte_offset, items, remarks } in batch {
            self.counts.remarks.merge(&remarks);
            for item in items {
                let number = *record;
                self.counts.records += 1;
                *record += 1;
                let reason = match item {
                    ParsedItem::Post(judged) => {
                        self.post(source, number, *judged)?;
                        continue;
                    }
                    ParsedItem::Notice(notice) => {
                        self.counts.notices += 1;
                        (self.sink)(Item::Notice(notice))?;
                        continue;
                    }
                    ParsedItem::Rejected(reason) => reason,
                    ParsedItem::Note(note) => {
                        self.notes.add(*note);
                        self.counts.asides += 1;
                        continue;
                    }
                    ParsedItem::Bot(account) => {
                        self.bots.insert(account);
                        self.counts.asides += 1;
                        continue;
                    }
                    ParsedItem::Other => {
                        self.counts.asides += 1;
                        continue;
                    }
                };
                self.counts.rejected += 1;
                self.first_reason.get_or_insert_with(|| format!("line {line}: {reason}"));
                (self.sink)(Item::Rejected(Rejected {
                    source: source.clone(),
                    line,
                    byte_offset,
                    reason,
                }))?;
            }
        }
        Ok(())
    }

    /// Takes a post, remarks what its record states of it, and hands it on unless it waits for its
    /// whole text.
    fn post(&mut self, source: &Arc<str>, number: u64, judged: Judged) -> Result<(), PostsError> {
        let Judged { mut post, gone, scraper } = judged;
        post.origin.record = number;
        if post.id.is_empty() {
            post.id = format!("{source}#{number}");
        }
        post.declared_bot |= self.bots.contains(&post.author);
        self.counts.posts += 1;
        if let Some(how) = gone {
            self.counts.remarks.add(&format!("posts that are gone, by {how}"), 1);
        }
        if let Some(name) = scraper {
            let kind = format!("posts collected by {name}: their basis and licence are unknown");
            self.counts.remarks.add(&kind, 1);
        }
        match self.notes.hold(Box::new(post)) {
            Some(post) => (self.sink)(Item::Post(post)),
            None => Ok(()),
        }
    }

    /// Hands on the long posts that waited for their whole texts.
    fn complete_notes(&mut self) -> Result<(), PostsError> {
        let (posts, joined) = self.notes.join();
        let remarks = &mut self.counts.remarks;
        remarks.add("long posts completed by the identifier of their whole text", joined.by_id);
        remarks.add("long posts completed by how their whole text begins", joined.by_text);
        remarks.add("long posts that stay cut: no whole text is theirs alone", joined.ambiguous);
        remarks.add("whole texts of long posts that complete none", joined.unused);
        posts.into_iter().try_for_each(|post| (self.sink)(Item::Post(Box::new(post))))
    }
}

fn is_cut(error: &PostsError) -> bool {
    match error {
        PostsError::Truncated { .. } => true,
        PostsError::WrongJson { cause, .. } => cause.starts_with("the file ends"),
        _ => false,
    }
}
