//! Runs the model over rows of tokens with a paged KV cache. Programs have fixed sizes: one for
//! each pair of powers of two (rows read, logits returned) is compiled when first needed; unused
//! rows are padding that touches no page.
//!
//! Rows do not mix, and engines give a row the same bits alone and among others: keys, values and
//! logits of a token depend on the tokens before it alone, however they were read.
//! `tests/decoding.rs` checks it bit for bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use stoa_graph::{Buffers, CompileOptions, DType, Engine, Executable, Placement, Tensor};
use stoa_models::{DecodingSpec, LanguageConfig, cache_types, decoding_program_of, key_weight};

use crate::{AssistantError, TokenId};

/// Tokens of a page.
pub const PAGE_TOKENS: usize = 32;

/// Some tokens of a sequence, to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub tokens: &'a [TokenId],
    /// Position of the first.
    pub start: usize,
    /// Pages of the sequence.
    pub pages: &'a [u32],
    pub logits: Logits,
}

/// Which logits of a span are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logits {
    None,
    /// Those after its last token.
    Last,
    All,
}

/// Sizes of the cache and of the largest program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecoderSizes {
    /// Pages of the cache.
    pub pages: usize,
    /// Tokens of the longest sequence.
    pub context: usize,
    /// Most tokens read in one run; a power of two.
    pub rows: usize,
    /// Element type of the matrices.
    pub weights: DType,
    /// Element type of the cache.
    pub caches: DType,
}

impl DecoderSizes {
    /// Pages of the longest sequence.
    pub fn columns(&self) -> usize {
        self.context.div_ceil(PAGE_TOKENS)
    }

    /// The program that reads `tokens` tokens and returns the logits of `rows`.
    fn spec(&self, tokens: usize, rows: usize) -> DecodingSpec {
        DecodingSpec {
            tokens,
            rows,
            pages: self.pages,
            page: PAGE_TOKENS,
            columns: self.columns(),
            weights: self.weights,
            caches: self.caches,
        }
    }
}

/// The model on its engine, with the cache.
pub(crate) struct Decoder {
    engine: Arc<dyn Engine>,
    config: LanguageConfig,
    sizes: DecoderSizes,
    state: Buffers,
    /// Where weights and caches lie; weights are packed.
    options: CompileOptions,
    /// By rows read and logits returned.
    programs: BTreeMap<(usize, usize), Box<dyn Executable>>,
}

impl Decoder {
    /// Takes the weights in `state` and adds empty caches.
    pub fn new(
        engine: Arc<dyn Engine>,
        config: LanguageConfig,
        mut state: Buffers,
        sizes: DecoderSizes,
    ) -> Result<Self, AssistantError> {
        let mut placement = Placement(state.0.iter().map(|(n, b)| (n.clone(), b.device)).collect());
        for (i, (name, ty)) in cache_types(&config, &sizes.spec(1, 1)).into_iter().enumerate() {
            // The keys and values of a layer lie with the weights that make them.
            let device = placement.device(&key_weight(i / 2));
            state.insert(name.clone(), engine.zeros_on(device, &ty)?);
            placement.0.insert(name, device);
        }
        let mut decoder = Decoder {
            engine,
            config,
            sizes,
            state,
            options: CompileOptions { placement, pack_weights: true },
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

    /// The weights, without the caches.
    pub fn into_state(mut self) -> Buffers {
        for (name, _) in cache_types(&self.config, &self.sizes.spec(1, 1)) {
            self.state.0.remove(&name);
        }
        self.state
    }

    /// Reads spans of different sequences, at most [`DecoderSizes::rows`] tokens together, and
    /// returns the logits wanted, in order: f32 `[wanted or more, vocab]`.
    pub fn run(&mut self, spans: &[Span<'_>]) -> Result<Tensor, AssistantError> {
        let (mut tokens, mut sequences, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut table, mut wanted) = (Vec::new(), Vec::new());
        let columns = self.sizes.columns();
        // Ids, pages and positions are below 2³¹ in every valid configuration.
        for (sequence, span) in spans.iter().enumerate() {
            let (first, count) = (tokens.len() as i32, span.tokens.len());
            tokens.extend(span.tokens.iter().map(|id| id.0 as i32));
            sequences.extend(std::iter::repeat_n(sequence as i32, count));
            positions.extend((span.start..span.start + count).map(|position| position as i32));
            table.extend(span.pages.iter().map(|&page| page as i32));
            table.resize((sequence + 1) * columns, 0);
            let end = first + count as i32;
            match span.logits {
                Logits::None => {}
                Logits::Last => wanted.push(end - 1),
                Logits::All => wanted.extend(first..end),
            }
        }
        let rows = tokens.len().next_power_of_two();
        let returned = wanted.len().next_power_of_two();
        tokens.resize(rows, 0);
        sequences.resize(rows, -1);
        positions.resize(rows, 0);
        table.resize(rows * columns, 0);
        wanted.resize(returned, 0);
        let data = [
            ("tokens", Tensor::i32([rows], tokens)?),
            ("sequences", Tensor::i32([rows], sequences)?),
            ("positions", Tensor::i32([rows], positions)?),
            ("table", Tensor::i32([rows, columns], table)?),
            ("rows", Tensor::i32([returned], wanted)?),
        ];
        let data: Vec<(&str, &Tensor)> = data.iter().map(|(name, t)| (*name, t)).collect();
        self.program(rows, returned)?;
        let program = self.programs.get_mut(&(rows, returned)).expect("made in the line above");
        let mut outputs = program.run(&mut self.state, &data)?.outputs()?;
        Ok(outputs.remove("logits").expect("decoding programs return logits"))
    }

    /// Compiles a program unless it is there.
    fn program(&mut self, rows: usize, returned: usize) -> Result<(), AssistantError> {
        if !self.programs.contains_key(&(rows, returned)) {
            let program =
                decoding_program_of(&self.config, &self.sizes.spec(rows, returned), &|p| {
                    // As the weights were given.
                    self.state.0.get(&p.name).map_or(p.ty(DType::F32), |buffer| buffer.ty.clone())
                })?;
            let compiled = self.engine.compile(&program, &self.options)?;
            self.programs.insert((rows, returned), compiled);
        }
        Ok(())
    }
}
