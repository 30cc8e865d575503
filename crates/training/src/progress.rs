//! What training tells while it runs, and the clock it is told by. The binary draws.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::metrics::{EvaluationMetrics, StepMetrics};
use crate::run::StageKind;

/// Listens to a training run. Every method does nothing unless overridden.
pub trait Progress {
    /// A stage begins, or continues, with `done` of its `total` steps behind it.
    fn begin(&mut self, _stage: StageKind, _done: u64, _total: u64) {}

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
pub struct Silent;

impl Progress for Silent {}

/// Time, given from outside so that training itself is a pure function.
pub trait Clock {
    /// Seconds since any fixed moment, never going back.
    fn seconds(&self) -> f64;

    /// Seconds since 1970-01-01 UTC.
    fn unix_seconds(&self) -> f64;
}

/// The system's clocks.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Clocks of which the first reads zero now.
    pub fn new() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn unix_seconds(&self) -> f64 {
        // A clock set before 1970 is wrong anyway.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
    }
}
