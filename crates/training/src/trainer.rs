//! The training loop: step, evaluate, save, and go on from what was saved. A stage that was killed
//! at any moment and resumed ends in the same bits as one that was not: the data of a step depend
//! on its number only, everything else that changes is in the checkpoint.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use stoa_graph::{
    Buffers, CompileOptions, DType, Engine, Executable, MemoryPlan, Outputs, Placement, Program,
    Tensor, TensorType, program_cost,
};
use stoa_models::{
    ModelError, Parameter, Weights, download, gradient_name, optimizer_state, update_program,
    upload_to,
};

use crate::TrainingError;
use crate::checkpoint::{Checkpoints, Contents, FORMAT, TrainingState};
use crate::error::io;
use crate::evaluation::Evaluation;
use crate::guard::{Guard, Verdict};
use crate::metrics::{EvaluationMetrics, Metric, MetricsLog, StepMetrics};
use crate::objective::{Measure, Objective, StageData, Start};
use crate::progress::{Clock, Progress};
use crate::run::Stage;
use crate::tensorboard::EventFile;

type Result<T> = std::result::Result<T, TrainingError>;

/// What a stage is made of.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// Runs the programs.
    pub engine: &'a dyn Engine,
    /// Where parameters, moments and data lie.
    pub placement: &'a Placement,
    /// Directory of the run: `checkpoints/`, `metrics.jsonl`, `tensorboard/`.
    pub directory: &'a Path,
    /// What is learned.
    pub objective: &'a dyn Objective,
    /// Settings of the stage: optimizer, schedule, guard, when to evaluate and save.
    pub stage: &'a Stage,
    /// A resumed stage may have another configuration than its checkpoint.
    pub changed_settings: bool,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done, over all stages.
    pub step: u64,
    /// Whether the stage is complete; otherwise it was stopped, saved, and can be resumed.
    pub finished: bool,
    /// Bits per byte of the last evaluation, if any text is held out.
    pub bits_per_byte: Option<f64>,
    /// Tokens trained on in this stage, over all its resumptions.
    pub tokens: u64,
    /// Tokens a second over the steps of this call.
    pub tokens_per_second: f64,
    /// Step and score (of text, bits per byte) of the checkpoint with the lowest on held-out data.
    pub best: Option<(u64, f64)>,
    /// Steps the loss-spike guard skipped.
    pub skipped: u64,
}

/// The compiled step.
enum Step {
    /// Forward, backward and update in one program.
    Fused(Box<dyn Executable>),
    /// Gradients summed over several runs, then applied.
    Accumulated { accumulate: Box<dyn Executable>, update: Box<dyn Executable> },
}

/// A stage in progress.
pub struct Trainer<'a> {
    setup: Setup<'a>,
    data: Box<dyn StageData + 'a>,
    /// Names of parameters and of moments: what a checkpoint holds.
    names: (Vec<String>, Vec<String>),
    step: Step,
    flops_per_step: u64,
    measure: Option<Box<dyn Measure + 'a>>,
    buffers: Buffers,
    state: TrainingState,
    guard: Guard,
    total: u64,
    checkpoints: Checkpoints,
    saved_step: Option<u64>,
    /// Step and result of the last evaluation.
    last_evaluation: Option<(u64, Evaluation)>,
    /// What MFU is a share of: the best sample so far, or what this run reached if that is more.
    peak_flops: Option<f64>,
    /// Held while the run goes on, so that no second process trains in the same directory.
    _lock: File,
}

impl<'a> Trainer<'a> {
    /// Begins a stage where its objective starts.
    ///
    /// # Errors
    /// [`TrainingError::Occupied`] when the directory holds later checkpoints.
    pub fn start(setup: Setup<'a>) -> Result<Self> {
        let Start { weights, first_step } = setup.objective.start()?;
        let checkpoints = Checkpoints::of_run(setup.directory);
        if let Some(&step) = checkpoints.steps()?.last().filter(|&&step| step > first_step) {
            return Err(TrainingError::Occupied { directory: setup.directory.to_owned(), step });
        }
        let zeros = optimizer_state(&setup.objective.trained(), &setup.stage.groups)
            .into_iter()
            .map(|(name, ty)| (name, Tensor::zeros(&ty)))
            .collect();
        let state = TrainingState {
            format: FORMAT,
            stage: setup.objective.stage().to_owned(),
            step: first_step,
            first_step,
            updates: 0,
            tokens: 0,
            finished: false,
            identity: setup.objective.identity()?,
            guard: Default::default(),
            held_out_score: None,
        };
        Self::new(setup, checkpoints, state, weights, zeros, None)
    }

    /// Goes on from the newest whole checkpoint of the stage. Damaged ones are passed over with a
    /// warning.
    ///
    /// # Errors
    /// [`TrainingError::NoCheckpoint`], [`TrainingError::OtherRun`].
    pub fn resume(setup: Setup<'a>, progress: &mut dyn Progress) -> Result<Self> {
        let checkpoints = Checkpoints::of_run(setup.directory);
        let (found, rejected) =
            checkpoints.newest(setup.objective.stage(), Contents::Everything)?;
        for error in rejected {
            progress.warning(&format!("{error}; going on from step {}", found.state.step));
        }
        let (saved, now) = (&found.state.identity, setup.objective.identity()?);
        for (what, saved, now) in [
            ("seed", saved.seed.to_string(), now.seed.to_string()),
            ("configuration", saved.settings.clone(), now.settings.clone()),
            ("training data", saved.data.clone(), now.data.clone()),
        ] {
            if saved == now {
                continue;
            }
            if what != "configuration" || !setup.changed_settings {
                return Err(TrainingError::OtherRun { path: found.path, what, saved, now });
            }
            progress.warning(&format!(
                "the configuration is not that of checkpoint {}; from step {} on the new one holds",
                found.path.display(),
                found.state.step
            ));
        }
        let state = TrainingState { identity: now, ..found.state };
        let step = state.step;
        Self::new(setup, checkpoints, state, found.weights, found.optimizer, Some(step))
    }

    /// [`Trainer::resume`] where there is something to resume, else [`Trainer::start`]: also when a
    /// run was killed before its first checkpoint.
    ///
    /// # Errors
    /// As those; a stage whose checkpoints are all damaged is not started anew by itself.
    pub fn resume_or_start(setup: Setup<'a>, progress: &mut dyn Progress) -> Result<Self> {
        match Self::resume(setup, progress) {
            Err(TrainingError::NoCheckpoint { rejected, .. }) if rejected.is_empty() => {
                Self::start(setup)
            }
            other => other,
        }
    }

    fn new(
        setup: Setup<'a>,
        checkpoints: Checkpoints,
        state: TrainingState,
        weights: Weights,
        optimizer: Weights,
        saved_step: Option<u64>,
    ) -> Result<Self> {
        let lock = lock(setup.directory)?;
        checkpoints.clear_unfinished()?;
        let Setup { engine, placement, objective, stage, .. } = setup;
        let trained = objective.trained();
        let data = objective.data()?;
        let (step, flops_per_step) = compile(&setup, &trained)?;
        let measure = objective.measure(engine, placement)?;
        let types = trained.iter().map(|p| (p.name.clone(), p.ty(DType::F32)));
        let weights = exactly(types, weights)?;
        let moments = exactly(optimizer_state(&trained, &stage.groups), optimizer)?;
        let names = (weights.keys().cloned().collect(), moments.keys().cloned().collect());
        let mut buffers = Buffers::new();
        for tensors in [objective.frozen()?, weights, moments] {
            upload_to(engine, placement, tensors, &mut buffers)?;
        }
        if matches!(step, Step::Accumulated { .. }) {
            for parameter in &trained {
                let zero = Tensor::zeros(&parameter.ty(DType::F32));
                let name = gradient_name(&parameter.name);
                let buffer = engine.upload_to(placement.device(&name), &zero)?;
                buffers.insert(name, buffer);
            }
        }
        Ok(Trainer {
            total: data.steps(),
            data,
            names,
            step,
            flops_per_step,
            measure,
            buffers,
            guard: Guard::restored(stage.guard, max_norm(stage), &state.guard),
            state,
            checkpoints,
            saved_step,
            last_evaluation: None,
            peak_flops: None,
            _lock: lock,
            setup,
        })
    }

    /// Trains to the end of the stage, or until `stop` is set: then it saves and returns.
    ///
    /// # Errors
    /// [`TrainingError::Diverged`], [`TrainingError::File`] when the disk refuses, or what the
    /// engine says. Checkpoints written so far are whole.
    pub fn run(
        &mut self,
        stop: &AtomicBool,
        clock: &dyn Clock,
        progress: &mut dyn Progress,
    ) -> Result<Outcome> {
        let directory = self.setup.directory;
        let mut metrics =
            MetricsLog::open(directory, self.setup.objective.stage(), self.state.step)?;
        let mut events = EventFile::create(
            &directory.join("tensorboard"),
            clock.unix_seconds(),
            self.state.step + 1,
        )?;
        progress.begin(self.setup.objective.stage(), self.done(), self.total);
        self.sample_peak();
        let (mut tokens, mut seconds) = (0u64, 0.0);
        loop {
            self.evaluate_if_due(&mut metrics, &mut events, clock, progress)?;
            let stopped = stop.load(Ordering::SeqCst);
            if stopped || self.checkpoint_is_due() {
                self.save(progress)?;
            }
            if stopped || self.done() >= self.total {
                break;
            }
            let (before, start) = (self.state.tokens, clock.seconds());
            let (loss, grad_norm, lr_factor, verdict) = self.one_step()?;
            let step_seconds = (clock.seconds() - start).max(MIN_SECONDS);
            let step_tokens = self.state.tokens - before;
            (tokens, seconds) = (tokens + step_tokens, seconds + step_seconds);
            let flops_per_second = self.flops_per_step as f64 / step_seconds;
            self.peak_flops = self.peak_flops.map(|peak| peak.max(flops_per_second));
            let report = StepMetrics {
                step: self.state.step,
                stage: self.state.stage.clone(),
                loss: Some(loss).filter(|x| x.is_finite()),
                lr: lr_factor * self.setup.stage.groups.matrix_lr(),
                grad_norm: grad_norm.filter(|x| x.is_finite()),
                skipped: verdict != Verdict::Applied,
                tokens: self.state.tokens,
                tokens_per_second: step_tokens as f64 / step_seconds,
                mfu: self.peak_flops.map(|peak| flops_per_second / peak),
                peak_flops: self.peak_flops,
                precision: self.setup.stage.precision,
            };
            record_step(&mut events, clock.unix_seconds(), &report)?;
            progress.step(&report);
            if let Verdict::NewLevel { skipped, limit } = verdict {
                progress.warning(&format!(
                    "step {}: gradient norms of {skipped} steps in a row exceeded the limit of \
                     {limit}; the limit is computed from new norms",
                    self.state.step
                ));
            }
            metrics.append(&Metric::Step(report))?;
        }
        let best = self.checkpoints.best(&self.state.stage)?;
        if let (Some((step, last)), Some((best_step, best))) = (self.last_evaluation, best)
            && best < last.score()
        {
            let unit = if last.bits_per_byte().is_some() { "bits per byte" } else { "mean loss" };
            progress.warning(&format!(
                "held-out data got worse: {:.3} {unit} at step {step}, {best:.3} at step \
                 {best_step}, whose checkpoint {} is kept",
                last.score(),
                self.checkpoints.path(best_step).display()
            ));
        }
        Ok(Outcome {
            step: self.state.step,
            finished: self.state.finished,
            bits_per_byte: self.last_evaluation.and_then(|(_, found)| found.bits_per_byte()),
            best,
            tokens: self.state.tokens,
            tokens_per_second: if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 },
            skipped: self.guard.skipped(),
        })
    }

    /// Steps of the stage.
    pub fn total_steps(&self) -> u64 {
        self.total
    }

    /// Steps of the stage that are done.
    pub fn done(&self) -> u64 {
        self.state.step - self.state.first_step
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// What the engine says.
    pub fn weights(&self) -> Result<Weights> {
        let names = self.names.0.iter().map(String::as_str);
        Ok(download(self.setup.engine, &self.buffers, names)?)
    }

    /// Memory of the largest program.
    pub fn memory(&self) -> MemoryPlan {
        match &self.step {
            Step::Fused(step) => step.memory(),
            Step::Accumulated { accumulate, update } => {
                let plans = [accumulate.memory(), update.memory()];
                plans.into_iter().max_by_key(MemoryPlan::total_bytes).expect("two plans")
            }
        }
    }

    /// Trains one step: loss, gradient norm if measured, factor of the learning rate, and what
    /// became of it.
    fn one_step(&mut self) -> Result<(f32, Option<f32>, f32, Verdict)> {
        let stage = self.setup.stage;
        let done = self.done();
        let parts = self.data.step(done)?;
        let factor = stage.schedule.lr_factor(done, self.total);
        let scalars: Vec<(&'static str, Tensor)> = [
            ("lr", Some(factor)),
            // AdamW's bias correction counts updates; an f32 counts exactly to 2^24, by when the
            // correction has long been 1.
            ("step", Some((self.state.updates + 1) as f32)),
            (
                "momentum",
                stage.groups.uses_momentum().then(|| stage.schedule.momentum(done, self.total)),
            ),
            ("limit", stage.groups.clipping.map(|_| self.guard.limit())),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, Tensor::scalar(value))))
        .collect();
        let (loss, outputs) = match &mut self.step {
            Step::Fused(step) => {
                let data: Vec<_> = parts[0].tensors.iter().chain(&scalars).map(bind).collect();
                let outputs = step.run(&mut self.buffers, &data)?.outputs()?;
                (scalar(&outputs, "loss"), outputs)
            }
            Step::Accumulated { accumulate, update } => {
                let mut loss = 0.0;
                for part in &parts {
                    let data: Vec<_> = part.tensors.iter().map(bind).collect();
                    let outputs = accumulate.run(&mut self.buffers, &data)?.outputs()?;
                    loss += scalar(&outputs, "loss");
                }
                let scalars: Vec<_> = scalars.iter().map(bind).collect();
                (loss, update.run(&mut self.buffers, &scalars)?.outputs()?)
            }
        };
        self.state.step += 1;
        self.state.tokens += parts.iter().map(|part| part.tokens as u64).sum::<u64>();
        let grad_norm = stage.groups.clipping.map(|_| scalar(&outputs, "grad_norm"));
        let verdict = match grad_norm {
            Some(norm) => self.guard.observe(self.state.step, norm)?,
            None if loss.is_finite() => Verdict::Applied,
            None => return Err(TrainingError::Diverged { step: self.state.step, skipped: 1 }),
        };
        self.state.updates += u64::from(verdict == Verdict::Applied);
        Ok((loss, grad_norm, factor, verdict))
    }

    fn evaluate_if_due(
        &mut self,
        metrics: &mut MetricsLog,
        events: &mut EventFile,
        clock: &dyn Clock,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let (done, every) = (self.done(), self.setup.stage.evaluate_every);
        // A checkpoint is evaluated, so that the best one is known.
        let scored = every > 0 && self.checkpoint_is_due();
        let due = done == 0 || done >= self.total || is_multiple(done, every) || scored;
        let Some(measure) = self.measure.as_mut().filter(|_| due) else { return Ok(()) };
        let found = measure.run(&mut self.buffers)?;
        self.sample_peak();
        let report = EvaluationMetrics {
            step: self.state.step,
            stage: self.state.stage.clone(),
            bits_per_byte: found.bits_per_byte(),
            loss: found.loss(),
            tokens: found.tokens,
            bytes: found.bytes,
        };
        self.last_evaluation = Some((report.step, found));
        let bits = report.bits_per_byte.map(|bits| ("held_out/bits_per_byte", bits as f32));
        let scalars: Vec<_> =
            bits.into_iter().chain([("held_out/loss", report.loss as f32)]).collect();
        events.scalars(clock.unix_seconds(), report.step, &scalars)?;
        progress.evaluation(&report);
        metrics.append(&Metric::Evaluation(report))
    }

    /// Measures the peak again: samples are spread over the run, so that other work on the machine
    /// at one moment does not make the peak too low.
    fn sample_peak(&mut self) {
        self.setup.engine.sample_peak();
        let dtype = self.setup.stage.precision.dtype();
        let sampled = self.setup.engine.facts().peak_flops.get(&dtype).copied();
        self.peak_flops = sampled.map(|peak| peak.max(self.peak_flops.unwrap_or(0.0)));
    }

    fn checkpoint_is_due(&self) -> bool {
        let done = self.done();
        let regular = done > 0 && is_multiple(done, self.setup.stage.checkpoint_every);
        regular || done >= self.total
    }

    fn save(&mut self, progress: &mut dyn Progress) -> Result<()> {
        if self.saved_step == Some(self.state.step) || self.done() == 0 {
            return Ok(());
        }
        self.state.finished = self.done() >= self.total;
        self.state.guard = self.guard.memory();
        let evaluated = self.last_evaluation.filter(|(step, _)| *step == self.state.step);
        self.state.held_out_score = evaluated.map(|(_, found)| found.score());
        let moments = self.names.1.iter().map(String::as_str);
        let optimizer = download(self.setup.engine, &self.buffers, moments)?;
        let files = self.setup.objective.model_files();
        let path = self.checkpoints.save(&self.state, &self.weights()?, &optimizer, &files)?;
        self.saved_step = Some(self.state.step);
        self.checkpoints.prune(self.setup.stage.keep_checkpoints)?;
        self.sample_peak();
        progress.checkpoint(&path);
        Ok(())
    }
}

/// A clock may stand still over a step: a nanosecond keeps its rate finite, since JSON has no
/// infinity and a line without the rate would not be read back.
const MIN_SECONDS: f64 = 1e-9;

fn is_multiple(done: u64, every: u64) -> bool {
    every > 0 && done.is_multiple_of(every)
}

/// Norm that the gradients of a stage are scaled down to; infinity for none.
fn max_norm(stage: &Stage) -> f32 {
    stage.groups.clipping.map_or(f32::INFINITY, |clipping| clipping.max_norm)
}

fn scalar(outputs: &Outputs, name: &str) -> f32 {
    outputs[name].as_f32().expect("programs return f32 scalars")[0]
}

/// A data input of a program.
fn bind<'t>((name, tensor): &'t (&'static str, Tensor)) -> (&'static str, &'t Tensor) {
    (name, tensor)
}

/// Programs of a step, and its floating-point operations.
fn compile(setup: &Setup<'_>, trained: &[Parameter]) -> Result<(Step, u64)> {
    let Setup { engine, objective, stage, .. } = *setup;
    let options = CompileOptions::from(setup.placement);
    let flops = |program: &Program| program_cost(program).flops;
    let forward = objective.forward()?;
    if stage.accumulation == 1 {
        let program = forward.training_program(&stage.groups, stage.recompute.into())?;
        return Ok((Step::Fused(engine.compile(&program, &options)?), flops(&program)));
    }
    let part = forward.accumulation_program(stage.recompute.into())?;
    let whole = update_program(trained, &stage.groups)?;
    let total = flops(&part) * stage.accumulation as u64 + flops(&whole);
    let (accumulate, update) =
        (engine.compile(&part, &options)?, engine.compile(&whole, &options)?);
    Ok((Step::Accumulated { accumulate, update }, total))
}

/// The tensors of these names and types, and no others.
fn exactly(
    types: impl IntoIterator<Item = (String, TensorType)>,
    mut found: Weights,
) -> Result<Weights> {
    let mut tensors = Weights::new();
    for (name, ty) in types {
        let Some(tensor) = found.remove(&name) else {
            return Err(ModelError::MissingTensors(vec![name]).into());
        };
        if tensor.ty() != ty {
            let found = tensor.ty();
            return Err(ModelError::TensorShape { name, expected: ty, found }.into());
        }
        tensors.insert(name, tensor);
    }
    if found.is_empty() {
        return Ok(tensors);
    }
    Err(ModelError::UnknownTensors(found.into_keys().collect()).into())
}

fn lock(directory: &Path) -> Result<File> {
    std::fs::create_dir_all(directory).map_err(io("creating", directory))?;
    let path = directory.join(".lock");
    let file = File::create(&path).map_err(io("creating", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(TrainingError::InUse(directory.to_owned())),
        // File systems without locks cannot protect a run, which is no reason not to run it.
        Err(std::fs::TryLockError::Error(_)) => Ok(file),
    }
}

fn record_step(events: &mut EventFile, unix_seconds: f64, metrics: &StepMetrics) -> Result<()> {
    let mut scalars = vec![
        ("train/loss", metrics.loss.unwrap_or(f32::NAN)),
        ("train/lr", metrics.lr),
        ("train/tokens_per_second", metrics.tokens_per_second as f32),
    ];
    scalars.extend(metrics.grad_norm.map(|norm| ("train/grad_norm", norm)));
    scalars.extend(metrics.mfu.map(|mfu| ("train/mfu", mfu as f32)));
    events.scalars(unix_seconds, metrics.step, &scalars)
}
