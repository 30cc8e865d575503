//! `stoa bench …`: measures this machine and this engine, alone. Comparisons with other programs
//! are in `cargo xtask bench`, which runs these commands beside them.

mod args;
mod decode;
mod machine;
mod ops;
mod train;
mod workload;

pub use args::BenchCommand;

use crate::cli::MachineArgs;
use crate::terminal::Terminal;

/// Runs one measurement.
///
/// # Errors
/// When the engine refuses the workload.
pub fn run(
    command: &BenchCommand,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    match command {
        BenchCommand::Train(args) => train::run(args, machine, terminal),
        BenchCommand::Ops(args) => ops::run(args, machine, terminal),
        BenchCommand::Decode(args) => decode::run(args, machine, terminal),
        BenchCommand::Machine => machine::run(machine, terminal),
    }
}

/// Middle of some measurements.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}
