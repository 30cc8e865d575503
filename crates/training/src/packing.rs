//! Which examples share a row: online best fit (each piece goes into the fullest row that has room)
//! over a seeded order of the examples. Pieces keep to themselves by segment ids and positions that
//! restart, so who shares a row does not change what is learned.

use std::collections::BTreeSet;

use crate::examples::{Examples, Overlong};
use crate::permutation::Permutation;

/// A stretch of an example in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The example.
    pub example: usize,
    /// First pair.
    pub start: usize,
    /// Number of pairs.
    pub pairs: usize,
}

/// Examples packed into rows.
#[derive(Clone, Debug)]
pub struct Packing {
    time: usize,
    rows: Vec<Vec<Piece>>,
    /// Pairs that truncation left out.
    truncated_pairs: u64,
}

impl Packing {
    /// Packs all examples into rows of `time` pairs.
    pub fn best_fit(examples: &dyn Examples, time: usize, seed: u64) -> Self {
        assert!(time > 0, "a row must hold at least one pair");
        let mut rows: Vec<Vec<Piece>> = Vec::new();
        // Rows by the room they have left, and which rooms there are.
        let mut by_room: Vec<Vec<usize>> = vec![Vec::new(); time];
        let mut rooms = BTreeSet::new();
        let mut place = |piece: Piece| {
            let room = match rooms.range(piece.pairs..).next().copied() {
                Some(room) => room,
                None => {
                    rows.push(vec![piece]);
                    let left = time - piece.pairs;
                    if left > 0 {
                        by_room[left].push(rows.len() - 1);
                        rooms.insert(left);
                    }
                    return;
                }
            };
            let row = by_room[room].pop().expect("a listed room has a row");
            if by_room[room].is_empty() {
                rooms.remove(&room);
            }
            rows[row].push(piece);
            let left = room - piece.pairs;
            if left > 0 {
                by_room[left].push(row);
                rooms.insert(left);
            }
        };
        let mut truncated_pairs = 0;
        let count = examples.count() as u64;
        let order = Permutation::new(count, seed, "packing", 0);
        for example in (0..count).map(|i| order.apply(i) as usize) {
            let pairs = examples.pairs(example);
            let used = match examples.overlong() {
                Overlong::Split => pairs,
                Overlong::Truncate => pairs.min(time),
            };
            truncated_pairs += (pairs - used) as u64;
            for start in (0..used).step_by(time) {
                place(Piece { example, start, pairs: time.min(used - start) });
            }
        }
        Packing { time, rows, truncated_pairs }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Pairs in a row.
    pub fn time(&self) -> usize {
        self.time
    }

    /// Pieces of a row, in order.
    pub fn row(&self, row: usize) -> &[Piece] {
        &self.rows[row]
    }

    /// Share of all places in rows that hold a pair.
    pub fn fill(&self) -> f64 {
        let pairs: usize = self.rows.iter().flatten().map(|p| p.pairs).sum();
        pairs as f64 / (self.rows.len() * self.time).max(1) as f64
    }

    /// Pairs left out because their example is longer than a row.
    pub fn truncated_pairs(&self) -> u64 {
        self.truncated_pairs
    }
}
