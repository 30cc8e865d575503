//! Reads a GGUF file as a model to talk with: weights, the tables of its tokenizer, its chat template
//! and the tokens that end a turn.

use std::collections::BTreeSet;
use std::path::Path;

use stoa_dialogue::ChatTemplate;
use stoa_gguf::{GgufError, GgufFile, Metadata};
use stoa_models::{GgufModel, ModelError, Note, from_gguf};
use stoa_tokens::{TokenTables, Tokenizer};

use crate::assistant::default_end_tokens;
use crate::{AssistantError, GenerationDefaults, ModelParts, TokenId};

/// The key of the chat template.
pub(crate) const TEMPLATE: &str = "tokenizer.chat_template";

/// Keys with the token that ends a text, a turn, or a turn that waits for a tool.
pub(crate) const END_KEYS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];

/// Tokens that end a turn in published models, whether or not a key names them.
const END_NAMES: [&str; 7] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|endoftext|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|end_of_text|>",
];

impl ModelParts {
    /// Reads a GGUF file, whole or split. Weights stay in it.
    ///
    /// # Errors
    /// What is wrong with the file, or what of it is not computed here.
    pub fn read_gguf(path: &Path) -> Result<Self, AssistantError> {
        let file = GgufFile::open(path).map_err(ModelError::from)?;
        let GgufModel { config, weights, mut notes, .. } = from_gguf(&file)?;
        let keys = file.metadata();
        let tables = token_tables(keys).map_err(ModelError::from)?;
        let tokenizer = Tokenizer::from_tables(&tables)?;
        let about = format!("{}:", file.path().display());
        let aside = |left: String| Note::new(about.clone(), format!("tokenizer: {left}"));
        notes.extend(tokenizer.left_aside().into_iter().map(aside));
        let template = template(keys, &tables)?;
        if template.is_missing() {
            notes.push(Note::new(about.clone(), format!("there is no {TEMPLATE}")));
        }
        let mut ends: BTreeSet<TokenId> = ends_by_name(&tokenizer).into_iter().collect();
        for key in END_KEYS {
            let id = token_id(keys, key).map_err(ModelError::from)?;
            ends.extend(id.map(TokenId));
        }
        let end_tokens = ends.into_iter().collect();
        let generation = GenerationDefaults::default();
        Ok(ModelParts { config, weights, tokenizer, template, end_tokens, generation, notes })
    }
}

/// The tokenizer of a GGUF file, whole or split; its weights are not looked at.
///
/// # Errors
/// What is wrong with the file, or a tokenizer that is not read here.
pub fn gguf_tokenizer(path: &Path) -> Result<Tokenizer, AssistantError> {
    let file = GgufFile::open(path).map_err(ModelError::from)?;
    let tables = token_tables(file.metadata()).map_err(ModelError::from)?;
    Ok(Tokenizer::from_tables(&tables)?)
}

/// The ends that a tokenizer has under names known here.
pub(crate) fn ends_by_name(tokenizer: &Tokenizer) -> Vec<TokenId> {
    let known = END_NAMES.iter().filter_map(|name| tokenizer.special(name));
    default_end_tokens(tokenizer).into_iter().chain(known).collect()
}

/// The tables under `tokenizer.ggml`.
fn token_tables(keys: &Metadata) -> Result<TokenTables, GgufError> {
    let text = |key: &str| keys.text(&named(key));
    let flag = |key: &str| keys.flag(&named(key));
    let texts =
        |key: &str| Ok::<_, GgufError>(keys.texts(&named(key))?.unwrap_or_default().to_vec());
    let types = keys.sizes(&named("token_type"))?.unwrap_or_default();
    Ok(TokenTables {
        model: keys.required(&named("model"), text("model")?)?.to_owned(),
        pre: text("pre")?.map(str::to_owned),
        tokens: texts("tokens")?,
        token_types: types.into_iter().map(|ty| u32::try_from(ty).unwrap_or(u32::MAX)).collect(),
        scores: keys.floats(&named("scores"))?.unwrap_or_default().to_vec(),
        merges: texts("merges")?,
        bos: token_id(keys, "bos_token_id")?,
        eos: token_id(keys, "eos_token_id")?,
        unknown: token_id(keys, "unknown_token_id")?,
        add_bos: flag("add_bos_token")?,
        add_eos: flag("add_eos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
    })
}

pub(crate) fn named(key: &str) -> String {
    format!("tokenizer.ggml.{key}")
}

/// An id, unless it is beyond all ids, as files mark a token that is not there.
fn token_id(keys: &Metadata, key: &str) -> Result<Option<u32>, GgufError> {
    let id = keys.size(&named(key))?;
    Ok(id.and_then(|id| u32::try_from(id).ok()).filter(|&id| id != u32::MAX))
}

fn template(keys: &Metadata, tables: &TokenTables) -> Result<ChatTemplate, AssistantError> {
    let template = match keys.text(TEMPLATE).map_err(ModelError::from)? {
        Some(source) => ChatTemplate::new(source)?,
        None => ChatTemplate::missing(keys.path().to_owned()),
    };
    let named =
        [("bos_token", tables.bos), ("eos_token", tables.eos), ("unk_token", tables.unknown)];
    let variable = |(name, id): (&str, Option<u32>)| {
        let token = tables.tokens.get(usize::try_from(id?).ok()?)?;
        Some((name.to_owned(), token.clone()))
    };
    Ok(template.with_variables(named.into_iter().filter_map(variable)))
}
