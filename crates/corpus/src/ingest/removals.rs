//! Which rows are gone and which are older versions: notices joined with posts by identifier.
//!
//! Notices count whatever their order: for each kind of removal the latest event decides, one
//! without a time is the latest of all, and on a tie the removal wins. Any active kind makes a
//! tombstone. Several rows of one identifier are versions of one post when author and time agree;
//! the one edited last, then the longest, then the first read is kept.

use super::workdir::place;
use super::{BUCKETS, Ingest, SORT_BYTES};
use crate::error::CorpusError;
use crate::store::{Buckets, Sorter, Spread, Words};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use stoa_posts::{Notice, Post, Removal};
use xxhash_rust::xxh3::xxh3_128;

/// A notice about every post of an author, by the author's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AuthorNotice {
    pub(super) author: String,
    pub(super) removal: Removal,
    pub(super) reversed: bool,
    pub(super) at_unix_seconds: Option<i64>,
}

/// The key of an identifier.
pub(super) fn key_of(id: &str) -> u128 {
    xxh3_128(id.as_bytes())
}

/// The bucket of a key.
pub(super) fn bucket_of(key: u128) -> usize {
    (key >> 64) as usize % BUCKETS
}

fn author_key(author: &str) -> u128 {
    if author.is_empty() { 0 } else { xxh3_128(author.as_bytes()) }
}

const POST: u64 = 0;
const NOTICE: u64 = 1;
/// In place of a time that is not known.
const NO_TIME: i64 = i64::MIN;
/// In place of a removal where there is none.
const NO_REMOVAL: u64 = u64::MAX;

/// A post or a notice, as it is spilled and sorted: by identifier, posts before notices, posts in the
/// order of reading.
type KeyRecord = Words<14>;

/// The words of a [`KeyRecord`] about a post.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct PostKey {
    id: [u64; 2],
    /// [`POST`].
    kind: u64,
    /// Source and part, as a place.
    shard: u64,
    row: u64,
    author: [u64; 2],
    author_id: [u64; 2],
    created: i64,
    edited: i64,
    text_hash: u64,
    /// Bytes of the text; its lowest byte is the code of the removal.
    text_bytes_and_removal: u64,
    removed: i64,
}

/// The words of a [`KeyRecord`] about a notice.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct NoticeKey {
    id: [u64; 2],
    /// [`NOTICE`].
    kind: u64,
    removal: u64,
    reversed: u64,
    at: i64,
    unused: [u64; 8],
}

fn halves(hash: u128) -> [u64; 2] {
    [(hash >> 64) as u64, hash as u64]
}

fn whole([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

fn known(time: i64) -> Option<i64> {
    (time != NO_TIME).then_some(time)
}

/// Appends what must be known of a post.
pub(super) fn put_post(buckets: &mut Buckets, post: &Post, source: usize, part: usize, row: usize) {
    let key = key_of(&post.id);
    let [text_high, text_low] = halves(xxh3_128(post.text.as_bytes()));
    let removal = post.tombstone.map_or(NO_REMOVAL, |tombstone| code(tombstone.removal));
    let removed = post.tombstone.and_then(|tombstone| tombstone.at_unix_seconds);
    let record = PostKey {
        id: halves(key),
        kind: POST,
        shard: place(source, part),
        row: row as u64,
        author: halves(author_key(&post.author)),
        author_id: halves(author_key(post.author_id.as_deref().unwrap_or(""))),
        created: post.created_at_unix_seconds.unwrap_or(NO_TIME),
        edited: post.edited_at_unix_seconds.unwrap_or(NO_TIME),
        text_hash: text_high ^ text_low,
        text_bytes_and_removal: (post.text.len() as u64) << 8 | (removal & 0xff),
        removed: removed.unwrap_or(NO_TIME),
    };
    let record: KeyRecord = Words(bytemuck::cast(record));
    buckets.push(bucket_of(key), &record);
}

/// Appends a notice about a post.
pub(super) fn put_notice(buckets: &mut Buckets, id: &str, notice: &Notice) {
    let key = key_of(id);
    let record = NoticeKey {
        id: halves(key),
        kind: NOTICE,
        removal: code(notice.removal),
        reversed: u64::from(notice.reversed),
        at: notice.at_unix_seconds.unwrap_or(NO_TIME),
        unused: [0; 8],
    };
    let record: KeyRecord = Words(bytemuck::cast(record));
    buckets.push(bucket_of(key), &record);
}

fn code(removal: Removal) -> u64 {
    Removal::ALL.iter().position(|kind| *kind == removal).unwrap_or(0) as u64
}

fn removal_of(code: u64) -> Option<Removal> {
    Removal::ALL.get(code as usize).copied()
}

/// What is known of a row, by key of its identifier.
struct Row {
    author: u128,
    author_id: u128,
    created: i64,
    edited: i64,
    text: u64,
    text_bytes: u64,
    /// Source and part, then row.
    place: (u64, u64),
}

impl Row {
    /// Whether both are versions of one post. Files number their rows from 1, so an identifier alone
    /// proves nothing.
    fn is_version_of(&self, other: &Row) -> bool {
        let times =
            self.created == other.created || self.created == NO_TIME || other.created == NO_TIME;
        self.author == other.author && times && (self.author != 0 || self.text == other.text)
    }
}

/// The latest event of each kind of removal.
#[derive(Clone, Copy, Default)]
pub(super) struct Events {
    latest: [Option<(i64, bool)>; Removal::ALL.len()],
}

impl Events {
    fn add(&mut self, removal: Removal, reversed: bool, at_unix_seconds: Option<i64>) {
        let at = at_unix_seconds.unwrap_or(if reversed { i64::MIN } else { i64::MAX });
        let latest = &mut self.latest[code(removal) as usize];
        *latest = (*latest).max(Some((at, !reversed)));
    }

    /// The removal in force that came first.
    fn in_force(&self) -> Option<(Removal, i64)> {
        let active = Removal::ALL.into_iter().zip(self.latest).filter_map(|(removal, latest)| {
            latest.filter(|(_, removed)| *removed).map(|(at, _)| (removal, at))
        });
        active.min_by_key(|&(removal, at)| (at, removal))
    }
}

/// What is decided about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is gone, since a time in Unix seconds.
    Gone(Removal, Option<i64>),
    /// Another row holds the version that counts.
    Superseded,
}

/// Adds notices about authors to the events of each.
pub(super) fn add_notices(notices: &[AuthorNotice], of_author: &mut HashMap<u128, Events>) {
    for notice in notices {
        let events = of_author.entry(author_key(&notice.author)).or_default();
        events.add(notice.removal, notice.reversed, notice.at_unix_seconds);
    }
}

/// A decision on a row: row, code of the removal, its time.
type Decision = Words<3>;

/// Decides on the rows of a bucket of identifiers.
pub(super) fn bucket(ingest: &Ingest<'_>, bucket: usize) -> Result<(), CorpusError> {
    let Ingest { work, readings, .. } = ingest;
    let shards = &readings.shards;
    let files: Vec<_> = shards.iter().map(|shard| work.keys(shard.source, shard.part)).collect();
    let index: HashMap<u64, usize> = shards
        .iter()
        .enumerate()
        .map(|(index, shard)| (place(shard.source, shard.part), index))
        .collect();
    let folder = work.sorting("settle", bucket);
    let mut sorter = Sorter::new(&folder, "keys", SORT_BYTES);
    Buckets::each(&files, bucket, BUCKETS, |record: KeyRecord| sorter.push(record))?;
    let mut out = Spread::new(&folder, shards.len(), SORT_BYTES);
    let mut put = |(at, row): (u64, u64), settled| {
        let Some(&shard) = index.get(&at) else { return Ok(()) };
        let (code, at) = match settled {
            Settled::Superseded => (NO_REMOVAL, NO_TIME),
            Settled::Gone(removal, at) => (code(removal), at.unwrap_or(NO_TIME)),
        };
        let decision: Decision = Words([row, code, at as u64]);
        out.push(shard, row, &decision)
    };
    let mut group = Group::default();
    for record in sorter.sorted()? {
        let Words(words) = record?;
        let key = whole([words[0], words[1]]);
        if group.key != Some(key) {
            std::mem::take(&mut group).decide(&readings.of_authors, &mut put)?;
            group.key = Some(key);
        }
        group.add(words);
    }
    group.decide(&readings.of_authors, &mut put)?;
    out.write(&work.of_bucket("settled", bucket), work.durability)
}

/// The rows and events of one identifier.
#[derive(Default)]
struct Group {
    key: Option<u128>,
    rows: Vec<Row>,
    events: Events,
}

impl Group {
    fn add(&mut self, words: [u64; 14]) {
        let post: PostKey = bytemuck::cast(words);
        if post.kind == NOTICE {
            let notice: NoticeKey = bytemuck::cast(words);
            if let Some(removal) = removal_of(notice.removal) {
                self.events.add(removal, notice.reversed != 0, known(notice.at));
            }
            return;
        }
        // A row that is marked itself marks every copy of the post.
        if let Some(removal) = removal_of(post.text_bytes_and_removal & 0xff) {
            self.events.add(removal, false, known(post.removed));
        }
        self.rows.push(Row {
            place: (post.shard, post.row),
            author: whole(post.author),
            author_id: whole(post.author_id),
            created: post.created,
            edited: post.edited,
            text: post.text_hash,
            text_bytes: post.text_bytes_and_removal >> 8,
        });
    }

    /// Decides on the rows, which come in the order of reading; rows that stay are not named.
    fn decide(
        self,
        of_author: &HashMap<u128, Events>,
        put: &mut dyn FnMut((u64, u64), Settled) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        let mut living: Vec<&Row> = Vec::new();
        for row in &self.rows {
            let owners = [row.author, row.author_id];
            let of_owner = owners.iter().filter_map(|owner| of_author.get(owner)?.in_force());
            let removed = self.events.in_force().into_iter().chain(of_owner);
            match removed.min_by_key(|&(removal, at)| (at, removal)) {
                Some((removal, at)) => {
                    let at = (at != i64::MAX).then_some(at);
                    put(row.place, Settled::Gone(removal, at))?;
                }
                None => living.push(row),
            }
        }
        // Of each group of versions the best is kept; the first read wins ties.
        let mut kept: Vec<&Row> = Vec::new();
        let better = |row: &&Row| (row.edited, row.text_bytes);
        for row in living {
            match kept.iter_mut().find(|other| row.is_version_of(other)) {
                None => kept.push(row),
                Some(other) if better(&row) > better(other) => {
                    put(other.place, Settled::Superseded)?;
                    *other = row;
                }
                Some(_) => put(row.place, Settled::Superseded)?,
            }
        }
        Ok(())
    }
}

/// The decisions on the rows of a shard, by row.
pub(super) fn of_shard(
    ingest: &Ingest<'_>,
    shard: usize,
) -> Result<HashMap<usize, Settled>, CorpusError> {
    let files = ingest.work.of_buckets("settled");
    let mut settled = HashMap::new();
    Buckets::each(&files, shard, ingest.readings.shards.len(), |record: Decision| {
        let Words([row, code, at]) = record;
        let at = at as i64;
        let decision = match removal_of(code) {
            Some(removal) => Settled::Gone(removal, known(at)),
            None => Settled::Superseded,
        };
        settled.insert(row as usize, decision);
        Ok(())
    })?;
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Record as _;
    use proptest::prelude::*;
    use stoa_posts::{About, Tombstone};

    fn post(id: &str, text: &str, edited: Option<i64>) -> Post {
        Post {
            id: id.to_string(),
            author: "a".to_string(),
            text: text.to_string(),
            edited_at_unix_seconds: edited,
            ..Post::default()
        }
    }

    fn notice(removal: Removal, reversed: bool, at: Option<i64>) -> Notice {
        Notice { about: About::Post("1".to_string()), removal, reversed, at_unix_seconds: at }
    }

    /// Decisions on rows in the order given; notices stand among the posts.
    fn decide(items: &[Result<Post, Notice>]) -> HashMap<u32, Settled> {
        let mut buckets = Buckets::new(BUCKETS);
        let mut row = 0;
        for item in items {
            match item {
                Ok(post) => {
                    put_post(&mut buckets, post, 0, 0, row);
                    row += 1;
                }
                Err(notice) => put_notice(&mut buckets, "1", notice),
            }
        }
        let mut bytes = buckets.part(bucket_of(key_of("1"))).as_slice();
        let mut group = Group::default();
        while let Some(Words(words)) = KeyRecord::read(&mut bytes).expect("whole records") {
            group.add(words);
        }
        let mut settled = HashMap::new();
        let put = &mut |(_, row): (u64, u64), decision| {
            settled.insert(row as u32, decision);
            Ok(())
        };
        group.decide(&HashMap::new(), put).expect("nothing fails");
        settled
    }

    #[test]
    fn the_latest_event_of_a_kind_decides_and_a_tie_removes() {
        let gone = |notices: &[Notice]| {
            let mut items = vec![Ok(post("1", "words", None))];
            items.extend(notices.iter().cloned().map(Err));
            decide(&items).get(&0).copied()
        };
        let delete = |at| notice(Removal::Deleted, false, at);
        let undelete = |at| notice(Removal::Deleted, true, at);
        assert_eq!(gone(&[]), None);
        assert_eq!(gone(&[delete(Some(5)), undelete(Some(6))]), None);
        let removed = Some(Settled::Gone(Removal::Deleted, Some(5)));
        assert_eq!(gone(&[delete(Some(5)), undelete(Some(5))]), removed);
        assert_eq!(gone(&[undelete(Some(4)), delete(Some(5))]), removed);
        let timeless = Some(Settled::Gone(Removal::Deleted, None));
        assert_eq!(gone(&[delete(None), undelete(Some(9))]), timeless);
        // Taking one kind back leaves the others.
        let withheld = notice(Removal::Withheld, false, Some(1));
        assert!(gone(&[withheld, delete(Some(5)), undelete(Some(6))]).is_some());
    }

    #[test]
    fn versions_are_merged_and_unrelated_posts_of_one_number_are_not() {
        let (old, new) = (post("1", "old words", Some(1)), post("1", "new", Some(2)));
        let settled = decide(&[Ok(old.clone()), Ok(new.clone()), Ok(old)]);
        assert_eq!(settled.get(&1), None);
        assert_eq!(settled.len(), 2);
        let cut = post("1", "cut…", None);
        let whole = post("1", "cut in the middle", None);
        assert_eq!(decide(&[Ok(cut), Ok(whole)]).get(&0), Some(&Settled::Superseded));
        let other = Post { author: "b".to_string(), ..new.clone() };
        assert!(decide(&[Ok(new), Ok(other)]).is_empty());
        let without_author = |text: &str| Post { author: String::new(), ..post("1", text, None) };
        assert!(decide(&[Ok(without_author("one")), Ok(without_author("two"))]).is_empty());
        assert_eq!(decide(&[Ok(without_author("one")), Ok(without_author("one"))]).len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever comes first: the same events give the same decision.
        #[test]
        fn order_does_not_matter(
            events in prop::collection::vec((0_usize..8, any::<bool>(), prop::option::of(0_i64..4)), 0..8),
            seed in any::<u64>(),
        ) {
            let mut notices: Vec<Notice> = events
                .into_iter()
                .map(|(kind, reversed, at)| notice(Removal::ALL[kind], reversed, at))
                .collect();
            let marked = Post {
                tombstone: (seed % 3 == 0).then_some(Tombstone::default()),
                ..post("1", "words", None)
            };
            let decide_with = |notices: &[Notice], at: usize| {
                let mut items: Vec<Result<Post, Notice>> = notices.iter().cloned().map(Err).collect();
                items.insert(at.min(notices.len()), Ok(marked.clone()));
                decide(&items).get(&0).copied()
            };
            let first = decide_with(&notices, 0);
            notices.reverse();
            prop_assert_eq!(decide_with(&notices, seed as usize % 9), first);
            let middle = notices.len() / 2;
            notices.rotate_left(middle);
            prop_assert_eq!(decide_with(&notices, seed as usize % 7), first);
        }
    }
}
