//! Recipes: pretraining and chat fine-tuning; data order, schedules, checkpoints, metrics, report.
//!
//! A [`Trainer`] runs one stage on any engine. Everything that decides its result is in its
//! [`Setup`]: a stage that was killed and resumed ends in the same bits as one that was not. The
//! crate draws no progress bars, opens no sockets and knows no engine by name.

mod batch;
mod checkpoint;
mod error;
mod evaluation;
mod examples;
mod guard;
mod metrics;
mod packing;
mod permutation;
mod progress;
pub mod report;
mod run;
mod schedule;
mod tensorboard;
mod trainer;

pub use batch::{Batch, DataOrder, Source};
pub use checkpoint::{Checkpoint, Checkpoints, Identity, TrainingState, verify_checkpoint};
pub use error::TrainingError;
pub use evaluation::{Evaluation, Evaluator, token_bytes};
pub use examples::{DialogueExamples, Documents, Examples, IGNORED, Overlong};
pub use guard::{Guard, GuardConfig, GuardMemory};
pub use metrics::{EvaluationMetrics, Metric, MetricsLog, StepMetrics, read_metrics};
pub use packing::{Packing, Piece};
pub use permutation::Permutation;
pub use progress::{Clock, Progress, Silent, SystemClock};
pub use run::{
    DataFiles, Length, ModelFile, OptimizerKind, RecomputeKind, Run, RunFile, Stage, StageFile,
    StageKind,
};
pub use schedule::Schedule;
pub use tensorboard::EventFile;
pub use trainer::{Outcome, Setup, Trainer};
