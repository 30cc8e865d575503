//! The loss-spike guard: a step whose gradient norm is not finite, or far above what recent steps
//! had, changes nothing (OLMo-core's skip-step optimizer does the same). The engine compares; this
//! says with what, and gives up when too many steps in a row are left out.

use serde::{Deserialize, Serialize};

use crate::TrainingError;

/// When a step is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// A gradient norm above this multiple of the recent median is a spike.
    pub factor: f32,
    /// Norms the median is taken of.
    pub window: usize,
    /// Steps left out in a row after which training stops with an error.
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
const LEAST_NORMS: usize = 16;

/// Recent norms and what was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    config: GuardConfig,
    /// Norms of the last steps that were not left out, oldest first.
    recent: Vec<f32>,
    /// Steps left out since the last that was not.
    in_a_row: u64,
    /// Steps left out in all.
    skipped: u64,
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
    /// A guard without memory.
    pub fn new(config: GuardConfig) -> Self {
        Self::restored(config, &GuardMemory::default())
    }

    /// A guard as it was.
    pub fn restored(config: GuardConfig, memory: &GuardMemory) -> Self {
        let recent = memory.recent_norm_bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        Guard { config, recent, in_a_row: memory.in_a_row, skipped: memory.skipped }
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
        if self.recent.len() < LEAST_NORMS.min(self.config.window) {
            return f32::INFINITY;
        }
        let mut sorted = self.recent.clone();
        sorted.sort_by(f32::total_cmp);
        self.config.factor * sorted[sorted.len() / 2]
    }

    /// Takes note of a step's norm, which was compared with [`Guard::limit`]; whether the step was
    /// left out.
    ///
    /// # Errors
    /// [`TrainingError::Diverged`] when patience ends.
    pub fn observe(&mut self, step: u64, grad_norm: f32) -> Result<bool, TrainingError> {
        let limit = self.limit();
        if grad_norm.is_finite() && grad_norm <= limit {
            self.in_a_row = 0;
            self.recent.push(grad_norm);
            let surplus = self.recent.len().saturating_sub(self.config.window);
            self.recent.drain(..surplus);
            return Ok(false);
        }
        self.in_a_row += 1;
        self.skipped += 1;
        if self.in_a_row >= self.config.patience {
            return Err(TrainingError::Diverged { step, skipped: self.in_a_row, grad_norm, limit });
        }
        Ok(true)
    }

    /// Steps left out so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spikes_are_left_out_and_forgotten() {
        let mut guard = Guard::new(GuardConfig { factor: 4.0, window: 32, patience: 3 });
        assert_eq!(guard.limit(), f32::INFINITY);
        for step in 0..40 {
            assert!(!guard.observe(step, 1.0 + (step % 3) as f32).unwrap());
        }
        assert_eq!(guard.limit(), 8.0);
        assert!(guard.observe(40, 8.1).unwrap());
        assert!(guard.observe(41, f32::NAN).unwrap());
        assert!(!guard.observe(42, 8.0).unwrap());
        assert_eq!(guard.skipped(), 2);
        let restored = Guard::restored(guard.config, &guard.memory());
        assert_eq!(restored, guard);
    }

    #[test]
    fn patience_ends_with_the_numbers() {
        let mut guard = Guard::new(GuardConfig { patience: 3, ..GuardConfig::default() });
        assert!(guard.observe(7, f32::INFINITY).unwrap());
        assert!(guard.observe(8, f32::NAN).unwrap());
        let error = guard.observe(9, f32::NAN).unwrap_err().to_string();
        assert!(error.contains("step 9: 3 steps in a row"), "{error}");
    }
}
