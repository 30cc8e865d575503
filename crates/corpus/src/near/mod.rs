//! Copies and near-copies among short texts, exact in what they say and bounded in memory.
//!
//! Two texts are copies when their normal forms are equal, near-copies when the Jaccard similarity of
//! their shingles is at least 0.8: runs of three words, or of three to five characters below eight
//! words. MinHash (Broder 1997, "On the resemblance and containment of documents") with banding (Leskovec,
//! Rajaraman, Ullman, "Mining of massive datasets", section 3.4) only proposes pairs; each is verified
//! before a post is dropped. A post is dropped for one kept post it resembles, never for a chain of
//! them, so clusters do not collapse into one another. The earliest post is kept, whatever the order
//! or the shards in which posts arrive.
//!
//! [`NearDuplicates`] does this in one process and one pass: everything that grows with the corpus lies in
//! sorted files of a folder the caller gives, but for one bit a post and sixteen bytes a kept post that
//! has near-copies. An ingest does the same by shards, with the same result; this is what it is tested
//! against.

mod features;
mod signature;
mod texts;

pub(crate) use features::spoken_words;
pub use features::{Features, similarity};
pub(crate) use signature::Signer;

use crate::error::CorpusError;
use crate::store::{Sorted, Sorter, Words};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use stoa_posts::normal_form;
use texts::{TextRecord, Texts};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// What near-copies are, and what finding them may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearConfig {
    /// Similarity from which texts are near-copies.
    pub threshold: f64,
    /// Below this many words, equal texts of different authors are no copies: "Thank you!" is said by
    /// many people independently. An author's own repetition is one.
    pub fewest_words: usize,
    /// Most near-copies that one kept post may take; the next starts a cluster of its own.
    pub cluster_cap: usize,
    /// Members of a bucket that later members are compared with.
    pub bucket_cap: usize,
    /// Memory for sorting, in bytes, of all sorters that are at work at a time.
    pub memory_bytes: usize,
}

impl Default for NearConfig {
    fn default() -> NearConfig {
        NearConfig {
            threshold: 0.8,
            fewest_words: 5,
            cluster_cap: 10_000,
            bucket_cap: 32,
            memory_bytes: 256 << 20,
        }
    }
}

/// A post as deduplication sees it.
#[derive(Clone, Copy, Debug)]
pub struct NearPost<'a> {
    /// Identifier, unique in the corpus; ties of time are kept by it.
    pub id: &'a str,
    /// Author; empty when unknown.
    pub author: &'a str,
    /// When it was written, in Unix seconds; posts without a time come after all others.
    pub created_at_unix_seconds: Option<i64>,
    /// The text as posted.
    pub text: &'a str,
}

/// Whether a copy has the same words or nearly the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CopyKind {
    /// Equal normal forms.
    Exact,
    /// Similar shingles.
    Near,
}

/// A post that repeats another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copied {
    /// The post, by the order in which it was pushed, from 0.
    pub post: u64,
    /// The kept post it repeats.
    pub of: u64,
    /// How closely.
    pub kind: CopyKind,
}

/// Counts over a whole corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NearCounts {
    /// Posts pushed.
    pub posts: u64,
    /// Dropped with equal normal forms.
    pub exact: u64,
    /// Dropped as near-copies.
    pub near: u64,
    /// Kept posts that have copies.
    pub clusters: u64,
    /// Members of the largest cluster, its kept post included.
    pub largest_cluster: u64,
    /// Pairs of near-copies that were proposed and verified or refuted.
    pub compared: u64,
}

/// Sorters that hold much at a time: one gives, one takes, and one more in between.
const SORTERS: usize = 3;

/// Collects posts; [`NearDuplicates::finish`] finds the copies among them.
pub struct NearDuplicates {
    folder: PathBuf,
    config: NearConfig,
    records: Sorter<TextRecord>,
    posts: u64,
}

impl NearDuplicates {
    /// Starts with spill files in `folder`, which must exist; they are removed at the end.
    pub fn new(folder: &Path, config: NearConfig) -> NearDuplicates {
        let config = NearConfig { memory_bytes: config.memory_bytes / SORTERS, ..config };
        let records = Sorter::new(folder, "posts", config.memory_bytes);
        NearDuplicates { folder: folder.to_path_buf(), config, records, posts: 0 }
    }

    /// Takes a post.
    pub fn push(&mut self, post: NearPost<'_>) -> Result<(), CorpusError> {
        let text = normal_form(post.text);
        let created = order_of(post.created_at_unix_seconds);
        self.records.push(TextRecord {
            created,
            id: xxh3_128(post.id.as_bytes()),
            ordinal: self.posts,
            author: xxh3_64(post.author.as_bytes()),
            text,
        })?;
        self.posts += 1;
        Ok(())
    }

    /// Finds copies. The answer is sorted by post; posts without words are never copies.
    pub fn finish(self) -> Result<Copies, CorpusError> {
        let NearDuplicates { folder, config, records, posts } = self;
        let mut counts = NearCounts { posts, ..NearCounts::default() };
        let mut texts = Texts::create(&folder)?;
        let mut exact = Sorter::new(&folder, "exact", config.memory_bytes);
        // From here on a post is its place in the order of (time, identifier).
        let mut place = 0;
        for record in records.sorted()? {
            let record = record?;
            if let Some(key) = exact_key(&record.text, record.author, config.fewest_words) {
                exact.push(Words([(key >> 64) as u64, key as u64, place]))?;
            }
            texts.append(&record)?;
            place += 1;
        }
        let mut dropped = Bits::new(place);
        // (kept post, its exact copy), both by place.
        let mut equal = Sorter::new(&folder, "equal", config.memory_bytes);
        let mut first = None;
        for words in exact.sorted()? {
            let Words([high, low, place]) = words?;
            match first {
                Some((key, keeper)) if key == (high, low) => {
                    dropped.set(place);
                    counts.exact += 1;
                    equal.push(Words([keeper, place]))?;
                }
                _ => first = Some(((high, low), place)),
            }
        }
        let pairs = candidates(&folder, &config, &mut texts, &dropped)?;
        // (near-copy, its kept post), by place.
        let mut near = Sorter::new(&folder, "near", config.memory_bytes);
        counts.compared = near_copies(&config, pairs, &mut texts, &mut dropped, &mut near)?;
        let sorted = answer(&folder, &config, equal, near, &mut texts, &mut counts)?;
        Ok(Copies { counts, sorted })
    }
}

/// Joins both kinds of copies: an exact copy of a post that is itself a near-copy repeats that one's
/// kept post. Counts clusters on the way.
fn answer(
    folder: &Path,
    config: &NearConfig,
    equal: Sorter<Words<2>>,
    near: Sorter<Words<2>>,
    texts: &mut Texts,
    counts: &mut NearCounts,
) -> Result<Sorted<Words<3>>, CorpusError> {
    let mut by_post = Sorter::new(folder, "by-post", config.memory_bytes);
    let mut keepers = Sorter::new(folder, "keepers", config.memory_bytes);
    let mut copy = |place: u64, of: u64, kind: CopyKind| -> Result<(), CorpusError> {
        keepers.push(Words([of]))?;
        by_post.push(Words([texts.ordinal(place)?, texts.ordinal(of)?, kind as u64]))
    };
    let mut near = near.sorted()?.peekable();
    for words in equal.sorted()? {
        let Words([keeper, place]) = words?;
        while let Some(Words([near_place, of])) = near
            .next_if(|words| !matches!(words, Ok(Words([place, _])) if *place >= keeper))
            .transpose()?
        {
            counts.near += 1;
            copy(near_place, of, CopyKind::Near)?;
        }
        let of = match near.peek() {
            Some(Ok(Words([near_place, of]))) if *near_place == keeper => *of,
            _ => keeper,
        };
        copy(place, of, CopyKind::Exact)?;
    }
    for words in near {
        let Words([place, of]) = words?;
        counts.near += 1;
        copy(place, of, CopyKind::Near)?;
    }
    let mut cluster = (None, 0);
    for words in keepers.sorted()? {
        let Words([keeper]) = words?;
        if cluster.0 != Some(keeper) {
            cluster = (Some(keeper), 1);
            counts.clusters += 1;
        }
        cluster.1 += 1;
        counts.largest_cluster = counts.largest_cluster.max(cluster.1);
    }
    by_post.sorted()
}

/// The copies found, sorted by post. The folder's files are removed when this is dropped.
pub struct Copies {
    counts: NearCounts,
    sorted: Sorted<Words<3>>,
}

impl Copies {
    /// Counts over all posts.
    pub fn counts(&self) -> NearCounts {
        self.counts
    }
}

impl Iterator for Copies {
    type Item = Result<Copied, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        let words = self.sorted.next()?;
        Some(words.map(|Words([post, of, kind])| Copied {
            post,
            of,
            kind: if kind == 0 { CopyKind::Exact } else { CopyKind::Near },
        }))
    }
}

/// Unsigned order of time; posts without a time come last.
pub(crate) fn order_of(created_at_unix_seconds: Option<i64>) -> u64 {
    // Order by bits is order by time once the sign is turned.
    (created_at_unix_seconds.unwrap_or(i64::MAX) as u64) ^ (1 << 63)
}

/// What equal posts share, by normal form and hash of the author; nothing for a post without words.
/// Texts below `fewest_words` are equal only with the same author.
pub(crate) fn exact_key(text: &str, author: u64, fewest_words: usize) -> Option<u128> {
    if text.is_empty() {
        return None;
    }
    let key = xxh3_128(text.as_bytes());
    if spoken_words(text) >= fewest_words {
        return Some(key);
    }
    let own = u128::from(xxh3_64(&author.to_le_bytes()));
    Some(key ^ (own << 64 | own).rotate_left(17))
}

/// The members of a bucket that later members are compared with: the first `cap`.
pub(crate) struct Firsts<P> {
    key: Option<u64>,
    firsts: Vec<P>,
    cap: usize,
}

impl<P> Firsts<P> {
    pub(crate) fn new(cap: usize) -> Firsts<P> {
        Firsts { key: None, firsts: Vec::new(), cap }
    }

    /// Takes the next member, in the order of keys and within a key of time: calls for each earlier one
    /// it is to be compared with.
    pub(crate) fn take(
        &mut self,
        key: u64,
        member: P,
        mut pair: impl FnMut(&P, &P) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        if self.key != Some(key) {
            self.key = Some(key);
            self.firsts.clear();
        }
        self.firsts.iter().try_for_each(|first| pair(&member, first))?;
        if self.firsts.len() < self.cap {
            self.firsts.push(member);
        }
        Ok(())
    }
}

/// Pairs (later, earlier) that share a band of their signatures, sorted and without repeats.
fn candidates(
    folder: &Path,
    config: &NearConfig,
    texts: &mut Texts,
    dropped: &Bits,
) -> Result<Sorted<Words<2>>, CorpusError> {
    let mut bands = Sorter::new(folder, "bands", config.memory_bytes);
    let mut signer = Signer::new();
    texts.each(|place, text| {
        if dropped.get(place) || spoken_words(text) < config.fewest_words {
            return Ok(());
        }
        let features = Features::of(text);
        for key in signer.band_keys(&features) {
            bands.push(Words([key, place]))?;
        }
        Ok(())
    })?;
    let mut pairs = Sorter::new(folder, "pairs", config.memory_bytes);
    let mut firsts = Firsts::new(config.bucket_cap);
    for words in bands.sorted()? {
        let Words([band, place]) = words?;
        firsts.take(band, place, |&place, &first| pairs.push(Words([place, first])))?;
    }
    pairs.sorted()
}

/// Verifies pairs in the order of their later post: it is dropped for the earliest kept post that it
/// resembles and that has room. Says how many pairs were compared.
fn near_copies(
    config: &NearConfig,
    pairs: Sorted<Words<2>>,
    texts: &mut Texts,
    dropped: &mut Bits,
    near: &mut Sorter<Words<2>>,
) -> Result<u64, CorpusError> {
    let mut later: Option<(u64, Features)> = None;
    let mut last_pair = None;
    let mut copies_of: HashMap<u64, usize> = HashMap::new();
    let mut compared = 0;
    for words in pairs {
        let Words([place, earlier]) = words?;
        if last_pair.replace((place, earlier)) == Some((place, earlier))
            || dropped.get(place)
            || dropped.get(earlier)
            || copies_of.get(&earlier).is_some_and(|&copies| copies >= config.cluster_cap)
        {
            continue;
        }
        if later.as_ref().is_none_or(|(known, _)| *known != place) {
            later = Some((place, Features::of(&texts.text(place)?)));
        }
        let Some((_, features)) = &later else { continue };
        compared += 1;
        if similarity(features, texts.features(earlier)?) >= config.threshold {
            dropped.set(place);
            *copies_of.entry(earlier).or_insert(0) += 1;
            near.push(Words([place, earlier]))?;
        }
    }
    Ok(compared)
}

/// One bit a post.
struct Bits {
    words: Vec<u64>,
}

impl Bits {
    fn new(count: u64) -> Bits {
        Bits { words: vec![0; count.div_ceil(64) as usize] }
    }

    fn set(&mut self, at: u64) {
        self.words[(at / 64) as usize] |= 1 << (at % 64);
    }

    fn get(&self, at: u64) -> bool {
        self.words[(at / 64) as usize] >> (at % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests;
