//! What the files of a model directory say twice and differently, and which of them counts. Files that
//! say it once, or alike, are not mentioned.

use std::collections::BTreeMap;
use std::path::Path;

use stoa_dialogue::ChatTemplate;
use stoa_models::{Note, read_json};
use stoa_tokens::{TokenId, Tokenizer};

use crate::AssistantError;
use crate::load::{end_ids, read_optional};

type Result<T> = std::result::Result<T, AssistantError>;

const MAP: &str = "special_tokens_map.json";
const CONFIG: &str = "tokenizer_config.json";
const ADDED: &str = "added_tokens.json";

/// All of a directory, whose tokenizer was read.
pub(crate) fn contradictions(directory: &Path, tokenizer: &Tokenizer) -> Result<Vec<Note>> {
    let mut notes = special_tokens(directory, tokenizer)?;
    notes.extend(added_tokens(directory, tokenizer)?);
    notes.extend(ends(directory)?);
    Ok(notes)
}

/// Special tokens by name: `tokenizer_config.json` counts, and what the tokenizer lacks is no token.
fn special_tokens(directory: &Path, tokenizer: &Tokenizer) -> Result<Vec<Note>> {
    let read = |file: &str| -> Result<BTreeMap<String, String>> {
        let text = read_optional(&directory.join(file))?.unwrap_or_else(|| "{}".to_owned());
        Ok(ChatTemplate::special_tokens(&text)?.into_iter().collect())
    };
    let (map, config) = (read(MAP)?, read(CONFIG)?);
    let mut notes = Vec::new();
    for (name, mapped) in &map {
        if let Some(token) = config.get(name).filter(|token| *token != mapped) {
            let text = format!("is {mapped:?}, and {CONFIG} has {token:?}: {CONFIG} counts");
            notes.push(Note::new(format!("{MAP}: `{name}`"), text));
        }
    }
    for (name, token) in map.iter().filter(|(name, _)| !config.contains_key(*name)).chain(&config) {
        if tokenizer.special(token).is_none() && !token.is_empty() {
            let file = if config.contains_key(name) { CONFIG } else { MAP };
            let text = format!("is {token:?}, which is no added token of the tokenizer");
            notes.push(Note::new(format!("{file}: `{name}`"), text));
        }
    }
    Ok(notes)
}

/// Ids of added tokens: those of `tokenizer.json` count.
fn added_tokens(directory: &Path, tokenizer: &Tokenizer) -> Result<Vec<Note>> {
    let path = directory.join(ADDED);
    let Some(text) = read_optional(&path)? else { return Ok(Vec::new()) };
    let malformed = |message: String| AssistantError::Malformed { path: path.clone(), message };
    let value = read_json(text.as_bytes()).map_err(|error| malformed(error.to_string()))?;
    let ids: BTreeMap<String, u32> =
        serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
    let other = |(token, id): (String, u32)| match tokenizer.special(&token) {
        Some(TokenId(own)) if own == id => None,
        Some(TokenId(own)) => Some(format!("{token:?} is {id} there and {own} in tokenizer.json")),
        None => Some(format!("{token:?} is {id} there and no added token of tokenizer.json")),
    };
    let others: Vec<String> = ids.into_iter().filter_map(other).collect();
    let Some(first) = others.first() else { return Ok(Vec::new()) };
    let text = match others.len() {
        1 => format!("{first}: tokenizer.json counts"),
        n => format!("{first}, and {} more so: tokenizer.json counts", n - 1),
    };
    Ok(vec![Note::new(format!("{ADDED}:"), text)])
}

/// Tokens that end an answer: those of both files do.
fn ends(directory: &Path) -> Result<Vec<Note>> {
    let read = |name: &str| -> Result<Vec<u32>> {
        let path = directory.join(name);
        let Some(text) = read_optional(&path)? else { return Ok(Vec::new()) };
        let file = read_json(text.as_bytes()).map_err(|error| error.to_string());
        let mut ids = file
            .and_then(|file| end_ids(&file))
            .map_err(|message| AssistantError::Malformed { path, message })?;
        ids.sort_unstable();
        Ok(ids.into_iter().map(|id| id.0).collect())
    };
    let (generation, config) = (read("generation_config.json")?, read("config.json")?);
    if generation.is_empty() || config.iter().all(|id| generation.contains(id)) {
        return Ok(Vec::new());
    }
    let text = format!("is {generation:?}, and config.json has {config:?}: each ends an answer");
    Ok(vec![Note::new("generation_config.json: `eos_token_id`", text)])
}
