//! Trained models by their path: which checkpoint of a run, which files, and an assistant made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stoa_assistant::{
    Assistant, AssistantError, AssistantOptions, AssistantParts, GenerationDefaults, MemoryNeed,
    ModelParts, Overflow, PAGE_TOKENS, SchedulerOptions, Storage, check_weights,
    default_end_tokens, fit,
};
use stoa_dialogue::{ChatTemplate, Json};
use stoa_graph::{Buffers, DType, Engine};
use stoa_models::{
    LanguageConfig, Note, StoredTypes, Weights, file_notes, from_hugging_face, gguf_config, upload,
};
use stoa_shelf::{Recognised, Shelf, Source, locate};
use stoa_tokens::Tokenizer;
use stoa_training::{Checkpoints, Contents, verify_checkpoint};

use crate::{Progress, RunsError};

/// A model found on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// A directory in the Hugging Face layout, a checkpoint of a run among them.
    Directory(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
}

/// How a model is taken into memory, and how it is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOptions {
    /// Tokens of a conversation; `None` for as many as a share of memory holds.
    pub context: Option<usize>,
    /// The type that weights are kept in.
    pub weights: Storage,
    /// The type of the cache.
    pub cache: DType,
    /// The template that asks it, by name or file, where it is not the model's own.
    pub template: Option<String>,
    /// Variables of the template.
    pub template_variables: Vec<(String, Json)>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        ModelOptions {
            context: None,
            weights: Storage::Keep,
            cache: DType::F32,
            template: None,
            template_variables: Vec::new(),
        }
    }
}

/// An assistant, and what is known of it.
pub struct Loaded {
    /// Answers.
    pub assistant: Assistant,
    /// How its files want answers drawn.
    pub generation: GenerationDefaults,
    /// What it takes.
    pub need: MemoryNeed,
    /// The types its matrices are kept in.
    pub matrices: StoredTypes,
    /// What was decided where its files leave something open, and what was left unread.
    pub notes: Vec<Note>,
}

impl Model {
    /// The model that a path or a name on the shelf stands for: a GGUF file, a model directory, or the
    /// newest whole checkpoint of a run. What a checkpoint is made of is compared with its manifest, moments are
    /// not read. Newer checkpoints that are damaged are named, and so is what was left aside.
    ///
    /// # Errors
    /// [`RunsError::NotTrained`], or what the path holds instead of a model.
    pub fn find(
        model: &Path,
        shelf: Option<&Shelf>,
        progress: &dyn Progress,
    ) -> Result<Self, RunsError> {
        let Recognised { source, notes } = locate(shelf, model)?;
        notes.iter().for_each(|note| progress.note(note));
        match source {
            Source::Gguf(file) => Ok(Model::Gguf(file)),
            Source::Directory(directory) => {
                // Models from elsewhere have no manifest to be compared with.
                if directory.join("manifest.json").exists() {
                    verify_checkpoint(&directory, Contents::Weights)?;
                }
                for note in file_notes(&directory) {
                    progress.note(&format!("note: {note}"));
                }
                Ok(Model::Directory(directory))
            }
            Source::Run(run) => Ok(Model::Directory(newest_checkpoint(&run, progress)?)),
        }
    }

    /// The directory or file.
    pub fn path(&self) -> &Path {
        match self {
            Model::Directory(path) | Model::Gguf(path) => path,
        }
    }

    /// Its parts, weights in their mapped files.
    ///
    /// # Errors
    /// Model files that cannot be used.
    pub fn read(&self) -> Result<ModelParts, RunsError> {
        match self {
            Model::Directory(directory) => {
                ModelParts::read(directory, None).map_err(|source| self.failed(source))
            }
            Model::Gguf(file) => ModelParts::read_gguf(file).map_err(|source| self.failed(source)),
        }
    }

    /// What its files hold, asked by the template that was chosen.
    fn read_as(&self, options: &ModelOptions) -> Result<ModelParts, RunsError> {
        let mut parts = match (self, &options.template) {
            (Model::Directory(directory), Some(choice)) => {
                let template = ChatTemplate::choose(directory, Some(choice))
                    .map_err(|source| self.failed(source.into()))?;
                ModelParts::read_with(directory, None, template)
                    .map_err(|source| self.failed(source))?
            }
            (Model::Gguf(file), Some(choice)) => {
                let directory = file.parent().unwrap_or(Path::new("."));
                let template = ChatTemplate::choose(directory, Some(choice))
                    .map_err(|source| self.failed(source.into()))?;
                let own = self.read()?;
                // The file names its special tokens, whichever template asks for them.
                let tokens = own.template.variables();
                let tokens: Vec<_> = tokens.map(|(n, t)| (n.to_owned(), t.to_owned())).collect();
                ModelParts { template: template.with_variables(tokens), ..own }
            }
            (_, None) => self.read()?,
        };
        parts.template = parts.template.with_options(options.template_variables.iter().cloned());
        Ok(parts)
    }

    /// That the weights can fit, by what the configuration says, before any of them is read.
    /// A configuration that cannot be read is left to [`Model::read`], which says why.
    fn check_size(&self, engine: &dyn Engine, weights: Storage) -> Result<(), RunsError> {
        let config = match self {
            Model::Directory(directory) => std::fs::read_to_string(directory.join("config.json"))
                .ok()
                .and_then(|text| from_hugging_face(&text).ok())
                .map(|read| read.config),
            Model::Gguf(file) => gguf_config(file).ok(),
        };
        let Some(config) = config else { return Ok(()) };
        let matrices = match weights {
            Storage::Keep | Storage::Mixture(_) => None,
            Storage::As(dtype) => Some(dtype),
        };
        check_weights(engine, &config, matrices).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: AssistantError) -> RunsError {
        RunsError::Model { path: self.path().to_owned(), source: Box::new(source) }
    }

    /// An assistant for one person, without a clock. What it takes is compared with the memory of
    /// the engine before anything is taken.
    ///
    /// # Errors
    /// Model files that cannot be used; a model that does not fit.
    pub fn assistant(
        &self,
        engine: Arc<dyn Engine>,
        options: &ModelOptions,
    ) -> Result<Loaded, RunsError> {
        self.check_size(&*engine, options.weights)?;
        let parts = self.read_as(options)?;
        let matrices = parts.matrices(options.weights).map_err(|source| self.failed(source))?;
        let (generation, notes) = (parts.generation.clone(), parts.notes.clone());
        let failed = |source| self.failed(source);
        let scheduler = SchedulerOptions {
            context: options.context,
            caches: options.cache,
            ..SchedulerOptions::default()
        };
        let (scheduler, need) =
            fit(&*engine, &parts.config, &matrices, scheduler).map_err(failed)?;
        let parts = parts.upload(engine, matrices.clone()).map_err(failed)?;
        let options = AssistantOptions { overflow: Overflow::DropOldest, scheduler };
        let assistant = Assistant::new(parts, options)?;
        Ok(Loaded { assistant, generation, need, matrices, notes })
    }
}

fn newest_checkpoint(run: &Path, progress: &dyn Progress) -> Result<PathBuf, RunsError> {
    let checkpoints = Checkpoints::of_run(run);
    let mut damaged = Vec::new();
    for step in checkpoints.steps()?.into_iter().rev() {
        let path = checkpoints.path(step);
        match verify_checkpoint(&path, Contents::Weights) {
            Ok(()) => {
                for error in damaged {
                    progress.note(&format!("warning: {error}; using {}", path.display()));
                }
                return Ok(path);
            }
            Err(error) => damaged.push(error.to_string()),
        }
    }
    Err(RunsError::NotTrained { run: run.to_owned(), damaged })
}

/// An assistant that answers many short questions at once.
///
/// # Errors
/// Weights that do not fit, memory.
pub fn batch_assistant(
    engine: Arc<dyn Engine>,
    config: &LanguageConfig,
    weights: Weights,
    tokenizer: Tokenizer,
    template: ChatTemplate,
) -> Result<Assistant, RunsError> {
    let mut state = Buffers::new();
    upload(engine.as_ref(), weights, &mut state)?;
    let end_tokens = default_end_tokens(&tokenizer);
    let config = config.clone();
    let parts = AssistantParts { engine, config, state, tokenizer, template, end_tokens };
    let context = 256.min(parts.config.max_time);
    let scheduler = SchedulerOptions {
        pages: Some(32 * context.div_ceil(PAGE_TOKENS)),
        context: Some(context),
        ..SchedulerOptions::default()
    };
    let options = AssistantOptions { scheduler, ..AssistantOptions::default() };
    Ok(Assistant::new(parts, options)?)
}
