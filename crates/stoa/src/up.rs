//! `stoa up`: the whole path. Each part leaves its files in the run's directory; a file that exists and is
//! whole is kept, so a run that was stopped resumes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;
use stoa_dialogue::ChatTemplate;
use stoa_graph::Engine;
use stoa_runs::shards::{Job, Layout, Totals};
use stoa_runs::{
    Exam, Model, ModelOptions, Recipe, Resume, RunFiles, RunInputs, RunText, RunsError, examine,
    held_out_questions, tokenizer_of,
};
use stoa_tokens::Tokenizer;
use stoa_training::{CHAT, Outcome, PRETRAIN};

use crate::chat::{Lines, Talk};
use crate::cli::{MachineArgs, SamplingArgs, UpArgs};
use crate::interrupt::Interrupt;
use crate::terminal::Terminal;
use crate::{clock, engine, files, posts, report, stages, tokens_command};

/// What `--json` prints.
#[derive(Serialize)]
struct Summary {
    directory: String,
    exam: Option<ExamSummary>,
    bits_per_byte: Option<f64>,
    bits_per_byte_untrained: Option<f64>,
    train_tokens_per_second: f64,
    parameters: usize,
    seconds: f64,
    peak_rss_bytes: u64,
    report: String,
}

#[derive(Serialize)]
struct ExamSummary {
    questions: usize,
    right: usize,
    untrained_right: usize,
    majority_baseline: f64,
}

/// Runs the command.
///
/// # Errors
/// Whatever a part of the path says, with what it was doing.
pub fn run(args: &UpArgs, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let started = Instant::now();
    anyhow::ensure!(
        args.effort > 0.0 && args.effort <= 1000.0,
        "--effort {} is out of range; give a factor such as 0.1 or 3",
        args.effort
    );
    let engine = engine::open(machine)?;
    let interrupt = Interrupt::listen()?;
    let files = RunFiles::new(&args.dir);
    files::create_directory(&args.dir.join("corpus"))?;
    files::create_directory(&files.tokens())?;
    let threads = posts::threads(machine);
    let text = gather(args, threads, &files, terminal)?;
    let totals = tokenize(&text, args.seed, threads, &files, terminal)?;
    let recipe = Recipe {
        seed: args.seed,
        depth: args.depth,
        effort: args.effort,
        precision: args.precision.into(),
    };
    let inputs = RunInputs::open(recipe.run_file(&files, &totals, text.square.is_some()))?;
    let Some(trained) = train(&inputs, &*engine, terminal, interrupt.flag())? else {
        terminal.note(format!("stopped; `stoa up --dir {}` resumes", args.dir.display()));
        return Ok(());
    };
    let exam = match &text.square {
        // Of posts no truth is known.
        None => None,
        Some(known) => {
            let questions =
                held_out_questions(&known.square, &known.corpus, args.seed, args.questions);
            Some(examine(&inputs, &questions, &engine, clock::now(), terminal)?)
        }
    };
    let prompts = text.openings(SAMPLES, totals.dialogues as usize)?;
    let samples = report::samples(&inputs, &prompts, &engine)?;
    report::write(&files, &inputs, exam.as_ref(), &samples, &trained, &text.described)?;
    let summary = summary(args, &inputs, exam.as_ref(), &trained, started)?;
    conclude(&summary, &samples, terminal)?;
    if args.no_chat || terminal.json() || !terminal.interactive() {
        return Ok(());
    }
    drop((inputs, engine));
    let model = Model::find(&args.dir, None, terminal)?;
    let sampling = SamplingArgs::for_up(args.seed);
    let options = ModelOptions::default();
    let mut talk = Talk::new(engine::open(machine)?, model, options, &sampling, terminal)?;
    let history = args.dir.join("chat_history.txt");
    talk.converse(Lines::open(Some(&history), terminal)?, &interrupt)
}

/// Prompts whose answers show what the model is like: small talk, debates, sums.
const SAMPLES: usize = 10;

fn gather(
    args: &UpArgs,
    threads: usize,
    files: &RunFiles,
    terminal: &Terminal,
) -> Result<RunText, RunsError> {
    let text = if args.posts.is_empty() {
        RunText::of_square(args.seed, threads, files)?
    } else {
        RunText::of_posts(&args.posts, threads, files, terminal)?
    };
    terminal.note(format!("posts        {}", text.described));
    Ok(text)
}

/// Trains the tokenizer unless it is there, writes the shards, and counts what is in them.
fn tokenize(
    text: &RunText,
    seed: u64,
    threads: usize,
    files: &RunFiles,
    terminal: &Terminal,
) -> anyhow::Result<Totals> {
    let tokenizer = match Tokenizer::open(&files.tokenizer()) {
        Ok(tokenizer) => tokenizer,
        Err(_) => {
            let tokenizer = tokenizer_of(&text.files, seed, terminal)?;
            tokenizer.save(&files.tokenizer())?;
            tokenizer
        }
    };
    let job = Job {
        text: &text.files,
        out: &files.tokens(),
        tokenizer: &tokenizer,
        template: &ChatTemplate::read_or_chatml(&files.directory)?,
        layout: Layout::Joined,
        threads,
    };
    Ok(tokens_command::write_shards(&job, terminal)?.map_or(Totals::default(), |m| m.totals))
}

/// What training left.
pub struct Trained {
    /// Tokens a second over both stages of this call.
    pub tokens_per_second: f64,
    /// Bits per byte at the end.
    pub bits_per_byte: Option<f64>,
}

/// Both stages; `None` when stopped.
fn train(
    inputs: &RunInputs,
    engine: &dyn Engine,
    terminal: &Terminal,
    stop: &AtomicBool,
) -> anyhow::Result<Option<Trained>> {
    let train = |name| stages::train(inputs, engine, (name, Resume::SameSettings), terminal, stop);
    let pretrained = train(PRETRAIN)?;
    let mut outcomes: Vec<Outcome> = vec![pretrained];
    if pretrained.finished && inputs.has_dialogues() && !stop.load(Ordering::SeqCst) {
        outcomes.push(train(CHAT)?);
    }
    if outcomes.iter().any(|o| !o.finished) || stop.load(Ordering::SeqCst) {
        return Ok(None);
    }
    // A stage that was done before reports no speed.
    let (tokens, seconds) =
        outcomes.iter().filter(|o| o.tokens_per_second > 0.0).fold((0.0, 0.0), |(t, s), o| {
            (t + o.tokens as f64, s + o.tokens as f64 / o.tokens_per_second)
        });
    Ok(Some(Trained {
        tokens_per_second: if seconds > 0.0 { tokens / seconds } else { 0.0 },
        bits_per_byte: outcomes.iter().rev().find_map(|o| o.bits_per_byte),
    }))
}

fn summary(
    args: &UpArgs,
    inputs: &RunInputs,
    exam: Option<&Exam>,
    trained: &Trained,
    started: Instant,
) -> anyhow::Result<Summary> {
    Ok(Summary {
        directory: args.dir.display().to_string(),
        exam: exam.map(|exam| ExamSummary {
            questions: exam.questions,
            right: exam.right,
            untrained_right: exam.untrained_right.unwrap_or(0),
            majority_baseline: exam.majority_baseline,
        }),
        bits_per_byte: trained.bits_per_byte,
        bits_per_byte_untrained: report::first_bits_per_byte(inputs.directory())?,
        train_tokens_per_second: trained.tokens_per_second,
        parameters: stoa_models::parameter_count(&inputs.run.model),
        seconds: started.elapsed().as_secs_f64(),
        peak_rss_bytes: crate::peak_memory::peak_rss_bytes(),
        report: RunFiles::new(&args.dir).report().display().to_string(),
    })
}

fn conclude(
    summary: &Summary,
    samples: &[(String, String)],
    terminal: &Terminal,
) -> anyhow::Result<()> {
    terminal.result(summary, || {
        let mut lines = Vec::new();
        for (question, answer) in samples {
            lines.push(format!("› {question}\n  {answer}"));
        }
        if let Some(exam) = &summary.exam {
            lines.push(format!(
                "\nexamination: {} of {} unseen questions right ({:.1} %); untrained {}; \
                 always naming the commonest value {:.1} %",
                exam.right,
                exam.questions,
                100.0 * exam.right as f64 / exam.questions.max(1) as f64,
                exam.untrained_right,
                100.0 * exam.majority_baseline
            ));
        }
        if let (Some(before), Some(after)) =
            (summary.bits_per_byte_untrained, summary.bits_per_byte)
        {
            lines
                .push(format!("held-out text: {before:.2} bits per byte before, {after:.2} after"));
        }
        lines.push(format!("{:.0} s in all; report in {}", summary.seconds, summary.report));
        lines.push(format!("talk to it again: stoa chat --run {}", summary.directory));
        lines.join("\n")
    })
}
