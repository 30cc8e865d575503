//! Writes a Hugging Face `tokenizer.json` that `tokenizers` reads to the same ids.

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::merge::Merge;
use crate::settings::Settings;
use crate::{AddedToken, Tokenizer, TokensError};

/// The file, fields in the order that `tokenizers` writes them.
#[derive(serde::Serialize)]
struct TokenizerFile<'a> {
    version: &'static str,
    truncation: &'a Value,
    padding: &'a Value,
    added_tokens: Vec<AddedTokenEntry<'a>>,
    normalizer: &'a Value,
    pre_tokenizer: &'a Value,
    post_processor: &'a Value,
    decoder: &'a Value,
    model: ModelEntry<'a>,
}

#[derive(serde::Serialize)]
struct AddedTokenEntry<'a> {
    id: u32,
    content: &'a str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(serde::Serialize)]
struct ModelEntry<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: Option<f64>,
    unk_token: Option<&'a str>,
    continuing_subword_prefix: Option<&'a str>,
    end_of_word_suffix: Option<&'a str>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: Vocab,
    merges: Merges,
}

/// Merges as one text each, or as two where a token holds a space.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Merges {
    Texts(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// Spellings with their ids, written as an object in order of id.
struct Vocab(Vec<(String, u32)>);

impl Serialize for Vocab {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (spelling, id) in &self.0 {
            map.serialize_entry(spelling, id)?;
        }
        map.end()
    }
}

impl<'a> AddedTokenEntry<'a> {
    fn of(token: &'a AddedToken) -> Self {
        Self {
            id: token.id,
            content: &token.content,
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized: token.normalized,
            special: token.special,
        }
    }
}

impl Tokenizer {
    /// Writes a Hugging Face `tokenizer.json`, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), TokensError> {
        Ok(stoa_durable::write(path, self.to_hugging_face_json().as_bytes())?)
    }

    /// The text of a Hugging Face `tokenizer.json`.
    pub fn to_hugging_face_json(&self) -> String {
        let Settings {
            truncation,
            padding,
            normalizer,
            pre_tokenizer,
            post_processor,
            decoder,
            model,
            notes: _,
        } = &self.settings;
        let file = TokenizerFile {
            version: "1.0",
            truncation,
            padding,
            added_tokens: self.added_entries(),
            normalizer,
            pre_tokenizer,
            post_processor,
            decoder,
            model: ModelEntry {
                kind: "BPE",
                dropout: model.dropout,
                unk_token: model.unk_token.as_deref(),
                continuing_subword_prefix: model.continuing_subword_prefix.as_deref(),
                end_of_word_suffix: model.end_of_word_suffix.as_deref(),
                fuse_unk: model.fuse_unk,
                byte_fallback: model.byte_fallback,
                ignore_merges: model.ignore_merges,
                vocab: self.vocab_entries(),
                merges: self.merge_entries(),
            },
        };
        serde_json::to_string_pretty(&file).expect("strings, numbers and flags are always JSON")
    }

    fn added_entries(&self) -> Vec<AddedTokenEntry<'_>> {
        self.added.iter().map(AddedTokenEntry::of).collect()
    }

    /// The model's tokens, and those added tokens that `tokenizers` would otherwise renumber:
    /// it gives an added token outside the vocabulary the next free id, whatever the file says.
    fn vocab_entries(&self) -> Vocab {
        let spelled = |token: &crate::vocabulary::ModelToken| {
            (token.spelling(self.vocabulary.alphabet()), token.id)
        };
        let mut entries: Vec<_> = self.vocabulary.tokens().iter().map(spelled).collect();
        let outside =
            || self.added.iter().filter(|token| self.vocabulary.bytes(token.id).is_none());
        let next_free = self.vocabulary.tokens().len() as u32;
        let renumbered = outside().zip(next_free..).any(|(token, id)| token.id != id);
        if renumbered {
            entries.extend(outside().map(|token| (token.content.clone(), token.id)));
        }
        entries.sort_by_key(|(_, id)| *id);
        Vocab(entries)
    }

    fn merge_entries(&self) -> Merges {
        let spelling = |id: u32| self.vocabulary.spelling(id).unwrap_or_default();
        let pair = |merge: &Merge| (spelling(merge.left), spelling(merge.right));
        let pairs: Vec<_> = self.merges.merges().iter().map(pair).collect();
        if pairs.iter().any(|(left, right)| left.contains(' ') || right.contains(' ')) {
            return Merges::Pairs(pairs);
        }
        let joined = |(left, right): &(String, String)| format!("{left} {right}");
        Merges::Texts(pairs.iter().map(joined).collect())
    }
}
