//! What a figure was measured on. Reads what the system says; unknown things are null.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// Instruction sets that kernels choose between, as Linux names them.
const RELEVANT_FLAGS: &[&str] =
    &["avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "asimd", "asimdhp", "i8mm", "sve"];

/// Processor, memory, system and compiler.
pub fn describe() -> Value {
    let cpu = colon_fields(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
    let memory = colon_fields(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let flags = cpu.get("flags").or_else(|| cpu.get("Features")).cloned().unwrap_or_default();
    let present: Vec<&str> =
        RELEVANT_FLAGS.iter().copied().filter(|f| flags.split(' ').any(|x| x == *f)).collect();
    json!({
        "cpu": cpu.get("model name"),
        "cpu_family_model": [cpu.get("cpu family"), cpu.get("model")],
        "logical_cores": std::thread::available_parallelism().ok().map(usize::from),
        "instruction_sets": present,
        "memory_bytes": memory.get("MemTotal").and_then(|size| kibibytes(size)),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "rustc": first_line(Command::new("rustc").arg("--version")),
        "load_average": load_average(),
    })
}

/// Processes running on average over the last minute: above 1 before a bench, others disturb it.
pub fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The first value of each `key : value` line.
fn colon_fields(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        fields.entry(key.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
    }
    fields
}

fn kibibytes(size: &str) -> Option<u64> {
    size.strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_the_first_value_of_a_key() {
        let fields = colon_fields("model name\t: A\nflags : x y\n\nmodel name : B\n");
        assert_eq!(fields["model name"], "A");
        assert_eq!(fields["flags"], "x y");
        assert_eq!(kibibytes("24 kB"), Some(24 << 10));
        assert_eq!(kibibytes("24"), None);
    }
}
