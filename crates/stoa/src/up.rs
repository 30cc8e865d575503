//! `stoa up`: the whole path. Each part leaves its files in the run's directory; what is there and
//! whole is kept, so a run that was stopped resumes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use stoa_corpus::ingest::IngestOptions;
use stoa_corpus::{Corpus, CorpusError, Document};
use stoa_graph::Engine;
use stoa_models::initialize;
use stoa_posts::Split;
use stoa_square::{Square, SquareConfig};
use stoa_tokens::{ShardWriter, TokenWidth, Tokenizer, TrainOptions};
use stoa_training::{CHAT, Checkpoints, Contents, Length, Outcome, PRETRAIN, RunFile};

use crate::cli::{MachineArgs, SamplingArgs, UpArgs};
use crate::exam::{Exam, TextSource};
use crate::files::{self, RunFiles};
use crate::interrupt::Interrupt;
use crate::stages::{Resume, RunInputs};
use crate::terminal::Terminal;
use crate::{chat, engine, exam, model, posts, report, tokens_command};

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
    files::create_directory(&args.dir.join("tokens"))?;
    let text = gather_text(args, machine, &files, terminal)?;
    let train_tokens = tokenize(&text, &files, terminal)?;
    let prepared = RunInputs::open(run_file(args, &text, train_tokens, &files))?;
    let Some(trained) = train(&prepared, &*engine, terminal, interrupt.flag())? else {
        terminal.note(format!("stopped; `stoa up --dir {}` resumes", args.dir.display()));
        return Ok(());
    };
    let examined = examine(&prepared, &text, args, &engine, terminal)?;
    let samples = report::samples(&prepared, &text.questions_for_samples(), &engine)?;
    report::write(&files, &prepared, examined.as_ref(), &samples, &trained, &text.described)?;
    let summary = summary(args, &prepared, examined.as_ref(), &trained, started)?;
    conclude(&summary, &samples, terminal)?;
    if args.no_chat || terminal.json() || !terminal.interactive() {
        return Ok(());
    }
    drop((prepared, engine));
    let mut assistant = model::assistant(&args.dir, engine::open(machine)?, terminal)?;
    let settings = chat::settings(&SamplingArgs::for_up(args.seed));
    let history = args.dir.join("chat_history.txt");
    chat::converse(&mut assistant, None, &settings, &history, &interrupt)
}

/// The text of a run.
pub struct Text {
    source: TextSource,
    corpus: Corpus,
    square: Option<Square>,
    /// One line on what it is, for the report.
    pub described: String,
}

impl Text {
    /// Prompts whose answers show what the model is like.
    fn questions_for_samples(&self) -> Vec<String> {
        // Openings of training dialogues of different kinds: small talk, debates, sums. Spread
        // evenly over the dialogues, since the square makes them kind by kind.
        const SAMPLES: usize = 10;
        let dialogues = &self.corpus.dialogues;
        let step = (dialogues.len() / SAMPLES).max(1);
        let spread = dialogues.iter().step_by(step).take(SAMPLES);
        spread.filter_map(|d| d.messages.first()).map(|m| m.text().to_owned()).collect()
    }
}

fn gather_text(
    args: &UpArgs,
    machine: &MachineArgs,
    files: &RunFiles,
    terminal: &Terminal,
) -> anyhow::Result<Text> {
    let text = if args.posts.is_empty() {
        let square = Square::generate(args.seed, &SquareConfig::default())?;
        let (corpus, _) = posts::square_corpus(&square, posts::threads(machine))?;
        let described = format!(
            "the sample square of seed {}: {} people, {} places, {} facts, {} posts",
            args.seed,
            square.people.len(),
            square.places.len(),
            square.facts.len(),
            square.posts.len()
        );
        Text {
            source: TextSource::Square { seed: args.seed },
            corpus,
            square: Some(square),
            described,
        }
    } else {
        let store = files.directory.join("corpus/store");
        let mut options = IngestOptions::new(args.posts.clone(), &store);
        options.threads = posts::threads(machine);
        let begun_before = store.exists();
        let (corpus, described) = posts::corpus(&options, terminal).map_err(|error| {
            if !begun_before {
                // Files that cannot be used begin no run: the directory stays free for others.
                // What cannot be removed is refused by name at the next call.
                let _ = std::fs::remove_dir_all(&store);
            }
            match error.downcast_ref::<CorpusError>() {
                Some(CorpusError::OtherIngest { .. }) => other_text(files),
                _ => error,
            }
        })?;
        let files = args.posts.iter().map(|p| p.display().to_string()).collect();
        Text { source: TextSource::Posts { files }, corpus, square: None, described }
    };
    let documents = files::lines(&text.corpus.documents)?;
    let dialogues = files::lines(&text.corpus.dialogues)?;
    let made = [(files.documents(), documents), (files.dialogues(), dialogues)];
    same_text(&text.source, &made, files)?;
    for (path, bytes) in &made {
        files::write(path, bytes)?;
    }
    files::write(&files.source(), &serde_json::to_vec_pretty(&text.source)?)?;
    terminal.note(format!(
        "posts        {}; {} documents, {} dialogues",
        text.described,
        text.corpus.documents.len(),
        text.corpus.dialogues.len()
    ));
    Ok(text)
}

/// Refuses to continue a run that was begun with other text: also when files of the same name
/// hold something else now. The source is written last, so without it the text was not whole.
fn same_text(
    source: &TextSource,
    made: &[(PathBuf, Vec<u8>)],
    files: &RunFiles,
) -> anyhow::Result<()> {
    let Ok(text) = std::fs::read_to_string(files.source()) else { return Ok(()) };
    let before: TextSource = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; remove it", files.source().display()))?;
    let same = |(path, bytes): &(PathBuf, Vec<u8>)| {
        // A file that is gone is written again.
        std::fs::read(path).is_ok_and(|there| there == *bytes) || !path.exists()
    };
    if before == *source && made.iter().all(same) { Ok(()) } else { Err(other_text(files)) }
}

fn other_text(files: &RunFiles) -> anyhow::Error {
    anyhow::anyhow!(
        "{} holds a run of other text or another seed; give another --dir or remove it",
        files.directory.display()
    )
}

/// Bytes of text per token of vocabulary: less, and tokens are too rare to be learned.
const TEXT_PER_TOKEN: usize = 200;

/// Trains the tokenizer unless it is there, writes the shards, and counts the tokens to train on.
fn tokenize(text: &Text, files: &RunFiles, terminal: &Terminal) -> anyhow::Result<usize> {
    let training = |d: &&Document| d.split == Split::Train;
    let lines = || {
        let documents = text.corpus.documents.iter().filter(training).map(|d| d.text.as_str());
        let messages = text.corpus.dialogues.iter().flat_map(|d| &d.messages);
        documents.chain(messages.map(|m| m.text()))
    };
    let whole = Tokenizer::open(&files.tokenizer()).ok();
    let tokenizer = match whole {
        Some(tokenizer) => tokenizer,
        None => {
            let bytes: usize = lines().map(str::len).sum();
            let vocab_size = (bytes / TEXT_PER_TOKEN).clamp(320, 8192);
            let options = TrainOptions { vocab_size, ..TrainOptions::default() };
            let tokenizer = tokens_command::trained(lines(), &options, terminal)?;
            tokenizer.save(&files.tokenizer())?;
            tokenizer
        }
    };

    let mut train_tokens = 0;
    for (split, path) in
        [(Split::Train, files.train_tokens()), (Split::HeldOut, files.held_out_tokens())]
    {
        let width = TokenWidth::for_vocab_size(tokenizer.vocab_size());
        let mut writer = ShardWriter::create(&path, tokenizer.fingerprint(), width)?;
        for document in text.corpus.documents.iter().filter(|d| d.split == split) {
            let tokens = tokenizer.encode(&document.text);
            train_tokens += if split == Split::Train { tokens.len() } else { 0 };
            writer.push_document(&tokens)?;
        }
        writer.finish()?;
    }
    Ok(train_tokens)
}

/// The run of this text as a run file.
fn run_file(args: &UpArgs, text: &Text, train_tokens: usize, files: &RunFiles) -> RunFile {
    let mut run = RunFile { seed: Some(args.seed), ..RunFile::default() };
    run.data.directory = Some(files.directory.clone());
    run.data.tokenizer = Some(files.tokenizer());
    run.data.train = vec![files.train_tokens()];
    run.data.held_out = vec![files.held_out_tokens()];
    if !text.corpus.dialogues.is_empty() {
        run.data.dialogues = vec![files.dialogues()];
    }
    recipe::apply(&mut run, args, text, train_tokens);
    run
}

/// The recipe: sizes and lengths found by experiment (docs/experiments.md).
mod recipe {
    use super::{Length, RunFile, Text, UpArgs};

    /// Layers by default: on two cores the square is learned in some minutes.
    const DEPTH: usize = 4;
    /// Width by default, in heads of 64.
    const HIDDEN: usize = 192;
    /// Rows of a step, and tokens of a row.
    const BATCH: (usize, usize) = (16, 256);
    /// Share of dialogues among the rows of pretraining. Questions beside the posts that answer them
    /// are what makes facts answerable (Allen-Zhu and Li 2023, "Physics of Language Models" 3.1, §4).
    const DIALOGUE_SHARE: f64 = 0.25;
    /// Steps of pretraining at effort 1, at most.
    const PRETRAIN_STEPS: f64 = 340.0;
    /// Passes over real posts at effort 1, at most: held-out loss rises after the third. The square
    /// is read more often, since its facts are to be known by heart.
    const PASSES: f64 = 3.0;
    /// Fewest steps of pretraining at effort 1, for the smallest archives.
    const MIN_STEPS: f64 = 10.0;
    /// Steps of chat tuning at effort 1, at most.
    const CHAT_STEPS: f64 = 40.0;
    /// Share of the pretraining rates in chat tuning. Dialogues are part of pretraining here, so
    /// tuning has only the form to teach; at 0.8 for 190 steps it made the model forget two thirds
    /// of what it had read.
    const CHAT_RATES: f32 = 0.1;

    /// Fills in what `up` decides differently from the defaults of a run file.
    pub fn apply(run: &mut RunFile, args: &UpArgs, text: &Text, train_tokens: usize) {
        let dialogue_share = if text.corpus.dialogues.is_empty() { 0.0 } else { DIALOGUE_SHARE };
        let pretrain_steps = if text.square.is_some() {
            PRETRAIN_STEPS
        } else {
            let tokens_per_step = (BATCH.0 * BATCH.1) as f64 * (1.0 - dialogue_share);
            let steps = PASSES * train_tokens as f64 / tokens_per_step;
            steps.clamp(MIN_STEPS, PRETRAIN_STEPS)
        };
        let chat_steps = CHAT_STEPS * pretrain_steps / PRETRAIN_STEPS;
        let length = |steps: f64| Length::Steps((steps * args.effort).ceil().max(1.0) as u64);
        run.model.depth = Some(args.depth.unwrap_or(DEPTH));
        if args.depth.is_none() {
            run.model.hidden = Some(HIDDEN);
            run.model.head_dim = Some(64);
        }
        for stage in [&mut run.pretrain, &mut run.chat] {
            (stage.rows, stage.time) = (Some(BATCH.0), Some(BATCH.1));
            stage.checkpoint_every = Some(100);
            stage.precision = Some(args.precision.into());
        }
        run.pretrain.length = Some(length(pretrain_steps));
        run.pretrain.dialogue_share = Some(dialogue_share);
        run.pretrain.evaluate_every = Some(if pretrain_steps < 100.0 { 10 } else { 50 });
        run.chat.length = Some(length(chat_steps));
        run.chat.learning_rate_scale = Some(CHAT_RATES);
        run.chat.evaluate_every = Some(100);
    }
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
    prepared: &RunInputs,
    engine: &dyn Engine,
    terminal: &Terminal,
    stop: &AtomicBool,
) -> anyhow::Result<Option<Trained>> {
    let pretrained = prepared.train(engine, PRETRAIN, Resume::SameSettings, terminal, stop)?;
    let mut outcomes: Vec<Outcome> = vec![pretrained];
    if pretrained.finished && prepared.has_dialogues() && !stop.load(Ordering::SeqCst) {
        outcomes.push(prepared.train(engine, CHAT, Resume::SameSettings, terminal, stop)?);
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

/// Examines the trained and an untrained model; nothing to examine where no truth is known.
fn examine(
    prepared: &RunInputs,
    text: &Text,
    args: &UpArgs,
    engine: &Arc<dyn Engine>,
    terminal: &Terminal,
) -> anyhow::Result<Option<Exam>> {
    let Some(square) = &text.square else { return Ok(None) };
    let questions = exam::questions(square, &text.corpus, args.seed, args.questions);
    let config = &prepared.run.model;
    let ask = |weights: stoa_models::Weights, what: &str| {
        let tokenizer = prepared.tokenizer()?;
        let template = prepared.template().clone();
        let mut assistant =
            model::examinee(Arc::clone(engine), config, weights, tokenizer, template)?;
        exam::ask(&mut assistant, &questions, what, terminal)
    };
    let untrained = ask(initialize(config, prepared.run.seed), "untrained")?;
    let untrained_right = untrained.iter().filter(|a| a.right).count();
    let (found, _) = Checkpoints::of_run(prepared.directory()).newest(CHAT, Contents::Weights)?;
    let answers = ask(found.weights, "exam")?;
    let exam = Exam::new(&questions, answers, Some(untrained_right));
    let files = RunFiles::new(prepared.directory());
    files::write(&files.exam(), &serde_json::to_vec_pretty(&exam)?)?;
    Ok(Some(exam))
}

fn summary(
    args: &UpArgs,
    prepared: &RunInputs,
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
        bits_per_byte_untrained: report::first_bits_per_byte(prepared.directory())?,
        train_tokens_per_second: trained.tokens_per_second,
        parameters: stoa_models::parameter_count(&prepared.run.model),
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
