//! Training: from text to a tokenizer.
//!
//! `count` counts the distinct pieces of the text, `merges` learns merges from the counts. The
//! result is that of [`crate::reference::train`] and depends on the texts and options alone,
//! not on the number of threads nor, unless the bound on memory prunes, on the order of texts.

mod count;
mod merges;

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::merge::{LARGEST_ID, Merge};
use crate::pipeline::Pipeline;
use crate::settings::Settings;
use crate::tokenizer::TokenizerParts;
use crate::vocabulary::ModelToken;
use crate::{AddedToken, DEFAULT_SPECIAL_TOKENS, Pattern, Tokenizer, TokensError};

use count::PieceCounter;
use merges::MergeLearner;

/// What a tokenizer is trained to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainOptions {
    /// Tokens in all: 256 bytes, the merges, the special tokens. Fewer if the text runs out of
    /// pairs.
    pub vocab_size: usize,
    /// How text is cut into pieces.
    pub pattern: Pattern,
    /// Special tokens; their ids follow the merges, in this order.
    pub special_tokens: Vec<String>,
    /// Pairs seen fewer times than this make no token.
    pub min_pair_count: u64,
    /// Bound on memory: beyond this many distinct pieces, the rarest are forgotten.
    pub max_distinct_pieces: usize,
    /// Pieces longer than this (unbroken base64, say) are left out of the counts.
    pub max_piece_bytes: usize,
    /// Threads that count; 0 for all there are.
    pub threads: usize,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            vocab_size: 8192,
            pattern: Pattern::Gpt4,
            special_tokens: DEFAULT_SPECIAL_TOKENS.map(str::to_owned).to_vec(),
            // A pair seen once is one word learnt by heart.
            min_pair_count: 2,
            // About 1 GiB of tables at 10 to 20 bytes a piece.
            max_distinct_pieces: 1 << 24,
            max_piece_bytes: 4096,
            threads: 0,
        }
    }
}

/// How far training has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainProgress {
    /// Reading text.
    Counting {
        /// Texts read.
        texts: u64,
        /// Bytes of text read.
        bytes: u64,
        /// Distinct pieces held.
        distinct_pieces: usize,
    },
    /// Learning merges.
    Merging {
        /// Merges learnt.
        done: usize,
        /// Merges wanted.
        wanted: usize,
    },
}

impl Tokenizer {
    /// Trains a tokenizer on texts. `progress` is called several times a second on text of any
    /// size and stops training by returning [`ControlFlow::Break`].
    pub fn train<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
        options: &TrainOptions,
        mut progress: impl FnMut(TrainProgress) -> ControlFlow<()>,
    ) -> Result<Self, TokensError> {
        let wanted = check(options)?;
        let mut counter = PieceCounter::new(options);
        for text in texts {
            if let Some(reached) = counter.add(text.as_ref())? {
                stop_if_broken(progress(reached))?;
            }
        }
        stop_if_broken(progress(counter.flush()?))?;
        let mut learner = MergeLearner::new(counter.into_pieces(), options.min_pair_count)?;
        let mut merges = Vec::with_capacity(wanted);
        // Often enough for a progress bar, seldom enough to cost nothing.
        const REPORT_EVERY: usize = 64;
        while merges.len() < wanted {
            if merges.len().is_multiple_of(REPORT_EVERY) {
                stop_if_broken(progress(TrainProgress::Merging { done: merges.len(), wanted }))?;
            }
            let Some(merge) = learner.next_merge()? else { break };
            merges.push(merge);
        }
        stop_if_broken(progress(TrainProgress::Merging { done: merges.len(), wanted }))?;
        drop(learner);
        from_merges(merges, options)
    }
}

/// The number of merges wanted by sound options.
fn check(options: &TrainOptions) -> Result<usize, TokensError> {
    let least = 256 + options.special_tokens.len();
    let wanted = options.vocab_size.checked_sub(least).ok_or(TokensError::VocabularyTooSmall {
        vocab_size: options.vocab_size,
        special_tokens: options.special_tokens.len(),
        least,
    })?;
    if options.vocab_size > LARGEST_ID as usize {
        return Err(TokensError::IdTooLarge { id: options.vocab_size as u64, largest: LARGEST_ID });
    }
    let mut seen = HashSet::new();
    for token in &options.special_tokens {
        if token.is_empty() || !seen.insert(token) {
            return Err(TokensError::BadSpecialToken { token: token.clone() });
        }
    }
    let positive = [
        ("max_distinct_pieces", options.max_distinct_pieces),
        ("max_piece_bytes", options.max_piece_bytes),
    ];
    for (option, value) in positive {
        if value == 0 {
            let advice = "give at least 1";
            return Err(TokensError::BadOption { option, value: 0, advice });
        }
    }
    Ok(wanted)
}

fn stop_if_broken(flow: ControlFlow<()>) -> Result<(), TokensError> {
    if flow.is_break() { Err(TokensError::Cancelled) } else { Ok(()) }
}

/// The tokenizer of 256 bytes, learnt merges and special tokens.
fn from_merges(merges: Vec<(u32, u32)>, options: &TrainOptions) -> Result<Tokenizer, TokensError> {
    let mut bytes: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let mut ranked = Vec::with_capacity(merges.len());
    for (left, right) in merges {
        let merged = bytes.len() as u32;
        bytes.push([bytes[left as usize].as_slice(), &bytes[right as usize]].concat());
        ranked.push(Merge { left, right, merged });
    }
    let first_special = bytes.len() as u32;
    let token = |(id, bytes)| ModelToken { id, bytes, raw: false };
    let special = |(id, name): (u32, &String)| AddedToken::special(id, name);
    let settings = Settings::byte_level(options.pattern);
    Tokenizer::assemble(TokenizerParts {
        pipeline: Pipeline::compile(&settings)?,
        tokens: (0..).zip(bytes).map(token).collect(),
        merges: ranked,
        settings,
        added: (first_special..).zip(&options.special_tokens).map(special).collect(),
    })
}
