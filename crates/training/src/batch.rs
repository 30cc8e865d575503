//! The batch of a step, as a pure function of (seed, step): which rows of which source, and the
//! tensors made of them. Nothing here remembers what came before, so a resumed run needs only the
//! number of its step.

use stoa_graph::{GraphError, Tensor};

use crate::TrainingError;
use crate::examples::{Examples, IGNORED};
use crate::objective::Part;
use crate::packing::{Packing, Piece};
use crate::permutation::Permutation;

/// Rows of one kind of example, in an order that is new for each epoch.
pub struct Source<'a> {
    examples: &'a dyn Examples,
    packing: Packing<'a>,
    seed: u64,
    name: &'static str,
}

impl<'a> Source<'a> {
    /// Packs examples into rows of `time`.
    ///
    /// # Errors
    /// [`TrainingError::NoData`].
    pub fn new(
        examples: &'a dyn Examples,
        time: usize,
        seed: u64,
        name: &'static str,
    ) -> Result<Self, TrainingError> {
        let packing = Packing::best_fit(examples, time, seed);
        if packing.rows() == 0 {
            return Err(TrainingError::NoData(name));
        }
        Ok(Source { examples, packing, seed, name })
    }

    /// The packing.
    pub fn packing(&self) -> &Packing<'a> {
        &self.packing
    }

    /// The row that comes at `index` of the endless sequence of epochs: window after window in an
    /// order of the epoch, rows in an order of epoch and window.
    fn row(&self, index: u64) -> usize {
        let (rows, windows) = (self.packing.rows() as u64, self.packing.windows() as u64);
        let (epoch, mut left) = (index / rows, index % rows);
        let order = Permutation::new(windows, self.seed, "windows", epoch);
        let found = (0..windows).find_map(|place| {
            let window = order.apply(place);
            let rows = self.packing.window(window as usize);
            let count = rows.len() as u64;
            if left >= count {
                left -= count;
                return None;
            }
            let order = Permutation::new(count, self.seed, self.name, epoch * windows + window);
            Some(rows.start + order.apply(left) as usize)
        });
        found.expect("the windows hold all rows")
    }
}

/// Where each row of each step comes from.
pub struct DataOrder<'a> {
    main: Source<'a>,
    /// A second source and its share of all rows.
    mixed: Option<(Source<'a>, f64)>,
}

impl<'a> DataOrder<'a> {
    /// All rows from one source.
    pub fn single(main: Source<'a>) -> Self {
        DataOrder { main, mixed: None }
    }

    /// A `share` of the rows, evenly spread, from a second source.
    pub fn mixed(main: Source<'a>, second: Source<'a>, share: f64) -> Self {
        DataOrder { main, mixed: Some((second, share)) }
    }

    /// The main source.
    pub fn main(&self) -> &Source<'a> {
        &self.main
    }

    /// Source and row of place `index` in the sequence of all rows ever used.
    fn place(&self, index: u64) -> (&Source<'a>, usize) {
        let Some((second, share)) = &self.mixed else { return (&self.main, self.main.row(index)) };
        // Rows of the second source among the first `k`: as even a spread as there is
        // (Bresenham, IBM Systems J. 4, 1965).
        let seconds = |k: u64| (k as f64 * share).floor() as u64;
        let before = seconds(index);
        if seconds(index + 1) > before {
            (second, second.row(before))
        } else {
            (&self.main, self.main.row(index - before))
        }
    }

    /// Pieces of each row of a step of `rows` rows, as a listing of what is learned when.
    pub fn pieces(&self, step: u64, rows: usize) -> Vec<Vec<Piece>> {
        let first = step * rows as u64;
        (first..first + rows as u64)
            .map(|index| {
                let (source, row) = self.place(index);
                source.packing.row(row)
            })
            .collect()
    }

    /// The micro-batches of a step, `rows` rows each.
    ///
    /// # Errors
    /// As [`Examples::fill`].
    pub fn step(
        &self,
        step: u64,
        rows: usize,
        micro_batches: usize,
    ) -> Result<Vec<Part>, TrainingError> {
        let mut parts = Vec::with_capacity(micro_batches);
        for micro in 0..micro_batches {
            let first = (step * micro_batches as u64 + micro as u64) * rows as u64;
            let mut part = RowTensors::new(rows, self.main.packing.time());
            for row in 0..rows {
                let (source, at) = self.place(first + row as u64);
                part.write_row(row, source.examples, &source.packing.row(at))?;
            }
            parts.push(part);
        }
        let learned: usize = parts.iter().map(RowTensors::learned).sum();
        parts.into_iter().map(|part| part.into_part(learned)).collect()
    }
}

/// Rows being filled.
pub(crate) struct RowTensors {
    time: usize,
    tokens: Vec<i32>,
    pub(crate) targets: Vec<i32>,
    positions: Vec<i32>,
    segments: Vec<i32>,
    pairs: usize,
}

impl RowTensors {
    /// Rows of padding: token 0, no target, a segment of its own.
    pub(crate) fn new(rows: usize, time: usize) -> Self {
        let n = rows * time;
        RowTensors {
            time,
            tokens: vec![0; n],
            targets: vec![IGNORED; n],
            positions: (0..n).map(|i| (i % time) as i32).collect(),
            segments: vec![0; n],
            pairs: 0,
        }
    }

    pub(crate) fn write_row(
        &mut self,
        row: usize,
        examples: &dyn Examples,
        pieces: &[Piece],
    ) -> Result<(), TrainingError> {
        let (mut cursor, end) = (row * self.time, (row + 1) * self.time);
        for (segment, piece) in pieces.iter().enumerate() {
            let range = cursor..cursor + piece.pairs;
            let (tokens, targets) =
                (&mut self.tokens[range.clone()], &mut self.targets[range.clone()]);
            examples.fill(piece.example, piece.start, tokens, targets)?;
            for (i, position) in self.positions[range.clone()].iter_mut().enumerate() {
                *position = i as i32;
            }
            self.segments[range].fill(segment as i32);
            self.pairs += piece.pairs;
            cursor += piece.pairs;
        }
        for (i, position) in self.positions[cursor..end].iter_mut().enumerate() {
            *position = i as i32;
        }
        self.segments[cursor..end].fill(pieces.len() as i32);
        Ok(())
    }

    fn learned(&self) -> usize {
        self.targets.iter().filter(|&&t| t != IGNORED).count()
    }

    /// What one run of the forward pass takes: the five inputs of a language model's training
    /// program, each of `[rows·time]`. `tokens` and `targets` (−1 where nothing is learned) are
    /// ids, `weights` gives each target one `learned`-th of the mean over the whole step,
    /// `positions` is the place of a token in its piece, `segments` the number of its piece in
    /// the row.
    pub(crate) fn into_part(self, learned: usize) -> Result<Part, TrainingError> {
        let n = self.tokens.len();
        let weight = 1.0 / learned.max(1) as f32;
        let weigh = |&target: &i32| if target == IGNORED { 0.0 } else { weight };
        let weights = self.targets.iter().map(weigh).collect();
        let tensors = || -> Result<_, GraphError> {
            Ok(vec![
                ("tokens", Tensor::i32([n], self.tokens)?),
                ("targets", Tensor::i32([n], self.targets)?),
                ("weights", Tensor::f32([n], weights)?),
                ("positions", Tensor::i32([n], self.positions)?),
                ("segments", Tensor::i32([n], self.segments)?),
            ])
        };
        let tensors = tensors().map_err(stoa_models::ModelError::from)?;
        Ok(Part { tensors, tokens: self.pairs })
    }
}
