//! `stoa posts jobs`: the files are sound, and what they run makes the bytes that one machine makes.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const STOA: &str = env!("CARGO_BIN_EXE_stoa");
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

fn posts(part: usize) -> String {
    let mut lines = String::new();
    for post in 0..40 {
        let id = part * 40 + post;
        let reply =
            if post % 3 == 0 { String::new() } else { format!(",\"in_reply_to\":\"{}\"", id - 1) };
        let _ = writeln!(
            lines,
            "{{\"id\":\"{id}\",\"author\":\"a{}\"{reply},\"text\":\"Post {} of the old harbour and its {} boats.\"}}",
            id % 7,
            id % 30,
            id * 13 % 50
        );
    }
    lines
}

/// Sources whose names a shell would take apart, and a key.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("author.key"), KEY).unwrap();
    for part in 0..3 {
        std::fs::write(folder.path().join(format!("it's part {part}.jsonl")), posts(part)).unwrap();
    }
    folder
}

fn ingest_words(folder: &Path, out: &str) -> Vec<String> {
    let path = |name: String| folder.join(name).to_str().unwrap().to_owned();
    let mut words: Vec<String> =
        (0..3).map(|part| path(format!("it's part {part}.jsonl"))).collect();
    words.extend(["--out".to_owned(), path(out.to_owned())]);
    words.extend(["--author-key".to_owned(), path("author.key".to_owned())]);
    words.extend(["--shard-posts".to_owned(), "50".to_owned()]);
    words
}

fn succeeded(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

fn jobs(folder: &Path, out: &str) -> PathBuf {
    let to = folder.join("jobs");
    let output = Command::new(STOA)
        .args([
            "posts",
            "jobs",
            "--shards",
            "3",
            "--cores",
            "1",
            "--program",
            STOA,
            "--json",
            "--to",
        ])
        .arg(&to)
        .arg("--")
        .args(ingest_words(folder, out))
        .output()
        .unwrap();
    succeeded(&output);
    let line = String::from_utf8_lossy(&output.stdout);
    let summary: Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
    assert_eq!(summary["shards"], 3);
    to
}

fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_path_buf();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn assert_is_one_machines(folder: &Path, out: &str) {
    let whole = Command::new(STOA)
        .args(["posts", "ingest", "--quiet"])
        .args(ingest_words(folder, "whole"))
        .output()
        .unwrap();
    succeeded(&whole);
    let (whole, shared) = (tree(&folder.join("whole")), tree(&folder.join(out)));
    assert!(whole.len() > 20 && whole.keys().eq(shared.keys()));
    assert!(whole == shared, "the bytes differ");
}

/// Everything in a folder with this ending.
fn with_ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    paths.sort();
    paths
}

#[test]
fn slurm_arrays_make_the_bytes_of_one_machine() {
    let folder = folder();
    let to = jobs(folder.path(), "by slurm");
    for script in with_ending(&to.join("slurm"), ".sh") {
        succeeded(&Command::new("bash").arg("-n").arg(&script).output().unwrap());
    }
    // A scheduler that runs each array at once, and refuses what depends on a job it never saw.
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let fake = r#"#!/bin/bash
set -euo pipefail
known="$FAKE_STATE/known-jobs"; touch "$known"
for word in "$@"; do
  case "$word" in
    --array=1-*) count="${word#--array=1-}" ;;
    --dependency=afterok:*) grep -qx "${word#--dependency=afterok:}" "$known" ;;
    --*) ;;
    *) break ;;
  esac
done
while [[ "$1" == --* ]]; do shift; done
job=$((100 + $(wc -l < "$known")))
for ((task = count; task >= 1; task--)); do
  SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$count bash "$@" >> "$FAKE_STATE/log" 2>&1
done
echo "$job" >> "$known"
echo "$job;cluster"
"#;
    std::fs::write(bin.join("sbatch"), fake).unwrap();
    std::fs::set_permissions(bin.join("sbatch"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let submitted = Command::new(to.join("slurm/submit.sh"))
        .env("PATH", path)
        .env("FAKE_STATE", folder.path())
        .output()
        .unwrap();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    assert!(submitted.status.success(), "{log}\n{}", String::from_utf8_lossy(&submitted.stderr));
    assert_is_one_machines(folder.path(), "by slurm");
}

#[test]
fn kubernetes_jobs_make_the_bytes_of_one_machine() {
    let folder = folder();
    let to = jobs(folder.path(), "by pods").join("kubernetes");
    succeeded(&Command::new("bash").arg("-n").arg(to.join("run.sh")).output().unwrap());
    let run = std::fs::read_to_string(to.join("run.sh")).unwrap();
    let files = with_ending(&to, ".yaml");
    assert!(files.len() > 10);
    for file in files {
        let job: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(run.contains(name));
        assert_eq!(job["kind"], "Job");
        assert_eq!(job["metadata"]["name"], format!("stoa-posts-{name}"));
        let spec = &job["spec"];
        assert_eq!(spec["completionMode"], "Indexed");
        assert_eq!(spec["parallelism"], spec["completions"]);
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        let container = &pod["containers"][0];
        assert_eq!(container["volumeMounts"][0]["name"], pod["volumes"][0]["name"]);
        let command: Vec<&str> =
            container["command"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        for index in 0..spec["completions"].as_u64().unwrap() {
            let output = Command::new(command[0])
                .args(&command[1..])
                .env("JOB_COMPLETION_INDEX", index.to_string())
                .output()
                .unwrap();
            succeeded(&output);
        }
    }
    assert_is_one_machines(folder.path(), "by pods");
}

#[test]
fn what_is_wrong_is_said_when_the_files_are_written() {
    let folder = folder();
    let refused = |words: &[&str]| {
        let output = Command::new(STOA)
            .args(["posts", "jobs", "--shards", "2", "--to"])
            .arg(folder.path().join("jobs"))
            .arg("--")
            .args(words)
            .output()
            .unwrap();
        assert!(!output.status.success() && !folder.path().join("jobs").exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["a.jsonl"]).contains("--out"));
    assert!(refused(&["a.jsonl", "--out", "x", "--stages", "exakt"]).contains("exakt"));
    assert!(refused(&["a.jsonl", "--out", "x", "--shard", "1/2"]).contains("leave out --shard"));
}
