//! Which rows are gone and which are older versions: notices joined with posts by identifier.
//!
//! Notices count whatever their order: for each kind of removal the latest event decides, one
//! without a time is the latest of all, and on a tie the removal wins. Any active kind makes a
//! tombstone. Several rows of one identifier are versions of one post when author and time agree;
//! the one edited last, then the longest, then the first read is kept.

use super::tasks::{self, Progress};
use super::{BUCKETS, Work};
use crate::error::PostsError;
use crate::post::{Notice, Post, Removal};
use crate::store::{Buckets, Fields, put_i64, put_u32, put_u128};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
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

const POST: u32 = 0;
const NOTICE: u32 = 1;
/// In place of a time that is not known.
const NO_TIME: i64 = i64::MIN;

/// Appends what must be known of a post.
pub(super) fn put_post(
    buckets: &mut Buckets,
    post: &Post,
    (source, shard): (usize, usize),
    row: usize,
) {
    let key = key_of(&post.id);
    let out = buckets.part(bucket_of(key));
    put_u32(out, POST);
    put_u128(out, key);
    put_u128(out, author_key(&post.author));
    put_u128(out, author_key(post.author_id.as_deref().unwrap_or("")));
    put_i64(out, post.created_at_unix_seconds.unwrap_or(NO_TIME));
    put_i64(out, post.edited_at_unix_seconds.unwrap_or(NO_TIME));
    put_u128(out, xxh3_128(post.text.as_bytes()));
    put_u32(out, post.text.len() as u32);
    put_u32(out, source as u32);
    put_u32(out, shard as u32);
    put_u32(out, row as u32);
    put_u32(out, post.tombstone.map_or(u32::MAX, |tombstone| code(tombstone.removal)));
    put_i64(out, post.tombstone.and_then(|t| t.at_unix_seconds).unwrap_or(NO_TIME));
}

/// Appends a notice about a post.
pub(super) fn put_notice(buckets: &mut Buckets, id: &str, notice: &Notice) {
    let key = key_of(id);
    let out = buckets.part(bucket_of(key));
    put_u32(out, NOTICE);
    put_u128(out, key);
    put_u32(out, code(notice.removal));
    put_u32(out, u32::from(notice.reversed));
    put_i64(out, notice.at_unix_seconds.unwrap_or(NO_TIME));
}

fn code(removal: Removal) -> u32 {
    Removal::ALL.iter().position(|kind| *kind == removal).unwrap_or(0) as u32
}

fn removal_of(code: u32) -> Option<Removal> {
    Removal::ALL.get(code as usize).copied()
}

/// What is known of a row, by key of its identifier.
struct Row {
    author: u128,
    author_id: u128,
    created: i64,
    edited: i64,
    text: u128,
    text_bytes: u32,
    place: (u32, u32, u32),
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
struct Events {
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

/// Settles every bucket that is not settled.
pub(super) fn run(
    work: &Work,
    shards: &[(usize, usize)],
    authors: &[AuthorNotice],
    threads: usize,
    progress: &Progress<'_>,
) -> Result<(), PostsError> {
    let mut of_author: HashMap<u128, Events> = HashMap::new();
    for notice in authors {
        let events = of_author.entry(author_key(&notice.author)).or_default();
        events.add(notice.removal, notice.reversed, notice.at_unix_seconds);
    }
    let files: Vec<_> = shards.iter().map(|&(source, shard)| work.keys(source, shard)).collect();
    let place: HashMap<(usize, usize), usize> =
        shards.iter().enumerate().map(|(index, &shard)| (shard, index)).collect();
    tasks::run("settle", BUCKETS, threads, progress, &|bucket| {
        let path = work.settled(bucket);
        if path.exists() {
            return Ok(());
        }
        let records = Buckets::read(&files, bucket, BUCKETS)?;
        let mut out = Buckets::new(shards.len());
        for (place_of_row, settled) in settle(&records, &of_author) {
            let (source, shard, row) = place_of_row;
            let Some(&shard) = place.get(&(source as usize, shard as usize)) else { continue };
            let part = out.part(shard);
            put_u32(part, row);
            match settled {
                Settled::Superseded => {
                    put_u32(part, u32::MAX);
                    put_i64(part, NO_TIME);
                }
                Settled::Gone(removal, at) => {
                    put_u32(part, code(removal));
                    put_i64(part, at.unwrap_or(NO_TIME));
                }
            }
        }
        out.write(&path)
    })
}

/// Decides on the rows of one bucket; rows that stay are not named.
fn settle(records: &[u8], of_author: &HashMap<u128, Events>) -> Vec<((u32, u32, u32), Settled)> {
    let mut rows: HashMap<u128, Vec<Row>> = HashMap::new();
    let mut events: HashMap<u128, Events> = HashMap::new();
    let mut fields = Fields::new(records);
    let time = |at: i64| (at != NO_TIME).then_some(at);
    while !fields.is_empty() {
        let kind = fields.u32();
        let key = fields.u128();
        if kind == NOTICE {
            let (removal, reversed, at) = (fields.u32(), fields.u32(), fields.i64());
            if let Some(removal) = removal_of(removal) {
                events.entry(key).or_default().add(removal, reversed != 0, time(at));
            }
            continue;
        }
        let row = Row {
            author: fields.u128(),
            author_id: fields.u128(),
            created: fields.i64(),
            edited: fields.i64(),
            text: fields.u128(),
            text_bytes: fields.u32(),
            place: (fields.u32(), fields.u32(), fields.u32()),
        };
        let (removal, at) = (fields.u32(), fields.i64());
        // A row that is marked itself marks every copy of the post.
        if let Some(removal) = removal_of(removal) {
            events.entry(key).or_default().add(removal, false, time(at));
        }
        rows.entry(key).or_default().push(row);
    }
    let mut settled = Vec::new();
    for (key, mut rows) in rows {
        rows.sort_by_key(|row| row.place);
        let of_post = events.get(&key).copied().unwrap_or_default();
        let mut living: Vec<&Row> = Vec::new();
        for row in &rows {
            let owners = [row.author, row.author_id];
            let of_owner = owners.iter().filter_map(|owner| of_author.get(owner)?.in_force());
            let removed = of_post.in_force().into_iter().chain(of_owner);
            match removed.min_by_key(|&(removal, at)| (at, removal)) {
                Some((removal, at)) => {
                    let at = (at != i64::MAX).then_some(at);
                    settled.push((row.place, Settled::Gone(removal, at)));
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
                    settled.push((other.place, Settled::Superseded));
                    *other = row;
                }
                Some(_) => settled.push((row.place, Settled::Superseded)),
            }
        }
    }
    settled.sort_by_key(|(place, _)| *place);
    settled
}

/// The decisions on the rows of a shard, by row.
pub(super) fn of_shard(
    work: &Work,
    shard: usize,
    shards: usize,
) -> Result<HashMap<usize, Settled>, PostsError> {
    let files: Vec<_> = (0..BUCKETS).map(|bucket| work.settled(bucket)).collect();
    let records = Buckets::read(&files, shard, shards)?;
    let mut fields = Fields::new(&records);
    let mut settled = HashMap::new();
    while !fields.is_empty() {
        let (row, code, at) = (fields.u32(), fields.u32(), fields.i64());
        let decision = match removal_of(code) {
            Some(removal) => Settled::Gone(removal, (at != NO_TIME).then_some(at)),
            None => Settled::Superseded,
        };
        settled.insert(row as usize, decision);
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::post::{About, Tombstone};
    use proptest::prelude::*;

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
        let mut records = Vec::new();
        let mut row = 0;
        for item in items {
            let mut buckets = Buckets::new(BUCKETS);
            match item {
                Ok(post) => {
                    put_post(&mut buckets, post, (0, 0), row);
                    row += 1;
                }
                Err(notice) => put_notice(&mut buckets, "1", notice),
            }
            records.extend_from_slice(buckets.part(bucket_of(key_of("1"))));
        }
        let settled = settle(&records, &HashMap::new());
        settled.into_iter().map(|((_, _, row), settled)| (row, settled)).collect()
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
    fn versions_are_settled_and_strangers_with_one_number_are_not() {
        let (old, new) = (post("1", "old words", Some(1)), post("1", "new", Some(2)));
        let settled = decide(&[Ok(old.clone()), Ok(new.clone()), Ok(old)]);
        assert_eq!(settled.get(&1), None);
        assert_eq!(settled.len(), 2);
        let cut = post("1", "cut…", None);
        let whole = post("1", "cut in the middle", None);
        assert_eq!(decide(&[Ok(cut), Ok(whole)]).get(&0), Some(&Settled::Superseded));
        let other = Post { author: "b".to_string(), ..new.clone() };
        assert!(decide(&[Ok(new), Ok(other)]).is_empty());
        let nobody = |text: &str| Post { author: String::new(), ..post("1", text, None) };
        assert!(decide(&[Ok(nobody("one")), Ok(nobody("two"))]).is_empty());
        assert_eq!(decide(&[Ok(nobody("one")), Ok(nobody("one"))]).len(), 1);
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
