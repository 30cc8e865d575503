//! Training throughput, Stoa compared with PyTorch: the two take turns in fresh processes, so that a busy
//! moment of the machine does not fall on one side only, and medians over the turns are compared.

use std::path::Path;

use anyhow::ensure;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::machine;
use super::paired::{Side, Turn, median};
use crate::oracle::{TORCH_ENVIRONMENT, TORCH_PACKAGES};
use crate::{python_env, workspace};

/// Options of `bench train`.
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// S: 6 layers × 384, vocabulary 8192, 16 × 256 tokens. L: 12 × 768, 50304, 4 × 512. default:
    /// what `stoa up` trains, 4 × 192 with SwiGLU and QK-norm, 3462, 16 × 256.
    #[arg(long, value_enum, ignore_case = true)]
    size: Size,
    /// What our products multiply; weights are f32 either way. With bf16, PyTorch runs in f32 and under
    /// autocast to bf16, and the faster of the two counts.
    #[arg(long, value_enum, default_value = "f32")]
    weights: Weights,
    /// Measure another program too.
    #[arg(long, value_enum)]
    against: Option<Opponent>,
    /// Turns of each side.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Steps counted in a turn.
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Steps before them.
    #[arg(long, default_value_t = 2)]
    warmup: usize,
    /// Threads of each side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Also measure PyTorch without `torch.compile`.
    #[arg(long)]
    eager: bool,
    /// Only the JSON object, without the table on stderr.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Size {
    #[value(name = "S")]
    S,
    #[value(name = "L")]
    L,
    #[value(name = "default")]
    Default,
}

impl Size {
    /// As both sides are given it.
    const fn name(self) -> &'static str {
        match self {
            Size::S => "S",
            Size::L => "L",
            Size::Default => "default",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Weights {
    F32,
    Bf16,
}

impl Weights {
    const fn name(self) -> &'static str {
        match self {
            Weights::F32 => "f32",
            Weights::Bf16 => "bf16",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Opponent {
    /// PyTorch from the package registry, in its own environment (5 GB, made once).
    Torch,
}

/// Measures and returns the figures of both sides and their ratios.
pub fn run(args: &TrainArgs) -> anyhow::Result<Value> {
    ensure!(args.repeats > 0 && args.steps > 0, "--repeats and --steps must be at least 1");
    let root = workspace::root()?;
    let machine = machine::describe();
    let mut sides = vec![ours(&root, args)?];
    if args.against == Some(Opponent::Torch) {
        sides.push(torch(&root, args, "torch", "compile", Weights::F32)?);
        if args.weights == Weights::Bf16 {
            sides.push(torch(&root, args, "torch_autocast", "compile", Weights::Bf16)?);
        }
        if args.eager {
            sides.push(torch(&root, args, "torch_eager", "eager", Weights::F32)?);
        }
    }
    for repeat in 0..args.repeats {
        for side in &mut sides {
            eprintln!("bench: {} turn {} of {}", side.name, repeat + 1, args.repeats);
            let name = side.name;
            check_loss_falls(name, &side.take_turn("tokens_per_second")?.report)?;
        }
    }
    let result = summary(args, &sides, machine);
    if !args.json {
        print_table(&result, &sides);
    }
    Ok(result)
}

fn ours(root: &Path, args: &TrainArgs) -> anyhow::Result<Side> {
    let mut arguments = vec!["bench".to_owned(), "train".to_owned(), "--json".to_owned()];
    arguments.extend(step_options(args, args.weights));
    Ok(Side::new("stoa", workspace::release_binary(root)?, arguments))
}

fn torch(
    root: &Path,
    args: &TrainArgs,
    name: &'static str,
    mode: &str,
    weights: Weights,
) -> anyhow::Result<Side> {
    let script = root.join("xtask/oracle/train/bench_torch.py");
    let mut arguments = vec![script.to_string_lossy().into_owned()];
    arguments.extend(["--mode".to_owned(), mode.to_owned()]);
    arguments.extend(step_options(args, weights));
    let program = python_env::ensure(TORCH_ENVIRONMENT, TORCH_PACKAGES)?;
    Ok(Side::new(name, program, arguments))
}

fn step_options(args: &TrainArgs, weights: Weights) -> Vec<String> {
    let numbers = [("--steps", args.steps), ("--warmup", args.warmup), ("--threads", args.threads)];
    let numbers = numbers.into_iter().flat_map(|(name, n)| [name.to_owned(), n.to_string()]);
    let names = [("--size", args.size.name()), ("--weights", weights.name())];
    let names = names.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
    names.chain(numbers).collect()
}

/// All steps see the same batch, so a side whose loss does not fall did not do the work.
fn check_loss_falls(name: &str, report: &Value) -> anyhow::Result<()> {
    let losses: Vec<f64> =
        report["loss"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let falls = losses.len() > 1 && losses.last() < losses.first();
    ensure!(falls, "{name}: the loss on one repeated batch does not fall: {losses:?}");
    Ok(())
}

fn summary(args: &TrainArgs, sides: &[Side], machine: Value) -> Value {
    let mut result = json!({
        "bench": "train",
        "size": args.size.name(),
        "weights": args.weights.name(),
        "threads": args.threads,
        "repeats": args.repeats,
        "machine": machine,
        "load_average_after": machine::load_average(),
    });
    for side in sides {
        let mut steps: Vec<f64> = side.turns.iter().flat_map(step_seconds).collect();
        result[side.name] = json!({
            "tokens_per_second": side.median("tokens_per_second"),
            "median_step_seconds": median(&mut steps),
            // Sorted by `median`: the fastest step, what an idle machine would show.
            "best_step_seconds": steps.first(),
            "peak_rss_bytes": side.peak_rss_bytes(),
            "turns": side.turns.iter().map(|turn| turn.report.clone()).collect::<Vec<_>>(),
        });
    }
    let [ours, others @ ..] = sides else { return result };
    // Of PyTorch's compiled sides the faster one counts.
    let rate = |side: &Side| side.median("tokens_per_second").unwrap_or(0.0);
    let compiled = others.iter().filter(|side| ["torch", "torch_autocast"].contains(&side.name));
    let fastest = compiled.max_by(|a, b| rate(a).total_cmp(&rate(b))).map(|side| side.name);
    result["opponent"] = json!(fastest);
    for other in others {
        let ratio = |key: &str| {
            result[ours.name][key]
                .as_f64()
                .zip(result[other.name][key].as_f64())
                .map(|(ours, other)| ours / other)
        };
        let ratios = json!({
            "speed_ratio": ratio("tokens_per_second"),
            "best_step_speed_ratio": ratio("best_step_seconds").map(|ratio| 1.0 / ratio),
            "memory_ratio": ratio("peak_rss_bytes"),
        });
        if Some(other.name) == fastest {
            for (key, value) in ratios.as_object().into_iter().flatten() {
                result[key] = value.clone();
            }
        }
        result[format!("against_{}", other.name)] = ratios;
    }
    result
}

fn step_seconds(turn: &Turn) -> Vec<f64> {
    turn.report["step_seconds"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn print_table(result: &Value, sides: &[Side]) {
    eprintln!("\n{:<12} {:>10} {:>12} {:>10} {:>9}", "", "tokens/s", "s/step", "best s", "peak MB");
    for side in sides {
        let figure = |key: &str| result[side.name][key].as_f64().unwrap_or(f64::NAN);
        eprintln!(
            "{:<12} {:>10.0} {:>12.3} {:>10.3} {:>9.0}",
            side.name,
            figure("tokens_per_second"),
            figure("median_step_seconds"),
            figure("best_step_seconds"),
            figure("peak_rss_bytes") / 1e6,
        );
    }
    for other in &sides[1..] {
        let ratios = &result[format!("against_{}", other.name)];
        eprintln!(
            "against {}: speed {:.2} (best steps {:.2}), memory {:.2}",
            other.name,
            ratios["speed_ratio"].as_f64().unwrap_or(f64::NAN),
            ratios["best_step_speed_ratio"].as_f64().unwrap_or(f64::NAN),
            ratios["memory_ratio"].as_f64().unwrap_or(f64::NAN),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &'static str, turns: &[(f64, u64)]) -> Side {
        let turns = turns.iter().map(|&(rate, peak_rss_bytes)| Turn {
            peak_rss_bytes,
            report: json!({ "tokens_per_second": rate, "step_seconds": [4096.0 / rate] }),
        });
        Side { turns: turns.collect(), ..Side::new(name, "".into(), Vec::new()) }
    }

    #[test]
    fn ratios_compare_median_speeds_and_highest_peaks() {
        let args = TrainArgs {
            size: Size::S,
            weights: Weights::F32,
            against: Some(Opponent::Torch),
            repeats: 3,
            steps: 1,
            warmup: 0,
            threads: 2,
            eager: false,
            json: true,
        };
        let sides = [
            side("stoa", &[(300.0, 40), (200.0, 50), (100.0, 45)]),
            side("torch", &[(100.0, 100), (90.0, 80), (500.0, 90)]),
        ];
        let result = summary(&args, &sides, Value::Null);
        assert_eq!(result["speed_ratio"], 2.0);
        assert_eq!(result["memory_ratio"], 0.5);
        assert_eq!(result["stoa"]["best_step_seconds"], 4096.0 / 300.0);
        assert_eq!(result["size"], "S");
        let args = TrainArgs { weights: Weights::Bf16, ..args };
        let [ours, torch] = sides;
        let autocast = side("torch_autocast", &[(160.0, 90)]);
        let result = summary(&args, &[ours, torch, autocast], Value::Null);
        assert_eq!(
            (&result["opponent"], &result["weights"]),
            (&"torch_autocast".into(), &"bf16".into())
        );
        assert_eq!(result["speed_ratio"], 1.25);
    }

    #[test]
    fn a_side_that_does_not_learn_is_refused() {
        assert!(check_loss_falls("x", &json!({ "loss": [9.0, 8.0] })).is_ok());
        assert!(check_loss_falls("x", &json!({ "loss": [9.0, 9.0] })).is_err());
        assert!(check_loss_falls("x", &json!({})).is_err());
    }
}
