//! GGUF files that Stoa wrote, opened by llama.cpp: tiny random models of every architecture, SmolLM2 in
//! every type, and a model that `stoa up` trains. Token ids and greedy tokens are equal, logits close.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::bench::decode::{distance, llama_cpp_python};
use crate::real_weights::{TOLERANCE, smollm2 as smollm2_file};
use crate::scratch::Scratch;
use crate::workspace;

/// How far logits of the tiny models may be apart, as a share of their standard deviation, by what
/// llama.cpp computes: its GELU is a table of f16, and the one of tanh for all families.
const FAMILY_TOLERANCES: [(&[&str], f64); 2] =
    [(&["gemma", "gemma2", "gemma3", "gpt2", "gptneox", "falcon"], 2e-3), (&[], 1e-4)];

/// The same of SmolLM2 with weights kept in their types, where both sides round activations, each its
/// own way: to 8 bits, and of f16 to f16.
const KEPT_TOLERANCES: [(&str, f64); 4] =
    [("f16", 0.02), ("q8_0", 0.2), ("q4_0", 0.3), ("q4_k_m", 0.3)];

/// What SmolLM2 continues.
const TEXTS: [&str; 4] = [
    "The capital of France is",
    "Once upon a time, 1234 little cats'",
    "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
    "L'\u{e9}t\u{e9} dernier, nous avons",
];

/// Types of the trained model.
const TRAINED: [&str; 3] = ["f32", "f16", "q8_0"];

/// Runs all checks.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let scratch = Scratch::new("oracle-export")?;
    families(root, &scratch.path().join("families"))?;
    trained(root, scratch.path())?;
    smollm2(root, scratch.path())
}

/// Tiny models whose ids are given.
fn families(root: &Path, directory: &Path) -> anyhow::Result<()> {
    let mut write = workspace::cargo(root);
    write.args(["run", "--quiet", "-p", "stoa-models", "--example", "family_files", "--"]);
    workspace::check(write.arg(directory))?;
    let mut models: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    models.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    models.sort();
    ensure!(!models.is_empty(), "no models in {}", directory.display());
    let mut wrong = Vec::new();
    for model in models {
        let ours: Value = serde_json::from_slice(&fs::read(model.with_extension("json"))?)?;
        let questions = directory.join("questions.json");
        fs::write(&questions, serde_json::to_string(&[&ours["ids"]])?)?;
        let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let theirs = match llama_cpp(root, &model, &questions, None) {
            Ok(theirs) => theirs,
            Err(error) => {
                wrong.push(format!("{name}: {error:#}"));
                continue;
            }
        };
        let apart = distance(&numbers(&ours["logits"])?, &numbers(&theirs[0]["logits"])?)?;
        let architecture = ours["architecture"].as_str().unwrap_or_default();
        let known =
            |(names, _): &&(&[&str], f64)| names.contains(&architecture) || names.is_empty();
        let tolerance = FAMILY_TOLERANCES.iter().find(known).map_or(0.0, |pair| pair.1);
        let (same, of) = same_tokens(&ours, &theirs[0], tolerance)?;
        println!(
            "{name:<20} {architecture:<10} logits {apart:.1e} apart, {same} of {of} tokens equal"
        );
        if apart >= tolerance || same < of || of == 0 {
            wrong.push(format!("{name}: logits {apart:.1e} apart, {same} of {of} tokens"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Greedy tokens that are equal, up to the first where the two best of ours are closer than twice
/// `tolerance`, so that the other may be the best, and how many these are.
fn same_tokens(ours: &Value, theirs: &Value, tolerance: f64) -> anyhow::Result<(usize, usize)> {
    let list = |value: &Value| value["greedy"].as_array().cloned().context("no greedy tokens");
    let gaps = numbers(&ours["gaps"])?;
    let sure = gaps.iter().take_while(|&&gap| gap > 2.0 * tolerance).count();
    let pairs = list(ours)?.into_iter().zip(list(theirs)?).take(sure);
    Ok((pairs.take_while(|(a, b)| a == b).count(), sure))
}

/// The model of a run, with the tokenizer that was trained for it.
fn trained(root: &Path, scratch: &Path) -> anyhow::Result<()> {
    let posts = scratch.join("posts.jsonl");
    let mut lines = String::new();
    for house in 0..80 {
        lines +=
            &format!("{{\"id\":\"{house}\",\"text\":\"Who sells lamps in house {house}?\"}}\n");
        lines += &format!(
            "{{\"id\":\"a{house}\",\"text\":\"The shop in house {house} sells them.\",\"in_reply_to\":\"{house}\"}}\n"
        );
    }
    fs::write(&posts, lines)?;
    let run = scratch.join("run");
    let mut up = stoa(root);
    up.args(["up", "--quiet", "--depth", "2", "--effort", "0.5", "--no-chat", "--posts"]);
    workspace::check(up.arg(&posts).arg("--dir").arg(&run).stdout(std::process::Stdio::null()))?;
    let questions = scratch.join("questions.json");
    let texts = [
        "<|im_start|>user\nWho sells lamps in house 12?<|im_end|>\n<|im_start|>assistant\n",
        "The shop in house",
        "  two spaces,\ttab,\n\nnew lines, 1234 \u{1f600} d'\u{e9}t\u{e9}",
    ];
    fs::write(&questions, serde_json::to_string(&texts)?)?;
    for ty in TRAINED {
        let file = scratch.join(format!("run-{ty}.gguf"));
        export(root, &run, ty, &file)?;
        beside_llama_cpp(root, &format!("run of stoa up, {ty}"), &file, &questions, scratch)?;
    }
    Ok(())
}

/// SmolLM2-135M-Instruct, read from Q4_1 and written in other types.
fn smollm2(root: &Path, scratch: &Path) -> anyhow::Result<()> {
    let model = smollm2_file()?;
    let questions = scratch.join("questions.json");
    fs::write(&questions, serde_json::to_string(&TEXTS)?)?;
    for (ty, tolerance) in KEPT_TOLERANCES {
        let file = scratch.join(format!("smollm2-{ty}.gguf"));
        export(root, &model, ty, &file)?;
        beside_llama_cpp(root, &format!("SmolLM2, {ty}"), &file, &questions, scratch)?;
        // Weights as the file has them.
        let ours = ours(root, &file, &questions, true)?;
        let theirs = llama_cpp(root, &file, &questions, None)?;
        let apart = farthest(&ours, &theirs)?;
        println!("SmolLM2, {ty}, in its types: logits within {apart:.1e}");
        ensure!(apart < tolerance, "that is more than {tolerance} of their standard deviation");
        fs::remove_file(&file)?;
    }
    Ok(())
}

/// Ids and greedy tokens are equal where both compute in f32 from the weights of the file.
fn beside_llama_cpp(
    root: &Path,
    name: &str,
    file: &Path,
    questions: &Path,
    scratch: &Path,
) -> anyhow::Result<()> {
    let ours = ours(root, file, questions, false)?;
    let theirs = llama_cpp(root, file, questions, Some(&scratch.join("float.gguf")))?;
    ensure!(!ours.is_empty() && ours.len() == theirs.len(), "{name}: answers are missing");
    for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        for part in ["ids", "greedy"] {
            let (a, b) = (&ours[part], &theirs[part]);
            ensure!(a == b && a.is_array(), "{name}, text {at}: {part} {a}, of llama.cpp {b}");
        }
    }
    let apart = farthest(&ours, &theirs)?;
    println!(
        "{name}: ids and greedy tokens of {} texts equal, logits within {apart:.1e}",
        ours.len()
    );
    ensure!(apart < TOLERANCE, "that is more than {TOLERANCE:.0e} of their standard deviation");
    Ok(())
}

fn farthest(ours: &[Value], theirs: &[Value]) -> anyhow::Result<f64> {
    let pairs = ours.iter().zip(theirs);
    pairs
        .map(|(a, b)| distance(&numbers(&a["logits"])?, &numbers(&b["logits"])?))
        .try_fold(0.0, |most: f64, apart| Ok(most.max(apart?)))
}

fn stoa(root: &Path) -> Command {
    let mut command = workspace::cargo(root);
    command.args(["run", "--quiet", "-p", "stoa", "--"]);
    command
}

fn export(root: &Path, model: &Path, ty: &str, file: &Path) -> anyhow::Result<()> {
    let mut export = stoa(root);
    export.args(["models", "export", "--to", "gguf", "--type", ty, "--model"]).arg(model);
    workspace::check(export.arg("--out").arg(file))
}

fn ours(root: &Path, file: &Path, questions: &Path, keep: bool) -> anyhow::Result<Vec<Value>> {
    let mut ours = workspace::cargo(root);
    ours.args(["run", "--quiet", "-p", "stoa-assistant", "--example", "gguf_answers", "--"]);
    ours.arg(file).arg(questions).arg(if keep { "keep" } else { "f32" });
    answers(&mut ours)
}

fn llama_cpp(
    root: &Path,
    file: &Path,
    questions: &Path,
    float: Option<&Path>,
) -> anyhow::Result<Vec<Value>> {
    let mut theirs = Command::new(llama_cpp_python()?);
    theirs.arg(root.join("xtask/oracle/models/gguf_llama_cpp.py")).arg(file).arg(questions);
    if let Some(float) = float {
        theirs.arg("--float").arg(float);
    }
    answers(&mut theirs)
}

/// The answers that a program printed on its last line.
fn answers(command: &mut Command) -> anyhow::Result<Vec<Value>> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value: Value = serde_json::from_str(text.lines().last().context("no output")?)?;
    value["answers"].as_array().cloned().context("no answers in the output")
}

fn numbers(value: &Value) -> anyhow::Result<Vec<f64>> {
    let numbers = value.as_array().context("logits are an array")?.iter().map(Value::as_f64);
    numbers.collect::<Option<_>>().context("a logit is not a number")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_count_as_far_as_they_are_sure() {
        let ours = json!({"greedy": [1, 2, 3, 4], "gaps": [0.5, 0.5, 0.001, 0.5]});
        let theirs = json!({"greedy": [1, 2, 9, 9]});
        assert_eq!(same_tokens(&ours, &theirs, 0.01).expect("tokens"), (2, 2));
        assert_eq!(same_tokens(&ours, &theirs, 0.0).expect("tokens"), (2, 4));
    }
}
