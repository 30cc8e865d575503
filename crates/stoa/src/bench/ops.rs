//! `stoa bench ops`: where the time of a training step goes, and each op's share of the FMA peak of its type.

use serde::Serialize;
use stoa_graph::{CompileOptions, DType, OpProfile, Tensor};
use stoa_models::Compute;

use super::args::BenchOpsArgs;
use crate::cli::MachineArgs;
use crate::engine;
use crate::terminal::Terminal;

#[derive(Serialize)]
struct Report {
    engine: String,
    size: String,
    fma_peak_gflops: f64,
    bf16_peak_gflops: f64,
    step_seconds: f64,
    ops: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    op: String,
    steps: usize,
    seconds: f64,
    time_share: f64,
    gflops: f64,
    peak_share: f64,
    gigabytes_per_second: f64,
}

/// Profiles some steps and prints a table.
///
/// # Errors
/// When the engine refuses the workload.
pub fn run(args: &BenchOpsArgs, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let engine = engine::open(machine)?;
    let (recompute, precision) = (args.size.recompute(), args.weights.into());
    let step = args.size.step(Compute { recompute, precision })?;
    let mut executable = engine.compile(&step.program, &CompileOptions::default())?;
    let mut state = step.state(&*engine)?;
    let lr = Tensor::scalar(1.0);
    let mut bar = terminal.bar("profile", args.steps as u64 + 1, "steps");
    for at in 0..=args.steps {
        if at == 1 {
            executable.start_profile();
        }
        let count = Tensor::scalar((at + 1) as f32);
        executable.run(&mut state, &step.inputs(&count, &lr))?.outputs()?;
        // Between the steps, so that a busy moment does not make the peak too low.
        engine.sample_peak();
        bar.update(at as u64 + 1, "");
    }
    let profile = executable.take_profile();
    let peaks = engine.facts().peak_flops;
    let peak = |dtype| peaks.get(&dtype).map_or(f64::NAN, |peak| peak / 1e9);
    let runs = args.steps.max(1) as f64;
    let total: f64 = profile.iter().map(|p| p.seconds).sum();
    let row = |p: OpProfile| {
        let seconds = p.seconds / runs;
        let gflops = p.flops as f64 / seconds / 1e9;
        let narrow = p.multiplies.filter(|multiplied| *multiplied != "f32");
        Row {
            op: match narrow {
                Some(multiplied) => format!("{} {multiplied}", p.op),
                None => p.op,
            },
            steps: p.steps,
            seconds,
            time_share: p.seconds / total,
            gflops,
            peak_share: gflops / peak(if narrow.is_some() { DType::BF16 } else { DType::F32 }),
            gigabytes_per_second: p.bytes as f64 / seconds / 1e9,
        }
    };
    let report = Report {
        engine: engine.facts().name,
        size: format!("{:?}", args.size),
        fma_peak_gflops: peak(DType::F32),
        bf16_peak_gflops: peak(DType::BF16),
        step_seconds: total / runs,
        ops: profile.into_iter().map(row).collect(),
    };
    bar.finish(&format!("{} steps", args.steps));
    terminal.result(&report, || text(&report))
}

fn text(report: &Report) -> String {
    let mut lines = vec![
        format!("workload {} on {}", report.size, report.engine),
        format!(
            "FMA peak {:.0} GFLOP/s in f32, {:.0} in bf16, step {:.3} s",
            report.fma_peak_gflops, report.bf16_peak_gflops, report.step_seconds
        ),
        format!(
            "{:<28} {:>5} {:>9} {:>6} {:>9} {:>7} {:>7}",
            "op", "steps", "ms", "time", "GFLOP/s", "peak", "GB/s"
        ),
    ];
    lines.extend(report.ops.iter().map(|row| {
        format!(
            "{:<28} {:>5} {:>9.1} {:>5.1}% {:>9.1} {:>6.1}% {:>7.1}",
            row.op,
            row.steps,
            row.seconds * 1e3,
            row.time_share * 100.0,
            row.gflops,
            row.peak_share * 100.0,
            row.gigabytes_per_second
        )
    }));
    lines.join("\n")
}
