//! Stages on the native engine: the thread count changes nothing, also across a resumption; parts
//! of a batch add up to the whole; chat fine-tuning teaches answers; a spike is left out.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use stoa_dialogue::{ChatTemplate, Dialogue};
use stoa_graph::Placement;
use stoa_models::{Weights, initialize};
use stoa_native::{NativeEngine, NativeOptions};
use stoa_tokens::{Tokenizer, TrainOptions};
use stoa_training::*;

const RUN: &str = "
[model]
depth = 1
[pretrain]
length = { steps = 24 }
rows = 4
time = 48
evaluate_every = 0
checkpoint_every = 10
schedule = { warmup_steps = 4, decay_fraction = 0.5 }
[chat]
length = { epochs = 12.0 }
rows = 4
time = 48
evaluate_every = 0
";

struct World {
    tokenizer: Tokenizer,
    documents: Documents,
    held_out: Documents,
    answers: DialogueExamples,
    bytes: Vec<u32>,
    run: Run,
    placement: Placement,
}

const TRADES: [&str; 5] = ["baker", "potter", "weaver", "smith", "miller"];

fn person(i: usize) -> String {
    format!("p{}", i)
}

impl World {
    fn new(change: impl FnOnce(&mut RunFile)) -> Self {
        let lines: Vec<String> = (0..60)
            .map(|i| format!("{} is a {} of the square", person(i), TRADES[i % 5]))
            .collect();
        let options = TrainOptions { vocab_size: 300, threads: 1, ..TrainOptions::default() };
        let tokenizer = Tokenizer::train(&lines, &options, |_| ControlFlow::Continue(())).unwrap();
        let encode = |lines: &[String]| {
            let encoded = lines.iter().map(|l| tokenizer.encode(l)).collect();
            Documents::new(encoded, &tokenizer).unwrap()
        };
        let (documents, held_out) = (encode(&lines[..52]), encode(&lines[52..]));
        let template = ChatTemplate::chatml();
        let dialogues = (0..40).map(|i| {
            let question = format!("what is {}?", person(i));
            let answer = format!("a {}", TRADES[i % 5]);
            let dialogue = Dialogue::alternating([question, answer]);
            template.encode_for_training(&tokenizer, &dialogue.conversation(None)).unwrap()
        });
        let answers = DialogueExamples::answers_only(dialogues.collect::<Vec<_>>());
        let mut file = RunFile::parse(RUN, Path::new("run.toml")).unwrap();
        change(&mut file);
        let run = file.resolve(tokenizer.vocab_size()).unwrap();
        let bytes = token_bytes(&tokenizer);
        let placement = Placement::default();
        World { tokenizer, documents, held_out, answers, bytes, run, placement }
    }

    fn setup<'a>(
        &'a self,
        engine: &'a NativeEngine,
        directory: &'a Path,
        name: &'a str,
    ) -> Setup<'a> {
        let chat = name == CHAT;
        let start = move || {
            if !chat {
                let weights = initialize(&self.run.model, self.run.seed);
                return Ok(Start { weights, first_step: 0 });
            }
            let checkpoints = Checkpoints::of_run(directory);
            let (found, _) = checkpoints.newest(PRETRAIN, Contents::Weights)?;
            Ok(Start { weights: found.weights, first_step: found.state.step })
        };
        let stage = &self.run.stage(name).unwrap().settings;
        let objective = LanguageObjective {
            name,
            stage,
            seed: self.run.seed,
            model: &self.run.model,
            examples: if chat { &self.answers } else { &self.documents },
            mixed: None,
            held_out: Some(&self.held_out),
            token_bytes: &self.bytes,
            attachments: &[],
            // Both live as long as the test.
            start: Box::leak(Box::new(start)),
        };
        Setup {
            engine,
            placement: &self.placement,
            directory,
            objective: Box::leak(Box::new(objective)),
            stage,
            changed_settings: false,
        }
    }

    fn pretrain(&self, engine: &NativeEngine, directory: &Path) -> (Weights, Outcome) {
        let mut trainer = Trainer::start(self.setup(engine, directory, PRETRAIN)).unwrap();
        let outcome = run(&mut trainer);
        (trainer.weights().unwrap(), outcome)
    }
}

/// A clock that advances by a second each time it is read.
#[derive(Default)]
struct Ticking(Cell<f64>);

impl Clock for Ticking {
    fn seconds(&self) -> f64 {
        self.0.set(self.0.get() + 1.0);
        self.0.get()
    }

    fn unix_seconds(&self) -> f64 {
        1.7e9
    }
}

fn run(trainer: &mut Trainer<'_>) -> Outcome {
    trainer.run(&AtomicBool::new(false), &Ticking::default(), &mut NoProgress).unwrap()
}

fn engine(threads: usize) -> NativeEngine {
    NativeEngine::new(NativeOptions { threads: Some(threads), ..NativeOptions::default() }).unwrap()
}

fn losses(directory: &Path, stage: &str) -> Vec<f32> {
    let loss = |metric: &Metric| match metric {
        Metric::Step(m) if m.stage == stage => m.loss,
        _ => None,
    };
    read_metrics(directory).unwrap().iter().filter_map(loss).collect()
}

#[test]
fn threads_change_nothing_even_across_a_resumption() {
    let world = World::new(|_| {});
    let directory = tempfile::tempdir().unwrap();
    let (one, outcome) = world.pretrain(&engine(1), directory.path());
    assert!(outcome.finished && outcome.step == 24);
    let curve = losses(directory.path(), PRETRAIN);
    assert!(curve[23] < 0.6 * curve[0], "{curve:?}");
    let bits = |directory: &Path| {
        let evaluated = read_metrics(directory).unwrap().into_iter().filter_map(|m| match m {
            Metric::Evaluation(m) => m.bits_per_byte,
            Metric::Step(_) => None,
        });
        evaluated.collect::<Vec<_>>()
    };
    let measured = bits(directory.path());
    assert!(measured[1] < 0.6 * measured[0], "bits per byte fall: {measured:?}");

    struct StopAt<'a>(u64, &'a AtomicBool);
    impl Progress for StopAt<'_> {
        fn step(&mut self, metrics: &StepMetrics) {
            self.1.store(metrics.step >= self.0, Ordering::SeqCst);
        }
    }
    let broken = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let (two, three) = (engine(2), engine(3));
    let setup = world.setup(&two, broken.path(), PRETRAIN);
    let mut trainer = Trainer::start(setup).unwrap();
    trainer.run(&stop, &Ticking::default(), &mut StopAt(7, &stop)).unwrap();
    drop(trainer);
    let setup = world.setup(&three, broken.path(), PRETRAIN);
    let mut trainer = Trainer::resume(setup, &mut NoProgress).unwrap();
    run(&mut trainer);
    assert!(trainer.weights().unwrap() == one, "the same bits");
    assert!(losses(broken.path(), PRETRAIN) == curve);
    assert!(bits(broken.path()) == measured);
}

#[test]
fn parts_of_a_batch_add_up_to_the_whole() {
    let whole = World::new(|_| {});
    let parts = World::new(|file| {
        file.stages[0].rows = Some(2);
        file.stages[0].accumulation = Some(2);
    });
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = engine(2);
    whole.pretrain(&engine, a.path());
    parts.pretrain(&engine, b.path());
    let curves = (losses(a.path(), PRETRAIN), losses(b.path(), PRETRAIN));
    for (step, (x, y)) in curves.0.iter().zip(&curves.1).enumerate() {
        // Sums in another order differ in the last bits, which 24 steps magnify.
        assert!((x - y).abs() < 2e-3, "step {step}: {x} and {y}");
    }
}

#[test]
fn chat_goes_on_from_pretraining_and_learns_the_answers() {
    let world = World::new(|_| {});
    let directory = tempfile::tempdir().unwrap();
    let engine = engine(2);
    let (_, outcome) = world.pretrain(&engine, directory.path());
    let setup = world.setup(&engine, directory.path(), CHAT);
    let mut trainer = Trainer::start(setup).unwrap();
    let total = trainer.total_steps();
    let chatted = run(&mut trainer);
    assert_eq!(chatted.step, outcome.step + total);
    let curve = losses(directory.path(), CHAT);
    assert_eq!(curve.len() as u64, total);
    // Only answers count, and each begins with the same letter and ends in the same token.
    assert!(curve.last().unwrap() < &0.9, "{curve:?}");
    // The pretrained model is still there, beside the last of the chat stage.
    let steps = Checkpoints::of_run(directory.path()).steps().unwrap();
    assert!(steps.contains(&24) && steps.contains(&chatted.step), "{steps:?}");
    assert_eq!(losses(directory.path(), PRETRAIN).len(), 24);
    assert!(world.tokenizer.special(stoa_tokens::IM_END).is_some());
}

#[test]
fn divergence_ends_with_an_error_and_the_checkpoints_before_it() {
    let world = World::new(|file| {
        file.stages[0].learning_rate_scale = Some(1e30);
        file.stages[0].checkpoint_every = Some(1);
    });
    let directory = tempfile::tempdir().unwrap();
    let engine = engine(2);
    let setup = world.setup(&engine, directory.path(), PRETRAIN);
    let mut trainer = Trainer::start(setup).unwrap();
    let error = trainer
        .run(&AtomicBool::new(false), &Ticking::default(), &mut NoProgress)
        .expect_err("such a rate cannot end well")
        .to_string();
    assert!(error.contains("steps in a row") && error.contains("--changed-settings"), "{error}");
    drop(trainer);
    let (found, damaged) =
        Checkpoints::of_run(directory.path()).newest(PRETRAIN, Contents::Everything).unwrap();
    assert!(damaged.is_empty() && found.state.step > 0);
    let skipped = read_metrics(directory.path()).unwrap();
    assert!(
        skipped.iter().any(|m| matches!(m, Metric::Step(m) if m.skipped)),
        "skipped and recorded"
    );
}
