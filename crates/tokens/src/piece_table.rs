//! A table from byte strings to dense indices, all bytes in one allocation.
//!
//! Serves as the vocabulary's inverse and as the trainer's piece counter. Entries cannot be
//! removed; indices count up from zero in the order of insertion.

use crate::piece_hash::hash_bytes;

/// An unused slot.
const EMPTY: u32 = u32::MAX;

/// Where one entry's bytes lie.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    length: u32,
}

/// Interned byte strings.
#[derive(Clone, Debug)]
pub(crate) struct PieceTable {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Linear probing; each slot holds half of the hash and the index, so that misses rarely
    /// look at bytes.
    slots: Vec<(u32, u32)>,
}

impl PieceTable {
    /// An empty table with room for `capacity` entries before it grows.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let slots = (capacity.max(8) * 2).next_power_of_two();
        Self { bytes: Vec::new(), entries: Vec::new(), slots: vec![(0, EMPTY); slots] }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes held by all entries together.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether one more entry of `length` bytes would still fit the 32-bit indices.
    pub(crate) fn has_room_for(&self, length: usize) -> bool {
        self.bytes.len() + length < EMPTY as usize && self.entries.len() + 1 < EMPTY as usize
    }

    /// The bytes of an entry.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> &[u8] {
        let entry = self.entries[index as usize];
        &self.bytes[entry.start as usize..][..entry.length as usize]
    }

    /// The index of a byte string.
    #[inline(always)]
    pub(crate) fn find(&self, piece: &[u8]) -> Option<u32> {
        self.probe(piece, hash_bytes(piece)).ok()
    }

    /// The index of a byte string, inserted if it is new; whether it was new. The caller checks
    /// [`PieceTable::has_room_for`] where input may be that large.
    #[inline(always)]
    pub(crate) fn insert(&mut self, piece: &[u8], hash: u64) -> (u32, bool) {
        match self.probe(piece, hash) {
            Ok(index) => (index, false),
            Err(slot) => (self.insert_at(slot, piece, hash), true),
        }
    }

    /// The entry equal to `piece`, or the slot where it belongs.
    #[inline(always)]
    fn probe(&self, piece: &[u8], hash: u64) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let tag = hash as u32;
        let mut slot = (hash >> 32) as usize & mask;
        loop {
            let (slot_tag, index) = self.slots[slot];
            if index == EMPTY {
                return Err(slot);
            }
            if slot_tag == tag && self.get(index) == piece {
                return Ok(index);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Appends an entry and claims its slot, growing the slots beyond half full.
    #[inline(never)]
    fn insert_at(&mut self, slot: usize, piece: &[u8], hash: u64) -> u32 {
        let index = self.entries.len() as u32;
        self.entries.push(Entry { start: self.bytes.len() as u32, length: piece.len() as u32 });
        self.bytes.extend_from_slice(piece);
        self.slots[slot] = (hash as u32, index);
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        index
    }

    /// Doubles the slots.
    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let mut slots = vec![(0, EMPTY); mask + 1];
        for index in 0..self.entries.len() as u32 {
            let hash = hash_bytes(self.get(index));
            let mut slot = (hash >> 32) as usize & mask;
            while slots[slot].1 != EMPTY {
                slot = (slot + 1) & mask;
            }
            slots[slot] = (hash as u32, index);
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::collections::HashMap;

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]

        #[test]
        fn agrees_with_a_hash_map(pieces in prop::collection::vec(prop::collection::vec(0..4_u8, 0..20), 0..300)) {
            let mut table = PieceTable::with_capacity(1);
            let mut map = HashMap::new();
            for piece in &pieces {
                let next = map.len() as u32;
                let expected = *map.entry(piece.clone()).or_insert(next);
                let (index, new) = table.insert(piece, hash_bytes(piece));
                prop_assert_eq!((index, new), (expected, expected == next));
            }
            for (piece, &index) in &map {
                prop_assert_eq!(table.find(piece), Some(index));
                prop_assert_eq!(table.get(index), &piece[..]);
            }
            prop_assert_eq!(table.find(b"absent"), None);
        }
    }
}
