//! `stoa bench machine`: what rates of products and of answers are a share of.

use crate::cli::MachineArgs;
use crate::engine;
use crate::terminal::Terminal;

/// Measures and prints the ceilings.
///
/// # Errors
/// An instruction set or a number of threads that the engine refuses.
pub fn run(machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let found = engine::ceilings(machine)?;
    terminal.result(&found, || {
        format!(
            "{}: reads {:.1} GB/s, multiplies {:.0} GFLOP/s in f32, {:.0} GOP/s in bytes",
            found.engine, found.read_gigabytes_per_second, found.f32_gflops, found.int8_gops
        )
    })
}
