//! Rules on Rust sources that no lint covers.

use super::Violation;
use super::rust_text::{self, Line, has_word};

/// Past this many lines there is a second idea in a file. Tests are not counted.
const MAX_LINES: usize = 600;

/// Where `unsafe` may stand: kernels and the arena, memory maps, and the PJRT binding.
const UNSAFE_PLACES: &[&str] = &["crates/native/", "crates/maps/", "crates/xla/"];

/// Words of unfinished work in comments, in parts so that this file passes its own rule.
const UNFINISHED_WORDS: &[[&str; 2]] = &[["FIX", "ME"], ["TO", "DO"], ["XX", "X"], ["HA", "CK"]];

/// Checks one file.
pub fn check(path: &str, source: &str) -> Vec<Violation> {
    let lines = rust_text::lines(source);
    let mut violations = Vec::new();
    violations.extend(check_opening(path, source));
    violations.extend(check_length(path, &lines));
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        violations.extend(check_unsafe(path, number, line));
        violations.extend(check_unfinished(path, number, line));
        violations.extend(check_dead_code(path, number, line));
    }
    violations
}

fn check_opening(path: &str, source: &str) -> Option<Violation> {
    (!source.starts_with("//!")).then(|| {
        Violation::new(path, 1, "start with `//!`: what this file does and what it does not")
    })
}

fn check_length(path: &str, lines: &[Line]) -> Option<Violation> {
    if is_test_file(path) {
        return None;
    }
    let counted = trailing_tests(lines).unwrap_or(lines.len());
    (counted > MAX_LINES).then(|| {
        Violation::new(
            path,
            MAX_LINES + 1,
            format!("{counted} lines without tests, more than {MAX_LINES}: find the second idea"),
        )
    })
}

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|component| component == "tests" || component == "tests.rs")
}

/// Index of the attribute that opens the test module at the end of the file.
fn trailing_tests(lines: &[Line]) -> Option<usize> {
    let start = lines.iter().rposition(|line| line.code.trim_end() == "#[cfg(test)]")?;
    let opens = lines[start + 1..].iter().find(|line| !line.code.trim().is_empty())?;
    // Anything at column 0 after the module's closing brace would be code again.
    let closes = lines[start..].iter().position(|line| line.code.trim_end() == "}")?;
    let ends_file = lines[start + closes + 1..].iter().all(|line| line.code.trim().is_empty());
    (has_word(&opens.code, "mod") && ends_file).then_some(start)
}

fn check_unsafe(path: &str, number: usize, line: &Line) -> Option<Violation> {
    let allowed = UNSAFE_PLACES.iter().any(|place| path.starts_with(place));
    (!allowed && has_word(&line.code, "unsafe")).then(|| {
        Violation::new(
            path,
            number,
            format!("`unsafe` belongs only in {}: use a safe interface", UNSAFE_PLACES.join(", ")),
        )
    })
}

fn check_unfinished(path: &str, number: usize, line: &Line) -> Option<Violation> {
    let mut words = UNFINISHED_WORDS.iter().map(|parts| parts.concat());
    let found = words.find(|word| has_word(&line.comment, word))?;
    Some(Violation::new(
        path,
        number,
        format!("`{found}` marks unfinished work: finish it or take it out"),
    ))
}

/// A plain comment that is a statement. Doc comments may show code.
fn check_dead_code(path: &str, number: usize, line: &Line) -> Option<Violation> {
    const STARTS: &[&str] = &["let ", "pub ", "fn ", "use ", "return ", "if ", "for ", "while "];
    let comment = line.comment.strip_prefix("// ")?.trim();
    let is_code = comment.ends_with([';', '{']) && STARTS.iter().any(|s| comment.starts_with(s));
    is_code.then(|| Violation::new(path, number, "code in a comment: delete it, git remembers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "crates/posts/src/thread.rs";

    fn messages(path: &str, body: &str) -> Vec<String> {
        check(path, &format!("//! A file.\n{body}")).iter().map(ToString::to_string).collect()
    }

    fn found(body: &str) -> usize {
        messages(PATH, body).len()
    }

    #[test]
    fn a_file_says_what_it_does() {
        assert_eq!(check(PATH, "//! Threads replies.\n"), []);
        assert_eq!(check(PATH, "use std::fs;\n")[0].line, 1);
    }

    #[test]
    fn long_files_are_refused_but_tests_do_not_count() {
        let code = "fn f() {}\n".repeat(MAX_LINES - 1);
        let tests = "#[cfg(test)]\nmod tests {\n    fn t() {}\n}\n";
        assert_eq!(found(&format!("{code}\n{tests}")), 1, "the empty line is one too many");
        assert_eq!(found(&format!("{}{tests}", &code[10..])), 0);
        assert_eq!(found(&format!("{}{tests}fn after() {{}}\n", &code[10..])), 1);
        let long = format!("{code}{code}");
        assert_eq!(messages("crates/posts/tests/square.rs", &long).len(), 0);
        assert_eq!(messages("crates/posts/src/thread/tests.rs", &long).len(), 0);
    }

    #[test]
    fn unsafe_has_its_places() {
        let body = "fn f() { unsafe { g() } }";
        assert_eq!(found(body), 1);
        assert_eq!(messages("crates/native/src/arena.rs", body).len(), 0);
        assert_eq!(found("#![allow(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";"), 0);
    }

    #[test]
    fn unfinished_work_is_found() {
        for word in UNFINISHED_WORDS {
            assert_eq!(found(&format!("// {}: later", word.concat())), 1, "{word:?}");
        }
        assert_eq!(found("// prototodo!\nfn todo() {}"), 0);
    }

    #[test]
    fn code_in_comments_is_found() {
        assert_eq!(found("    // let a = 1;"), 1);
        assert_eq!(found("/// let a = 1;\n// let us say so: it holds\n// for each query:"), 0);
    }
}
