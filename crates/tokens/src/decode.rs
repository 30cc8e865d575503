//! Decoding: ids to bytes, to text, and to text as it arrives.
//!
//! A character may span tokens, so the streaming decoders withhold bytes until their character
//! is whole or can no longer become valid.

use crate::{TokenId, Tokenizer, TokensError};

impl Tokenizer {
    /// The bytes of the ids as the tokenizer's decoder has them; added tokens give their text. Ids
    /// outside the vocabulary are an error.
    pub fn decode(&self, ids: &[TokenId]) -> Result<Vec<u8>, TokensError> {
        self.decode_any(ids, false)
    }

    /// [`Tokenizer::decode`] without the special tokens among the ids.
    pub fn decode_without_special(&self, ids: &[TokenId]) -> Result<Vec<u8>, TokensError> {
        self.decode_any(ids, true)
    }

    fn decode_any(&self, ids: &[TokenId], skip_special: bool) -> Result<Vec<u8>, TokensError> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        let mut shown = ids.iter().copied().filter(|&id| !(skip_special && self.is_special(id)));
        if !self.pipeline.decoder.depends_on_place() {
            for id in shown {
                bytes.extend_from_slice(self.known_bytes(id)?);
            }
            return Ok(self.pipeline.decoder.finish(bytes));
        }
        let mut next = shown.next();
        let mut first = true;
        while let Some(id) = next {
            next = shown.next();
            let known = self.known_bytes(id)?;
            match self.vocabulary.spelling(id.0).filter(|_| first || next.is_none()) {
                Some(spelling) => {
                    let decoder = &self.pipeline.decoder;
                    bytes.extend(decoder.token_at(&spelling, first, next.is_none()));
                }
                None => bytes.extend_from_slice(known),
            }
            first = false;
        }
        Ok(self.pipeline.decoder.finish(bytes))
    }

    /// The text of the ids, with U+FFFD where the bytes are not UTF-8 or an id is unknown.
    pub fn decode_lossy(&self, ids: &[TokenId]) -> String {
        let bytes = self.decode(ids).unwrap_or_else(|_| {
            let known = |&id: &TokenId| self.token_bytes(id).unwrap_or("\u{fffd}".as_bytes());
            let bytes = ids.iter().flat_map(known).copied().collect();
            self.pipeline.decoder.finish(bytes)
        });
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn known_bytes(&self, id: TokenId) -> Result<&[u8], TokensError> {
        let vocab_size = self.vocab_size();
        self.token_bytes(id).ok_or(TokensError::UnknownToken { id: id.0, vocab_size })
    }
}

/// Puts UTF-8 together from byte strings cut anywhere, for decoders that own no tokenizer.
#[derive(Clone, Debug, Default)]
pub struct Utf8Assembler {
    /// The start of a character whose end has not come: at most three bytes.
    pending: Vec<u8>,
}

impl Utf8Assembler {
    /// The text that is certain once `bytes` have come. Bytes that cannot belong to any
    /// character become U+FFFD, exactly as when the whole is decoded at once.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.pending.len());
        let mut withheld = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let is_last = chunks.peek().is_none();
            if is_last && is_incomplete(chunk.invalid()) {
                withheld = chunk.invalid().len();
            } else if !chunk.invalid().is_empty() {
                text.push('\u{fffd}');
            }
        }
        self.pending.drain(..self.pending.len() - withheld);
        text
    }

    /// Bytes of a character whose end has not come.
    pub fn incomplete(&self) -> usize {
        self.pending.len()
    }

    /// The rest: U+FFFD if a character was left incomplete, else nothing.
    pub fn finish(self) -> String {
        if self.pending.is_empty() { String::new() } else { "\u{fffd}".to_owned() }
    }
}

/// Whether bytes are the start of a character that more bytes could complete.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]

        #[test]
        fn assembling_any_cuts_gives_the_lossy_whole(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..20),
            text in any::<String>(),
        ) {
            let all: Vec<Vec<u8>> =
                text.bytes().map(|byte| vec![byte]).chain(parts).collect();
            let mut assembler = Utf8Assembler::default();
            let mut assembled: String = all.iter().map(|part| assembler.push(part)).collect();
            assembled += &assembler.finish();
            prop_assert_eq!(assembled, String::from_utf8_lossy(&all.concat()).into_owned());
        }
    }
}
