//! Programs that take turns, each turn in a fresh process, so that a busy moment of the machine does
//! not fall on one side only. Medians over the turns are compared.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::peak_memory;

/// A program that does the work of a bench, and its turns so far.
pub struct Side {
    /// As it is called in the report.
    pub name: &'static str,
    /// What is started.
    pub program: PathBuf,
    /// With these arguments; its last line on stdout is one JSON object.
    pub arguments: Vec<String>,
    /// What it reported.
    pub turns: Vec<Turn>,
}

/// What one process reported.
pub struct Turn {
    /// Its last line.
    pub report: Value,
    /// Highest resident memory, seen from outside where possible: the same measure for all sides.
    pub peak_rss_bytes: u64,
}

impl Side {
    /// A side that has not had a turn.
    pub fn new(name: &'static str, program: PathBuf, arguments: Vec<String>) -> Self {
        Self { name, program, arguments, turns: Vec::new() }
    }

    /// Runs the program once and keeps what it reported; `key` must be a number in it.
    pub fn take_turn(&mut self, key: &str) -> anyhow::Result<&Turn> {
        let watched = peak_memory::run(Command::new(&self.program).args(&self.arguments))?;
        let line = watched.stdout.lines().last().unwrap_or_default();
        let report: Value = serde_json::from_str(line)
            .with_context(|| format!("{}: the last line is not JSON: {line}", self.name))?;
        let rate =
            report[key].as_f64().with_context(|| format!("{}: no {key} in {line}", self.name))?;
        eprintln!("bench: {} {key} {rate:.1}", self.name);
        let peak_rss_bytes = watched
            .peak_rss_bytes
            .max(report["peak_rss_bytes"].as_u64())
            .with_context(|| format!("{}: no peak_rss_bytes in {line}", self.name))?;
        self.turns.push(Turn { report, peak_rss_bytes });
        self.turns.last().context("a turn was just taken")
    }

    /// Median over the turns of a number in their reports.
    pub fn median(&self, key: &str) -> Option<f64> {
        let mut values: Vec<f64> =
            self.turns.iter().filter_map(|turn| turn.report[key].as_f64()).collect();
        median(&mut values)
    }

    /// Highest resident memory of all turns.
    pub fn peak_rss_bytes(&self) -> Option<u64> {
        self.turns.iter().map(|turn| turn.peak_rss_bytes).max()
    }
}

/// The median, sorting `values`; nothing of nothing.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
