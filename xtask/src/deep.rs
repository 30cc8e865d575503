//! Checks too heavy for CI: they install gigabytes, or run for an hour. Each is a list of commands
//! of `xtask` itself; their golden outputs and figures are committed.

use anyhow::{Context as _, bail};
use clap::Parser;

use crate::Cli;

/// Options of `deep`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which check. Without a name: list them.
    name: Option<String>,
}

struct Deep {
    name: &'static str,
    about: &'static str,
    commands: &'static [&'static str],
}

const CHECKS: &[Deep] = &[
    Deep {
        name: "golden",
        about: "remake all golden outputs with PyTorch and transformers, then look at git diff",
        commands: &["oracle golden"],
    },
    Deep {
        name: "saved",
        about: "load saved models with transformers and compare logits",
        commands: &["oracle saved"],
    },
    Deep {
        name: "templates",
        about: "chat templates, random and published, compared with Jinja2",
        commands: &["oracle templates"],
    },
    Deep {
        name: "gguf",
        about: "answers of SmolLM2 (93 MB), compared with llama.cpp and transformers",
        commands: &["oracle gguf smollm2"],
    },
    Deep {
        name: "gguf-qwen",
        about: "answers of Qwen2.5-Coder-0.5B (490 MB), compared with llama.cpp and transformers",
        commands: &["oracle gguf qwen2.5-coder"],
    },
    Deep {
        name: "gguf-gemma",
        about: "answers of Gemma 3 270M (250 MB), compared with llama.cpp and transformers",
        commands: &["oracle gguf gemma3"],
    },
    Deep {
        name: "export",
        about: "GGUF files written here, of every architecture and type, opened by llama.cpp",
        commands: &["oracle export"],
    },
    Deep {
        name: "tables",
        about: "published tokenizers as tables of GGUF files and back",
        commands: &["oracle tables"],
    },
    Deep { name: "s3", about: "read posts from a local S3 server", commands: &["oracle s3"] },
    Deep {
        name: "train",
        about: "training speed and memory, compared with PyTorch",
        commands: &["bench train --size S --against torch", "bench train --size L --against torch"],
    },
    Deep {
        name: "decode",
        about: "prompt and answer speed, compared with a compiled llama.cpp",
        commands: &["bench decode --size L --against llama-cpp"],
    },
    Deep {
        name: "load",
        about: "memory of loading 1.5 billion weights (3 GB of disk)",
        commands: &["bench load"],
    },
    Deep {
        name: "tokens",
        about: "ids and speed of the tokenizer, compared with tokenizers and tiktoken",
        commands: &["bench tokens"],
    },
    Deep {
        name: "vocabularies",
        about: "ids of published tokenizers on all test text, compared with their own programs",
        commands: &["oracle vocabularies"],
    },
    Deep {
        name: "pipeline",
        about: "speed of the pipeline on posts, compared with datatrove",
        commands: &["bench posts --only-pipeline --pipeline 10000"],
    },
    Deep { name: "fuzz", about: "every fuzz target for ten minutes", commands: &["fuzz"] },
];

/// Runs one check, or lists them.
///
/// # Errors
/// An unknown name, or what the check finds.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Some(name) = &args.name else {
        for check in CHECKS {
            println!("{:<12} {}", check.name, check.about);
        }
        return Ok(());
    };
    let Some(check) = CHECKS.iter().find(|check| check.name == name) else {
        let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        bail!("no deep check is named {name}; there are {}", names.join(", "));
    };
    for command in check.commands {
        eprintln!("deep {name}: {command}");
        crate::run(parsed(command)?.command)?;
    }
    Ok(())
}

fn parsed(command: &str) -> anyhow::Result<Cli> {
    let words = std::iter::once("xtask").chain(command.split_whitespace());
    Cli::try_parse_from(words).with_context(|| format!("`{command}` is no command of xtask"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_made_of_commands() {
        for command in CHECKS.iter().flat_map(|check| check.commands) {
            parsed(command).expect("a command of xtask");
        }
    }
}
