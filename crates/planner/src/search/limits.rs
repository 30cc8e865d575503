//! What limits a layout: how much faster a step would be with twice the rate of each resource.

use serde::Serialize;

use crate::calibration::Constants;
use crate::hardware::Gpu;
use crate::time::{Job, step_time};

/// A resource and what doubling it is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// Resource.
    pub resource: &'static str,
    /// Share of the step time saved when its rate doubles.
    pub saved_by_doubling: f64,
}

/// Resources by what doubling them saves, the most first.
pub fn limits(job: &Job, constants: &Constants) -> Vec<Limit> {
    let before = step_time(job, constants).total();
    let with = |change: &dyn Fn(&mut Gpu)| {
        let mut gpu = job.gpu.clone();
        change(&mut gpu);
        let after = step_time(&Job { gpu: &gpu, ..*job }, constants).total();
        1.0 - after / before
    };
    let mut all = vec![
        Limit {
            resource: "arithmetic",
            saved_by_doubling: with(&|gpu| {
                gpu.bf16 = gpu.bf16 * 2.0;
                gpu.gemm_bf16 = gpu.gemm_bf16 * 2.0;
                gpu.fp8 = gpu.fp8.map(|rate| rate * 2.0);
                gpu.fp4 = gpu.fp4.map(|rate| rate * 2.0);
            }),
        },
        Limit {
            resource: "memory bandwidth",
            saved_by_doubling: with(&|gpu| gpu.hbm = gpu.hbm * 2.0),
        },
        Limit {
            resource: "fast link",
            saved_by_doubling: with(&|gpu| gpu.nvlink = gpu.nvlink * 2.0),
        },
        Limit { resource: "network", saved_by_doubling: with(&|gpu| gpu.nic = gpu.nic * 2.0) },
    ];
    all.sort_by(|a, b| b.saved_by_doubling.total_cmp(&a.saved_by_doubling));
    all
}
