//! Encoding: text or bytes to ids.
//!
//! Added tokens are cut out first, then the rest is normalised, split by the pattern, and every
//! piece is looked up: in the cache, then among whole tokens, and merged only if both fail.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::added_token::Segment;
use crate::piece_cache::{CacheKey, MAX_IDS};
use crate::split::for_each_piece;
use crate::tokenizer::EncodeScratch;
use crate::{Normalizer, TokenId, Tokenizer};

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
                    self.encode_piece_slowly(&invalid, scratch, &mut ids);
                    invalid.clear();
                    self.encode_with(chunk.valid(), false, scratch, &mut ids);
                }
                invalid.extend_from_slice(chunk.invalid());
            }
            self.encode_piece_slowly(&invalid, scratch, &mut ids);
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
            return self.encode_raw_segment(text, special, scratch, ids);
        }
        self.raw_matcher.split(text, special, |segment| match segment {
            Segment::Token(id) => ids.push(id),
            Segment::Text(text) => self.encode_raw_segment(text, special, scratch, ids),
        });
    }

    /// Normalises a stretch without raw added tokens and cuts out the normalised ones.
    fn encode_raw_segment(
        &self,
        text: &str,
        special: bool,
        scratch: &mut EncodeScratch,
        ids: &mut Vec<u32>,
    ) {
        let text = self.normalize(text);
        if self.normalized_matcher.is_empty() {
            return self.encode_segment(&text, scratch, ids);
        }
        self.normalized_matcher.split(&text, special, |segment| match segment {
            Segment::Token(id) => ids.push(id),
            Segment::Text(text) => self.encode_segment(text, scratch, ids),
        });
    }

    /// The normalised form of a text.
    fn normalize<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.normalizer {
            Normalizer::None => Cow::Borrowed(text),
            Normalizer::Nfc
                if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes =>
            {
                Cow::Borrowed(text)
            }
            Normalizer::Nfc => Cow::Owned(text.nfc().collect()),
        }
    }

    /// Splits a stretch without added tokens and encodes its pieces.
    fn encode_segment(&self, text: &str, scratch: &mut EncodeScratch, ids: &mut Vec<u32>) {
        if self.add_prefix_space && !text.is_empty() && !text.starts_with(' ') {
            self.encode_pieces(&format!(" {text}"), scratch, ids);
        } else {
            self.encode_pieces(text, scratch, ids);
        }
    }

    /// Encodes the pieces of a text.
    fn encode_pieces(&self, text: &str, scratch: &mut EncodeScratch, ids: &mut Vec<u32>) {
        let text = text.as_bytes();
        for_each_piece(self.pattern, text, |start, end| {
            let Some(key) = CacheKey::of(text, start, end) else {
                return self.encode_piece_slowly(&text[start..end], scratch, ids);
            };
            if !scratch.cache.append(&key, ids) {
                let from = ids.len();
                self.encode_piece_slowly(&text[start..end], scratch, ids);
                scratch.cache.keep(&key, &ids[from..]);
            }
        });
    }

    /// Encodes one piece without the cache.
    #[inline(never)]
    fn encode_piece_slowly(&self, piece: &[u8], scratch: &mut EncodeScratch, ids: &mut Vec<u32>) {
        if let Some((entry, id)) = self.vocabulary.find(piece)
            && self.whole[entry]
        {
            return ids.push(id);
        }
        let byte_ids = self.vocabulary.byte_ids();
        let tokens = piece.iter().map(|&byte| byte_ids[byte as usize]);
        self.merges.apply(tokens, &mut scratch.merge, ids);
    }
}

/// The number of threads meant by an option where 0 is all of the machine.
pub(crate) fn thread_count(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        asked => asked,
    }
}
