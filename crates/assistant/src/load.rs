//! Reads a model directory in the Hugging Face layout: what `stoa_models::load` reads, with
//! `tokenizer.json`, the chat template, the tokens that end a turn and the sampling that its files ask
//! for. Writes nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use stoa_dialogue::ChatTemplate;
use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{LanguageConfig, Loaded, Note, StoredTypes, Weights};
use stoa_tokens::Tokenizer;

use crate::assistant::{Assistant, AssistantOptions, AssistantParts, default_end_tokens};
use crate::{AssistantError, GenerationDefaults, TokenId};

/// The element type that matrices are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// As their file stores them, each matrix in its own.
    #[default]
    Keep,
    /// Converted to this one.
    As(DType),
}

/// A model as its files hold it. Weights stay in mapped files: nothing of them is in memory.
pub struct ModelParts {
    /// Its shape.
    pub config: LanguageConfig,
    /// Its weights.
    pub weights: Weights,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its chat template.
    pub template: ChatTemplate,
    /// Tokens that end its turn.
    pub end_tokens: Vec<TokenId>,
    /// How its files want answers drawn.
    pub generation: GenerationDefaults,
    /// What is to be said of how its files were read.
    pub notes: Vec<Note>,
}

impl ModelParts {
    /// Reads a model directory. The tokenizer is read from it unless one is given. Without a template
    /// there, conversations are refused: see [`ModelParts::read_with`].
    ///
    /// # Errors
    /// A file that is missing or not right, by its path.
    pub fn read(directory: &Path, tokenizer: Option<Tokenizer>) -> Result<Self, AssistantError> {
        Self::read_with(directory, tokenizer, ChatTemplate::read(directory)?)
    }

    /// The same, asked by this template.
    ///
    /// # Errors
    /// As [`ModelParts::read`].
    pub fn read_with(
        directory: &Path,
        tokenizer: Option<Tokenizer>,
        template: ChatTemplate,
    ) -> Result<Self, AssistantError> {
        let Loaded { config, weights, notes } = stoa_models::load(directory)?;
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => Tokenizer::open(&directory.join("tokenizer.json"))?,
        };
        let end_tokens = end_tokens(directory, &tokenizer, &template)?;
        let generation = GenerationDefaults::read(directory)?;
        Ok(ModelParts { config, weights, tokenizer, template, end_tokens, generation, notes })
    }

    /// The types that matrices are kept in.
    pub fn matrices(&self, storage: Storage) -> StoredTypes {
        match storage {
            Storage::As(dtype) => StoredTypes::uniform(&self.config, dtype),
            Storage::Keep => StoredTypes::of(&self.config, &self.weights),
        }
    }

    /// Copies the weights to an engine, in the types of [`ModelParts::matrices`].
    ///
    /// # Errors
    /// A conversion that is not possible, or the engine's.
    pub fn upload(
        self,
        engine: Arc<dyn Engine>,
        matrices: StoredTypes,
    ) -> Result<AssistantParts, AssistantError> {
        let ModelParts { config, weights, tokenizer, template, end_tokens, .. } = self;
        let weights = stoa_models::with_types(weights, matrices)?;
        let mut state = Buffers::new();
        stoa_models::upload(&*engine, weights, &mut state)?;
        Ok(AssistantParts { engine, config, state, tokenizer, template, end_tokens })
    }
}

impl AssistantParts {
    /// Reads a model directory and copies its weights to the engine, matrices as `matrices`: see
    /// [`ModelParts::read`].
    ///
    /// # Errors
    /// A file that is missing or not right, by its path; the engine's.
    pub fn read(
        directory: &Path,
        tokenizer: Option<Tokenizer>,
        engine: Arc<dyn Engine>,
        matrices: DType,
    ) -> Result<Self, AssistantError> {
        let parts = ModelParts::read(directory, tokenizer)?;
        let matrices = parts.matrices(Storage::As(matrices));
        parts.upload(engine, matrices)
    }
}

impl Assistant {
    /// Reads a model directory, weights as `f32`. See [`AssistantParts::read`].
    ///
    /// # Errors
    /// A file that is missing or not right, or as [`Assistant::new`].
    pub fn load(
        directory: &Path,
        engine: Arc<dyn Engine>,
        options: AssistantOptions,
    ) -> Result<Self, AssistantError> {
        Self::new(AssistantParts::read(directory, None, engine, DType::F32)?, options)
    }
}

/// The field of `generation_config.json` and `config.json` that ends a turn.
#[derive(Deserialize)]
struct EndOfSequence {
    eos_token_id: Option<Ids>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Several(Vec<u32>),
}

/// All tokens that the directory's files name as the end, and those of models trained here.
fn end_tokens(
    directory: &Path,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Vec<TokenId>, AssistantError> {
    let mut ends: BTreeSet<TokenId> = default_end_tokens(tokenizer).into_iter().collect();
    for name in ["generation_config.json", "config.json"] {
        let path = directory.join(name);
        let Some(text) = read_optional(&path)? else { continue };
        let config: EndOfSequence = serde_json::from_str(&text)
            .map_err(|e| AssistantError::Malformed { path, message: e.to_string() })?;
        match config.eos_token_id {
            Some(Ids::One(id)) => ends.extend([TokenId(id)]),
            Some(Ids::Several(ids)) => ends.extend(ids.into_iter().map(TokenId)),
            None => {}
        }
    }
    let names = [template.variable("eos_token"), template.end_of_turn()];
    ends.extend(names.into_iter().flatten().filter_map(|name| tokenizer.special(name)));
    Ok(ends.into_iter().collect())
}

/// The text of a file, if it exists.
pub(crate) fn read_optional(path: &Path) -> Result<Option<String>, AssistantError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AssistantError::Io { path: path.to_owned(), source }),
    }
}
