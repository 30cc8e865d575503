//! Runs the model over rows of tokens with KV caches. Programs have fixed sizes: one for each pair
//! of powers of two (rows read, logits returned) is compiled when first needed; unused rows are
//! padding that touches no slot.
//!
//! An engine may compute few rows by another kernel than many, and neighbouring queries of one
//! sequence by another than single ones; each rounds in its own way. So that an answer depends on
//! its request alone and not on its company:
//! - prompts are always read by programs of many rows, drawn tokens by programs of few;
//! - a prompt is read in chunks of [`CHUNK_TOKENS`] from its beginning, never split, and rows of
//!   padding keep chunks apart, so that the queries beside a query are the same each time.
//!
//! `tests/decoding.rs` checks it bit for bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use stoa_graph::{Buffers, DType, Engine, Executable, Tensor};
use stoa_models::{DecodingSpec, LanguageConfig, cache_types, decoding_program};

use crate::{AssistantError, TokenId};

/// Rows that engines take for few: one pass over a weight matrix serves them all.
pub(crate) const FEW_ROWS: usize = 8;
/// Rows that they take for many.
pub(crate) const MANY_ROWS: usize = 16;
/// Tokens of a prompt that are read side by side: with a row that sets them apart, a power of two.
pub(crate) const CHUNK_TOKENS: usize = 31;

/// One token to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub token: TokenId,
    /// `None` for padding.
    pub slot: Option<usize>,
    pub position: usize,
    /// Whether the logits behind it are wanted.
    pub wanted: bool,
}

impl Row {
    /// A row that reads nothing.
    pub const PADDING: Row = Row { token: TokenId(0), slot: None, position: 0, wanted: false };
}

/// Which kind of program reads the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Many rows, whatever their number: prompts.
    Reading,
    /// At most [`FEW_ROWS`]: the token just drawn of each sequence.
    Drawing,
}

/// Sizes of the cache and of the largest program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecoderSizes {
    /// Sequences the cache holds.
    pub slots: usize,
    /// Tokens of each.
    pub context: usize,
    /// Most tokens read in one run; a power of two, more than [`CHUNK_TOKENS`].
    pub rows: usize,
    /// Element type of the matrices.
    pub weights: DType,
    /// Element type of the cache.
    pub caches: DType,
}

/// The model on its engine, with the cache.
pub(crate) struct Decoder {
    engine: Arc<dyn Engine>,
    config: LanguageConfig,
    sizes: DecoderSizes,
    state: Buffers,
    /// By rows read and logits returned.
    programs: BTreeMap<(usize, usize), Box<dyn Executable>>,
}

impl Decoder {
    /// Takes the weights in `state` and puts empty caches beside them.
    pub fn new(
        engine: Arc<dyn Engine>,
        config: LanguageConfig,
        mut state: Buffers,
        sizes: DecoderSizes,
    ) -> Result<Self, AssistantError> {
        for (name, ty) in cache_types(&config, &spec(sizes, 1, 1)) {
            state.insert(name, engine.upload(&Tensor::zeros(&ty))?);
        }
        let mut decoder = Decoder { engine, config, sizes, state, programs: BTreeMap::new() };
        // The smallest and the largest program show at once whether the model fits.
        decoder.program(1, 1)?;
        decoder.program(sizes.rows, 1)?;
        Ok(decoder)
    }

    pub fn config(&self) -> &LanguageConfig {
        &self.config
    }

    pub fn sizes(&self) -> DecoderSizes {
        self.sizes
    }

    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The weights, without the caches.
    pub fn into_state(mut self) -> Buffers {
        for (name, _) in cache_types(&self.config, &spec(self.sizes, 1, 1)) {
            self.state.0.remove(&name);
        }
        self.state
    }

    /// Reads the rows, at most [`DecoderSizes::rows`] or [`FEW_ROWS`] of them, and returns the
    /// logits of those wanted, in order: f32 `[wanted or more, vocab]`.
    pub fn run(&mut self, pace: Pace, rows: &[Row]) -> Result<Tensor, AssistantError> {
        let wanted: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].wanted).collect();
        let least = if pace == Pace::Reading { MANY_ROWS } else { 1 };
        let count = rows.len().next_power_of_two().max(least);
        let returned = wanted.len().next_power_of_two();
        let padding = std::iter::repeat_n(Row::PADDING, count - rows.len());
        let rows: Vec<Row> = rows.iter().copied().chain(padding).collect();
        // Ids, slots and positions are below 2³¹ in every valid configuration.
        let column =
            |value: fn(&Row) -> i32| Tensor::i32([count], rows.iter().map(value).collect());
        let mut last: Vec<i32> = wanted.iter().map(|&row| row as i32).collect();
        last.resize(returned, 0);
        let data = [
            ("tokens", column(|row| row.token.0 as i32)?),
            ("slots", column(|row| row.slot.map_or(-1, |slot| slot as i32))?),
            ("positions", column(|row| row.position as i32)?),
            ("rows", Tensor::i32([returned], last)?),
        ];
        let data: Vec<(&str, &Tensor)> = data.iter().map(|(name, t)| (*name, t)).collect();
        self.program(count, returned)?;
        let program = self.programs.get_mut(&(count, returned)).expect("made in the line above");
        let mut outputs = program.run(&mut self.state, &data)?;
        Ok(outputs.remove("logits").expect("decoding programs return logits"))
    }

    /// Compiles a program unless it is there.
    fn program(&mut self, rows: usize, returned: usize) -> Result<(), AssistantError> {
        if !self.programs.contains_key(&(rows, returned)) {
            let program = decoding_program(&self.config, &spec(self.sizes, rows, returned))?;
            self.programs.insert((rows, returned), self.engine.compile(&program)?);
        }
        Ok(())
    }
}

/// The program that reads `rows` tokens and returns the logits of `returned`.
fn spec(sizes: DecoderSizes, rows: usize, returned: usize) -> DecodingSpec {
    DecodingSpec {
        tokens: rows,
        rows: returned,
        slots: sizes.slots,
        max_time: sizes.context,
        weights: sizes.weights,
        caches: sizes.caches,
    }
}
