//! Runs the tests that read real data, and proves that they ran: as many must pass as the sources
//! hold, or the check fails.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};

use crate::tidy::{self, NEEDS_DATA};
use crate::workspace;

/// Where the data are found when the variable is not set, from the workspace root.
const DEFAULT_PLACE: &str = "../shared/data";

/// Runs every test ignored with the reason [`NEEDS_DATA`].
///
/// # Errors
/// No data, a failing test, or fewer tests than the sources hold.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let data = env::var_os("STOA_TEST_DATA").map_or(root.join(DEFAULT_PLACE), PathBuf::from);
    let data = fs::canonicalize(&data).with_context(|| {
        format!(
            "no real data at {}: set STOA_TEST_DATA, or leave this step out with --no-real-data",
            data.display()
        )
    })?;
    let expected = count_sources(root)?;
    let mut tests = workspace::cargo(root);
    // Not the documentation tests, where `ignore` marks a block that is not meant to run.
    tests.args(["test", "--workspace", "--tests", "--", "--ignored"]);
    // Other reasons: processes that tests start, and a server that `xtask oracle s3` starts.
    tests.args(["--skip", "child", "--skip", "bucket"]);
    tests.env("STOA_TEST_DATA", &data).stdout(Stdio::piped());
    let mut process = tests.spawn().context("cannot start cargo")?;
    let mut passed = 0;
    let lines = process.stdout.take().context("standard output is piped")?;
    for line in BufReader::new(lines).lines() {
        let line = line.context("reading the output of the tests")?;
        println!("{line}");
        passed += passed_in(&line);
    }
    let status = process.wait().context("waiting for the tests")?;
    ensure!(status.success(), "a test on real data failed ({status})");
    ensure!(
        passed == expected && expected > 0,
        "{passed} tests on real data ran, the sources hold {expected} with the reason \
         \"{NEEDS_DATA}\""
    );
    println!("real data: {passed} of {expected} tests ran and passed");
    Ok(())
}

/// Tests of the sources that need data.
fn count_sources(root: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for path in tidy::checked_in_files(root)?.iter().filter(|path| path.ends_with(".rs")) {
        let Ok(source) = fs::read_to_string(root.join(path)) else { continue };
        count += tidy::ignored_tests(&source).iter().filter(|i| i.reason == NEEDS_DATA).count();
    }
    Ok(count)
}

/// Tests passed according to the closing line of a test binary.
fn passed_in(line: &str) -> usize {
    let counted = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "));
    let number = counted.and_then(|(_, rest)| rest.split_once(" passed"));
    number.and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted() {
        let line = "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out";
        assert_eq!(passed_in(line), 4);
        assert_eq!(passed_in("test a::b ... ok"), 0);
    }
}
