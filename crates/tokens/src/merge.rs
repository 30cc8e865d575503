//! Byte-pair merging of one piece: the ranked pairs and the two loops that apply them.
//!
//! The rule: while any adjacent pair is in the table, merge the pair of lowest rank, the
//! leftmost of equals. Short pieces use a scan, long ones a heap; both give what
//! [`crate::reference::merge`] gives. Sennrich et al. 2016, section 3.2.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::TokensError;
use crate::piece_hash::hash_word;

/// Bits of an id in a packed slot.
const ID_BITS: u32 = 21;
/// Bits of a rank in a packed slot.
const RANK_BITS: u32 = 22;
/// The largest id that merges can use; published vocabularies end near 2^18.
pub(crate) const LARGEST_ID: u32 = (1 << ID_BITS) - 1;
/// The largest number of merges; a tiktoken vocabulary of 2^18 has near 2^19.
pub(crate) const MAX_MERGES: usize = (1 << RANK_BITS) - 1;
/// No pair has this rank.
const NO_RANK: u32 = u32::MAX;
/// Pieces up to this many bytes are merged in fixed arrays: their places fit the bits of a word.
const MAX_SCANNED_LENGTH: usize = 64;
/// Bits of a place in a fixed array.
const PLACE_BITS: u32 = MAX_SCANNED_LENGTH.ilog2();
/// Keys are compared this many at a time, the width of common vector registers.
const LANES: usize = 8;

/// One merge: `left` and `right`, adjacent, become `merged`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    pub(crate) left: u32,
    pub(crate) right: u32,
    pub(crate) merged: u32,
}

/// The merges of a tokenizer, in rank order, with a table from pair to rank.
#[derive(Clone, Debug)]
pub(crate) struct MergeTable {
    merges: Vec<Merge>,
    /// Linear probing over `left:21 | right:21 | rank:22`; all ones is an unused slot.
    slots: Vec<u64>,
    shift: u32,
}

impl MergeTable {
    /// The table of merges in rank order. Of two merges of one pair the later counts, as in
    /// Hugging Face's tokenizers.
    pub(crate) fn new(merges: Vec<Merge>) -> Result<Self, TokensError> {
        if merges.len() > MAX_MERGES {
            return Err(TokensError::TooManyMerges { count: merges.len(), largest: MAX_MERGES });
        }
        for id in merges.iter().flat_map(|merge| [merge.left, merge.right, merge.merged]) {
            if id > LARGEST_ID {
                return Err(TokensError::IdTooLarge { id: id.into(), largest: LARGEST_ID });
            }
        }
        let capacity = (merges.len() * 2).next_power_of_two().max(16);
        let mut table =
            Self { merges, slots: vec![u64::MAX; capacity], shift: 64 - capacity.ilog2() };
        for (rank, merge) in table.merges.iter().enumerate() {
            let key = pair_key(merge.left, merge.right);
            let mut slot = (hash_word(key) >> table.shift) as usize;
            while table.slots[slot] != u64::MAX && table.slots[slot] >> RANK_BITS != key {
                slot = (slot + 1) & (capacity - 1);
            }
            table.slots[slot] = key << RANK_BITS | rank as u64;
        }
        Ok(table)
    }

    /// All merges, by rank.
    pub(crate) fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// The rank of a pair of ids no larger than [`LARGEST_ID`], or [`NO_RANK`].
    #[inline(always)]
    fn rank(&self, left: u32, right: u32) -> u32 {
        let key = pair_key(left, right);
        let mask = self.slots.len() - 1;
        let mut slot = (hash_word(key) >> self.shift) as usize & mask;
        loop {
            let found = self.slots[slot];
            if found >> RANK_BITS == key {
                return found as u32 & (MAX_MERGES as u32);
            }
            if found == u64::MAX {
                return NO_RANK;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Merges the tokens of one piece and appends what is left to `ids`.
    #[inline]
    pub(crate) fn apply(
        &self,
        tokens: impl ExactSizeIterator<Item = u32>,
        scratch: &mut MergeScratch,
        ids: &mut Vec<u32>,
    ) {
        if tokens.len() <= MAX_SCANNED_LENGTH {
            self.apply_by_scan(tokens, ids);
        } else {
            self.apply_by_heap(tokens, scratch, ids);
        }
    }

    /// The key of a pair in a fixed array: its rank, then its place, so that the smallest key is
    /// the next merge.
    #[inline(always)]
    fn key(&self, left: u32, right: u32, place: usize) -> u32 {
        match self.rank(left, right) {
            NO_RANK => NO_RANK,
            rank => rank << PLACE_BITS | place as u32,
        }
    }

    /// Looks at the keys of all places at every step. Tokens stay where they started; a word of
    /// bits tells which places still hold one.
    #[inline]
    fn apply_by_scan(&self, tokens: impl ExactSizeIterator<Item = u32>, ids: &mut Vec<u32>) {
        let count = tokens.len();
        let mut parts = [0; MAX_SCANNED_LENGTH];
        let mut keys = [NO_RANK; MAX_SCANNED_LENGTH];
        for (part, token) in parts.iter_mut().zip(tokens) {
            *part = token;
        }
        for place in 1..count {
            keys[place - 1] = self.key(parts[place - 1], parts[place], place - 1);
        }
        let lanes = count.next_multiple_of(LANES);
        let mut held = u64::MAX.checked_shr(u64::BITS - count as u32).unwrap_or(0);
        loop {
            let mut lowest = [NO_RANK; LANES];
            for keys in keys[..lanes].as_chunks::<LANES>().0 {
                for (lowest, &key) in lowest.iter_mut().zip(keys) {
                    *lowest = key.min(*lowest);
                }
            }
            let lowest = lowest.into_iter().fold(NO_RANK, u32::min);
            if lowest == NO_RANK {
                break;
            }
            let place = lowest as usize % MAX_SCANNED_LENGTH;
            let merged = self.merges[(lowest >> PLACE_BITS) as usize].merged;
            let after = held & (u64::MAX - 1) << place;
            let gone = after.trailing_zeros() as usize % MAX_SCANNED_LENGTH;
            held &= !(1 << gone);
            parts[place] = merged;
            keys[gone] = NO_RANK;
            let beyond = after & after.wrapping_sub(1);
            keys[place] = match beyond {
                0 => NO_RANK,
                _ => self.key(merged, parts[beyond.trailing_zeros() as usize], place),
            };
            let before = held & ((1 << place) - 1);
            if before != 0 {
                let before = before.ilog2() as usize;
                keys[before] = self.key(parts[before], merged, before);
            }
        }
        while held != 0 {
            ids.push(parts[held.trailing_zeros() as usize]);
            held &= held - 1;
        }
    }

    /// Keeps the pairs in a heap by (rank, place); entries of pairs that are gone are skipped.
    fn apply_by_heap(
        &self,
        tokens: impl Iterator<Item = u32>,
        scratch: &mut MergeScratch,
        ids: &mut Vec<u32>,
    ) {
        let MergeScratch { links, heap } = scratch;
        links.clear();
        links.extend(tokens.enumerate().map(|(at, id)| Link {
            id,
            before: at.saturating_sub(1),
            after: at + 1,
        }));
        let end = links.len();
        let mut pairs = std::mem::take(heap).into_vec();
        pairs.clear();
        pairs.extend((1..end).filter_map(|after| {
            let rank = self.rank(links[after - 1].id, links[after].id);
            (rank != NO_RANK).then_some(Reverse((rank, after - 1)))
        }));
        *heap = pairs.into();
        while let Some(Reverse((rank, at))) = heap.pop() {
            let Link { id, before, after } = links[at];
            // A part that was merged away has no id; one that grew has another rank.
            if id == u32::MAX || after >= end || self.rank(id, links[after].id) != rank {
                continue;
            }
            let merged = self.merges[rank as usize].merged;
            let beyond = links[after].after;
            links[after].id = u32::MAX;
            links[at] = Link { id: merged, before, after: beyond };
            if beyond < end {
                links[beyond].before = at;
                let rank = self.rank(merged, links[beyond].id);
                if rank != NO_RANK {
                    heap.push(Reverse((rank, at)));
                }
            }
            if at > 0 {
                let rank = self.rank(links[before].id, merged);
                if rank != NO_RANK {
                    heap.push(Reverse((rank, before)));
                }
            }
        }
        let mut at = 0;
        while at < end {
            ids.push(links[at].id);
            at = links[at].after;
        }
    }
}

/// A pair as one number.
#[inline(always)]
fn pair_key(left: u32, right: u32) -> u64 {
    u64::from(left) << ID_BITS | u64::from(right)
}

/// One token of a piece being merged by heap, in a list by indices.
#[derive(Clone, Copy, Debug)]
struct Link {
    id: u32,
    before: usize,
    after: usize,
}

/// Memory that merging reuses from piece to piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct MergeScratch {
    links: Vec<Link>,
    heap: BinaryHeap<Reverse<(u32, usize)>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    /// Random merges over a tiny alphabet: token `2 + n` is made by merge `n`.
    fn merges() -> impl Strategy<Value = Vec<Merge>> {
        prop::collection::vec((any::<u32>(), any::<u32>()), 0..12).prop_map(|pairs| {
            let make = |(rank, (left, right)): (usize, (u32, u32))| {
                let known = 2 + rank as u32;
                Merge { left: left % known, right: right % known, merged: known }
            };
            pairs.into_iter().enumerate().map(make).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]
        #[test]
        fn scan_and_heap_agree_with_the_reference(
            merges in merges(),
            tokens in prop_oneof![
                prop::collection::vec(0..2_u32, 0..70),
                prop::collection::vec(0..2_u32, 60..200),
            ],
        ) {
            let table = MergeTable::new(merges.clone()).expect("small ids");
            let triples: Vec<_> = merges.iter().map(|m| (m.left, m.right, m.merged)).collect();
            let expected = crate::reference::merge(&triples, &tokens);
            let mut scratch = MergeScratch::default();
            let (mut scanned, mut heaped) = (Vec::new(), Vec::new());
            table.apply(tokens.iter().copied(), &mut scratch, &mut scanned);
            table.apply_by_heap(tokens.iter().copied(), &mut scratch, &mut heaped);
            prop_assert_eq!(&scanned, &expected);
            prop_assert_eq!(&heaped, &expected);
        }
    }

    #[test]
    fn refuses_ids_that_do_not_fit() {
        let merge = Merge { left: 0, right: 1, merged: LARGEST_ID + 1 };
        let error = MergeTable::new(vec![merge]).expect_err("too large");
        assert!(matches!(error, TokensError::IdTooLarge { id, .. } if id == 1 << ID_BITS));
    }
}
