//! Transforms keep results: dead nodes, early updates. What is read off a program: liveness, cost,
//! text.

#![allow(clippy::unwrap_used)]

mod draws;

use std::collections::{BTreeMap, BTreeSet};

use draws::Draws;
use stoa_graph::reference::{Array, run};
use stoa_graph::{
    AdamWSpec, AttentionSpec, Builder, Cost, InputKind, Liveness, MuonSpec, Nonlinearity, Op,
    Orthogonalizer, Places, Program, Recompute, RopeSpec, TensorType, ValueId, gradients, liveness,
    node_cost, program_cost,
};

const ADAMW: AdamWSpec =
    AdamWSpec { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, lr_scale: 0.5 };
const MUON: MuonSpec = MuonSpec {
    nesterov: true,
    orthogonalizer: Orthogonalizer::PolarExpress,
    iterations: 5,
    weight_decay: 0.01,
    lr_scale: 1.0,
};

/// Each value is made once and before it is read.
#[track_caller]
fn is_sound(program: &Program) {
    let mut made: BTreeSet<ValueId> = program.inputs().iter().map(|i| i.value).collect();
    for node in program.nodes() {
        assert!(node.inputs.iter().all(|v| made.contains(v)), "{node:?} in\n{program}");
        assert!(node.outputs.iter().all(|&v| made.insert(v)), "{node:?} in\n{program}");
    }
    assert!(program.outputs().iter().all(|o| made.contains(&o.value())), "{program}");
}

/// Random arrays for all inputs; second moments and scalars positive, integers small.
fn random_inputs(program: &Program, seed: u64) -> BTreeMap<String, Array> {
    let mut draws = Draws::new(seed);
    let array = |input: &stoa_graph::Input| {
        let ty = program.ty(input.value);
        let mut array = if ty.dtype.is_float() {
            draws.array(&ty.shape)
        } else {
            draws.integers(&ty.shape, 0..3)
        };
        if ty.shape.is_empty() || input.name.ends_with(".v") {
            array.data.iter_mut().for_each(|x| *x = x.abs());
        }
        (input.name.clone(), array)
    };
    program.inputs().iter().map(array).collect()
}

/// The training step of a perceptron of `layers` square
/// layers, updated by turns with AdamW and Muon; the gradients clipped together when asked.
fn training_step(layers: usize, clipped: bool) -> Program {
    let (d, n) = (5, 3);
    let mut b = Builder::new();
    let mut scalar = |name: &str| b.data(name, TensorType::scalar()).unwrap();
    let [lr, step, momentum, limit] = ["lr", "step", "momentum", "limit"].map(&mut scalar);
    let x = b.data("x", TensorType::f32([n, d])).unwrap();
    let target = b.data("target", TensorType::f32([n, d])).unwrap();
    let weights = b.data("weights", TensorType::f32([n])).unwrap();
    let square = TensorType::f32([d, d]);
    let params: Vec<ValueId> =
        (0..layers).map(|i| b.state(format!("{i}"), square.clone()).unwrap()).collect();
    let mut h = x;
    for &p in &params {
        let y = b.linear(h, p).unwrap();
        h = b.activation(y, Nonlinearity::Silu).unwrap();
    }
    let loss = b.mean_squared_error(h, target, weights).unwrap();
    let grads = gradients(&mut b, loss, &params, &[], Recompute::Cheap).unwrap().values;
    let factor = if clipped {
        let norm = b.global_norm(&grads).unwrap();
        b.clip_factor(norm, limit, 1.0).unwrap()
    } else {
        b.fill(TensorType::scalar(), 1.0).unwrap()
    };
    for (i, (&p, &g)) in params.iter().zip(&grads).enumerate() {
        let m = b.state(format!("{i}.m"), square.clone()).unwrap();
        let new = if i % 2 == 0 {
            let v = b.state(format!("{i}.v"), square.clone()).unwrap();
            let [p, m, v] = b.adamw([p, g, m, v, lr, step, factor], ADAMW).unwrap();
            b.updates(&format!("{i}.v"), v).unwrap();
            [p, m]
        } else {
            b.muon([p, g, m, lr, momentum, factor], MUON).unwrap()
        };
        b.updates(&format!("{i}"), new[0]).unwrap();
        b.updates(&format!("{i}.m"), new[1]).unwrap();
    }
    b.returns("loss", loss).unwrap();
    b.finish()
}

/// Greatest number of bytes and of matrices [5, 5] (gradients) alive at one node, of values that
/// are neither inputs nor updated states.
fn peaks(program: &Program) -> (usize, usize) {
    let spans = liveness(program);
    let is_update = |op: &Op| matches!(op, Op::AdamW(_) | Op::Muon(_));
    let makers = program.nodes().iter().filter(|n| !is_update(&n.op));
    let made: Vec<ValueId> = makers.flat_map(|n| n.outputs.clone()).collect();
    let alive = |at: usize| {
        let at_once =
            |v: &&ValueId| spans[v.index()].is_some_and(|span| span.first <= at && at <= span.last);
        made.iter().filter(at_once).map(|&v| program.ty(v)).collect::<Vec<_>>()
    };
    let nodes = 0..program.nodes().len();
    let bytes = |at| alive(at).iter().map(|ty| ty.size_bytes()).sum::<usize>();
    let gradients = |at| alive(at).iter().filter(|ty| ty.shape == [5, 5]).count();
    (nodes.clone().map(bytes).max().unwrap(), nodes.map(gradients).max().unwrap())
}

#[test]
fn early_updates_keep_results_and_let_gradients_die() {
    for clipped in [false, true] {
        let late = training_step(8, clipped);
        let early = late.clone().with_early_updates();
        is_sound(&early);
        let inputs = random_inputs(&late, 1);
        assert_eq!(run(&early, &inputs).unwrap(), run(&late, &inputs).unwrap());
        let ((bytes_before, before), (bytes_after, after)) = (peaks(&late), peaks(&early));
        if clipped {
            assert_eq!((before, after), (8, 8), "the norm needs all gradients together");
        } else {
            assert_eq!((before, after), (8, 1));
            assert!(bytes_after < bytes_before, "{bytes_after} after {bytes_before} bytes");
        }
        let again = early.clone().with_early_updates();
        assert_eq!(again, early, "moving twice moves nothing");
    }
}

#[test]
fn an_update_waits_for_other_readers_of_its_state() {
    let program = training_step(3, false).with_early_updates();
    for (at, node) in program.nodes().iter().enumerate() {
        if matches!(node.op, Op::AdamW(_) | Op::Muon(_)) {
            let reads = |n: &stoa_graph::Node| n.inputs.contains(&node.inputs[0]);
            assert!(!program.nodes()[at + 1..].iter().any(reads), "state read after its update");
        }
    }
}

#[test]
fn early_updates_respect_readers_of_updated_values_and_chains_of_updates() {
    let mut b = Builder::new();
    let square = TensorType::f32([3, 3]);
    let names = ["p", "g", "m", "p.v", "buffer"];
    let [p, g, m, v, buffer] = names.map(|n| b.state(n, square.clone()).unwrap());
    let one = b.fill(TensorType::scalar(), 1.0).unwrap();
    // p, then its update, then a reader of the new value, then one of the old.
    let [p1, ..] = b.adamw([p, g, m, v, one, one, one], ADAMW).unwrap();
    let new_norm = b.global_norm(&[p1]).unwrap();
    // An update of the updated value.
    let [p2, _] = b.muon([p1, g, buffer, one, one, one], MUON).unwrap();
    let old_norm = b.global_norm(&[p]).unwrap();
    let last = b.add(p2, p1).unwrap();
    for (name, value) in [("new", new_norm), ("old", old_norm), ("last", last)] {
        b.returns(name, value).unwrap();
    }
    b.updates("p", p2).unwrap();
    let plain = b.finish();
    let early = plain.clone().with_early_updates();
    is_sound(&plain);
    is_sound(&early);
    let inputs = random_inputs(&plain, 2);
    assert_eq!(run(&early, &inputs).unwrap(), run(&plain, &inputs).unwrap());
}

#[test]
fn dead_nodes_go_and_live_ones_keep_their_values() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([2, 3])).unwrap();
    let w = b.state("w", TensorType::f32([3])).unwrap();
    let dead = b.scale(x, 2.0).unwrap();
    let _ = b.add(dead, dead).unwrap();
    let live = b.scale(x, 3.0).unwrap();
    // Of two results one is used: the node stays.
    let op = Op::RmsNormBackward { group: 3, eps: 0.1, weighted: true };
    let both = b.add_node(op, &[x, live, w]).unwrap();
    b.returns("dw", both[1]).unwrap();
    b.updates("x", live).unwrap();
    let whole = b.program().clone();
    let pruned = b.finish();
    let names = |p: &Program| p.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>();
    assert_eq!(names(&whole), ["scale", "add", "scale", "rms_norm_backward"]);
    assert_eq!(names(&pruned), ["scale", "rms_norm_backward"]);
    assert_eq!(pruned.types(), whole.types(), "values keep their ids");
    let inputs = random_inputs(&whole, 3);
    assert_eq!(run(&pruned, &inputs).unwrap(), run(&whole, &inputs).unwrap());
    assert_eq!(pruned.clone().without_dead_nodes(), pruned);
}

#[test]
fn liveness_spans_from_maker_to_last_reader() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([2])).unwrap();
    let unread = b.data("unread", TensorType::f32([2])).unwrap();
    let a = b.scale(x, 2.0).unwrap();
    let dead = b.scale(x, 5.0).unwrap();
    let c = b.mul(a, a).unwrap();
    let d = b.add(c, a).unwrap();
    b.returns("d", d).unwrap();
    b.updates("x", c).unwrap();
    let spans = liveness(&b.finish());
    let span = |first, last| Some(Liveness { first, last });
    // Nodes: 0 a, 1 c, 2 d; outputs live to the end, 3.
    let expected = [
        (x, span(0, 0)),
        (unread, span(0, 0)),
        (a, span(0, 2)),
        (dead, None),
        (c, span(1, 3)),
        (d, span(2, 3)),
    ];
    for (value, expected) in expected {
        assert_eq!(spans[value.index()], expected, "{value:?}");
    }
}

/// A transformer block with its head, forward and backward.
struct Block {
    batch: usize,
    time: usize,
    d: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    hidden: usize,
    vocab: usize,
    window: Option<usize>,
}

impl Block {
    fn tokens(&self) -> usize {
        self.batch * self.time
    }

    fn matrices(&self) -> [[usize; 2]; 7] {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let d = self.d;
        [[q, d], [kv, d], [kv, d], [d, q], [self.hidden, d], [self.hidden, d], [d, self.hidden]]
    }

    fn program(&self, recompute: Recompute) -> Program {
        let (tokens, d) = (self.tokens(), self.d);
        let mut b = Builder::new();
        let ids = b.data("ids", TensorType::i32([tokens])).unwrap();
        let positions = b.data("positions", TensorType::i32([tokens, 1])).unwrap();
        let weights = b.data("weights", TensorType::f32([tokens])).unwrap();
        let table = b.state("table", TensorType::f32([self.vocab, d])).unwrap();
        let head = b.state("head", TensorType::f32([self.vocab, d])).unwrap();
        let mut wrt = vec![table, head];
        for (i, shape) in self.matrices().into_iter().enumerate() {
            wrt.push(b.state(format!("w{i}"), TensorType::f32(shape)).unwrap());
        }
        let [wq, wk, wv, wo, gate, up, down] = wrt[2..] else { panic!() };
        let rope = RopeSpec::geometric(self.head_dim, 1e4, 1);
        let spec = AttentionSpec {
            batch: self.batch,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            causal: true,
            window: self.window,
            scale: 0.1,
            score_cap: None,
        };
        let h = b.gather(table, ids).unwrap();
        let y = b.rms_norm(h, None, 1e-5).unwrap();
        let [q, k, v] = [wq, wk, wv].map(|w| b.linear(y, w).unwrap());
        let [q, k] = [q, k].map(|x| b.rope(x, positions, rope.clone()).unwrap());
        let (a, _) = b.attention(q, k, v, None, spec).unwrap();
        let h = b.linear_residual(a, wo, h).unwrap();
        let y = b.rms_norm(h, None, 1e-5).unwrap();
        let [g, u] = [gate, up].map(|w| b.linear(y, w).unwrap());
        let s = b.gated(g, u, Nonlinearity::Silu).unwrap();
        let h = b.linear_residual(s, down, h).unwrap();
        let (loss, _) = b.cross_entropy(h, head, ids, weights, None).unwrap();
        let grads = gradients(&mut b, loss, &wrt, &[], recompute).unwrap();
        b.returns("loss", grads.current(loss)).unwrap();
        for (i, &g) in grads.values.iter().enumerate() {
            b.returns(format!("g{i}"), g).unwrap();
        }
        b.finish()
    }
}

/// FLOPs of the nodes whose op has one of these names.
fn flops_of(program: &Program, names: &[&str]) -> u64 {
    let nodes = program.nodes().iter().filter(|n| names.contains(&n.op.name()));
    nodes.map(|n| node_cost(program, n).flops).sum()
}

#[test]
fn a_training_step_costs_six_flops_per_parameter_and_token_and_its_attention() {
    for window in [None, Some(16)] {
        let block = Block {
            batch: 2,
            time: 64,
            d: 96,
            heads: 6,
            kv_heads: 2,
            head_dim: 16,
            hidden: 256,
            vocab: 500,
            window,
        };
        let program = block.program(Recompute::Nothing);
        let tokens = block.tokens() as u64;
        let matrices: usize = block.matrices().iter().map(|[m, n]| m * n).sum();
        let products = 6 * matrices as u64 * tokens;
        assert_eq!(flops_of(&program, &["matmul"]), products);
        // Two residual additions forward; backward of gate and up, and of q, k and v, add into one
        // gradient: three additions of [tokens, d]; the two norms add to the stream around them.
        assert_eq!(flops_of(&program, &["add"]), 7 * tokens * block.d as u64);
        // Three products with the head, and a softmax of four operations a logit.
        let logits = tokens * block.vocab as u64;
        let head = 6 * logits * block.d as u64 + 4 * logits;
        assert_eq!(flops_of(&program, &["cross_entropy_backward"]), head);
        // Pairs below the diagonal, counted one by one.
        let width = window.unwrap_or(block.time);
        let pairs: usize = (0..block.time).map(|t| (t + 1).min(width)).sum();
        let pairs = (pairs * block.batch * block.heads * block.head_dim) as u64;
        assert_eq!(flops_of(&program, &["attention"]), 4 * pairs);
        assert_eq!(flops_of(&program, &["attention_backward"]), 10 * pairs);
        let known = products + head + 14 * pairs;
        let total = program_cost(&program).flops;
        assert!(total >= known && total < known + known / 50, "the rest is below 2 %");
        // Everything but the residual stream recomputed: a third more of the forward's products.
        let remade = block.program(Recompute::Blocks);
        let again = flops_of(&remade, &["matmul"]) - products;
        let [q, kv, _, _, hidden, ..] = block.matrices().map(|[m, n]| (m * n) as u64);
        assert_eq!(again, 2 * tokens * (q + 2 * kv + 2 * hidden));
        assert_eq!(flops_of(&remade, &["attention"]), 8 * pairs);
    }
}

#[test]
fn bytes_are_read_and_written_once() {
    let mut b = Builder::new();
    let x = b.data("x", TensorType::f32([4, 8])).unwrap();
    let w = b.state("w", TensorType::new(stoa_graph::DType::BF16, [16, 8])).unwrap();
    let ids = b.data("ids", TensorType::i32([4])).unwrap();
    let cache = b.state("cache", TensorType::f32([2, 4, 100, 4])).unwrap();
    let rows = b.gather(w, ids).unwrap();
    let sum = b.add(x, rows).unwrap();
    let y = b.linear(sum, w).unwrap();
    let flat = b.reshape(y, [64]).unwrap();
    let table = b.data("table", TensorType::i32([4, 3])).unwrap();
    let places = Places { table, sequences: ids, positions: ids };
    let cache = b.kv_append(cache, y, places).unwrap();
    b.returns("flat", flat).unwrap();
    b.updates("cache", cache).unwrap();
    let program = b.finish();
    let costs: Vec<(&str, Cost)> =
        program.nodes().iter().map(|n| (n.op.name(), node_cost(&program, n))).collect();
    let cost = |flops, bytes| Cost { flops, bytes };
    assert_eq!(
        costs,
        [
            ("gather", cost(0, 2 * 128 + 16)),
            ("add", cost(32, 3 * 128)),
            ("matmul", cost(2 * 4 * 8 * 16, 128 + 256 + 256)),
            ("reshape", cost(0, 0)),
            ("kv_append", cost(0, 2 * 256)),
        ]
    );
}

#[test]
fn costs_beyond_64_bits_stay_at_the_greatest() {
    let mut b = Builder::new();
    let x = b.data("x", TensorType::f32([1 << 28, 1 << 28])).unwrap();
    let y = b.matmul(x, x, false, false).unwrap();
    let z = b.matmul(y, y, false, false).unwrap();
    b.returns("z", z).unwrap();
    let cost = program_cost(&b.finish());
    assert_eq!(cost, Cost { flops: u64::MAX, bytes: 6 << 58 });
}

#[test]
fn the_text_of_a_program() {
    let mut b = Builder::new();
    let x = b.data("x", TensorType::f32([2, 3])).unwrap();
    let w = b.state("w", TensorType::f32([4, 3])).unwrap();
    let targets = b.data("targets", TensorType::i32([2])).unwrap();
    let weights = b.data("weights", TensorType::f32([2])).unwrap();
    let (loss, nll) = b.cross_entropy(x, w, targets, weights, None).unwrap();
    let step = b.scale(w, 0.5).unwrap();
    b.returns("loss", loss).unwrap();
    b.returns("nll", nll).unwrap();
    b.updates("w", step).unwrap();
    let expected = "\
%0: f32[2, 3] = Data `x`
%1: f32[4, 3] = State `w`
%2: i32[2] = Data `targets`
%3: f32[2] = Data `weights`
%4: f32[], %5: f32[2] = cross_entropy(%0, %1, %2, %3)
%6: f32[4, 3] = scale{by 0.5}(%1)
return `loss` = %4
return `nll` = %5
update `w` = %6
";
    let program = b.finish();
    assert_eq!(program.to_string(), expected);
    assert_eq!(program.input("w").unwrap().kind, InputKind::State);
}
