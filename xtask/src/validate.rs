//! What a change must pass, cheap checks first. `.ci/run` runs exactly this, and what needs more
//! than Rust after it.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use crate::{real_data, tidy, workspace};

/// Options of `validate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the tests: seconds instead of minutes.
    #[arg(long)]
    quick: bool,
    /// Leave out the tests on real data, where there are none.
    #[arg(long)]
    no_real_data: bool,
}

struct Step {
    name: &'static str,
    check: fn(&Path) -> anyhow::Result<()>,
    slow: bool,
}

const STEPS: &[Step] = &[
    Step { name: "format", check: format, slow: false },
    Step { name: "tidy", check: tidy::run, slow: false },
    Step { name: "fuzz lock", check: fuzz_lock, slow: false },
    Step { name: "clippy", check: clippy, slow: false },
    Step { name: "documentation", check: documentation, slow: false },
    Step { name: "tests", check: tests, slow: true },
    Step { name: REAL_DATA, check: real_data::run, slow: true },
    Step { name: "remote", check: remote, slow: true },
];

const REAL_DATA: &str = "real data";

/// Runs the steps in order and stops at the first failure.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let root = workspace::root()?;
    let left_out =
        |step: &Step| args.quick && step.slow || args.no_real_data && step.name == REAL_DATA;
    for step in STEPS {
        if left_out(step) {
            eprintln!("validate: {} left out", step.name);
            continue;
        }
        eprintln!("validate: {}", step.name);
        let start = Instant::now();
        (step.check)(&root).with_context(|| format!("validate: {} failed", step.name))?;
        eprintln!("validate: {} passed in {:.0} s", step.name, start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn format(root: &Path) -> anyhow::Result<()> {
    workspace::check(workspace::cargo(root).args(["fmt", "--all", "--check"]))
}

/// The fuzz targets are a workspace of their own, whose lock file a change of a room's dependencies
/// leaves behind.
fn fuzz_lock(root: &Path) -> anyhow::Result<()> {
    let mut metadata = workspace::cargo(root);
    metadata.args(["metadata", "--locked", "--format-version", "1"]);
    metadata.args(["--manifest-path", "fuzz/Cargo.toml"]).stdout(std::process::Stdio::null());
    workspace::check(&mut metadata)
        .context("update it: cargo update -w --manifest-path fuzz/Cargo.toml")
}

fn clippy(root: &Path) -> anyhow::Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    workspace::check(workspace::cargo(root).args(arguments))
}

fn documentation(root: &Path) -> anyhow::Result<()> {
    let mut doc = workspace::cargo(root);
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    workspace::check(doc.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Unit, integration and documentation tests: the command that README names.
fn tests(root: &Path) -> anyhow::Result<()> {
    workspace::check(workspace::cargo(root).args(["test", "--workspace"]))
}

/// What only a build with addresses has: the posts and the binary with `remote`.
fn remote(root: &Path) -> anyhow::Result<()> {
    let features = ["--features", "stoa-corpus/remote,stoa-shelf/remote,stoa/remote"];
    let packages = ["-p", "stoa-posts", "-p", "stoa-corpus", "-p", "stoa-shelf", "-p", "stoa"];
    let mut clippy = workspace::cargo(root);
    clippy.arg("clippy").args(packages).args(features);
    workspace::check(clippy.args(["--all-targets", "--", "--deny", "warnings"]))?;
    let mut tests = workspace::cargo(root);
    tests.args(["test", "-p", "stoa-corpus", "--features", "remote", "--test", "remote"]);
    workspace::check(&mut tests)?;
    let mut tests = workspace::cargo(root);
    tests.args(["test", "-p", "stoa-shelf", "--features", "remote", "--test", "hub"]);
    workspace::check(&mut tests)
}
