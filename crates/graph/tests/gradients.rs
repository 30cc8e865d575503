//! Every gradient against finite differences of the reference, over odd sizes and all attributes;
//! and what the transform promises: accumulation, recomputation, substitutes, errors.

#![allow(clippy::unwrap_used)]

mod draws;

use std::collections::BTreeMap;

use draws::Draws;
use stoa_graph::reference::{Array, run};
use stoa_graph::{
    AdamWSpec, AttentionSpec, Builder, DType, GraphError, Nonlinearity, Op, Output, Program,
    Recompute, RopeSpec, TensorType, ValueId, gradients,
};

const POLICIES: [Recompute; 4] =
    [Recompute::Nothing, Recompute::Cheap, Recompute::Projections, Recompute::Blocks];

/// An input of a test program.
struct Given {
    name: String,
    dtype: DType,
    value: Array,
    differentiate: bool,
}

/// Inputs by position, with the random numbers they are drawn from.
struct Inputs {
    draws: Draws,
    given: Vec<Given>,
}

impl Inputs {
    fn new(seed: u64) -> Self {
        Inputs { draws: Draws::new(seed), given: Vec::new() }
    }

    fn push(mut self, dtype: DType, value: Array, differentiate: bool) -> Self {
        let name = format!("x{}", self.given.len());
        self.given.push(Given { name, dtype, value, differentiate });
        self
    }

    /// A tensor to differentiate by.
    fn wrt(self, shape: &[usize]) -> Self {
        self.wrt_as(DType::F32, shape)
    }

    fn wrt_as(mut self, dtype: DType, shape: &[usize]) -> Self {
        let value = self.draws.array(shape);
        self.push(dtype, value, true)
    }

    /// A tensor the gradient is not wanted for.
    fn constant(mut self, shape: &[usize]) -> Self {
        let value = self.draws.array(shape);
        self.push(DType::F32, value, false)
    }

    /// Integers in a range.
    fn integers(mut self, shape: &[usize], range: std::ops::Range<i64>) -> Self {
        let value = self.draws.integers(shape, range);
        self.push(DType::I32, value, false)
    }

    /// These integers.
    fn exactly(self, integers: &[i32]) -> Self {
        let data: Vec<f64> = integers.iter().map(|&i| f64::from(i)).collect();
        self.push(DType::I32, Array::new([integers.len()], data), false)
    }

    fn map(&self) -> BTreeMap<String, Array> {
        self.given.iter().map(|g| (g.name.clone(), g.value.clone())).collect()
    }

    /// Declares the inputs; their values.
    fn declare(&self, b: &mut Builder) -> Vec<ValueId> {
        let declare = |g: &Given| {
            let ty = TensorType::new(g.dtype, g.value.shape.clone());
            b.state(g.name.clone(), ty).unwrap()
        };
        self.given.iter().map(declare).collect()
    }

    fn wanted(&self) -> Vec<usize> {
        (0..self.given.len()).filter(|&i| self.given[i].differentiate).collect()
    }
}

/// Σ c·y with fixed odd coefficients: a scalar every element of y matters to.
fn weighed(b: &mut Builder, y: ValueId) -> ValueId {
    let n = b.ty(y).elements();
    let row = b.reshape(y, [1, n]).unwrap();
    let c = b.data(format!("weigh{}", y.index()), TensorType::f32([1, n])).unwrap();
    let sum = b.matmul(row, c, false, true).unwrap();
    b.reshape(sum, []).unwrap()
}

fn weigh_inputs(program: &Program, inputs: &mut BTreeMap<String, Array>) {
    for input in program.inputs().iter().filter(|i| i.name.starts_with("weigh")) {
        let n = program.ty(input.value).elements();
        inputs.insert(input.name.clone(), Draws::new(n as u64).array(&[1, n]));
    }
}

/// Loss and gradients of a scalar function, as two programs with the same inputs.
struct Differentiated {
    inputs: BTreeMap<String, Array>,
    forward: Program,
    backward: Program,
    wanted: Vec<String>,
}

fn differentiate(
    inputs: &Inputs,
    recompute: Recompute,
    build: impl Fn(&mut Builder, &[ValueId]) -> ValueId,
) -> Differentiated {
    let mut b = Builder::new();
    let values = inputs.declare(&mut b);
    let y = build(&mut b, &values);
    let loss = if b.ty(y).shape.is_empty() { y } else { weighed(&mut b, y) };
    let mut forward = b.clone();
    forward.returns("loss", loss).unwrap();
    let wanted = inputs.wanted();
    let wrt: Vec<ValueId> = wanted.iter().map(|&i| values[i]).collect();
    let grads = gradients(&mut b, loss, &wrt, &[], recompute).unwrap();
    for (&i, &g) in wanted.iter().zip(&grads.values) {
        b.returns(inputs.given[i].name.clone(), g).unwrap();
    }
    let (forward, backward) = (forward.finish(), b.finish());
    let mut map = inputs.map();
    weigh_inputs(&forward, &mut map);
    let wanted = wanted.iter().map(|&i| inputs.given[i].name.clone()).collect();
    Differentiated { inputs: map, forward, backward, wanted }
}

impl Differentiated {
    fn loss(&self, inputs: &BTreeMap<String, Array>) -> f64 {
        run(&self.forward, inputs).unwrap()["loss"].data[0]
    }

    fn gradients(&self) -> BTreeMap<String, Array> {
        run(&self.backward, &self.inputs).unwrap()
    }

    /// Central difference along `direction` of the input `name`.
    fn slope(&self, name: &str, direction: &[f64]) -> f64 {
        // Truncation is of order h², rounding of order 2⁻⁵²/h; both are near 1e-10 here.
        const H: f64 = 1e-5;
        let at = |h: f64| {
            let mut inputs = self.inputs.clone();
            let x = &mut inputs.get_mut(name).unwrap().data;
            x.iter_mut().zip(direction).for_each(|(x, d)| *x += h * d);
            self.loss(&inputs)
        };
        (at(H) - at(-H)) / (2.0 * H)
    }

    /// Compares every coordinate of small tensors, some of large ones, and a random direction.
    fn check(&self, what: &str) {
        // Third derivatives of these programs are below 1e3: 1e3·h² = 1e-7.
        const TOLERANCE: f64 = 1e-7;
        let gradients = self.gradients();
        for name in &self.wanted {
            let g = &gradients[name];
            assert_eq!(g.shape, self.inputs[name].shape, "{what}: shape of the gradient by {name}");
            let scale = g.data.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
            let close = |direction: &[f64], of: &str| {
                let expected = self.slope(name, direction);
                let found: f64 = g.data.iter().zip(direction).map(|(g, d)| g * d).sum();
                assert!(
                    (expected - found).abs() <= TOLERANCE * scale * direction.len() as f64,
                    "{what}: gradient by {name} along {of}: {found}, finite difference {expected}"
                );
            };
            let n = g.data.len();
            let stride = n.div_ceil(24);
            for i in (0..n).step_by(stride.max(1)) {
                let mut direction = vec![0.0; n];
                direction[i] = 1.0;
                close(&direction, &format!("coordinate {i}"));
            }
            close(&Draws::new(7).array(&[n]).data, "a random direction");
        }
    }
}

fn check(what: &str, inputs: &Inputs, build: impl Fn(&mut Builder, &[ValueId]) -> ValueId) {
    differentiate(inputs, Recompute::Nothing, build).check(what);
}

const SHAPES: [&[usize]; 5] = [&[], &[1], &[7], &[3, 5], &[2, 1, 13]];

#[test]
fn pointwise_ops() {
    for shape in SHAPES {
        let one = Inputs::new(1).wrt(shape);
        let two = Inputs::new(2).wrt(shape).wrt(shape);
        let what = |op: &str| format!("{op} {shape:?}");
        check(&what("add"), &two, |b, x| b.add(x[0], x[1]).unwrap());
        check(&what("x + x"), &one, |b, x| b.add(x[0], x[0]).unwrap());
        check(&what("mul"), &two, |b, x| b.mul(x[0], x[1]).unwrap());
        check(&what("x·x"), &one, |b, x| b.mul(x[0], x[0]).unwrap());
        check(&what("scale"), &one, |b, x| b.scale(x[0], -1.75).unwrap());
        let capped = Nonlinearity::SoftCap { cap: 0.7 };
        for f in [Nonlinearity::Silu, Nonlinearity::ReluSquared, Nonlinearity::Gelu, capped] {
            check(&what(&format!("{f:?}")), &one, |b, x| b.activation(x[0], f).unwrap());
            check(&what(&format!("{f:?} gate")), &two, |b, x| b.gated(x[0], x[1], f).unwrap());
            let twice = format!("{f:?} gate of itself");
            check(&what(&twice), &one, |b, x| b.gated(x[0], x[0], f).unwrap());
        }
        let n: usize = shape.iter().product();
        check(&what("reshape"), &one, |b, x| {
            let flat = b.reshape(x[0], [n]).unwrap();
            b.mul(flat, flat).unwrap()
        });
        for dtype in [DType::BF16, DType::F16, DType::F32] {
            check(&what(&format!("cast {dtype}")), &one, |b, x| {
                let narrow = b.cast(x[0], dtype).unwrap();
                let wide = b.cast(narrow, DType::F32).unwrap();
                b.mul(wide, wide).unwrap()
            });
        }
    }
}

#[test]
fn matmul_in_all_layouts() {
    for (m, k, n) in [(1, 1, 1), (1, 7, 3), (5, 1, 3), (3, 5, 1), (3, 5, 7), (13, 2, 3)] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let a = if ta { [k, m] } else { [m, k] };
            let c = if tb { [n, k] } else { [k, n] };
            let inputs = Inputs::new(3).wrt(&a).wrt(&c).wrt(&[m, n]);
            let what = format!("matmul {m}×{k}×{n} ta {ta} tb {tb}");
            check(&what, &inputs, |b, x| {
                let y = b.matmul(x[0], x[1], ta, tb).unwrap();
                b.mul(y, x[2]).unwrap()
            });
            let inputs = Inputs::new(3).wrt(&a).wrt(&c).wrt(&[n]);
            check(&format!("{what} bias"), &inputs, |b, x| {
                let result = DType::F32;
                let op = Op::MatMul { transpose_a: ta, transpose_b: tb, bias: true, result };
                let y = b.add_node(op, x).unwrap()[0];
                b.mul(y, y).unwrap()
            });
        }
    }
}

/// A bias used twice, and one under a product of bf16: its gradient is f32.
#[test]
fn biases_of_linear_layers() {
    let inputs = Inputs::new(31).wrt(&[5, 3]).wrt(&[7, 3]).wrt(&[7]).wrt(&[7, 7]);
    check("two layers with one bias", &inputs, |b, x| {
        let h = b.linear_biased(x[0], x[1], Some(x[2]), DType::F32).unwrap();
        let h = b.activation(h, Nonlinearity::Silu).unwrap();
        b.linear_biased(h, x[3], Some(x[2]), DType::F32).unwrap()
    });
    let narrow = |b: &mut Builder, x: &[ValueId]| {
        let [h, w] = [x[0], x[1]].map(|v| b.cast(v, DType::BF16).unwrap());
        b.linear_biased(h, w, Some(x[2]), DType::BF16).unwrap()
    };
    let inputs = Inputs::new(32).wrt(&[5, 3]).wrt(&[7, 3]).wrt(&[7]);
    for policy in POLICIES {
        let found = differentiate(&inputs, policy, |b, x| {
            let y = narrow(b, x);
            b.cast(y, DType::F32).unwrap()
        });
        found.check("bias of a product of bf16");
        for output in found.backward.outputs() {
            assert_eq!(found.backward.ty(output.value()).dtype, DType::F32);
        }
    }
}

#[test]
fn matmul_with_itself_and_with_one_side_constant() {
    for (ta, tb) in [(false, true), (true, false)] {
        let inputs = Inputs::new(4).wrt(&[3, 5]);
        check("x·xᵀ", &inputs, |b, x| b.matmul(x[0], x[0], ta, tb).unwrap());
    }
    let square = Inputs::new(4).wrt(&[5, 5]);
    check("x·x + x", &square, |b, x| {
        let square = b.matmul(x[0], x[0], false, false).unwrap();
        b.add(x[0], square).unwrap()
    });
    let right = Inputs::new(5).wrt(&[3, 5]).constant(&[5, 2]);
    check("x·constant", &right, |b, x| b.matmul(x[0], x[1], false, false).unwrap());
    let left = Inputs::new(5).constant(&[3, 5]).wrt(&[5, 2]);
    check("constant·x", &left, |b, x| b.matmul(x[0], x[1], false, false).unwrap());
}

#[test]
fn a_bf16_weight_in_every_layout_and_use() {
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        let a = if ta { [5, 3] } else { [3, 5] };
        let w = if tb { [7, 5] } else { [5, 7] };
        let inputs = Inputs::new(6).wrt(&a).wrt_as(DType::BF16, &w);
        check(&format!("bf16 ta {ta} tb {tb}"), &inputs, |b, x| {
            b.matmul(x[0], x[1], ta, tb).unwrap()
        });
    }
    // Its gradient is a sum of terms of several ops, all in f32.
    let inputs = Inputs::new(7).wrt_as(DType::BF16, &[7, 5]).exactly(&[1, 6, 1]).constant(&[3]);
    check("bf16 embedding, head, cast and shape", &inputs, |b, x| {
        let h = b.gather(x[0], x[1]).unwrap();
        let (loss, _) = b.cross_entropy(h, x[0], x[1], x[2], None).unwrap();
        let wide = b.cast(x[0], DType::F32).unwrap();
        let other = b.reshape(x[0], [5, 7]).unwrap();
        let both = b.matmul(wide, other, false, false).unwrap();
        let both = weighed(b, both);
        b.add(loss, both).unwrap()
    });
}

/// Activations in bf16 under f32 master weights: gradients of weights are f32, those of activations
/// have their type. Nothing is rounded here, so finite differences see the formulas alone.
#[test]
fn activations_in_bf16_under_f32_masters() {
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        let (a, w) = (if ta { [4, 3] } else { [3, 4] }, if tb { [6, 4] } else { [4, 6] });
        let inputs = Inputs::new(23).wrt(&a).wrt(&w).wrt(&[6]).exactly(&[1, 5, -1]).constant(&[3]);
        let inputs = inputs.wrt(&[7, 6]);
        let build = |b: &mut Builder, x: &[ValueId]| {
            let a = b.cast(x[0], DType::BF16).unwrap();
            let h = b.matmul(a, x[1], ta, tb).unwrap();
            let normed = b.rms_norm(h, Some(x[2]), 1e-5).unwrap();
            let gated = b.gated(normed, h, Nonlinearity::Silu).unwrap();
            // Both factors are activations, and the result is f32.
            let result = DType::F32;
            let op = Op::MatMul { transpose_a: true, transpose_b: false, bias: false, result };
            let square = b.add_node(op, &[gated, h]).unwrap()[0];
            let (loss, _) = b.cross_entropy(gated, x[5], x[3], x[4], None).unwrap();
            let error = weighed(b, square);
            b.add(loss, error).unwrap()
        };
        for recompute in POLICIES {
            let found = differentiate(&inputs, recompute, build);
            found.check(&format!("bf16 activations, ta {ta} tb {tb}"));
            for output in found.backward.outputs() {
                let Output::Returned { value, .. } = output else { continue };
                assert_eq!(found.backward.ty(*value).dtype, DType::F32, "gradient of a weight");
            }
            let narrow = |name: &str| {
                let of = found.backward.nodes().iter().filter(|n| n.op.name() == name);
                of.filter(|n| found.backward.ty(n.outputs[0]).dtype == DType::BF16).count()
            };
            assert_eq!(narrow("gated_backward"), 1);
            assert_eq!(narrow("rms_norm_backward"), 1);
        }
    }
}

#[test]
fn norms_with_and_without_weight_in_groups() {
    for (shape, group) in [
        (&[1, 1][..], 1),
        (&[3, 7], 7),
        (&[5, 6], 3),
        (&[2, 13], 13),
        (&[13], 13),
        (&[2, 3, 10], 5),
        (&[4, 3], 1),
    ] {
        let inputs = Inputs::new(8).wrt(shape).wrt(&[group]);
        for eps in [1e-6, 0.3] {
            let what = format!("norm {shape:?} by {group}, eps {eps}");
            check(&what, &inputs, |b, x| b.rms_norm_grouped(x[0], Some(x[1]), group, eps).unwrap());
            let inputs = Inputs::new(9).wrt(shape);
            check(&what, &inputs, |b, x| b.rms_norm_grouped(x[0], None, group, eps).unwrap());
            // The residual stream around a norm: its backward adds the other path by itself.
            let inputs = Inputs::new(8).wrt(shape).wrt(&[group]);
            check(&format!("{what}, residual"), &inputs, |b, x| {
                let y = b.rms_norm_grouped(x[0], Some(x[1]), group, eps).unwrap();
                let z = b.rms_norm_grouped(x[0], None, group, eps).unwrap();
                let sum = b.add(y, z).unwrap();
                b.add(x[0], sum).unwrap()
            });
        }
    }
}

#[test]
fn a_norm_of_a_constant_has_a_gradient_by_its_weight_alone() {
    let inputs = Inputs::new(10).constant(&[3, 5]).wrt(&[5]).exactly(&[0, 1, 2]);
    check("norm of a constant", &inputs, |b, x| {
        // A constant made by an op that has no gradient itself.
        let op = Op::GatherBackward { rows: 3 };
        let constant = b.add_node(op, &[x[2], x[0]]).unwrap()[0];
        b.rms_norm(constant, Some(x[1]), 1e-5).unwrap()
    });
}

#[test]
fn rotations_by_one_and_more_axes() {
    for (axes, head_dim, heads) in
        [(1, 2, 1), (1, 6, 3), (2, 4, 1), (2, 12, 2), (3, 6, 2), (1, 5, 2)]
    {
        for inverse in [false, true] {
            let spec = RopeSpec { inverse, ..RopeSpec::geometric(head_dim, 100.0, axes) };
            let inputs = Inputs::new(11).wrt(&[5, heads * head_dim]).integers(&[5, axes], -3..40);
            check(&format!("{spec:?}"), &inputs, |b, x| {
                let y = b.rope(x[0], x[1], spec.clone()).unwrap();
                b.mul(y, y).unwrap_or(y)
            });
            let weighed = format!("{spec:?}, weighed");
            check(&weighed, &inputs, |b, x| b.rope(x[0], x[1], spec.clone()).unwrap());
        }
    }
}

#[test]
fn attention_with_all_masks_and_groups() {
    for (batch, time) in [(1, 1), (2, 1), (1, 7), (3, 5)] {
        for (heads, kv_heads, head_dim) in [(1, 1, 1), (3, 3, 3), (4, 2, 2), (5, 1, 3)] {
            for causal in [true, false] {
                for window in [None, Some(1), Some(3), Some(100)] {
                    for (segmented, score_cap) in
                        [(false, None), (true, None), (false, Some(0.6)), (true, Some(0.6))]
                    {
                        let spec = AttentionSpec {
                            batch,
                            heads,
                            kv_heads,
                            head_dim,
                            causal,
                            window,
                            scale: 0.8,
                            score_cap,
                        };
                        check_attention(&spec, time, segmented);
                    }
                }
            }
        }
    }
}

fn check_attention(spec: &AttentionSpec, time: usize, segmented: bool) {
    let tokens = spec.batch * time;
    // Contiguous runs of equal ids, borders at other places in each sequence.
    let segments: Vec<i32> = (0..tokens).map(|t| ((t + t / time) / 3) as i32).collect();
    let kv = [tokens, spec.kv_heads * spec.head_dim];
    let inputs = Inputs::new(12)
        .wrt(&[tokens, spec.heads * spec.head_dim])
        .wrt(&kv)
        .wrt(&kv)
        .exactly(&segments);
    check(&format!("{spec:?} time {time} segmented {segmented}"), &inputs, |b, x| {
        let segments = segmented.then_some(x[3]);
        b.attention(x[0], x[1], x[2], segments, spec.clone()).unwrap().0
    });
}

#[test]
fn attention_of_one_value_as_query_key_and_value() {
    let spec = AttentionSpec {
        batch: 1,
        heads: 2,
        kv_heads: 2,
        head_dim: 3,
        causal: true,
        window: None,
        scale: 1.0,
        score_cap: None,
    };
    let inputs = Inputs::new(13).wrt(&[5, 6]);
    check("attention(x, x, x)", &inputs, |b, x| {
        b.attention(x[0], x[0], x[0], None, spec.clone()).unwrap().0
    });
}

#[test]
fn gathered_rows() {
    for (rows, d, ids) in
        [(1, 1, &[0][..]), (5, 3, &[4, 0, 4, 4, 2]), (7, 1, &[6, 6, 6]), (13, 5, &[3, 12])]
    {
        let inputs = Inputs::new(14).wrt(&[rows, d]).exactly(ids);
        check("gather", &inputs, |b, x| {
            let y = b.gather(x[0], x[1]).unwrap();
            b.mul(y, y).unwrap()
        });
    }
}

#[test]
fn cross_entropy_with_cap_weights_and_ignored_targets() {
    for (n, d, vocab) in [(1, 1, 1), (1, 3, 7), (5, 3, 1), (5, 7, 13), (4, 2, 3)] {
        for softcap in [None, Some(0.9), Some(15.0)] {
            for ignored in [0, 1, n] {
                let mut inputs = Inputs::new(15).wrt(&[n, d]).wrt(&[vocab, d]);
                let range = 0..i64::try_from(vocab).unwrap();
                let mut targets = inputs.draws.integers(&[n], range);
                targets.data[n - ignored..].fill(-1.0);
                let inputs = inputs.push(DType::I32, targets, false).constant(&[n]);
                let what = format!("{n}×{d}→{vocab}, cap {softcap:?}, {ignored} ignored");
                check(&what, &inputs, |b, x| {
                    let (loss, _) = b.cross_entropy(x[0], x[1], x[2], x[3], softcap).unwrap();
                    // A factor, so that dloss is not 1.
                    b.scale(loss, -2.5).unwrap()
                });
            }
        }
    }
}

#[test]
fn squared_errors_by_both_sides() {
    for (n, d) in [(1, 1), (3, 1), (1, 5), (5, 7)] {
        let inputs = Inputs::new(16).wrt(&[n, d]).wrt(&[n, d]).constant(&[n]);
        check(&format!("mse {n}×{d}"), &inputs, |b, x| {
            let loss = b.mean_squared_error(x[0], x[1], x[2]).unwrap();
            b.scale(loss, 3.0).unwrap()
        });
        check("mse of x against itself", &inputs, |b, x| {
            let y = b.mul(x[0], x[1]).unwrap();
            b.mean_squared_error(x[0], y, x[2]).unwrap()
        });
    }
}

/// A Llama block with QK-norm under a tied head: h·table, SwiGLU, two residuals, documents.
fn llama(b: &mut Builder, x: &[ValueId]) -> ValueId {
    let [table, n1, wq, wk, wv, nq, nk, wo, n2, gate, up, down, nf] = x[..13] else { panic!() };
    let [ids, positions, segments, targets, weights] = x[13..18] else { panic!() };
    let (batch, heads, kv_heads, head_dim) = (2, 4, 2, 2);
    let rope = RopeSpec::geometric(head_dim, 50.0, 1);
    let spec = AttentionSpec {
        batch,
        heads,
        kv_heads,
        head_dim,
        causal: true,
        window: Some(4),
        scale: 0.7,
        score_cap: None,
    };
    let h = b.gather(table, ids).unwrap();
    let y = b.rms_norm(h, Some(n1), 1e-5).unwrap();
    let q = b.linear(y, wq).unwrap();
    let k = b.linear(y, wk).unwrap();
    let v = b.linear(y, wv).unwrap();
    let q = b.rms_norm_grouped(q, Some(nq), head_dim, 1e-5).unwrap();
    let k = b.rms_norm_grouped(k, Some(nk), head_dim, 1e-5).unwrap();
    let q = b.rope(q, positions, rope.clone()).unwrap();
    let k = b.rope(k, positions, rope.clone()).unwrap();
    let (a, _) = b.attention(q, k, v, Some(segments), spec).unwrap();
    let h = b.linear_residual(a, wo, h).unwrap();
    let y = b.rms_norm(h, Some(n2), 1e-5).unwrap();
    let g = b.linear(y, gate).unwrap();
    let u = b.linear(y, up).unwrap();
    let s = b.gated(g, u, Nonlinearity::Silu).unwrap();
    let h = b.linear_residual(s, down, h).unwrap();
    let y = b.rms_norm(h, Some(nf), 1e-5).unwrap();
    b.cross_entropy(y, table, targets, weights, Some(5.0)).unwrap().0
}

fn llama_inputs() -> Inputs {
    let (vocab, d, heads, kv, hidden, tokens) = (11, 6, 8, 4, 7, 10);
    Inputs::new(17)
        .wrt(&[vocab, d])
        .wrt(&[d])
        .wrt(&[heads, d])
        .wrt(&[kv, d])
        .wrt(&[kv, d])
        .wrt(&[2])
        .wrt(&[2])
        .wrt(&[d, heads])
        .wrt(&[d])
        .wrt(&[hidden, d])
        .wrt(&[hidden, d])
        .wrt(&[d, hidden])
        .wrt(&[d])
        .integers(&[tokens], 0..11)
        .integers(&[tokens, 1], 0..5)
        .exactly(&[0, 0, 0, 1, 1, 2, 2, 3, 3, 3])
        .exactly(&[3, 1, -1, 10, 0, 4, 4, -1, 2, 7])
        .constant(&[tokens])
}

#[test]
fn a_whole_llama_block() {
    for policy in POLICIES {
        differentiate(&llama_inputs(), policy, llama).check(&format!("llama, {policy:?}"));
    }
}

#[test]
fn recomputation_changes_no_bit_and_makes_values_again() {
    let inputs = llama_inputs();
    let kept = differentiate(&inputs, Recompute::Nothing, llama);
    let expected = kept.gradients();
    let mut nodes = kept.backward.nodes().len();
    for policy in &POLICIES[1..] {
        let remade = differentiate(&inputs, *policy, llama);
        assert_eq!(remade.gradients(), expected, "{policy:?}");
        let more = remade.backward.nodes().len();
        assert!(more > nodes, "{policy:?} makes nothing again: {more} nodes after {nodes}");
        nodes = more;
    }
}

#[test]
fn accumulators_are_added_to() {
    let inputs = llama_inputs();
    let plain = differentiate(&inputs, Recompute::Cheap, llama);
    let expected = plain.gradients();
    let mut b = Builder::new();
    let values = inputs.declare(&mut b);
    let loss = llama(&mut b, &values);
    let wrt: Vec<ValueId> = inputs.wanted().iter().map(|&i| values[i]).collect();
    let mut map = inputs.map();
    let mut accumulators = Vec::new();
    for (seed, &v) in wrt.iter().enumerate() {
        let ty = b.ty(v).clone();
        let name = format!("sum{seed}");
        map.insert(name.clone(), Draws::new(100 + seed as u64).array(&ty.shape));
        accumulators.push(b.state(name, ty).unwrap());
    }
    let grads = gradients(&mut b, loss, &wrt, &accumulators, Recompute::Cheap).unwrap();
    for (i, &g) in grads.values.iter().enumerate() {
        b.updates(&format!("sum{i}"), g).unwrap();
    }
    let program = b.finish();
    let results = run(&program, &map).unwrap();
    for (i, name) in plain.wanted.iter().enumerate() {
        let (sum, start) = (&results[&format!("sum{i}")], &map[&format!("sum{i}")]);
        for j in 0..sum.data.len() {
            let expected = start.data[j] + expected[name].data[j];
            // The terms are summed in another order: a few roundings of 2⁻⁵³.
            assert!((sum.data[j] - expected).abs() < 1e-13, "{name}[{j}]");
        }
    }
}

#[test]
fn accumulators_do_not_leak_through_values_inside_the_program() {
    // d loss/dy = 2y where y = 3x, so d loss/dx = 6y = 18x whatever is accumulated on y.
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([1])).unwrap();
    let on_x = b.state("on_x", TensorType::f32([1])).unwrap();
    let on_y = b.state("on_y", TensorType::f32([1])).unwrap();
    let y = b.scale(x, 3.0).unwrap();
    let square = b.mul(y, y).unwrap();
    let loss = b.reshape(square, []).unwrap();
    let g = gradients(&mut b, loss, &[x, y], &[on_x, on_y], Recompute::Nothing).unwrap();
    b.returns("dx", g.values[0]).unwrap();
    b.returns("dy", g.values[1]).unwrap();
    let inputs = [("x", 2.0), ("on_x", 100.0), ("on_y", 1000.0)];
    let inputs = inputs.map(|(n, x)| (n.to_owned(), Array::new([1], [x]))).into();
    let results = run(&b.finish(), &inputs).unwrap();
    assert_eq!(results["dx"].data, [136.0]);
    assert_eq!(results["dy"].data, [1012.0]);
}

#[test]
fn the_loss_itself_and_values_twice() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::scalar()).unwrap();
    let acc = b.state("acc", TensorType::scalar()).unwrap();
    let g = gradients(&mut b.clone(), x, &[x], &[], Recompute::Nothing).unwrap();
    assert_eq!(g.values.len(), 1);
    let g = gradients(&mut b, x, &[x], &[acc], Recompute::Nothing).unwrap();
    b.returns("dx", g.values[0]).unwrap();
    let inputs = [("x", 2.0), ("acc", 5.0)];
    let inputs = inputs.map(|(n, x)| (n.to_owned(), Array::scalar(x))).into();
    assert_eq!(run(&b.clone().finish(), &inputs).unwrap()["dx"].data, [6.0]);
    let twice = gradients(&mut b, x, &[x, x], &[acc, acc], Recompute::Nothing).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "gradient: value 1 of wrt stands twice; give each value one accumulator"
    );
}

#[test]
fn the_backward_pass_returns_loss_and_nll_in_place_of_the_forward() {
    let inputs =
        Inputs::new(18).wrt(&[5, 3]).wrt(&[7, 3]).exactly(&[1, -1, 6, 0, 0]).constant(&[5]);
    let mut b = Builder::new();
    let x = inputs.declare(&mut b);
    let (loss, nll) = b.cross_entropy(x[0], x[1], x[2], x[3], Some(2.0)).unwrap();
    let mut forward = b.clone();
    forward.returns("loss", loss).unwrap();
    forward.returns("nll", nll).unwrap();
    let grads = gradients(&mut b, loss, &x[..2], &[], Recompute::Cheap).unwrap();
    b.returns("loss", grads.current(loss)).unwrap();
    b.returns("nll", grads.current(nll)).unwrap();
    b.returns("dx", grads.values[0]).unwrap();
    assert_eq!(grads.current(x[0]), x[0], "other values stand for themselves");
    let program = b.finish();
    let names: Vec<&str> = program.nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!(names, ["fill", "cross_entropy_backward"], "the forward node is dead");
    let (expected, found) =
        (run(&forward.finish(), &inputs.map()).unwrap(), run(&program, &inputs.map()).unwrap());
    assert_eq!(found["loss"], expected["loss"]);
    assert_eq!(found["nll"], expected["nll"]);
}

/// The error of differentiating by the first of the inputs what `build` makes of them.
fn refusal(build: impl Fn(&mut Builder, &[ValueId]) -> ValueId) -> String {
    // x[0] is differentiated by, x[1] is not.
    let inputs = Inputs::new(23).wrt(&[2, 2]).wrt(&[2, 2]).wrt(&[]).wrt(&[2]).exactly(&[0, 1]);
    let mut b = Builder::new();
    let x = inputs.declare(&mut b);
    let loss = build(&mut b, &x);
    let before = b.ty(loss).clone();
    let error = gradients(&mut b, loss, &x[..1], &[], Recompute::Nothing).unwrap_err();
    assert_eq!(*b.ty(loss), before);
    error.to_string()
}

#[test]
fn what_has_no_gradient_says_so() {
    assert_eq!(refusal(|_, x| x[0]), "gradient: the loss must be an f32 scalar, is f32[2, 2]");
    assert_eq!(refusal(|_, x| x[2]), "gradient: the loss depends on none of the values");
    assert_eq!(
        refusal(|b, x| b.global_norm(&x[..1]).unwrap()),
        "global_norm: output 0 has no gradient; take the loss from a differentiable output"
    );
    assert_eq!(
        refusal(|b, x| {
            let (_, nll) = b.cross_entropy(x[0], x[1], x[4], x[3], None).unwrap();
            weighed(b, nll)
        }),
        "cross_entropy: output 1 has no gradient; take the loss from a differentiable output"
    );
    assert_eq!(
        refusal(|b, x| {
            let spec =
                AdamWSpec { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, lr_scale: 1.0 };
            let p = b.adamw([x[0], x[0], x[0], x[0], x[2], x[2], x[2]], spec).unwrap()[0];
            weighed(b, p)
        }),
        "adamw: output 0 has no gradient; take the loss from a differentiable output"
    );
    // Weights of a loss that depend on what is differentiated by: refused, not taken as constant.
    for squared in [false, true] {
        let message = refusal(|b, x| {
            let w = b.matmul(x[0], x[0], false, false).unwrap();
            let w = b.reshape(w, [4]).unwrap();
            let tall = b.reshape(x[0], [4, 1]).unwrap();
            if squared {
                return b.mean_squared_error(tall, tall, w).unwrap();
            }
            let ids = b.data("ids", TensorType::i32([4])).unwrap();
            b.cross_entropy(tall, tall, ids, w, None).unwrap().0
        });
        let op = if squared { "mean_squared_error" } else { "cross_entropy" };
        assert_eq!(message, format!("gradient: {op} has no gradient by its weights"));
    }
}

#[test]
fn one_value_of_several_without_influence_is_named() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::scalar()).unwrap();
    let y = b.state("y", TensorType::scalar()).unwrap();
    let loss = b.mul(x, x).unwrap();
    let error = gradients(&mut b.clone(), loss, &[x, y], &[], Recompute::Nothing).unwrap_err();
    assert_eq!(error.to_string(), "gradient: the loss does not depend on value 1 of wrt");
    let error = gradients(&mut b, loss, &[x, y], &[x], Recompute::Nothing).unwrap_err();
    assert_eq!(error, GraphError::Gradient("1 accumulators for 2 values".into()));
}

#[test]
fn parts_the_loss_does_not_need_get_no_backward() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([3, 3])).unwrap();
    let unused = b.matmul(x, x, false, false).unwrap();
    b.returns("unused", unused).unwrap();
    let loss = b.mul(x, x).unwrap();
    let loss = weighed(&mut b, loss);
    let before = b.program().nodes().len();
    let grads = gradients(&mut b, loss, &[x], &[], Recompute::Nothing).unwrap();
    let added = &b.program().nodes()[before..];
    let products = added.iter().filter(|n| matches!(n.op, Op::MatMul { .. })).count();
    assert_eq!(products, 1, "only the one of the weighing");
    b.returns("dx", grads.values[0]).unwrap();
    let outputs = b.finish();
    assert!(outputs.outputs().iter().all(|o| matches!(o, Output::Returned { .. })));
}
