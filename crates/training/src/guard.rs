//! The loss-spike guard: a step whose gradient norm is not finite, or far above what recent steps
//! had, changes nothing (OLMo-core's skip-step optimizer does the same). The engine compares; this
//! says with what.
//!
//! A skipped step leaves the weights, so the norms after it may be as high: a relative limit alone
//! would end a healthy run whose norms rise from a low level. Two rules prevent it. The limit has a
//! floor, the norm that clipping allows: what clipping scales down to a usual step is no spike. And
//! finite norms above the limit for `patience` steps in a row are a new level, from which the limit
//! is computed again. Only norms that are not finite end a run.

use serde::{Deserialize, Serialize};

use crate::TrainingError;

/// When a step is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// A gradient norm above this multiple of the recent median, or of the clipping norm where
    /// that is larger, is a spike.
    pub factor: f32,
    /// Norms the median is taken of.
    pub window: usize,
    /// Steps skipped in a row after which finite norms are a new level, and others an error.
    pub patience: u64,
}

impl Default for GuardConfig {
    /// A window as in OLMo-core (optim/skip_step_optimizer.py); a factor wide enough that the norms
    /// of a first warm-up, which vary several times, never trip it.
    fn default() -> Self {
        GuardConfig { factor: 10.0, window: 128, patience: 10 }
    }
}

/// Norms before a median means anything.
const MIN_NORMS: usize = 16;

/// Recent norms and what was skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    config: GuardConfig,
    /// Norm that gradients are scaled down to; infinity for none.
    clipping: f32,
    /// Norms of the last steps that were applied, oldest first.
    recent: Vec<f32>,
    /// Steps skipped since the last that was applied.
    in_a_row: u64,
    /// Steps skipped in all.
    skipped: u64,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The weights changed.
    Applied,
    /// Nothing changed.
    Skipped,
    /// Nothing changed, and from the next step on the limit is computed from new norms.
    NewLevel {
        /// Steps skipped in a row.
        skipped: u64,
        /// The limit that they exceeded.
        limit: f32,
    },
}

/// What a guard remembers, for checkpoints. Norms as bits, so that JSON keeps them exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardMemory {
    recent_norm_bits: Vec<u32>,
    in_a_row: u64,
    skipped: u64,
}

impl Guard {
    /// A guard without memory, for gradients clipped to the norm `clipping`.
    pub fn new(config: GuardConfig, clipping: f32) -> Self {
        Self::restored(config, clipping, &GuardMemory::default())
    }

    /// A guard as it was.
    pub fn restored(config: GuardConfig, clipping: f32, memory: &GuardMemory) -> Self {
        let recent = memory.recent_norm_bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let GuardMemory { in_a_row, skipped, .. } = *memory;
        Guard { config, clipping, recent, in_a_row, skipped }
    }

    /// What to keep in a checkpoint.
    pub fn memory(&self) -> GuardMemory {
        GuardMemory {
            recent_norm_bits: self.recent.iter().map(|norm| norm.to_bits()).collect(),
            in_a_row: self.in_a_row,
            skipped: self.skipped,
        }
    }

    /// The largest norm with which a step counts.
    pub fn limit(&self) -> f32 {
        if self.recent.len() < MIN_NORMS.min(self.config.window) {
            return f32::INFINITY;
        }
        let mut sorted = self.recent.clone();
        sorted.sort_by(f32::total_cmp);
        let floor = if self.clipping.is_finite() { self.clipping } else { 0.0 };
        self.config.factor * sorted[sorted.len() / 2].max(floor)
    }

    /// Records a step's norm, which was compared with [`Guard::limit`].
    ///
    /// # Errors
    /// [`TrainingError::Diverged`] when patience ends with a norm that is not finite.
    pub fn observe(&mut self, step: u64, grad_norm: f32) -> Result<Verdict, TrainingError> {
        let limit = self.limit();
        if grad_norm.is_finite() && grad_norm <= limit {
            self.in_a_row = 0;
            self.recent.push(grad_norm);
            let surplus = self.recent.len().saturating_sub(self.config.window);
            self.recent.drain(..surplus);
            return Ok(Verdict::Applied);
        }
        self.in_a_row += 1;
        self.skipped += 1;
        let skipped = self.in_a_row;
        if skipped < self.config.patience {
            return Ok(Verdict::Skipped);
        }
        if !grad_norm.is_finite() {
            return Err(TrainingError::Diverged { step, skipped });
        }
        self.in_a_row = 0;
        self.recent.clear();
        Ok(Verdict::NewLevel { skipped, limit })
    }

    /// Steps skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: GuardConfig = GuardConfig { factor: 4.0, window: 32, patience: 3 };

    fn at_level(norm: f32, clipping: f32) -> Guard {
        let mut guard = Guard::new(CONFIG, clipping);
        for step in 0..40 {
            assert_eq!(guard.observe(step, norm).unwrap(), Verdict::Applied);
        }
        guard
    }

    #[test]
    fn spikes_are_skipped_and_do_not_count() {
        let mut guard = at_level(2.0, 1.0);
        assert_eq!(guard.limit(), 8.0);
        assert_eq!(guard.observe(40, 8.1).unwrap(), Verdict::Skipped);
        assert_eq!(guard.observe(41, f32::NAN).unwrap(), Verdict::Skipped);
        assert_eq!(guard.observe(42, 8.0).unwrap(), Verdict::Applied);
        assert_eq!(guard.skipped(), 2);
        assert_eq!(Guard::restored(CONFIG, 1.0, &guard.memory()), guard);
    }

    #[test]
    fn the_clipping_norm_is_the_floor_of_the_limit() {
        let mut guard = at_level(0.01, 1.0);
        assert_eq!(guard.limit(), 4.0);
        assert_eq!(guard.observe(40, 3.9).unwrap(), Verdict::Applied);
        assert_eq!(Guard::new(CONFIG, 1.0).limit(), f32::INFINITY);
    }

    #[test]
    fn finite_norms_above_the_limit_become_a_new_level() {
        let mut guard = at_level(2.0, 1.0);
        assert_eq!(guard.observe(40, 100.0).unwrap(), Verdict::Skipped);
        assert_eq!(guard.observe(41, 90.0).unwrap(), Verdict::Skipped);
        let level = guard.observe(42, 95.0).unwrap();
        assert_eq!(level, Verdict::NewLevel { skipped: 3, limit: 8.0 });
        for step in 43..80 {
            assert_eq!(guard.observe(step, 100.0).unwrap(), Verdict::Applied);
        }
        assert_eq!((guard.limit(), guard.skipped()), (400.0, 3));
    }

    #[test]
    fn patience_with_norms_that_are_not_finite_ends_the_run() {
        let mut guard = Guard::new(CONFIG, f32::INFINITY);
        assert_eq!(guard.observe(7, f32::INFINITY).unwrap(), Verdict::Skipped);
        assert_eq!(guard.observe(8, f32::NAN).unwrap(), Verdict::Skipped);
        let error = guard.observe(9, f32::NAN).unwrap_err().to_string();
        assert!(error.contains("step 9: 3 steps in a row"), "{error}");
    }
}
