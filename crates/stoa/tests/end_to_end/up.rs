//! `stoa up`: the whole path, what it prints where, what it leaves, and that it is not done twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::program::{files, run};
use crate::runs::{UP, copy, dialogues, made};

#[test]
fn the_last_line_is_the_contract() {
    let said = &made().said;
    assert_eq!(said.out.lines().count(), 1, "nothing but the result on standard output");
    let result = said.json();
    assert!(result["exam"].is_null(), "posts have no known truth: {result}");
    for key in [
        "bits_per_byte",
        "bits_per_byte_untrained",
        "train_tokens_per_second",
        "seconds",
        "peak_rss_bytes",
    ] {
        let number = result[key].as_f64().unwrap_or_else(|| panic!("{key} in {result}"));
        assert!(number > 0.0, "{key} in {result}");
    }
    let bits = |key: &str| result[key].as_f64().unwrap();
    assert!(bits("bits_per_byte") < bits("bits_per_byte_untrained"), "{result}");
    assert!(result["parameters"].as_u64().unwrap() > 10_000);
    // Progress is printed on the other stream, and without the codes of a terminal.
    for word in ["posts ", "tokenizer ", "pretrain ", "chat tuning "] {
        assert!(said.err.contains(word), "{word} in {}", said.err);
    }
    assert!(!said.err.contains('\u{1b}'), "{}", said.err);
}

#[test]
fn the_report_needs_nothing_but_itself() {
    let report = fs::read_to_string(made().directory.join("run/report.html")).unwrap();
    assert!(report.starts_with("<!DOCTYPE html>") && report.trim_end().ends_with("</html>"));
    assert!(report.contains("<svg") && report.contains("bits per byte"));
    // Whatever a browser would fetch.
    for loads in ["<script", "<link", "<img", "<iframe", "@import", "src=", "url(http", "url('"] {
        assert!(!report.contains(loads), "{loads}");
    }
    for scheme in ["http://", "https://", "\"//"] {
        let elsewhere = report.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains(scheme), "{scheme}");
    }
}

#[test]
fn a_run_leaves_what_is_documented() {
    let run = made().directory.join("run");
    for name in [
        "run.toml",
        "tokenizer.json",
        "corpus/source.json",
        "corpus/store/manifest.json",
        "tokens/train.tokens",
        "tokens/held_out.tokens",
        "tokens/dialogues.tokens",
        "tokens/dialogues.learned",
        "tokens/manifest.json",
        "metrics.jsonl",
        "report.html",
    ] {
        assert!(run.join(name).is_file(), "{name}");
    }
    for checkpoint in fs::read_dir(run.join("checkpoints")).unwrap() {
        let path = checkpoint.unwrap().path();
        for name in ["model.safetensors", "config.json", "tokenizer.json", "manifest.json"] {
            assert!(path.join(name).is_file(), "{name} in {path:?}");
        }
    }
}

#[test]
fn a_second_up_makes_nothing_again() {
    let copy = copy();
    let changed = |path: &str| -> SystemTime {
        fs::metadata(copy.path().join("run").join(path)).unwrap().modified().unwrap()
    };
    let checkpoints = |of: &Path| {
        let mut found = files(&of.join("run"));
        found.retain(|path, _| path.starts_with("checkpoints") || path.ends_with("tokenizer.json"));
        found
    };
    let before = (checkpoints(copy.path()), changed("checkpoints"), changed("tokenizer.json"));
    let said = run(copy.path(), UP).succeeded();
    let after = (checkpoints(copy.path()), changed("checkpoints"), changed("tokenizer.json"));
    assert!(before == after, "checkpoints and tokenizer are as they were");
    // The curves of both stages are there still: lines by what the clock does not decide.
    let curve = |of: &Path| -> BTreeSet<String> {
        let text = fs::read_to_string(of.join("run/metrics.jsonl")).unwrap();
        let line = |line: &str| line.split(",\"tokens_per_second\"").next().unwrap().to_owned();
        text.lines().map(line).collect()
    };
    assert_eq!(curve(copy.path()), curve(&made().directory));
    let (first, again) = (made().said.json(), said.json());
    assert_eq!(first["bits_per_byte"], again["bits_per_byte"]);
    assert_eq!(first["bits_per_byte_untrained"], again["bits_per_byte_untrained"]);
    assert_eq!(again["train_tokens_per_second"], 0.0, "no step was made");
}

#[test]
fn the_same_seed_makes_the_same_model_at_any_thread_count() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(made().directory.join("posts.jsonl"), directory.path().join("posts.jsonl")).unwrap();
    run(directory.path(), &format!("{UP} --threads 1")).succeeded();
    let weights = |of: &Path| {
        let mut found = files(&of.join("run/checkpoints"));
        found.retain(|path, _| path.ends_with("model.safetensors"));
        found
    };
    assert!(!weights(directory.path()).is_empty());
    assert!(weights(directory.path()) == weights(&made().directory));
}

/// Dialogues as JSON lines, as runs of before named them, train what their shard trains.
#[test]
fn a_run_that_names_dialogues_as_lines_is_the_same_run() {
    let copy = copy();
    let run_file = copy.path().join("run/run.toml");
    let text = fs::read_to_string(&run_file).unwrap();
    assert!(text.contains("\"tokens/dialogues.tokens\""), "{text}");
    fs::write(copy.path().join("run/corpus/dialogues.jsonl"), dialogues()).unwrap();
    fs::write(&run_file, text.replace("tokens/dialogues.tokens", "corpus/dialogues.jsonl"))
        .unwrap();
    for stage in ["pretrain", "chat"] {
        // Both digests of the data are those of the checkpoints.
        let line = format!("train {stage} --config run/run.toml --resume --json");
        assert_eq!(run(copy.path(), &line).succeeded().json()["finished"], true);
    }
    // `up` itself goes back to its shards, without a step.
    assert_eq!(run(copy.path(), UP).succeeded().json()["train_tokens_per_second"], 0.0);
}

#[test]
fn other_text_is_not_mixed_into_a_run() {
    let copy = copy();
    let before = files(copy.path());
    run(copy.path(), &UP.replace("--seed 3 ", "").replace("--posts posts.jsonl", ""))
        .refused(&["run holds a run of other text", "--dir"]);
    assert!(files(copy.path()) == before);
    // The same file with another post in it is other text too.
    let posts = copy.path().join("posts.jsonl");
    let more = format!("{}{}\n", fs::read_to_string(&posts).unwrap(), r#"{"text":"One more."}"#);
    fs::write(&posts, more).unwrap();
    let before = files(copy.path());
    run(copy.path(), UP).refused(&["run holds a run of other text", "--dir"]);
    assert!(files(copy.path()) == before);
}
