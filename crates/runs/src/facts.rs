//! What is known of a model without running it: family, sizes, types, template, licence, where it came
//! from. Reads files; computes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use stoa_assistant::ModelParts;
use stoa_dialogue::ChatTemplate;
use stoa_models::to_hugging_face;
use stoa_shelf::{Licence, RECORD, Record};

use crate::{Model, RunsError};

/// What is known of a model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelFacts {
    /// Its directory or file.
    pub path: PathBuf,
    /// `directory` or `gguf`.
    pub form: &'static str,
    /// Its class, as `transformers` names it.
    pub family: String,
    /// Weights.
    pub parameters: u64,
    /// Weights by the type they are stored in.
    pub types: BTreeMap<String, u64>,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// Tokens that a conversation can have.
    pub context: usize,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Layers.
    pub layers: usize,
    /// Width.
    pub hidden: usize,
    /// Heads of queries, and of keys and values.
    pub heads: (usize, usize),
    /// Where conversations get their form from.
    pub template: String,
    /// Tokens that end an answer.
    pub end_tokens: Vec<u32>,
    /// Its licence.
    pub licence: Licence,
    /// Whether weights and tokenizer were trained by this program.
    pub trained_here: bool,
    /// Where it came from, when it is kept by name.
    pub origin: Option<String>,
    /// SHA-256 over its files, when it is kept by name.
    pub content: Option<String>,
    /// What is to be said about it.
    pub notes: Vec<String>,
}

impl Model {
    /// What is known of the model.
    ///
    /// # Errors
    /// Model files that cannot be used.
    pub fn facts(&self) -> Result<ModelFacts, RunsError> {
        Ok(self.facts_of(&self.read()?))
    }

    /// What is known of the model, whose parts were read.
    pub fn facts_of(&self, parts: &ModelParts) -> ModelFacts {
        let (mut types, mut parameters, mut bytes) = (BTreeMap::new(), 0, 0);
        for tensor in parts.weights.values() {
            let ty = tensor.ty();
            parameters += ty.elements() as u64;
            bytes += ty.size_bytes() as u64;
            *types.entry(ty.dtype.to_string()).or_insert(0) += ty.elements() as u64;
        }
        let config = &parts.config;
        let class: Value = serde_json::from_str(&to_hugging_face(config)).unwrap_or_default();
        let family = class["architectures"][0].as_str().unwrap_or("unknown").to_owned();
        let directory = self.directory();
        let record = record(directory);
        let chatml = parts.template.source() == ChatTemplate::chatml().source();
        let mut notes: Vec<String> = parts.notes.iter().map(ToString::to_string).collect();
        let asked = parts.generation.unused.iter();
        notes.extend(asked.map(|key| format!("generation_config.json asks for {key}")));
        ModelFacts {
            path: self.path().to_owned(),
            form: match self {
                Model::Directory(_) => "directory",
                Model::Gguf(_) => "gguf",
            },
            family,
            parameters,
            types,
            bytes,
            context: config.max_time,
            vocabulary: config.vocab,
            layers: config.layers,
            hidden: config.hidden,
            heads: (config.heads, config.kv_heads),
            template: match (parts.template.is_missing(), chatml) {
                (true, _) => "none",
                (false, true) => "ChatML",
                (false, false) => "of the model",
            }
            .to_owned(),
            end_tokens: parts.end_tokens.iter().map(|id| id.0).collect(),
            licence: self.licence(),
            trained_here: self.is_checkpoint(),
            origin: record.as_ref().map(|record| record.origin.clone()),
            content: record.map(|record| record.content),
            notes,
        }
    }

    /// The directory of its files.
    pub fn directory(&self) -> &Path {
        match self {
            Model::Directory(path) => path,
            Model::Gguf(path) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                parent.unwrap_or(Path::new("."))
            }
        }
    }

    /// The licence that its files state.
    pub fn licence(&self) -> Licence {
        match self {
            Model::Directory(path) => Licence::of_directory(path),
            Model::Gguf(path) => Licence::of_gguf(path),
        }
    }

    /// Whether training of this program wrote it.
    pub fn is_checkpoint(&self) -> bool {
        let directory = self.directory();
        directory.join("manifest.json").exists() && directory.join("state.json").exists()
    }
}

/// The record of a folder of the shelf.
fn record(directory: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(directory.join(RECORD)).ok()?).ok()
}
