//! The tokens a piece starts from before merging, and what stands for what has no token.

use crate::byte_alphabet;
use crate::pipeline::{Alphabet, byte_of};
use crate::settings::ModelSettings;
use crate::vocabulary::{NO_ID, Vocabulary};

/// How the smallest parts of a piece become tokens.
#[derive(Clone, Debug)]
pub(crate) struct Symbols {
    alphabet: Alphabet,
    unknown: Option<u32>,
    fuse: bool,
    /// The token of each byte, or [`NO_ID`]; none without `byte_fallback`.
    bytes: Option<Vec<u32>>,
    before_parts: String,
    after_word: String,
}

impl Symbols {
    pub(crate) fn new(model: &ModelSettings, vocabulary: &Vocabulary) -> Self {
        let id = |spelling: &str| {
            let found = match vocabulary.alphabet() {
                Alphabet::Characters => vocabulary.find(spelling.as_bytes()),
                Alphabet::Bytes => {
                    byte_alphabet::unspell(spelling).and_then(|bytes| vocabulary.find(&bytes))
                }
            };
            found.map(|(_, id)| id)
        };
        let mut bytes = None;
        if model.byte_fallback {
            let mut ids = vec![NO_ID; 256];
            for token in vocabulary.tokens() {
                let byte = std::str::from_utf8(&token.bytes).ok().and_then(byte_of);
                if let Some(byte) = byte {
                    ids[byte as usize] = token.id;
                }
            }
            bytes = Some(ids);
        }
        Self {
            alphabet: vocabulary.alphabet(),
            unknown: model.unk_token.as_deref().and_then(id),
            fuse: model.fuse_unk,
            bytes,
            before_parts: model.continuing_subword_prefix.clone().unwrap_or_default(),
            after_word: model.end_of_word_suffix.clone().unwrap_or_default(),
        }
    }

    /// The token for what has none.
    pub(crate) fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// Whether every text starts from the same tokens, in one vocabulary of characters.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let bytes = |symbols: &Self| {
            let ids = symbols.bytes.clone();
            ids.filter(|ids| ids.iter().any(|&id| id != NO_ID))
        };
        let all = bytes(self).is_some_and(|ids| ids.iter().all(|&id| id != NO_ID));
        let unknown = |symbols: &Self| symbols.unknown.map(|id| (id, symbols.fuse));
        let affixes = |symbols: &Self| (symbols.before_parts.clone(), symbols.after_word.clone());
        bytes(self) == bytes(other)
            && (all || unknown(self) == unknown(other))
            && affixes(self) == affixes(other)
    }

    /// Appends the tokens of the characters of a piece, or of its bytes, and tells how many of
    /// them have none, not even an unknown one.
    pub(crate) fn of_piece(
        &self,
        piece: &str,
        vocabulary: &Vocabulary,
        symbols: &mut Vec<u32>,
    ) -> u64 {
        match self.alphabet {
            Alphabet::Bytes => self.of_bytes(piece.as_bytes(), vocabulary, symbols),
            Alphabet::Characters => self.of_characters(piece, vocabulary, symbols),
        }
    }

    /// The same for bytes, which need not be text.
    pub(crate) fn of_bytes(
        &self,
        piece: &[u8],
        vocabulary: &Vocabulary,
        symbols: &mut Vec<u32>,
    ) -> u64 {
        let ids = match self.alphabet {
            Alphabet::Bytes => Some(vocabulary.byte_ids().as_slice()),
            Alphabet::Characters => self.bytes.as_deref(),
        };
        let mut unknown = Unknown::new(self);
        for &byte in piece {
            match ids.map(|ids| ids[byte as usize]).filter(|&id| id != NO_ID) {
                Some(id) => unknown.known(id, symbols),
                None => unknown.met(symbols),
            }
        }
        unknown.finish(symbols)
    }

    fn of_characters(&self, piece: &str, vocabulary: &Vocabulary, symbols: &mut Vec<u32>) -> u64 {
        let mut unknown = Unknown::new(self);
        let affixed = !self.before_parts.is_empty() || !self.after_word.is_empty();
        let mut affixed_text = String::new();
        for (at, character) in piece.char_indices() {
            let end = at + character.len_utf8();
            let mut part = &piece[at..end];
            if affixed {
                affixed_text.clear();
                if at > 0 {
                    affixed_text.push_str(&self.before_parts);
                }
                affixed_text.push_str(part);
                if end == piece.len() {
                    affixed_text.push_str(&self.after_word);
                }
                part = &affixed_text;
            }
            if let Some((_, id)) = vocabulary.find(part.as_bytes()) {
                unknown.known(id, symbols);
                continue;
            }
            let ids = self
                .bytes
                .as_deref()
                .filter(|ids| part.bytes().all(|byte| ids[byte as usize] != NO_ID));
            match ids {
                // An unknown token that waits comes after the bytes, as in the original.
                Some(ids) => symbols.extend(part.bytes().map(|byte| ids[byte as usize])),
                None => unknown.met(symbols),
            }
        }
        unknown.finish(symbols)
    }
}

/// Unknown parts of one piece: one token for each, or for each run of them.
struct Unknown<'a> {
    symbols: &'a Symbols,
    waiting: bool,
    left_out: u64,
}

impl<'a> Unknown<'a> {
    fn new(symbols: &'a Symbols) -> Self {
        Self { symbols, waiting: false, left_out: 0 }
    }

    fn flush(&mut self, out: &mut Vec<u32>) {
        if std::mem::take(&mut self.waiting) {
            out.extend(self.symbols.unknown);
        }
    }

    fn known(&mut self, id: u32, out: &mut Vec<u32>) {
        self.flush(out);
        out.push(id);
    }

    fn met(&mut self, out: &mut Vec<u32>) {
        if self.symbols.unknown.is_none() {
            self.left_out += 1;
            return;
        }
        if !self.symbols.fuse {
            self.flush(out);
        }
        self.waiting = true;
    }

    fn finish(mut self, out: &mut Vec<u32>) -> u64 {
        self.flush(out);
        self.left_out
    }
}
