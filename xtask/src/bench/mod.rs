//! Measurements, alone or paired with another program on the same machine in the same run.
//!
//! Progress and a table for people go to stderr; the last line of stdout is one JSON object.

pub mod decode;
mod load;
mod machine;
mod paired;
mod peak_memory;
mod pipeline;
pub mod posts;
mod published;
pub mod tokens;
mod train;

use clap::Subcommand;

use crate::workspace;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Training steps per second and peak memory.
    Train(train::TrainArgs),
    /// Speed of the tokenizer, with ids and trained tokens compared.
    Tokens(tokens::TokensArgs),
    /// Speed of rule stages and of the whole pipeline on posts, compared with datatrove, datasketch, lingua, ftfy.
    Posts(posts::PostsArgs),
    /// Share of the arithmetic peak per op (`stoa bench ops`).
    Ops(Forwarded),
    /// Prompt and answer speed on one conversation.
    Decode(decode::DecodeArgs),
    /// Memory of loading a model of 1.5 billion weights; fails above 1.1 of their size.
    Load(load::LoadArgs),
}

/// A bench that the binary has itself: built in release, then given these options as they are.
#[derive(Debug, clap::Args)]
struct Forwarded {
    /// Options of the bench; see `stoa bench … --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Runs one bench.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let result = match &args.bench {
        Bench::Train(args) => train::run(args)?,
        Bench::Tokens(args) => tokens::run(args)?,
        Bench::Posts(args) => posts::run(args)?,
        Bench::Decode(args) => decode::run(args)?,
        Bench::Load(args) => load::run(args)?,
        Bench::Ops(args) => return forward("ops", args),
    };
    println!("{result}");
    Ok(())
}

fn forward(bench: &str, args: &Forwarded) -> anyhow::Result<()> {
    let root = workspace::root()?;
    let mut command = std::process::Command::new(workspace::release_binary(&root)?);
    workspace::check(command.args(["bench", bench]).args(&args.options))
}
