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

use stoa_graph::{Buffers, CompileOptions, DType, Engine, Executable, Placement, Tensor};
use stoa_models::{DecodingSpec, LanguageConfig, cache_types, decoding_program, key_weight};

use crate::{AssistantError, TokenId};

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
    /// At most [`Decoder::few_rows`]: the token just drawn of each sequence.
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
    /// See [`EngineFacts::few_rows`](stoa_graph::EngineFacts::few_rows).
    few_rows: Option<usize>,
    /// Where weights and caches lie.
    options: CompileOptions,
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
        let mut placement = Placement(state.0.iter().map(|(n, b)| (n.clone(), b.device)).collect());
        for (i, (name, ty)) in cache_types(&config, &spec(sizes, 1, 1)).into_iter().enumerate() {
            // The keys and values of a layer lie with the weights that make them.
            let device = placement.device(&key_weight(i / 2));
            state.insert(name.clone(), engine.upload_to(device, &Tensor::zeros(&ty))?);
            placement.0.insert(name, device);
        }
        let mut decoder = Decoder {
            few_rows: engine.facts().few_rows,
            engine,
            config,
            sizes,
            state,
            options: CompileOptions { placement },
            programs: BTreeMap::new(),
        };
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

    /// Most rows that are drawn at once, and most logits that are returned at once: a power of two,
    /// so that padding does not make few rows many.
    pub fn few_rows(&self) -> usize {
        let few = self.few_rows.map_or(self.sizes.rows, |few| few.min(self.sizes.rows));
        1 << few.max(1).ilog2()
    }

    /// Reads the rows, at most [`DecoderSizes::rows`] or [`Decoder::few_rows`] of them, and returns
    /// the logits of those wanted, in order: f32 `[wanted or more, vocab]`.
    pub fn run(&mut self, pace: Pace, rows: &[Row]) -> Result<Tensor, AssistantError> {
        let wanted: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].wanted).collect();
        let many = self.few_rows.map_or(1, |few| (few + 1).next_power_of_two());
        let least = if pace == Pace::Reading { many } else { 1 };
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
        let mut outputs = program.run(&mut self.state, &data)?.outputs()?;
        Ok(outputs.remove("logits").expect("decoding programs return logits"))
    }

    /// Compiles a program unless it is there.
    fn program(&mut self, rows: usize, returned: usize) -> Result<(), AssistantError> {
        if !self.programs.contains_key(&(rows, returned)) {
            let program = decoding_program(&self.config, &spec(self.sizes, rows, returned))?;
            self.programs.insert((rows, returned), self.engine.compile(&program, &self.options)?);
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
