//! Starts the program and reads what it said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a finished program said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }
}

impl Said {
    /// Itself, when the program succeeded.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// The last line of standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        let last = self.out.lines().last().expect("a line on standard output");
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last}"))
    }

    /// Checks a refusal: a code of its own, an error that holds all of `words`, no panic.
    pub fn refused(&self, words: &[&str]) {
        assert!(matches!(self.code, Some(1 | 2)), "must be refused: {self:#?}");
        assert!(!self.err.contains("panicked at"), "{self:#?}");
        assert!(self.err.contains("error: "), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing: {self:#?}");
        }
    }
}

/// The program in a directory, reading nothing.
pub fn stoa(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
    command.current_dir(directory).env_remove("STOA_ISA").stdin(Stdio::null());
    command
}

/// Runs the program with the words of a line.
pub fn run(directory: &Path, line: &str) -> Said {
    run_with(directory, &line.split_whitespace().collect::<Vec<_>>())
}

/// Runs the program with these arguments.
pub fn run_with(directory: &Path, arguments: &[&str]) -> Said {
    stoa(directory).args(arguments).output().expect("the program starts").into()
}

/// Every file below a directory with its bytes.
pub fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(directory).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}
