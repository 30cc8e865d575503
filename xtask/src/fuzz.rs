//! Fuzzing: builds the targets of `fuzz/` with coverage counters, writes their seeds and runs them,
//! several at a time. Fails when one finds something.
//!
//! It needs neither cargo-fuzz nor a nightly compiler: the counters are LLVM's, the driver is
//! libFuzzer, and no sanitizer runs (the code fuzzed has no `unsafe` of its own; what is looked for are
//! panics, overflows, hangs and memory without bound).

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::workspace;

/// Options of `fuzz`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Targets [default: all]. `--list` names them.
    targets: Vec<String>,
    /// Name the targets and do nothing.
    #[arg(long)]
    list: bool,
    /// Seconds for each target.
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// Targets that run at a time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Seed of the inputs: from empty corpora (`target/fuzz/corpus`) the same seed tries the same inputs
    /// in the same order [default: another each time].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seed: Option<u32>,
}

/// Counters at every edge, which comparisons were made, one object for each crate so that counters
/// and places agree: what cargo-fuzz passes without a sanitizer.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// Limits of a run: memory, one allocation, seconds for one input, its longest length.
const LIMITS: &[&str] =
    &["-rss_limit_mb=1024", "-malloc_limit_mb=512", "-timeout=10", "-max_len=65536"];

/// The longest input that is printed, bytes.
const LONGEST_SHOWN: usize = 8192;

/// libFuzzer's exit status for an input that took too long.
const TOO_LONG: i32 = 70;

/// Where the parts of fuzzing are.
struct Places {
    root: PathBuf,
    programs: PathBuf,
}

impl Places {
    fn of(&self, kind: &str, target: &str) -> PathBuf {
        self.root.join("target/fuzz").join(kind).join(target)
    }
}

/// What came of a target.
struct Outcome {
    target: String,
    executions: u64,
    seconds: f64,
    findings: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A target that does not exist, does not build, or finds something.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let root = workspace::root()?;
    let known = targets(&root)?;
    if args.list {
        known.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    if let Some(unknown) = args.targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no fuzz target {unknown}; there are {}", known.join(", "));
    }
    let chosen = if args.targets.is_empty() { &known } else { &args.targets };
    let places = Places { programs: build(&root)?, root };
    seeds(&places)?;
    if let Some(target) = chosen.iter().find(|target| !places.of("seeds", target).is_dir()) {
        bail!("the fuzz target {target} has no seeds; write some in crates/square/examples/seeds");
    }
    let outcomes = fuzz(&places, chosen, args)?;
    let table: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "target": outcome.target,
                "executions": outcome.executions,
                "seconds": outcome.seconds.round(),
                "findings": outcome.findings,
            })
        })
        .collect();
    println!("{}", Value::from(table));
    let findings: usize = outcomes.iter().map(|outcome| outcome.findings.len()).sum();
    if findings > 0 {
        bail!(
            "{findings} findings, below {}; run a target's program with one of them to see it",
            places.root.join("target/fuzz/findings").display()
        );
    }
    Ok(())
}

fn targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        names.extend(entry?.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Builds all targets; gives the folder of their programs.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let triple = host()?;
    let mut cargo = workspace::cargo(root);
    cargo.args(["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a target named, the flags do not reach build scripts and macros.
    cargo.args(["--target", &triple, "--target-dir", "target/fuzz/build"]);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    workspace::check(&mut cargo)?;
    Ok(root.join("target/fuzz/build").join(triple).join("release"))
}

fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = output.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV does not name the host")?.to_owned())
}

fn seeds(places: &Places) -> anyhow::Result<()> {
    let mut cargo = workspace::cargo(&places.root);
    // Not in release: the tests have built it already.
    cargo.args(["run", "--quiet", "--package", "stoa-square", "--example", "seeds", "--"]);
    workspace::check(cargo.arg(places.of("seeds", "")))
}

fn fuzz(places: &Places, targets: &[String], args: &Args) -> anyhow::Result<Vec<Outcome>> {
    let waiting: Mutex<VecDeque<&String>> = Mutex::new(targets.iter().collect());
    let next = || waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front();
    let worker = || -> anyhow::Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        while let Some(target) = next() {
            let outcome = fuzz_one(places, target, args)?;
            eprintln!(
                "{target}: {} executions in {:.0} s, {} findings",
                outcome.executions,
                outcome.seconds,
                outcome.findings.len()
            );
            outcomes.push(outcome);
        }
        Ok(outcomes)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        let mut outcomes = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(done) => outcomes.extend(done?),
                Err(_) => bail!("a thread that runs targets ended early"),
            }
        }
        Ok(outcomes)
    })
}

/// Runs a target for so many seconds, or until it finds something.
fn fuzz_one(places: &Places, target: &str, args: &Args) -> anyhow::Result<Outcome> {
    let (corpus, findings) = (places.of("corpus", target), places.of("findings", target));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&findings)?;
    let log = places.of("logs", &format!("{target}.log"));
    fs::create_dir_all(places.of("logs", ""))?;
    let mut outcome =
        Outcome { target: target.to_owned(), executions: 0, seconds: 0.0, findings: Vec::new() };
    let started = Instant::now();
    loop {
        let left = args.seconds.saturating_sub(started.elapsed().as_secs());
        if left == 0 || !outcome.findings.is_empty() {
            break;
        }
        let before = listed(&findings)?;
        let mut program = Command::new(places.programs.join(target));
        program.args([&corpus, &places.of("seeds", target)]).args(LIMITS);
        program.arg(format!("-max_total_time={left}")).arg("-print_final_stats=1");
        program.args(args.seed.map(|seed| format!("-seed={seed}")));
        program.arg(format!("-artifact_prefix={}/", findings.display()));
        program.arg(format!("-dict={}", places.root.join("fuzz/dictionary.txt").display()));
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        let shown = workspace::shown(&program);
        let status = program.status().with_context(|| format!("cannot start `{shown}`"))?;
        outcome.executions += executions(&fs::read(&log)?);
        if status.success() {
            break;
        }
        let new: Vec<PathBuf> =
            listed(&findings)?.into_iter().filter(|path| !before.contains(path)).collect();
        if new.is_empty() {
            bail!("`{shown}` failed ({status}) without naming an input; see {}", log.display());
        }
        for path in new {
            // A machine that was busy elsewhere makes inputs slow: such a one is tried again alone.
            let again = status.code() == Some(TOO_LONG) && passes(places, target, &path)?;
            if !again {
                show_finding(target, &log, &path)?;
                outcome.findings.push(path);
            }
        }
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

/// Prints why a target failed and, where it is short, the input: logs and inputs of another machine are
/// not at hand.
fn show_finding(target: &str, log: &Path, input: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(input)?;
    eprintln!("{target} failed on {} ({} bytes):", input.display(), bytes.len());
    for line in reasons(&fs::read(log)?) {
        eprintln!("  {line}");
    }
    if bytes.len() <= LONGEST_SHOWN {
        eprintln!("  {}", bytes.escape_ascii());
    }
    Ok(())
}

/// The lines of a log from the first panic or error on, without the statistics.
fn reasons(log: &[u8]) -> Vec<String> {
    let log = String::from_utf8_lossy(log);
    let from =
        log.lines().skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR:"));
    from.filter(|line| !line.starts_with("stat::") && !line.starts_with('#'))
        .take(40)
        .map(str::to_owned)
        .collect()
}

/// Whether a target takes one input within the limits.
fn passes(places: &Places, target: &str, input: &Path) -> anyhow::Result<bool> {
    let mut program = Command::new(places.programs.join(target));
    program.args(LIMITS).arg(input).stdin(Stdio::null());
    program.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(program.status()?.success())
}

fn listed(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// The executions that a log of libFuzzer counts at its end, or last reported before it ended early.
fn executions(log: &[u8]) -> u64 {
    let log = String::from_utf8_lossy(log);
    let counted = log.lines().rev().find_map(|line| {
        let counted = line.strip_prefix("stat::number_of_executed_units:");
        counted.or_else(|| line.strip_prefix('#')?.split_whitespace().next())?.trim().parse().ok()
    });
    counted.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_read_from_logs() {
        let whole = "#12\tINITED cov: 1\n#4096\tpulse cov: 2\nDone 5000 runs in 9 second(s)\n\
                     stat::number_of_executed_units: 5000\nstat::peak_rss_mb:  40\n";
        assert_eq!(executions(whole.as_bytes()), 5000);
        assert_eq!(executions(b"INFO: x\n#12\tINITED cov: 1\n#77\tNEW cov: 2\n==1== ERROR\n"), 77);
        assert_eq!(executions(b"cannot start"), 0);
    }

    #[test]
    fn the_reason_of_a_finding_is_read_from_logs() {
        let log =
            b"INFO: Seed: 1\n#77\tNEW cov: 2\n\nthread 'main' panicked at src/a.rs:1:2:\nno\n\
                    ==1== ERROR: libFuzzer: deadly signal\nstat::peak_rss_mb:  40\n";
        let expected = [
            "thread 'main' panicked at src/a.rs:1:2:",
            "no",
            "==1== ERROR: libFuzzer: deadly signal",
        ];
        assert_eq!(reasons(log), expected);
    }

    #[test]
    fn every_target_is_declared_and_has_a_file() {
        let root = workspace::root().expect("tests run under cargo");
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let declared = manifest["bin"].as_array().expect("programs").iter();
        let mut declared: Vec<&str> =
            declared.filter_map(|program| program["name"].as_str()).collect();
        declared.sort_unstable();
        assert_eq!(declared, targets(&root).expect("a folder"));
    }
}
