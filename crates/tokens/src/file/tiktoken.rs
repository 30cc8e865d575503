//! tiktoken rank files: one `base64 rank` a line.
//!
//! Such a file holds tokens only. Any two adjacent tokens whose bytes together are a token may
//! merge, the lowest rank first, and a piece that is a token is that token. The pattern and the
//! special tokens are not in the file and must be given.

use std::path::Path;

use crate::error::excerpt;
use crate::merge::Merge;
use crate::pipeline::{Alphabet, Pipeline};
use crate::settings::Settings;
use crate::tokenizer::TokenizerParts;
use crate::vocabulary::{ModelToken, Vocabulary};
use crate::{AddedToken, Pattern, Tokenizer, TokensError};

impl Tokenizer {
    /// Reads the text of a tiktoken rank file.
    pub fn from_tiktoken(
        ranks: &[u8],
        pattern: Pattern,
        special_tokens: &[(&str, u32)],
    ) -> Result<Self, TokensError> {
        let special = |&(name, id): &(&str, u32)| AddedToken::special(id, name);
        let added = special_tokens.iter().map(special).collect();
        Self::of_ranks(read_ranks(ranks)?, Settings::byte_level(pattern), added)
    }

    /// A tokenizer of tokens whose ids are their ranks: any two whose bytes together are a token
    /// may merge.
    pub(crate) fn of_ranks(
        tokens: Vec<ModelToken>,
        mut settings: Settings,
        added: Vec<AddedToken>,
    ) -> Result<Self, TokensError> {
        let vocabulary = Vocabulary::new(Alphabet::Bytes, tokens.clone())?;
        if let Some(byte) = vocabulary.missing_byte() {
            return Err(TokensError::MissingByte { byte });
        }
        settings.model.ignore_merges = true;
        Self::assemble(TokenizerParts {
            pipeline: Pipeline::compile(&settings)?,
            merges: all_merges(&vocabulary),
            tokens,
            settings,
            added,
        })
    }

    /// Reads a tiktoken rank file.
    pub fn open_tiktoken(
        path: &Path,
        pattern: Pattern,
        special_tokens: &[(&str, u32)],
    ) -> Result<Self, TokensError> {
        let ranks = std::fs::read(path).map_err(TokensError::io("reading", path))?;
        Self::from_tiktoken(&ranks, pattern, special_tokens).map_err(|error| error.at(path))
    }

    /// The text of a tiktoken rank file: ids are ranks, added tokens are left out. tiktoken
    /// gives the same ids if ids rise in the order of merges, as in tokenizers trained here.
    pub fn to_tiktoken(&self) -> String {
        let is_added = |id: u32| self.added.binary_search_by_key(&id, |token| token.id).is_ok();
        let ordinary = self.vocabulary.tokens().iter().filter(|t| !t.raw && !is_added(t.id));
        ordinary.map(|token| format!("{} {}\n", to_base64(&token.bytes), token.id)).collect()
    }

    /// Writes a tiktoken rank file, whole or not at all.
    pub fn save_tiktoken(&self, path: &Path) -> Result<(), TokensError> {
        Ok(stoa_durable::write(path, self.to_tiktoken().as_bytes())?)
    }
}

/// The tokens of a rank file, with their ranks as ids.
fn read_ranks(ranks: &[u8]) -> Result<Vec<ModelToken>, TokensError> {
    let mut tokens = Vec::new();
    for (index, line) in ranks.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let token = read_rank(line).ok_or_else(|| TokensError::MalformedRank {
            line: index + 1,
            text: excerpt(&String::from_utf8_lossy(line)),
        })?;
        tokens.push(token);
    }
    Ok(tokens)
}

/// One line, or nothing if it is malformed.
fn read_rank(line: &[u8]) -> Option<ModelToken> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let bytes = from_base64(&line[..space]).filter(|bytes| !bytes.is_empty())?;
    let id = std::str::from_utf8(&line[space + 1..]).ok()?.parse().ok()?;
    Some(ModelToken { id, bytes, raw: false })
}

/// Every way to make a token of two others, in order of rank; of one token, in order of the ids
/// of the parts, as the conversions to Hugging Face's format have it.
pub(crate) fn all_merges(vocabulary: &Vocabulary) -> Vec<Merge> {
    let mut merges = Vec::new();
    for token in vocabulary.tokens() {
        let from = merges.len();
        for cut in 1..token.bytes.len() {
            let (left, right) = token.bytes.split_at(cut);
            if let (Some((_, left)), Some((_, right))) =
                (vocabulary.find(left), vocabulary.find(right))
            {
                merges.push(Merge { left, right, merged: token.id });
            }
        }
        merges[from..].sort_by_key(|merge| (merge.left, merge.right));
    }
    merges
}

/// The digits of base64, RFC 4648 section 4.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() { '=' } else { digit as char });
        }
    }
    text
}

/// The bytes of padded base64, or nothing if it is malformed.
pub(crate) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    let digits = &text[..text.len() - padding];
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in digits.chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let digit = match chunk.get(place) {
                Some(digit) => DIGITS.iter().position(|known| known == digit)?,
                None => 0,
            };
            bits = bits << 6 | digit as u32;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    #[test]
    fn base64_follows_the_vectors_of_rfc_4648() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, text) in vectors {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        for malformed in ["Zg", "Z===", "Zg=a", "Z g=", "===="] {
            assert_eq!(from_base64(malformed.as_bytes()), None, "{malformed}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]

        #[test]
        fn base64_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(from_base64(to_base64(&bytes).as_bytes()), Some(bytes));
        }
    }
}
