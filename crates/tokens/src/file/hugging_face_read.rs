//! Reads a Hugging Face `tokenizer.json` with a BPE model.
//!
//! Whatever could change ids and is not implemented is refused by name rather than ignored; the
//! kind of the model is looked at before anything in it is read.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::excerpt;
use crate::merge::Merge;
use crate::pipeline::Part;
use crate::settings::{ModelSettings, Settings};
use crate::{AddedToken, Tokenizer, TokensError};

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

/// The kinds of the parts, whatever else they hold.
#[derive(Deserialize)]
struct Kinds {
    #[serde(default)]
    normalizer: Value,
    model: ModelKind,
}

#[derive(Deserialize)]
struct ModelKind {
    /// Files of before 2020 lack it.
    #[serde(rename = "type")]
    kind: Option<String>,
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

/// The settings of the model, in a pass of their own: flattened beside the vocabulary they would
/// have all of it copied.
#[derive(Deserialize)]
struct SettingsOfModel {
    model: ModelSettings,
}

#[derive(Deserialize)]
struct ModelEntry {
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
    /// Reads the text of a Hugging Face `tokenizer.json`.
    pub fn from_hugging_face_json(text: &[u8]) -> Result<Self, TokensError> {
        let kinds: Kinds = serde_json::from_slice(text)?;
        check_kinds(&kinds)?;
        let file: TokenizerFile = serde_json::from_slice(text)?;
        let SettingsOfModel { mut model } = serde_json::from_slice(text)?;
        let mut notes = Vec::new();
        // `tokenizers` opens such a file and fails at the first character that needs the token. Were
        // the name kept, an added token of that name would come to mean it once the file is written.
        if let Some(name) = model.unk_token.take_if(|name| !file.model.vocab.contains_key(name)) {
            let name = excerpt(&name);
            notes.push(format!("model.unk_token ({name}, which model.vocab does not have)"));
        }
        let merges = read_merges(&file.model, &model)?;
        let added = read_added(file.added_tokens, &file.model.vocab)?;
        let settings = Settings {
            truncation: file.truncation,
            padding: file.padding,
            normalizer: file.normalizer,
            pre_tokenizer: file.pre_tokenizer,
            post_processor: file.post_processor,
            decoder: file.decoder,
            model,
            notes,
        };
        let vocab = file.model.vocab.iter().map(|(spelling, &id)| (spelling.as_str(), id));
        Self::from_spellings(vocab, merges, settings, added)
    }
}

/// Refuses by name what belongs to other models: their files are whole, but of another shape.
fn check_kinds(kinds: &Kinds) -> Result<(), TokensError> {
    if let Some(kind) = kinds.model.kind.as_deref().filter(|&kind| kind != "BPE") {
        let value = Value::from(kind);
        return Err(Part::new("model.type", &value).unsupported("BPE"));
    }
    for part in Part::new("normalizer", &kinds.normalizer).flattened("normalizers")? {
        if part.kind()? == "Precompiled" {
            return Err(part.get("type").unsupported("normalizers that are named, such as NFKC"));
        }
    }
    Ok(())
}

fn read_merges(model: &ModelEntry, settings: &ModelSettings) -> Result<Vec<Merge>, TokensError> {
    let prefix = settings.continuing_subword_prefix.as_deref().unwrap_or_default();
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
        // The right part without its prefix, which only parts inside a word have.
        let joined = right.strip_prefix(prefix).unwrap_or(right);
        let merged = id(&[left, joined].concat())?;
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
            let value = Value::from(entry.id);
            let field = format!("added_tokens[{index}].id");
            let supported = format!("{id}, the id of {:?} in model.vocab", entry.content);
            return Err(Part::new(&field, &value).unsupported(&supported));
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
