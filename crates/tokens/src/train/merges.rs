//! Learns merges from counted pieces, updating pair counts instead of counting again.
//!
//! A pair of two tokens appears only in the step that makes the newer of them; from then on its
//! count only falls. So every pair gets its list of words once, and a heap of last known counts
//! never underestimates: the top is refreshed when it is out of date. Ties go to the smallest
//! `(left, right)`. Equal by test to [`crate::reference::train`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::count::CountedPieces;
use crate::TokensError;
use crate::piece_hash::hash_word;

/// No record.
const NONE: u32 = u32::MAX;

/// One distinct piece: its tokens are `symbols[start..start + length]`.
#[derive(Clone, Copy)]
struct Word {
    start: u32,
    length: u32,
}

/// One pair: how often it occurs now, and in which words it has occurred.
#[derive(Default)]
struct PairRecord {
    count: u64,
    words: Vec<u32>,
}

/// A pair with the count it had when it was pushed; the greatest is merged next.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    count: u64,
    pair: Reverse<(u32, u32)>,
    record: u32,
}

/// Gives merges one after the other.
pub(super) struct MergeLearner {
    symbols: Vec<u32>,
    words: Vec<Word>,
    counts: Vec<u64>,
    pairs: PairIndex,
    records: Vec<PairRecord>,
    heap: BinaryHeap<Candidate>,
    least_count: u64,
    next_id: u32,
    neighbours: Neighbours,
}

impl MergeLearner {
    /// Prepares to learn from pieces; pairs seen less than `least_count` times are not merged.
    pub(super) fn new(pieces: CountedPieces, least_count: u64) -> Result<Self, TokensError> {
        let (count, bytes) = (pieces.len(), pieces.byte_len());
        if bytes >= NONE as usize {
            return Err(TokensError::TooManyPieces { pieces: count, bytes });
        }
        let mut learner = Self {
            symbols: Vec::with_capacity(bytes),
            words: Vec::with_capacity(count),
            counts: Vec::with_capacity(count),
            pairs: PairIndex::new(),
            records: Vec::new(),
            heap: BinaryHeap::new(),
            least_count: least_count.max(1),
            next_id: 256,
            neighbours: Neighbours::default(),
        };
        for (piece, count) in pieces.iter().filter(|(piece, _)| piece.len() > 1) {
            let start = learner.symbols.len() as u32;
            learner.symbols.extend(piece.iter().map(|&byte| u32::from(byte)));
            learner.words.push(Word { start, length: piece.len() as u32 });
            learner.counts.push(count);
        }
        learner.count_byte_pairs();
        Ok(learner)
    }

    /// Makes the records of all pairs of bytes.
    fn count_byte_pairs(&mut self) {
        let mut record_of = vec![NONE; 256 * 256];
        for (word, (span, &count)) in (0..).zip(self.words.iter().zip(&self.counts)) {
            let symbols = &self.symbols[span.start as usize..][..span.length as usize];
            for pair in symbols.windows(2) {
                let record = &mut record_of[(pair[0] << 8 | pair[1]) as usize];
                if *record == NONE {
                    *record = self.records.len() as u32;
                    self.records.push(PairRecord::default());
                    self.pairs.insert(pair[0], pair[1], *record);
                }
                self.records[*record as usize].add(count, word);
            }
        }
        for (pair, &record) in (0..).zip(&record_of).filter(|(_, record)| **record != NONE) {
            self.push_candidate((pair >> 8, pair & 0xff), record);
        }
    }

    /// Puts a pair into the heap with its present count, if that is enough.
    fn push_candidate(&mut self, pair: (u32, u32), record: u32) {
        let known = &mut self.records[record as usize];
        if known.count >= self.least_count {
            let count = known.count;
            self.heap.push(Candidate { count, pair: Reverse(pair), record });
        } else {
            // Counts only fall: this pair is done for.
            known.words = Vec::new();
        }
    }

    /// Finds and applies the next merge; nothing if no pair occurs often enough.
    pub(super) fn next_merge(&mut self) -> Result<Option<(u32, u32)>, TokensError> {
        while let Some(Candidate { count, pair: Reverse(pair), record }) = self.heap.pop() {
            if self.records[record as usize].count == count {
                self.apply(pair, record)?;
                return Ok(Some(pair));
            }
            self.push_candidate(pair, record);
        }
        Ok(None)
    }

    /// Replaces a pair by the next id in all words that hold it.
    fn apply(&mut self, (left, right): (u32, u32), record: u32) -> Result<(), TokensError> {
        let id = self.next_id;
        self.next_id += 1;
        self.neighbours.start(id);
        let words = std::mem::take(&mut self.records[record as usize].words);
        for word in words {
            self.merge_in_word(word, left, right, id);
        }
        self.records[record as usize].count = 0;
        if self.records.len() >= NONE as usize {
            let (pieces, bytes) = (self.words.len(), self.symbols.len());
            return Err(TokensError::TooManyPieces { pieces, bytes });
        }
        for (pair, record) in self.neighbours.take_new(id) {
            self.push_candidate(pair, record);
        }
        Ok(())
    }

    /// Replaces the pair in one word from left to right, moving what follows down, and books
    /// the pairs that vanish and appear.
    fn merge_in_word(&mut self, word: u32, left: u32, right: u32, id: u32) {
        let Word { start, length } = self.words[word as usize];
        let count = self.counts[word as usize];
        let symbols = &mut self.symbols[start as usize..][..length as usize];
        let Some(first) = symbols.windows(2).position(|pair| pair == [left, right]) else { return };
        let (records, pairs) = (&mut self.records, &mut self.pairs);
        let (mut read, mut write) = (first, first);
        while read < symbols.len() {
            if symbols[read] != left || symbols.get(read + 1) != Some(&right) {
                symbols[write] = symbols[read];
                (read, write) = (read + 1, write + 1);
                continue;
            }
            if write > 0 {
                let before = symbols[write - 1];
                // After a merge just made, the pair that vanishes is one made by it.
                let vanished = if before == id {
                    self.neighbours.new_after(left, id, records, pairs)
                } else {
                    self.neighbours.old_before(before, left, pairs)
                };
                records[vanished as usize].count -= count;
                let appeared = self.neighbours.new_before(before, id, records, pairs);
                records[appeared as usize].add(count, word);
            }
            if let Some(&after) = symbols.get(read + 2) {
                let vanished = self.neighbours.old_after(after, right, pairs);
                records[vanished as usize].count -= count;
                let appeared = self.neighbours.new_after(after, id, records, pairs);
                records[appeared as usize].add(count, word);
            }
            symbols[write] = id;
            (read, write) = (read + 2, write + 1);
        }
        self.words[word as usize].length = write as u32;
    }
}

impl PairRecord {
    /// Books occurrences in a word. Words are worked on one at a time, so a word already listed
    /// is the last one.
    #[inline(always)]
    fn add(&mut self, count: u64, word: u32) {
        self.count += count;
        if self.words.last() != Some(&word) {
            self.words.push(word);
        }
    }
}

/// Records of the pairs touched by the current merge, by their other token: the table of all
/// pairs is asked once for each, not once for each occurrence.
#[derive(Default)]
struct Neighbours {
    old_before: Column,
    old_after: Column,
    new_before: Column,
    new_after: Column,
}

impl Neighbours {
    /// Forgets the last merge and makes room for tokens up to `id`.
    fn start(&mut self, id: u32) {
        let Self { old_before, old_after, new_before, new_after } = self;
        for column in [old_before, old_after, new_before, new_after] {
            column.clear(id as usize + 1);
        }
    }

    /// The record of `(before, left)`, which exists.
    #[inline(always)]
    fn old_before(&mut self, before: u32, left: u32, pairs: &PairIndex) -> u32 {
        self.old_before.get_or(before, || pairs.find(before, left))
    }

    /// The record of `(right, after)`, which exists.
    #[inline(always)]
    fn old_after(&mut self, after: u32, right: u32, pairs: &PairIndex) -> u32 {
        self.old_after.get_or(after, || pairs.find(right, after))
    }

    /// The record of `(before, id)`, made if need be.
    #[inline(always)]
    fn new_before(
        &mut self,
        before: u32,
        id: u32,
        records: &mut Vec<PairRecord>,
        pairs: &mut PairIndex,
    ) -> u32 {
        self.new_before.get_or(before, || new_record(before, id, records, pairs))
    }

    /// The record of `(id, after)`, made if need be.
    #[inline(always)]
    fn new_after(
        &mut self,
        after: u32,
        id: u32,
        records: &mut Vec<PairRecord>,
        pairs: &mut PairIndex,
    ) -> u32 {
        self.new_after.get_or(after, || new_record(id, after, records, pairs))
    }

    /// The pairs made by the current merge.
    fn take_new(&mut self, id: u32) -> Vec<((u32, u32), u32)> {
        let before = self.new_before.touched.iter();
        let before = before.map(|&token| ((token, id), self.new_before.records[token as usize]));
        let after = self.new_after.touched.iter();
        let after = after.map(|&token| ((id, token), self.new_after.records[token as usize]));
        before.chain(after).collect()
    }
}

/// Makes an empty record of a pair that did not exist.
fn new_record(left: u32, right: u32, records: &mut Vec<PairRecord>, pairs: &mut PairIndex) -> u32 {
    let record = records.len() as u32;
    records.push(PairRecord::default());
    pairs.insert(left, right, record);
    record
}

/// Records by token, with the list of those that are set.
#[derive(Default)]
struct Column {
    records: Vec<u32>,
    touched: Vec<u32>,
}

impl Column {
    fn clear(&mut self, size: usize) {
        for token in self.touched.drain(..) {
            self.records[token as usize] = NONE;
        }
        self.records.resize(self.records.len().max(size), NONE);
    }

    #[inline(always)]
    fn get_or(&mut self, token: u32, find: impl FnOnce() -> u32) -> u32 {
        let record = &mut self.records[token as usize];
        if *record == NONE {
            *record = find();
            self.touched.push(token);
        }
        *record
    }
}

/// The record of every pair ever seen; linear probing.
struct PairIndex {
    slots: Vec<(u64, u32)>,
    used: usize,
}

impl PairIndex {
    fn new() -> Self {
        Self { slots: vec![(0, NONE); 1 << 16], used: 0 }
    }

    /// The slot of a pair, or the unused one where it belongs.
    #[inline(always)]
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash_word(key) as usize & mask;
        while self.slots[slot].1 != NONE && self.slots[slot].0 != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// The record of a pair that exists.
    fn find(&self, left: u32, right: u32) -> u32 {
        self.slots[self.slot(key_of(left, right))].1
    }

    /// Adds a pair that does not exist, growing the slots beyond half full.
    fn insert(&mut self, left: u32, right: u32, record: u32) {
        if self.used * 2 >= self.slots.len() {
            let larger = vec![(0, NONE); self.slots.len() * 2];
            let smaller = std::mem::replace(&mut self.slots, larger);
            for (key, record) in smaller.into_iter().filter(|slot| slot.1 != NONE) {
                let slot = self.slot(key);
                self.slots[slot] = (key, record);
            }
        }
        let key = key_of(left, right);
        let slot = self.slot(key);
        self.slots[slot] = (key, record);
        self.used += 1;
    }
}

/// A pair as one number.
#[inline(always)]
fn key_of(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}
