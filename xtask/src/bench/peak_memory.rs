//! Runs a process and watches its peak resident memory from outside, the same way for every
//! program that is compared. On systems without /proc it only runs the process.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, bail};

use crate::workspace::shown;

/// What a process left.
#[derive(Debug)]
pub struct Watched {
    /// All it printed on stdout.
    pub stdout: String,
    /// Highest resident size, in bytes, where the system tells.
    pub peak_rss_bytes: Option<u64>,
}

/// The high-water mark only rises, so a coarse period misses no more than what a process adds in
/// its last moments.
const PERIOD: Duration = Duration::from_millis(20);

/// Runs `command` to its end. stderr passes through.
pub fn run(command: &mut Command) -> anyhow::Result<Watched> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut pipe = child.stdout.take().expect("stdout was asked to be a pipe");
    let status_file = format!("/proc/{}/status", child.id());
    let ended = AtomicBool::new(false);
    let (read, peak_rss_bytes) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = None;
            while !ended.load(Ordering::Relaxed) {
                // Some programs lower their own mark between phases: keep the highest.
                peak = peak.max(high_water_mark(&status_file));
                thread::sleep(PERIOD);
            }
            peak
        });
        let mut stdout = String::new();
        let read = pipe.read_to_string(&mut stdout).map(|_| stdout);
        ended.store(true, Ordering::Relaxed);
        (read, watcher.join().expect("the watcher does not panic"))
    });
    let status = child.wait().with_context(|| format!("cannot wait for `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    let stdout = read.with_context(|| format!("`{shown}` did not print UTF-8"))?;
    Ok(Watched { stdout, peak_rss_bytes })
}

fn high_water_mark(status_file: &str) -> Option<u64> {
    parse_high_water_mark(&fs::read_to_string(status_file).ok()?)
}

fn parse_high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read() {
        assert_eq!(parse_high_water_mark("Name:\tx\nVmHWM:\t   12 kB\n"), Some(12 << 10));
        assert_eq!(parse_high_water_mark("Name:\tx\n"), None);
    }

    #[test]
    fn output_and_failure_come_back() {
        let watched = run(Command::new("rustc").arg("--version")).expect("rustc is there");
        assert!(watched.stdout.starts_with("rustc "), "{}", watched.stdout);
        let failed = run(Command::new("rustc").arg("no-such-file.rs").env("RUSTC_LOG", "off"));
        assert!(failed.is_err());
    }
}
