//! Recipes: pretraining and chat fine-tuning; data order, schedules, checkpoints, metrics, report.
//!
//! A [`Trainer`] runs one stage of any [`Objective`] on any engine. Everything that decides its
//! result is in its [`Setup`]: a stage that was killed and resumed ends in the same bits as one that was not. The
//! crate draws no progress bars, opens no sockets and knows no engine by name.

// A match on ops or element types names them all, so that a new one is met by the compiler.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod batch;
mod checkpoint;
mod dialogues;
mod error;
mod evaluation;
mod examples;
mod guard;
mod language;
mod metrics;
mod model_file;
mod objective;
mod packing;
mod permutation;
mod progress;
pub mod report;
mod run;
mod schedule;
mod tensorboard;
mod trainer;

pub use batch::{DataOrder, Source};
pub use checkpoint::{
    Checkpoint, Checkpoints, Contents, Identity, TrainingState, verify_checkpoint,
};
pub use dialogues::{DialogueExamples, DialoguePart, DialogueShard, Dialogues};
pub use error::TrainingError;
pub use evaluation::{Evaluation, Evaluator, token_bytes};
pub use examples::{Documents, Examples, IGNORED, Overlong};
pub use guard::{Guard, GuardConfig, GuardMemory};
pub use language::LanguageObjective;
pub use metrics::{EvaluationMetrics, Metric, MetricsLog, StepMetrics, read_metrics};
pub use model_file::ModelFile;
pub use objective::{Measure, Objective, Part, StageData, Start};
pub use packing::{Packing, Piece, WINDOW_PAIRS};
pub use permutation::Permutation;
pub use progress::{Clock, NoProgress, Progress};
pub use run::{
    CHAT, DataFiles, Length, ObjectiveKind, OptimizerKind, PRETRAIN, RecomputeKind, Run, RunFile,
    RunStage, Stage, StageFile,
};
pub use schedule::Schedule;
pub use tensorboard::EventFile;
pub use trainer::{Outcome, Setup, Trainer};
