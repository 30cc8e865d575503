//! From a step to its kernel: views of memory in, one call out. The only place that knows both
//! the ops of the graph and the kernels.

mod cache;

use half::{bf16, f16};
use stoa_graph::{
    AdamWSpec, AttentionSpec, DType, MuonSpec, Op, Program, RopeSpec, Workspace, any_quantised,
};

use crate::context::Context;
use crate::gemm::{Arithmetic, MatMut, MatRef, Precision, gemm, gemm_fused};
use crate::kernels::attention::{self, Heads, KeyRange, Mask, key_ranges};
use crate::kernels::curves::{Gate, GateBackward, TimesSlope, Value, with_curve};
use crate::kernels::fused::{Input, OnTiles, Output};
use crate::kernels::{gather, loss, norm, optimizer, pointwise, rope};
use crate::pool::{AlignedBuffer, Pool};
use crate::step::{Kernel, Step, Then};
use crate::view::{Stored, View};

/// Tables that outlive a step: they depend on constants and positions, not on the model.
#[derive(Default)]
pub(crate) struct Caches {
    /// One for each list of frequencies and factor.
    rope: Vec<rope::RopeTable>,
    /// Logits of a chunk of rows.
    logits: AlignedBuffer,
    /// The matrices of Muon.
    muon: AlignedBuffer,
}

impl Caches {
    /// The table of a list of frequencies with a factor.
    fn rope_table(&mut self, frequencies: &[f64], factor: f64) -> &mut rope::RopeTable {
        let known = self.rope.iter().position(|table| table.is_of(frequencies, factor));
        let at = known.unwrap_or_else(|| {
            self.rope.push(rope::RopeTable::new(frequencies, factor));
            self.rope.len() - 1
        });
        &mut self.rope[at]
    }
}

/// Bytes of scratch the kernel of a step takes beside its outputs, packing included.
pub(crate) fn scratch_bytes(program: &Program, step: &Step) -> usize {
    let shape = |i: usize| &program.ty(step.inputs[i]).shape;
    let workspace = step.op().map_or(Workspace::Nothing, |op| op.facts().workspace);
    let floats = match workspace {
        Workspace::Logits => loss::scratch_floats(shape(0)[0], shape(0)[1], shape(1)[0]),
        Workspace::Matrices => optimizer::muon_scratch(shape(0)[0], shape(0)[1]),
        Workspace::Nothing => 0,
    };
    floats * size_of::<f32>()
}

/// What a kernel call needs beside its operands.
pub(crate) struct Dispatch<'a> {
    pub context: Context<'a>,
    /// Of the step's products.
    pub precision: Precision,
    pub caches: &'a mut Caches,
}

impl Dispatch<'_> {
    fn arithmetic(&self) -> Arithmetic {
        Arithmetic { isa: self.context.isa, precision: self.precision }
    }

    /// Runs one step.
    pub fn run(self, kernel: &Kernel, ins: &[View<'_>], outs: &[View<'_>]) {
        match kernel {
            Kernel::Op(op) => self.op(op, ins, None, outs),
            Kernel::Adding(op) => {
                let (addend, ins) = ins.split_last().expect("an addition has an addend");
                self.op(op, ins, Some(addend), outs);
            }
            Kernel::ProductThen { transpose_a, transpose_b, then } => {
                self.product_then((*transpose_a, *transpose_b), *then, ins, outs);
            }
        }
    }

    /// Runs one op, whose sum is added to `addend` where there is one.
    fn op(mut self, op: &Op, ins: &[View<'_>], addend: Option<&View<'_>>, outs: &[View<'_>]) {
        let (context, pool) = (self.context, self.context.pool);
        let input = |i: usize| ins[i].f32();
        let output = |o: usize| outs[o].f32_mut();
        // An operand that lies where output 0 will is read through the output.
        let operand = |i: usize| unless_in_place(&ins[i], &outs[0]);
        match op {
            Op::Fill { value, .. } => fill(pool, *value, &outs[0]),
            Op::Reshape { .. } => copy(&ins[0], &outs[0]),
            Op::Cast { .. } => cast(context, &ins[0], &outs[0]),
            Op::Add => pointwise::add(context, operand(0), operand(1), output(0)),
            Op::Mul => pointwise::mul(context, operand(0), operand(1), output(0)),
            Op::Scale { by } => pointwise::scale(context, *by, operand(0), output(0)),
            Op::Activation(f) => with_curve!(*f, c => {
                pointwise::apply(context, Value(c), [operand(0)], [0], [output(0)]);
            }),
            Op::ActivationBackward(f) => with_curve!(*f, c => {
                let given = [operand(0), operand(1)];
                pointwise::apply(context, TimesSlope(c), given, [0, 0], [output(0)]);
            }),
            Op::Gated(f) => with_curve!(*f, c => {
                let given = [operand(0), operand(1)];
                pointwise::apply(context, Gate(c), given, [0, 0], [output(0)]);
            }),
            // `gate` or `dy` may lie in `dgate`, `up` in `dup`.
            Op::GatedBackward(f) => with_curve!(*f, c => {
                let given = [operand(0), unless_in_place(&ins[1], &outs[1]), operand(2)];
                let outputs = [output(0), output(1)];
                pointwise::apply(context, GateBackward(c), given, [0, 1, 0], outputs);
            }),
            Op::MatMul { transpose_a, transpose_b, bias, result: _ } => {
                let beta = if starts_at(addend, &outs[0]) { 1.0 } else { 0.0 };
                let bias = bias.then(|| input(2));
                self.product((*transpose_a, *transpose_b), ins, bias, beta, &outs[0]);
            }
            Op::RmsNorm { group, eps, weighted } => {
                let w = weighted.then(|| input(1));
                norm::rms_norm(context, *group, *eps, input(0), w, output(0));
            }
            Op::RmsNormBackward { group, eps, weighted } => {
                let w = weighted.then(|| input(2));
                let dw = weighted.then(|| output(1));
                let adds = starts_at(addend, &outs[0]);
                let (x, dy) = (input(0), input(1));
                norm::rms_norm_backward(context, *group, *eps, x, dy, w, adds, output(0), dw);
            }
            Op::LayerNorm { group, eps, biased } => {
                let (x, scale, bias) = (input(0), input(1), biased.then(|| input(2)));
                norm::layer_norm(context, *group, *eps, x, scale, bias, output(0));
            }
            Op::LayerNormBackward { group, eps, biased } => {
                let adds = starts_at(addend, &outs[0]);
                let given = [input(0), input(1), input(2)];
                let vectors = (output(1), biased.then(|| output(2)));
                norm::layer_norm_backward(context, *group, *eps, given, adds, output(0), vectors);
            }
            Op::Rope(spec) => self.rope(spec, ins, outs),
            Op::Attention { spec, segmented } => {
                let ranges = ranges(spec, ins, segmented.then_some(3));
                let heads = heads(spec, &ins[0]);
                let (q, k, v) = (input(0), input(1), input(2));
                attention::attention(context, heads, &ranges, q, k, v, output(0), output(1));
            }
            Op::AttentionBackward { spec, segmented } => {
                let ranges = ranges(spec, ins, segmented.then_some(6));
                let heads = heads(spec, &ins[0]);
                let given = [0, 1, 2, 3, 4, 5].map(input);
                let grads = (output(0), output(1), output(2));
                attention::attention_backward(context, heads, &ranges, given, grads);
            }
            Op::Gather => {
                let (d, ids, y) = (ins[0].ty.last(), ins[1].i32(), output(0));
                if let Some(table) = ins[0].panels() {
                    return gather::gather_panels(context, table, ids, y);
                }
                match ins[0].stored() {
                    Stored::F32(table) => gather::gather(context, table, d, ids, y),
                    Stored::F16(table) => gather::gather(context, table, d, ids, y),
                    Stored::BF16(table) => gather::gather(context, table, d, ids, y),
                    Stored::Blocks(dtype, table) => {
                        gather::gather_blocks(context, dtype, table, d, ids, y);
                    }
                }
            }
            Op::GatherBackward { .. } => {
                if !starts_at(addend, &outs[0]) {
                    pointwise::fill(pool, 0.0, output(0));
                }
                gather::gather_backward(pool, ins[0].i32(), ins[1].ty.last(), input(1), output(0));
            }
            Op::CrossEntropy { softcap } => {
                let head = loss::Head { w: ins[1].operand(false), softcap: *softcap };
                let (targets, weights) = (ins[2].i32(), input(3));
                let (arithmetic, x) = (self.arithmetic(), ins[0].operand(false));
                let (nll, scratch) = (output(1), &mut self.caches.logits);
                output(0)[0] =
                    loss::cross_entropy(pool, arithmetic, head, x, targets, weights, nll, scratch);
            }
            Op::CrossEntropyBackward { softcap } => {
                let head = loss::Head { w: ins[1].operand(false), softcap: *softcap };
                let adds = starts_at(addend, &outs[1]);
                let (targets, weights, dloss) = (ins[2].i32(), input(3), ins[4].scalar());
                let (dx, dw, nll) = (output(0), output(1), output(3));
                output(2)[0] = loss::cross_entropy_backward(
                    pool,
                    self.arithmetic(),
                    head,
                    ins[0].operand(false),
                    targets,
                    weights,
                    dloss,
                    adds,
                    dx,
                    dw,
                    nll,
                    &mut self.caches.logits,
                );
            }
            Op::MeanSquaredError => {
                output(0)[0] = loss::mean_squared_error(context, input(0), input(1), input(2));
            }
            Op::MeanSquaredErrorBackward => {
                let (prediction, target, weights) = (input(0), input(1), input(2));
                let dloss = ins[3].scalar();
                loss::mean_squared_error_backward(
                    context,
                    prediction,
                    target,
                    weights,
                    dloss,
                    output(0),
                );
            }
            Op::GlobalNorm => {
                let tensors: Vec<&[f32]> = ins.iter().map(View::f32).collect();
                output(0)[0] = optimizer::global_norm(context, &tensors);
            }
            Op::ClipFactor { max_norm } => {
                output(0)[0] = optimizer::clip_factor(ins[0].scalar(), ins[1].scalar(), *max_norm);
            }
            Op::AdamW(spec) => adamw(context, spec, ins, outs),
            Op::Muon(spec) => muon(context, spec, ins, outs, &mut self.caches.muon),
            Op::KvAppend => {
                if !same_place(&ins[0], &outs[0]) {
                    copy(&ins[0], &outs[0]);
                }
                cache::kv_append(context, ins, &outs[0]);
            }
            Op::CachedAttention(spec) => cache::cached_attention(context, spec, ins, &outs[0]),
        }
    }

    /// `out` = op(ins\[0\])·op(ins\[1\]) [+ bias on each row] + beta·`out`.
    fn product(
        &self,
        transposed: (bool, bool),
        ins: &[View<'_>],
        bias: Option<&[f32]>,
        beta: f32,
        out: &View<'_>,
    ) {
        let context = self.context;
        let (arithmetic, c) = (self.arithmetic(), out.matrix_mut());
        let (a, b) = (ins[0].operand(transposed.0), ins[1].operand(transposed.1));
        let Some(bias) = bias else {
            return gemm(context.pool, arithmetic, 1.0, a, b, beta, c);
        };
        let bias = MatRef::strided(bias, c.rows(), c.cols(), 0, 1);
        let inputs = [Input::Product, Input::Matrix(bias)];
        let finish = OnTiles { f: pointwise::Add {}, inputs, outputs: [Output::Product] };
        gemm_fused(context.pool, arithmetic, 1.0, a, b, beta, c, &finish);
    }

    /// A product and the function that ends it: `ins` are a, b and the function's other inputs.
    fn product_then(
        &self,
        transposed: (bool, bool),
        then: Then,
        ins: &[View<'_>],
        outs: &[View<'_>],
    ) {
        match then {
            Then::Activation(f) => with_curve!(f, c => {
                self.fused(transposed, ins, outs[0], Value(c), [outs[0]], [outs[1]]);
            }),
            Then::ActivationBackward(f) => with_curve!(f, c => {
                let given = [ins[2], outs[0]];
                self.fused(transposed, ins, outs[0], TimesSlope(c), given, [outs[0]]);
            }),
            Then::Gated { f, product_is_gate } => with_curve!(f, c => {
                let given = if product_is_gate { [outs[0], ins[2]] } else { [ins[2], outs[0]] };
                self.fused(transposed, ins, outs[0], Gate(c), given, [outs[1]]);
            }),
            // dy becomes dup where it lies.
            Then::GatedBackward(f) => with_curve!(f, c => {
                let given = [ins[2], ins[3], outs[1]];
                self.fused(transposed, ins, outs[1], GateBackward(c), given, [outs[0], outs[1]]);
            }),
        }
    }

    /// `product` = op(ins\[0\])·op(ins\[1\]), then `outputs` = f(`inputs`). The product may be among
    /// both, and an input may lie where an output will.
    fn fused<const I: usize, const O: usize, F: pointwise::Function<I, O>>(
        &self,
        transposed: (bool, bool),
        ins: &[View<'_>],
        product: View<'_>,
        f: F,
        inputs: [View<'_>; I],
        outputs: [View<'_>; O],
    ) {
        let context = self.context;
        let output_at = |input: &View<'_>| outputs.iter().position(|o| same_place(o, input));
        let (m, n) = (product.shape()[0], product.shape()[1]);
        let inputs = inputs.each_ref().map(|input| match output_at(input) {
            _ if same_place(input, &product) => Input::Product,
            Some(output) => Input::InOutput(output),
            None => Input::Matrix(MatRef::new(input.f32(), m, n)),
        });
        let outputs = outputs.each_ref().map(|output| match same_place(output, &product) {
            true => Output::Product,
            false => Output::Matrix(MatMut::new(output.f32_mut(), m, n)),
        });
        let (a, b) = (ins[0].operand(transposed.0), ins[1].operand(transposed.1));
        let (arithmetic, c) = (self.arithmetic(), product.matrix_mut());
        gemm_fused(context.pool, arithmetic, 1.0, a, b, 0.0, c, &OnTiles { f, inputs, outputs });
    }

    fn rope(&mut self, spec: &RopeSpec, ins: &[View<'_>], outs: &[View<'_>]) {
        let table = self.caches.rope_table(&spec.frequencies, spec.factor);
        let positions = ins[1].i32();
        let turn = rope::Turn {
            features: ins[0].ty.last(),
            chunk: spec.chunk(),
            axes: spec.axes,
            inverse: spec.inverse,
        };
        let x = unless_in_place(&ins[0], &outs[0]);
        rope::rope(self.context, table, turn, positions, x, outs[0].f32_mut());
    }
}

fn same_place(a: &View<'_>, b: &View<'_>) -> bool {
    a.start() == b.start()
}

/// The elements of an operand, or `None` when the output takes its place.
fn unless_in_place<'a>(input: &View<'a>, output: &View<'_>) -> Option<&'a [f32]> {
    (!same_place(input, output)).then(|| input.f32())
}

/// Puts what a sum is added to in the place of the sum; whether there is something.
fn starts_at(addend: Option<&View<'_>>, sum: &View<'_>) -> bool {
    if let Some(addend) = addend.filter(|addend| !same_place(addend, sum)) {
        copy(addend, sum);
    }
    addend.is_some()
}

fn copy(from: &View<'_>, to: &View<'_>) {
    // SAFETY: values of one type in two places of the plan.
    unsafe { std::ptr::copy(from.start(), to.start(), from.size_bytes()) };
}

fn fill(pool: &Pool, value: f32, to: &View<'_>) {
    match to.ty.dtype {
        DType::F32 => pointwise::fill(pool, value, to.f32_mut()),
        DType::F16 => pointwise::fill(pool, f16::from_f32(value), to.elements_mut()),
        DType::BF16 => pointwise::fill(pool, bf16::from_f32(value), to.elements_mut()),
        DType::I32 => pointwise::fill(pool, value as i32, to.elements_mut()),
        any_quantised!() => unreachable!("the shape rule fills numbers"),
    }
}

fn cast(context: Context<'_>, from: &View<'_>, to: &View<'_>) {
    fn into<B: pointwise::Float>(context: Context<'_>, from: &View<'_>, y: &mut [B]) {
        match from.stored() {
            Stored::F32(x) => pointwise::cast(context, x, y),
            Stored::F16(x) => pointwise::cast(context, x, y),
            Stored::BF16(x) => pointwise::cast(context, x, y),
            Stored::Blocks(dtype, x) => pointwise::cast_blocks(context, dtype, x, y),
        }
    }
    match to.ty.dtype {
        DType::F32 => into::<f32>(context, from, to.elements_mut()),
        DType::F16 => into::<f16>(context, from, to.elements_mut()),
        DType::BF16 => into::<bf16>(context, from, to.elements_mut()),
        DType::Q8_0 => match from.stored() {
            Stored::F32(x) => pointwise::quantise_rows(context, x, to.bytes_mut()),
            Stored::F16(x) => pointwise::quantise_rows(context, x, to.bytes_mut()),
            Stored::BF16(x) => pointwise::quantise_rows(context, x, to.bytes_mut()),
            Stored::Blocks(..) => unreachable!("the shape rule casts floats to q8_0"),
        },
        DType::I32
        | DType::Q4_0
        | DType::Q4_1
        | DType::Q5_0
        | DType::Q5_1
        | DType::Q2_K
        | DType::Q3_K
        | DType::Q4_K
        | DType::Q5_K
        | DType::Q6_K => unreachable!("the shape rule casts to floats and q8_0"),
    }
}

fn heads(spec: &AttentionSpec, q: &View<'_>) -> Heads {
    Heads {
        batch: spec.batch,
        time: q.shape()[0] / spec.batch,
        heads: spec.heads,
        kv_heads: spec.kv_heads,
        head_dim: spec.head_dim,
        scale: spec.scale,
        score_cap: spec.score_cap,
    }
}

fn ranges(spec: &AttentionSpec, ins: &[View<'_>], segments: Option<usize>) -> Vec<KeyRange> {
    let mask = Mask { causal: spec.causal, window: spec.window };
    let time = ins[0].shape()[0] / spec.batch;
    key_ranges(mask, spec.batch, time, segments.map(|i| ins[i].i32()))
}

/// p, m and v are updated where they lie: outputs that took another place start as copies.
fn updated_in_place<'a>(from: &View<'_>, to: &View<'a>) -> &'a mut [f32] {
    if !same_place(from, to) {
        copy(from, to);
    }
    to.f32_mut()
}

fn adamw(context: Context<'_>, spec: &AdamWSpec, ins: &[View<'_>], outs: &[View<'_>]) {
    let (p, m, v) = (
        updated_in_place(&ins[0], &outs[0]),
        updated_in_place(&ins[2], &outs[1]),
        updated_in_place(&ins[3], &outs[2]),
    );
    let constants = optimizer::AdamW {
        beta1: spec.beta1,
        beta2: spec.beta2,
        eps: spec.eps,
        weight_decay: spec.weight_decay,
        lr: ins[4].scalar() * spec.lr_scale,
        step: ins[5].scalar(),
        factor: ins[6].scalar(),
    };
    optimizer::adamw(context, constants, p, ins[1].f32(), m, v);
}

fn muon(
    context: Context<'_>,
    spec: &MuonSpec,
    ins: &[View<'_>],
    outs: &[View<'_>],
    scratch: &mut AlignedBuffer,
) {
    let (p, buffer) = (updated_in_place(&ins[0], &outs[0]), updated_in_place(&ins[2], &outs[1]));
    let coefficients: Vec<_> =
        (0..spec.iterations).map(|step| spec.orthogonalizer.coefficients(step)).collect();
    let constants = optimizer::Muon {
        coefficients: &coefficients,
        normalisation: spec.orthogonalizer.normalisation(),
        nesterov: spec.nesterov,
        momentum: ins[4].scalar(),
        weight_decay: spec.weight_decay,
        lr: ins[3].scalar() * spec.lr_scale,
        factor: ins[5].scalar(),
    };
    let shape = (ins[0].shape()[0], ins[0].shape()[1]);
    let g = ins[1].f32();
    let floats = optimizer::muon_scratch(shape.0, shape.1);
    optimizer::muon(context, constants, shape, p, g, buffer, scratch.slice(floats));
}
