//! Independent implementations that ours are checked against, and the golden outputs made with
//! them. The scripts are in `xtask/oracle/`, with a README.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Subcommand;

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
