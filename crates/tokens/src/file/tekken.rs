//! Mistral's `tekken.json`: tokens by rank, their pattern, and special tokens before them.
//!
//! The id of a token is its rank plus the number of special tokens; tokens beyond the size of the
//! vocabulary that the file states are not used. Files without names of special tokens have those
//! of the first version, filled up with `<SPECIAL_n>`.

use serde::Deserialize;
use serde_json::Value;

use super::tiktoken::from_base64;
use crate::error::excerpt;
use crate::settings::{Settings, split_then_bytes, template};
use crate::vocabulary::ModelToken;
use crate::{AddedToken, Pattern, Tokenizer, TokensError};

/// The file, as far as it matters here.
#[derive(Deserialize)]
struct TekkenFile {
    config: Config,
    vocab: Vec<Entry>,
    special_tokens: Option<Vec<Special>>,
    #[serde(default)]
    image: Value,
    #[serde(default)]
    multimodal: Value,
    #[serde(default)]
    audio: Value,
}

#[derive(Deserialize)]
struct Config {
    pattern: String,
    default_vocab_size: u32,
    default_num_special_tokens: u32,
}

#[derive(Deserialize)]
struct Entry {
    rank: u32,
    token_bytes: String,
}

#[derive(Deserialize)]
struct Special {
    rank: u32,
    token_str: String,
}

/// Special tokens of files that do not name theirs.
const FIRST_SPECIAL_TOKENS: [&str; 20] = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
];

impl Tokenizer {
    /// Reads the text of Mistral's `tekken.json`.
    pub fn from_tekken(text: &[u8]) -> Result<Self, TokensError> {
        let file: TekkenFile = serde_json::from_slice(text).map_err(TokensError::Tekken)?;
        let special = special_tokens(&file)?;
        let count = file.config.default_num_special_tokens;
        let ordinary = file.config.default_vocab_size.saturating_sub(count);
        let mut tokens = Vec::new();
        for entry in file.vocab.iter().filter(|entry| entry.rank < ordinary) {
            let bytes = from_base64(entry.token_bytes.as_bytes()).filter(|b| !b.is_empty());
            let bytes = bytes.ok_or_else(|| TokensError::MalformedToken {
                rank: entry.rank,
                text: excerpt(&entry.token_bytes),
            })?;
            tokens.push(ModelToken { id: entry.rank + count, bytes, raw: false });
        }
        let mut settings = match Pattern::from_regex(&file.config.pattern) {
            Ok(pattern) => Settings::byte_level(pattern),
            Err(_) => Settings {
                pre_tokenizer: split_then_bytes(&[&file.config.pattern]),
                ..Settings::byte_level(Pattern::Tekken)
            },
        };
        let named = |name: &str| special.iter().find(|token| token.content == name);
        let around = |name| named(name).map(|token| (token.content.clone(), token.id));
        if let Some(start) = around("<s>") {
            settings.post_processor = template(&[start], &[]);
        }
        for (field, part) in
            [("image", &file.image), ("multimodal", &file.multimodal), ("audio", &file.audio)]
        {
            if !part.is_null() {
                settings.notes.push(format!("{field} (how pictures and sound become tokens)"));
            }
        }
        let beyond = file.vocab.len() - tokens.len();
        if beyond > 0 {
            settings.notes.push(format!(
                "{beyond} tokens of the file beyond its default_vocab_size of {}",
                file.config.default_vocab_size
            ));
        }
        Self::of_ranks(tokens, settings, special)
    }
}

/// The special tokens, as many as the file states.
fn special_tokens(file: &TekkenFile) -> Result<Vec<AddedToken>, TokensError> {
    let count = file.config.default_num_special_tokens;
    if count > crate::merge::LARGEST_ID {
        return Err(TokensError::IdTooLarge {
            id: count.into(),
            largest: crate::merge::LARGEST_ID,
        });
    }
    let mut names: Vec<String> = (0..count).map(|id| format!("<SPECIAL_{id}>")).collect();
    match &file.special_tokens {
        Some(tokens) => {
            for Special { rank, token_str } in tokens {
                let place = names.get_mut(*rank as usize);
                *place
                    .ok_or_else(|| TokensError::BadSpecialToken { token: token_str.clone() })? =
                    token_str.clone();
            }
        }
        None => {
            for (place, name) in names.iter_mut().zip(FIRST_SPECIAL_TOKENS) {
                *place = name.to_owned();
            }
        }
    }
    Ok((0..).zip(names).map(|(id, name)| AddedToken::special(id, name)).collect())
}
