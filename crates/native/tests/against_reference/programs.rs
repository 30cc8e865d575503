//! Whole programs: training steps of a small transformer, and random programs with their gradients,
//! which are there to catch values that share memory while both are needed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stoa_graph::reference::{Array, ReferenceEngine, Rounding};
use stoa_graph::{
    AdamWSpec, AttentionSpec, Builder, DType, Engine, MuonSpec, Nonlinearity, Orthogonalizer,
    Program, Recompute, RopeSpec, TensorType, ValueId, gradients,
};

use crate::draws::Draws;
use crate::harness::{assert_close, bits, check_program, each_isa, run_with, upload};

/// The pinned seed of every property, so that a failure is the same everywhere.
pub fn deterministic(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

const POLICIES: [Recompute; 4] =
    [Recompute::Nothing, Recompute::Cheap, Recompute::Projections, Recompute::Blocks];

/// A transformer of two layers: sizes that no vector width divides.
struct Transformer {
    batch: usize,
    time: usize,
    recompute: Recompute,
    clipped: bool,
    relu: bool,
    /// Type of the weights; anything but f32 has no optimizer, only gradients.
    dtype: DType,
    /// Type that the operands of products are cast to.
    products: DType,
}

const VOCAB: usize = 37;
const WIDTH: usize = 18;
const HEADS: usize = 3;
const HEAD_DIM: usize = 6;

impl Transformer {
    fn operand(&self, b: &mut Builder, x: ValueId) -> ValueId {
        let narrow = self.products != DType::F32;
        if narrow { b.cast(x, self.products).unwrap() } else { x }
    }

    fn forward(&self, b: &mut Builder) -> (ValueId, Vec<(String, ValueId)>) {
        let tokens = self.batch * self.time;
        let mut params: Vec<(String, ValueId)> = Vec::new();
        let mut state = |b: &mut Builder, name: String, dtype, shape: &[usize]| {
            let value = b.state(name.clone(), TensorType::new(dtype, shape)).unwrap();
            params.push((name, value));
            value
        };
        let ids = b.data("ids", TensorType::i32([tokens])).unwrap();
        let positions = b.data("positions", TensorType::i32([tokens, 1])).unwrap();
        let segments = b.data("segments", TensorType::i32([tokens])).unwrap();
        let targets = b.data("targets", TensorType::i32([tokens])).unwrap();
        let weights = b.data("weights", TensorType::f32([tokens])).unwrap();
        let table = state(b, "table".into(), self.dtype, &[VOCAB, WIDTH]);
        let rope = RopeSpec::geometric(HEAD_DIM, 100.0, 1);
        let spec = AttentionSpec {
            batch: self.batch,
            heads: HEADS,
            kv_heads: 1,
            head_dim: HEAD_DIM,
            causal: true,
            window: Some(7),
            scale: 0.4,
            score_cap: None,
        };
        let mut h = b.gather(table, ids).unwrap();
        for layer in 0..2 {
            let mut weight = |b: &mut Builder, name: &str, shape: &[usize]| {
                let dtype = if shape.len() == 1 { DType::F32 } else { self.dtype };
                state(b, format!("{layer}.{name}"), dtype, shape)
            };
            let n1 = weight(b, "n1", &[WIDTH]);
            let wq = weight(b, "wq", &[HEADS * HEAD_DIM, WIDTH]);
            let wk = weight(b, "wk", &[HEAD_DIM, WIDTH]);
            let wv = weight(b, "wv", &[HEAD_DIM, WIDTH]);
            let nq = weight(b, "nq", &[HEAD_DIM]);
            let wo = weight(b, "wo", &[WIDTH, HEADS * HEAD_DIM]);
            let n2 = weight(b, "n2", &[WIDTH]);
            let up = weight(b, "up", &[29, WIDTH]);
            let down = weight(b, "down", &[WIDTH, 29]);
            let [wq, wk, wv, wo, up, down] = [wq, wk, wv, wo, up, down].map(|w| self.operand(b, w));
            let x = b.rms_norm(h, Some(n1), 1e-5).unwrap();
            let x = self.operand(b, x);
            let q = b.linear_in(x, wq, DType::F32).unwrap();
            let k = b.linear_in(x, wk, DType::F32).unwrap();
            let v = b.linear_in(x, wv, DType::F32).unwrap();
            let q = b.rms_norm_grouped(q, Some(nq), HEAD_DIM, 1e-5).unwrap();
            let k = b.rms_norm_grouped(k, Some(nq), HEAD_DIM, 1e-5).unwrap();
            let q = b.rope(q, positions, rope.clone()).unwrap();
            let k = b.rope(k, positions, rope.clone()).unwrap();
            let (a, _) = b.attention(q, k, v, Some(segments), spec.clone()).unwrap();
            let a = self.operand(b, a);
            h = b.linear_residual(a, wo, h).unwrap();
            let x = b.rms_norm(h, Some(n2), 1e-5).unwrap();
            let x = self.operand(b, x);
            let u = b.linear_in(x, up, DType::F32).unwrap();
            let s = if self.relu {
                b.activation(u, Nonlinearity::ReluSquared).unwrap()
            } else {
                let gate = weight(b, "gate", &[29, WIDTH]);
                let gate = self.operand(b, gate);
                let g = b.linear_in(x, gate, DType::F32).unwrap();
                b.gated(g, u, Nonlinearity::Silu).unwrap()
            };
            let s = self.operand(b, s);
            h = b.linear_residual(s, down, h).unwrap();
        }
        let x = b.rms_norm(h, None, 1e-5).unwrap();
        let (x, head) = (self.operand(b, x), self.operand(b, table));
        let (loss, _) = b.cross_entropy(x, head, targets, weights, Some(10.0)).unwrap();
        (loss, params)
    }

    /// Loss and gradients, returned.
    fn gradient_program(&self) -> Program {
        let mut b = Builder::new();
        let (loss, params) = self.forward(&mut b);
        let wrt: Vec<ValueId> = params.iter().map(|(_, v)| *v).collect();
        let grads = gradients(&mut b, loss, &wrt, &[], self.recompute).unwrap();
        b.returns("loss", grads.current(loss)).unwrap();
        for ((name, _), &g) in params.iter().zip(&grads.values) {
            b.returns(name.clone(), g).unwrap();
        }
        b.finish()
    }

    /// One optimizer step: Muon for matrices inside layers, AdamW for the rest.
    fn step_program(&self) -> Program {
        let mut b = Builder::new();
        let (loss, params) = self.forward(&mut b);
        let wrt: Vec<ValueId> = params.iter().map(|(_, v)| *v).collect();
        let grads = gradients(&mut b, loss, &wrt, &[], self.recompute).unwrap();
        b.returns("loss", grads.current(loss)).unwrap();
        let [lr, step, momentum, limit] = ["lr", "step", "momentum", "limit"]
            .map(|name| b.data(name, TensorType::scalar()).unwrap());
        let factor = if self.clipped {
            let norm = b.global_norm(&grads.values).unwrap();
            b.returns("norm", norm).unwrap();
            b.clip_factor(norm, limit, 0.5).unwrap()
        } else {
            b.fill(TensorType::scalar(), 1.0).unwrap()
        };
        // A large eps: m/√v of a tiny gradient is a sign, and has no digits to compare.
        let adamw =
            AdamWSpec { beta1: 0.9, beta2: 0.95, eps: 1e-2, weight_decay: 0.1, lr_scale: 1.0 };
        let muon = MuonSpec {
            nesterov: true,
            orthogonalizer: Orthogonalizer::NewtonSchulz,
            iterations: 3,
            weight_decay: 0.1,
            lr_scale: 0.3,
        };
        for ((name, p), &g) in params.iter().zip(&grads.values) {
            let ty = b.ty(*p).clone();
            let m = b.state(format!("{name}.m"), ty.clone()).unwrap();
            let updated = if ty.shape.len() == 2 && name != "table" {
                b.muon([*p, g, m, lr, momentum, factor], muon).unwrap().to_vec()
            } else {
                let v = b.state(format!("{name}.v"), ty).unwrap();
                b.adamw([*p, g, m, v, lr, step, factor], adamw).unwrap().to_vec()
            };
            for (suffix, &value) in ["", ".m", ".v"].iter().zip(&updated) {
                b.updates(&format!("{name}{suffix}"), value).unwrap();
            }
        }
        let program = b.finish();
        if self.clipped { program } else { program.with_early_updates() }
    }

    fn inputs(&self, program: &Program, seed: u64) -> BTreeMap<String, Array> {
        let tokens = self.batch * self.time;
        let mut draws = Draws::new(seed);
        let mut inputs: BTreeMap<String, Array> = BTreeMap::new();
        for input in program.inputs() {
            let shape = &program.ty(input.value).shape;
            let array = match input.name.as_str() {
                "ids" | "targets" => draws.integers(shape, 0..VOCAB as i64),
                "positions" => {
                    let at = (0..tokens).map(|t| (t % self.time) as f64);
                    Array::new(shape.clone(), at.collect::<Vec<_>>())
                }
                "segments" => {
                    let ids = (0..tokens).map(|t| (t / 5) as f64);
                    Array::new(shape.clone(), ids.collect::<Vec<_>>())
                }
                "weights" => {
                    Array::new(shape.clone(), vec![f64::from(1.0 / tokens as f32); tokens])
                }
                "lr" => Array::scalar(0.02f32.into()),
                "momentum" => Array::scalar(0.9f32.into()),
                "limit" => Array::scalar(f64::INFINITY),
                "step" => Array::scalar(1.0),
                name if name.ends_with(".m") || name.ends_with(".v") => Array::zeros(shape),
                _ if shape.len() == 1 => {
                    let mut w = draws.array(shape, 0.25);
                    w.data.iter_mut().for_each(|x| *x += 1.0);
                    w
                }
                _ => draws.array(shape, 0.5),
            };
            inputs.insert(input.name.clone(), array);
        }
        if let Some(targets) = inputs.get_mut("targets") {
            targets.data[tokens / 2] = -1.0;
        }
        inputs
    }
}

/// Errors of some dozen ops one after the other, each a few roundings, and of sums over the batch.
const DEEP: f64 = 2e-5;

#[test]
fn gradients_of_a_transformer() {
    for (batch, time) in [(1, 1), (2, 13), (3, 32)] {
        for recompute in POLICIES {
            for relu in [false, true] {
                let (clipped, dtype, products) = (false, DType::F32, DType::F32);
                let model = Transformer { batch, time, recompute, clipped, relu, dtype, products };
                let program = model.gradient_program();
                let inputs = model.inputs(&program, 1);
                let what = format!("{batch}×{time} {recompute:?} relu {relu}");
                check_program(&what, &program, &inputs, Rounding::Exact, DEEP);
            }
        }
    }
}

#[test]
fn gradients_with_narrow_weights() {
    for dtype in [DType::BF16, DType::F16] {
        let model = Transformer {
            batch: 2,
            time: 11,
            recompute: Recompute::Projections,
            clipped: false,
            relu: false,
            dtype,
            products: DType::F32,
        };
        let program = model.gradient_program();
        let inputs = model.inputs(&program, 2);
        check_program(&format!("{dtype}"), &program, &inputs, Rounding::Declared, DEEP);
    }
}

/// A number within the errors of f32 of the middle between two bf16 may be rounded to the other:
/// then one term of a sum moves by up to 2⁻⁸ of itself, and what follows with it.
const ROUNDED_APART: f64 = 1.0 / 128.0;

/// Activations and f32 weights meet as bf16; everything between the products is f32.
#[test]
fn gradients_with_products_of_bf16() {
    for (batch, time) in [(1, 1), (2, 13), (3, 32)] {
        for recompute in POLICIES {
            for relu in [false, true] {
                let (clipped, dtype, products) = (false, DType::F32, DType::BF16);
                let model = Transformer { batch, time, recompute, clipped, relu, dtype, products };
                let program = model.gradient_program();
                let inputs = model.inputs(&program, 4);
                let what = format!("bf16 {batch}×{time} {recompute:?} relu {relu}");
                check_program(&what, &program, &inputs, Rounding::Declared, ROUNDED_APART);
            }
        }
    }
}

#[test]
fn training_steps_follow_the_reference_and_do_not_depend_on_threads() {
    for (clipped, relu) in [(false, false), (true, true)] {
        let recompute = Recompute::Cheap;
        let (dtype, products) = (DType::F32, DType::F32);
        let model = Transformer { batch: 2, time: 13, recompute, clipped, relu, dtype, products };
        let program = model.step_program();
        let inputs = model.inputs(&program, 3);
        let reference = ReferenceEngine::new(Rounding::Exact);
        let steps = 6;
        let runs = |engine: &dyn Engine| {
            let mut executable = engine.compile(&program, &Default::default()).unwrap();
            let mut state = upload(engine, &program, &inputs);
            let mut losses = Vec::new();
            for step in 0..steps {
                let mut data = inputs.clone();
                let mut draws = Draws::new(step);
                let shape = data["ids"].shape.clone();
                data.insert("ids".into(), draws.integers(&shape, 0..VOCAB as i64));
                data.insert("step".into(), Array::scalar((step + 1) as f64));
                if step == 3 && clipped {
                    // A limit below the norm: this step must change nothing.
                    data.insert("limit".into(), Array::scalar(1e-6f32.into()));
                }
                losses.push(run_with(&mut *executable, &mut state, &data)["loss"].clone());
            }
            let states: BTreeMap<String, stoa_graph::Tensor> = state
                .0
                .iter()
                .map(|(name, buffer)| (name.clone(), engine.download(buffer).unwrap()))
                .collect();
            (losses, states)
        };
        let (expected_losses, expected) = runs(&reference);
        each_isa(|engines| {
            let found: Vec<_> = engines.iter().map(|engine| runs(engine)).collect();
            for (engine, (losses, states)) in engines.iter().zip(&found) {
                for (step, loss) in losses.iter().enumerate() {
                    let what = format!("loss of step {step}, {}", engine.facts().name);
                    assert_close(&what, loss, &Array::from(&expected_losses[step]), DEEP);
                }
                for (name, state) in states {
                    let what = format!("{name}, {}", engine.facts().name);
                    // Six steps on, errors went through the orthogonalisation of small gradients.
                    assert_close(&what, state, &Array::from(&expected[name]), 50.0 * DEEP);
                    let same = bits(state) == bits(&found[0].1[name]);
                    assert!(same, "{what} depends on the number of threads");
                }
            }
        });
    }
}

/// A random program over values [tokens, d], its loss, and the gradients of all weights.
fn random_program(seed: u64, nodes: usize) -> (Program, BTreeMap<String, Array>) {
    let mut draws = Draws::new(seed);
    let (batch, time, heads, head_dim) =
        (1 + draws.below(2), 1 + draws.below(9), 1 + draws.below(2), 2 * (1 + draws.below(4)));
    let (tokens, d) = (batch * time, heads * head_dim);
    let mut b = Builder::new();
    let ids = b.data("ids", TensorType::i32([tokens])).unwrap();
    let targets = b.data("targets", TensorType::i32([tokens])).unwrap();
    let positions = b.data("positions", TensorType::i32([tokens, 1])).unwrap();
    let weights = b.data("weights", TensorType::f32([tokens])).unwrap();
    let vocab = 5 + draws.below(20);
    let table = b.state("table", TensorType::f32([vocab, d])).unwrap();
    let mut wrt = vec![("table".to_owned(), table)];
    for i in 0..2 {
        let name = format!("square{i}");
        wrt.push((name.clone(), b.state(name, TensorType::f32([d, d])).unwrap()));
        let name = format!("row{i}");
        wrt.push((name.clone(), b.state(name, TensorType::f32([d])).unwrap()));
    }
    let x = b.state("x", TensorType::f32([tokens, d])).unwrap();
    wrt.push(("x".to_owned(), x));
    let mut pool = vec![x, b.gather(table, ids).unwrap()];
    for _ in 0..nodes {
        let recent = |draws: &mut Draws| {
            let last = pool.len();
            pool[last - 1 - draws.below(last.min(4))]
        };
        let (u, v) = (recent(&mut draws), recent(&mut draws));
        let square = wrt[1 + 2 * draws.below(2)].1;
        let row = wrt[2 + 2 * draws.below(2)].1;
        let y = match draws.below(14) {
            0 => b.add(u, v).unwrap(),
            1 => {
                let y = b.mul(u, v).unwrap();
                b.activation(y, Nonlinearity::SoftCap { cap: 2.0 }).unwrap()
            }
            2 => b.scale(u, -0.75).unwrap(),
            3 => b.activation(u, Nonlinearity::SoftCap { cap: 1.5 }).unwrap(),
            4 => b.activation(u, Nonlinearity::Silu).unwrap(),
            5 => {
                let y = b.activation(u, Nonlinearity::ReluSquared).unwrap();
                b.activation(y, Nonlinearity::SoftCap { cap: 3.0 }).unwrap()
            }
            6 => {
                let y = b.linear(u, square).unwrap();
                let f = [Nonlinearity::Silu, Nonlinearity::ReluSquared][draws.below(2)];
                let y = b.activation(y, f).unwrap();
                b.rms_norm(y, None, 0.1).unwrap()
            }
            7 => b.linear(u, square).unwrap(),
            8 => b.linear_residual(u, square, v).unwrap(),
            9 => b.rms_norm_grouped(u, None, head_dim, 0.1).unwrap(),
            10 => b.rms_norm(u, Some(row), 0.1).unwrap(),
            11 => {
                let y = b.gated(u, v, Nonlinearity::Silu).unwrap();
                b.activation(y, Nonlinearity::SoftCap { cap: 3.0 }).unwrap()
            }
            12 => {
                let rope = RopeSpec {
                    inverse: draws.below(2) == 0,
                    factor: [1.0, 0.75][draws.below(2)],
                    ..RopeSpec::geometric(head_dim, 30.0, 1)
                };
                b.rope(u, positions, rope).unwrap()
            }
            _ => {
                let spec = AttentionSpec {
                    batch,
                    heads,
                    kv_heads: heads,
                    head_dim,
                    causal: draws.below(2) == 0,
                    window: [None, Some(3)][draws.below(2)],
                    scale: 0.5,
                    score_cap: None,
                };
                let w = recent(&mut draws);
                b.attention(u, v, w, None, spec).unwrap().0
            }
        };
        let y = match draws.below(10) {
            0 => {
                let flat = b.reshape(y, [tokens * d]).unwrap();
                b.reshape(flat, [tokens, d]).unwrap()
            }
            // The op between sees the shape of the view.
            1 => {
                let tall = b.reshape(y, [tokens * heads, head_dim]).unwrap();
                let tall = b.rms_norm(tall, None, 0.1).unwrap();
                b.reshape(tall, [tokens, d]).unwrap()
            }
            _ => y,
        };
        pool.push(y);
    }
    let mut last = pool[pool.len() - 1];
    if draws.below(2) == 0 {
        last = b.add(last, pool[pool.len() / 2]).unwrap();
    }
    let (loss, nll) = b.cross_entropy(last, table, targets, weights, Some(8.0)).unwrap();
    let recompute = POLICIES[draws.below(4)];
    // Weights the loss does not depend on have no gradient: find out which do.
    let depends = |v: ValueId| gradients(&mut b.clone(), loss, &[v], &[], recompute).is_ok();
    let wrt: Vec<(String, ValueId)> = wrt.into_iter().filter(|(_, v)| depends(*v)).collect();
    let values: Vec<ValueId> = wrt.iter().map(|(_, v)| *v).collect();
    let sums: Vec<ValueId> = if draws.below(2) == 0 {
        let sum = |(name, v): &(String, ValueId)| {
            let ty = b.ty(*v).clone();
            b.state(format!("{name}.sum"), ty).unwrap()
        };
        wrt.iter().map(sum).collect()
    } else {
        vec![]
    };
    let grads = gradients(&mut b, loss, &values, &sums, recompute).unwrap();
    b.returns("loss", grads.current(loss)).unwrap();
    b.returns("nll", grads.current(nll)).unwrap();
    if draws.below(3) == 0 {
        b.returns("inner", pool[pool.len() / 2]).unwrap();
    }
    let spec = AdamWSpec { beta1: 0.9, beta2: 0.95, eps: 1e-2, weight_decay: 0.0, lr_scale: 1.0 };
    let one = b.fill(TensorType::scalar(), 1.0).unwrap();
    let rate = b.fill(TensorType::scalar(), 0.01).unwrap();
    for ((name, p), &g) in wrt.iter().zip(&grads.values) {
        if !sums.is_empty() {
            b.updates(&format!("{name}.sum"), g).unwrap();
        } else if draws.below(2) == 0 {
            let ty = b.ty(*p).clone();
            let [m, v] = [".m", ".v"].map(|s| b.state(format!("{name}{s}"), ty.clone()).unwrap());
            let new = b.adamw([*p, g, m, v, rate, one, one], spec).unwrap();
            for (suffix, value) in ["", ".m", ".v"].into_iter().zip(new) {
                b.updates(&format!("{name}{suffix}"), value).unwrap();
            }
        } else {
            b.returns(format!("{name} gradient"), g).unwrap();
        }
    }
    let mut program = b.finish();
    if draws.below(2) == 0 {
        program = program.with_early_updates();
    }
    let mut inputs = BTreeMap::new();
    for input in program.inputs() {
        let shape = &program.ty(input.value).shape;
        let array = match input.name.as_str() {
            "ids" | "targets" => draws.integers(shape, 0..vocab as i64),
            "positions" => draws.integers(shape, 0..50),
            name if name.ends_with(".v") => {
                let mut v = draws.array(shape, 1.0);
                v.data.iter_mut().for_each(|x| *x = x.abs());
                v
            }
            _ => draws.array(shape, 1.0),
        };
        inputs.insert(input.name.clone(), array);
    }
    (program, inputs)
}

/// Each op reads the shape of the view that it is given, not that of the bytes under it: products,
/// norms, attention, tables and losses after reshapes, forward and backward.
#[test]
fn ops_between_reshapes() {
    let mut draws = Draws::new(11);
    let mut b = Builder::new();
    let mut inputs = BTreeMap::new();
    let mut state = |b: &mut Builder, name: &str, shape: [usize; 2]| {
        inputs.insert(name.to_owned(), draws.array(&shape, 1.0));
        b.state(name, TensorType::f32(shape)).unwrap()
    };
    let names = ["x", "first", "second", "table"];
    let shapes = [[6, 10], [15, 15], [5, 12], [5, 40]];
    let wrt: [ValueId; 4] = std::array::from_fn(|i| state(&mut b, names[i], shapes[i]));
    let [x, first, second, table] = wrt;
    let targets = b.data("targets", TensorType::i32([5, 5])).unwrap();
    inputs.insert("targets".to_owned(), draws.integers(&[5, 5], 0..8));
    let y = b.reshape(x, [4, 15]).unwrap();
    let y = b.linear(y, first).unwrap();
    let y = b.reshape(y, [5, 12]).unwrap();
    let wide = b.reshape(second, [12, 5]).unwrap();
    let y = b.matmul(y, wide, false, false).unwrap();
    let y = b.reshape(y, [25]).unwrap();
    let y = b.rms_norm_grouped(y, None, 5, 0.1).unwrap();
    let y = b.reshape(y, [25, 1]).unwrap();
    let y = b.matmul(y, y, false, true).unwrap();
    let y = b.reshape(y, [125, 5]).unwrap();
    let spec = AttentionSpec {
        batch: 5,
        heads: 1,
        kv_heads: 1,
        head_dim: 5,
        causal: true,
        window: None,
        scale: 0.5,
        score_cap: None,
    };
    let (y, _) = b.attention(y, y, y, None, spec).unwrap();
    let y = b.reshape(y, [25, 25]).unwrap();
    let head = b.reshape(table, [8, 25]).unwrap();
    let targets = b.reshape(targets, [25]).unwrap();
    let rows = b.gather(head, targets).unwrap();
    let y = b.add(y, rows).unwrap();
    let weights = b.fill(TensorType::f32([25]), 0.2).unwrap();
    let (loss, _) = b.cross_entropy(y, head, targets, weights, None).unwrap();
    let grads = gradients(&mut b, loss, &wrt, &[], Recompute::Cheap).unwrap();
    b.returns("loss", grads.current(loss)).unwrap();
    for (name, &gradient) in names.iter().zip(&grads.values) {
        b.returns(format!("{name} gradient"), gradient).unwrap();
    }
    check_program("reshapes", &b.finish(), &inputs, Rounding::Exact, DEEP);
}

proptest! {
    #![proptest_config(deterministic(200))]

    #[test]
    fn random_programs_and_their_gradients(seed: u64, nodes in 1usize..16) {
        let (program, inputs) = random_program(seed, nodes);
        let what = format!("seed {seed}, {nodes} nodes");
        // Up to some fifty ops deep, each of which may raise errors a few times.
        check_program(&what, &program, &inputs, Rounding::Exact, 10.0 * DEEP);
    }
}
