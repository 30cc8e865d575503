//! Ignored tests: each says what it needs, in one of the forms below, and something runs it. A test
//! that returns early because its data are absent is not a form: it passes and looks at nothing.

use super::Violation;
use super::rust_text;

/// The reason of a test that reads real data; `cargo xtask validate` runs all of these.
pub const NEEDS_DATA: &str = "needs STOA_TEST_DATA";

/// How the other reasons begin: a process that a test starts, and what `cargo xtask` runs by name.
const OTHER_REASONS: &[&str] = &["child process of ", "needs "];

/// A test's `#[ignore]` with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Line, from 1.
    pub line: usize,
    /// The reason, empty when none is given.
    pub reason: String,
}

/// Ignored tests of a source.
pub fn find(source: &str) -> Vec<Ignored> {
    let code = rust_text::lines(source);
    let lines = source.lines().zip(&code).enumerate();
    let attributes = lines.filter(|(_, (_, line))| line.code.trim().starts_with("#[ignore"));
    attributes
        .map(|(index, (text, _))| Ignored {
            line: index + 1,
            reason: text.split('"').nth(1).unwrap_or_default().to_owned(),
        })
        .collect()
}

/// Refuses reasons that nothing runs.
pub fn check(path: &str, source: &str) -> Vec<Violation> {
    let is_run = |reason: &str| {
        let [child, needs] = OTHER_REASONS else { unreachable!("two other forms") };
        reason == NEEDS_DATA
            || reason.starts_with(child)
            || reason.starts_with(needs) && reason.contains("cargo xtask ")
    };
    find(source)
        .into_iter()
        .filter(|ignored| !is_run(&ignored.reason))
        .map(|ignored| {
            let message = format!(
                "an ignored test that nothing runs: give the reason \"{NEEDS_DATA}\", \"child \
                 process of TEST\", or \"needs X: cargo xtask COMMAND\""
            );
            Violation::new(path, ignored.line, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_and_checked() {
        let source = "//! A.\n#[test]\n#[ignore = \"needs STOA_TEST_DATA\"]\nfn a() {}\n\
                      // #[ignore]\n#[ignore]\nfn b() {}\n\
                      #[ignore = \"child process of a\"]\nfn c() {}\n\
                      #[ignore = \"needs moto: cargo xtask oracle s3\"]\nfn d() {}\n\
                      #[ignore = \"slow\"]\nfn e() {}\n";
        let reasons: Vec<String> = find(source).into_iter().map(|i| i.reason).collect();
        let needs_moto = "needs moto: cargo xtask oracle s3";
        assert_eq!(reasons, [NEEDS_DATA, "", "child process of a", needs_moto, "slow"]);
        let lines: Vec<usize> = check("a.rs", source).iter().map(|v| v.line).collect();
        assert_eq!(lines, [6, 12]);
    }
}
