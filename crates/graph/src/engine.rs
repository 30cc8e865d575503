//! What an engine is: it compiles programs and keeps state between their runs. No implementation
//! here but the reference's (`reference::ReferenceEngine`).

use std::any::Any;
use std::collections::BTreeMap;

use crate::{GraphError, Program, Tensor, TensorType};

/// Tensors returned by a run, by output name.
pub type Outputs = BTreeMap<String, Tensor>;

/// A tensor kept by an engine, in whatever memory it uses.
pub struct Buffer {
    /// Type of the tensor.
    pub ty: TensorType,
    /// The engine's own handle.
    pub handle: Box<dyn Any + Send>,
}

/// State by name: parameters, moments, caches. Runs read it and update it in place.
#[derive(Default)]
pub struct Buffers(pub BTreeMap<String, Buffer>);

impl Buffers {
    /// An empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a buffer under a name, replacing what was there.
    pub fn insert(&mut self, name: impl Into<String>, buffer: Buffer) {
        self.0.insert(name.into(), buffer);
    }

    /// The buffer of a name.
    ///
    /// # Errors
    /// [`GraphError::UnknownName`] lists the first names there are.
    pub fn get(&self, name: &str) -> Result<&Buffer, GraphError> {
        self.0.get(name).ok_or_else(|| GraphError::UnknownName {
            kind: "state",
            name: name.to_owned(),
            known: self.0.keys().take(8).cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

/// Memory an executable needs, known before it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes of the state inputs.
    pub state_bytes: usize,
    /// Bytes of all intermediate values, overlaid by lifetime.
    pub arena_bytes: usize,
    /// Bytes of kernel scratch, all threads together.
    pub scratch_bytes: usize,
}

impl MemoryPlan {
    /// Bytes of everything.
    pub const fn total_bytes(&self) -> usize {
        self.state_bytes + self.arena_bytes + self.scratch_bytes
    }
}

/// Errors of compiling or running.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The program, its bindings or its data are wrong.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The plan exceeds the limit given.
    #[error(
        "the program needs {} MiB (state {}, values {}, scratch {}), the limit is {} MiB; \
         use a smaller batch or model, more recomputation, or raise --memory-limit",
        plan.total_bytes() >> 20, plan.state_bytes >> 20, plan.arena_bytes >> 20,
        plan.scratch_bytes >> 20, limit_bytes >> 20
    )]
    MemoryLimit {
        /// What is needed.
        plan: MemoryPlan,
        /// What was allowed.
        limit_bytes: usize,
    },
    /// The system refused memory.
    #[error("cannot allocate {bytes} bytes for {what}; use a smaller batch or model")]
    OutOfMemory {
        /// What was asked for.
        bytes: usize,
        /// What for.
        what: String,
    },
    /// The engine cannot be set up on this machine.
    #[error("{0}")]
    Setup(String),
    /// A buffer was made by another engine.
    #[error("the buffer `{0}` was made by another engine; upload it to this one")]
    ForeignBuffer(String),
    /// The engine does not run this op with these types.
    #[error("this engine does not run {op} on {types}")]
    Unsupported {
        /// Op name.
        op: &'static str,
        /// Types of the inputs.
        types: String,
    },
}

/// Compiles programs and moves tensors in and out of its memory.
pub trait Engine: Send + Sync {
    /// Name and hardware, for reports: `native (avx512, 2 threads)`.
    fn name(&self) -> String;

    /// Copies a tensor into the engine.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`].
    fn upload(&self, tensor: &Tensor) -> Result<Buffer, EngineError>;

    /// Copies a buffer out of the engine.
    ///
    /// # Errors
    /// [`EngineError::ForeignBuffer`].
    fn download(&self, buffer: &Buffer) -> Result<Tensor, EngineError>;

    /// Plans a program. No state is needed yet.
    ///
    /// # Errors
    /// [`EngineError::MemoryLimit`] when a limit is set and exceeded, [`EngineError::Unsupported`].
    fn compile(&self, program: &Program) -> Result<Box<dyn Executable>, EngineError>;
}

/// A program ready to run.
pub trait Executable: Send {
    /// The program as compiled.
    fn program(&self) -> &Program;

    /// Memory it needs.
    fn memory(&self) -> MemoryPlan;

    /// Runs once: reads state and data, updates state, returns the returned outputs.
    ///
    /// # Errors
    /// Missing or mistyped state or data, an index outside its table. State is as before when
    /// the bindings are at fault.
    fn run(
        &mut self,
        state: &mut Buffers,
        data: &[(&str, &Tensor)],
    ) -> Result<Outputs, EngineError>;
}
