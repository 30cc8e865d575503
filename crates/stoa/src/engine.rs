//! The engine the machine options ask for, within the memory there is. No other file of the binary
//! names an engine.

use std::sync::Arc;

use anyhow::Context as _;
use stoa_graph::{DType, Engine};
use stoa_models::{LanguageConfig, OptimizerConfig, optimizer_state, parameters};
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

/// Refuses a model whose weights and optimizer state alone exceed the limit, before any of it is
/// made. What a whole step needs is known when it is compiled, and is refused there.
///
/// # Errors
/// When they do.
pub fn check_state(
    engine: &dyn Engine,
    model: &LanguageConfig,
    optimizer: &OptimizerConfig,
) -> anyhow::Result<()> {
    let weights = parameters(model).into_iter().map(|p| p.ty(DType::F32));
    let types = weights.chain(optimizer_state(&parameters(model), optimizer).into_values());
    // In f64: absurd sizes overflow integers.
    let bytes = |ty: stoa_graph::TensorType| {
        ty.shape.iter().map(|&n| n as f64).product::<f64>() * size_of::<f32>() as f64
    };
    let needed: f64 = types.map(bytes).sum();
    let Some(limit) = engine.facts().memory_limit_bytes else { return Ok(()) };
    let gib = |bytes: f64| bytes / f64::from(1_u32 << 30);
    anyhow::ensure!(
        needed <= limit as f64,
        "the weights of {} layers of width {} and their optimizer need {:.1} GiB of memory, the \
         limit is {:.3} GiB; choose a smaller depth, or raise --memory-limit",
        model.layers,
        model.hidden,
        gib(needed),
        gib(limit as f64)
    );
    Ok(())
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
