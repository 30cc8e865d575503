//! Reads a model directory in the Hugging Face layout: what `stoa_models::load` reads, with
//! the tokenizer, the chat template, the tokens that end a turn and the sampling that its files ask
//! for. Writes nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use stoa_dialogue::ChatTemplate;
use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{
    GgufTypes, LanguageConfig, Loaded, Note, StoredTypes, Weights, gguf_types, read_json,
};
use stoa_tokens::Tokenizer;

use crate::assistant::{Assistant, AssistantOptions, AssistantParts, default_end_tokens};
use crate::contradictions::contradictions;
use crate::{AssistantError, GenerationDefaults, TokenId};

/// The element type that matrices are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// As their file stores them, each matrix in its own.
    #[default]
    Keep,
    /// Converted to this one.
    As(DType),
    /// Converted to what a GGUF file of these types has.
    Mixture(GgufTypes),
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
        let Loaded { config, weights, mut notes } = stoa_models::load(directory)?;
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => Tokenizer::of_directory(directory)?,
        };
        let end_tokens = end_tokens(directory, &tokenizer, &template)?;
        let generation = GenerationDefaults::read(directory)?;
        notes.extend(contradictions(directory, &tokenizer)?);
        Ok(ModelParts { config, weights, tokenizer, template, end_tokens, generation, notes })
    }

    /// The types that matrices are kept in.
    ///
    /// # Errors
    /// A mixture of types for a model that no architecture of GGUF files computes.
    pub fn matrices(&self, storage: Storage) -> Result<StoredTypes, AssistantError> {
        Ok(match storage {
            Storage::As(dtype) => StoredTypes::uniform(&self.config, dtype),
            Storage::Keep => StoredTypes::of(&self.config, &self.weights),
            Storage::Mixture(types) => gguf_types(&self.config, types)?,
        })
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
        let matrices = parts.matrices(Storage::As(matrices))?;
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

/// The ids of `eos_token_id` in a file: a number or a list, of which −1 and null are none.
pub(crate) fn end_ids(file: &Value) -> Result<Vec<TokenId>, String> {
    let value = file.get("eos_token_id").unwrap_or(&Value::Null);
    let listed = match value {
        Value::Array(ids) => ids.as_slice(),
        Value::Null => &[],
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(value)
        }
    };
    let mut ends = Vec::new();
    for id in listed {
        match id.as_i64() {
            Some(-1) => {}
            Some(id) if u32::try_from(id).is_ok() => ends.push(TokenId(id as u32)),
            _ => return Err(format!("eos_token_id is {value}; a token id or a list of them")),
        }
    }
    Ok(ends)
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
        let file = read_json(text.as_bytes()).map_err(|error| error.to_string());
        let found = file.and_then(|file| end_ids(&file));
        ends.extend(found.map_err(|message| AssistantError::Malformed { path, message })?);
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_end_has_many_forms() {
        let ids = |value: Value| end_ids(&json!({ "eos_token_id": value }));
        assert_eq!(ids(json!(7)).unwrap(), [TokenId(7)]);
        assert_eq!(ids(json!([2, -1, 3])).unwrap(), [TokenId(2), TokenId(3)]);
        assert_eq!(ids(json!(-1)).unwrap(), []);
        assert_eq!(ids(Value::Null).unwrap(), []);
        assert_eq!(end_ids(&json!({})).unwrap(), []);
        for wrong in [json!("</s>"), json!(-2), json!(1.5), json!([1, "2"])] {
            assert!(ids(wrong).unwrap_err().contains("a token id or a list of them"));
        }
    }
}
