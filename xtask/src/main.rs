//! Developer commands of the workspace: what CI runs, what benches compare, what fuzzers try, what
//! oracles answer.
//!
//! Nothing here is needed to use Stoa. Commands that need Python make their own environment.

mod bench;
mod deep;
mod fuzz;
mod oracle;
mod python_env;
mod real_data;
mod real_weights;
mod scratch;
mod tidy;
mod validate;
mod vocabularies;
mod workspace;
mod written_gguf;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check that a change must pass, cheap ones first; stops at the first failure.
    Validate(validate::Args),
    /// Check the house rules: rooms, manifests, file sizes, names, unfinished work.
    Tidy,
    /// Measure Stoa, alone or compared with another program.
    Bench(bench::Args),
    /// Run the fuzz targets of the readers; fails on a finding.
    Fuzz(fuzz::Args),
    /// Ask an independent implementation, or make and check golden outputs.
    Oracle(oracle::Args),
    /// Run a check that is too heavy for CI; without a name, list them.
    Deep(deep::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Validate(args) => validate::run(&args),
        Command::Tidy => tidy::run(&workspace::root()?),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Oracle(args) => oracle::run(&args),
        Command::Deep(args) => deep::run(&args),
    }
}
