//! A program: nodes in SSA form, in the order they run, with named inputs and outputs.
//! Does not check shapes (the builder does) and does not run.

use std::fmt;

use crate::{GraphError, Op, TensorType};

/// A value of a program: an input or the result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// Position in [`Program::types`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One op applied to values.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Its inputs, in the order the op's doc names them.
    pub inputs: Vec<ValueId>,
    /// Its results, likewise.
    pub outputs: Vec<ValueId>,
}

/// Where an input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Kept on the engine between runs under the input's name: parameters, optimizer moments,
    /// caches.
    State,
    /// Given for each run: token ids, targets, the learning rate.
    Data,
}

/// A named input.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name, distinct among inputs.
    pub name: String,
    /// Where it comes from.
    pub kind: InputKind,
    /// Its value in the program.
    pub value: ValueId,
}

/// A named result.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Handed to the caller after the run.
    Returned {
        /// Name, distinct among returned outputs.
        name: String,
        /// The value.
        value: ValueId,
    },
    /// Replaces the state of this name (in place where the engine can): the input is donated.
    Updates {
        /// Name of the state input.
        state: String,
        /// The new value.
        value: ValueId,
    },
}

impl Output {
    /// The value handed out or stored.
    pub const fn value(&self) -> ValueId {
        match self {
            Output::Returned { value, .. } | Output::Updates { value, .. } => *value,
        }
    }
}

/// A static tensor program. Nodes stand in the order they run; each value is made once.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    pub(crate) types: Vec<TensorType>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
}

impl Program {
    /// Types of all values, by [`ValueId::index`].
    pub fn types(&self) -> &[TensorType] {
        &self.types
    }

    /// Type of a value.
    pub fn ty(&self, value: ValueId) -> &TensorType {
        &self.types[value.index()]
    }

    /// Nodes in order of execution.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Outputs.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The input of a name.
    ///
    /// # Errors
    /// [`GraphError::UnknownName`] lists the names there are.
    pub fn input(&self, name: &str) -> Result<&Input, GraphError> {
        self.inputs.iter().find(|i| i.name == name).ok_or_else(|| GraphError::UnknownName {
            kind: "input",
            name: name.to_owned(),
            known: self.inputs.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The types of the input values of a node.
    pub fn input_types(&self, node: &Node) -> Vec<&TensorType> {
        node.inputs.iter().map(|&v| self.ty(v)).collect()
    }

    /// Drops nodes none of whose results reach an output. Values keep their ids.
    pub fn without_dead_nodes(mut self) -> Self {
        let mut live = vec![false; self.types.len()];
        for output in &self.outputs {
            live[output.value().index()] = true;
        }
        let mut keep = vec![false; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if node.outputs.iter().any(|v| live[v.index()]) {
                keep[i] = true;
                node.inputs.iter().for_each(|v| live[v.index()] = true);
            }
        }
        let mut it = keep.iter();
        self.nodes.retain(|_| *it.next().expect("one flag per node"));
        self
    }
}

impl fmt::Display for Program {
    /// One line per node: `%7: f32[4, 8] = matmul{transpose_b}(%1, %2)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for input in &self.inputs {
            writeln!(
                f,
                "%{}: {} = {:?} `{}`",
                input.value.0,
                self.ty(input.value),
                input.kind,
                input.name
            )?;
        }
        for node in &self.nodes {
            let outs: Vec<_> =
                node.outputs.iter().map(|&v| format!("%{}: {}", v.0, self.ty(v))).collect();
            let ins: Vec<_> = node.inputs.iter().map(|v| format!("%{}", v.0)).collect();
            writeln!(f, "{} = {}({})", outs.join(", "), node.op, ins.join(", "))?;
        }
        for output in &self.outputs {
            match output {
                Output::Returned { name, value } => writeln!(f, "return `{name}` = %{}", value.0)?,
                Output::Updates { state, value } => writeln!(f, "update `{state}` = %{}", value.0)?,
            }
        }
        Ok(())
    }
}
