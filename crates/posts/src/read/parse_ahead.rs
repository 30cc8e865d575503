//! Records parsed ahead of their consumer: in batches, by a pool of threads, delivered in order.
//!
//! The thread that reads a source cuts it into frames, which is little work, and collects them; what
//! a batch holds is a function of the batch alone, so the answer does not depend on who finds it. The
//! number of a record is known only in order and is given by the taker. What is under way is bounded.

use super::ARCHIVE_OWNER;
use super::bluesky_repo::RepoPath;
use super::framing::RawFrame;
use super::gone::How;
use super::network::Shaping;
use super::note_tweets::Note;
use super::record::{Found, Judged, Judgement, Part};
use super::remarks::Remarks;
use crate::error::RejectReason;
use crate::post::{Notice, Origin, Removal};
use crate::worker_pool::{Answer, WorkerPool};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes, and frames, from which a batch is full.
const BATCH_BYTES: usize = 1 << 18;
const BATCH_FRAMES: usize = 1024;
/// Bytes under way above which the reader waits; a record beyond it is under way alone.
const UNDER_WAY_BYTES: usize = 8 << 20;

/// What frames of one stream are taken apart with.
pub(super) struct Reading {
    pub(super) shaping: Arc<Shaping>,
    pub(super) source: Arc<str>,
    /// Whether the records are of deleted posts.
    pub(super) removed: bool,
    /// Whether posts without an author are those of an archive's owner.
    pub(super) archive: bool,
    /// The place of a record of Bluesky that is a file of its own.
    pub(super) repo: Option<RepoPath>,
    pub(super) judgement: Judgement,
}

/// What a frame holds, but for the number of the records. A post without an identifier has an empty
/// one.
pub(super) struct Parsed {
    pub(super) line: u64,
    pub(super) byte_offset: u64,
    pub(super) items: Vec<ParsedItem>,
    pub(super) remarks: Remarks,
}

/// One thing in a frame.
pub(super) enum ParsedItem {
    Other,
    Notice(Notice),
    Note(Box<Note>),
    Bot(String),
    Post(Box<Judged>),
    Rejected(RejectReason),
}

impl Reading {
    fn frame(&self, frame: RawFrame) -> Parsed {
        let mut remarks = Remarks::default();
        let frame = frame.shaped(&self.shaping, &mut remarks);
        let byte_offset = frame.byte_offset;
        let items = match frame.content {
            Ok(found) => {
                let found = found.into_iter();
                found.map(|found| self.item(found, byte_offset, &mut remarks)).collect()
            }
            Err(reason) => vec![ParsedItem::Rejected(reason)],
        };
        Parsed { line: frame.line, byte_offset, items, remarks }
    }

    fn item(&self, found: Found, byte_offset: u64, remarks: &mut Remarks) -> ParsedItem {
        let mut record = match found {
            Found::Other => return ParsedItem::Other,
            Found::Notice(notice) => return ParsedItem::Notice(notice),
            Found::Note(note) => return ParsedItem::Note(note),
            Found::Bot(account) => return ParsedItem::Bot(account),
            Found::Rejected(reason) => return ParsedItem::Rejected(reason),
            Found::Post(record) => record,
        };
        if self.removed {
            record.set_gone(Removal::Deleted, How::Structure("deleted-tweets.js"));
        }
        if let Some(place) = &self.repo {
            place.complete(&mut record);
        }
        record.settle_identifiers(&self.judgement, remarks);
        let nameless = record.get(Part::Id).is_none();
        let origin = Origin { source: Arc::clone(&self.source), record: 0, byte_offset };
        match record.into_post(origin, &self.judgement, &self.shaping.gone_texts, remarks) {
            Ok(mut judged) => {
                if self.archive && judged.post.author.is_empty() {
                    judged.post.author = ARCHIVE_OWNER.to_string();
                }
                if nameless {
                    judged.post.id.clear();
                }
                ParsedItem::Post(Box::new(judged))
            }
            Err(reason) => ParsedItem::Rejected(reason),
        }
    }
}

/// Batches under way, in the order of the source.
pub(super) struct Ahead<'a, 'c> {
    pool: Option<&'a WorkerPool<'c>>,
    reading: Arc<Reading>,
    batch: Vec<RawFrame>,
    batch_bytes: usize,
    under_way: VecDeque<(usize, Answer<Vec<Parsed>>)>,
    under_way_bytes: usize,
    /// Records handed over.
    records: u64,
}

impl<'a, 'c> Ahead<'a, 'c> {
    pub(super) fn new(pool: Option<&'a WorkerPool<'c>>, reading: Arc<Reading>) -> Ahead<'a, 'c> {
        Ahead {
            pool,
            reading,
            batch: Vec::new(),
            batch_bytes: 0,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            records: 0,
        }
    }

    /// The number of the next record.
    pub(super) fn records(&mut self) -> &mut u64 {
        &mut self.records
    }

    /// Takes a frame; perhaps gives an earlier batch, or this frame itself without a pool.
    pub(super) fn push(&mut self, frame: RawFrame) -> Option<Vec<Parsed>> {
        if self.pool.is_none() {
            return Some(vec![self.reading.frame(frame)]);
        }
        self.batch_bytes += frame.bytes();
        self.batch.push(frame);
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_FRAMES {
            self.send();
        }
        let first_is_there = self.under_way.front().is_some_and(|(_, answer)| answer.is_there());
        if first_is_there || self.under_way_bytes > UNDER_WAY_BYTES { self.first() } else { None }
    }

    /// The next batch, once the source has ended.
    pub(super) fn rest(&mut self) -> Option<Vec<Parsed>> {
        self.send();
        self.first()
    }

    fn send(&mut self) {
        let Some(pool) = self.pool.filter(|_| !self.batch.is_empty()) else { return };
        let batch = std::mem::take(&mut self.batch);
        let bytes = std::mem::take(&mut self.batch_bytes);
        let reading = Arc::clone(&self.reading);
        let answer = pool.submit(move || {
            batch.into_iter().map(|frame| reading.frame(frame)).collect::<Vec<_>>()
        });
        self.under_way_bytes += bytes;
        self.under_way.push_back((bytes, answer));
    }

    fn first(&mut self) -> Option<Vec<Parsed>> {
        let (bytes, answer) = self.under_way.pop_front()?;
        self.under_way_bytes -= bytes;
        Some(answer.wait(self.pool?))
    }
}
