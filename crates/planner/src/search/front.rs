//! A candidate layout with what it takes, and the front of those that no other beats in everything.

use serde::Serialize;

use crate::calibration::{CERTAIN, Calibration};
use crate::hardware::Gpu;
use crate::layout::Layout;
use crate::memory::{Memory, memory};
use crate::time::{Breakdown, Job, step_time};
use crate::units::{Bytes, Seconds, Watts};

/// A layout that fits, and what a step of it takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Layout.
    pub layout: Layout,
    /// Devices.
    pub gpus: usize,
    /// Sequences of a step.
    pub global_batch: usize,
    /// Time of a step by part.
    pub step: Breakdown,
    /// Time of a step.
    pub step_seconds: Seconds,
    /// Tokens a second of the whole cluster.
    pub tokens_per_second: f64,
    /// Utilisation, attention in full.
    pub mfu: f64,
    /// Memory of the fullest rank.
    pub memory: Memory,
    /// What is left of the device.
    pub headroom: Bytes,
    /// Probability that it fits, under the error of the memory model.
    pub fits_probability: f64,
    /// Mean power of a device over the step.
    pub gpu_watts: Watts,
    /// Energy of the devices for a token, in joules.
    pub joules_per_token: f64,
}

impl Candidate {
    /// Times and weighs a job.
    pub fn of(job: &Job, calibration: &Calibration) -> Self {
        let step = step_time(job, &calibration.constants);
        let memory = memory(job);
        let usable = crate::memory::usable(job);
        let total = step.total();
        let tokens_per_second = job.tokens() / total.0;
        let gpu_watts = mean_power(job.gpu, &step);
        Candidate {
            layout: job.layout,
            gpus: job.gpus(),
            global_batch: job.global_batch,
            step,
            step_seconds: total,
            tokens_per_second,
            mfu: job.mfu(total, false),
            memory,
            headroom: usable - memory.total(),
            fits_probability: calibration.memory.probability(memory.total(), usable),
            gpu_watts,
            joules_per_token: gpu_watts.0 * job.gpus() as f64 / tokens_per_second,
        }
    }

    /// Whether it is at least as good in all and better in one.
    fn beats(&self, other: &Candidate) -> bool {
        let pairs = [
            (other.tokens_per_second, self.tokens_per_second),
            (self.joules_per_token, other.joules_per_token),
            (-self.headroom.0, -other.headroom.0),
            (self.gpu_seconds_per_token(), other.gpu_seconds_per_token()),
        ];
        pairs.iter().all(|(a, b)| a <= b) && pairs.iter().any(|(a, b)| a < b)
    }

    /// Whether it fits with the probability that a recommendation asks for.
    pub fn is_certain(&self) -> bool {
        self.fits_probability >= CERTAIN
    }

    /// Device-seconds for a token: what rent is paid for.
    pub fn gpu_seconds_per_token(&self) -> f64 {
        self.gpus as f64 / self.tokens_per_second
    }
}

/// Share of board power drawn while products run, while memory is busy, and while waiting for
/// exchange (measured for large runs: 0.8 to 0.95 of board power in products, 0.35 to 0.5 in
/// exchange; arXiv:2407.21783 section 3.3.4 speaks of swings of the whole site between the two).
const POWER_PRODUCTS: f64 = 0.95;
const POWER_MEMORY: f64 = 0.75;
const POWER_WAITING: f64 = 0.45;

/// Mean power of a device over a step.
fn mean_power(gpu: &Gpu, step: &Breakdown) -> Watts {
    let busy = step.products + step.attention;
    let memory = step.pointwise + step.optimizer;
    let total = step.total();
    let rest = total - busy - memory;
    let share = (busy * POWER_PRODUCTS + memory * POWER_MEMORY + rest * POWER_WAITING) / total;
    gpu.power * share
}

/// Candidates that no other beats, fastest first. Of candidates within 2 % in speed that differ in
/// nothing else of interest, the front keeps them all; the caller shows as many as it likes.
pub fn pareto(candidates: &[Candidate]) -> Vec<Candidate> {
    let mut sorted: Vec<Candidate> = candidates.to_vec();
    sorted.sort_by(|a, b| {
        b.tokens_per_second
            .total_cmp(&a.tokens_per_second)
            .then(b.headroom.0.total_cmp(&a.headroom.0))
    });
    let mut front: Vec<Candidate> = Vec::new();
    for candidate in sorted {
        if !front.iter().any(|kept| kept.beats(&candidate) || same(kept, &candidate)) {
            front.push(candidate);
        }
    }
    front
}

fn same(a: &Candidate, b: &Candidate) -> bool {
    a.tokens_per_second == b.tokens_per_second && a.headroom == b.headroom && a.gpus == b.gpus
}
