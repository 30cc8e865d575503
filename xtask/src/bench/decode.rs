//! Prompt and answer speed, Stoa compared with llama.cpp on one model with random weights. The last logits
//! of the prompt must agree, else there are no figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::machine;
use super::paired::Side;
use crate::scratch::Scratch;
use crate::{python_env, workspace};

/// Environment of llama.cpp: compiled on this machine for this machine, some ten minutes.
const ENVIRONMENT: &str = "oracle-llama-cpp";
/// Its packages. llama.cpp comes inside the first.
const PACKAGES: &[&str] =
    &["gguf==0.19.0", "llama-cpp-python==0.3.36", "numpy==2.4.6", "safetensors==0.8.0"];
/// How far logits may be apart, as a share of their standard deviation: llama.cpp rounds what goes
/// into a product of f16 weights to f16, 11 bits; 12 layers of that came to 0.0007.
const TOLERANCE: f64 = 0.02;

/// The same where both sides quantise activations: llama.cpp in blocks of 32 or 256, with a scale of 16
/// or 32 bits, by type of weights; 8 bits an activation, through 12 layers of random weights.
const QUANTISED_TOLERANCE: f64 = 0.1;

/// Options of `bench decode`.
#[derive(Debug, clap::Args)]
pub struct DecodeArgs {
    /// S: 6 layers × 384, vocabulary 8192. L: 12 × 768, 50304. With the SwiGLU of Llama.
    #[arg(long, value_parser = ["S", "L"], default_value = "L", ignore_case = true)]
    size: String,
    /// Types weights are stored in, all matrices alike: f32, f16, q8_0, q4_0, q4_1, q5_0, q5_1, and
    /// of L q4_k, q5_k, q6_k.
    #[arg(long, value_delimiter = ',', default_value = "f32,f16,q8_0,q4_0")]
    weights: Vec<String>,
    /// Instruction set of our side.
    #[arg(long)]
    isa: Option<String>,
    /// Measure another program too.
    #[arg(long, value_enum)]
    against: Option<Opponent>,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 512)]
    prompt: usize,
    /// Tokens of the answer.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Threads of each side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only the JSON object, without the table on stderr.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Opponent {
    /// llama.cpp from the package registry, compiled here.
    LlamaCpp,
}

/// Numbers of a turn that are compared.
const RATES: [&str; 2] = ["prompt_tokens_per_second", "answer_tokens_per_second"];

/// Measures and returns the figures of both sides and their ratios, by type of weights.
pub fn run(args: &DecodeArgs) -> anyhow::Result<Value> {
    ensure!(args.repeats > 0 && args.tokens > 0, "--repeats and --tokens must be at least 1");
    let root = workspace::root()?;
    let stoa = workspace::release_binary(&root)?;
    let scratch = Scratch::new("bench-decode")?;
    let mut result = json!({
        "bench": "decode",
        "size": args.size,
        "prompt_tokens": args.prompt,
        "answer_tokens": args.tokens,
        "threads": args.threads,
        "repeats": args.repeats,
        "machine": machine::describe(),
    });
    for weights in &args.weights {
        let mut sides = vec![ours(&stoa, args, weights)];
        let mut difference = None;
        if args.against.is_some() {
            let (other, apart) = llama_cpp(&root, scratch.path(), args, weights, &sides[0])?;
            sides.push(other);
            difference = Some(apart);
        }
        for _ in 0..args.repeats {
            for side in &mut sides {
                side.take_turn(RATES[1])?;
            }
        }
        result[weights] = summary(&sides, difference);
        if !args.json {
            print_table(weights, &sides);
        }
    }
    result["load_average_after"] = machine::load_average().into();
    Ok(result)
}

fn ours(stoa: &Path, args: &DecodeArgs, weights: &str) -> Side {
    let words = ["bench", "decode", "--json", "--size", &args.size, "--weights", weights];
    let mut arguments: Vec<String> = words.map(str::to_owned).into();
    arguments.extend(numbers(args));
    arguments.extend(args.isa.iter().flat_map(|isa| ["--isa".to_owned(), isa.clone()]));
    Side::new("stoa", stoa.to_owned(), arguments)
}

fn numbers(args: &DecodeArgs) -> Vec<String> {
    let numbers =
        [("--prompt", args.prompt), ("--tokens", args.tokens), ("--threads", args.threads)];
    numbers.into_iter().flat_map(|(name, n)| [name.to_owned(), n.to_string()]).collect()
}

/// The interpreter of llama.cpp's environment.
pub fn llama_cpp_python() -> anyhow::Result<PathBuf> {
    python_env::ensure(ENVIRONMENT, PACKAGES)
}

/// llama.cpp with the model that `ours` saves, and how far its logits are from ours.
fn llama_cpp(
    root: &Path,
    scratch: &Path,
    args: &DecodeArgs,
    weights: &str,
    ours: &Side,
) -> anyhow::Result<(Side, f64)> {
    let python = llama_cpp_python()?;
    let script = root.join("xtask/oracle/assistant/bench_llama_cpp.py");
    let model = scratch.join("model");
    let mut save = Command::new(&ours.program);
    save.args(&ours.arguments).arg("--save").arg(&model).stdout(Stdio::null());
    workspace::check(&mut save)?;
    let gguf = scratch.join("model.gguf");
    let mut convert = Command::new(&python);
    convert.arg(&script).arg("convert").args([&model, &gguf]).args(["--type", weights]);
    workspace::check(&mut convert)?;

    let word = |path: &Path| path.to_string_lossy().into_owned();
    let mut arguments = vec![word(&script), "run".to_owned(), word(&gguf)];
    arguments.extend(numbers(args));
    let theirs = scratch.join("logits.json");
    let mut check = Command::new(&python);
    check.args(&arguments).arg("--logits").arg(&theirs).stdout(Stdio::null());
    workspace::check(&mut check)?;
    let apart = distance(&logits(&model.join("logits.json"))?, &logits(&theirs)?)?;
    eprintln!("bench: logits are {apart:.5} of their standard deviation apart");
    let tolerance = if weights.starts_with('q') { QUANTISED_TOLERANCE } else { TOLERANCE };
    ensure!(
        apart < tolerance,
        "llama.cpp's logits are {apart:.4} standard deviations from ours: not the same model"
    );
    Ok((Side::new("llama_cpp", python, arguments), apart))
}

fn logits(path: &Path) -> anyhow::Result<Vec<f64>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: Value = serde_json::from_str(&text)?;
    let numbers = value["logits"].as_array().context("no logits")?;
    numbers.iter().map(|n| n.as_f64().context("a logit is not a number")).collect()
}

/// Root mean square difference over the standard deviation of `ours`.
pub fn distance(ours: &[f64], theirs: &[f64]) -> anyhow::Result<f64> {
    ensure!(ours.len() == theirs.len(), "{} logits of ours, {}", ours.len(), theirs.len());
    let n = ours.len() as f64;
    let mean = ours.iter().sum::<f64>() / n;
    let variance = ours.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / n;
    let error = ours.iter().zip(theirs).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / n;
    Ok((error / variance).sqrt())
}

fn summary(sides: &[Side], difference: Option<f64>) -> Value {
    let mut result = json!({ "logits_apart": difference });
    for side in sides {
        let mut figures = json!({ "peak_rss_bytes": side.peak_rss_bytes() });
        for rate in RATES {
            figures[rate] = json!(side.median(rate));
        }
        result[side.name] = figures;
    }
    if let [ours, other] = sides {
        for rate in RATES {
            let ratio = ours.median(rate).zip(other.median(rate)).map(|(a, b)| a / b);
            result["ratio"][rate] = json!(ratio);
        }
        let memory = ours.peak_rss_bytes().zip(other.peak_rss_bytes());
        result["ratio"]["memory"] = json!(memory.map(|(a, b)| a as f64 / b as f64));
    }
    result
}

fn print_table(weights: &str, sides: &[Side]) {
    eprintln!(
        "\n{weights:<12} {:>16} {:>16} {:>9}",
        "prompt tokens/s", "answer tokens/s", "peak MB"
    );
    for side in sides {
        let figure = |key: &str| side.median(key).unwrap_or(f64::NAN);
        let peak = side.peak_rss_bytes().unwrap_or_default() as f64 / 1e6;
        let [prompt, answer] = RATES.map(figure);
        eprintln!("{:<12} {prompt:>16.0} {answer:>16.1} {peak:>9.0}", side.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_in_standard_deviations() {
        assert_eq!(distance(&[1.0, -1.0], &[1.0, -1.0]).expect("same length"), 0.0);
        assert_eq!(distance(&[1.0, -1.0], &[2.0, 0.0]).expect("same length"), 1.0);
        assert!(distance(&[1.0], &[1.0, 2.0]).is_err());
    }
}
