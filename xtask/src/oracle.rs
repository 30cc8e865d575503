//! Independent implementations that ours are checked against, and the golden outputs made with
//! them. The scripts are in `xtask/oracle/`, with a README.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Subcommand;

use crate::bench::posts;
use crate::{python_env, workspace};

/// Environment with PyTorch: 5 GB, for benches and for making golden outputs, never for CI.
pub const TORCH_ENVIRONMENT: &str = "torch-2.15.0";
/// Its packages.
pub const TORCH_PACKAGES: &[&str] =
    &["numpy==2.4.6", "safetensors==0.8.0", "torch==2.15.0", "transformers==5.23.0"];

/// Environment for checks in CI: seconds to install.
const LIGHT_ENVIRONMENT: &str = "oracle-light";
/// Its packages.
const LIGHT_PACKAGES: &[&str] = &["numpy==2.4.6", "safetensors==0.8.0", "scipy==1.17.1"];

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
    /// Train exported models with PyTorch on exported batches, and compare with our losses where
    /// they lie beside; xtask/oracle/train/shakespeare_torch.py tells the format.
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
    /// Read addresses from moto, a server that behaves as S3 does.
    S3,
    /// Make all golden outputs anew (needs PyTorch).
    Golden,
    /// Check that committed golden outputs are what their light scripts give (numpy and scipy only).
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
        Oracle::Shakespeare { directories, threads } => {
            let mut script = torch_script(&root, "train/shakespeare_torch.py")?;
            workspace::check(script.args(directories).args(["--threads", &threads.to_string()]))
        }
        Oracle::Languages { files } => languages(&root, files),
        Oracle::S3 => {
            let python = python_env::ensure(S3_ENVIRONMENT, S3_PACKAGES)?;
            let mut test = workspace::cargo(&root);
            test.args([
                "test",
                "-p",
                "stoa-posts",
                "--features",
                "remote",
                "--test",
                "remote",
                "--",
            ]);
            workspace::check(test.arg("--ignored").env("STOA_MOTO_PYTHON", python))
        }
        Oracle::Golden => make_golden(&root),
        Oracle::Check => {
            for (script, folder) in LIGHT_GOLDEN {
                let mut script = light_script(&root, script)?;
                workspace::check(script.arg("--check").arg(root.join(folder)))?;
            }
            Ok(())
        }
    }
}

/// Scripts that make golden outputs with PyTorch or transformers, and what they are given, as paths
/// from the workspace root.
const GOLDEN: &[(&str, &[&str])] = &[
    ("models/golden_checkpoints.py", &[MODELS_GOLDEN]),
    ("models/golden_optimizers.py", &[MODELS_GOLDEN]),
    (
        "assistant/golden_templates.py",
        &[ASSISTANT_GOLDEN, "crates/assistant/src/chat/chatml.jinja"],
    ),
    ("assistant/golden_generation.py", &[ASSISTANT_GOLDEN]),
];

/// Scripts of the light environment whose outputs are checked anew, and the folders of those outputs.
const LIGHT_GOLDEN: &[(&str, &str)] =
    &[("models/golden_optimizers.py", MODELS_GOLDEN), ("posts/golden_audit.py", POSTS_GOLDEN)];

const MODELS_GOLDEN: &str = "crates/models/tests/golden";
const ASSISTANT_GOLDEN: &str = "crates/assistant/tests/golden";
const POSTS_GOLDEN: &str = "crates/posts/tests/golden";

/// Makes every golden output anew.
pub fn make_golden(root: &Path) -> anyhow::Result<()> {
    for (script, arguments) in GOLDEN {
        let mut command = torch_script(root, script)?;
        workspace::check(command.args(arguments.iter().map(|path| root.join(path))))?;
    }
    let mut audit = light_script(root, "posts/golden_audit.py")?;
    workspace::check(audit.arg(root.join(POSTS_GOLDEN)))
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
    std::fs::remove_file(&texts).with_context(|| format!("cannot remove {}", texts.display()))?;
    asked
}

fn light_script(root: &Path, name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(python_env::ensure(LIGHT_ENVIRONMENT, LIGHT_PACKAGES)?);
    command.arg(root.join("xtask/oracle").join(name));
    Ok(command)
}

fn torch_script(root: &Path, name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(python_env::ensure(TORCH_ENVIRONMENT, TORCH_PACKAGES)?);
    command.arg(root.join("xtask/oracle").join(name));
    Ok(command)
}
