//! The engine the machine options ask for.

use anyhow::Context as _;
use stoa_native::{NativeEngine, NativeOptions};

use crate::cli::MachineArgs;

/// Most threads an engine is made with: beyond this a number is a slip of the keyboard.
const MOST_THREADS: usize = 1024;

/// The CPU engine.
///
/// # Errors
/// An instruction set that does not exist or that this machine lacks, an absurd thread count.
pub fn native(machine: &MachineArgs) -> anyhow::Result<NativeEngine> {
    let threads = machine.threads;
    if let Some(n) = threads.filter(|n| !(1..=MOST_THREADS).contains(n)) {
        anyhow::bail!("--threads {n} is out of range; give 1 to {MOST_THREADS}");
    }
    let isa = machine.isa.as_deref().map(str::parse).transpose().context("--isa")?;
    let memory_limit_bytes = machine.memory_limit;
    Ok(NativeEngine::new(NativeOptions { threads, isa, memory_limit_bytes })?)
}
