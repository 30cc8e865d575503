//! Programs of whole models against each other on the reference engine: training lowers the loss,
//! parts add up to the whole batch, cached decoding agrees with evaluation.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use stoa_graph::reference::{ReferenceEngine, Rounding};
use stoa_graph::{Buffers, DType, Engine, Executable, Outputs, Recompute, Tensor};
use stoa_models::*;

/// f32 between ops, as any engine has it.
const ENGINE: ReferenceEngine = ReferenceEngine::new(Rounding::Declared);

fn small() -> LanguageConfig {
    LanguageConfig {
        vocab: 23,
        hidden: 16,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        mlp: Mlp::swiglu(24),
        max_time: 32,
        ..LanguageConfig::from_depth(1, 23)
    }
}

fn variants() -> Vec<LanguageConfig> {
    let base = small();
    vec![
        LanguageConfig { tied_head: true, qk_norm: QkNorm::None, ..base.clone() },
        LanguageConfig {
            mlp: Mlp::relu_squared(20),
            norm_weights: false,
            logit_softcap: Some(3.0),
            sliding_window: Some(SlidingWindow { window: 3, layers: vec![0] }),
            ..base.clone()
        },
        base,
    ]
}

/// Initial weights with the zero output projections replaced, so that every path is alive.
fn alive(config: &LanguageConfig, seed: u64) -> Weights {
    let mut weights = initialize(config, seed);
    for (name, tensor) in &mut weights {
        let values: Vec<f32> = (0..tensor.ty().elements() as u64)
            .map(|i| {
                (stoa_random::Stream::new(seed, name).bits(i) >> 40) as f32 / (1u64 << 24) as f32
                    - 0.5
            })
            .collect();
        let is_norm = tensor.shape().len() == 1;
        let values = values.iter().map(|x| if is_norm { 1.0 + 0.2 * x } else { 0.8 * x }).collect();
        *tensor = Tensor::f32(tensor.shape(), values).unwrap();
    }
    weights
}

/// Two rows of documents with restarting positions, made of a fixed pattern.
struct Batch(BTreeMap<&'static str, Tensor>);

impl Batch {
    fn new(config: &LanguageConfig, shape: TrainingShape, salt: usize) -> Self {
        let n = shape.tokens();
        let token = |i: usize| ((i * i + 3 * i + salt) % config.vocab) as i32;
        // Documents of 5 tokens; the last of each row is cut.
        let within = |i: usize| (i % shape.time) % 5;
        let ints = |f: &dyn Fn(usize) -> i32| Tensor::i32([n], (0..n).map(f).collect()).unwrap();
        let mut data = BTreeMap::new();
        data.insert("tokens", ints(&token));
        data.insert("targets", ints(&|i| if within(i) == 4 { -1 } else { token(i + 1) }));
        data.insert("positions", ints(&|i| within(i) as i32));
        if shape.segmented {
            data.insert("segments", ints(&|i| ((i % shape.time) / 5) as i32));
        }
        data.insert("weights", Tensor::f32([n], vec![1.0 / n as f32; n]).unwrap());
        Batch(data)
    }

    fn with(&self, scalars: &[(&'static str, f32)]) -> BTreeMap<&'static str, Tensor> {
        let mut data = self.0.clone();
        data.extend(scalars.iter().map(|&(name, x)| (name, Tensor::scalar(x))));
        data
    }
}

fn run(
    executable: &mut Box<dyn Executable>,
    state: &mut Buffers,
    data: &BTreeMap<&'static str, Tensor>,
) -> Outputs {
    let wanted: Vec<(&str, &Tensor)> = executable
        .program()
        .inputs()
        .iter()
        .filter_map(|i| data.get_key_value(i.name.as_str()).map(|(k, v)| (*k, v)))
        .collect();
    executable.run(state, &wanted).unwrap().outputs().unwrap()
}

fn scalar(outputs: &Outputs, name: &str) -> f32 {
    outputs[name].as_f32().unwrap()[0]
}

fn fresh_state(config: &LanguageConfig, optimizer: &OptimizerConfig) -> Buffers {
    let mut state = Buffers::new();
    upload(&ENGINE, alive(config, 5), &mut state).unwrap();
    for (name, ty) in optimizer_state(&parameters(config), optimizer) {
        state.insert(name, ENGINE.upload(&Tensor::zeros(&ty)).unwrap());
    }
    for parameter in parameters(config) {
        let zero = Tensor::zeros(&parameter.ty(DType::F32));
        state.insert(gradient_name(&parameter.name), ENGINE.upload(&zero).unwrap());
    }
    state
}

const STEP: [(&str, f32); 4] =
    [("lr", 1.0), ("step", 1.0), ("momentum", 0.85), ("limit", f32::INFINITY)];

fn weights_of(config: &LanguageConfig, state: &Buffers) -> Weights {
    let names: Vec<String> = parameters(config).into_iter().map(|p| p.name).collect();
    download(&ENGINE, state, names.iter().map(String::as_str)).unwrap()
}

#[test]
fn training_lowers_the_loss_of_every_variant() {
    let shape = TrainingShape { batch: 2, time: 8, segmented: true };
    for config in variants() {
        for optimizer in [OptimizerConfig::muon(&config), OptimizerConfig::adamw(0.01)] {
            let recompute = Recompute::Cheap;
            let program = training_program(&config, &optimizer, shape, recompute).unwrap();
            let mut executable = ENGINE.compile(&program, &Default::default()).unwrap();
            let mut state = fresh_state(&config, &optimizer);
            let batch = Batch::new(&config, shape, 1);
            let losses: Vec<f32> = (1..=8)
                .map(|step| {
                    let scalars =
                        [("lr", 0.3), ("step", step as f32), ("momentum", 0.85), ("limit", 1e9)];
                    scalar(&run(&mut executable, &mut state, &batch.with(&scalars)), "loss")
                })
                .collect();
            assert!(losses[7] < 0.8 * losses[0], "{config:?}: {losses:?}");
        }
    }
}

#[test]
fn early_updates_do_the_same_as_late_ones() {
    let shape = TrainingShape { batch: 1, time: 8, segmented: false };
    let config = small();
    let clipped = OptimizerConfig {
        clipping: Some(Clipping { max_norm: f32::INFINITY }),
        ..OptimizerConfig::muon(&config)
    };
    let unclipped = OptimizerConfig { clipping: None, ..clipped };
    let after = |optimizer: &OptimizerConfig| {
        let program = training_program(&config, optimizer, shape, Recompute::Nothing).unwrap();
        let mut state = fresh_state(&config, optimizer);
        let batch = Batch::new(&config, shape, 2).with(&STEP);
        run(&mut ENGINE.compile(&program, &Default::default()).unwrap(), &mut state, &batch);
        weights_of(&config, &state)
    };
    assert_eq!(after(&clipped), after(&unclipped));
}

#[test]
fn parts_add_up_to_the_whole_batch() {
    let config = small();
    let optimizer = OptimizerConfig::adamw(0.01);
    let whole = TrainingShape { batch: 4, time: 6, segmented: true };
    let part = TrainingShape { batch: 2, ..whole };
    let batch = Batch::new(&config, whole, 3);

    let program = training_program(&config, &optimizer, whole, Recompute::Cheap).unwrap();
    let mut at_once = fresh_state(&config, &optimizer);
    let outputs = run(
        &mut ENGINE.compile(&program, &Default::default()).unwrap(),
        &mut at_once,
        &batch.with(&STEP),
    );

    let program = Forward::language(&config, part, Precision::F32)
        .unwrap()
        .accumulation_program(Recompute::Cheap)
        .unwrap();
    let mut accumulate = ENGINE.compile(&program, &Default::default()).unwrap();
    let program = update_program(&parameters(&config), &optimizer).unwrap();
    let mut update = ENGINE.compile(&program, &Default::default()).unwrap();
    let mut in_parts = fresh_state(&config, &optimizer);
    let mut loss = 0.0;
    for rows in 0..2 {
        let half = |tensor: &Tensor| {
            let ty = tensor.ty();
            let range = rows * part.tokens()..(rows + 1) * part.tokens();
            let part_ty = stoa_graph::TensorType::new(ty.dtype, [part.tokens()]);
            Tensor::from_f64(&part_ty, &tensor.to_f64()[range]).unwrap()
        };
        let data = batch.0.iter().map(|(name, tensor)| (*name, half(tensor))).collect();
        loss += scalar(&run(&mut accumulate, &mut in_parts, &data), "loss");
    }
    let scalars = STEP.iter().map(|&(name, x)| (name, Tensor::scalar(x))).collect();
    let updated = run(&mut update, &mut in_parts, &scalars);

    // f32 rounding of sums in another order.
    assert!((loss - scalar(&outputs, "loss")).abs() < 1e-5);
    assert!((scalar(&updated, "grad_norm") / scalar(&outputs, "grad_norm") - 1.0).abs() < 1e-5);
    for (name, expected) in weights_of(&config, &at_once) {
        let found = &weights_of(&config, &in_parts)[&name];
        for (a, b) in expected.to_f64().iter().zip(found.to_f64()) {
            // AdamW's first step is lr·sign(g) and so magnifies rounding where g is near zero.
            assert!((a - b).abs() < 1e-4, "{name}: {a} against {b}");
        }
    }
    let sum = gradient_name("model.norm.weight");
    let left = download(&ENGINE, &in_parts, [sum.as_str()]).unwrap();
    assert!(left[&sum].to_f64().iter().all(|&g| g == 0.0), "gradients are cleared");
}

/// Rounding the operands of products moves a sum of k terms by about 2⁻⁹/√k of its size: the loss
/// stays within a hundredth, and every gradient points where it did. Gradients and weights are f32.
#[test]
fn products_of_bf16_keep_loss_and_direction() {
    let shape = TrainingShape { batch: 2, time: 8, segmented: true };
    for config in variants() {
        let results = [Precision::F32, Precision::Bf16].map(|precision| {
            let program = Forward::language(&config, shape, precision)
                .unwrap()
                .accumulation_program(Recompute::Cheap)
                .unwrap();
            let mut state = fresh_state(&config, &OptimizerConfig::adamw(0.01));
            let mut executable = ENGINE.compile(&program, &Default::default()).unwrap();
            let batch = Batch::new(&config, shape, 4);
            let loss = scalar(&run(&mut executable, &mut state, &batch.with(&[])), "loss");
            let names: Vec<String> =
                parameters(&config).iter().map(|p| gradient_name(&p.name)).collect();
            let names = names.iter().map(String::as_str);
            (loss, download(&ENGINE, &state, names).unwrap())
        });
        let [(loss, expected), (rounded_loss, found)] = results;
        assert_ne!(loss, rounded_loss, "bf16 rounds");
        assert!((rounded_loss / loss - 1.0).abs() < 0.01, "{loss} against {rounded_loss}");
        for (name, gradient) in expected {
            assert_eq!(found[&name].ty(), gradient.ty(), "{name}");
            let (a, b) = (gradient.to_f64(), found[&name].to_f64());
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
            assert!(cosine > 0.999, "{name}: cosine {cosine}");
        }
    }
}

#[test]
fn a_step_above_the_limit_changes_nothing() {
    let shape = TrainingShape { batch: 1, time: 5, segmented: false };
    let config = small();
    let optimizer = OptimizerConfig::muon(&config);
    let program = training_program(&config, &optimizer, shape, Recompute::Cheap).unwrap();
    let mut state = fresh_state(&config, &optimizer);
    let batch = Batch::new(&config, shape, 2);
    let mut scalars = STEP;
    scalars[3].1 = 1e-6;
    let mut executable = ENGINE.compile(&program, &Default::default()).unwrap();
    let outputs = run(&mut executable, &mut state, &batch.with(&scalars));
    assert!(scalar(&outputs, "grad_norm") > 1e-6);
    assert_eq!(weights_of(&config, &state), alive(&config, 5));
}

/// Logits of a sequence through caches, `chunk` tokens at a time, in pages 4, 1 and 2 of 5.
fn decoded(config: &LanguageConfig, tokens: &[i32], chunk: usize, caches: DType) -> Vec<f64> {
    let spec = DecodingSpec {
        tokens: chunk,
        rows: chunk,
        pages: 5,
        page: 4,
        columns: 3,
        weights: DType::F32,
        caches,
    };
    let program = decoding_program(config, &spec).unwrap();
    let mut executable = ENGINE.compile(&program, &Default::default()).unwrap();
    let mut state = Buffers::new();
    upload(&ENGINE, alive(config, 5), &mut state).unwrap();
    for (name, ty) in cache_types(config, &spec) {
        state.insert(name, ENGINE.upload(&Tensor::zeros(&ty)).unwrap());
    }
    let mut logits = Vec::new();
    for start in (0..tokens.len()).step_by(chunk) {
        let given = (tokens.len() - start).min(chunk);
        let at = |f: &dyn Fn(usize) -> i32, padding: i32| {
            let values = (0..chunk).map(|i| if i < given { f(start + i) } else { padding });
            Tensor::i32([chunk], values.collect()).unwrap()
        };
        let rows = Tensor::i32([chunk], (0..chunk as i32).collect()).unwrap();
        let data = BTreeMap::from([
            ("tokens", at(&|i| tokens[i], 0)),
            ("table", Tensor::i32([chunk, 3], [4, 1, 2].repeat(chunk)).unwrap()),
            ("sequences", at(&|_| 0, -1)),
            ("positions", at(&|i| i as i32, 0)),
            ("rows", rows),
        ]);
        let outputs = run(&mut executable, &mut state, &data);
        logits.extend(&outputs["logits"].to_f64()[..given * config.vocab]);
    }
    logits
}

#[test]
fn cached_decoding_agrees_with_evaluation() {
    let tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    for config in variants() {
        let n = tokens.len();
        let shape = TrainingShape { batch: 1, time: n, segmented: false };
        let program = evaluation_program(&config, shape).unwrap();
        let mut state = Buffers::new();
        upload(&ENGINE, alive(&config, 5), &mut state).unwrap();
        let mut targets = tokens[1..].to_vec();
        targets.push(-1);
        let data = BTreeMap::from([
            ("tokens", Tensor::i32([n], tokens.to_vec()).unwrap()),
            ("targets", Tensor::i32([n], targets.clone()).unwrap()),
            ("positions", Tensor::i32([n], (0..n as i32).collect()).unwrap()),
        ]);
        let outputs =
            run(&mut ENGINE.compile(&program, &Default::default()).unwrap(), &mut state, &data);
        let nll = outputs["nll"].to_f64();
        assert_eq!(nll[n - 1], 0.0, "an ignored target costs nothing");
        let whole = decoded(&config, &tokens, n, DType::F32);
        for (i, row) in whole.chunks(config.vocab).take(n - 1).enumerate() {
            let total: f64 = row.iter().map(|x| x.exp()).sum();
            let expected = total.ln() - row[targets[i] as usize];
            // Both engines' runs round every value to f32.
            assert!((nll[i] - expected).abs() < 1e-5, "{} against {expected}", nll[i]);
        }
        for chunk in [1, 3] {
            let parts = decoded(&config, &tokens, chunk, DType::F32);
            let far = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-5, "chunks of {chunk}: {far}");
        }
        // bf16 keeps 8 bits of each cached value.
        let rounded = decoded(&config, &tokens, 4, DType::BF16);
        let far = whole.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far > 0.0 && far < 0.2, "bf16 caches: {far}");
    }
}
