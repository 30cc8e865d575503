//! What is true of an op whatever runs it: which inputs it may overwrite, which inputs are indices
//! and how far they reach, what recomputing its results costs, what it reads and writes, and its
//! floating-point operations. One exhaustive answer per op, so that a new op answers every question
//! before the house compiles. Shape rules, gradients and the reference have a file each.

use crate::{AttentionSpec, Nonlinearity, Op, TensorType};

/// Facts of an op.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// For each result, the inputs whose memory it may take over, best first: such an input has the
    /// type of the result and is read only at the place about to be written. Results beyond the
    /// list take over nothing.
    pub in_place: &'static [&'static [usize]],
    /// Inputs read as they are stored: weights, tables and caches, in any float type, whatever the
    /// type of the activations.
    pub stored: &'static [usize],
    /// Of these the weights and tables, which may be of any quantised type. Caches may be `q8_0`.
    pub quantised: &'static [usize],
    /// Every input of integers, and what they mean.
    pub integers: Vec<IntegerInput>,
    /// Where the elements of the results come from.
    pub elements: Elements,
    /// What recomputing the results in a backward pass costs.
    pub recompute: RecomputeClass,
    /// Bytes that move.
    pub traffic: Traffic,
    /// Memory the formula needs besides inputs and results.
    pub workspace: Workspace,
    /// The op replaces a parameter and its moments: it stands as early in a program as it may.
    pub is_update: bool,
}

/// An input of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerInput {
    /// Position among the inputs.
    pub input: usize,
    /// What the integers address.
    pub bound: Bound,
    /// −1 stands for "none".
    pub optional: bool,
    /// The integers at the places where this input is −1 are not read.
    pub unless: Option<usize>,
}

/// What integers address, and with it their range. Engines check ranges before a run touches
/// memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Nothing: they are numbers to compare or compute with, and every value is allowed.
    Free,
    /// Places along this axis of an input.
    Axis {
        /// Position of the input.
        input: usize,
        /// The axis.
        axis: usize,
    },
    /// Places along two axes of inputs together: the entries of all pages that a row of a table of
    /// pages can name, for instance.
    Axes([(usize, usize); 2]),
    /// Rows of a table of this many.
    Rows(usize),
}

/// The integers that say where tokens lie in paged caches: a table of pages, sequences and positions
/// from input `first` on, for the cache in input `cache`.
fn places(first: usize, cache: usize) -> [IntegerInput; 3] {
    let entries = Bound::Axes([(first, 1), (cache, 2)]);
    [
        IntegerInput::along(first, cache, 0),
        IntegerInput::along(first + 1, first, 0).or_none(),
        IntegerInput { input: first + 2, bound: entries, optional: false, unless: None }
            .unless(first + 1),
    ]
}

impl Bound {
    /// The exclusive upper bound of an op with these inputs, if there is one.
    pub fn limit(self, inputs: &[&TensorType]) -> Option<usize> {
        match self {
            Bound::Free => None,
            Bound::Axis { input, axis } => Some(inputs[input].shape[axis]),
            Bound::Axes(axes) => {
                let size = |(input, axis): (usize, usize)| inputs[input].shape[axis];
                Some(axes.map(size).into_iter().fold(1, usize::saturating_mul))
            }
            Bound::Rows(rows) => Some(rows),
        }
    }
}

/// Where the elements of results come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Elements {
    /// Each is this number.
    Constant(f32),
    /// They are those of input 0, in the same order, under another shape: a view.
    Viewed,
    /// The op computes them.
    Computed,
}

/// What recomputing results costs, from which a recompute policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecomputeClass {
    /// A pass over rows: norms, activations, scalings.
    RowWise,
    /// A matrix product.
    Projection,
    /// A rotation, whose backward does not need its input.
    Rotation,
    /// Attention.
    Attention,
    /// The results are kept: the residual stream, losses, updates, backward results.
    Kept,
}

/// Bytes an op moves, if nothing is fused or cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// None: a view.
    Nothing,
    /// Every input and result, once.
    Everything,
    /// Of input 0 only the rows that make up the result, and the other inputs.
    RowsRead,
    /// Input 1, written into its places of input 0.
    RowsWritten,
}

/// Memory a formula needs besides inputs and results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workspace {
    /// None of a size that matters.
    Nothing,
    /// Logits: rows of input 0 by rows of input 1, in chunks if the engine can.
    Logits,
    /// Matrices of the size of input 0, for an iteration on it.
    Matrices,
}

impl IntegerInput {
    const fn free(input: usize) -> Self {
        IntegerInput { input, bound: Bound::Free, optional: false, unless: None }
    }

    const fn along(input: usize, of: usize, axis: usize) -> Self {
        let bound = Bound::Axis { input: of, axis };
        IntegerInput { input, bound, optional: false, unless: None }
    }

    const fn or_none(self) -> Self {
        IntegerInput { optional: true, ..self }
    }

    const fn unless(self, input: usize) -> Self {
        IntegerInput { unless: Some(input), ..self }
    }
}

impl Facts {
    /// Reads everything once and makes new values that are kept.
    const fn kept() -> Self {
        Facts {
            in_place: &[],
            stored: &[],
            quantised: &[],
            integers: Vec::new(),
            elements: Elements::Computed,
            recompute: RecomputeClass::Kept,
            traffic: Traffic::Everything,
            workspace: Workspace::Nothing,
            is_update: false,
        }
    }

    fn in_place(self, in_place: &'static [&'static [usize]]) -> Self {
        Facts { in_place, ..self }
    }

    /// Weights or a table, quantised or not.
    fn weights(self, inputs: &'static [usize]) -> Self {
        Facts { stored: inputs, quantised: inputs, ..self }
    }

    fn caches(self, inputs: &'static [usize]) -> Self {
        Facts { stored: inputs, ..self }
    }

    fn recomputed(self, recompute: RecomputeClass) -> Self {
        Facts { recompute, ..self }
    }

    fn with(self, workspace: Workspace) -> Self {
        Facts { workspace, ..self }
    }

    fn moving(self, traffic: Traffic) -> Self {
        Facts { traffic, ..self }
    }

    fn made_of(self, elements: Elements) -> Self {
        Facts { elements, ..self }
    }

    fn reading(mut self, integers: impl IntoIterator<Item = IntegerInput>) -> Self {
        self.integers.extend(integers);
        self
    }

    fn update(self) -> Self {
        Facts { is_update: true, ..self }
    }

    /// The inputs whose memory result `output` may take over.
    pub fn in_place_of(&self, output: usize) -> &'static [usize] {
        self.in_place.get(output).copied().unwrap_or_default()
    }
}

impl Op {
    /// What is true of this op whatever runs it.
    pub fn facts(&self) -> Facts {
        use RecomputeClass::{Attention, Projection, Rotation, RowWise};
        let integer = IntegerInput::along;
        match self {
            Op::Fill { value, .. } => {
                Facts::kept().recomputed(RowWise).made_of(Elements::Constant(*value))
            }
            Op::Reshape { .. } => {
                Facts::kept().recomputed(RowWise).made_of(Elements::Viewed).moving(Traffic::Nothing)
            }
            // To blocks activations are cast alone.
            Op::Cast { dtype } if dtype.is_quantised() => Facts::kept().recomputed(RowWise),
            Op::Cast { .. } => Facts::kept().recomputed(RowWise).weights(&[0]),
            Op::Add => Facts::kept().in_place(&[&[0, 1]]),
            Op::Mul | Op::Gated(_) => Facts::kept().recomputed(RowWise).in_place(&[&[0, 1]]),
            Op::Scale { .. } | Op::Activation(_) => {
                Facts::kept().recomputed(RowWise).in_place(&[&[0]])
            }
            Op::ActivationBackward(_) => Facts::kept().in_place(&[&[1, 0]]),
            Op::GatedBackward(_) => Facts::kept().in_place(&[&[0, 2], &[1]]),
            Op::MatMul { .. } => Facts::kept().recomputed(Projection).weights(&[1]),
            Op::RmsNorm { .. } | Op::LayerNorm { .. } => Facts::kept().recomputed(RowWise),
            Op::Rope(_) => Facts::kept()
                .recomputed(Rotation)
                .in_place(&[&[0]])
                .reading([IntegerInput::free(1)]),
            Op::Attention { segmented, .. } => Facts::kept()
                .recomputed(Attention)
                .reading(segmented.then_some(IntegerInput::free(3))),
            Op::AttentionBackward { segmented, .. } => {
                Facts::kept().reading(segmented.then_some(IntegerInput::free(6)))
            }
            Op::Gather => {
                Facts::kept().weights(&[0]).moving(Traffic::RowsRead).reading([integer(1, 0, 0)])
            }
            Op::GatherBackward { rows } => {
                let bound = Bound::Rows(*rows);
                let ids = IntegerInput { input: 0, bound, optional: false, unless: None };
                Facts::kept().reading([ids])
            }
            Op::CrossEntropy { .. } | Op::CrossEntropyBackward { .. } => Facts::kept()
                .weights(&[1])
                .with(Workspace::Logits)
                .reading([integer(2, 1, 0).or_none()]),
            Op::RmsNormBackward { .. }
            | Op::LayerNormBackward { .. }
            | Op::MeanSquaredError
            | Op::MeanSquaredErrorBackward
            | Op::GlobalNorm
            | Op::ClipFactor { .. } => Facts::kept(),
            Op::AdamW(_) => Facts::kept().in_place(&[&[0], &[2], &[3]]).update(),
            Op::Muon(_) => Facts::kept().in_place(&[&[0], &[2]]).with(Workspace::Matrices).update(),
            Op::KvAppend => Facts::kept()
                .caches(&[0])
                .in_place(&[&[0]])
                .moving(Traffic::RowsWritten)
                .reading(places(2, 0)),
            Op::CachedAttention(_) => Facts::kept().caches(&[1, 2]).reading(places(3, 1)),
        }
    }

    /// Floating-point operations on inputs and results of these types; a multiply-add counts 2,
    /// exp and the like 1. Counted in u128: products of three addressable sizes can pass 64 bits.
    pub(crate) fn flops(&self, inputs: &[&TensorType], outputs: &[&TensorType]) -> u128 {
        let n = outputs.first().map_or(0, |t| t.elements() as u128);
        match self {
            Op::Fill { .. } | Op::Reshape { .. } | Op::Cast { .. } | Op::Gather | Op::KvAppend => 0,
            Op::Add | Op::Mul | Op::Scale { .. } => n,
            Op::Activation(f) => nonlinear_flops(*f).0 * n,
            Op::ActivationBackward(f) => nonlinear_flops(*f).1 * n,
            Op::Gated(f) => (2 + nonlinear_flops(*f).0) * n,
            Op::GatedBackward(f) => (5 + nonlinear_flops(*f).0 + nonlinear_flops(*f).1) * n,
            Op::MatMul { transpose_a, bias, .. } => {
                let k = inputs[0].shape[if *transpose_a { 0 } else { 1 }] as u128;
                2 * n * k + if *bias { n } else { 0 }
            }
            Op::RmsNorm { .. } => 4 * n,
            Op::RmsNormBackward { .. } => 9 * n,
            Op::LayerNorm { .. } => 7 * n,
            Op::LayerNormBackward { .. } => 13 * n,
            Op::Rope(_) => 3 * n,
            Op::Attention { spec, .. } => {
                attention_pairs(spec, inputs[0].shape[0]) * 4 * spec.head_dim as u128
            }
            // Five products of the size of q·kᵀ against the forward's two.
            Op::AttentionBackward { spec, .. } => {
                attention_pairs(spec, inputs[0].shape[0]) * 10 * spec.head_dim as u128
            }
            Op::CachedAttention(spec) => {
                let longest = inputs[3].shape[1].saturating_mul(inputs[1].shape[2]);
                let keys = longest.min(spec.window.unwrap_or(usize::MAX));
                4 * inputs[0].elements() as u128 * keys as u128
            }
            Op::GatherBackward { .. } => inputs[1].elements() as u128,
            Op::CrossEntropy { .. } => head_products(inputs, 1),
            Op::CrossEntropyBackward { .. } => head_products(inputs, 3),
            Op::MeanSquaredError => 3 * inputs[0].elements() as u128,
            Op::MeanSquaredErrorBackward => 3 * n,
            Op::GlobalNorm => inputs.iter().map(|t| 2 * t.elements() as u128).sum(),
            Op::ClipFactor { .. } => 2,
            Op::AdamW(_) => 14 * n,
            Op::Muon(spec) => {
                let (rows, cols) = (inputs[0].shape[0], inputs[0].shape[1]);
                let (small, large) = (rows.min(cols) as u128, rows.max(cols) as u128);
                // X·Xᵀ, its square, and the product with X, in each iteration.
                let iteration = 2 * (2 * small * small * large + small * small * small);
                (spec.iterations as u128).saturating_mul(iteration).saturating_add(8 * n)
            }
        }
    }
}

/// Of a nonlinearity, and of its slope times a gradient.
fn nonlinear_flops(f: Nonlinearity) -> (u128, u128) {
    match f {
        Nonlinearity::Relu => (1, 1),
        Nonlinearity::ReluSquared | Nonlinearity::Silu => (2, 3),
        Nonlinearity::GeluExact => (4, 8),
        Nonlinearity::Gelu => (8, 14),
        Nonlinearity::SoftCap { .. } => (3, 5),
    }
}

/// Query-key pairs of all heads that the mask allows (segments are data and not counted).
fn attention_pairs(spec: &AttentionSpec, tokens: usize) -> u128 {
    let time = (tokens / spec.batch) as u128;
    let window = spec.window.map_or(time, |window| (window as u128).min(time));
    // 1 + 2 + … up to the window, then a full window for each later query.
    let causal = window * (window + 1) / 2 + (time - window) * window;
    // Both sides of the diagonal.
    let per_head = if spec.causal { causal } else { 2 * causal - time };
    spec.batch as u128 * spec.heads as u128 * per_head
}

fn head_products(inputs: &[&TensorType], products: u128) -> u128 {
    let [tokens, features] = [0, 1].map(|i| inputs[0].shape[i] as u128);
    let vocab = inputs[1].shape[0] as u128;
    products * 2 * tokens * features * vocab + 4 * tokens * vocab
}
