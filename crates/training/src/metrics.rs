//! `metrics.jsonl`: one JSON object a line, for each step and each evaluation. On resume what
//! the stage wrote beyond its checkpoint is left out, so that the file holds one curve per stage
//! however often a run was stopped.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use stoa_models::Precision;

use crate::TrainingError;
use crate::error::io;

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Metric {
    /// A training step.
    Step(StepMetrics),
    /// An evaluation on held-out text.
    Evaluation(EvaluationMetrics),
}

/// What a step was like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Steps done with it, over all stages.
    pub step: u64,
    /// The stage.
    pub stage: String,
    /// Mean loss of its targets before the update, in nats; null when not finite.
    pub loss: Option<f32>,
    /// Learning rate of the matrices.
    pub lr: f32,
    /// Norm of the whole gradient, when measured; null when not finite.
    pub grad_norm: Option<f32>,
    /// Whether the step was left out by the loss-spike guard.
    pub skipped: bool,
    /// Tokens trained on in this stage so far.
    pub tokens: u64,
    /// Tokens of this step by its seconds.
    pub tokens_per_second: f64,
    /// Share of `peak_flops`, when the engine knows its peak.
    pub mfu: Option<f64>,
    /// FLOP/s in `precision`: the best sample of the engine's peak up to this step, or what the run
    /// reached if that is more. It only rises within a run.
    #[serde(default)]
    pub peak_flops: Option<f64>,
    /// What the products of this step multiplied.
    #[serde(default)]
    pub precision: Precision,
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationMetrics {
    /// Steps done before it, over all stages.
    pub step: u64,
    /// The stage.
    pub stage: String,
    /// Bits per byte of held-out text; absent where what is held out is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_byte: Option<f64>,
    /// Mean loss; of text in nats per token.
    pub loss: f64,
    /// Tokens it was measured on.
    pub tokens: u64,
    /// Bytes of those tokens.
    pub bytes: u64,
}

impl Metric {
    /// Steps done.
    pub const fn step(&self) -> u64 {
        match self {
            Metric::Step(step) => step.step,
            Metric::Evaluation(evaluation) => evaluation.step,
        }
    }
}

/// The file, open for appending.
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the file of a run for a stage that resumes from `step`: what the stage wrote beyond it
    /// is left out, what other stages wrote stays.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn open(directory: &Path, stage: &str, step: u64) -> Result<Self, TrainingError> {
        let path = Self::path(directory);
        // Lines stay as they are: a number read and written again may differ in its last digit.
        let mut kept = Vec::new();
        for (line, metric) in lines(directory)? {
            let stays = match metric {
                Metric::Step(m) => m.stage != stage || m.step <= step,
                // The evaluation at the checkpoint's step is repeated.
                Metric::Evaluation(m) => m.stage != stage || m.step < step,
            };
            if stays {
                kept.extend_from_slice(&line);
                kept.push(b'\n');
            }
        }
        stoa_durable::write(&path, &kept)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io("opening", &path))?;
        Ok(MetricsLog { path, file })
    }

    /// Where the file of a run is.
    pub fn path(directory: &Path) -> PathBuf {
        directory.join("metrics.jsonl")
    }

    /// Appends a line, in one write.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn append(&mut self, metric: &Metric) -> Result<(), TrainingError> {
        self.file.write_all(line(metric).as_bytes()).map_err(io("writing", &self.path))
    }
}

fn line(metric: &Metric) -> String {
    let mut line = serde_json::to_string(metric).expect("metrics have a JSON form");
    line.push('\n');
    line
}

/// All metrics of a run; none when there is no file. Lines that are not metrics, such as one that a
/// crash cut short, are passed over.
///
/// # Errors
/// [`TrainingError::File`].
pub fn read_metrics(directory: &Path) -> Result<Vec<Metric>, TrainingError> {
    Ok(lines(directory)?.into_iter().map(|(_, metric)| metric).collect())
}

/// Lines of the file that are metrics, each with what it says.
fn lines(directory: &Path) -> Result<Vec<(Vec<u8>, Metric)>, TrainingError> {
    let path = MetricsLog::path(directory);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("reading", &path)(error)),
    };
    let lines = bytes.split(|&byte| byte == b'\n');
    let read = |line: &[u8]| Some((line.to_vec(), serde_json::from_slice(line).ok()?));
    Ok(lines.filter_map(read).collect())
}
