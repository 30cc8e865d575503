//! Training that is killed at any moment, or asked to stop, and resumes: the end is the same, byte
//! for byte. What is killed here is the real process; kills between any two steps are tested in
//! `crates/training/tests/resume.rs`.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::program::{Said, files, run, stoa};
use crate::runs::prepared;

const SETTINGS: &str = "[pretrain]\nlength = { steps = 90 }\nrows = 2\ntime = 32\n\
    checkpoint_every = 7\nevaluate_every = 20\n\
    [chat]\nlength = { steps = 30 }\nrows = 2\ntime = 64\ncheckpoint_every = 4\n";

const STAGES: [&str; 2] = ["pretrain", "chat"];

/// Longer than anything here takes; a test that waits in vain fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a run ends with: its curve, the files of its checkpoints.
fn end(directory: &Path) -> (Vec<serde_json::Value>, BTreeMap<PathBuf, Vec<u8>>) {
    let metrics = fs::read_to_string(directory.join("out/metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let object = line.as_object_mut().unwrap();
        // What the clock decides.
        object.remove("tokens_per_second");
        object.remove("mfu");
        object.remove("peak_flops");
        line
    });
    (lines.collect(), files(&directory.join("out/checkpoints")))
}

fn start(directory: &Path, stage: &str) -> Child {
    stoa(directory)
        .args(["train", stage, "--config", "run.toml", "--resume"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the run has written `lines` lines of metrics, or has ended.
fn wait_for_metrics(directory: &Path, lines: usize, child: &mut Child) {
    let path = directory.join("out/metrics.jsonl");
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        let written = fs::read(&path).unwrap_or_default();
        if written.iter().filter(|&&byte| byte == b'\n').count() >= lines {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "no {lines} lines of metrics");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn uninterrupted() -> tempfile::TempDir {
    let whole = prepared(SETTINGS);
    for stage in STAGES {
        run(whole.path(), &format!("train {stage} --config run.toml")).succeeded();
    }
    whole
}

#[test]
fn killed_at_random_and_resumed_it_ends_in_the_same_bytes() {
    let whole = uninterrupted();
    let broken = prepared(SETTINGS);
    // Another draw each time; the failure says which.
    let mut draw = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut below = |limit: u64| {
        // Marsaglia's xorshift64 (J. Stat. Softw. 8(14), 2003).
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        draw % limit
    };
    let mut kills = Vec::new();
    let mut before = 0;
    for (stage, lines, times) in [("pretrain", 90, 5), ("chat", 30, 3)] {
        for _ in 0..times {
            let (line, delay) = (before + below(lines) as usize, below(30));
            let mut child = start(broken.path(), stage);
            wait_for_metrics(broken.path(), line, &mut child);
            std::thread::sleep(Duration::from_millis(delay));
            let _ = child.kill();
            let killed = child.wait().unwrap().code().is_none();
            kills.push((stage, line, delay, killed));
        }
        run(broken.path(), &format!("train {stage} --config run.toml --resume")).succeeded();
        before = end(broken.path()).0.len();
    }
    assert!(kills.iter().any(|(_, _, _, killed)| *killed), "{kills:?}");
    let ((curve, checkpoints), (expected_curve, expected)) =
        (end(broken.path()), end(whole.path()));
    assert!(curve == expected_curve, "the curve differs after {kills:?}");
    assert!(
        checkpoints.keys().eq(expected.keys()) && checkpoints == expected,
        "checkpoints differ after {kills:?}"
    );
    assert!(expected.keys().any(|path| path.starts_with("000120")), "both stages: {kills:?}");
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let whole = uninterrupted();
    let stopped = prepared(SETTINGS);
    let mut before = 0;
    for stage in STAGES {
        let mut child = start(stopped.path(), stage);
        wait_for_metrics(stopped.path(), before + 10, &mut child);
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "the run was over before it could be stopped");
        let said = Said::from(child.wait_with_output().unwrap()).succeeded();
        assert!(said.err.contains("saving; once more to leave at once"), "{said:?}");
        assert!(said.out.contains("stopped and saved; continue with --resume"), "{said:?}");
        // It was saved where it was asked to stop, not at the last regular checkpoint.
        let steps = end(stopped.path()).0;
        let last = steps.iter().rev().find(|m| m["kind"] == "step").unwrap()["step"].clone();
        let newest = files(&stopped.path().join("out/checkpoints")).into_keys().max().unwrap();
        let name = format!("{:06}", last.as_u64().unwrap());
        assert!(newest.starts_with(&name), "{newest:?} after step {last}");
        run(stopped.path(), &format!("train {stage} --config run.toml --resume")).succeeded();
        before = end(stopped.path()).0.len();
    }
    assert!(end(stopped.path()).0 == end(whole.path()).0);
    let weights =
        |of: &Path| fs::read(of.join("out/checkpoints/000120/model.safetensors")).unwrap();
    assert!(weights(stopped.path()) == weights(whole.path()));
}

#[test]
fn ctrl_c_stops_an_answer_and_not_the_conversation() {
    // Answers end by themselves too: talk until one is met in the middle.
    assert!((0..20).any(ctrl_c_in_an_answer), "no answer was stopped");
}

/// Asks, presses Ctrl-C once the answer has begun, and continues talking. Whether Ctrl-C met it before
/// its end. One press a conversation: a second one at the prompt ends the program, and on a busy
/// machine two presses can arrive at the same prompt.
fn ctrl_c_in_an_answer(seed: usize) -> bool {
    let made = crate::runs::made();
    let mut child = stoa(&made.directory)
        .args(["chat", "--run", "run", "--temperature", "2", "--max-tokens", "1500"])
        .args(["--seed", &seed.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    // Answers may hold line breaks, so what comes before a sign is read as a whole.
    let mut read_until = |reached: &dyn Fn(&[u8]) -> bool| {
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !reached(&text) {
            let read = output.read(&mut byte).unwrap();
            assert_eq!(read, 1, "it ended after {:?}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    read_until(&|text| text.ends_with(b"Ctrl-C stops an answer.\n"));
    writeln!(input, "hello").unwrap();
    read_until(&|text| !text.is_empty());
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    writeln!(input, "/new").unwrap();
    let stopped = read_until(&|text| text.ends_with(b"(a new conversation)\n")).contains(" …\n");
    drop(input);
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    stopped
}

#[test]
fn up_goes_on_where_it_was_killed() {
    let made = crate::runs::made();
    let directory = tempfile::tempdir().unwrap();
    fs::copy(made.directory.join("posts.jsonl"), directory.path().join("posts.jsonl")).unwrap();
    for lines in [0, 3, 8] {
        let mut child = stoa(directory.path())
            .args(crate::runs::UP.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let path = directory.path().join("run/metrics.jsonl");
        let started = Instant::now();
        while fs::read_to_string(&path).map_or(0, |text| text.lines().count()) < lines
            && child.try_wait().unwrap().is_none()
        {
            assert!(started.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    let said = run(directory.path(), crate::runs::UP).succeeded();
    assert_eq!(said.json()["bits_per_byte"], made.said.json()["bits_per_byte"]);
    let checkpoints = |of: &Path| files(&of.join("run/checkpoints"));
    assert!(checkpoints(directory.path()) == checkpoints(&made.directory));
}
