//! `stoa posts …`: the sample square, and what a reader makes of files, as JSONL.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use stoa_corpus::Corpus;
use stoa_posts::{ReadOptions, read_all};
use stoa_runs::{square_corpus, write_lines};
use stoa_square::{Square, SquareConfig, exam, majority_baseline};

use crate::cli::{MachineArgs, PostsCommand};
use crate::terminal::Terminal;
use crate::{files, posts};

/// Runs a command.
///
/// # Errors
/// Files that cannot be read or written.
pub fn run(
    command: &PostsCommand,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<ExitCode> {
    match command {
        PostsCommand::Ingest(args) => posts::ingest(args, machine, terminal),
        PostsCommand::Jobs(args) => posts::jobs(args, terminal),
        PostsCommand::Explain(args) => posts::explain(args, terminal),
        PostsCommand::Forget(args) => posts::forget(args, terminal),
        PostsCommand::Stats(args) => posts::stats(args, terminal),
        PostsCommand::Sample(args) => posts::sample(args, terminal),
        PostsCommand::Diff(args) => posts::diff(args, terminal),
        PostsCommand::Square { seed, out } => square(*seed, out, machine, terminal),
        PostsCommand::Read { files, out } => read(files, out.as_deref(), terminal),
        PostsCommand::Audit(args) => return posts::audit(args, machine, terminal),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn square(seed: u64, out: &Path, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let square = Square::generate(seed, &SquareConfig::default())?;
    let (corpus, dropped) = square_corpus(&square, posts::threads(machine))?;
    let text = corpus.training_text();
    let questions = exam(&square, seed, usize::MAX, |question| text.contains(question));
    files::create_directory(out)?;
    write_lines(&out.join("posts.jsonl"), &square.posts)?;
    write_corpus(out, &corpus)?;
    write_lines(&out.join("questions.jsonl"), &questions)?;
    let summary = json!({
        "people": square.people.len(),
        "places": square.places.len(),
        "facts": square.facts.len(),
        "posts": square.posts.len(),
        "dropped": dropped.by_rule,
        "documents": corpus.documents.len(),
        "dialogues": corpus.dialogues.len(),
        "questions": questions.len(),
        "majority_baseline": majority_baseline(&questions),
    });
    terminal.result(&summary, || {
        format!(
            "square {seed}: {} people, {} places, {} facts; {} posts, {} dropped; \
             {} documents, {} dialogues, {} questions not in them; in {}",
            square.people.len(),
            square.places.len(),
            square.facts.len(),
            square.posts.len(),
            dropped.total(),
            corpus.documents.len(),
            corpus.dialogues.len(),
            questions.len(),
            out.display()
        )
    })
}

fn read(paths: &[impl AsRef<Path>], out: Option<&Path>, terminal: &Terminal) -> anyhow::Result<()> {
    let intake = read_all(paths, &ReadOptions::default())?;
    if let Some(out) = out {
        files::create_directory(out)?;
        write_lines(&out.join("posts.jsonl"), &intake.posts)?;
    }
    let rejected: usize = intake.rejected.values().sum();
    let summary = json!({
        "posts": intake.posts.len(),
        "rejected": intake.rejected,
        "remarks": intake.remarks,
    });
    terminal.result(&summary, || {
        let mut lines = vec![format!("{} posts, {rejected} rejected", intake.posts.len())];
        let reasons = intake.rejected.iter();
        lines.extend(reasons.map(|(reason, count)| format!("  rejected {count}: {reason}")));
        lines.extend(intake.remarks.lines());
        lines.join("\n")
    })
}

fn write_corpus(out: &Path, corpus: &Corpus) -> anyhow::Result<()> {
    write_lines(&out.join("documents.jsonl"), &corpus.documents)?;
    Ok(write_lines(&out.join("dialogues.jsonl"), &corpus.dialogues)?)
}
