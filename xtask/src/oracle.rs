//! Independent implementations that ours are checked against, and the golden outputs made with
//! them. The scripts are in `xtask/oracle/`, with a README.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use serde_json::Value;

use crate::bench::posts;
use crate::scratch::Scratch;
use crate::{python_env, real_weights, vocabularies, workspace, written_gguf};

/// Environment with PyTorch: 5 GB, for benches and for making golden outputs, never for CI.
pub const TORCH_ENVIRONMENT: &str = "torch-2.15.0";
/// Its packages.
pub const TORCH_PACKAGES: &[&str] =
    &["numpy==2.4.6", "safetensors==0.8.0", "torch==2.15.0", "transformers==5.23.0"];

/// Environment for checks in CI: seconds to install.
pub const LIGHT_ENVIRONMENT: &str = "oracle-light";
/// Its packages.
pub const LIGHT_PACKAGES: &[&str] =
    &["numpy==2.4.6", "safetensors==0.8.0", "scipy==1.17.1", "gguf==0.19.0"];

/// Environment that renders chat templates.
const TEMPLATES_ENVIRONMENT: &str = "oracle-templates";
/// Its packages.
const TEMPLATES_PACKAGES: &[&str] = &["jinja2==3.1.6", "transformers==5.23.0"];

/// Environment that downloads a source package without building what builds it.
const PUBLISHED_ENVIRONMENT: &str = "oracle-published";
/// Its packages.
const PUBLISHED_PACKAGES: &[&str] = &["cmake==4.4.5", "ninja==1.13.2", "scikit-build-core==1.1.2"];

/// Environment that writes Parquet.
const PARQUET_ENVIRONMENT: &str = "oracle-parquet";
/// Its packages.
const PARQUET_PACKAGES: &[&str] = &["pyarrow==26.0.1"];

/// Environment with a server that behaves as S3 does.
const S3_ENVIRONMENT: &str = "oracle-s3";
/// Its packages.
const S3_PACKAGES: &[&str] = &["moto[server]==5.2.5"];

/// Options of `oracle`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    oracle: Oracle,
}

#[derive(Debug, Subcommand)]
enum Oracle {
    /// Logits of a saved model by `transformers`: one JSON object.
    Logits {
        /// Directory with config.json and model.safetensors.
        model: PathBuf,
        /// Token ids, comma separated.
        #[arg(long, value_delimiter = ',', required = true)]
        ids: Vec<u32>,
    },
    /// Save random models of every class that `transformers` loads, and hold its logits to ours.
    Saved,
    /// Train exported models with PyTorch on exported batches, and compare with our losses where
    /// they belong to; xtask/oracle/train/shakespeare_torch.py describes the format.
    Shakespeare {
        /// Directories that Stoa exported, one per seed.
        #[arg(required = true)]
        directories: Vec<PathBuf>,
        /// Threads of PyTorch.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Languages of labelled texts by length and by language, and what lingua says of those that ours calls
    /// `und`.
    Languages {
        /// JSON lines with `text` and `lang`.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Render random templates and those of many publishers with Jinja2, and compare with ours.
    Templates {
        /// Random templates.
        #[arg(long, default_value_t = 10_000)]
        random: usize,
        /// Their seed.
        #[arg(long, default_value_t = 7)]
        seed: u64,
    },
    /// Ids of published vocabularies, and text they decode to, by the programs they are made for.
    Vocabularies(vocabularies::Args),
    /// Read addresses from moto, a server that behaves as S3 does.
    S3,
    /// Fetch a GGUF file with real weights, and hold token ids, logits and greedy tokens to those of llama.cpp
    /// (compiled on this machine) and of transformers (needs PyTorch).
    Gguf(real_weights::Args),
    /// Write GGUF files of every architecture, of a trained run, and of SmolLM2 in every type, and hold
    /// llama.cpp to their tokens and logits.
    Export,
    /// Write published vocabularies as tables of GGUF files, and hold what they read as to their ids.
    Tables,
    /// Remake all golden outputs (needs PyTorch).
    Golden,
    /// Check that committed golden outputs are what their light scripts give (numpy, scipy and gguf only), and
    /// that a real model answers as llama.cpp and transformers did (93 MB are fetched once).
    Check,
}

/// Asks one oracle.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let root = workspace::root()?;
    match &args.oracle {
        Oracle::Logits { model, ids } => {
            let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
            let mut script = torch_script(&root, "models/logits.py")?;
            workspace::check(script.arg(model).args(["--ids", &ids.join(",")]))
        }
        Oracle::Saved => check_saved(&root),
        Oracle::Shakespeare { directories, threads } => {
            let mut script = torch_script(&root, "train/shakespeare_torch.py")?;
            workspace::check(script.args(directories).args(["--threads", &threads.to_string()]))
        }
        Oracle::Languages { files } => languages(&root, files),
        Oracle::Templates { random, seed } => compare_templates(&root, *random, *seed),
        Oracle::Vocabularies(args) => vocabularies::run(args, &root),
        Oracle::S3 => {
            let python = python_env::ensure(S3_ENVIRONMENT, S3_PACKAGES)?;
            let mut test = workspace::cargo(&root);
            test.args([
                "test",
                "-p",
                "stoa-corpus",
                "--features",
                "remote",
                "--test",
                "remote",
                "--",
            ]);
            workspace::check(test.arg("--ignored").env("STOA_MOTO_PYTHON", python))
        }
        Oracle::Gguf(args) => real_weights::check(&root, args),
        Oracle::Export => written_gguf::check(&root),
        Oracle::Tables => vocabularies::tables(&root),
        Oracle::Golden => make_golden(&root),
        Oracle::Check => {
            for (script, folder) in LIGHT_GOLDEN {
                let mut script = light_script(&root, script)?;
                workspace::check(script.arg("--check").arg(root.join(folder)))?;
            }
            real_weights::check_kept(&root)
        }
    }
}

/// Writes files under `models/` of the llama.cpp in the source package of llama-cpp-python, those that
/// match `pattern`, into `out`.
pub fn llama_cpp_source(root: &Path, pattern: &str, out: &Path) -> anyhow::Result<()> {
    let python = python_env::ensure(PUBLISHED_ENVIRONMENT, PUBLISHED_PACKAGES)?;
    let script = root.join("xtask/oracle/llama_cpp_source.py");
    workspace::check(Command::new(python).arg(script).arg(out).arg(pattern))
}

/// Texts of Jinja2 beside ours, for random templates and for published ones.
fn compare_templates(root: &Path, random: usize, seed: u64) -> anyhow::Result<()> {
    let scratch = Scratch::new("oracle-templates")?;
    let templates = scratch.path().join("templates");
    fs::create_dir_all(&templates)?;
    llama_cpp_source(root, "templates/*.jinja", &templates)?;
    let python = python_env::ensure(TEMPLATES_ENVIRONMENT, TEMPLATES_PACKAGES)?;
    let random = ["--random".into(), random.to_string(), "--seed".into(), seed.to_string()];
    let published = ["--templates".into(), templates.display().to_string()];
    for (name, arguments) in [("published", &published[..]), ("random", &random[..])] {
        let cases = scratch.path().join(format!("{name}.jsonl"));
        let mut script = Command::new(&python);
        script.arg(root.join("xtask/oracle/dialogue/template_cases.py")).arg(&cases);
        workspace::check(script.args(arguments))?;
        println!("{name} templates:");
        let mut compare = workspace::cargo(root);
        compare.args(["run", "--quiet", "--package", "stoa-dialogue"]);
        workspace::check(compare.args(["--example", "compare_templates", "--"]).arg(&cases))?;
    }
    Ok(())
}

/// Ids put to saved models; the same as in the example that saves them.
const SAVED_IDS: &str = "3,1,4,1,5,9,2,6,5,3,5,8";
/// How far logits of `transformers` may be from ours, as a share of their standard deviation: f32 on both
/// sides, where three layers of sums over 32 to 80 numbers lose a digit.
const SAVED_TOLERANCE: f64 = 1e-4;

/// Models saved by the example `random_model` of `stoa-models`, loaded by `transformers`.
fn check_saved(root: &Path) -> anyhow::Result<()> {
    let scratch = Scratch::new("oracle-saved")?;
    let mut save = workspace::cargo(root);
    save.args(["run", "--quiet", "--package", "stoa-models", "--example", "random_model", "--"]);
    workspace::check(save.arg(scratch.path()))?;
    let entries = fs::read_dir(scratch.path())?;
    let mut models = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    models.sort();
    let mut script = torch_script(root, "models/logits.py")?;
    let output = script.args(&models).args(["--ids", SAVED_IDS]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let theirs: Vec<Value> = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
    ensure!(theirs.len() == models.len(), "logits of {} of {}", theirs.len(), models.len());
    for (model, theirs) in models.iter().zip(theirs) {
        let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours: Value = serde_json::from_slice(&fs::read(model.join("logits.json"))?)?;
        let apart = farthest(&ours["logits"], &theirs["logits"])? / deviation(&theirs["logits"])?;
        println!("{name}: {} gives logits {apart:.1e} of their deviation off", theirs["class"]);
        ensure!(apart < SAVED_TOLERANCE, "{name}: that is more than {SAVED_TOLERANCE:.0e}");
    }
    println!("{} models read by transformers", models.len());
    Ok(())
}

/// The standard deviation of a table of numbers.
fn deviation(table: &Value) -> anyhow::Result<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(table.clone())?;
    let all = rows.concat();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    Ok((all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt())
}

/// The greatest difference between two tables of numbers of one shape.
fn farthest(ours: &Value, theirs: &Value) -> anyhow::Result<f64> {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ensure!(ours.len() == theirs.len() && !ours.is_empty(), "logits of another shape");
            let pairs = ours.iter().zip(theirs);
            pairs.map(|(a, b)| farthest(a, b)).try_fold(0.0, |most: f64, d| Ok(most.max(d?)))
        }
        _ => {
            let pair = ours.as_f64().zip(theirs.as_f64());
            pair.map(|(a, b)| (a - b).abs()).context("a logit is not a number")
        }
    }
}

/// Scripts that make golden outputs with PyTorch or transformers, and what they are given, as paths
/// from the workspace root.
const GOLDEN: &[(&str, &[&str])] = &[
    ("models/golden_checkpoints.py", &[MODELS_GOLDEN]),
    ("models/golden_families.py", &["crates/models/tests/golden/families"]),
    ("models/golden_eight_bits.py", &["crates/models/tests/golden/eight_bits"]),
    ("models/golden_optimizers.py", &[MODELS_GOLDEN]),
    ("assistant/golden_generation.py", &[ASSISTANT_GOLDEN]),
];

/// Scripts that ask transformers without PyTorch for texts and masks of chat templates; each is
/// given the folder of the outputs and the template of models trained here.
const DIALOGUE_GOLDEN_SCRIPTS: &[&str] =
    &["dialogue/golden_templates.py", "dialogue/golden_masks.py"];

/// Scripts of the light environment whose outputs are remade and compared, and the folders of those outputs.
const LIGHT_GOLDEN: &[(&str, &str)] = &[
    ("models/golden_optimizers.py", MODELS_GOLDEN),
    ("models/golden_quantised.py", MODELS_GOLDEN),
    ("posts/golden_audit.py", POSTS_GOLDEN),
];

const MODELS_GOLDEN: &str = "crates/models/tests/golden";
const ASSISTANT_GOLDEN: &str = "crates/assistant/tests/golden";
const DIALOGUE_GOLDEN: &str = "crates/dialogue/tests/golden";
const CHATML: &str = "crates/dialogue/src/templates/chatml.jinja";
const POSTS_GOLDEN: &str = "crates/audit/tests/golden";
const PARQUET_GOLDEN: &str = "crates/posts/tests/golden";

/// Remakes every golden output.
fn make_golden(root: &Path) -> anyhow::Result<()> {
    for (script, arguments) in GOLDEN {
        let mut command = torch_script(root, script)?;
        workspace::check(command.args(arguments.iter().map(|path| root.join(path))))?;
    }
    for script in DIALOGUE_GOLDEN_SCRIPTS {
        let python = python_env::ensure(TEMPLATES_ENVIRONMENT, TEMPLATES_PACKAGES)?;
        let mut command = Command::new(python);
        command.arg(root.join("xtask/oracle").join(script));
        workspace::check(command.arg(root.join(DIALOGUE_GOLDEN)).arg(root.join(CHATML)))?;
    }
    for (script, folder) in
        [("models/golden_quantised.py", MODELS_GOLDEN), ("posts/golden_audit.py", POSTS_GOLDEN)]
    {
        workspace::check(light_script(root, script)?.arg(root.join(folder)))?;
    }
    let mut parquet = Command::new(python_env::ensure(PARQUET_ENVIRONMENT, PARQUET_PACKAGES)?);
    parquet.arg(root.join("xtask/oracle/posts/golden_parquet.py"));
    workspace::check(parquet.arg(root.join(PARQUET_GOLDEN)))
}

/// Prints both tables, then what lingua says.
fn languages(root: &Path, files: &[PathBuf]) -> anyhow::Result<()> {
    let python = python_env::ensure(posts::ENVIRONMENT, posts::PACKAGES)?;
    let texts = python_env::cache_directory()?.join(format!("und-{}", std::process::id()));
    let mut example = workspace::cargo(root);
    example.args(["run", "--release", "-q", "-p", "stoa-posts", "--example", "languages", "--"]);
    for file in files {
        example
            .arg(file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?);
    }
    workspace::check(example.arg("--und").arg(&texts))?;
    let script = root.join("xtask/oracle/posts/undetermined.py");
    let asked = workspace::check(Command::new(python).arg(script).arg(&texts));
    fs::remove_file(&texts).with_context(|| format!("cannot remove {}", texts.display()))?;
    asked
}

fn light_script(root: &Path, name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(python_env::ensure(LIGHT_ENVIRONMENT, LIGHT_PACKAGES)?);
    command.arg(root.join("xtask/oracle").join(name));
    Ok(command)
}

/// A script of `xtask/oracle` in the environment with PyTorch.
pub fn torch_script(root: &Path, name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(python_env::ensure(TORCH_ENVIRONMENT, TORCH_PACKAGES)?);
    command.arg(root.join("xtask/oracle").join(name));
    Ok(command)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deviations_are_those_of_all_rows() {
        assert_eq!(deviation(&json!([[1.0, 3.0], [1.0, 3.0]])).expect("numbers"), 1.0);
        assert!(deviation(&json!([[null]])).is_err());
    }

    #[test]
    fn the_farthest_pair_decides_and_shapes_must_agree() {
        let apart = farthest(&json!([[1.0, 2.0], [3.0, 4.0]]), &json!([[1.0, 2.5], [3.0, 3.75]]));
        assert_eq!(apart.expect("one shape"), 0.5);
        assert!(farthest(&json!([[1.0]]), &json!([[1.0, 2.0]])).is_err());
        assert!(farthest(&json!([null]), &json!([1.0])).is_err());
    }
}
