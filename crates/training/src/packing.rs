//! Which examples share a row: online best fit (each piece goes into the fullest row that has room)
//! over a seeded order of the examples. Pieces keep to themselves by segment ids and positions that
//! restart, so who shares a row does not change what is learned.
//!
//! The order is cut into windows of [`WINDOW_PAIRS`], packed each by itself. Only the window in use is
//! held, and it follows from its number alone, so memory does not grow with the examples.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::examples::{Examples, Overlong};
use crate::permutation::Permutation;

/// Pairs after which a window ends: some megabytes of pieces, and rows enough to fill each other.
pub const WINDOW_PAIRS: u64 = 1 << 22;

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
pub struct Packing<'a> {
    examples: &'a dyn Examples,
    time: usize,
    order: Permutation,
    windows: Vec<Window>,
    rows: usize,
    pairs: u64,
    /// Pairs that truncation left out.
    truncated_pairs: u64,
    /// The window in use and its rows.
    packed: Mutex<(usize, Vec<Vec<Piece>>)>,
}

/// Where a window begins.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Place of its first example in the order.
    example: u64,
    /// Its first row.
    row: usize,
}

impl<'a> Packing<'a> {
    /// Packs all examples into rows of `time` pairs.
    pub fn best_fit(examples: &'a dyn Examples, time: usize, seed: u64) -> Self {
        Self::in_windows(examples, time, seed, WINDOW_PAIRS)
    }

    /// As [`Packing::best_fit`], with windows that end after `window_pairs`.
    fn in_windows(examples: &'a dyn Examples, time: usize, seed: u64, window_pairs: u64) -> Self {
        assert!(time > 0, "a row must hold at least one pair");
        let count = examples.count() as u64;
        let order = Permutation::new(count, seed, "packing", 0);
        let (mut windows, mut rows, mut pairs, mut truncated_pairs) = (Vec::new(), 0, 0, 0);
        let (mut example, mut packed) = (0, Vec::new());
        while example < count {
            windows.push(Window { example, row: rows });
            let mut window = Rows::new(time);
            while example < count && window.pairs < window_pairs {
                truncated_pairs += window.add(examples, order.apply(example) as usize);
                example += 1;
            }
            rows += window.rows.len();
            pairs += window.pairs;
            packed = window.rows;
        }
        let packed = Mutex::new((windows.len().saturating_sub(1), packed));
        Packing { examples, time, order, windows, rows, pairs, truncated_pairs, packed }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.windows.len()
    }

    /// Rows of a window.
    pub fn window(&self, window: usize) -> Range<usize> {
        let end = self.windows.get(window + 1).map_or(self.rows, |next| next.row);
        self.windows[window].row..end
    }

    /// Pairs in a row.
    pub fn time(&self) -> usize {
        self.time
    }

    /// Pieces of a row, in order. The rows of a window are cheap one after the other.
    pub fn row(&self, row: usize) -> Vec<Piece> {
        let window = self.windows.partition_point(|window| window.row <= row) - 1;
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if packed.0 != window {
            *packed = (window, self.pack(window));
        }
        packed.1[row - self.windows[window].row].clone()
    }

    fn pack(&self, window: usize) -> Vec<Vec<Piece>> {
        let next = self.windows.get(window + 1);
        let end = next.map_or(self.examples.count() as u64, |next| next.example);
        let mut rows = Rows::new(self.time);
        for place in self.windows[window].example..end {
            rows.add(self.examples, self.order.apply(place) as usize);
        }
        rows.rows
    }

    /// Share of all places in rows that hold a pair.
    pub fn fill(&self) -> f64 {
        self.pairs as f64 / (self.rows * self.time).max(1) as f64
    }

    /// Pairs left out because their example is longer than a row.
    pub fn truncated_pairs(&self) -> u64 {
        self.truncated_pairs
    }
}

/// The rows of a window being packed.
struct Rows {
    time: usize,
    rows: Vec<Vec<Piece>>,
    /// Rows by the room they have left, and which rooms there are.
    by_room: Vec<Vec<usize>>,
    rooms: BTreeSet<usize>,
    pairs: u64,
}

impl Rows {
    fn new(time: usize) -> Self {
        let by_room = vec![Vec::new(); time];
        Rows { time, rows: Vec::new(), by_room, rooms: BTreeSet::new(), pairs: 0 }
    }

    /// Adds an example; gives how many of its pairs truncation left out.
    fn add(&mut self, examples: &dyn Examples, example: usize) -> u64 {
        let pairs = examples.pairs(example);
        let used = match examples.overlong() {
            Overlong::Split => pairs,
            Overlong::Truncate => pairs.min(self.time),
        };
        for start in (0..used).step_by(self.time) {
            self.place(Piece { example, start, pairs: self.time.min(used - start) });
        }
        self.pairs += used as u64;
        (pairs - used) as u64
    }

    fn place(&mut self, piece: Piece) {
        let (row, left) = match self.rooms.range(piece.pairs..).next().copied() {
            Some(room) => {
                let row = self.by_room[room].pop().expect("a listed room has a row");
                if self.by_room[room].is_empty() {
                    self.rooms.remove(&room);
                }
                (row, room - piece.pairs)
            }
            None => {
                self.rows.push(Vec::new());
                (self.rows.len() - 1, self.time - piece.pairs)
            }
        };
        self.rows[row].push(piece);
        if left > 0 {
            self.by_room[left].push(row);
            self.rooms.insert(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainingError;

    /// Examples of these lengths, which hold nothing.
    struct Lengths(Vec<usize>, Overlong);

    impl Examples for Lengths {
        fn count(&self) -> usize {
            self.0.len()
        }

        fn pairs(&self, example: usize) -> usize {
            self.0[example]
        }

        fn fill(
            &self,
            _: usize,
            _: usize,
            _: &mut [i32],
            _: &mut [i32],
        ) -> Result<(), TrainingError> {
            Ok(())
        }

        fn overlong(&self) -> Overlong {
            self.1
        }
    }

    #[test]
    fn windows_hold_every_pair_once_whatever_their_size() {
        let lengths: Vec<usize> = (0..500).map(|at| at * 7 % 23).collect();
        let examples = Lengths(lengths.clone(), Overlong::Split);
        let whole = Packing::in_windows(&examples, 10, 3, u64::MAX);
        for window_pairs in [1, 40, 1000, u64::MAX] {
            let packing = Packing::in_windows(&examples, 10, 3, window_pairs);
            let mut seen: Vec<Vec<bool>> =
                lengths.iter().map(|&length| vec![false; length]).collect();
            // Backwards, so that windows are packed again.
            for row in (0..packing.rows()).rev() {
                let pieces = packing.row(row);
                assert!(pieces.iter().map(|piece| piece.pairs).sum::<usize>() <= 10);
                for Piece { example, start, pairs } in pieces {
                    for pair in &mut seen[example][start..start + pairs] {
                        assert!(!std::mem::replace(pair, true), "{example} twice");
                    }
                }
            }
            assert!(seen.iter().flatten().all(|&seen| seen), "{window_pairs}");
            let rows: Vec<usize> = (0..packing.windows()).flat_map(|w| packing.window(w)).collect();
            assert!(rows.into_iter().eq(0..packing.rows()));
            assert_eq!(packing.windows() == 1, window_pairs == u64::MAX);
        }
        assert_eq!(whole.truncated_pairs(), 0);
        let cut = Lengths(lengths.clone(), Overlong::Truncate);
        let left_out: usize = lengths.iter().map(|length| length.saturating_sub(10)).sum();
        assert_eq!(Packing::in_windows(&cut, 10, 3, 40).truncated_pairs(), left_out as u64);
    }
}
