//! Answers that llama.cpp and transformers gave about the smallest real model, kept in
//! `xtask/oracle/models`, and the binary that people get held to them: seconds, so that CI does it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Answers, NEAR};
use super::{QUESTIONS, RealModel, TOLERANCE, fetched, named};
use crate::workspace;

/// The model whose answers are kept.
const MODEL: &str = "smollm2";

/// Of the logits every so many are kept.
const STRIDE: usize = 512;

/// How far those of kept blocks may be from f32, as a share of the standard deviation: activations are
/// rounded to 8 bits, for which 0.08 to 0.33 were measured, by instruction set.
const KEPT_TOLERANCE: f64 = 0.5;

/// What is kept of a question.
#[derive(Deserialize)]
struct Kept {
    question: Value,
    /// As rendered.
    text: String,
    ids: Vec<u32>,
    greedy: Vec<u32>,
    /// The smallest distance of the two best in the answer.
    margin: f64,
    answer: String,
    /// Every so many of the logits after the last id, and the standard deviation of all.
    logits: Vec<f64>,
    deviation: f64,
}

fn path(root: &Path, model: &RealModel) -> PathBuf {
    root.join("xtask/oracle/models").join(format!("{}_answers.json", model.name))
}

/// Keeps what both programs said: the numbers are those of llama.cpp, the text that of transformers.
pub(super) fn write(
    root: &Path,
    model: &RealModel,
    questions: &Value,
    float: &Answers,
    transformers: &Answers,
) -> anyhow::Result<()> {
    transformers.same_tokens(float, "llama.cpp")?;
    let asked = questions.as_array().into_iter().flatten();
    let mut lines = Vec::new();
    for ((question, theirs), rendered) in asked.zip(&float.0).zip(&transformers.0) {
        let n = theirs.logits.len() as f64;
        let mean = theirs.logits.iter().sum::<f64>() / n;
        let square = theirs.logits.iter().map(|logit| (logit - mean).powi(2)).sum::<f64>();
        let some = theirs.logits.iter().step_by(STRIDE);
        lines.push(json!({
            "question": question,
            "text": rendered.text,
            "ids": theirs.ids,
            "greedy": theirs.greedy,
            "margin": theirs.margins.iter().copied().fold(f64::INFINITY, f64::min),
            "answer": rendered.answer,
            "logits": some.map(|logit| (logit * 1e5).round() / 1e5).collect::<Vec<_>>(),
            "deviation": (square / n).sqrt(),
        }));
    }
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    fs::write(path(root, model), format!("[\n{}\n]\n", lines.join(",\n")))?;
    Ok(())
}

/// Holds the binary to the answers that are kept.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let model = named(MODEL)?;
    let text = fs::read(path(root, model))?;
    let kept: Vec<Kept> = serde_json::from_slice(&text)?;
    ensure!(kept.len() == QUESTIONS.len(), "answers to other questions are kept");
    let file = fetched(model)?;
    let binary = workspace::release_binary(root)?;
    let stoa = Stoa { binary: &binary, file: &file };
    let start = Instant::now();
    stoa.shows_what_it_is()?;
    stoa.reads(&kept)?;
    let (mut f32_most, mut kept_most, mut answers) = (0.0_f64, 0.0_f64, 0);
    for kept in &kept {
        f32_most = f32_most.max(stoa.logits_apart(kept, "f32")?);
        if kept.margin > NEAR {
            stoa.answers(kept)?;
            answers += 1;
        }
    }
    // Blocks as they are take another way through the engine; two texts go it.
    for kept in &kept[..2] {
        kept_most = kept_most.max(stoa.logits_apart(kept, "keep")?);
    }
    println!(
        "{MODEL}: {} texts as llama.cpp and transformers read them, {answers} answers equal, logits within \
         {f32_most:.1e} in f32 and {kept_most:.1e} in blocks of the file, in {:.0} s",
        kept.len(),
        start.elapsed().as_secs_f64()
    );
    ensure!(f32_most < TOLERANCE, "that is more than {TOLERANCE:.0e} of their standard deviation");
    ensure!(kept_most < KEPT_TOLERANCE, "that is more than {KEPT_TOLERANCE} in kept blocks");
    Ok(())
}

/// The binary and the model it is asked about.
struct Stoa<'a> {
    binary: &'a Path,
    file: &'a Path,
}

impl Stoa<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command.args(words).arg("--json").stdin(Stdio::null());
        command
    }

    fn value(&self, words: &[&str], model: &[&str]) -> anyhow::Result<Value> {
        let mut command = self.command(words);
        command.args(model).arg(self.file);
        let shown = workspace::shown(&command);
        let output = command.output()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "`{shown}` failed: {error}");
        serde_json::from_slice(&output.stdout).with_context(|| format!("of `{shown}`"))
    }

    /// `models show`: what the keys of the file say.
    fn shows_what_it_is(&self) -> anyhow::Result<()> {
        let shown = self.value(&["models", "show"], &[])?;
        let expected = json!({
            "form": "gguf",
            "family": "LlamaForCausalLM",
            "parameters": 134_515_008,
            "context": 8192,
            "vocabulary": 49152,
            "layers": 30,
            "hidden": 576,
            "heads": [9, 3],
            "template": "of the model",
        });
        for (key, expected) in expected.as_object().into_iter().flatten() {
            ensure!(&shown[key] == expected, "models show: {key} is {}", shown[key]);
        }
        Ok(())
    }

    /// `tokens encode`: ids of the texts, a line at a time.
    fn reads(&self, kept: &[Kept]) -> anyhow::Result<()> {
        let lines: Vec<&Kept> = kept.iter().filter(|kept| !kept.text.contains('\n')).collect();
        ensure!(lines.len() > 3, "too few texts of one line are kept");
        let mut command = self.command(&["tokens", "encode", "--read-special-tokens"]);
        command.arg("--tokenizer").arg(self.file).arg("-");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let texts: Vec<&str> = lines.iter().map(|kept| kept.text.as_str()).collect();
        child.stdin.take().context("a pipe")?.write_all(texts.join("\n").as_bytes())?;
        let output = child.wait_with_output()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "tokens encode failed: {error}");
        let output = String::from_utf8(output.stdout)?;
        let mut found = output.lines();
        for kept in lines {
            let ids: Vec<u32> = serde_json::from_str(found.next().unwrap_or_default())?;
            ensure!(ids == kept.ids, "{:?}: ids {ids:?}, kept {:?}", kept.text, kept.ids);
        }
        Ok(())
    }

    /// `eval logits`: the root mean square of the differences at the ids that are kept.
    fn logits_apart(&self, kept: &Kept, weights: &str) -> anyhow::Result<f64> {
        let ids: Vec<String> = kept.ids.iter().map(u32::to_string).collect();
        let words = ["eval", "logits", "--context", "512", "--weights", weights];
        let value = self.value(&[&words[..], &["--ids", &ids.join(",")]].concat(), &["--model"])?;
        let all = value["logits"].as_array().context("logits are a list")?;
        let some = all.iter().step_by(STRIDE).map(|logit| logit.as_f64().unwrap_or(f64::NAN));
        let some: Vec<f64> = some.collect();
        ensure!(some.len() == kept.logits.len(), "{} logits, of another vocabulary", all.len());
        let square: f64 = some.iter().zip(&kept.logits).map(|(a, b)| (a - b).powi(2)).sum();
        let apart = (square / some.len() as f64).sqrt() / kept.deviation;
        ensure!(apart.is_finite(), "{:?}: logits are not numbers", kept.text);
        Ok(apart)
    }

    /// `chat`: the answer to the question, by the template of the file or as a text to continue.
    fn answers(&self, kept: &Kept) -> anyhow::Result<()> {
        let (prompt, template) = match &kept.question["ask"] {
            Value::String(question) => (question.as_str(), None),
            _ => (kept.text.as_str(), Some("raw")),
        };
        let tokens = kept.greedy.len().to_string();
        let mut words = vec!["chat", "--weights", "f32", "--context", "512", "--temperature", "0"];
        words.extend(["--max-tokens", &tokens, "--prompt", prompt]);
        words.extend(template.iter().flat_map(|name| ["--chat-template", *name]));
        let value = self.value(&words, &["--model"])?;
        ensure!(
            value["answer"] == kept.answer.as_str(),
            "{prompt:?}: the answer is {}, kept is {:?}",
            value["answer"],
            kept.answer
        );
        let read = value["prompt_tokens"].as_u64();
        ensure!(read == Some(kept.ids.len() as u64), "{prompt:?}: {read:?} tokens were read");
        Ok(())
    }
}
