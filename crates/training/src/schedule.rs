//! What changes with the step: the learning rate's factor (warm-up, stable, decay: arXiv
//! 2404.06395 §4) and Muon's momentum. Pure functions of the step.

use serde::{Deserialize, Serialize};

use crate::TrainingError;
use crate::error::check;

/// Shape of a stage's learning rate, and of Muon's momentum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Steps of linear rise.
    pub warmup_steps: u64,
    /// Share of the stage, at its end, over which the rate falls linearly.
    pub decay_fraction: f64,
    /// Factor the fall ends at.
    pub final_factor: f64,
    /// Muon's momentum at the first step.
    pub momentum_start: f64,
    /// Muon's momentum after its rise.
    pub momentum_peak: f64,
    /// Muon's momentum at the last step; it falls with the learning rate.
    pub momentum_end: f64,
    /// Steps of the momentum's rise, at most a third of the stage.
    pub momentum_steps: u64,
}

impl Default for Schedule {
    /// nanochat's (base_train.py): 40 steps of warm-up, the last 65 % down to 5 %, momentum
    /// .85 → .97 over 400 steps and → .90 at the end.
    fn default() -> Self {
        Schedule {
            warmup_steps: 40,
            decay_fraction: 0.65,
            final_factor: 0.05,
            momentum_start: 0.85,
            momentum_peak: 0.97,
            momentum_end: 0.90,
            momentum_steps: 400,
        }
    }
}

impl Schedule {
    /// Factor on every learning rate in step `step` of `steps`, both counted from the stage's
    /// start.
    pub fn lr_factor(&self, step: u64, steps: u64) -> f32 {
        let rise = (step + 1) as f64 / self.warmup_steps.max(1) as f64;
        let fall = 1.0 - self.decayed(step, steps) * (1.0 - self.final_factor);
        rise.min(1.0).min(fall) as f32
    }

    /// Muon's momentum in step `step` of `steps`.
    pub fn momentum(&self, step: u64, steps: u64) -> f32 {
        let rising = self.momentum_steps.min(steps / 3).max(1);
        let risen = (step as f64 / rising as f64).min(1.0);
        let held = self.momentum_start + risen * (self.momentum_peak - self.momentum_start);
        let decayed = self.decayed(step, steps);
        (held + decayed * (self.momentum_end - held)) as f32
    }

    /// How much of the decay lies behind, in 0..=1: 1 in the last step.
    fn decayed(&self, step: u64, steps: u64) -> f64 {
        let decay_steps = steps as f64 * self.decay_fraction;
        if decay_steps < 1.0 {
            return 0.0;
        }
        let left = steps as f64 - (step + 1) as f64;
        (1.0 - left / decay_steps).clamp(0.0, 1.0)
    }

    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`TrainingError::Setting`].
    pub fn validate(&self, stage: &str) -> Result<(), TrainingError> {
        let shares = [
            ("decay_fraction", self.decay_fraction),
            ("final_factor", self.final_factor),
            ("momentum_start", self.momentum_start),
            ("momentum_peak", self.momentum_peak),
            ("momentum_end", self.momentum_end),
        ];
        shares.into_iter().try_for_each(|(name, value)| {
            let field = format!("{stage}.schedule.{name}");
            check(field, value, (0.0..=1.0).contains(&value), "between 0 and 1")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        warmup_steps: 10,
        decay_fraction: 0.5,
        final_factor: 0.1,
        momentum_start: 0.85,
        momentum_peak: 0.95,
        momentum_end: 0.9,
        momentum_steps: 20,
    };

    #[test]
    fn the_rate_rises_holds_and_falls() {
        let at = |step| SCHEDULE.lr_factor(step, 100);
        assert_eq!((at(0), at(4), at(9), at(10), at(48)), (0.1, 0.5, 1.0, 1.0, 1.0));
        assert_eq!(at(49), 1.0, "the decay begins after half the steps");
        assert!((at(74) - 0.55).abs() < 1e-6, "half way down: {}", at(74));
        assert!((at(99) - 0.1).abs() < 1e-6, "the last step: {}", at(99));
        assert!(at(200) == at(99), "beyond the end it stays");
    }

    #[test]
    fn momentum_rises_and_falls_back() {
        let at = |step| SCHEDULE.momentum(step, 100);
        assert!((at(0) - 0.85).abs() < 1e-6 && (at(10) - 0.90).abs() < 1e-6);
        assert!((at(20) - 0.95).abs() < 1e-6 && (at(49) - 0.95).abs() < 1e-6);
        assert!((at(99) - 0.90).abs() < 1e-6, "{}", at(99));
    }

    #[test]
    fn short_and_flat_stages_are_sound() {
        for steps in 1..20 {
            for step in 0..steps {
                let schedule = Schedule::default();
                let (factor, momentum) =
                    (schedule.lr_factor(step, steps), schedule.momentum(step, steps));
                assert!(factor > 0.0 && factor <= 1.0, "{step} of {steps}: {factor}");
                assert!((0.85..=0.97).contains(&momentum), "{step} of {steps}: {momentum}");
            }
        }
        let flat = Schedule { warmup_steps: 0, decay_fraction: 0.0, ..SCHEDULE };
        assert!((0..50).all(|step| flat.lr_factor(step, 50) == 1.0));
    }
}
