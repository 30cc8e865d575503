//! `stoa bench train`: whole training steps of a reference workload, timed.

use std::time::Instant;

use serde::Serialize;
use stoa_graph::{CompileOptions, Tensor};

use super::{median, peak_rss_bytes};
use crate::cli::{BenchTrainArgs, MachineArgs, Workload};
use crate::engine;
use crate::terminal::Terminal;

#[derive(Serialize)]
struct Report {
    engine: String,
    size: String,
    tokens_per_second: f64,
    step_seconds: Vec<f64>,
    warmup_seconds: Vec<f64>,
    loss: Vec<f32>,
    peak_rss_bytes: u64,
    planned_bytes: usize,
    flops_per_step: u64,
    gflops_per_second: f64,
    recompute: String,
}

/// Runs the steps and prints the figures.
///
/// # Errors
/// When the engine refuses the workload.
pub fn run(
    args: &BenchTrainArgs,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let engine = engine::open(machine)?;
    let recompute = args.recompute.map_or(args.size.recompute(), Into::into);
    let step = args.size.step(recompute)?;
    let mut executable = engine.compile(&step.program, &CompileOptions::default())?;
    let mut state = step.state(&*engine)?;
    let total = args.warmup + args.steps;
    let mut bar = terminal.bar("bench", total as u64, "steps");
    let (mut seconds, mut loss) = (Vec::new(), Vec::new());
    for at in 0..total {
        let (count, lr) = (Tensor::scalar((at + 1) as f32), Tensor::scalar(1.0));
        let started = Instant::now();
        let outputs = executable.run(&mut state, &step.inputs(&count, &lr))?.outputs()?;
        seconds.push(started.elapsed().as_secs_f64());
        loss.extend(outputs["loss"].as_f32().and_then(|v| v.first()));
        bar.update(at as u64 + 1, &format!("{:.3} s", seconds[at]));
    }
    let timed = seconds.split_off(args.warmup);
    let step_seconds = median(&timed);
    let flops = stoa_graph::program_cost(&step.program).flops;
    let report = Report {
        engine: engine.facts().name,
        size: format!("{:?}", args.size),
        tokens_per_second: step.tokens as f64 / step_seconds,
        step_seconds: timed,
        warmup_seconds: seconds,
        loss,
        peak_rss_bytes: peak_rss_bytes(),
        planned_bytes: executable.memory().total_bytes(),
        flops_per_step: flops,
        gflops_per_second: flops as f64 / step_seconds / 1e9,
        recompute: format!("{recompute:?}").to_lowercase(),
    };
    bar.finish(&format!("{total} steps"));
    terminal.result(&report, || text(&report, args.size))
}

fn text(report: &Report, size: Workload) -> String {
    format!(
        "workload {size:?} on {}: {:.0} tokens/s, {:.3} s a step, {:.0} GFLOP/s\n\
         peak memory {} MiB, planned {} MiB, recompute {}\n\
         loss {:.4} to {:.4}",
        report.engine,
        report.tokens_per_second,
        median(&report.step_seconds),
        report.gflops_per_second,
        report.peak_rss_bytes >> 20,
        report.planned_bytes >> 20,
        report.recompute,
        report.loss.first().unwrap_or(&f32::NAN),
        report.loss.last().unwrap_or(&f32::NAN),
    )
}
