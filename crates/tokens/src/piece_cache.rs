//! A cache from whole pieces to their ids: text repeats its words, so most pieces are found here.
//!
//! Direct-mapped with a fixed size: an entry is one cache line, a new piece replaces the old one
//! in its place, and nothing is ever evicted otherwise. Pieces longer than
//! [`MAX_PIECE_LENGTH`] or of more than [`MAX_IDS`] ids are not kept.

use crate::piece_hash::hash_words;

/// Bytes of the longest piece kept.
pub(crate) const MAX_PIECE_LENGTH: usize = 32;
/// Ids of the most divided piece kept.
pub(crate) const MAX_IDS: usize = 7;
/// Entries: 64 B × 2^14 = 1 MiB, the second-level cache of current cores.
const ENTRIES_LOG2: u32 = 14;

/// One piece, padded with zeros, and its ids. A length of zero marks an unused entry.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Entry {
    key: [u64; 4],
    ids: [u32; MAX_IDS],
    length: u8,
    count: u8,
}

/// Masks that keep the first `n` of 32 bytes, as four little-endian words.
const MASKS: [[u64; 4]; MAX_PIECE_LENGTH + 1] = {
    let mut masks = [[0; 4]; MAX_PIECE_LENGTH + 1];
    let mut length = 0;
    while length <= MAX_PIECE_LENGTH {
        let mut byte = 0;
        while byte < length {
            masks[length][byte / 8] |= 0xff << (byte % 8 * 8);
            byte += 1;
        }
        length += 1;
    }
    masks
};

/// A piece made ready for the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheKey {
    words: [u64; 4],
    length: u8,
    slot: usize,
}

impl CacheKey {
    /// The key of `text[start..end]`; nothing if the piece is too long to be kept.
    #[inline(always)]
    pub(crate) fn of(text: &[u8], start: usize, end: usize) -> Option<Self> {
        let length = end - start;
        if length > MAX_PIECE_LENGTH {
            return None;
        }
        let padded: [u8; MAX_PIECE_LENGTH] = match text.get(start..start + MAX_PIECE_LENGTH) {
            Some(window) => window.try_into().unwrap_or([0; MAX_PIECE_LENGTH]),
            None => {
                let mut padded = [0; MAX_PIECE_LENGTH];
                padded[..length].copy_from_slice(&text[start..end]);
                padded
            }
        };
        let mut words = MASKS[length];
        for (index, word) in words.iter_mut().enumerate() {
            let bytes: [u8; 8] = padded[index * 8..index * 8 + 8].try_into().unwrap_or([0; 8]);
            *word &= u64::from_le_bytes(bytes);
        }
        let slot = (hash_words(&words) >> (64 - ENTRIES_LOG2)) as usize;
        Some(Self { words, length: length as u8, slot })
    }
}

/// The cache.
#[derive(Clone, Debug)]
pub(crate) struct PieceCache {
    entries: Vec<Entry>,
}

impl PieceCache {
    /// An empty cache.
    pub(crate) fn new() -> Self {
        let unused = Entry { key: [0; 4], ids: [0; MAX_IDS], length: 0, count: 0 };
        Self { entries: vec![unused; 1 << ENTRIES_LOG2] }
    }

    /// Appends the ids of a piece if they are known.
    #[inline(always)]
    pub(crate) fn append(&self, key: &CacheKey, ids: &mut Vec<u32>) -> bool {
        let entry = &self.entries[key.slot];
        if entry.length != key.length || entry.key != key.words {
            return false;
        }
        // Copying all places and cutting back is a fixed-size copy, cheaper than a counted one.
        let end = ids.len() + entry.count as usize;
        ids.extend_from_slice(&entry.ids);
        ids.truncate(end);
        true
    }

    /// Keeps the ids of a piece, if they are few enough.
    pub(crate) fn keep(&mut self, key: &CacheKey, ids: &[u32]) {
        let entry = &mut self.entries[key.slot];
        if let Some(places) = entry.ids.get_mut(..ids.len()) {
            places.copy_from_slice(ids);
            entry.key = key.words;
            entry.length = key.length;
            entry.count = ids.len() as u8;
        }
    }
}
