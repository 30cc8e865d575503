//! The commands that the pages show are run as they stand.
//!
//! In `docs/*.md`, blocks marked `console run` are run by `sh`, page by page, in one empty directory
//! a page, with the program on the path. Lines that begin with `$ ` are commands (`> ` continues
//! the one before), the others what it prints on standard output: `…` stands for anything in a
//! line, a line of its own for any lines. A command without shown output only has to succeed; one
//! that shows `error: ` has to fail.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A command and the output shown for it.
struct Step {
    line: usize,
    command: String,
    shown: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        match line {
            "```console run" => inside = true,
            _ if line.starts_with("```") => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), line.strip_prefix("> "), steps.last_mut()) {
                (Some(command), _, _) => steps.push(Step {
                    line: index + 1,
                    command: command.to_owned(),
                    shown: Vec::new(),
                }),
                (None, Some(more), Some(step)) if step.shown.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                (None, _, Some(step)) => step.shown.push(line.to_owned()),
                (None, _, None) => panic!("line {}: output before any command", index + 1),
            },
        }
    }
    steps
}

/// Whether lines are as shown.
fn agrees(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=printed.len()).any(|skipped| agrees(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, left)| line_agrees(first, line) && agrees(rest, left)),
    }
}

fn line_agrees(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let mut open = false;
    for part in parts {
        open = true;
        let Some(at) = rest.find(part) else { return false };
        rest = if part.is_empty() { rest } else { &rest[at + part.len()..] };
    }
    rest.is_empty() || (open && shown.ends_with('…'))
}

fn check(page: &Path) {
    let steps = steps(&fs::read_to_string(page).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_stoa")).parent().unwrap().to_owned();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(program).chain(std::env::split_paths(&rest)));
    let path = path.unwrap();
    for step in &steps {
        let place = format!("{}, line {}: {}", page.display(), step.line, step.command);
        let output = Command::new("sh")
            .args(["-c", &step.command])
            .current_dir(directory.path())
            .env("PATH", &path)
            .env_remove("STOA_ISA")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let fails = step.shown.iter().any(|line| line.starts_with("error: "));
        assert_eq!(output.status.success(), !fails, "{place}\n{out}\n{err}");
        let printed: Vec<&str> = out.lines().collect();
        assert!(step.shown.is_empty() || agrees(&step.shown, &printed), "{place}\n{out}\n{err}");
    }
}

fn pages() -> Vec<PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut pages: Vec<PathBuf> = fs::read_dir(docs).unwrap().map(|e| e.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|e| e == "md"));
    pages.sort();
    pages
}

#[test]
fn the_commands_of_the_pages_work() {
    let pages = pages();
    let run: Vec<usize> =
        pages.iter().map(|page| steps(&fs::read_to_string(page).unwrap()).len()).collect();
    assert!(run.iter().sum::<usize>() >= 20, "pages show commands: {run:?}");
    pages.iter().for_each(|page| check(page));
}

#[test]
fn every_page_is_on_the_map_and_every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(map.contains(&format!("docs/{name}")), "ARCHITECTURE.md does not name docs/{name}");
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                assert!(root.join("docs").join(file).exists(), "{name}: {link} leads nowhere");
            }
        }
    }
}

#[test]
fn shown_output_may_leave_out_what_varies() {
    let agree = |shown: &str, printed: &str| {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        agrees(&shown, &printed.lines().collect::<Vec<_>>())
    };
    assert!(agree("a\n…\nz", "a\nb\nc\nz") && agree("…", "") && agree("…", "x\ny"));
    assert!(agree("step … of 9", "step 3 of 9") && agree("… in x.json", "400 in x.json"));
    assert!(!agree("step … of 9", "step 3 of 8") && !agree("a", "a\nb") && !agree("a", ""));
    assert!(agree("took …", "took 3 s") && !agree("took …s", "took 3 s."));
}
