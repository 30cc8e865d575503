//! `stoa bench train`: whole training steps of a reference workload, timed.

use std::time::Instant;

use clap::ValueEnum as _;
use serde::Serialize;
use stoa_graph::{CompileOptions, Tensor};
use stoa_models::Compute;

use super::args::{BenchTrainArgs, Workload};
use super::median;
use crate::cli::MachineArgs;
use crate::engine;
use crate::peak_memory::peak_rss_bytes;
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
    /// What each kind of product ran in.
    products: Vec<Products>,
}

/// The products of one op.
#[derive(Serialize)]
struct Products {
    op: String,
    /// Steps of this op.
    steps: usize,
    /// What they multiplied; sums are f32.
    multiplied: &'static str,
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
    let step = args.size.step(Compute { recompute, precision: args.weights.into() })?;
    let mut executable = engine.compile(&step.program, &CompileOptions::default())?;
    let mut state = step.state(&*engine)?;
    let total = args.warmup + args.steps;
    let mut bar = terminal.bar("bench", total as u64, "steps");
    let (mut seconds, mut loss, mut products) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..total {
        if at == 0 {
            executable.start_profile();
        }
        let (count, lr) = (Tensor::scalar((at + 1) as f32), Tensor::scalar(1.0));
        let started = Instant::now();
        let outputs = executable.run(&mut state, &step.inputs(&count, &lr))?.outputs()?;
        seconds.push(started.elapsed().as_secs_f64());
        loss.extend(outputs["loss"].as_f32().and_then(|v| v.first()));
        for profile in executable.take_profile() {
            let (op, steps) = (profile.op, profile.steps);
            products.extend(profile.multiplies.map(|multiplied| Products {
                op,
                steps,
                multiplied,
            }));
        }
        bar.update(at as u64 + 1, &format!("{:.3} s", seconds[at]));
    }
    let timed = seconds.split_off(args.warmup);
    let step_seconds = median(&timed);
    let flops = stoa_graph::program_cost(&step.program).flops;
    let report = Report {
        engine: engine.facts().name,
        size: name(args.size),
        tokens_per_second: step.tokens as f64 / step_seconds,
        step_seconds: timed,
        warmup_seconds: seconds,
        loss,
        peak_rss_bytes: peak_rss_bytes(),
        planned_bytes: executable.memory().total_bytes(),
        flops_per_step: flops,
        gflops_per_second: flops as f64 / step_seconds / 1e9,
        recompute: format!("{recompute:?}").to_lowercase(),
        products,
    };
    bar.finish(&format!("{total} steps"));
    terminal.result(&report, || text(&report))
}

/// A workload as the command line names it.
fn name(size: Workload) -> String {
    size.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn text(report: &Report) -> String {
    let mut types: Vec<&str> = report.products.iter().map(|p| p.multiplied).collect();
    types.sort_unstable();
    types.dedup();
    format!(
        "workload {} on {}: {:.0} tokens/s, {:.3} s a step, {:.0} GFLOP/s\n\
         peak memory {} MiB, planned {} MiB, recompute {}, products in {}\n\
         loss {:.4} to {:.4}",
        report.size,
        report.engine,
        report.tokens_per_second,
        median(&report.step_seconds),
        report.gflops_per_second,
        report.peak_rss_bytes >> 20,
        report.planned_bytes >> 20,
        report.recompute,
        types.join(" and "),
        report.loss.first().unwrap_or(&f32::NAN),
        report.loss.last().unwrap_or(&f32::NAN),
    )
}
