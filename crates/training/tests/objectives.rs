//! The trainer on objectives that are no language model of this house: adapters on a frozen base,
//! and pictures without a causal order. Both are killed and resumed to the same bits.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use stoa_graph::reference::{ReferenceEngine, Rounding};
use stoa_graph::{
    AttentionSpec, Buffers, Builder, Engine, Executable, Nonlinearity, Placement, Tensor,
    TensorType, ValueId,
};
use stoa_models::{Forward, Parameter, ParameterGroup, Weights, from_safetensors};
use stoa_random::Stream;
use stoa_training::*;

/// f32 between ops, as any engine has it: what is downloaded is all there is.
const ENGINE: ReferenceEngine = ReferenceEngine::new(Rounding::Declared);

const SEED: u64 = 5;
const STEPS: u64 = 20;

/// Settings of a stage: the optimizer and its rate, when to evaluate and save.
fn stage(rate: f32, extra: &str) -> Stage {
    let text = format!(
        "[model]\ndepth = 1\n[pretrain]\noptimizer = \"adamw\"\nlearning_rate_scale = {rate:?}\n\
         checkpoint_every = 3\nkeep_checkpoints = 100\nevaluate_every = 5\n\
         schedule = {{ warmup_steps = 2, decay_fraction = 0.5 }}\n{extra}"
    );
    RunFile::parse(&text, Path::new("run.toml"))
        .unwrap()
        .resolve(300)
        .unwrap()
        .stages
        .remove(0)
        .settings
}

/// A number from 0 to 1 that depends on its name and place only.
fn unit(name: &str, index: usize) -> f32 {
    Stream::new(SEED, name).unit(index as u64) as f32
}

fn drawn(name: &str, shape: &[usize], scale: f32) -> Tensor {
    let values = (0..shape.iter().product()).map(|i| scale * (2.0 * unit(name, i) - 1.0));
    Tensor::f32(shape.to_vec(), values.collect()).unwrap()
}

fn parameter(name: &str, shape: &[usize], group: ParameterGroup) -> Parameter {
    Parameter { name: name.to_owned(), shape: shape.to_vec(), group }
}

fn declare(builder: &mut Builder, trained: &[Parameter]) -> BTreeMap<String, ValueId> {
    let state = |p: &Parameter| {
        let ty = TensorType::f32(p.shape.clone());
        (p.name.clone(), builder.state(&p.name, ty).unwrap())
    };
    trained.iter().map(state).collect()
}

fn identity(of: &str) -> Identity {
    Identity { seed: SEED, settings: of.to_owned(), data: "drawn".to_owned() }
}

/// Batches drawn by step.
struct Drawn<F>(F);

impl<F: Fn(u64) -> Vec<Part>> StageData for Drawn<F> {
    fn steps(&self) -> u64 {
        STEPS
    }

    fn step(&self, step: u64) -> Result<Vec<Part>, TrainingError> {
        Ok((self.0)(step))
    }
}

/// Low-rank adapters (arXiv 2106.09685) on queries and values of one attention over a frozen
/// language model: y = x·Wᵀ + (x·Aᵀ)·Bᵀ, where A and B alone are trained.
struct Adapters {
    parts: usize,
}

impl Adapters {
    const VOCAB: usize = 11;
    const WIDTH: usize = 8;
    const RANK: usize = 2;
    const ROWS: usize = 2;
    const TIME: usize = 6;
    const BASE: [&str; 6] = ["embedding", "query", "key", "value", "output", "head"];

    fn shape(name: &str) -> [usize; 2] {
        let outer = if matches!(name, "embedding" | "head") { Self::VOCAB } else { Self::WIDTH };
        [outer, Self::WIDTH]
    }

    /// Each token follows from the one before it.
    fn part(place: usize) -> Part {
        let n = Self::ROWS * Self::TIME;
        let first = |row: usize| (unit("first", place * Self::ROWS + row) * 11.0) as usize;
        let token =
            |i: usize| ((first(i / Self::TIME) + 3 * (i % Self::TIME)) % Self::VOCAB) as i32;
        let target = |i: usize| ((token(i) as usize + 3) % Self::VOCAB) as i32;
        let tensors = vec![
            ("tokens", Tensor::i32([n], (0..n).map(token).collect()).unwrap()),
            ("targets", Tensor::i32([n], (0..n).map(target).collect()).unwrap()),
            ("weights", Tensor::f32([n], vec![1.0 / n as f32; n]).unwrap()),
        ];
        Part { tensors, tokens: n }
    }
}

impl Objective for Adapters {
    fn stage(&self) -> &str {
        "adapters"
    }

    fn identity(&self) -> Result<Identity, TrainingError> {
        Ok(identity("adapters"))
    }

    fn trained(&self) -> Vec<Parameter> {
        let (width, rank) = (Self::WIDTH, Self::RANK);
        ["query", "value"]
            .into_iter()
            .flat_map(|name| {
                [
                    parameter(
                        &format!("{name}.a"),
                        &[rank, width],
                        ParameterGroup::InputProjection,
                    ),
                    parameter(
                        &format!("{name}.b"),
                        &[width, rank],
                        ParameterGroup::OutputProjection,
                    ),
                ]
            })
            .collect()
    }

    fn frozen(&self) -> Result<Weights, TrainingError> {
        let draw = |name: &str| (name.to_owned(), drawn(name, &Self::shape(name), 0.6));
        Ok(Self::BASE.into_iter().map(draw).collect())
    }

    fn start(&self) -> Result<Start, TrainingError> {
        // B begins at zero, so the model begins as its base.
        let value = |p: Parameter| {
            let scale = if p.name.ends_with(".a") { 0.6 } else { 0.0 };
            (p.name.clone(), drawn(&p.name, &p.shape, scale))
        };
        Ok(Start { weights: self.trained().into_iter().map(value).collect(), first_step: 0 })
    }

    fn forward(&self) -> Result<Forward, TrainingError> {
        let (n, mut b) = (Self::ROWS * Self::TIME, Builder::new());
        let mut base = BTreeMap::new();
        for name in Self::BASE {
            base.insert(name, b.state(name, TensorType::f32(Self::shape(name))).unwrap());
        }
        let trained = self.trained();
        let adapters = declare(&mut b, &trained);
        let index = |b: &mut Builder, name| {
            b.data(name, TensorType::new(stoa_graph::DType::I32, [n])).unwrap()
        };
        let (tokens, targets) = (index(&mut b, "tokens"), index(&mut b, "targets"));
        let weights = b.data("weights", TensorType::f32([n])).unwrap();
        let x = b.gather(base["embedding"], tokens).unwrap();
        let adapted = |b: &mut Builder, name: &str| {
            let plain = b.linear(x, base[name]).unwrap();
            let inner = b.linear(x, adapters[&format!("{name}.a")]).unwrap();
            let more = b.linear(inner, adapters[&format!("{name}.b")]).unwrap();
            b.add(plain, more).unwrap()
        };
        let (q, v) = (adapted(&mut b, "query"), adapted(&mut b, "value"));
        let k = b.linear(x, base["key"]).unwrap();
        let read = b.attention(q, k, v, None, attention(Self::ROWS, true)).unwrap().0;
        let read = b.linear(read, base["output"]).unwrap();
        let x = b.add(x, read).unwrap();
        let loss = b.cross_entropy(x, base["head"], targets, weights, None).unwrap().0;
        let trained = trained.into_iter().map(|p| {
            let value = adapters[&p.name];
            (p, value)
        });
        Ok(Forward { trained: trained.collect(), builder: b, loss })
    }

    fn data(&self) -> Result<Box<dyn StageData + '_>, TrainingError> {
        let part = |step: u64, i: usize| Self::part(step as usize * self.parts + i);
        Ok(Box::new(Drawn(move |step| (0..self.parts).map(|i| part(step, i)).collect())))
    }

    fn measure(
        &self,
        _: &dyn Engine,
        _: &Placement,
    ) -> Result<Option<Box<dyn Measure + '_>>, TrainingError> {
        Ok(None)
    }

    fn model_files(&self) -> Vec<(String, Vec<u8>)> {
        vec![("adapter_config.json".to_owned(), b"{\"r\": 2}".to_vec())]
    }
}

fn attention(batch: usize, causal: bool) -> AttentionSpec {
    let (heads, head_dim) = (2, 4);
    AttentionSpec {
        batch,
        heads,
        kv_heads: heads,
        head_dim,
        causal,
        window: None,
        scale: 0.5,
        score_cap: None,
    }
}

/// Pictures of 4 × 4 patches, repaired from noisy ones by two blocks in which every patch sees
/// every other.
struct Pictures;

impl Pictures {
    const BATCH: usize = 2;
    const PATCHES: usize = 16;
    const PATCH: usize = 4;
    const WIDTH: usize = 8;
    const LAYERS: usize = 2;

    /// A ramp in a drawn direction, and the same with noise on it.
    fn part(place: usize) -> Part {
        let n = Self::BATCH * Self::PATCHES;
        let clean = |i: usize| {
            let (row, patch) = (i / Self::PATCH, i / Self::PATCH % Self::PATCHES);
            let picture = place * Self::BATCH + row / Self::PATCHES;
            let (x, y) = ((patch % 4) as f32, (patch / 4) as f32);
            (x * unit("x", picture) + y * unit("y", picture)) / 6.0
        };
        let noise = |i: usize| unit("noise", place * n * Self::PATCH + i) - 0.5;
        let values = 0..n * Self::PATCH;
        let shape = [n, Self::PATCH];
        let noisy = values.clone().map(|i| clean(i) + noise(i)).collect();
        let tensors = vec![
            ("noisy", Tensor::f32(shape, noisy).unwrap()),
            ("clean", Tensor::f32(shape, values.map(clean).collect()).unwrap()),
            ("patches", {
                let places = (0..n).map(|i| (i % Self::PATCHES) as i32);
                Tensor::i32([n], places.collect()).unwrap()
            }),
            ("weights", Tensor::f32([n], vec![1.0 / n as f32; n]).unwrap()),
        ];
        Part { tensors, tokens: n }
    }
}

impl Objective for Pictures {
    fn stage(&self) -> &str {
        "pictures"
    }

    fn identity(&self) -> Result<Identity, TrainingError> {
        Ok(identity("pictures"))
    }

    fn trained(&self) -> Vec<Parameter> {
        let (width, patch) = (Self::WIDTH, Self::PATCH);
        let mut list = vec![
            parameter("in", &[width, patch], ParameterGroup::InputProjection),
            parameter("places", &[Self::PATCHES, width], ParameterGroup::Embedding),
        ];
        for layer in 0..Self::LAYERS {
            let mut add = |part: &str, shape: [usize; 2], group| {
                list.push(parameter(&format!("{layer}.{part}"), &shape, group));
            };
            for part in ["query", "key", "value", "up"] {
                add(part, [width, width], ParameterGroup::InputProjection);
            }
            for part in ["output", "down"] {
                add(part, [width, width], ParameterGroup::OutputProjection);
            }
        }
        list.push(parameter("out", &[patch, width], ParameterGroup::Head));
        list
    }

    fn start(&self) -> Result<Start, TrainingError> {
        let value = |p: Parameter| (p.name.clone(), drawn(&p.name, &p.shape, 0.5));
        Ok(Start { weights: self.trained().into_iter().map(value).collect(), first_step: 0 })
    }

    fn forward(&self) -> Result<Forward, TrainingError> {
        let (n, mut b) = (Self::BATCH * Self::PATCHES, Builder::new());
        let trained = self.trained();
        let w = declare(&mut b, &trained);
        let noisy = b.data("noisy", TensorType::f32([n, Self::PATCH])).unwrap();
        let clean = b.data("clean", TensorType::f32([n, Self::PATCH])).unwrap();
        let places = b.data("patches", TensorType::new(stoa_graph::DType::I32, [n])).unwrap();
        let weights = b.data("weights", TensorType::f32([n])).unwrap();
        let (x, place) = (b.linear(noisy, w["in"]), b.gather(w["places"], places));
        let mut x = b.add(x.unwrap(), place.unwrap()).unwrap();
        for layer in 0..Self::LAYERS {
            let of = |part: &str| w[&format!("{layer}.{part}")];
            let normed = b.rms_norm(x, None, 1e-6).unwrap();
            let to = |b: &mut Builder, part: &str| b.linear(normed, of(part)).unwrap();
            let (q, k, v) = (to(&mut b, "query"), to(&mut b, "key"), to(&mut b, "value"));
            let read = b.attention(q, k, v, None, attention(Self::BATCH, false)).unwrap().0;
            let read = b.linear(read, of("output")).unwrap();
            x = b.add(x, read).unwrap();
            let normed = b.rms_norm(x, None, 1e-6).unwrap();
            let up = b.linear(normed, of("up")).unwrap();
            let inner = b.activation(up, Nonlinearity::Silu).unwrap();
            let down = b.linear(inner, of("down")).unwrap();
            x = b.add(x, down).unwrap();
        }
        let repaired = b.linear(x, w["out"]).unwrap();
        let loss = b.mean_squared_error(repaired, clean, weights).unwrap();
        let trained = trained.into_iter().map(|p| {
            let value = w[&p.name];
            (p, value)
        });
        Ok(Forward { trained: trained.collect(), builder: b, loss })
    }

    fn data(&self) -> Result<Box<dyn StageData + '_>, TrainingError> {
        Ok(Box::new(Drawn(|step| vec![Self::part(step as usize)])))
    }

    fn measure(
        &self,
        engine: &dyn Engine,
        placement: &Placement,
    ) -> Result<Option<Box<dyn Measure + '_>>, TrainingError> {
        let Forward { mut builder, loss, .. } = self.forward()?;
        builder.returns("loss", loss).unwrap();
        Ok(Some(Box::new(SquaredError(engine.compile(&builder.finish(), &placement.into())?))))
    }

    fn model_files(&self) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }
}

/// The mean squared error of pictures that no step sees.
struct SquaredError(Box<dyn Executable>);

impl Measure for SquaredError {
    fn run(&mut self, state: &mut Buffers) -> Result<Evaluation, TrainingError> {
        let part = Pictures::part(1000);
        let data: Vec<_> = part.tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let outputs = self.0.run(state, &data)?.outputs()?;
        let values = (part.tokens * Pictures::PATCH) as u64;
        let loss = f64::from(outputs["loss"].as_f32().unwrap()[0]);
        Ok(Evaluation { loss_sum: loss * values as f64, tokens: values, bytes: 0 })
    }
}

struct Still;

impl Clock for Still {
    fn seconds(&self) -> f64 {
        0.0
    }

    fn unix_seconds(&self) -> f64 {
        1.7e9
    }
}

/// Dies after some steps in place of SIGKILL: nothing of the trainer runs after it.
#[derive(Default)]
struct Listener {
    steps: u64,
    kill: Option<u64>,
    losses: Vec<f32>,
    scores: Vec<f64>,
}

impl Progress for Listener {
    fn step(&mut self, metrics: &StepMetrics) {
        self.steps += 1;
        self.losses.extend(metrics.loss);
        if self.kill == Some(self.steps) {
            resume_unwind(Box::new("killed"));
        }
    }

    fn evaluation(&mut self, metrics: &EvaluationMetrics) {
        assert_eq!(metrics.bits_per_byte, None, "no text is measured");
        self.scores.push(metrics.loss);
    }
}

fn train(
    objective: &dyn Objective,
    stage: &Stage,
    directory: &Path,
    kill: Option<u64>,
) -> Listener {
    let mut listener = Listener { kill, ..Listener::default() };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let placement = Placement::default();
        let changed_settings = false;
        let setup = Setup {
            engine: &ENGINE,
            placement: &placement,
            directory,
            objective,
            stage,
            changed_settings,
        };
        let mut trainer = Trainer::resume_or_start(setup, &mut listener).unwrap();
        trainer.run(&AtomicBool::new(false), &Still, &mut listener).unwrap()
    }));
    assert_eq!(ended.is_err(), kill.is_some(), "killed when asked to");
    listener
}

/// Every file of the last checkpoint, by name.
fn last(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let path = Checkpoints::of_run(directory).path(STEPS);
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// Trains at once and with kills; gives the directory's last checkpoint.
fn killed_and_resumed(
    objective: &dyn Objective,
    stage: &Stage,
) -> (Listener, BTreeMap<String, Vec<u8>>) {
    let whole = tempfile::tempdir().unwrap();
    let listener = train(objective, stage, whole.path(), None);
    let expected = last(whole.path());
    let curve = |directory: &Path| {
        let metrics = read_metrics(directory).unwrap();
        metrics.iter().filter(|metric| matches!(metric, Metric::Step(_))).count() as u64
    };
    assert_eq!(curve(whole.path()), STEPS, "also where the clock stands still");
    for kills in [vec![1], vec![4], vec![9, 2], vec![19]] {
        let broken = tempfile::tempdir().unwrap();
        for &kill in &kills {
            train(objective, stage, broken.path(), Some(kill));
        }
        train(objective, stage, broken.path(), None);
        assert!(last(broken.path()) == expected, "after {kills:?}");
        assert_eq!(curve(broken.path()), STEPS, "after {kills:?}");
    }
    (listener, expected)
}

fn names(files: &BTreeMap<String, Vec<u8>>, file: &str) -> Vec<String> {
    from_safetensors(&files[file]).unwrap().into_keys().collect()
}

#[test]
fn adapters_alone_are_trained_and_saved() {
    for (parts, extra) in [(1, ""), (2, "accumulation = 2\n")] {
        let (listener, files) = killed_and_resumed(&Adapters { parts }, &stage(300.0, extra));
        let adapters = ["query.a", "query.b", "value.a", "value.b"];
        assert_eq!(names(&files, "model.safetensors"), adapters);
        let moments = adapters.map(|name| [format!("{name}.adamw_m"), format!("{name}.adamw_v")]);
        assert_eq!(names(&files, "optimizer.safetensors"), moments.concat());
        assert_eq!(files["adapter_config.json"], b"{\"r\": 2}");
        let state = String::from_utf8(files["state.json"].clone()).unwrap();
        assert!(state.contains("\"stage\": \"adapters\""), "{state}");
        // Batches of a dozen tokens: means of five steps, to see past their noise.
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        let (first, last) = (mean(&listener.losses[..5]), mean(&listener.losses[15..]));
        assert!(last < 0.9 * first, "{:?}", listener.losses);
    }
}

#[test]
fn pictures_are_trained_without_order_on_squared_errors() {
    let (listener, files) = killed_and_resumed(&Pictures, &stage(10.0, ""));
    assert_eq!(names(&files, "model.safetensors").len(), Pictures.trained().len());
    let (first, last) = (listener.scores[0], *listener.scores.last().unwrap());
    assert!(last < 0.5 * first, "{:?}", listener.scores);
}
