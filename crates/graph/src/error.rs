//! What can be wrong with a program. Every message shows the shapes involved.

use crate::TensorType;

/// Errors of building, differentiating or binding a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An op was given the wrong number of inputs.
    #[error("{op}: expects {expected} inputs, was given {found}")]
    Arity {
        /// Op name.
        op: &'static str,
        /// What the op takes.
        expected: String,
        /// What it was given.
        found: usize,
    },
    /// Two inputs do not fit each other.
    #[error("{op}: {what}: {left} against {right}")]
    Mismatch {
        /// Op name.
        op: &'static str,
        /// The rule that does not hold.
        what: String,
        /// First type.
        left: TensorType,
        /// Second type.
        right: TensorType,
    },
    /// One input has a type the op does not take.
    #[error("{op}: input `{input}` must be {expected}, is {found}")]
    Input {
        /// Op name.
        op: &'static str,
        /// Role of the input in the op.
        input: &'static str,
        /// What the op takes.
        expected: String,
        /// What it was given.
        found: TensorType,
    },
    /// An attribute of an op makes no sense.
    #[error("{op}: {message}")]
    Attribute {
        /// Op name.
        op: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A gradient was asked for through an output that has none.
    #[error("{op}: output {output} has no gradient; take the loss from a differentiable output")]
    NotDifferentiable {
        /// Op name.
        op: &'static str,
        /// Output index.
        output: usize,
    },
    /// The loss is not a scalar, or does not depend on a parameter.
    #[error("gradient: {0}")]
    Gradient(String),
    /// Two inputs or outputs of a program have the same name.
    #[error("the name `{0}` is used twice; inputs and outputs of a program need distinct names")]
    DuplicateName(String),
    /// A name is not an input or output of the program.
    #[error("the program has no {kind} named `{name}`; it has: {known}")]
    UnknownName {
        /// `input`, `state`, `output`.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// An input of a run was not given.
    #[error("`{name}` ({expected}) was not given; a run needs every input of its program")]
    Unbound {
        /// Input name.
        name: String,
        /// Declared type.
        expected: TensorType,
    },
    /// A tensor bound to an input has another type.
    #[error("`{name}` must be {expected}, was given {found}")]
    Binding {
        /// Input name.
        name: String,
        /// Declared type.
        expected: TensorType,
        /// Type given.
        found: TensorType,
    },
    /// A tensor would not fit any address space.
    #[error("{0} holds more bytes than can be addressed; check the sizes it is made from")]
    TooLarge(TensorType),
    /// Elements do not fill a shape.
    #[error("{ty} holds {} elements, was given {found}", ty.elements())]
    ElementCount {
        /// Declared type.
        ty: TensorType,
        /// Elements given.
        found: usize,
    },
    /// Bytes are not those of a type.
    #[error("{ty} takes {} bytes, was given {found}", ty.size_bytes())]
    ByteCount {
        /// Declared type.
        ty: TensorType,
        /// Bytes given.
        found: usize,
    },
    /// The last dimension is not whole blocks.
    #[error(
        "{ty} does not exist: the last dimension must be a multiple of the {} elements of a block",
        ty.dtype.block().elements
    )]
    PartialBlock {
        /// The type asked for.
        ty: TensorType,
    },
    /// An index read from data lies outside its table.
    #[error("{op}: index {index} at position {position} is outside 0..{limit}")]
    Index {
        /// Op name.
        op: &'static str,
        /// The index found.
        index: i64,
        /// Where in the index tensor.
        position: usize,
        /// Exclusive upper bound.
        limit: usize,
    },
}
