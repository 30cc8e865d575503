//! Speed of the rule stages of `stoa-posts` and of the Python libraries that people use for them, on
//! the same texts and one thread each; then of whole pipelines (`pipeline`).
//!
//! Ratios are of posts a second. The stages do not do quite the same work (ours verifies, theirs
//! know more languages); docs/posts-rules.md says where they differ.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{machine, pipeline};
use crate::{python_env, workspace};

/// Environment with the libraries.
pub const ENVIRONMENT: &str = "oracle-posts";
/// Its packages.
pub const PACKAGES: &[&str] = &[
    "datasketch==2.0.0",
    "datatrove==0.10.1",
    "ftfy==6.3.1",
    "lingua-language-detector==2.1.1",
    "nltk==3.10.4",
    "spacy==3.8.18",
    // What datatrove asks for when it is used; its hashing breaks with xxhash 4.
    "orjson==3.13.0",
    "tokenizers==0.23.3",
    "xxhash==3.6.0",
];
/// Our stage and the library's that does the same.
const PAIRS: [(&str, &str); 5] = [
    ("gopher", "datatrove_gopher"),
    ("c4", "datatrove_c4"),
    ("identify", "lingua"),
    ("mojibake", "ftfy"),
    ("near", "datasketch"),
];

/// Options of `bench posts`.
#[derive(Debug, clap::Args)]
pub struct PostsArgs {
    /// Files of posts [default: the sample square].
    files: Vec<PathBuf>,
    /// Posts in near-duplicate search.
    #[arg(long, default_value_t = 100_000)]
    near: usize,
    /// Made-up posts in the comparison of whole pipelines; 0 leaves it out.
    #[arg(long, default_value_t = 50_000)]
    pipeline: u64,
    /// Turns of each pipeline.
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Only the pipelines.
    #[arg(long)]
    only_pipeline: bool,
    /// Only our own figures: no Python is needed.
    #[arg(long)]
    alone: bool,
}

/// Measures and returns the figures of both sides and the ratios.
pub fn run(args: &PostsArgs) -> anyhow::Result<Value> {
    let root = workspace::root()?;
    let cache = python_env::cache_directory()?;
    std::fs::create_dir_all(&cache)
        .with_context(|| format!("cannot create {}", cache.display()))?;
    let python = match args.alone {
        true => None,
        false => Some(python_env::ensure(ENVIRONMENT, PACKAGES)?),
    };
    let mut result = json!({"bench": "posts", "machine": machine::describe()});
    if !args.only_pipeline {
        stages(args, &root, &cache, python.as_deref(), &mut result)?;
    }
    if args.pipeline > 0 {
        let folder = cache.join(format!("bench-pipeline-{}", std::process::id()));
        let python = python.as_deref();
        result["pipeline"] = pipeline::run(&root, python, &folder, args.pipeline, args.turns)?;
    }
    Ok(result)
}

/// Measures stage by stage.
fn stages(
    args: &PostsArgs,
    root: &Path,
    cache: &Path,
    python: Option<&Path>,
    result: &mut Value,
) -> anyhow::Result<()> {
    let texts = cache.join(format!("bench-posts-{}", std::process::id()));
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["run", "--release", "-q", "-p", "stoa-corpus"]);
    command.args(["--example", "rules_speed", "--", &args.near.to_string(), "--write"]).arg(&texts);
    for file in &args.files {
        command
            .arg(file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?);
    }
    result["stoa"] = last_line(&mut command)?;
    if let Some(python) = python {
        let script = root.join("xtask/oracle/posts/speed.py");
        let theirs = last_line(Command::new(python).arg(script).arg(&texts))?;
        for (stage, library) in PAIRS {
            let rate = |side: &Value, name: &str| side[name]["posts_per_second"].as_f64();
            let (ours, theirs) = (rate(&result["stoa"], stage), rate(&theirs, library));
            let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
            result["ratio"][library] = json!(ratio);
        }
        result["libraries"] = theirs;
    }
    std::fs::remove_file(&texts).with_context(|| format!("cannot remove {}", texts.display()))
}

/// Runs a program, lets its progress through, and reads the JSON object of its last line.
fn last_line(command: &mut Command) -> anyhow::Result<Value> {
    let output =
        command.stderr(Stdio::inherit()).output().context("cannot start the measurement")?;
    ensure!(output.status.success(), "the measurement failed ({})", output.status);
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().context("the measurement printed nothing")?;
    serde_json::from_str(last).with_context(|| format!("no JSON object: {last}"))
}
