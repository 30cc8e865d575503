//! `stoa train …`, and the same stages for `stoa up`: reads what a run names, trains, draws the
//! progress bar, saves on Ctrl-C.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use stoa_graph::Engine;
use stoa_runs::{Resume, RunInputs, RunsError, Work};
use stoa_training::{CHAT, EvaluationMetrics, Outcome, Progress, RunFile, StepMetrics};

use crate::cli::{MachineArgs, TrainCommand, TrainOther};
use crate::clock::SystemClock;
use crate::engine;
use crate::interrupt::Interrupt;
use crate::terminal::Terminal;
use crate::tokens_command::note_left_out;

/// Runs a command.
///
/// # Errors
/// A run file or data that cannot be used, or training that fails; what was saved stays.
pub fn run(
    command: &TrainCommand,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let args = match (&command.other, &command.stages) {
        (Some(TrainOther::Example), _) | (None, None) => return example(terminal),
        (None, Some(args)) => args,
    };
    let engine = engine::open(machine)?;
    let inputs = RunInputs::read(&args.config)?;
    let (characters, searches) = inputs.left_out();
    note_left_out(characters, searches, terminal);
    let interrupt = Interrupt::listen()?;
    let resume = match (args.resume, args.changed_settings) {
        (false, _) => Resume::Never,
        (true, false) => Resume::SameSettings,
        (true, true) => Resume::ChangedSettings,
    };
    let all = inputs.run.stages.iter().map(|stage| stage.name.as_str());
    let names: Vec<&str> = args.stage.as_deref().map_or_else(|| all.collect(), |one| vec![one]);
    for name in names {
        let outcome = train(&inputs, &*engine, (name, resume), terminal, interrupt.flag())?;
        let summary = Summary::of(name, &outcome, characters);
        terminal.result(&summary, || {
            let state =
                if outcome.finished { "done" } else { "stopped and saved; continue with --resume" };
            format!("{name}: step {}, {state}", outcome.step)
        })?;
        if !outcome.finished {
            break;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'a str,
    step: u64,
    finished: bool,
    bits_per_byte: Option<f64>,
    best_step: Option<u64>,
    best_bits_per_byte: Option<f64>,
    tokens: u64,
    train_tokens_per_second: f64,
    skipped: u64,
    characters_left_out: u64,
}

impl<'a> Summary<'a> {
    fn of(stage: &'a str, outcome: &Outcome, characters_left_out: u64) -> Self {
        Summary {
            stage,
            step: outcome.step,
            finished: outcome.finished,
            bits_per_byte: outcome.bits_per_byte,
            best_step: outcome.best.map(|(step, _)| step),
            best_bits_per_byte: outcome.best.map(|(_, bits_per_byte)| bits_per_byte),
            tokens: outcome.tokens,
            train_tokens_per_second: outcome.tokens_per_second,
            skipped: outcome.skipped,
            characters_left_out,
        }
    }
}

/// A run file with every key, for a vocabulary of 8192.
fn example(terminal: &Terminal) -> anyhow::Result<()> {
    let mut file = RunFile::default();
    file.data.tokenizer = Some("tokenizer.json".into());
    file.data.train = vec!["tokens/train.tokens".into()];
    file.data.held_out = vec!["tokens/held_out.tokens".into()];
    file.data.dialogues = vec!["tokens/dialogues.tokens".into()];
    let run = file.resolve(8192)?;
    terminal.result(&run, || run.to_toml())
}

/// Trains one stage with its bar.
///
/// # Errors
/// As [`RunInputs::train`].
pub fn train(
    inputs: &RunInputs,
    engine: &dyn Engine,
    (name, resume): (&str, Resume),
    terminal: &Terminal,
    stop: &AtomicBool,
) -> Result<Outcome, RunsError> {
    let mut progress = StageProgress {
        terminal: terminal.clone(),
        bar: None,
        total: 0,
        done: 0,
        seen: Seen::default(),
    };
    let clock = SystemClock::new();
    let outcome = inputs.train(engine, (name, resume), &clock, &mut progress, stop)?;
    progress.end(&outcome);
    Ok(outcome)
}

/// Last figures seen, for the line after the bar.
#[derive(Default)]
struct Seen {
    loss: Option<f32>,
    bits_per_byte: Option<f64>,
}

/// Draws a stage's bar.
struct StageProgress {
    terminal: Terminal,
    bar: Option<Box<dyn Work>>,
    total: u64,
    done: u64,
    seen: Seen,
}

impl StageProgress {
    fn end(&mut self, outcome: &Outcome) {
        let bpb = outcome.bits_per_byte.map(|b| format!(", {b:.3} bits per byte on held-out text"));
        let line = format!(
            "{} steps, {:.0} tokens/s{}",
            self.done,
            outcome.tokens_per_second,
            bpb.unwrap_or_default()
        );
        if let Some(bar) = self.bar.take() {
            bar.finish(&line);
        }
    }
}

impl Progress for StageProgress {
    fn begin(&mut self, stage: &str, done: u64, total: u64) {
        let name = match stage {
            CHAT => "chat tuning",
            other => other,
        };
        self.bar = Some(stoa_runs::Progress::begin(&self.terminal, name, total, "steps"));
        (self.done, self.total) = (done, total);
    }

    fn step(&mut self, metrics: &StepMetrics) {
        self.done += 1;
        if metrics.loss.is_some() {
            self.seen.loss = metrics.loss;
        }
        let mut message = String::new();
        if let Some(loss) = self.seen.loss {
            message += &format!("· loss {loss:.3} ");
        }
        message += &format!("· {:.0} tok/s ", metrics.tokens_per_second);
        if let (Some(mfu), Some(peak)) = (metrics.mfu, metrics.peak_flops) {
            message += &format!("· MFU {:.0} % of {:.0} GFLOP/s ", mfu * 100.0, peak / 1e9);
        }
        if let Some(bpb) = self.seen.bits_per_byte {
            message += &format!("· {bpb:.3} bpb");
        }
        if let Some(bar) = &mut self.bar {
            bar.update(self.done.min(self.total), &message);
        }
    }

    fn evaluation(&mut self, metrics: &EvaluationMetrics) {
        self.seen.bits_per_byte = metrics.bits_per_byte;
    }

    fn warning(&mut self, message: &str) {
        self.terminal.note(format!("warning: {message}"));
    }
}
