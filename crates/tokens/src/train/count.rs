//! Counts the distinct pieces of a text, in parallel and in bounded memory.
//!
//! Texts are gathered into batches of fixed size. Of each batch, threads first split blocks of
//! texts into pieces, sorted by hash into shards, then count shard by shard: no locks, and every
//! shard sees its pieces in the order of the texts whatever the number of threads. When a shard
//! holds too many pieces after a batch, those with the lowest counts are forgotten, as in lossy
//! counting (Manku and Motwani 2002), so a rare piece may be undercounted; nothing else is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{TrainOptions, TrainProgress};
use crate::encode::thread_count;
use crate::piece_hash::hash_bytes;
use crate::piece_table::PieceTable;
use crate::split::for_each_piece;
use crate::{Pattern, TokensError};

/// Bytes of text in a batch: large enough to share out, small compared with the tables.
const BATCH_BYTES: usize = 4 << 20;
/// Blocks that a batch is split in, several a thread so that loads even out.
const BLOCKS: usize = 64;
/// Shards, a power of two.
const SHARDS: usize = 32;
/// A shard with too many pieces is cut to this share of its bound, so that pruning is rare.
const KEEP_SHARE: (usize, usize) = (3, 4);

/// One piece of a batch.
#[derive(Clone, Copy)]
struct Found {
    hash: u64,
    start: u32,
    length: u32,
}

/// Pieces whose hashes share their top bits, with their counts.
struct Shard {
    table: PieceTable,
    counts: Vec<u64>,
    /// Pieces counted no more often than this have been forgotten.
    floor: u64,
}

/// Distinct pieces with how often each occurs.
pub(super) struct CountedPieces {
    shards: Vec<Shard>,
}

impl CountedPieces {
    /// Every piece with its count.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.shards.iter().flat_map(|shard| {
            let piece = |(index, &count)| (shard.table.get(index), count);
            (0..).zip(&shard.counts).map(piece)
        })
    }

    /// Bytes of all pieces together.
    pub(super) fn byte_len(&self) -> usize {
        self.shards.iter().map(|shard| shard.table.byte_len()).sum()
    }

    /// Number of pieces.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.table.len()).sum()
    }
}

/// Counts pieces as texts come.
pub(super) struct PieceCounter {
    pattern: Pattern,
    threads: usize,
    max_piece_bytes: usize,
    max_shard_pieces: usize,
    shards: Vec<Shard>,
    batch: String,
    /// Where each text of the batch ends.
    ends: Vec<usize>,
    texts: u64,
    bytes: u64,
}

impl PieceCounter {
    pub(super) fn new(options: &TrainOptions) -> Self {
        let shard = || Shard { table: PieceTable::with_capacity(64), counts: Vec::new(), floor: 0 };
        Self {
            pattern: options.pattern,
            threads: thread_count(options.threads),
            max_piece_bytes: options.max_piece_bytes,
            max_shard_pieces: options.max_distinct_pieces.div_ceil(SHARDS),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            batch: String::new(),
            ends: Vec::new(),
            texts: 0,
            bytes: 0,
        }
    }

    /// Takes in one text; tells how far counting has come when a batch was counted.
    pub(super) fn add(&mut self, text: &str) -> Result<Option<TrainProgress>, TokensError> {
        let full = self.batch.len() + text.len() > BATCH_BYTES && !self.batch.is_empty();
        let progress = if full { Some(self.flush()?) } else { None };
        self.batch.push_str(text);
        self.ends.push(self.batch.len());
        self.texts += 1;
        self.bytes += text.len() as u64;
        Ok(progress)
    }

    /// Counts the batch.
    pub(super) fn flush(&mut self) -> Result<TrainProgress, TokensError> {
        // A text beyond 4 GiB cannot be indexed with 32 bits.
        if self.batch.len() > u32::MAX as usize {
            let (pieces, bytes) = (1, self.batch.len());
            return Err(TokensError::TooManyPieces { pieces, bytes });
        }
        if self.threads == 1 {
            self.count_alone()?;
        } else {
            self.count_together()?;
        }
        self.batch.clear();
        self.ends.clear();
        for shard in &mut self.shards {
            shard.prune(self.max_shard_pieces);
        }
        Ok(TrainProgress::Counting {
            texts: self.texts,
            bytes: self.bytes,
            distinct_pieces: self.shards.iter().map(|shard| shard.table.len()).sum(),
        })
    }

    /// The counts of all texts; [`PieceCounter::flush`] must have been the last call.
    pub(super) fn into_pieces(self) -> CountedPieces {
        CountedPieces { shards: self.shards }
    }

    /// Counts the batch on this thread.
    fn count_alone(&mut self) -> Result<(), TokensError> {
        let text = self.batch.as_bytes();
        let mut start = 0;
        let mut result = Ok(());
        for &end in &self.ends {
            let text = &text[start..end];
            for_each_piece(self.pattern, text, |from, to| {
                let piece = &text[from..to];
                if piece.len() <= self.max_piece_bytes && result.is_ok() {
                    let hash = hash_bytes(piece);
                    result = self.shards[shard_of(hash)].count(piece, hash);
                }
            });
            start = end;
        }
        result
    }

    /// Counts the batch on several threads.
    fn count_together(&mut self) -> Result<(), TokensError> {
        let blocks = self.blocks();
        let text = self.batch.as_bytes();
        let (pattern, max_piece_bytes) = (self.pattern, self.max_piece_bytes);
        let sorted: Vec<Mutex<Vec<Vec<Found>>>> =
            blocks.iter().map(|_| Mutex::new(Vec::new())).collect();
        share_out(self.threads, blocks.len(), |block| {
            let mut shards: Vec<Vec<Found>> = vec![Vec::new(); SHARDS];
            let mut start = blocks[block].0;
            for &end in blocks[block].1 {
                let base = start;
                for_each_piece(pattern, &text[start..end], |from, to| {
                    if to - from <= max_piece_bytes {
                        let hash = hash_bytes(&text[base + from..base + to]);
                        let (start, length) = ((base + from) as u32, (to - from) as u32);
                        shards[shard_of(hash)].push(Found { hash, start, length });
                    }
                });
                start = end;
            }
            *lock(&sorted[block]) = shards;
        });
        let sorted: Vec<Vec<Vec<Found>>> = sorted.into_iter().map(into_inner).collect();
        let shards: Vec<Mutex<(&mut Shard, Result<(), TokensError>)>> =
            self.shards.iter_mut().map(|shard| Mutex::new((shard, Ok(())))).collect();
        share_out(self.threads, SHARDS, |index| {
            let mut shard = lock(&shards[index]);
            let (shard, result) = &mut *shard;
            for found in sorted.iter().flat_map(|block| &block[index]) {
                let piece = &text[found.start as usize..][..found.length as usize];
                *result = shard.count(piece, found.hash);
                if result.is_err() {
                    break;
                }
            }
        });
        shards.into_iter().try_for_each(|shard| into_inner(shard).1)
    }

    /// Start and text ends of each block: whole texts, about [`BLOCKS`] blocks a batch.
    fn blocks(&self) -> Vec<(usize, &[usize])> {
        let least = self.batch.len() / BLOCKS;
        let mut blocks = Vec::new();
        let (mut from, mut start) = (0, 0);
        for (index, &end) in self.ends.iter().enumerate() {
            if end - start >= least || index + 1 == self.ends.len() {
                blocks.push((start, &self.ends[from..=index]));
                (from, start) = (index + 1, end);
            }
        }
        blocks
    }
}

impl Shard {
    /// Counts one more occurrence.
    #[inline(always)]
    fn count(&mut self, piece: &[u8], hash: u64) -> Result<(), TokensError> {
        let (index, new) = self.table.insert(piece, hash);
        if !new {
            self.counts[index as usize] += 1;
            return Ok(());
        }
        self.counts.push(1);
        // Leaves room for the longest piece a batch can hold.
        if self.table.has_room_for(BATCH_BYTES) {
            return Ok(());
        }
        let (pieces, bytes) = (self.table.len(), self.table.byte_len());
        Err(TokensError::TooManyPieces { pieces, bytes })
    }

    /// Forgets the rarest pieces if there are more than `most`.
    fn prune(&mut self, most: usize) {
        if self.table.len() <= most {
            return;
        }
        let target = (most * KEEP_SHARE.0 / KEEP_SHARE.1).max(1);
        let mut rising: Vec<u64> = self.counts.clone();
        let place = rising.len() - target;
        let (_, &mut threshold, _) = rising.select_nth_unstable(place - 1);
        self.floor = self.floor.max(threshold);
        let mut kept = Shard {
            table: PieceTable::with_capacity(target),
            counts: Vec::with_capacity(target),
            floor: self.floor,
        };
        for (index, &count) in (0..).zip(&self.counts) {
            if count > kept.floor {
                let piece = self.table.get(index);
                kept.table.insert(piece, hash_bytes(piece));
                kept.counts.push(count);
            }
        }
        *self = kept;
    }
}

/// The shard of a hash: bits that the tables' slots do not start with.
#[inline(always)]
fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARDS.ilog2())) as usize
}

/// Runs `work(0)`, …, `work(jobs - 1)` on `threads` threads.
fn share_out(threads: usize, jobs: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs) {
            scope.spawn(|| {
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs {
                        return;
                    }
                    work(job);
                }
            });
        }
    });
}

/// Locks a mutex that no thread leaves poisoned: a panic in `work` ends the scope first.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The value of a mutex no longer shared.
fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn count(texts: &[String], threads: usize, most: usize) -> BTreeMap<Vec<u8>, u64> {
        let options =
            TrainOptions { threads, max_distinct_pieces: most, ..TrainOptions::default() };
        let mut counter = PieceCounter::new(&options);
        for text in texts {
            counter.add(text).expect("small");
        }
        counter.flush().expect("small");
        let pieces = counter.into_pieces();
        pieces.iter().map(|(piece, count)| (piece.to_vec(), count)).collect()
    }

    /// About 9 MB in three batches, with many rare pieces.
    fn texts() -> Vec<String> {
        (0..200_000_u32)
            .map(|n| {
                format!("post {} by user{} says hello again", n % 977, n.wrapping_mul(n) % 50_021)
            })
            .collect()
    }

    #[test]
    fn counts_are_those_of_a_plain_map_for_any_number_of_threads() {
        let texts = texts();
        let mut expected: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for text in &texts {
            for piece in Pattern::Gpt4.pieces(text) {
                *expected.entry(piece.as_bytes().to_vec()).or_default() += 1;
            }
        }
        for threads in [1, 2, 3] {
            assert_eq!(count(&texts, threads, 1 << 24), expected);
        }
    }

    #[test]
    fn pruning_bounds_memory_keeps_the_frequent_and_ignores_threads() {
        let texts: Vec<String> = (0..600_000_u32)
            .map(|n| {
                let letters = |mut n: u32| -> String {
                    (0..5)
                        .map(|_| {
                            let c = (b'a' + (n % 26) as u8) as char;
                            n /= 26;
                            c
                        })
                        .collect()
                };
                format!("hello {}", letters(n.wrapping_mul(2_654_435_761)))
            })
            .collect();
        let most = 20_000;
        let alone = count(&texts, 1, most);
        assert!(alone.len() <= most, "{}", alone.len());
        assert_eq!(alone[&b"hello"[..]], 600_000);
        assert_eq!(count(&texts, 2, most), alone);
    }
}
