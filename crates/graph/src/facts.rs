//! What is true of an op whatever runs it: which inputs it may overwrite, which inputs are indices
//! and how far they reach, what recomputing its results costs, what it reads and writes. One
//! exhaustive answer per op, so that a new op answers every question before the house compiles.
//! Shape rules, gradients, FLOPs and the reference have a file each.

use crate::{Op, TensorType};

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
    /// Of these the ones that may be quantised.
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
            Op::Cast { .. } => Facts::kept().recomputed(RowWise).weights(&[0]),
            Op::Add => Facts::kept().in_place(&[&[0, 1]]),
            Op::Mul | Op::Gated(_) => Facts::kept().recomputed(RowWise).in_place(&[&[0, 1]]),
            Op::Scale { .. } | Op::Activation(_) => {
                Facts::kept().recomputed(RowWise).in_place(&[&[0]])
            }
            Op::ActivationBackward(_) => Facts::kept().in_place(&[&[1, 0]]),
            Op::GatedBackward(_) => Facts::kept().in_place(&[&[0, 2], &[1]]),
            Op::MatMul { .. } => Facts::kept().recomputed(Projection).weights(&[1]),
            Op::RmsNorm { .. } => Facts::kept().recomputed(RowWise),
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
}
