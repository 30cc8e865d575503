//! The engine the machine options ask for, within the memory there is. No other file of the binary
//! names an engine.

use std::sync::Arc;

use anyhow::Context as _;
use stoa_graph::Engine;
use stoa_native::{NativeEngine, NativeOptions};

use crate::cli::MachineArgs;

/// Most threads an engine is made with: beyond this a number is a slip of the keyboard.
const MAX_THREADS: usize = 1024;

/// The engine of this machine. Without `--memory-limit` the limit is the memory of the machine.
///
/// # Errors
/// An instruction set that does not exist or that this machine lacks, an absurd thread count.
pub fn open(machine: &MachineArgs) -> anyhow::Result<Arc<dyn Engine>> {
    let threads = machine.threads;
    if let Some(n) = threads.filter(|n| !(1..=MAX_THREADS).contains(n)) {
        anyhow::bail!("--threads {n} is out of range; give 1 to {MAX_THREADS}");
    }
    let isa = machine.isa.as_deref().map(str::parse).transpose().context("--isa")?;
    stoa_native::return_large_blocks();
    let memory_limit_bytes = machine.memory_limit.or_else(machine_memory);
    Ok(Arc::new(NativeEngine::new(NativeOptions { threads, isa, memory_limit_bytes })?))
}

/// Memory and swap of this machine or container, where the system says (Linux: proc(5), cgroups(7)).
fn machine_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| -> Option<usize> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
    };
    let machine = field("MemTotal:")? + field("SwapTotal:").unwrap_or(0);
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<usize>().ok());
    Some(group.map_or(machine, |group| group.min(machine)))
}
