//! On which side of the held-out border each thread of a store falls, and which of its posts go with it.
//!
//! What must be known of all threads before the first is written is little: who began each, and how much each
//! class of authors wrote. Shards spill it by thread, a bucket of threads is one task, and the sums
//! of all buckets choose the class of authors that is held out (`split`). Where authors cannot be
//! divided, or need not be, the side is a function of the thread's name; only a corpus whose threads all
//! fall on one side is cut otherwise, as in `corpus`.

use super::attributes::{self, Mark, SPLIT, VERDICT};
use super::removals::{bucket_of, key_of};
use super::{BUCKETS, Ingest, SORT_BYTES};
use crate::error::CorpusError;
use crate::split::{Border, Classes, SplitBy, beginning, class_of};
use crate::store::{Buckets, Keyed, Sorter, Words, read_json, write_json};
use serde::{Deserialize, Serialize};
use std::path::Path;
use stoa_posts::{Durability, Post, Split, Values, read_columns, split_of};
use stoa_random::stable_hash;

/// The folder of what shards spill.
pub(super) const THREAD_STARTERS: &str = "beginnings";
/// The folder of what buckets sum up.
pub(super) const SIDES: &str = "sides";
/// The folder of rows that are set aside, by shard.
pub(super) const EXCLUDED: &str = "aside";

/// A row that is set aside.
pub(super) type HeldOutRow = Words<1>;

/// A kept post: hash of its thread in two halves, its rank as the one that began the thread, and the class
/// of its author. It carries the thread's name.
type Beginning = Keyed<6>;
/// In place of a class where there is no author; such posts come last.
const NO_AUTHOR: u64 = u64::MAX;

/// What a shard spills.
pub(super) struct ThreadStarters(Buckets);

impl ThreadStarters {
    pub(super) fn new() -> ThreadStarters {
        ThreadStarters(Buckets::new(BUCKETS))
    }

    /// Adds a kept post.
    pub(super) fn push(&mut self, thread: &str, post: &Post, place: u64) {
        let key = key_of(thread);
        let class = class_of(&post.author).map_or(NO_AUTHOR, |class| class as u64);
        let rank = rank(post, place);
        let words = [(key >> 64) as u64, key as u64, rank[0], rank[1], rank[2], class];
        self.0.push(bucket_of(key), &Keyed { words, body: thread.as_bytes().into() });
    }

    pub(super) fn write(self, path: &Path, durability: Durability) -> Result<(), CorpusError> {
        self.0.write(path, durability)
    }
}

/// As [`beginning`], with posts without author last.
fn rank(post: &Post, place: u64) -> [u64; 3] {
    if post.author.is_empty() { [NO_AUTHOR; 3] } else { beginning(post, place) }
}

/// On which sides threads fall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sides {
    /// Whether threads fall on either side by their names.
    train: bool,
    held_out: bool,
    /// The thread of lowest hash, and whether it is the only one.
    lowest: Option<String>,
    alone: bool,
    classes: Classes,
    /// The border between authors, when threads are split by author.
    border: Option<Border>,
}

impl Sides {
    fn add(&mut self, thread: &str) {
        match split_of(thread) {
            Split::Train => self.train = true,
            Split::HeldOut => self.held_out = true,
        }
        let only = self.lowest.as_deref().is_none_or(|lowest| lowest == thread);
        self.alone = (self.alone || self.lowest.is_none()) && only;
        let hash = |thread: &str| (stable_hash(thread.as_bytes()), thread.to_string());
        if self.lowest.as_deref().is_none_or(|lowest| hash(thread) < hash(lowest)) {
            self.lowest = Some(thread.to_string());
        }
    }

    fn merge(&mut self, other: &Sides) {
        self.train |= other.train;
        self.held_out |= other.held_out;
        if let Some(lowest) = &other.lowest {
            let alone = other.alone && (self.alone || self.lowest.is_none());
            self.add(lowest);
            self.alone &= alone;
        }
        self.classes.add(&other.classes);
    }

    /// Whether there is only one thread, which is cut in two.
    pub(super) fn alone(&self) -> bool {
        self.alone
    }

    /// How threads are split.
    pub(super) fn split_by(&self) -> SplitBy {
        if self.border.is_some() { SplitBy::Author } else { SplitBy::Thread }
    }

    /// The side of a thread by its name.
    fn by_name(&self, thread: &str) -> Split {
        let moved = self.lowest.as_deref() == Some(thread);
        match split_of(thread) {
            _ if self.alone => Split::Train,
            Split::Train if moved && !self.held_out => Split::HeldOut,
            Split::HeldOut if moved && !self.train => Split::Train,
            split => split,
        }
    }

    /// The side of a thread of some posts with their places.
    pub(super) fn side(&self, thread: &str, posts: &[(u64, Post)]) -> Split {
        let Some(border) = self.border else { return self.by_name(thread) };
        let first = posts.iter().min_by_key(|(place, post)| rank(post, *place));
        border.side(thread, first.and_then(|(_, post)| class_of(&post.author)))
    }

    /// Whether a post stays in a thread of a side; else it is set aside.
    pub(super) fn stays(&self, side: Split, post: &Post) -> bool {
        self.border.is_none_or(|border| border.stays(side, &post.author))
    }
}

/// Sums up the threads of a bucket.
pub(super) fn bucket(ingest: &Ingest<'_>, bucket: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, .. } = ingest;
    let files = work.of_shards(THREAD_STARTERS, &readings.shards);
    let mut sorter = Sorter::new(&work.sorting(SIDES, bucket), THREAD_STARTERS, SORT_BYTES);
    Buckets::each(&files, bucket, BUCKETS, |record: Beginning| sorter.push(record))?;
    let mut sides = Sides::default();
    let mut thread: Option<[u64; 2]> = None;
    for record in sorter.sorted()? {
        let Keyed { words: [high, low, _, _, _, class], body } = record?;
        let class = (class != NO_AUTHOR).then_some(class as usize);
        class.into_iter().for_each(|class| sides.classes.wrote(class));
        // Of a thread the one who began it comes first.
        if thread.replace([high, low]) != Some([high, low]) {
            class.into_iter().for_each(|class| sides.classes.began(class));
            sides.add(&String::from_utf8_lossy(&body));
        }
    }
    write_json(&work.of_bucket(SIDES, bucket), work.durability, &sides)
}

/// On which sides the threads of all buckets fall.
pub(super) fn load(ingest: &Ingest<'_>) -> Result<Sides, CorpusError> {
    let mut sides = Sides::default();
    for path in ingest.work.of_buckets(SIDES) {
        sides.merge(&read_json(&path)?);
    }
    if ingest.options.split == SplitBy::Author {
        sides.border = sides.classes.border();
    }
    Ok(sides)
}

/// Writes which of the kept posts of a shard stand in no document, when threads are split by author.
pub(super) fn attribute(ingest: &Ingest<'_>, index: usize) -> Result<(), CorpusError> {
    let Ingest { store, work, readings, .. } = ingest;
    let shard = &readings.shards[index].name;
    let mut marks = attributes::read(store, VERDICT, shard)?;
    for mark in marks.iter_mut().filter(|mark| mark.is_drop()) {
        *mark = Mark::Unasked;
    }
    let files = work.of_buckets(EXCLUDED);
    Buckets::each(&files, index, readings.shards.len(), |Words([row]): HeldOutRow| {
        if let Some(mark) = marks.get_mut(row as usize) {
            *mark = Mark::dropped("author on the other side");
        }
        Ok(())
    })?;
    let ids = read_columns(&store.posts(shard), &["id"])?.into_iter().next().flatten();
    let ids = ids.and_then(Values::into_texts).unwrap_or_default();
    let named = |id: Option<String>| Post { id: id.unwrap_or_default(), ..Post::default() };
    let posts: Vec<Post> = ids.into_iter().map(named).collect();
    attributes::write(store, SPLIT, shard, &posts, &marks, Vec::new())
}
