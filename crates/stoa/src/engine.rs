//! The engine the machine options ask for, within the memory there is. No other file of the binary
//! names an engine.

use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use stoa_graph::Engine;
use stoa_native::{NativeEngine, NativeOptions, peak};

use crate::cli::MachineArgs;

/// Most threads an engine is made with: beyond this a number is a slip of the keyboard.
const MAX_THREADS: usize = 1024;

/// The engine of this machine. Without `--memory-limit` the limit is the memory that is free.
///
/// # Errors
/// An instruction set that does not exist or that this machine lacks, an absurd thread count.
pub fn open(machine: &MachineArgs) -> anyhow::Result<Arc<dyn Engine>> {
    Ok(Arc::new(native(machine)?))
}

fn native(machine: &MachineArgs) -> anyhow::Result<NativeEngine> {
    let threads = machine.threads;
    if let Some(n) = threads.filter(|n| !(1..=MAX_THREADS).contains(n)) {
        anyhow::bail!("--threads {n} is out of range; give 1 to {MAX_THREADS}");
    }
    let isa = machine.isa.as_deref().map(str::parse).transpose().context("--isa")?;
    stoa_native::return_large_blocks();
    let memory_limit_bytes = machine.memory_limit.or_else(free_memory);
    Ok(NativeEngine::new(NativeOptions { threads, isa, memory_limit_bytes })?)
}

/// What the machine can do at most, with the threads and the instruction set asked for.
#[derive(Serialize)]
pub struct Ceilings {
    /// The engine that it was measured with.
    pub engine: String,
    /// Bytes read from memory.
    pub read_gigabytes_per_second: f64,
    /// Multiply-adds of f32 on registers, two operations each.
    pub f32_gflops: f64,
    /// Dot products of bytes on registers, two operations a multiply-add.
    pub int8_gops: f64,
}

/// Passes of each measurement, of which the best counts.
const PASSES: usize = 8;

/// Measures them.
///
/// # Errors
/// As [`open`].
pub fn ceilings(machine: &MachineArgs) -> anyhow::Result<Ceilings> {
    let engine = native(machine)?;
    let (pool, isa) = (engine.pool(), engine.isa());
    Ok(Ceilings {
        engine: engine.facts().name,
        read_gigabytes_per_second: peak::read_gigabytes_per_second(pool, isa, PASSES),
        f32_gflops: peak::fma_peak_gflops(pool, isa, PASSES),
        int8_gops: peak::dot_peak_gops(pool, isa, PASSES),
    })
}

/// Memory and swap that this machine or container has free, or holds only as a copy of files, where
/// the system says (Linux: proc(5), cgroups(7)).
fn free_memory() -> Option<usize> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let kibibytes = field(&read("/proc/meminfo")?, "MemAvailable:")?;
    let swap = field(&read("/proc/meminfo")?, "SwapFree:").unwrap_or(0);
    let machine = (kibibytes + swap) << 10;
    let number = |path: &str| read(path).and_then(|text| text.trim().parse::<usize>().ok());
    let group = "/sys/fs/cgroup";
    let Some(limit) = number(&format!("{group}/memory.max")) else { return Some(machine) };
    let used = number(&format!("{group}/memory.current")).unwrap_or(0);
    let files = read(&format!("{group}/memory.stat"));
    let files = files.and_then(|text| field(&text, "file ")).unwrap_or(0);
    Some(machine.min(limit.saturating_sub(used.saturating_sub(files))))
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<usize> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_the_names_before_them() {
        let text = "MemTotal:       100 kB\nMemAvailable:    40 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(40));
        assert_eq!(field("anon 5\nfile_mapped 7\nfile 9\n", "file "), Some(9));
        assert_eq!(field(text, "SwapFree:"), None);
    }
}
