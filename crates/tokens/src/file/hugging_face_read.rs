//! Reads a Hugging Face `tokenizer.json` of the byte-level BPE kind.
//!
//! Whatever could change ids and is not implemented is refused by name rather than ignored.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::excerpt;
use crate::merge::Merge;
use crate::tokenizer::TokenizerParts;
use crate::vocabulary::ModelToken;
use crate::{AddedToken, Normalizer, Pattern, TokenId, Tokenizer, TokensError};

/// The file, as far as it matters here.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    truncation: Value,
    #[serde(default)]
    padding: Value,
    #[serde(default)]
    added_tokens: Vec<AddedTokenEntry>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: ModelEntry,
}

#[derive(Deserialize)]
struct AddedTokenEntry {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    normalized: bool,
}

#[derive(Deserialize)]
struct ModelEntry {
    /// Files of before 2020 lack it.
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    ignore_merges: bool,
    vocab: HashMap<String, u32>,
    merges: Vec<MergeEntry>,
}

/// A merge: one text with a space in it or, since tokenizers 0.20, two texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergeEntry {
    Text(String),
    Pair(String, String),
    Other(Value),
}

impl Tokenizer {
    /// Reads a Hugging Face `tokenizer.json`.
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        let text = std::fs::read(path).map_err(TokensError::io("reading", path))?;
        Self::from_hugging_face_json(&text).map_err(|error| error.at(path))
    }

    /// Reads the text of a Hugging Face `tokenizer.json`.
    pub fn from_hugging_face_json(text: &[u8]) -> Result<Self, TokensError> {
        let file: TokenizerFile = serde_json::from_slice(text)?;
        check_model(&file.model)?;
        must_be_null("truncation", &file.truncation)?;
        must_be_null("padding", &file.padding)?;
        read_decoder(&file.decoder)?;
        let (pattern, add_prefix_space) = read_pre_tokenizer(&file.pre_tokenizer)?;
        let normalizer = read_normalizer("normalizer", &file.normalizer)?;
        let (prefix, suffix) = read_post_processor("post_processor", &file.post_processor)?;
        let merges = read_merges(&file.model)?;
        let added = read_added(file.added_tokens, &file.model.vocab)?;
        let token = |(spelling, &id): (&String, &u32)| ModelToken::from_spelling(id, spelling);
        Self::assemble(TokenizerParts {
            tokens: file.model.vocab.iter().map(token).collect(),
            merges,
            pattern,
            normalizer,
            add_prefix_space,
            ignore_merges: file.model.ignore_merges,
            added,
            prefix,
            suffix,
        })
    }
}

/// The error for a field that holds something not implemented.
fn unsupported(field: &str, value: &Value, supported: &str) -> TokensError {
    TokensError::Unsupported {
        field: field.to_owned(),
        value: excerpt(&value.to_string()),
        supported: supported.to_owned(),
    }
}

fn must_be_null(field: &str, value: &Value) -> Result<(), TokensError> {
    if value.is_null() { Ok(()) } else { Err(unsupported(field, value, "null")) }
}

fn check_model(model: &ModelEntry) -> Result<(), TokensError> {
    let kind = model.kind.as_deref().unwrap_or("BPE");
    if kind != "BPE" {
        return Err(unsupported("model.type", &kind.into(), "BPE"));
    }
    if let Some(dropout) = model.dropout.filter(|&dropout| dropout != 0.0) {
        return Err(unsupported("model.dropout", &dropout.into(), "null or 0"));
    }
    let affixes = [
        ("model.continuing_subword_prefix", &model.continuing_subword_prefix),
        ("model.end_of_word_suffix", &model.end_of_word_suffix),
    ];
    for (field, affix) in affixes {
        if let Some(affix) = affix.as_deref().filter(|affix| !affix.is_empty()) {
            return Err(unsupported(field, &affix.into(), "null or the empty string"));
        }
    }
    Ok(())
}

fn read_normalizer(field: &str, value: &Value) -> Result<Normalizer, TokensError> {
    if value.is_null() {
        return Ok(Normalizer::None);
    }
    match value["type"].as_str() {
        Some("NFC") => Ok(Normalizer::Nfc),
        Some("Sequence") => {
            let mut normalizer = Normalizer::None;
            for (index, part) in items(value, "normalizers").iter().enumerate() {
                let part = read_normalizer(&format!("{field}.normalizers[{index}]"), part)?;
                if part == Normalizer::Nfc {
                    normalizer = Normalizer::Nfc;
                }
            }
            Ok(normalizer)
        }
        _ => Err(unsupported(field, value, "null, NFC, or a Sequence of these")),
    }
}

/// The pattern, and whether a space is put before text.
fn read_pre_tokenizer(value: &Value) -> Result<(Pattern, bool), TokensError> {
    const SUPPORTED: &str =
        "ByteLevel, or a Sequence of one regex Split (Isolated) and ByteLevel (use_regex false)";
    let field = "pre_tokenizer";
    let refuse = || unsupported(field, value, SUPPORTED);
    let flag = |part: &Value, name: &str| part[name].as_bool().unwrap_or(true);
    let parts = match value["type"].as_str() {
        Some("Sequence") => items(value, "pretokenizers"),
        _ => std::slice::from_ref(value),
    };
    let kinds: Vec<_> = parts.iter().map(|part| part["type"].as_str().unwrap_or("")).collect();
    match (kinds.as_slice(), parts) {
        (["ByteLevel"], [level]) if flag(level, "use_regex") => {
            Ok((Pattern::Gpt2, flag(level, "add_prefix_space")))
        }
        (["Split", "ByteLevel"], [split, level])
            if !flag(level, "use_regex") && !flag(level, "add_prefix_space") =>
        {
            // A pattern that matches everywhere gives the same pieces either way.
            let inverted = flag(split, "invert");
            match (split["behavior"].as_str(), inverted) {
                (Some("Isolated"), false) | (Some("Removed"), true) => {}
                _ => return Err(refuse()),
            }
            let regex = split["pattern"]["Regex"].as_str().ok_or_else(refuse)?;
            Ok((Pattern::from_regex(regex)?, false))
        }
        _ => Err(refuse()),
    }
}

/// Ids before and after a document.
fn read_post_processor(
    field: &str,
    value: &Value,
) -> Result<(Vec<TokenId>, Vec<TokenId>), TokensError> {
    match value["type"].as_str() {
        // ByteLevel only moves offsets.
        Some("ByteLevel") => Ok(Default::default()),
        Some("TemplateProcessing") => read_template(field, value),
        Some("Sequence") => {
            let (mut prefix, mut suffix) = (Vec::new(), Vec::new());
            for (index, part) in items(value, "processors").iter().enumerate() {
                let field = format!("{field}.processors[{index}]");
                // Each processor wraps what the one before it gave.
                let (before, after) = read_post_processor(&field, part)?;
                prefix = [before, prefix].concat();
                suffix.extend(after);
            }
            Ok((prefix, suffix))
        }
        _ if value.is_null() => Ok(Default::default()),
        _ => Err(unsupported(
            field,
            value,
            "null, ByteLevel, TemplateProcessing, or a Sequence of these",
        )),
    }
}

/// The ids around the text in a template for one text.
fn read_template(field: &str, value: &Value) -> Result<(Vec<TokenId>, Vec<TokenId>), TokensError> {
    let refuse = || unsupported(field, &value["single"], "special tokens around one Sequence A");
    let mut sides = [Vec::new(), Vec::new()];
    let mut side = 0;
    for piece in items(value, "single") {
        if piece["Sequence"]["id"] == "A" && side == 0 {
            side = 1;
            continue;
        }
        let name = piece["SpecialToken"]["id"].as_str().ok_or_else(refuse)?;
        let ids = value["special_tokens"][name]["ids"].as_array().ok_or_else(refuse)?;
        for id in ids {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(refuse)?;
            sides[side].push(TokenId(id));
        }
    }
    let [prefix, suffix] = sides;
    if side == 1 { Ok((prefix, suffix)) } else { Err(refuse()) }
}

/// Decoding here is always byte-level: anything else would be silently wrong.
fn read_decoder(value: &Value) -> Result<(), TokensError> {
    let parts = match value["type"].as_str() {
        Some("Sequence") => items(value, "decoders"),
        _ => std::slice::from_ref(value),
    };
    let known = |part: &Value| part.is_null() || part["type"] == "ByteLevel";
    if parts.iter().all(known) { Ok(()) } else { Err(unsupported("decoder", value, "ByteLevel")) }
}

fn read_merges(model: &ModelEntry) -> Result<Vec<Merge>, TokensError> {
    let read = |(index, entry): (usize, &MergeEntry)| {
        let (left, right) = match entry {
            MergeEntry::Pair(left, right) => (left.as_str(), right.as_str()),
            MergeEntry::Text(text) => text.split_once(' ').ok_or_else(|| {
                TokensError::MalformedMerge { index, value: excerpt(&format!("{text:?}")) }
            })?,
            MergeEntry::Other(value) => {
                let value = excerpt(&value.to_string());
                return Err(TokensError::MalformedMerge { index, value });
            }
        };
        let id = |token: &str| {
            model.vocab.get(token).copied().ok_or_else(|| TokensError::MergeOutOfVocabulary {
                index,
                left: excerpt(left),
                right: excerpt(right),
                missing: excerpt(token),
            })
        };
        let merged = id(&[left, right].concat())?;
        Ok(Merge { left: id(left)?, right: id(right)?, merged })
    };
    model.merges.iter().enumerate().map(read).collect()
}

/// The added tokens; one that the vocabulary also holds must have the same id in both.
fn read_added(
    entries: Vec<AddedTokenEntry>,
    vocab: &HashMap<String, u32>,
) -> Result<Vec<AddedToken>, TokensError> {
    let read = |(index, entry): (usize, AddedTokenEntry)| {
        if let Some(id) = vocab.get(&entry.content).filter(|&&id| id != entry.id) {
            return Err(unsupported(
                &format!("added_tokens[{index}].id"),
                &entry.id.into(),
                &format!("{id}, the id of {:?} in model.vocab", entry.content),
            ));
        }
        Ok(AddedToken {
            id: entry.id,
            content: entry.content,
            special: entry.special,
            lstrip: entry.lstrip,
            rstrip: entry.rstrip,
            single_word: entry.single_word,
            normalized: entry.normalized,
        })
    };
    entries.into_iter().enumerate().map(read).collect()
}

/// The items of a list field; none if it is not a list.
fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}
