//! The `stoa` binary: parses, wires, prints. Everything it does is a call into a library room.

mod bench;
mod chat;
mod cli;
mod clock;
mod engine;
mod eval;
mod exam;
mod files;
mod interrupt;
mod models;
mod peak_memory;
mod plan;
mod posts;
mod posts_command;
mod report;
mod stages;
mod terminal;
mod tokens_command;
mod up;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::terminal::Terminal;

fn main() -> ExitCode {
    // A panic of a library that reads a damaged file is reported as that file's error.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !stoa_posts::panics_are_errors() {
            usual(panic);
        }
    }));
    let cli = Cli::parse();
    let terminal = Terminal::new(&cli.machine);
    match run(&cli, &terminal) {
        Ok(status) => status,
        Err(error) if terminal::reader_left(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs a command. A status other than success is a finding (of `posts audit`), not an error.
fn run(cli: &Cli, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Up(args) => up::run(args, &cli.machine, terminal),
        Command::Posts(command) => return posts_command::run(command, &cli.machine, terminal),
        Command::Tokens(command) => tokens_command::run(command, &cli.machine, terminal),
        Command::Train(command) => stages::run(command, &cli.machine, terminal),
        Command::Chat(args) => chat::run(args, &cli.machine, terminal),
        Command::Models(command) => models::run(command, &cli.machine, terminal),
        Command::Eval(command) => eval::run(command, &cli.machine, terminal),
        Command::Bench(command) => bench::run(command, &cli.machine, terminal),
        Command::Plan(args) => plan::run(args, terminal),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "stoa", &mut script);
            Ok(terminal::stdout().write_all(&script)?)
        }
    }?;
    Ok(ExitCode::SUCCESS)
}
