//! Prompt and answer speed, Stoa compared with llama.cpp on one GGUF file: one that is given, or a model
//! with random weights that is written first, so that the processes that are measured only read it. The
//! last logits of the prompt must agree, else there are no figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::paired::{Side, median};
use super::{machine, peak_memory};
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
/// or 32 bits, by type of weights. 8 bits an activation came to 0.03 through 12 layers of random weights and to
/// 0.11 through the 30 of SmolLM2, whose features are of very different sizes; another model is 1.4 away.
const QUANTISED_TOLERANCE: f64 = 0.2;

/// Options of `bench decode`.
#[derive(Debug, clap::Args)]
pub struct DecodeArgs {
    /// S: 6 layers × 384, vocabulary 8192. L: 12 × 768, 50304. With the SwiGLU of Llama.
    #[arg(long, value_parser = ["S", "L"], default_value = "L", ignore_case = true)]
    size: String,
    /// A GGUF file instead of random weights; its types are kept.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["size", "weights"])]
    model: Option<PathBuf>,
    /// Types weights are stored in: f32, f16, bf16, q8_0, q4_0 (head in q6_k), q4_k_m.
    #[arg(long, value_delimiter = ',', default_value = "f32,f16,q8_0,q4_0,q4_k_m")]
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
    /// Tokens before the answer. Several: each is measured, and the first stands for the type.
    #[arg(long, alias = "prompt", value_delimiter = ',', default_value = "512")]
    context: Vec<usize>,
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

/// The ceilings that `stoa bench machine` measures.
const CEILINGS: [&str; 3] = ["read_gigabytes_per_second", "f32_gflops", "int8_gops"];

/// Measures and returns the figures of both sides and their ratios, by type of weights.
pub fn run(args: &DecodeArgs) -> anyhow::Result<Value> {
    ensure!(args.repeats > 0 && args.tokens > 0, "--repeats and --tokens must be at least 1");
    let root = workspace::root()?;
    let bench = Bench {
        stoa: workspace::release_binary(&root)?,
        script: root.join("xtask/oracle/assistant/bench_llama_cpp.py"),
        python: args.against.is_some().then(llama_cpp_python).transpose()?,
        scratch: Scratch::new("bench-decode")?,
        args,
    };
    let machine = machine::describe();
    let mut result = Map::new();
    match &args.model {
        Some(file) => {
            let (name, figures) = bench.of_file(file)?;
            result.insert(name, figures);
        }
        None => {
            for weights in &args.weights {
                let file = bench.written(weights)?;
                let (_, figures) = bench.of_file(&file)?;
                fs::remove_file(&file)?;
                result.insert(weights.clone(), figures);
            }
        }
    }
    let about = json!({
        "bench": "decode",
        "model": args.model.as_ref().map_or_else(|| args.size.clone(), |m| m.display().to_string()),
        "isa": args.isa,
        "answer_tokens": args.tokens,
        "threads": args.threads,
        "repeats": args.repeats,
        "machine": machine,
        "load_average_after": machine::load_average(),
    });
    result.insert("about".to_owned(), about);
    Ok(result.into())
}

/// What all turns share.
struct Bench<'a> {
    stoa: PathBuf,
    script: PathBuf,
    /// Of the opponent's environment, where there is one.
    python: Option<PathBuf>,
    scratch: Scratch,
    args: &'a DecodeArgs,
}

impl Bench<'_> {
    /// A file with random weights.
    fn written(&self, weights: &str) -> anyhow::Result<PathBuf> {
        let file = self.scratch.path().join(format!("{weights}.gguf"));
        let mut write = Command::new(&self.stoa);
        write.args(["bench", "decode", "--json", "--size", &self.args.size, "--weights", weights]);
        workspace::check(write.arg("--save").arg(&file).stdout(Stdio::null()))?;
        Ok(file)
    }

    /// The type of a file and its figures by context, those of the first at the top.
    fn of_file(&self, file: &Path) -> anyhow::Result<(String, Value)> {
        let (mut name, mut all) = (String::new(), Map::new());
        for &context in &self.args.context {
            let (base, figures) = self.of_context(file, context)?;
            name = base;
            all.insert(context.to_string(), figures);
        }
        let first = self.args.context.first().context("--context names no length")?;
        let mut figures = all[&first.to_string()].clone();
        if all.len() > 1 {
            figures["contexts"] = all.into();
        }
        Ok((name, figures))
    }

    fn of_context(&self, file: &Path, context: usize) -> anyhow::Result<(String, Value)> {
        let mut ceilings = self.ours(&["machine"]);
        let mut sides = vec![self.ours(&["decode"])];
        sides[0].arguments.extend(["--model".to_owned(), word(file)]);
        sides[0].arguments.extend(self.lengths(context));
        let mut apart = None;
        if let Some(python) = &self.python {
            let mut arguments = vec![word(&self.script), word(file)];
            arguments.extend(self.lengths(context));
            arguments.extend(["--threads".to_owned(), self.args.threads.to_string()]);
            sides.push(Side::new("llama_cpp", python.clone(), arguments));
            apart = Some(self.apart(&sides)?);
        }
        for _ in 0..self.args.repeats {
            for side in &mut sides {
                side.take_turn(RATES[1])?;
            }
            ceilings.take_turn(CEILINGS[0])?;
        }
        let report = &sides[0].turns[0].report;
        ensure!(
            report["prompt_tokens"] == context,
            "--context {context}: give up to 128, or a multiple of 128"
        );
        let base = report["base_type"].as_str().context("no base_type")?.to_owned();
        let weights = report["weights"].as_str().unwrap_or_default().to_owned();
        let mut figures = summary(&sides, &ceilings)?;
        figures["logits_apart"] = json!(apart);
        figures["weights"] = json!(weights);
        if !self.args.json {
            print_table(&format!("{weights}, {context}"), &figures);
        }
        Ok((base, figures))
    }

    /// A bench of our own binary.
    fn ours(&self, words: &[&str]) -> Side {
        let mut arguments = vec!["bench".to_owned()];
        arguments.extend(words.iter().map(|&word| word.to_owned()));
        arguments.push("--json".to_owned());
        arguments.extend(["--threads".to_owned(), self.args.threads.to_string()]);
        arguments.extend(self.args.isa.iter().flat_map(|isa| ["--isa".to_owned(), isa.clone()]));
        Side::new("stoa", self.stoa.clone(), arguments)
    }

    fn lengths(&self, context: usize) -> Vec<String> {
        let lengths = [("--prompt", context), ("--tokens", self.args.tokens)];
        lengths.into_iter().flat_map(|(name, n)| [name.to_owned(), n.to_string()]).collect()
    }

    /// How far the logits of both sides are apart.
    fn apart(&self, sides: &[Side]) -> anyhow::Result<f64> {
        let mut found = Vec::new();
        for side in sides {
            let path = self.scratch.path().join(format!("{}.json", side.name));
            let mut check = Command::new(&side.program);
            check.args(&side.arguments).arg("--logits").arg(&path);
            let stdout = peak_memory::run(&mut check)?.stdout;
            found.push((logits(&path)?, stdout));
        }
        let report: Value = serde_json::from_str(found[0].1.lines().last().unwrap_or_default())?;
        let quantised = report["base_type"].as_str().is_some_and(|dtype| dtype.starts_with('q'));
        let apart = distance(&found[0].0, &found[1].0)?;
        eprintln!("bench: logits are {apart:.5} of their standard deviation apart");
        let tolerance = if quantised { QUANTISED_TOLERANCE } else { TOLERANCE };
        ensure!(
            apart < tolerance,
            "llama.cpp's logits are {apart:.4} standard deviations from ours: not the same model"
        );
        Ok(apart)
    }
}

fn word(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The interpreter of llama.cpp's environment.
pub fn llama_cpp_python() -> anyhow::Result<PathBuf> {
    python_env::ensure(ENVIRONMENT, PACKAGES)
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

/// Medians of both sides, the middle of the ratios of turns taken one after the other, and the share of
/// the machine's ceilings that each reaches.
fn summary(sides: &[Side], ceilings: &Side) -> anyhow::Result<Value> {
    let report = &sides[0].turns[0].report;
    let number = |key: &str| report[key].as_f64().with_context(|| format!("no {key}"));
    // The best of all turns: other work on the machine lowers a ceiling and never lifts it.
    let ceiling = |key: &str| {
        let turns = ceilings.turns.iter().filter_map(|turn| turn.report[key].as_f64());
        turns.fold(0.0, f64::max)
    };
    let [read, f32_rate, int8_rate] = CEILINGS.map(|key| 1e9 * ceiling(key));
    let quantised = report["base_type"].as_str().is_some_and(|dtype| dtype.starts_with('q'));
    let arithmetic = if quantised { int8_rate } else { f32_rate };
    let (bytes, operations) =
        (number("answer_bytes_per_token")?, number("prompt_operations_per_token")?);
    let of_machine = CEILINGS.map(|key| (key.to_owned(), json!(ceiling(key))));
    let mut result = json!({ "ceilings": Map::from_iter(of_machine) });
    for side in sides {
        let mut figures = json!({ "peak_rss_bytes": side.peak_rss_bytes() });
        for (rate, (work, most)) in RATES.into_iter().zip([(operations, arithmetic), (bytes, read)])
        {
            figures[rate] = json!(side.median(rate));
            let share = side.median(rate).map(|rate| rate * work / most);
            figures[if rate == RATES[0] { "share_of_peak" } else { "share_of_bandwidth" }] =
                json!(share);
        }
        result[side.name] = figures;
    }
    if let [ours, other] = sides {
        for rate in RATES {
            let mut ratios: Vec<f64> = ours
                .turns
                .iter()
                .zip(&other.turns)
                .filter_map(|(a, b)| Some(a.report[rate].as_f64()? / b.report[rate].as_f64()?))
                .collect();
            result["ratio"][rate] = json!(median(&mut ratios));
        }
        let memory = ours.peak_rss_bytes().zip(other.peak_rss_bytes());
        result["ratio"]["memory"] = json!(memory.map(|(a, b)| a as f64 / b as f64));
    }
    Ok(result)
}

fn print_table(name: &str, figures: &Value) {
    eprintln!(
        "\n{name}\n{:<12} {:>16} {:>8} {:>16} {:>10} {:>9}",
        "", "prompt tokens/s", "of peak", "answer tokens/s", "of memory", "peak MB"
    );
    for side in ["stoa", "llama_cpp"] {
        let Some(side_figures) = figures.get(side) else { continue };
        let figure = |key: &str| side_figures[key].as_f64().unwrap_or(f64::NAN);
        eprintln!(
            "{side:<12} {:>16.0} {:>7.1}% {:>16.1} {:>9.1}% {:>9.0}",
            figure(RATES[0]),
            100.0 * figure("share_of_peak"),
            figure(RATES[1]),
            100.0 * figure("share_of_bandwidth"),
            figure("peak_rss_bytes") / 1e6
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::paired::Turn;
    use super::*;

    #[test]
    fn distance_is_in_standard_deviations() {
        assert_eq!(distance(&[1.0, -1.0], &[1.0, -1.0]).expect("same length"), 0.0);
        assert_eq!(distance(&[1.0, -1.0], &[2.0, 0.0]).expect("same length"), 1.0);
        assert!(distance(&[1.0], &[1.0, 2.0]).is_err());
    }

    #[test]
    fn ratios_are_of_paired_turns_and_shares_of_the_best_ceiling() {
        let side = |name, turns: Vec<(Value, u64)>| {
            let mut side = Side::new(name, PathBuf::new(), Vec::new());
            let turn = |(report, peak_rss_bytes)| Turn { report, peak_rss_bytes };
            side.turns = turns.into_iter().map(turn).collect();
            side
        };
        let turn = |prompt: f64, answer: f64| {
            json!({
                "prompt_tokens_per_second": prompt,
                "answer_tokens_per_second": answer,
                "answer_bytes_per_token": 1e8,
                "prompt_operations_per_token": 1e9,
                "base_type": "q8_0",
            })
        };
        let ours = side("stoa", vec![(turn(100.0, 30.0), 10), (turn(300.0, 60.0), 30)]);
        let other = side("llama_cpp", vec![(turn(50.0, 10.0), 20), (turn(300.0, 60.0), 20)]);
        let ceiling = |read: f64| json!({ "read_gigabytes_per_second": read, "f32_gflops": 1.0, "int8_gops": 400.0 });
        let ceilings = side("stoa", vec![(ceiling(9.0), 0), (ceiling(8.0), 0)]);
        let figures = summary(&[ours, other], &ceilings).expect("all numbers are there");
        assert_eq!(figures["ratio"]["prompt_tokens_per_second"], 1.5);
        assert_eq!(figures["ratio"]["answer_tokens_per_second"], 2.0);
        assert_eq!(figures["ratio"]["memory"], 1.5);
        assert_eq!(figures["stoa"]["answer_tokens_per_second"], 45.0);
        assert_eq!(figures["stoa"]["share_of_bandwidth"], 0.5);
        assert_eq!(figures["stoa"]["share_of_peak"], 0.5);
    }
}
