//! The tokenizer of a GGUF file, from its tables: byte-level BPE (`gpt2`) and SentencePiece BPE
//! (`llama`). Other kinds are refused by name. Knows nothing of the file around the tables.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::pre_names::PreName;
use super::scored::scored_merges;
use crate::byte_alphabet;
use crate::error::excerpt;
use crate::merge::Merge;
use crate::pipeline::Alphabet;
use crate::settings::{ModelSettings, Settings, template};
use crate::vocabulary::{ModelToken, Vocabulary};
use crate::{AddedToken, Tokenizer, TokensError};

/// The tables under `tokenizer.ggml` of a GGUF file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenTables {
    /// `model`: `gpt2`, `llama` or `gemma4`.
    pub model: String,
    /// `pre`: the name of the pre-tokeniser, of `gpt2` alone.
    pub pre: Option<String>,
    /// `tokens`, by id.
    pub tokens: Vec<String>,
    /// `token_type`, by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. Empty
    /// if all are normal.
    pub token_types: Vec<u32>,
    /// `scores`, by id, of `llama` alone.
    pub scores: Vec<f32>,
    /// `merges` of `gpt2`, as `left right`.
    pub merges: Vec<String>,
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `unknown_token_id`.
    pub unknown: Option<u32>,
    /// `add_bos_token`; by default true of `llama` and of some names in `pre`.
    pub add_bos: Option<bool>,
    /// `add_eos_token`; by default false.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`; by default true of `llama`, false of `gpt2`.
    pub add_space_prefix: Option<bool>,
}

/// What a token is, by its number in `token_type`.
pub(super) mod kind {
    pub(in crate::file) const NORMAL: u32 = 1;
    pub(in crate::file) const UNKNOWN: u32 = 2;
    pub(in crate::file) const CONTROL: u32 = 3;
    pub(in crate::file) const USER_DEFINED: u32 = 4;
    pub(in crate::file) const UNUSED: u32 = 5;
    pub(in crate::file) const BYTE: u32 = 6;
}

impl TokenTables {
    fn kind(&self, id: usize) -> u32 {
        self.token_types.get(id).copied().unwrap_or(kind::NORMAL)
    }

    /// Tables of one entry a token must have one for each.
    fn check(&self) -> Result<(), TokensError> {
        let lengths = [
            ("tokenizer.ggml.token_type", self.token_types.len()),
            ("tokenizer.ggml.scores", self.scores.len()),
        ];
        for (table, length) in lengths {
            if length != 0 && length != self.tokens.len() {
                return Err(TokensError::UnevenTables { table, length, tokens: self.tokens.len() });
            }
        }
        Ok(())
    }

    /// The tokens matched in text as a whole.
    fn added(&self) -> Vec<AddedToken> {
        let token = |(id, content): (usize, &String)| match self.kind(id) {
            kind::CONTROL | kind::UNKNOWN => Some(AddedToken::special(id as u32, content)),
            kind::USER_DEFINED => {
                Some(AddedToken { special: false, ..AddedToken::special(id as u32, content) })
            }
            _ => None,
        };
        self.tokens.iter().enumerate().filter_map(token).filter(|t| !t.content.is_empty()).collect()
    }

    /// What is put around a document.
    fn post_processor(&self, add_bos: bool) -> Value {
        let named = |id: Option<u32>, wanted: bool| -> Vec<(String, u32)> {
            let id = id.filter(|_| wanted);
            let name = |id: u32| Some((self.tokens.get(id as usize)?.clone(), id));
            id.and_then(name).into_iter().collect()
        };
        let prefix = named(self.bos, self.add_bos.unwrap_or(add_bos));
        let suffix = named(self.eos, self.add_eos.unwrap_or(false));
        if prefix.is_empty() && suffix.is_empty() {
            Value::Null
        } else {
            template(&prefix, &suffix)
        }
    }
}

impl Tokenizer {
    /// The tokenizer of the tables of a GGUF file.
    pub fn from_tables(tables: &TokenTables) -> Result<Self, TokensError> {
        tables.check()?;
        match tables.model.as_str() {
            "gpt2" => byte_level(tables, PreName::find(tables.pre.as_deref())?),
            "gemma4" => byte_level(tables, PreName::find(Some("gemma4"))?),
            "llama" => sentence_piece(tables, |_| {}),
            other => Err(TokensError::UnsupportedTable {
                field: "tokenizer.ggml.model",
                value: excerpt(other),
                remedy: "gpt2 (byte-level BPE), llama (SentencePiece BPE) and gemma4 are read",
            }),
        }
    }
}

/// Tokens in the byte alphabet and merges in order.
fn byte_level(tables: &TokenTables, name: PreName) -> Result<Tokenizer, TokensError> {
    let mut settings = name.settings(tables.add_space_prefix.unwrap_or(false));
    let in_bytes = name.in_bytes();
    settings.post_processor = tables.post_processor(name.add_bos);
    let is_ordinary = |(id, _): &(usize, &String)| tables.kind(*id) == kind::NORMAL;
    let ordinary: HashSet<&str> =
        tables.tokens.iter().enumerate().filter(is_ordinary).map(|(_, t)| t.as_str()).collect();
    let mut vocab: Vec<(String, u32)> = Vec::new();
    for (id, token) in tables.tokens.iter().enumerate() {
        match tables.kind(id) {
            kind::CONTROL | kind::UNKNOWN => {}
            // What users defined stands as it is, and merges may lead to it all the same, unless
            // they lead to an ordinary token of the same bytes.
            kind::USER_DEFINED if in_bytes => {
                let spelled = byte_alphabet::spell(token.as_bytes());
                if !ordinary.contains(spelled.as_str()) {
                    vocab.push((spelled, id as u32));
                }
            }
            _ => vocab.push((token.clone(), id as u32)),
        }
    }
    let merges = merges_of_texts(tables, &vocab, &mut settings);
    let vocab = vocab.iter().map(|(spelling, id)| (spelling.as_str(), *id));
    Tokenizer::from_spellings(vocab, merges, settings, tables.added())
}

/// The merges whose tokens are all there; the others are counted in a note.
fn merges_of_texts(
    tables: &TokenTables,
    vocab: &[(String, u32)],
    settings: &mut Settings,
) -> Vec<Merge> {
    let ids: std::collections::HashMap<&str, u32> =
        vocab.iter().map(|(spelling, id)| (spelling.as_str(), *id)).collect();
    let mut merges = Vec::with_capacity(tables.merges.len());
    let mut first_left = None;
    for text in &tables.merges {
        // A token may itself be a space.
        let cut = text.char_indices().skip(1).find(|&(_, c)| c == ' ').map_or(0, |(at, _)| at);
        let (left, right) = (&text[..cut], text.get(cut + 1..).unwrap_or_default());
        let id = |token: &str| ids.get(token).copied();
        match (id(left), id(right), id(&[left, right].concat())) {
            (Some(left), Some(right), Some(merged)) => merges.push(Merge { left, right, merged }),
            _ => first_left = first_left.or(Some(text)),
        }
    }
    if let Some(first) = first_left {
        settings.notes.push(format!(
            "{} of {} merges, whose tokens are not in the vocabulary (the first is {:?})",
            tables.merges.len() - merges.len(),
            tables.merges.len(),
            excerpt(first)
        ));
    }
    merges
}

/// Text with ▁ for spaces, bytes for what has no token.
pub(super) fn of_spaces(prefix: bool) -> Settings {
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let mut normalizers = vec![replace(" ", "▁")];
    let mut decoders =
        vec![replace("▁", " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Settings {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: ModelSettings { byte_fallback: true, fuse_unk: true, ..ModelSettings::default() },
        ..Settings::default()
    }
}

/// Tokens with ▁ for spaces and scores, the best of which merges first. `change` has the last word
/// on the settings.
pub(super) fn sentence_piece(
    tables: &TokenTables,
    change: impl FnOnce(&mut Settings),
) -> Result<Tokenizer, TokensError> {
    if tables.scores.is_empty() && !tables.tokens.is_empty() {
        return Err(TokensError::UnevenTables {
            table: "tokenizer.ggml.scores",
            length: 0,
            tokens: tables.tokens.len(),
        });
    }
    let mut settings = of_spaces(tables.add_space_prefix.unwrap_or(true));
    settings.post_processor = tables.post_processor(true);
    let unknown = tables.unknown.and_then(|id| tables.tokens.get(id as usize));
    settings.model.unk_token = unknown.cloned();
    change(&mut settings);
    let mut tokens = Vec::new();
    let mut mergeable = Vec::new();
    for (id, token) in tables.tokens.iter().enumerate() {
        let entry = ModelToken::from_spelling(id as u32, token, Alphabet::Characters);
        match tables.kind(id) {
            kind::CONTROL => continue,
            kind::BYTE | kind::UNKNOWN => {}
            _ => mergeable.push(entry.clone()),
        }
        tokens.push(entry);
    }
    let score = |id: u32| tables.scores[id as usize];
    let merges = scored_merges(&Vocabulary::new(Alphabet::Characters, mergeable)?, score);
    let pipeline = crate::pipeline::Pipeline::compile(&settings)?;
    Tokenizer::assemble(crate::tokenizer::TokenizerParts {
        tokens,
        merges,
        settings,
        pipeline,
        added: tables.added(),
    })
}
