//! Every family that is read, against `transformers` (xtask/oracle/models/golden_families.py): logits,
//! greedy answers, twenty training steps, decoding in pieces, and files written here.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stoa_graph::reference::{ReferenceEngine, Rounding};
use stoa_graph::{Buffers, DType, Engine, Recompute, Tensor};
use stoa_models::*;
use stoa_native::{NativeEngine, NativeOptions};

#[derive(serde::Deserialize)]
struct Expected {
    tensors: BTreeMap<String, Vec<usize>>,
    ids: Vec<Vec<i32>>,
    rows: usize,
    logits: Vec<Vec<f64>>,
    greedy: Vec<i32>,
    gaps: Vec<f64>,
    losses: Vec<f64>,
}

/// Tokens before the greedy answer.
const PROMPT: usize = 12;

/// Tokens that fit the caches here.
const CONTEXT: usize = 96;

struct Case {
    name: String,
    config: LanguageConfig,
    weights: Weights,
    expected: Expected,
}

fn engine() -> NativeEngine {
    NativeEngine::new(NativeOptions { threads: Some(1), ..NativeOptions::default() }).unwrap()
}

/// `draw` of the script: SplitMix64 of FNV-1a of the name plus multiples of the golden ratio.
fn drawn(name: &str, shape: &[usize]) -> Tensor {
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |key, byte| {
        (key ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    let value = |index: usize| {
        let mut z = key.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24);
        (match shape.len() {
            _ if name.ends_with(".bias") => 0.5 * (unit - 0.5),
            1 => 0.75 + 0.5 * unit,
            _ => 0.75 * (unit - 0.5),
        }) as f32
    };
    let elements = shape.iter().product();
    Tensor::f32(shape, (0..elements).map(value).collect()).unwrap()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families")
}

/// The cases, each read from a directory in which its weights are written under their published names.
fn cases() -> Vec<Case> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 32);
    let case = |path: PathBuf| {
        let text = std::fs::read_to_string(path.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_str(&text).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(path.join("config.json"), directory.path().join("config.json")).unwrap();
        let tensors: Weights = expected
            .tensors
            .iter()
            .map(|(name, shape)| (name.clone(), drawn(name, shape)))
            .collect();
        save(&directory.path().join("model.safetensors"), &tensors).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Loaded { config, weights, notes } =
            load(directory.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(notes.is_empty(), "{name}: {notes:?}");
        Case { name, config, weights, expected }
    };
    paths.into_iter().map(case).collect()
}

/// A model with caches, which reads tokens in pieces.
struct Session<'a> {
    engine: &'a dyn Engine,
    config: &'a LanguageConfig,
    state: Buffers,
}

const PAGE: usize = 8;

impl<'a> Session<'a> {
    fn new(engine: &'a dyn Engine, config: &'a LanguageConfig, weights: &Weights) -> Self {
        let mut state = Buffers::new();
        let weights = with_matrix_dtype(config, weights.clone(), DType::F32).unwrap();
        upload(engine, weights, &mut state).unwrap();
        for (name, ty) in cache_types(config, &Self::spec(1)) {
            state.insert(name, engine.upload(&Tensor::zeros(&ty)).unwrap());
        }
        Session { engine, config, state }
    }

    fn spec(tokens: usize) -> DecodingSpec {
        DecodingSpec {
            tokens,
            rows: tokens,
            pages: 2 * CONTEXT / PAGE,
            page: PAGE,
            columns: CONTEXT / PAGE,
            weights: DType::F32,
            caches: DType::F32,
        }
    }

    /// Logits of tokens, each given with its sequence and position.
    fn read(&mut self, given: &[(i32, i32, i32)]) -> Vec<Vec<f64>> {
        let n = given.len();
        let ints = |values: Vec<i32>| Tensor::i32([n], values).unwrap();
        let columns = CONTEXT / PAGE;
        let pages = (0..n * columns).map(|i| if i < 2 * columns { i as i32 } else { 0 }).collect();
        let data = [
            ("tokens", ints(given.iter().map(|g| g.0).collect())),
            ("sequences", ints(given.iter().map(|g| g.1).collect())),
            ("positions", ints(given.iter().map(|g| g.2).collect())),
            ("rows", ints((0..n as i32).collect())),
            ("table", Tensor::i32([n, columns], pages).unwrap()),
        ];
        let data: Vec<(&str, &Tensor)> = data.iter().map(|(name, t)| (*name, t)).collect();
        let program = decoding_program(self.config, &Self::spec(n)).unwrap();
        let mut executable = self.engine.compile(&program, &Default::default()).unwrap();
        let outputs = executable.run(&mut self.state, &data).unwrap().outputs().unwrap();
        outputs["logits"].to_f64().chunks(self.config.vocab).map(<[f64]>::to_vec).collect()
    }

    fn read_one(&mut self, tokens: &[i32], from: usize) -> Vec<Vec<f64>> {
        let place = |(i, &token): (usize, &i32)| (token, 0, (from + i) as i32);
        self.read(&tokens.iter().enumerate().map(place).collect::<Vec<_>>())
    }
}

fn deviation(rows: &[Vec<f64>]) -> f64 {
    let all = rows.concat();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt()
}

fn distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.concat().iter().zip(b.concat()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// How far the logits of a pass are from those of transformers, in their standard deviations.
fn logits_apart(engine: &dyn Engine, case: &Case) -> f64 {
    let Case { config, weights, expected, .. } = case;
    let logits = Session::new(engine, config, weights).read_one(&expected.ids[0], 0);
    let last = &logits[logits.len() - expected.rows..];
    distance(last, &expected.logits) / deviation(&expected.logits)
}

/// How many greedy tokens are those of transformers, one after the other, and how far its second best
/// was behind where one is not.
fn greedy_alike(engine: &dyn Engine, case: &Case) -> (usize, Option<f64>) {
    let Case { config, weights, expected, .. } = case;
    let mut session = Session::new(engine, config, weights);
    let mut logits = session.read_one(&expected.ids[0][..PROMPT], 0).pop().unwrap();
    for (i, (&token, &gap)) in expected.greedy.iter().zip(&expected.gaps).enumerate() {
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        if best as i32 != token {
            return (i, Some(gap));
        }
        logits = session.read_one(&[token], PROMPT + i).pop().unwrap();
    }
    (expected.greedy.len(), None)
}

/// How far the losses of twenty steps are from those of PyTorch.
fn losses_apart(engine: &dyn Engine, case: &Case) -> f64 {
    let adamw = AdamWConfig { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let optimizer = OptimizerConfig {
        embedding: adamw,
        head: adamw,
        norm: adamw,
        matrices: MatrixOptimizer::AdamW(adamw),
        clipping: None,
    };
    let Case { config, weights, expected, .. } = case;
    let (batch, time) = (expected.ids.len(), expected.ids[0].len());
    let n = batch * time;
    let shape = TrainingShape { batch, time, segmented: false };
    let program = training_program(config, &optimizer, shape, Recompute::Cheap).unwrap();
    let mut executable = engine.compile(&program, &Default::default()).unwrap();
    let mut state = Buffers::new();
    let weights = with_matrix_dtype(config, weights.clone(), DType::F32).unwrap();
    upload(engine, weights, &mut state).unwrap();
    for (name, ty) in optimizer_state(&parameters(config), &optimizer) {
        state.insert(name, engine.upload(&Tensor::zeros(&ty)).unwrap());
    }
    let ints = |values: Vec<i32>| Tensor::i32([n], values).unwrap();
    let next = |row: &Vec<i32>| row[1..].iter().copied().chain([-1]).collect::<Vec<_>>();
    let tokens = ints(expected.ids.concat());
    let targets = ints(expected.ids.iter().flat_map(next).collect());
    let positions = ints((0..n).map(|i| (i % time) as i32).collect());
    let mean = Tensor::f32([n], vec![1.0 / (batch * (time - 1)) as f32; n]).unwrap();
    let lr = Tensor::scalar(1.0);
    let mut far = 0.0_f64;
    for (step, loss) in expected.losses.iter().enumerate() {
        let step = Tensor::scalar(step as f32 + 1.0);
        let data = [
            ("tokens", &tokens),
            ("targets", &targets),
            ("positions", &positions),
            ("weights", &mean),
            ("lr", &lr),
            ("step", &step),
        ];
        let outputs = executable.run(&mut state, &data).unwrap().outputs().unwrap();
        far = far.max((outputs["loss"].to_f64()[0] - loss).abs());
    }
    far
}

/// What a GGUF file of f32 gives back: nothing where none is written, else how far the logits are.
fn gguf_apart(engine: &dyn Engine, case: &Case) -> Option<f64> {
    let Case { name, config, weights, expected } = case;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.gguf");
    let others = stoa_gguf::Metadata::new(&path);
    match export_gguf(&path, config, weights, GgufTypes::All(DType::F32), &others) {
        // What no file says would be lost.
        Err(ModelError::NoArchitecture { .. } | ModelError::Reopened { .. }) => return None,
        other => other.unwrap_or_else(|error| panic!("{name}: {error}")),
    };
    let read = load_gguf(&path).unwrap();
    let pass =
        |config, weights| Session::new(engine, config, weights).read_one(&expected.ids[0], 0);
    let (before, after) = (pass(config, weights), pass(&read.config, &read.weights));
    Some(distance(&before, &after) / deviation(&before))
}

/// What was measured of the variants of a family, as a row of docs/models.md.
#[derive(Default)]
struct Row {
    variants: usize,
    logits: f64,
    greedy: usize,
    losses: f64,
    gguf: usize,
}

impl Row {
    fn text(&self, family: &str) -> String {
        let Row { variants, logits, greedy, losses, gguf } = self;
        format!(
            "| `{family}` | {variants} | {logits:.0e} | {greedy} | {losses:.0e} | {gguf} of {variants} |"
        )
    }
}

/// Numbers may be other ones on another machine, by the order of its sums; all else may not.
#[track_caller]
fn same_row(measured: &str, published: &str) {
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect();
    let (a, b): (Vec<String>, Vec<String>) = (cells(measured), cells(published));
    let near = |(a, b): (&String, &String)| {
        let far = |cell: &str| cell.contains("e-").then(|| cell.parse::<f64>().ok()).flatten();
        let written = |cell: &str| cell.split_once(" of ")?.0.parse::<usize>().ok();
        match (far(a), far(b)) {
            (Some(a), Some(b)) => a <= 4.0 * b && b <= 4.0 * a,
            // No fewer variants are written as GGUF than are said to be.
            _ => a == b || written(a).zip(written(b)).is_some_and(|(a, b)| a >= b),
        }
    };
    assert!(a.len() == b.len() && a.iter().zip(&b).all(near), "{measured}\nin docs {published}");
}

#[test]
fn every_family_is_what_transformers_computes_and_docs_say_how_near() {
    let (reference, native) = (ReferenceEngine::new(Rounding::Declared), engine());
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for case in cases() {
        let name = &case.name;
        let logits = [&reference as &dyn Engine, &native].map(|e| logits_apart(e, &case));
        let logits = logits[0].max(logits[1]);
        // f32 on both sides, summed in different orders.
        assert!(logits < 1e-4, "{name}: logits {logits} of their standard deviation apart");
        let (greedy, gap) = greedy_alike(&native, &case);
        // Only where rounding may decide.
        assert!(gap.is_none_or(|gap| gap < 1e-3), "{name}: token {greedy}, {gap:?} ahead");
        let losses = losses_apart(&native, &case);
        // f32 on both sides; AdamW's first steps have the size of the rate whatever the gradient.
        assert!(losses < 1e-4, "{name}: losses {losses} apart");
        println!("{name}: logits {logits:.1e}, {greedy} greedy tokens, losses {losses:.1e}");
        let class: serde_json::Value =
            serde_json::from_str(&to_hugging_face(&case.config)).unwrap();
        let row = rows.entry(class["architectures"][0].as_str().unwrap().to_owned()).or_default();
        row.greedy = if row.variants == 0 { greedy } else { row.greedy.min(greedy) };
        row.variants += 1;
        (row.logits, row.losses) = (row.logits.max(logits), row.losses.max(losses));
        if let Some(apart) = gguf_apart(&native, &case) {
            row.gguf += 1;
            // The same numbers, but for factors that are stored as 1 + w.
            assert!(apart < 1e-5, "{name}: {apart} apart as GGUF");
        }
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/models.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    rows.iter().for_each(|(family, row)| println!("{}", row.text(family)));
    assert_eq!(rows.len(), 17);
    for (family, row) in rows {
        let start = format!("| `{family}` | {} |", row.variants);
        let published = docs.lines().find(|line| line.starts_with(&start));
        same_row(&row.text(&family), published.unwrap_or_else(|| panic!("no row {start}")));
    }
}

#[test]
fn pieces_and_neighbours_change_nothing() {
    let engine = engine();
    for Case { name, config, weights, expected } in cases() {
        let (first, second) = (&expected.ids[0], &expected.ids[1]);
        let whole = Session::new(&engine, &config, &weights).read_one(first, 0);
        let std = deviation(&whole);
        let mut session = Session::new(&engine, &config, &weights);
        let mut pieces = Vec::new();
        for (start, end) in [(0, 5), (5, 6), (6, 17), (17, first.len())] {
            pieces.extend(session.read_one(&first[start..end], start));
        }
        // The same sums, split at other places.
        assert!(distance(&pieces, &whole) < 1e-5 * std, "{name}: in pieces");
        let mut session = Session::new(&engine, &config, &weights);
        let among: Vec<Vec<f64>> = (0..first.len())
            .map(|i| session.read(&[(second[i], 1, i as i32), (first[i], 0, i as i32)])[1].clone())
            .collect();
        assert!(distance(&among, &whole) < 1e-5 * std, "{name}: among others");
    }
}

#[test]
fn files_written_here_are_those_that_were_read() {
    for Case { name, config, weights, expected } in cases() {
        let directory = tempfile::tempdir().unwrap();
        save_model(directory.path(), &config, &weights).unwrap();
        let file = std::fs::read(directory.path().join("model.safetensors")).unwrap();
        for (tensor, written) in from_safetensors(&file).unwrap() {
            // transformers 5 has another name for it in memory than in files.
            let named = if tensor == "embed_out.weight" { "lm_head.weight" } else { &tensor };
            assert_eq!(written, drawn(named, &expected.tensors[named]), "{name}: {tensor}");
        }
        let again = load(directory.path()).unwrap();
        assert_eq!((again.config, again.weights), (config.clone(), weights.clone()), "{name}");
        assert_eq!(published_family(&config), Some(config.family), "{name}");
        // transformers checks the types of its keys.
        let keys = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let theirs =
            keys(std::fs::read_to_string(golden().join(&name).join("config.json")).unwrap());
        let ours = keys(to_hugging_face(&config));
        for (key, value) in theirs.as_object().unwrap().iter().filter(|(_, v)| v.is_u64()) {
            assert!(ours.get(key).is_none_or(|own| own.is_u64()), "{name}: {key} {value} {ours}");
        }
        // A checkpoint keeps the names of the parameters.
        let text = to_hugging_face_as_named(&config);
        assert_eq!(from_hugging_face(&text).unwrap().config, config, "{name}");
        assert_eq!(model_weights(&config, weights.clone()).unwrap(), weights, "{name}");
    }
}
