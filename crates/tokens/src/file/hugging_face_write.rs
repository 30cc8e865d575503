//! Writes a Hugging Face `tokenizer.json` that `tokenizers` reads to the same ids.

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::byte_alphabet::spell;
use crate::vocabulary::ModelToken;
use crate::{Normalizer, Pattern, TokenId, Tokenizer, TokensError};

/// The file, fields in the order that `tokenizers` writes them.
#[derive(serde::Serialize)]
struct TokenizerFile {
    version: &'static str,
    truncation: Value,
    padding: Value,
    added_tokens: Vec<AddedTokenEntry>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: ModelEntry,
}

#[derive(serde::Serialize)]
struct AddedTokenEntry {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(serde::Serialize)]
struct ModelEntry {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: Value,
    unk_token: Value,
    continuing_subword_prefix: Value,
    end_of_word_suffix: Value,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: Vocab,
    merges: Vec<String>,
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

impl Tokenizer {
    /// Writes a Hugging Face `tokenizer.json`, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), TokensError> {
        Ok(stoa_durable::write(path, self.to_hugging_face_json().as_bytes())?)
    }

    /// The text of a Hugging Face `tokenizer.json`.
    pub fn to_hugging_face_json(&self) -> String {
        let file = TokenizerFile {
            version: "1.0",
            truncation: Value::Null,
            padding: Value::Null,
            added_tokens: self.added_entries(),
            normalizer: match self.normalizer {
                Normalizer::None => Value::Null,
                Normalizer::Nfc => json!({"type": "NFC"}),
            },
            pre_tokenizer: self.pre_tokenizer_entry(),
            post_processor: self.post_processor_entry(),
            decoder: byte_level(true, true, true),
            model: ModelEntry {
                kind: "BPE",
                dropout: Value::Null,
                unk_token: Value::Null,
                continuing_subword_prefix: Value::Null,
                end_of_word_suffix: Value::Null,
                fuse_unk: false,
                byte_fallback: false,
                ignore_merges: self.ignore_merges,
                vocab: self.vocab_entries(),
                merges: self.merge_entries(),
            },
        };
        serde_json::to_string_pretty(&file).expect("strings, numbers and flags are always JSON")
    }

    fn added_entries(&self) -> Vec<AddedTokenEntry> {
        let entry = |token: &crate::AddedToken| AddedTokenEntry {
            id: token.id,
            content: token.content.clone(),
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized: token.normalized,
            special: token.special,
        };
        self.added.iter().map(entry).collect()
    }

    fn pre_tokenizer_entry(&self) -> Value {
        if self.pattern == Pattern::Gpt2 {
            return byte_level(self.add_prefix_space, true, true);
        }
        let split = json!({
            "type": "Split",
            "pattern": {"Regex": self.pattern.regex()},
            "behavior": "Isolated",
            "invert": false,
        });
        json!({"type": "Sequence", "pretokenizers": [split, byte_level(false, true, false)]})
    }

    fn post_processor_entry(&self) -> Value {
        if self.prefix.is_empty() && self.suffix.is_empty() {
            return byte_level(true, false, true);
        }
        let special = |type_id: u32| move |&id: &TokenId| json!({"SpecialToken": {"id": self.name(id), "type_id": type_id}});
        let around = |name: &str, type_id: u32| -> Vec<Value> {
            let before = self.prefix.iter().map(special(type_id));
            let text = json!({"Sequence": {"id": name, "type_id": type_id}});
            before.chain([text]).chain(self.suffix.iter().map(special(type_id))).collect()
        };
        let named = |id: &TokenId| {
            let name = self.name(*id);
            (name.clone(), json!({"id": name, "ids": [id.0], "tokens": [name]}))
        };
        let special_tokens: serde_json::Map<_, _> =
            self.prefix.iter().chain(&self.suffix).map(named).collect();
        let pair = [around("A", 0), around("B", 1)].concat();
        json!({
            "type": "TemplateProcessing",
            "single": around("A", 0),
            "pair": pair,
            "special_tokens": special_tokens,
        })
    }

    /// The name of an id: the text of an added token, else its spelling.
    fn name(&self, id: TokenId) -> String {
        let added = self.added.iter().find(|token| token.id == id.0);
        let spelling = || spell(self.token_bytes(id).unwrap_or_default());
        added.map_or_else(spelling, |token| token.content.clone())
    }

    /// The model's tokens, and those added tokens that `tokenizers` would otherwise renumber:
    /// it gives an added token outside the vocabulary the next free id, whatever the file says.
    fn vocab_entries(&self) -> Vocab {
        let mut entries: Vec<(String, u32)> =
            self.vocabulary.tokens().iter().map(|token| (token.spelling(), token.id)).collect();
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

    fn merge_entries(&self) -> Vec<String> {
        let spelling =
            |id: u32| self.vocabulary.token(id).map(ModelToken::spelling).unwrap_or_default();
        let entry = |merge: &crate::merge::Merge| {
            format!("{} {}", spelling(merge.left), spelling(merge.right))
        };
        self.merges.merges().iter().map(entry).collect()
    }
}

/// A `ByteLevel` part, which serves as pre-tokeniser, post-processor and decoder.
fn byte_level(add_prefix_space: bool, trim_offsets: bool, use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": trim_offsets,
        "use_regex": use_regex,
    })
}
