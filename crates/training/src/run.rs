//! `run.toml`: everything that determines a run's result. What the user leaves out is filled in by
//! [`RunFile::resolve`]; the resolved run is written beside the result and reads back as itself.
//! Unknown keys are refused.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stoa_graph::Recompute;
use stoa_models::{Clipping, Compute, LanguageConfig, OptimizerConfig, Precision};

use crate::TrainingError;
use crate::error::{check, io};
use crate::guard::GuardConfig;
use crate::model_file::ModelFile;
use crate::schedule::Schedule;

/// A run as a user writes it: only what differs from the defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct RunFile {
    /// Seed of everything drawn.
    pub seed: Option<u64>,
    /// The model.
    pub model: ModelFile,
    /// What is read.
    pub data: DataFiles,
    /// Its stages, in the order in which they run.
    pub stages: Vec<StageFile>,
    /// What `stoa plan --config` is asked; training does not read it.
    pub plan: Option<toml::Table>,
}

/// The keys of a `run.toml`. Stages are `[[stage]]` tables. `[pretrain]` and `[chat]` are short for
/// two of them: the stage of that name and objective, and chat starts from pretraining. A file
/// without stages has these two.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    seed: Option<u64>,
    model: ModelFile,
    data: DataFiles,
    stage: Vec<StageFile>,
    pretrain: Option<StageFile>,
    chat: Option<StageFile>,
    plan: Option<toml::Table>,
}

impl TryFrom<Keys> for RunFile {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys { seed, model, data, stage, pretrain, chat, plan } = keys;
        let stages = match (stage.is_empty(), &pretrain, &chat) {
            (false, None, None) => stage,
            (false, _, _) => {
                return Err("the file has [[stage]] tables and [pretrain] or [chat]; write all \
                            stages as [[stage]]"
                    .to_owned());
            }
            (true, _, _) => {
                let short = |table: Option<StageFile>, stage: StageFile| {
                    let table = table.unwrap_or_default();
                    if table.name.is_empty() && table.objective.is_none() && table.from.is_none() {
                        let StageFile { name, objective, from, .. } = stage;
                        return Ok(StageFile { name, objective, from, ..table });
                    }
                    Err(format!(
                        "[{}] has a name, an objective or a start of its own; write [[stage]]",
                        stage.name
                    ))
                };
                vec![short(pretrain, StageFile::pretrain())?, short(chat, StageFile::chat())?]
            }
        };
        for (at, stage) in stages.iter().enumerate() {
            stage.check(&stages[..at])?;
        }
        Ok(RunFile { seed, model, data, stages, plan })
    }
}

impl Default for RunFile {
    fn default() -> Self {
        RunFile::try_from(Keys::default()).expect("the two short stages fit together")
    }
}

/// Files of a run; relative paths are relative to `run.toml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataFiles {
    /// Where checkpoints, metrics and the report go; the directory of `run.toml` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Hugging Face `tokenizer.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Token shards of training documents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<PathBuf>,
    /// Token shards of held-out documents, for bits per byte.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_out: Vec<PathBuf>,
    /// Dialogues, a JSON object with `messages` on each line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dialogues: Vec<PathBuf>,
}

/// Name of the stage that learns from documents, where a run file does not name its stages.
pub const PRETRAIN: &str = "pretrain";
/// Name of the stage that learns to answer, where a run file does not name its stages.
pub const CHAT: &str = "chat";

/// What a stage learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveKind {
    /// The text of documents, with `dialogue_share` of dialogues among them.
    Pretrain,
    /// The answers of dialogues.
    Chat,
}

/// How long a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Optimizer steps.
    Steps(u64),
    /// Passes over the stage's data.
    Epochs(f64),
}

/// Optimizer of the block matrices, with nanochat's or Llama's constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Muon for matrices, AdamW for the rest.
    #[default]
    Muon,
    /// AdamW for all.
    AdamW,
}

/// Which forward values are recomputed in the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecomputeKind {
    /// None: fastest where memory is plenty.
    Nothing,
    /// Norms and activations.
    #[default]
    Cheap,
    /// Also projections.
    Projections,
    /// Whole blocks.
    Blocks,
}

impl From<RecomputeKind> for Recompute {
    fn from(kind: RecomputeKind) -> Self {
        match kind {
            RecomputeKind::Nothing => Recompute::Nothing,
            RecomputeKind::Cheap => Recompute::Cheap,
            RecomputeKind::Projections => Recompute::Projections,
            RecomputeKind::Blocks => Recompute::Blocks,
        }
    }
}

/// A stage as a user writes it. See [`Stage`] for what each key means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // The fields of `Stage`.
pub struct StageFile {
    /// By which `stoa train` and other stages know it.
    pub name: String,
    /// What it learns.
    pub objective: Option<ObjectiveKind>,
    /// The stage whose last checkpoint it starts from; absent in the first stage, which starts from
    /// drawn weights.
    pub from: Option<String>,
    pub length: Option<Length>,
    pub rows: Option<usize>,
    pub time: Option<usize>,
    pub accumulation: Option<usize>,
    pub dialogue_share: Option<f64>,
    /// Which constants `groups` starts from.
    pub optimizer: Option<OptimizerKind>,
    /// Factor on all learning rates of that optimizer.
    pub learning_rate_scale: Option<f32>,
    pub groups: Option<OptimizerConfig>,
    pub schedule: Option<Schedule>,
    pub guard: Option<GuardConfig>,
    pub recompute: Option<RecomputeKind>,
    pub precision: Option<Precision>,
    pub evaluate_every: Option<u64>,
    pub evaluation_rows: Option<usize>,
    pub checkpoint_every: Option<u64>,
    pub keep_checkpoints: Option<usize>,
}

/// A stage of a run: what it is, and its settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStage {
    /// By which it is known.
    pub name: String,
    /// What it learns.
    pub objective: ObjectiveKind,
    /// The stage whose last checkpoint it starts from; absent in the first stage, which starts from
    /// drawn weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its settings.
    #[serde(flatten)]
    pub settings: Stage,
}

/// The settings of a stage with everything decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// How long it is.
    pub length: Length,
    /// Rows of a batch.
    pub rows: usize,
    /// Tokens of a row.
    pub time: usize,
    /// Batches whose gradients are summed for one step.
    pub accumulation: usize,
    /// Share of rows that are dialogues, when pretraining.
    pub dialogue_share: f64,
    /// Optimizer of each parameter group.
    pub groups: OptimizerConfig,
    /// Learning rate and momentum over the steps.
    pub schedule: Schedule,
    /// The loss-spike guard; works when `groups.clipping` is set.
    pub guard: GuardConfig,
    /// Trades time for memory.
    pub recompute: RecomputeKind,
    /// What products multiply; weights, gradients and moments are f32 either way.
    pub precision: Precision,
    /// Steps between evaluations; 0 for the first and last only.
    pub evaluate_every: u64,
    /// Most rows of held-out text an evaluation reads.
    pub evaluation_rows: usize,
    /// Steps between checkpoints; 0 for the first and last only.
    pub checkpoint_every: u64,
    /// Checkpoints kept beside the last of each stage.
    pub keep_checkpoints: usize,
}

/// A run with everything decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Seed of everything drawn.
    pub seed: u64,
    /// The model.
    pub model: LanguageConfig,
    /// What is read.
    pub data: DataFiles,
    /// Its stages, in the order in which they run.
    #[serde(rename = "stage")]
    pub stages: Vec<RunStage>,
}

impl RunFile {
    /// Parses the text of a `run.toml`; `path` is for messages.
    ///
    /// # Errors
    /// [`TrainingError::RunFile`] with the line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, TrainingError> {
        toml::from_str(text).map_err(|error| TrainingError::RunFile {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }

    /// Reads a `run.toml` and makes its paths relative to where the process is.
    ///
    /// # Errors
    /// [`TrainingError::File`], [`TrainingError::RunFile`].
    pub fn read(path: &Path) -> Result<Self, TrainingError> {
        let text = std::fs::read_to_string(path).map_err(io("reading", path))?;
        let mut run = Self::parse(&text, path)?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let data = &mut run.data;
        let paths = data.tokenizer.iter_mut().chain(&mut data.directory);
        for file in
            paths.chain(&mut data.train).chain(&mut data.held_out).chain(&mut data.dialogues)
        {
            *file = base.join(&*file);
        }
        // A file named without a directory is in this one.
        let here = base.as_os_str().is_empty();
        run.data.directory.get_or_insert(if here { PathBuf::from(".") } else { base });
        Ok(run)
    }

    /// Fills in everything for a tokenizer of `vocab_size` tokens.
    ///
    /// # Errors
    /// [`TrainingError::Setting`], [`TrainingError::Model`].
    pub fn resolve(&self, vocab_size: usize) -> Result<Run, TrainingError> {
        let model = self.model.resolve(vocab_size)?;
        let stages = self.stages.iter().map(|stage| stage.resolve(&model));
        let stages = stages.collect::<Result<_, TrainingError>>()?;
        Ok(Run { seed: self.seed.unwrap_or(0), model, data: self.data.clone(), stages })
    }
}

impl StageFile {
    /// The stage [`PRETRAIN`] without settings.
    pub fn pretrain() -> Self {
        let objective = Some(ObjectiveKind::Pretrain);
        StageFile { name: PRETRAIN.to_owned(), objective, ..StageFile::default() }
    }

    /// The stage [`CHAT`] without settings.
    pub fn chat() -> Self {
        let (objective, from) = (Some(ObjectiveKind::Chat), Some(PRETRAIN.to_owned()));
        StageFile { name: CHAT.to_owned(), objective, from, ..StageFile::default() }
    }

    /// Whether the stage is whole in itself and fits those before it.
    fn check(&self, before: &[StageFile]) -> Result<(), String> {
        let StageFile { name, objective, from, .. } = self;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("stage.name = {name:?}: letters, digits, - and _ are expected"));
        }
        if objective.is_none() {
            return Err(format!("stage `{name}` has no objective; give \"pretrain\" or \"chat\""));
        }
        if before.iter().any(|stage| stage.name == *name) {
            return Err(format!("two stages are named `{name}`; give each a name of its own"));
        }
        match from {
            Some(from) if before.iter().all(|stage| stage.name != *from) => {
                Err(format!("stage `{name}` starts from `{from}`, which is no stage before it"))
            }
            None if !before.is_empty() => Err(format!(
                "stage `{name}` names no start; give `from`, the stage it starts from: only the first \
                 stage of a run starts from drawn weights"
            )),
            _ => Ok(()),
        }
    }

    /// The stage with everything decided, for a model.
    ///
    /// # Errors
    /// [`TrainingError::Setting`].
    pub fn resolve(&self, model: &LanguageConfig) -> Result<RunStage, TrainingError> {
        let objective = self.objective.unwrap_or(ObjectiveKind::Pretrain);
        let settings = self.settings(objective, model);
        settings.validate(&self.name, model)?;
        Ok(RunStage { name: self.name.clone(), objective, from: self.from.clone(), settings })
    }

    fn settings(&self, objective: ObjectiveKind, model: &LanguageConfig) -> Stage {
        let chat = objective == ObjectiveKind::Chat;
        let optimizer = match self.optimizer.unwrap_or_default() {
            OptimizerKind::Muon => OptimizerConfig::muon(model),
            // A common rate for models of this size (GPT-3's table 2.1 has 6e-4 for 125 M).
            OptimizerKind::AdamW => OptimizerConfig::adamw(1e-3),
        };
        // nanochat's chat_sft.py trains at 0.8 of the pretraining rates, without warm-up, and
        // decays over the last half to nothing.
        let scale = self.learning_rate_scale.unwrap_or(if chat { 0.8 } else { 1.0 });
        let schedule = match (self.schedule, chat) {
            (Some(schedule), _) => schedule,
            (None, false) => Schedule::default(),
            (None, true) => Schedule {
                warmup_steps: 0,
                decay_fraction: 0.5,
                final_factor: 0.0,
                ..Schedule::default()
            },
        };
        Stage {
            length: self.length.unwrap_or(if chat {
                Length::Epochs(1.0)
            } else {
                Length::Steps(1000)
            }),
            rows: self.rows.unwrap_or(16),
            time: self.time.unwrap_or(model.max_time.min(256)),
            accumulation: self.accumulation.unwrap_or(1),
            dialogue_share: self.dialogue_share.unwrap_or(0.0),
            groups: self.groups.unwrap_or(optimizer.scaled(scale)),
            schedule,
            guard: self.guard.unwrap_or_default(),
            recompute: self.recompute.unwrap_or_default(),
            precision: self.precision.unwrap_or_default(),
            evaluate_every: self.evaluate_every.unwrap_or(100),
            evaluation_rows: self.evaluation_rows.unwrap_or(256),
            checkpoint_every: self.checkpoint_every.unwrap_or(200),
            keep_checkpoints: self.keep_checkpoints.unwrap_or(2),
        }
    }
}

impl Stage {
    fn validate(&self, name: &str, model: &LanguageConfig) -> Result<(), TrainingError> {
        let sizes = [
            ("rows", self.rows, 1 << 16),
            ("time", self.time, model.max_time),
            ("accumulation", self.accumulation, 1 << 16),
            ("evaluation_rows", self.evaluation_rows, 1 << 32),
        ];
        for (field, value, limit) in sizes {
            let field = format!("{name}.{field}");
            check(field, value, (1..=limit).contains(&value), format!("1 to {limit}"))?;
        }
        let share = self.dialogue_share;
        let shares = (0.0..1.0).contains(&share);
        check(format!("{name}.dialogue_share"), share, shares, "0 or more and below 1")?;
        let sound = match self.length {
            Length::Steps(steps) => steps > 0,
            Length::Epochs(epochs) => epochs > 0.0 && epochs.is_finite(),
        };
        check(format!("{name}.length"), format!("{:?}", self.length), sound, "more than none")?;
        if let Some(Clipping { max_norm }) = self.groups.clipping {
            let positive = max_norm > 0.0;
            check(format!("{name}.groups.clipping.max_norm"), max_norm, positive, "positive")?;
        }
        self.schedule.validate(name)
    }

    /// What the programs of a step compute with.
    pub fn compute(&self) -> Compute {
        Compute { recompute: self.recompute.into(), precision: self.precision }
    }

    /// Optimizer steps, when the data fill `data_rows` rows.
    pub fn steps(&self, data_rows: usize) -> u64 {
        match self.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                let rows = epochs * data_rows as f64;
                (rows / (self.rows * self.accumulation) as f64).ceil().max(1.0) as u64
            }
        }
    }
}

impl Run {
    /// Text of the resolved `run.toml`.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field of a run has a TOML form")
    }

    /// The stage of a name, if the run has it.
    pub fn stage(&self, name: &str) -> Option<&RunStage> {
        self.stages.iter().find(|stage| stage.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RunFile, TrainingError> {
        RunFile::parse(text, Path::new("run.toml"))
    }

    #[test]
    fn a_resolved_run_reads_back_as_itself() {
        let text = "seed = 3\n[model]\ndepth = 2\nlogit_softcap = 15.0\n[pretrain]\nrows = 4\n\
                    precision = \"bf16\"\nlength = { epochs = 1.5 }\n[chat]\noptimizer = \"adamw\"\n\
                    [data]\ntrain = [\"a.tokens\"]\n";
        let run = parse(text).unwrap().resolve(300).unwrap();
        let settings = |name: &str| run.stage(name).unwrap().settings.clone();
        assert_eq!(settings(PRETRAIN).rows, 4);
        assert_eq!(settings(PRETRAIN).compute().precision, Precision::Bf16);
        assert_eq!(settings(CHAT).compute().precision, Precision::F32);
        assert_eq!(run.model.layers, 2);
        let again = parse(&run.to_toml()).unwrap().resolve(300).unwrap();
        assert_eq!(again, run);
        assert_eq!(again.to_toml(), run.to_toml());
    }

    #[test]
    fn the_short_tables_are_two_stages() {
        let long = "[[stage]]\nname = \"pretrain\"\nobjective = \"pretrain\"\nrows = 4\n\
                    [[stage]]\nname = \"chat\"\nobjective = \"chat\"\nfrom = \"pretrain\"\ntime = 32\n";
        // The order of tables does not matter: chat comes after what it starts from.
        let short = parse("[chat]\ntime = 32\n[pretrain]\nrows = 4\n").unwrap();
        assert_eq!(short, parse(long).unwrap());
        assert_eq!(parse("").unwrap(), RunFile::default());
        let names = |file: RunFile| file.stages.into_iter().map(|s| s.name).collect::<Vec<_>>();
        assert_eq!(names(RunFile::default()), [PRETRAIN, CHAT]);
    }

    #[test]
    fn stages_run_in_the_order_they_are_written_in() {
        let text = "[[stage]]\nname = \"letters\"\nobjective = \"pretrain\"\n\
                    [[stage]]\nname = \"tone\"\nobjective = \"chat\"\nfrom = \"letters\"\n\
                    [[stage]]\nname = \"more-letters\"\nobjective = \"pretrain\"\nfrom = \"tone\"\n";
        let run = parse(text).unwrap().resolve(300).unwrap();
        let starts: Vec<_> = run.stages.iter().map(|s| (&*s.name, s.from.as_deref())).collect();
        let expected =
            [("letters", None), ("tone", Some("letters")), ("more-letters", Some("tone"))];
        assert_eq!(starts, expected);
        // Defaults follow the objective, not the name.
        assert_eq!(run.stages[1].settings.length, Length::Epochs(1.0));
        assert_eq!(run.stages[2].settings.length, Length::Steps(1000));
        let again = parse(&run.to_toml()).unwrap().resolve(300).unwrap();
        assert_eq!(again, run);
    }

    #[test]
    fn stages_that_do_not_fit_together_are_refused() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        let stage = |name: &str, rest: &str| {
            format!("[[stage]]\nname = \"{name}\"\nobjective = \"pretrain\"\n{rest}\n")
        };
        let twice = message(&(stage("a", "") + &stage("a", "")));
        assert!(twice.contains("two stages are named `a`"), "{twice}");
        let later = message(&(stage("a", "from = \"b\"") + &stage("b", "")));
        assert!(later.contains("starts from `b`"), "{later}");
        let fresh = message(&(stage("a", "") + &stage("b", "")));
        assert!(fresh.contains("`b` names no start"), "{fresh}");
        let mixed = message(&format!("[chat]\nrows = 2\n{}", stage("a", "")));
        assert!(mixed.contains("[[stage]] tables and"), "{mixed}");
        let renamed = message("[pretrain]\nname = \"other\"\n");
        assert!(renamed.contains("[pretrain] has a name"), "{renamed}");
        let nothing = message("[[stage]]\nname = \"a\"\n");
        assert!(nothing.contains("no objective"), "{nothing}");
        let unknown = message("[[stage]]\nname = \"a\"\nobjective = \"poems\"\n");
        assert!(unknown.contains("poems") && unknown.contains("chat"), "{unknown}");
        assert!(message(&stage("a b", "")).contains("letters, digits"));
    }

    #[test]
    fn unknown_keys_and_nonsense_are_refused_by_name() {
        let message = |text: &str| match parse(text) {
            Err(error) => error.to_string(),
            Ok(run) => run.resolve(300).unwrap_err().to_string(),
        };
        let unknown = message("[pretrain]\nstepz = 4\n");
        assert!(unknown.contains("run.toml") && unknown.contains("stepz"), "{unknown}");
        assert!(unknown.contains("line 2"), "{unknown}");
        assert!(message("seed = -1").contains("seed"));
        assert!(message("[model]\ndepth = 10000000000").contains("model.depth"));
        assert!(message("[model]\nvocab = 10").contains("300 tokens"));
        assert!(message("[pretrain]\nrows = 0").contains("pretrain.rows"));
        assert!(message("[chat]\ntime = 100000").contains("chat.time"));
        assert!(message("[pretrain]\ndialogue_share = 1.0").contains("dialogue_share"));
        assert!(message("[pretrain.schedule]\ndecay_fraction = 2.0").contains("decay_fraction"));
        assert!(message("[pretrain]\nlength = { epochs = -1.0 }").contains("length"));
        assert!(message("[model]\nheads = 5\nkv_heads = 2").contains("kv_heads"));
    }

    #[test]
    fn epochs_round_up_to_steps() {
        let text = "[chat]\nrows = 4\naccumulation = 2\nlength = { epochs = 2.0 }\n";
        let run = parse(text).unwrap().resolve(300).unwrap();
        let chat = &run.stage(CHAT).unwrap().settings;
        assert_eq!(chat.steps(17), 5);
        assert_eq!(chat.steps(1), 1);
    }
}
