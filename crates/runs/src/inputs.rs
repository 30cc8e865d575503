//! A run file with what it names: tokenizer, template, shards and dialogues; trains its stages.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use stoa_dialogue::{ChatTemplate, read_dialogues};
use stoa_graph::{DType, Engine, Placement, TensorType};
use stoa_models::{LanguageConfig, OptimizerConfig, initialize, optimizer_state, parameters};
use stoa_tokens::{TokenShard, Tokenizer};
use stoa_training::{
    Checkpoints, Clock, Contents, DialogueExamples, DialoguePart, DialogueShard, Dialogues,
    Documents, Examples, LanguageObjective, ObjectiveKind, Outcome, Run, RunFile, Setup, Start,
    Trainer, TrainingError, token_bytes,
};

use crate::error::io;
use crate::export::tokenizer_files;
use crate::{RunFiles, RunsError};

/// Whether a stage continues from its last good checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It starts, and refuses a directory with checkpoints.
    Never,
    /// It continues where there is a checkpoint, with the settings it was made with.
    SameSettings,
    /// It continues where there is a checkpoint, with the settings that the run file has now.
    ChangedSettings,
}

/// A run with its data open: shards are mapped, dialogues of JSON lines are encoded.
pub struct RunInputs {
    /// Everything decided.
    pub run: Run,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    train: Documents,
    held_out: Option<Documents>,
    dialogues: Dialogues,
    /// The user's run file, which is never written to.
    config: Option<PathBuf>,
}

impl RunInputs {
    /// Reads a user's run file and opens what it names.
    ///
    /// # Errors
    /// As [`RunInputs::open`]; a file that is no run file.
    pub fn read(config: &Path) -> Result<Self, RunsError> {
        let inputs = Self::open(RunFile::read(config)?)?;
        Ok(RunInputs { config: Some(config.to_owned()), ..inputs })
    }

    /// Opens the tokenizer, shards and dialogues that a run names.
    ///
    /// # Errors
    /// A key that is missing, a file that cannot be read or was made by another tokenizer.
    pub fn open(file: RunFile) -> Result<Self, RunsError> {
        let tokenizer = file.data.tokenizer.as_deref().ok_or(RunsError::NoTokenizer)?;
        let template = ChatTemplate::read_or_chatml(tokenizer.parent().unwrap_or(Path::new("")))?;
        let tokenizer = Tokenizer::open(tokenizer)?;
        let run = file.resolve(tokenizer.vocab_size())?;
        let shards = |paths: &[PathBuf]| {
            let open = |path: &PathBuf| {
                let shard = TokenShard::open_for(path, tokenizer.fingerprint())?;
                shard.verify()?;
                Ok(shard)
            };
            paths.iter().map(open).collect::<Result<Vec<TokenShard>, RunsError>>()
        };
        let train = Documents::from_shards(shards(&run.data.train)?, &tokenizer)?;
        let held_out = match shards(&run.data.held_out)? {
            none if none.is_empty() => None,
            some => Some(Documents::from_shards(some, &tokenizer)?),
        };
        let dialogues = run.data.dialogues.iter();
        let dialogues = dialogues.map(|path| dialogue_part(path, &tokenizer, &template));
        let dialogues = Dialogues::new(dialogues.collect::<Result<Vec<_>, RunsError>>()?);
        Ok(RunInputs { run, train, held_out, dialogues, tokenizer, template, config: None })
    }

    /// Characters of the dialogues encoded here that have no token, and searches for an expression of
    /// the tokenizer that were given up. What shards lack is in their manifest.
    pub fn left_out(&self) -> (u64, u64) {
        (self.tokenizer.characters_left_out(), self.tokenizer.searches_given_up())
    }

    /// Whether there is anything to learn to answer from.
    pub fn has_dialogues(&self) -> bool {
        self.dialogues.count() > 0
    }

    /// The tokenizer, read again: assistants own theirs.
    ///
    /// # Errors
    /// When its file is gone.
    pub fn tokenizer(&self) -> Result<Tokenizer, RunsError> {
        let path = self.run.data.tokenizer.as_deref();
        Ok(Tokenizer::open(path.ok_or(RunsError::NoTokenizer)?)?)
    }

    /// The chat template: the one in the folder of the tokenizer, else ChatML.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// Directory of the run.
    pub fn directory(&self) -> &Path {
        self.run.data.directory.as_deref().unwrap_or(Path::new("."))
    }

    /// Trains one stage to its end or until `stop`.
    ///
    /// # Errors
    /// No checkpoint of the stage that this one starts from, or training that fails.
    pub fn train(
        &self,
        engine: &dyn Engine,
        (name, resume): (&str, Resume),
        clock: &dyn Clock,
        progress: &mut dyn stoa_training::Progress,
        stop: &AtomicBool,
    ) -> Result<Outcome, RunsError> {
        let directory = self.directory();
        let found = self.run.stage(name).ok_or_else(|| RunsError::NoStage {
            name: name.to_owned(),
            known: self.run.stages.iter().map(|s| &*s.name).collect::<Vec<_>>().join(", "),
        })?;
        let (stage, from) = (&found.settings, found.from.as_deref());
        check_state(engine, &self.run.model, &stage.groups)?;
        std::fs::create_dir_all(directory).map_err(io("creating", directory))?;
        let as_text = DialogueExamples::as_text(self.dialogues.clone());
        let answers = DialogueExamples::answers_only(self.dialogues.clone());
        let (examples, mixed): (&dyn Examples, Option<&dyn Examples>) = match found.objective {
            ObjectiveKind::Pretrain => (&self.train, Some(&as_text)),
            ObjectiveKind::Chat => (&answers, None),
        };
        let objective = LanguageObjective {
            name,
            stage,
            seed: self.run.seed,
            model: &self.run.model,
            examples,
            mixed,
            held_out: self.held_out.as_ref().map(|d| d as &dyn Examples),
            token_bytes: &token_bytes(&self.tokenizer),
            attachments: &self.attachments(),
            start: &|| self.start(from),
        };
        let setup = Setup {
            engine,
            placement: &Placement::default(),
            directory,
            objective: &objective,
            stage,
            changed_settings: resume == Resume::ChangedSettings,
        };
        let mut trainer = if resume == Resume::Never {
            Trainer::start(setup)?
        } else {
            Trainer::resume_or_start(setup, progress)?
        };
        self.write_resolved()?;
        Ok(trainer.run(stop, clock, progress)?)
    }

    /// Writes everything decided as `run.toml`, or as `run.resolved.toml` where `run.toml` is the
    /// file that the user wrote. It reads back as this run from wherever it is read.
    fn write_resolved(&self) -> Result<(), RunsError> {
        let directory = self.directory();
        let mut path = RunFiles::new(directory).run();
        let same = |config: &PathBuf| matches!((config.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if self.config.as_ref().is_some_and(same) {
            path.set_file_name("run.resolved.toml");
        }
        let mut run = self.run.clone();
        let data = &mut run.data;
        data.directory = None;
        let absolute = |path: &Path| std::path::absolute(path).map_err(io("finding", path));
        let base = absolute(directory)?;
        let lists = [&mut data.train, &mut data.held_out, &mut data.dialogues];
        for file in lists.into_iter().flatten().chain(&mut data.tokenizer) {
            let whole = absolute(file)?;
            *file = whole.strip_prefix(&base).map(Path::to_owned).unwrap_or(whole);
        }
        Ok(stoa_durable::write(&path, run.to_toml().as_bytes())?)
    }

    /// What a checkpoint carries so that it is a whole model directory.
    fn attachments(&self) -> Vec<(String, Vec<u8>)> {
        tokenizer_files(&self.tokenizer, &self.template)
    }

    /// Where a stage starts: where another one ended, or from drawn weights.
    fn start(&self, from: Option<&str>) -> Result<Start, TrainingError> {
        let Some(from) = from else {
            let weights = initialize(&self.run.model, self.run.seed);
            return Ok(Start { weights, first_step: 0 });
        };
        let checkpoints = Checkpoints::of_run(self.directory());
        let (found, _) = checkpoints.newest(from, Contents::Weights)?;
        Ok(Start { weights: found.weights, first_step: found.state.step })
    }
}

/// The dialogues of a file: a token shard where the name ends in `.tokens`, else JSON lines.
fn dialogue_part(
    path: &Path,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<DialoguePart, RunsError> {
    if path.extension().is_some_and(|ending| ending == "tokens") {
        let shard = DialogueShard::open_for(path, tokenizer.fingerprint())?;
        return Ok(DialoguePart::Shard(Box::new(shard)));
    }
    let mut encoded = Vec::new();
    for dialogue in read_dialogues(path)? {
        encoded.push(template.encode_for_training(tokenizer, &dialogue.conversation(None))?);
    }
    Ok(DialoguePart::Encoded(encoded))
}

/// Refuses a model whose weights and optimizer state alone exceed the limit, before any of it is
/// made. What a whole step needs is known when it is compiled, and is refused there.
fn check_state(
    engine: &dyn Engine,
    model: &LanguageConfig,
    optimizer: &OptimizerConfig,
) -> Result<(), RunsError> {
    let weights = parameters(model).into_iter().map(|p| p.ty(DType::F32));
    let types = weights.chain(optimizer_state(&parameters(model), optimizer).into_values());
    // In f64: absurd sizes overflow integers.
    let bytes = |ty: TensorType| {
        ty.shape.iter().map(|&n| n as f64).product::<f64>() * size_of::<f32>() as f64
    };
    let needed: f64 = types.map(bytes).sum();
    match engine.facts().memory_limit_bytes {
        Some(limit) if needed > limit as f64 => Err(RunsError::TooLarge {
            layers: model.layers,
            hidden: model.hidden,
            needed,
            limit: limit as f64,
        }),
        _ => Ok(()),
    }
}
