//! A run that is killed anywhere and resumed ends in the same bits; damaged checkpoints are named
//! and passed over; a disk that refuses loses nothing.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use stoa_graph::reference::{DeferredEngine, ReferenceEngine, Rounding};
use stoa_graph::{DeviceId, Placement};
use stoa_models::{
    Family, LanguageConfig, Loaded, Weights, gradient_name, initialize, load, optimizer_state,
    parameters,
};
use stoa_tokens::{TokenId, Tokenizer, TrainOptions};
use stoa_training::*;

/// f32 between ops, as any engine has it: what is downloaded is all there is.
const ENGINE: ReferenceEngine = ReferenceEngine::new(Rounding::Declared);

const RUN: &str = "
[model]
depth = 1
hidden = 16
head_dim = 8
mlp = { kind = 'swiglu', intermediate = 16 }
max_time = 32
[pretrain]
length = { steps = 12 }
rows = 2
time = 12
learning_rate_scale = 0.3
evaluate_every = 5
checkpoint_every = 3
keep_checkpoints = 2
schedule = { warmup_steps = 2, decay_fraction = 0.5 }
";

struct World {
    tokenizer: Tokenizer,
    documents: Documents,
    held_out: Documents,
    bytes: Vec<u32>,
    run: Run,
    placement: Placement,
    start: Box<dyn Fn() -> Result<Start, TrainingError>>,
}

impl World {
    fn new(extra: &str) -> Self {
        let lines: Vec<String> = (0..30)
            .map(|i| format!("in house {} lives a person who sells {} lamps", i % 7, i % 5))
            .collect();
        let options = TrainOptions { vocab_size: 290, threads: 1, ..TrainOptions::default() };
        let tokenizer = Tokenizer::train(&lines, &options, |_| ControlFlow::Continue(())).unwrap();
        let mut encoded: Vec<Vec<TokenId>> = lines.iter().map(|l| tokenizer.encode(l)).collect();
        let held_out = Documents::new(encoded.split_off(26), &tokenizer).unwrap();
        let documents = Documents::new(encoded, &tokenizer).unwrap();
        let file = RunFile::parse(&format!("{RUN}{extra}"), Path::new("run.toml")).unwrap();
        let run = file.resolve(tokenizer.vocab_size()).unwrap();
        let bytes = token_bytes(&tokenizer);
        let (model, seed) = (run.model.clone(), run.seed);
        let start = move || Ok(Start { weights: initialize(&model, seed), first_step: 0 });
        World {
            tokenizer,
            documents,
            held_out,
            bytes,
            run,
            placement: Placement::default(),
            start: Box::new(start),
        }
    }

    fn objective(&self) -> LanguageObjective<'_> {
        LanguageObjective {
            name: PRETRAIN,
            stage: &self.run.stages[0].settings,
            seed: self.run.seed,
            model: &self.run.model,
            examples: &self.documents,
            mixed: None,
            held_out: Some(&self.held_out),
            token_bytes: &self.bytes,
            attachments: &[],
            start: &self.start,
        }
    }

    fn setup<'a>(&'a self, directory: &'a Path) -> Setup<'a> {
        self.setup_of(self.objective(), directory)
    }

    fn setup_of<'a>(&'a self, objective: LanguageObjective<'a>, directory: &'a Path) -> Setup<'a> {
        Setup {
            engine: &ENGINE,
            placement: &self.placement,
            directory,
            stage: objective.stage,
            // Lives as long as the test.
            objective: Box::leak(Box::new(objective)),
            changed_settings: false,
        }
    }

    fn initial(&self) -> Weights {
        initialize(&self.run.model, self.run.seed)
    }

    /// Trains until the end or until `kill` steps of this process are done, when the trainer is
    /// dropped without a chance to save.
    fn train(&self, directory: &Path, kill: Option<u64>) -> Listener {
        let mut listener = Listener { kill, ..Listener::default() };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let setup = self.setup(directory);
            let mut trainer = Trainer::resume_or_start(setup, &mut listener).unwrap();
            trainer.run(&AtomicBool::new(false), &Fixed, &mut listener).unwrap()
        }));
        assert_eq!(result.is_err(), kill.is_some(), "killed when asked to");
        listener
    }
}

struct Fixed;

impl Clock for Fixed {
    fn seconds(&self) -> f64 {
        0.0
    }

    fn unix_seconds(&self) -> f64 {
        1.7e9
    }
}

#[derive(Default)]
struct Listener {
    steps: u64,
    kill: Option<u64>,
    warnings: Vec<String>,
    evaluations: Vec<f64>,
}

/// What the listener dies with in place of SIGKILL: nothing of the trainer runs after it.
struct Killed;

impl Progress for Listener {
    fn step(&mut self, _: &StepMetrics) {
        self.steps += 1;
        if self.kill == Some(self.steps) {
            std::panic::resume_unwind(Box::new(Killed));
        }
    }

    fn evaluation(&mut self, metrics: &EvaluationMetrics) {
        self.evaluations.extend(metrics.bits_per_byte);
    }

    fn warning(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

/// The curve without what depends on the clock.
fn curve(directory: &Path) -> Vec<(u64, Option<u32>, Option<u32>, u32, u64, Option<u64>)> {
    let line = |metric: &Metric| match metric {
        Metric::Step(m) => {
            let bits = |x: Option<f32>| x.map(f32::to_bits);
            (m.step, bits(m.loss), bits(m.grad_norm), m.lr.to_bits(), m.tokens, None)
        }
        Metric::Evaluation(m) => (m.step, None, None, 0, 0, m.bits_per_byte.map(f64::to_bits)),
    };
    read_metrics(directory).unwrap().iter().map(line).collect()
}

fn final_bytes(directory: &Path, step: u64) -> (Vec<u8>, Vec<u8>, String) {
    let path = Checkpoints::of_run(directory).path(step);
    (
        fs::read(path.join("model.safetensors")).unwrap(),
        fs::read(path.join("optimizer.safetensors")).unwrap(),
        fs::read_to_string(path.join("state.json")).unwrap(),
    )
}

#[test]
fn a_run_killed_anywhere_ends_in_the_same_bits() {
    for extra in ["", "accumulation = 2\n", "optimizer = 'adamw'\n"] {
        let extra = extra.replace("optimizer", "recompute = 'blocks'\noptimizer");
        // The extra keys belong to [pretrain], whose last line is a value.
        let world = World::new(&extra);
        let whole = tempfile::tempdir().unwrap();
        let listener = world.train(whole.path(), None);
        assert!(listener.evaluations.last() < listener.evaluations.first());
        let expected = (curve(whole.path()), final_bytes(whole.path(), 12));
        // Steps are killed before, at and after checkpoints; the last two come one after the other.
        for kills in
            [vec![1], vec![2], vec![3], vec![4], vec![7], vec![11], vec![5, 4], vec![4, 1, 1]]
        {
            let broken = tempfile::tempdir().unwrap();
            for &kill in &kills {
                world.train(broken.path(), Some(kill));
            }
            world.train(broken.path(), None);
            assert!(curve(broken.path()) == expected.0, "curve after {kills:?}");
            assert!(final_bytes(broken.path(), 12) == expected.1, "weights after {kills:?}");
        }
    }
}

#[test]
fn two_devices_and_deferred_results_change_nothing() {
    for extra in ["", "accumulation = 2\n"] {
        let world = World::new(extra);
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        world.train(one.path(), None);

        let (model, stage) = (&world.run.model, &world.run.stages[0].settings);
        let names = parameters(model).into_iter().flat_map(|p| [gradient_name(&p.name), p.name]);
        let names = names.chain(optimizer_state(&parameters(model), &stage.groups).into_keys());
        let (near, far) = (DeviceId(0), DeviceId(1));
        let placement =
            Placement(names.filter(|name| name.contains("mlp")).map(|name| (name, far)).collect());
        let engine = DeferredEngine::new(2, Rounding::Declared);
        let setup = Setup { engine: &engine, placement: &placement, ..world.setup(two.path()) };
        let mut trainer = Trainer::start(setup).unwrap();
        assert!(trainer.run(&AtomicBool::new(false), &Fixed, &mut NoProgress).unwrap().finished);
        assert!(curve(two.path()) == curve(one.path()));
        assert!(final_bytes(two.path(), 12) == final_bytes(one.path(), 12));

        let placed = engine.placed();
        assert!(placed.keys().any(|name| name.contains("mlp.up_proj.weight.")), "{placed:?}");
        for (name, device) in placed {
            let expected = if name.contains("mlp") { far } else { near };
            assert_eq!(device, expected, "{name}");
        }
    }
}

#[test]
fn stopping_saves_and_resuming_goes_on() {
    let world = World::new("");
    let whole = tempfile::tempdir().unwrap();
    world.train(whole.path(), None);

    struct StopAt<'a>(u64, &'a AtomicBool);
    impl Progress for StopAt<'_> {
        fn step(&mut self, metrics: &StepMetrics) {
            self.1.store(metrics.step >= self.0, Ordering::SeqCst);
        }
    }
    let stopped = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::start(world.setup(stopped.path())).unwrap();
    let outcome = trainer.run(&stop, &Fixed, &mut StopAt(4, &stop)).unwrap();
    assert_eq!((outcome.step, outcome.finished), (4, false));
    drop(trainer);
    assert_eq!(Checkpoints::of_run(stopped.path()).steps().unwrap(), [3, 4]);
    world.train(stopped.path(), None);
    assert!(curve(stopped.path()) == curve(whole.path()));
    assert!(final_bytes(stopped.path(), 12) == final_bytes(whole.path(), 12));

    // A finished stage has nothing to do, and says so.
    let mut again = Trainer::resume(world.setup(stopped.path()), &mut NoProgress).unwrap();
    let outcome = again.run(&AtomicBool::new(false), &Fixed, &mut NoProgress).unwrap();
    assert!(outcome.finished && outcome.bits_per_byte.is_some());
}

#[test]
fn old_checkpoints_go_and_the_saved_model_loads() {
    let world = World::new("");
    let directory = tempfile::tempdir().unwrap();
    world.train(directory.path(), None);
    let checkpoints = Checkpoints::of_run(directory.path());
    // Two on the way, and the one the stage ended with.
    assert_eq!(checkpoints.steps().unwrap(), [6, 9, 12]);
    let Loaded { config, weights, .. } = load(&checkpoints.path(12)).unwrap();
    let config = LanguageConfig { family: Family::None, ..config };
    assert_eq!(config, world.run.model);
    assert_eq!(weights, checkpoints.load(12, Contents::Weights).unwrap().weights);
    assert_ne!(weights, world.initial());
    let leftovers = fs::read_dir(directory.path().join("checkpoints")).unwrap();
    assert_eq!(leftovers.count(), 3, "nothing unfinished is left");
}

#[test]
fn a_damaged_checkpoint_is_named_and_passed_over() {
    let world = World::new("");
    let whole = tempfile::tempdir().unwrap();
    world.train(whole.path(), None);
    for name in ["model.safetensors", "optimizer.safetensors", "state.json", "config.json"] {
        for damage in ["flip", "cut", "remove"] {
            let directory = tempfile::tempdir().unwrap();
            world.train(directory.path(), Some(7));
            let checkpoints = Checkpoints::of_run(directory.path());
            let file = checkpoints.path(6).join(name);
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            match damage {
                "flip" => bytes[middle] ^= 1,
                "cut" => bytes.truncate(middle),
                _ => fs::remove_file(&file).unwrap(),
            }
            if damage != "remove" {
                fs::write(&file, bytes).unwrap();
            }
            let error = checkpoints
                .load(6, Contents::Everything)
                .err()
                .expect("damage is found")
                .to_string();
            assert!(error.contains(name), "{damage}: {error}");
            // Who wants the weights alone reads and verifies no moments.
            let weights = checkpoints.load(6, Contents::Weights);
            assert_eq!(weights.is_ok(), name == "optimizer.safetensors", "{damage}: {name}");
            for (contents, loaded) in
                [(Contents::Weights, weights.is_ok()), (Contents::Everything, false)]
            {
                let verified = verify_checkpoint(&checkpoints.path(6), contents);
                assert_eq!(verified.is_ok(), loaded, "{damage}: {name}");
            }
            let listener = world.train(directory.path(), None);
            assert!(listener.warnings[0].contains(name), "{:?}", listener.warnings);
            assert!(listener.warnings[0].contains("resuming from step 3"));
            assert!(final_bytes(directory.path(), 12) == final_bytes(whole.path(), 12));
        }
    }
}

#[test]
fn when_all_are_damaged_nothing_is_overwritten() {
    let world = World::new("");
    let directory = tempfile::tempdir().unwrap();
    world.train(directory.path(), Some(4));
    let manifest = Checkpoints::of_run(directory.path()).path(3).join("manifest.json");
    fs::write(&manifest, "{}").unwrap();
    let setup = world.setup(directory.path());
    let error = Trainer::resume_or_start(setup, &mut NoProgress).err().unwrap().to_string();
    assert!(error.contains("no pretrain checkpoint") && error.contains("manifest.json"), "{error}");
    assert!(manifest.exists());
}

#[test]
fn another_run_is_not_continued() {
    let world = World::new("");
    let directory = tempfile::tempdir().unwrap();
    world.train(directory.path(), Some(4));
    let refused =
        |setup: Setup<'_>| Trainer::resume(setup, &mut NoProgress).err().unwrap().to_string();
    let setup = world.setup(directory.path());
    let objective = world.objective();
    let other = |objective| refused(world.setup_of(objective, directory.path()));
    let found = other(LanguageObjective { seed: 9, ..objective });
    assert!(found.contains("another seed: 0, now 9"), "{found}");
    let stage = Stage { rows: 3, ..world.run.stages[0].settings.clone() };
    let found = other(LanguageObjective { stage: &stage, ..objective });
    assert!(found.contains("another configuration"), "{found}");
    let found = other(LanguageObjective { examples: &world.held_out, ..objective });
    assert!(found.contains("another training data"), "{found}");
    // How often to look and save may change.
    let watched =
        Stage { evaluate_every: 1, checkpoint_every: 1, ..world.run.stages[0].settings.clone() };
    let watched = LanguageObjective { stage: &watched, ..objective };
    assert!(Trainer::resume(world.setup_of(watched, directory.path()), &mut NoProgress).is_ok());
    // A new run does not write over an old one.
    let error = Trainer::start(setup).err().unwrap().to_string();
    assert!(error.contains("step 3"), "{error}");
}

#[test]
fn a_changed_configuration_is_continued_on_request() {
    let world = World::new("");
    let directory = tempfile::tempdir().unwrap();
    world.train(directory.path(), Some(4));
    let stage = Stage { rows: 3, ..world.run.stages[0].settings.clone() };
    let objective = LanguageObjective { stage: &stage, ..world.objective() };
    let changed = Setup { changed_settings: true, ..world.setup_of(objective, directory.path()) };
    let mut listener = Listener::default();
    let mut trainer = Trainer::resume(changed, &mut listener).unwrap();
    assert!(listener.warnings[0].contains("from step 3 on"), "{:?}", listener.warnings);
    assert!(trainer.run(&AtomicBool::new(false), &Fixed, &mut listener).unwrap().finished);
    drop(trainer);
    // From then on the run is one of the new configuration; another seed is another run always.
    assert!(Trainer::resume(Setup { changed_settings: false, ..changed }, &mut NoProgress).is_ok());
    let other = world.setup_of(LanguageObjective { seed: 9, ..objective }, directory.path());
    let other = Setup { changed_settings: true, ..other };
    assert!(Trainer::resume(other, &mut NoProgress).is_err());
}

#[test]
fn the_best_checkpoint_survives_a_run_that_gets_worse() {
    let world = World::new("");
    let directory = tempfile::tempdir().unwrap();
    world.train(directory.path(), None);
    let trained = Checkpoints::of_run(directory.path());
    let Checkpoint { state, weights, optimizer, .. } =
        trained.load(12, Contents::Everything).unwrap();
    assert!(state.held_out_score.is_some(), "a checkpoint is evaluated");
    let worse = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of_run(worse.path());
    for (step, bits) in [(3, 2.0), (6, 1.0), (9, 1.5), (12, 3.0), (15, 4.0)] {
        let state =
            TrainingState { step, finished: false, held_out_score: Some(bits), ..state.clone() };
        checkpoints.save(&state, &weights, &optimizer, &[]).unwrap();
        checkpoints.prune(2).unwrap();
    }
    assert_eq!(checkpoints.steps().unwrap(), [6, 12, 15]);
    assert_eq!(checkpoints.best(PRETRAIN).unwrap(), Some((6, 1.0)));
    assert_eq!(checkpoints.best(CHAT).unwrap(), None);
}

#[test]
fn two_processes_do_not_share_a_directory() {
    let world = World::new("");
    let directory = tempfile::tempdir().unwrap();
    let first = Trainer::start(world.setup(directory.path())).unwrap();
    let second = Trainer::start(world.setup(directory.path()));
    assert!(matches!(second.err(), Some(TrainingError::InUse(_))));
    drop(first);
    assert!(Trainer::start(world.setup(directory.path())).is_ok());
}

#[test]
fn a_disk_that_refuses_is_an_error_and_what_was_saved_stays() {
    let world = World::new("");
    let directory = tempfile::tempdir().unwrap();
    world.train(directory.path(), Some(4));
    let checkpoints = Checkpoints::of_run(directory.path());
    let before = final_bytes(directory.path(), 3);

    // A file stands where the directory of checkpoints was.
    let place = directory.path().join("checkpoints");
    let away = directory.path().join("away");
    let mut trainer = Trainer::resume(world.setup(directory.path()), &mut NoProgress).unwrap();
    fs::rename(&place, &away).unwrap();
    fs::write(&place, "").unwrap();
    let error =
        trainer.run(&AtomicBool::new(false), &Fixed, &mut NoProgress).unwrap_err().to_string();
    assert!(error.contains("checkpoints"), "{error}");
    drop(trainer);
    fs::remove_file(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [3]);
    assert!(final_bytes(directory.path(), 3) == before);

    // A full disk, where the system has one to offer.
    if cfg!(target_os = "linux") {
        let full = tempfile::tempdir().unwrap();
        fs::create_dir(full.path().join("tensorboard")).unwrap();
        let name = "events.out.tfevents.1700000000.stoa.1";
        #[cfg(unix)]
        std::os::unix::fs::symlink("/dev/full", full.path().join("tensorboard").join(name))
            .unwrap();
        let mut trainer = Trainer::start(world.setup(full.path())).unwrap();
        let error = trainer.run(&AtomicBool::new(false), &Fixed, &mut NoProgress).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(World::new("").tokenizer.vocab_size() > 256);
}
