//! Range checks of indices before a run touches memory: what kernels do without bounds of their own
//! rests on them. Which inputs are indices, and how far they reach, is a fact of the op.

use stoa_graph::{Elements, EngineError, GraphError, IntegerInput, Node, Program, ValueId};

/// An index tensor to be checked before a run touches anything.
pub(crate) struct IndexCheck {
    op: &'static str,
    indices: Indices,
    limit: usize,
    /// −1 stands for "none".
    optional: bool,
    /// Where these are −1, the index at the same position is not read.
    unless: Option<Indices>,
}

/// Where indices come from.
#[derive(Clone, Copy)]
enum Indices {
    /// This input of the program.
    Input(usize),
    /// The same index everywhere.
    Filled(i32),
}

impl Indices {
    /// The source of a value: an input or a constant, reshaped or not; `None` for one that is known
    /// only while the program runs.
    fn of(program: &Program, value: ValueId) -> Option<Self> {
        if let Some(input) = program.inputs().iter().position(|i| i.value == value) {
            return Some(Indices::Input(input));
        }
        let node = program.nodes().iter().find(|node| node.outputs.contains(&value))?;
        match node.op.facts().elements {
            Elements::Viewed => Self::of(program, node.inputs[0]),
            Elements::Constant(value) => Some(Indices::Filled(value as i32)),
            Elements::Computed => None,
        }
    }
}

/// The checks a program needs.
///
/// # Errors
/// [`EngineError::Unsupported`] for an op whose indices are computed by the program: they could not
/// be checked before the run.
pub(crate) fn index_checks(program: &Program) -> Result<Vec<IndexCheck>, EngineError> {
    let mut checks = Vec::new();
    for node in program.nodes() {
        for integers in node.op.facts().integers {
            checks.extend(index_check(program, node, integers)?);
        }
    }
    Ok(checks)
}

fn index_check(
    program: &Program,
    node: &Node,
    integers: IntegerInput,
) -> Result<Option<IndexCheck>, EngineError> {
    let types = program.input_types(node);
    let Some(limit) = integers.bound.limit(&types) else { return Ok(None) };
    let source = |input: usize| {
        Indices::of(program, node.inputs[input]).ok_or_else(|| {
            let types = types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let types = format!("{types} with computed indices (input {input})");
            EngineError::Unsupported { op: node.op.name(), types }
        })
    };
    Ok(Some(IndexCheck {
        op: node.op.name(),
        indices: source(integers.input)?,
        limit,
        optional: integers.optional,
        unless: integers.unless.map(source).transpose()?,
    }))
}

impl IndexCheck {
    /// Checks the indices; `given` has the elements of an input.
    ///
    /// # Errors
    /// [`GraphError::Index`] names the first index out of range.
    pub fn check<'a>(&self, given: impl Fn(usize) -> &'a [i32]) -> Result<(), GraphError> {
        let at = |indices: Indices, position: usize| match indices {
            Indices::Input(input) => given(input)[position],
            Indices::Filled(index) => index,
        };
        let count = match self.indices {
            Indices::Input(input) => given(input).len(),
            // All are alike, unless what switches them off is not.
            Indices::Filled(_) => match self.unless {
                Some(Indices::Input(input)) => given(input).len(),
                Some(Indices::Filled(_)) | None => 1,
            },
        };
        let lowest = if self.optional { -1 } else { 0 };
        for position in 0..count {
            let index = at(self.indices, position);
            let outside = index < lowest || i64::from(index) >= self.limit as i64;
            if outside && self.unless.is_none_or(|unless| at(unless, position) != -1) {
                let (index, limit) = (i64::from(index), self.limit);
                return Err(GraphError::Index { op: self.op, index, position, limit });
            }
        }
        Ok(())
    }
}
