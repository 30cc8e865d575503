//! Encoding: text or bytes to ids.
//!
//! Added tokens are cut out first, then the rest is normalised, split by the pattern, and every
//! piece is looked up: in the cache, then among whole tokens, and merged only if both fail.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::added_token::Segment;
use crate::piece_cache::{CacheKey, MAX_IDS};
use crate::pipeline::{Alphabet, Cutting, for_each_piece as for_each_piece_by_steps};
use crate::split::for_each_piece;
use crate::tokenizer::EncodeScratch;
use crate::{Pattern, TokenId, Tokenizer, byte_alphabet};

/// Texts a thread of [`Tokenizer::encode_batch`] takes at a time: enough to hide the counter,
/// few enough to even out the load.
const BATCH_STRIDE: usize = 64;

impl Tokenizer {
    /// Encodes ordinary text. The names of special tokens in it are text like any other.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        // Ordinary text has three to five bytes a token; more ids than that make it grow.
        let mut ids = Vec::with_capacity(text.len() / 3 + MAX_IDS);
        self.encode_into(text, &mut ids);
        ids.into_iter().map(TokenId).collect()
    }

    /// [`Tokenizer::encode`], appending plain ids.
    pub fn encode_into(&self, text: &str, ids: &mut Vec<u32>) {
        self.pool.with(|scratch| self.encode_with(text, false, scratch, ids));
    }

    /// Encodes text in which the names of special tokens stand for those tokens. Only for text
    /// that this program wrote, such as a rendered chat template: a user could forge turns.
    pub fn encode_with_special(&self, text: &str) -> Vec<TokenId> {
        let mut ids = Vec::new();
        self.pool.with(|scratch| self.encode_with(text, true, scratch, &mut ids));
        ids.into_iter().map(TokenId).collect()
    }

    /// A document as the tokenizer's template has it: [`Tokenizer::document_prefix`], the text
    /// with its special tokens, [`Tokenizer::document_suffix`].
    pub fn encode_document(&self, text: &str) -> Vec<TokenId> {
        let text = self.encode_with_special(text);
        [self.document_prefix(), &text, self.document_suffix()].concat()
    }

    /// Encodes any bytes. Stretches of valid UTF-8 are encoded as text, each stretch between
    /// them as one piece, so that decoding gives the bytes back (composed where the tokenizer
    /// normalises).
    pub fn encode_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let mut ids = Vec::new();
        self.pool.with(|scratch| {
            let mut invalid: Vec<u8> = Vec::new();
            for chunk in bytes.utf8_chunks() {
                if !chunk.valid().is_empty() {
                    self.encode_invalid(&invalid, scratch, &mut ids);
                    invalid.clear();
                    self.encode_with(chunk.valid(), false, scratch, &mut ids);
                }
                invalid.extend_from_slice(chunk.invalid());
            }
            self.encode_invalid(&invalid, scratch, &mut ids);
        });
        ids.into_iter().map(TokenId).collect()
    }

    /// Encodes many texts as [`Tokenizer::encode`] does, on `threads` threads (0: all there are).
    /// The result does not depend on their number.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        threads: usize,
    ) -> Vec<Vec<TokenId>> {
        let threads = thread_count(threads).min(texts.len().div_ceil(BATCH_STRIDE));
        if threads <= 1 {
            return texts.iter().map(|text| self.encode(text.as_ref())).collect();
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let start = next.fetch_add(BATCH_STRIDE, Ordering::Relaxed);
                let Some(rest) = texts.get(start..).filter(|rest| !rest.is_empty()) else {
                    return done;
                };
                let stride = rest.iter().take(BATCH_STRIDE);
                let encoded = stride.map(|text| self.encode(text.as_ref())).collect::<Vec<_>>();
                done.push((start, encoded));
            }
        };
        let mut strides = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().flat_map(join).collect::<Vec<_>>()
        });
        strides.sort_unstable_by_key(|(start, _)| *start);
        strides.into_iter().flat_map(|(_, encoded)| encoded).collect()
    }

    /// Cuts out added tokens in the raw text, then in the normalised rest.
    fn encode_with(
        &self,
        text: &str,
        special: bool,
        scratch: &mut EncodeScratch,
        ids: &mut Vec<u32>,
    ) {
        if self.raw_matcher.is_empty() {
            return self.encode_raw_segment(text, true, special, scratch, ids);
        }
        let mut at_start = true;
        self.raw_matcher.split(text, special, |segment| {
            match segment {
                Segment::Token(id) => ids.push(id),
                Segment::Text(text) => {
                    self.encode_raw_segment(text, at_start, special, scratch, ids);
                }
            }
            at_start = false;
        });
    }

    /// Normalises a stretch without raw added tokens and cuts out the normalised ones.
    /// `at_start`: nothing stands before it.
    fn encode_raw_segment(
        &self,
        text: &str,
        mut at_start: bool,
        special: bool,
        scratch: &mut EncodeScratch,
        ids: &mut Vec<u32>,
    ) {
        let text = self.pipeline.normalize(text);
        if self.normalized_matcher.is_empty() {
            return self.encode_segment(&text, at_start, scratch, ids);
        }
        self.normalized_matcher.split(&text, special, |segment| {
            match segment {
                Segment::Token(id) => ids.push(id),
                Segment::Text(text) => self.encode_segment(text, at_start, scratch, ids),
            }
            at_start = false;
        });
    }

    /// Splits a stretch without added tokens and encodes its pieces.
    fn encode_segment(
        &self,
        text: &str,
        at_start: bool,
        scratch: &mut EncodeScratch,
        ids: &mut Vec<u32>,
    ) {
        match &self.pipeline.cutting {
            Cutting::Machine { pattern, prefix_space } => {
                if *prefix_space && !text.is_empty() && !text.starts_with(' ') {
                    self.encode_by_machine(*pattern, &format!(" {text}"), scratch, ids);
                } else {
                    self.encode_by_machine(*pattern, text, scratch, ids);
                }
            }
            Cutting::Steps(steps) => {
                for_each_piece_by_steps(steps, text, at_start, &mut |text, start, end| {
                    self.encode_piece(text, start, end, scratch, ids);
                });
            }
        }
    }

    /// Encodes the pieces of a text that one machine cuts.
    fn encode_by_machine(
        &self,
        pattern: Pattern,
        text: &str,
        scratch: &mut EncodeScratch,
        ids: &mut Vec<u32>,
    ) {
        for_each_piece(pattern, text.as_bytes(), |start, end| {
            self.encode_piece(text, start, end, scratch, ids);
        });
    }

    /// Encodes the piece `text[start..end]`.
    #[inline(always)]
    fn encode_piece(
        &self,
        text: &str,
        start: usize,
        end: usize,
        scratch: &mut EncodeScratch,
        ids: &mut Vec<u32>,
    ) {
        let Some(key) = CacheKey::of(text.as_bytes(), start, end) else {
            self.encode_piece_slowly(&text[start..end], scratch, ids);
            return;
        };
        if !scratch.cache.append(&key, ids) {
            let from = ids.len();
            // A piece that lacks something is not kept, so that it is counted each time.
            if self.encode_piece_slowly(&text[start..end], scratch, ids) {
                scratch.cache.keep(&key, &ids[from..]);
            }
        }
    }

    /// Encodes one piece without the cache; whether all of it has tokens.
    #[inline(never)]
    fn encode_piece_slowly(
        &self,
        piece: &str,
        scratch: &mut EncodeScratch,
        ids: &mut Vec<u32>,
    ) -> bool {
        if let Some((entry, id)) = self.vocabulary.find(piece.as_bytes())
            && self.whole[entry]
        {
            ids.push(id);
            return true;
        }
        scratch.symbols.clear();
        let left_out = self.symbols.of_piece(piece, &self.vocabulary, &mut scratch.symbols);
        self.merge_symbols(left_out, scratch, ids)
    }

    /// Encodes bytes that are no text as one piece.
    fn encode_invalid(&self, bytes: &[u8], scratch: &mut EncodeScratch, ids: &mut Vec<u32>) {
        scratch.symbols.clear();
        let left_out =
            if self.pipeline.alphabet == Alphabet::Characters && self.pipeline.spells_bytes {
                let spelled = byte_alphabet::spell(bytes);
                self.symbols.of_piece(&spelled, &self.vocabulary, &mut scratch.symbols)
            } else {
                self.symbols.of_bytes(bytes, &self.vocabulary, &mut scratch.symbols)
            };
        self.merge_symbols(left_out, scratch, ids);
    }

    /// Merges the symbols in the scratch memory; whether nothing was left out.
    fn merge_symbols(
        &self,
        left_out: u64,
        scratch: &mut EncodeScratch,
        ids: &mut Vec<u32>,
    ) -> bool {
        if left_out > 0 {
            self.pipeline.left_out.count_characters(left_out);
        }
        let symbols = scratch.symbols.iter().copied();
        self.merges.apply(symbols, &mut scratch.merge, ids);
        left_out == 0
    }
}

/// The number of threads meant by an option where 0 is all of the machine.
pub(crate) fn thread_count(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        asked => asked,
    }
}
