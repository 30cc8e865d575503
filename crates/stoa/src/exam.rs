//! `stoa eval exam`: asks a trained run of a square, and prints its answers.

use std::path::Path;

use stoa_corpus::Corpus;
use stoa_runs::{Exam, RunFiles, TextSource, ask, batch_assistant, held_out_questions, read_lines};
use stoa_square::{Square, SquareConfig};

use crate::cli::MachineArgs;
use crate::terminal::Terminal;
use crate::{clock, engine, models};

/// Runs the command.
///
/// # Errors
/// A run that is not of a square, or whose model cannot be loaded.
pub fn run(
    run: &Path,
    seed: u64,
    count: usize,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let files = RunFiles::new(run);
    let square_seed = match TextSource::read(&files)? {
        Some(TextSource::Square { seed }) => seed,
        Some(TextSource::Posts { .. }) => {
            anyhow::bail!("{} was trained on posts, about which no truth is known", run.display())
        }
        None => anyhow::bail!("{} is not a run of `stoa up`", run.display()),
    };
    let square = Square::generate(square_seed, &SquareConfig::default())?;
    // The dialogues follow from the seed; the documents are those the run was trained on.
    let corpus =
        Corpus { documents: read_lines(&files.documents())?, dialogues: square.dialogues() };
    let questions = held_out_questions(&square, &corpus, seed, count);
    let parts = models::find(run, terminal)?.read()?;
    let tokenizer = stoa_tokens::Tokenizer::open(&files.tokenizer())?;
    let (config, template) = (parts.config, parts.template);
    let engine = engine::open(machine)?;
    let mut assistant = batch_assistant(engine, &config, parts.weights, tokenizer, template)?;
    let answers = ask(&mut assistant, &questions, "exam", clock::now(), terminal)?;
    let exam = Exam::new(&questions, answers, None);
    terminal.result(&exam, || text_of(&exam))
}

/// The examination for people: every answer, then the sums.
fn text_of(exam: &Exam) -> String {
    let mut lines: Vec<String> = exam
        .answers
        .iter()
        .map(|a| format!("{} {} — {}", if a.right { "✓" } else { "✗" }, a.question, a.answer))
        .collect();
    for (language, right, of) in exam.by_language() {
        lines.push(format!("{language}: {right} of {of}"));
    }
    lines.push(format!(
        "{} of {} right; always naming the commonest value would get {:.1} %",
        exam.right,
        exam.questions,
        100.0 * exam.majority_baseline
    ));
    lines.join("\n")
}
