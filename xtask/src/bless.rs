//! Accepts what the code now says as what it should say. Look at the diff before committing it.

use crate::{oracle, workspace};

/// Options of `bless`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also make the golden outputs of the models anew (needs PyTorch: gigabytes, once).
    #[arg(long)]
    golden: bool,
    /// Only snapshots of this package.
    #[arg(long)]
    package: Option<String>,
}

/// Rewrites snapshots by running the tests, and golden outputs by running their scripts.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let root = workspace::root()?;
    if args.golden {
        oracle::make_golden(&root)?;
    }
    let mut tests = workspace::cargo(&root);
    tests.arg("test").env("INSTA_UPDATE", "always");
    match &args.package {
        Some(package) => tests.args(["--package", package]),
        None => tests.arg("--workspace"),
    };
    workspace::check(&mut tests)
}
