//! What training reports while it runs, and the clock that it reads. The binary draws.

use std::path::Path;

use crate::metrics::{EvaluationMetrics, StepMetrics};

/// Listens to a training run. Every method does nothing unless overridden.
pub trait Progress {
    /// A stage begins, or continues, with `done` of its `total` steps behind it.
    fn begin(&mut self, _stage: &str, _done: u64, _total: u64) {}

    /// A step is done.
    fn step(&mut self, _metrics: &StepMetrics) {}

    /// An evaluation is done.
    fn evaluation(&mut self, _metrics: &EvaluationMetrics) {}

    /// A checkpoint is on disk.
    fn checkpoint(&mut self, _path: &Path) {}

    /// Something is amiss that training can live with.
    fn warning(&mut self, _message: &str) {}
}

/// Listens to nothing.
pub struct NoProgress;

impl Progress for NoProgress {}

/// Time, given from outside so that training itself is a pure function.
pub trait Clock {
    /// Seconds since any fixed moment, never going back.
    fn seconds(&self) -> f64;

    /// Seconds since 1970-01-01 UTC.
    fn unix_seconds(&self) -> f64;
}
