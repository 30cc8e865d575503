//! What copies and near-duplicates among short texts are. `ingest` finds them over a whole corpus.
//!
//! Two texts are copies when their normal forms are equal, near-duplicates when the Jaccard similarity of
//! their shingles is at least 0.8: runs of three words (of letters that weigh as much in scripts without
//! spaces), or of three to five characters below eight words. MinHash (Broder 1997, "On the resemblance and containment of documents") with banding (Leskovec,
//! Rajaraman, Ullman, "Mining of massive datasets", section 3.4) only proposes pairs; each is verified
//! before a post is dropped. A post is dropped for one kept post it resembles, never for a chain of
//! them, so clusters do not collapse into one another. The earliest post is kept, whatever the order
//! or the shards in which posts arrive.

mod features;
mod signature;

pub use features::{Features, similarity, word_count};
pub(crate) use signature::Signer;

use crate::error::CorpusError;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Similarity from which texts are near-duplicates.
pub const THRESHOLD: f64 = 0.8;
/// Below this many words, equal texts of different authors are no copies: "Thank you!" is written by
/// many people independently. An author's own repetition is one.
pub const MIN_WORDS: usize = 5;
/// Near-duplicates that one kept post may take; the next starts a cluster of its own.
pub(crate) const MAX_CLUSTER: usize = 10_000;
/// Members of a bucket that later members are compared with.
const MAX_COMPARED: usize = 32;

/// Unsigned order of time; posts without a time come last.
pub(crate) fn order_of(created_at_unix_seconds: Option<i64>) -> u64 {
    // Order by bits is order by time once the sign is turned.
    (created_at_unix_seconds.unwrap_or(i64::MAX) as u64) ^ (1 << 63)
}

/// What equal posts share, by normal form and hash of the author; nothing for a post without words.
/// Texts below [`MIN_WORDS`] words are equal only with the same author.
pub(crate) fn exact_key(text: &str, author: u64) -> Option<u128> {
    if text.is_empty() {
        return None;
    }
    let key = xxh3_128(text.as_bytes());
    if word_count(text) >= MIN_WORDS {
        return Some(key);
    }
    let own = u128::from(xxh3_64(&author.to_le_bytes()));
    Some(key ^ (own << 64 | own).rotate_left(17))
}

/// The members of a bucket that later members are compared with: the first [`MAX_COMPARED`].
pub(crate) struct Firsts<P> {
    key: Option<u64>,
    firsts: Vec<P>,
}

impl<P> Firsts<P> {
    pub(crate) fn new() -> Firsts<P> {
        Firsts { key: None, firsts: Vec::new() }
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
        if self.firsts.len() < MAX_COMPARED {
            self.firsts.push(member);
        }
        Ok(())
    }
}
