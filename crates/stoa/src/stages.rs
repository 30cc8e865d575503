//! `stoa train …`, and the same stages for `stoa up`: reads what a run names, trains, draws the
//! progress bar, saves on Ctrl-C.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use serde::Serialize;
use stoa_dialogue::{ChatTemplate, ChatTokens, read_dialogues};
use stoa_graph::{Engine, Placement};
use stoa_models::initialize;
use stoa_tokens::{IM_END, TokenShard, Tokenizer};
use stoa_training::{
    CHAT, Checkpoints, Contents, DialogueExamples, Documents, EvaluationMetrics, Examples,
    LanguageObjective, Outcome, PRETRAIN, Progress, Run, RunFile, Setup, Start, StepMetrics,
    Trainer, TrainingError, token_bytes,
};

use crate::cli::{MachineArgs, TrainArgs, TrainCommand};
use crate::clock::SystemClock;
use crate::files::RunFiles;
use crate::interrupt::Interrupt;
use crate::terminal::{Bar, Terminal};
use crate::{engine, files};

/// Runs a command.
///
/// # Errors
/// A run file or data that cannot be used, or training that fails; what was saved stays.
pub fn run(
    command: &TrainCommand,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let (args, name) = match command {
        TrainCommand::Pretrain(args) => (args, PRETRAIN),
        TrainCommand::Chat(args) => (args, CHAT),
        TrainCommand::Example => return example(terminal),
    };
    let engine = engine::open(machine)?;
    let prepared = RunInputs::read(args)?;
    let interrupt = Interrupt::listen()?;
    let resume = match (args.resume, args.changed_settings) {
        (false, _) => Resume::Never,
        (true, false) => Resume::SameSettings,
        (true, true) => Resume::ChangedSettings,
    };
    let outcome = prepared.train(&*engine, name, resume, terminal, interrupt.flag())?;
    let summary = Summary::of(&outcome);
    terminal.result(&summary, || {
        let state =
            if outcome.finished { "done" } else { "stopped and saved; continue with --resume" };
        format!("{name}: step {}, {state}", outcome.step)
    })
}

/// Whether a stage continues from its last good checkpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// It starts, and refuses a directory with checkpoints.
    Never,
    /// It continues where there is a checkpoint, with the settings it was made with.
    SameSettings,
    /// It continues where there is a checkpoint, with whatever settings the run file has now.
    ChangedSettings,
}

#[derive(Serialize)]
struct Summary {
    step: u64,
    finished: bool,
    bits_per_byte: Option<f64>,
    best_step: Option<u64>,
    best_bits_per_byte: Option<f64>,
    tokens: u64,
    train_tokens_per_second: f64,
    skipped: u64,
}

impl Summary {
    fn of(outcome: &Outcome) -> Self {
        Summary {
            step: outcome.step,
            finished: outcome.finished,
            bits_per_byte: outcome.bits_per_byte,
            best_step: outcome.best.map(|(step, _)| step),
            best_bits_per_byte: outcome.best.map(|(_, bits_per_byte)| bits_per_byte),
            tokens: outcome.tokens,
            train_tokens_per_second: outcome.tokens_per_second,
            skipped: outcome.skipped,
        }
    }
}

/// A run file with every key, for a vocabulary of 8192.
fn example(terminal: &Terminal) -> anyhow::Result<()> {
    let mut file = RunFile::default();
    file.data.tokenizer = Some("tokenizer.json".into());
    file.data.train = vec!["tokens/train.tokens".into()];
    file.data.held_out = vec!["tokens/held_out.tokens".into()];
    file.data.dialogues = vec!["corpus/dialogues.jsonl".into()];
    let run = file.resolve(8192)?;
    terminal.result(&run, || run.to_toml())
}

/// A run with its data read.
pub struct RunInputs {
    /// Everything decided.
    pub run: Run,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    train: Documents,
    held_out: Option<Documents>,
    dialogues: Vec<ChatTokens>,
    /// The user's run file, which is never written to.
    config: Option<PathBuf>,
}

impl RunInputs {
    fn read(args: &TrainArgs) -> anyhow::Result<Self> {
        let mut prepared = Self::open(RunFile::read(&args.config)?)?;
        prepared.config = Some(args.config.clone());
        Ok(prepared)
    }

    /// Reads the tokenizer, shards and dialogues that a run names.
    ///
    /// # Errors
    /// A key that is missing, a file that cannot be read or was made by another tokenizer.
    pub fn open(file: RunFile) -> anyhow::Result<Self> {
        let tokenizer = file.data.tokenizer.as_deref();
        let tokenizer = tokenizer.context("the run file names no data.tokenizer")?;
        let template = ChatTemplate::read(tokenizer.parent().unwrap_or(Path::new("")))?;
        let tokenizer = Tokenizer::open(tokenizer)?;
        let run = file.resolve(tokenizer.vocab_size())?;
        let shards = |paths: &[PathBuf]| {
            let open = |path: &PathBuf| {
                let shard = TokenShard::open_for(path, tokenizer.fingerprint())?;
                shard.verify()?;
                anyhow::Ok(shard)
            };
            paths.iter().map(open).collect::<anyhow::Result<Vec<TokenShard>>>()
        };
        let train = Documents::from_shards(shards(&run.data.train)?, &tokenizer)?;
        let held_out = match shards(&run.data.held_out)? {
            none if none.is_empty() => None,
            some => Some(Documents::from_shards(some, &tokenizer)?),
        };
        let mut dialogues = Vec::new();
        for path in &run.data.dialogues {
            for dialogue in read_dialogues(path)? {
                let conversation = dialogue.conversation(None);
                dialogues.push(template.encode_for_training(&tokenizer, &conversation)?);
            }
        }
        Ok(RunInputs { run, train, held_out, dialogues, tokenizer, template, config: None })
    }

    /// Whether there is anything to learn to answer from.
    pub fn has_dialogues(&self) -> bool {
        !self.dialogues.is_empty()
    }

    /// A copy of the tokenizer: assistants own theirs.
    ///
    /// # Errors
    /// When its file is gone.
    pub fn tokenizer(&self) -> anyhow::Result<Tokenizer> {
        let path = self.run.data.tokenizer.as_deref();
        Ok(Tokenizer::open(path.context("the run file names no data.tokenizer")?)?)
    }

    /// The chat template: the one beside the tokenizer, else ChatML.
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
    /// No pretrained model to begin a chat stage with, or training that fails.
    pub fn train(
        &self,
        engine: &dyn Engine,
        name: &str,
        resume: Resume,
        terminal: &Terminal,
        stop: &AtomicBool,
    ) -> anyhow::Result<Outcome> {
        let directory = self.directory();
        let stage = self.run.stage(name);
        let stage = stage.with_context(|| format!("the run has no stage {name}"))?;
        engine::check_state(engine, &self.run.model, &stage.groups)?;
        files::create_directory(directory)?;
        let as_text = DialogueExamples::as_text(self.dialogues.clone());
        let answers = DialogueExamples::answers_only(self.dialogues.clone());
        let (examples, mixed): (&dyn Examples, Option<&dyn Examples>) =
            if name == CHAT { (&answers, None) } else { (&self.train, Some(&as_text)) };
        let objective = LanguageObjective {
            name,
            stage,
            seed: self.run.seed,
            model: &self.run.model,
            examples,
            mixed,
            held_out: self.held_out.as_ref().map(|d| d as &dyn Examples),
            token_bytes: &token_bytes(&self.tokenizer),
            attachments: &self.attachments()?,
            start: &|| self.start(name),
        };
        let setup = Setup {
            engine,
            placement: &Placement::default(),
            directory,
            objective: &objective,
            stage,
            changed_settings: resume == Resume::ChangedSettings,
        };
        let mut progress = StageProgress {
            terminal: terminal.clone(),
            bar: None,
            total: 0,
            done: 0,
            seen: Seen::default(),
        };
        let mut trainer = if resume == Resume::Never {
            Trainer::start(setup)?
        } else {
            Trainer::resume_or_start(setup, &mut progress)?
        };
        self.write_resolved()?;
        let outcome = trainer.run(stop, &SystemClock::new(), &mut progress)?;
        progress.end(&outcome);
        Ok(outcome)
    }

    /// Writes everything decided as `run.toml`, or as `run.resolved.toml` where `run.toml` is the
    /// file that the user wrote. It reads back as this run from wherever it is read.
    fn write_resolved(&self) -> anyhow::Result<()> {
        let directory = self.directory();
        let mut path = RunFiles::new(directory).run();
        let same = |config: &PathBuf| matches!((config.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if self.config.as_ref().is_some_and(same) {
            path.set_file_name("run.resolved.toml");
        }
        let mut run = self.run.clone();
        let data = &mut run.data;
        data.directory = None;
        let base = std::path::absolute(directory)?;
        let lists = [&mut data.train, &mut data.held_out, &mut data.dialogues];
        for file in lists.into_iter().flatten().chain(&mut data.tokenizer) {
            let whole = std::path::absolute(&*file)?;
            *file = whole.strip_prefix(&base).map(Path::to_owned).unwrap_or(whole);
        }
        files::write(&path, run.to_toml().as_bytes())
    }

    /// What a checkpoint carries so that it is a whole model directory.
    fn attachments(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let mut config = serde_json::Map::new();
        config
            .extend(self.template.variables().map(|(name, value)| (name.to_owned(), value.into())));
        config.entry("eos_token").or_insert(IM_END.into());
        config.insert("chat_template".into(), self.template.source().into());
        config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
        Ok(vec![
            ("tokenizer.json".into(), self.tokenizer.to_hugging_face_json().into_bytes()),
            ("tokenizer_config.json".into(), serde_json::to_vec_pretty(&config)?),
        ])
    }

    /// Where a stage starts: chat where pretraining ended, other stages from drawn weights.
    fn start(&self, name: &str) -> Result<Start, TrainingError> {
        if name != CHAT {
            return Ok(Start {
                weights: initialize(&self.run.model, self.run.seed),
                first_step: 0,
            });
        }
        let checkpoints = Checkpoints::of_run(self.directory());
        let (found, _) = checkpoints.newest(PRETRAIN, Contents::Weights)?;
        Ok(Start { weights: found.weights, first_step: found.state.step })
    }
}

/// Last figures seen, for the line after the bar.
#[derive(Default)]
struct Seen {
    loss: Option<f32>,
    bits_per_byte: Option<f64>,
}

/// Draws a stage's bar.
struct StageProgress {
    terminal: Terminal,
    bar: Option<Bar>,
    total: u64,
    done: u64,
    seen: Seen,
}

impl StageProgress {
    fn end(&mut self, outcome: &Outcome) {
        let bpb = outcome.bits_per_byte.map(|b| format!(", {b:.3} bits per byte on held-out text"));
        let line = format!(
            "{} steps, {:.0} tokens/s{}",
            self.done,
            outcome.tokens_per_second,
            bpb.unwrap_or_default()
        );
        if let Some(bar) = self.bar.take() {
            bar.finish(&line);
        }
    }
}

impl Progress for StageProgress {
    fn begin(&mut self, stage: &str, done: u64, total: u64) {
        let name = match stage {
            CHAT => "chat tuning",
            other => other,
        };
        self.bar = Some(self.terminal.bar(name, total, "steps"));
        (self.done, self.total) = (done, total);
    }

    fn step(&mut self, metrics: &StepMetrics) {
        self.done += 1;
        if metrics.loss.is_some() {
            self.seen.loss = metrics.loss;
        }
        let mut message = String::new();
        if let Some(loss) = self.seen.loss {
            message += &format!("· loss {loss:.3} ");
        }
        message += &format!("· {:.0} tok/s ", metrics.tokens_per_second);
        if let (Some(mfu), Some(peak)) = (metrics.mfu, metrics.peak_flops) {
            message += &format!("· MFU {:.0} % of {:.0} GFLOP/s ", mfu * 100.0, peak / 1e9);
        }
        if let Some(bpb) = self.seen.bits_per_byte {
            message += &format!("· {bpb:.3} bpb");
        }
        if let Some(bar) = &mut self.bar {
            bar.update(self.done.min(self.total), &message);
        }
    }

    fn evaluation(&mut self, metrics: &EvaluationMetrics) {
        self.seen.bits_per_byte = metrics.bits_per_byte;
    }

    fn warning(&mut self, message: &str) {
        self.terminal.note(format!("warning: {message}"));
    }
}
