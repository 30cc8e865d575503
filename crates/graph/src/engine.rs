//! What an engine is: it compiles programs, keeps state between their runs and knows its machine.
//! No implementation here but the reference's (`reference::ReferenceEngine`).

use std::collections::BTreeMap;

use crate::{Buffer, Buffers, DType, DeviceId, GraphError, Pending, Program, Tensor, TensorType};

/// What is known of an engine and its machine without running anything.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineFacts {
    /// Name and hardware, for reports: `native (avx512, 2 threads)`.
    pub name: String,
    /// Names of the devices, by [`DeviceId`]; at least one.
    pub devices: Vec<String>,
    /// Bytes that all programs and buffers of the engine may take together; `None` for no limit.
    pub memory_limit_bytes: Option<usize>,
    /// Highest rate of arithmetic seen so far in FLOP/s, by type of the factors; see
    /// [`Engine::sample_peak`]. Types without an entry are not measured.
    pub peak_flops: BTreeMap<DType, f64>,
}

/// Where state and data lie, by the name of the input. Names that are not given lie on the first
/// device; names that a program does not have are ignored, so that one placement serves all
/// programs of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement(pub BTreeMap<String, DeviceId>);

impl Placement {
    /// The device of an input.
    pub fn device(&self, input: &str) -> DeviceId {
        self.0.get(input).copied().unwrap_or_default()
    }

    /// Whether an engine of so many devices can place every input of a program.
    ///
    /// # Errors
    /// [`EngineError::UnknownDevice`].
    pub fn check(&self, program: &Program, devices: usize) -> Result<(), EngineError> {
        let inputs = program.inputs().iter();
        inputs.map(|input| self.device(&input.name)).try_for_each(|device| device.check(devices))
    }
}

/// How a program is compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileOptions {
    /// Where its inputs lie.
    pub placement: Placement,
    /// Whether the engine may keep matrices that the program only reads in an order of its own: for
    /// weights that are read many times and updated by no other program. Other programs read them all
    /// the same, and an engine may ignore it.
    pub pack_weights: bool,
}

impl From<&Placement> for CompileOptions {
    fn from(placement: &Placement) -> Self {
        CompileOptions { placement: placement.clone(), ..CompileOptions::default() }
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
    /// What is asked for and what is in use exceed the limit together.
    #[error(
        "{what} needs {} MiB (state {}, values {}, scratch {}); with all that is in use that makes \
         {} MiB, and the limit is {} MiB; use a smaller batch or model, more recomputation, or \
         raise --memory-limit",
        plan.total_bytes() >> 20, plan.state_bytes >> 20, plan.arena_bytes >> 20,
        plan.scratch_bytes >> 20, total_bytes >> 20, limit_bytes >> 20
    )]
    MemoryLimit {
        /// What needs it: `the program`, `a buffer`.
        what: &'static str,
        /// What is needed for it.
        plan: MemoryPlan,
        /// What all programs and buffers of the engine would take with it.
        total_bytes: usize,
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
    /// A device that the engine does not have.
    #[error("there is no device {}; the engine has {devices}, counted from 0", device.0)]
    UnknownDevice {
        /// The device asked for.
        device: DeviceId,
        /// Devices of the engine.
        devices: usize,
    },
    /// A state lies on another device than the program was compiled for.
    #[error("`{name}` lies on device {}, the program expects it on device {}", found.0, expected.0)]
    Misplaced {
        /// Name of the state.
        name: String,
        /// The device of the placement.
        expected: DeviceId,
        /// The device of the buffer.
        found: DeviceId,
    },
    /// A run whose caller did not wait for it failed; what it was to make does not exist.
    #[error("a deferred run failed: {0}")]
    Deferred(String),
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

/// Time spent in the steps of one op, over all profiled runs.
#[derive(Clone, Debug, PartialEq)]
pub struct OpProfile {
    /// Op name; fused steps name both ops.
    pub op: String,
    /// What its products multiply, `None` where it has none: a type, and how where the machine has no
    /// arithmetic of it.
    pub multiplies: Option<&'static str>,
    /// Steps of this op in one run.
    pub steps: usize,
    /// Seconds of all runs.
    pub seconds: f64,
    /// Floating-point operations of one run, by the graph's cost.
    pub flops: u64,
    /// Bytes of one run, by the graph's cost.
    pub bytes: u64,
}

/// Compiles programs and moves tensors in and out of its memory.
pub trait Engine: Send + Sync {
    /// What is known of it. Cheap.
    fn facts(&self) -> EngineFacts;

    /// Measures the peak once more, for some milliseconds. [`EngineFacts::peak_flops`] is the best
    /// of all samples: one that is disturbed by other work changes nothing, so callers who quote
    /// shares of the peak spread samples over their run. Engines that know their peak do nothing.
    fn sample_peak(&self) {}

    /// Copies a tensor to a device.
    ///
    /// # Errors
    /// [`EngineError::UnknownDevice`], [`EngineError::MemoryLimit`], [`EngineError::OutOfMemory`].
    fn upload_to(&self, device: DeviceId, tensor: &Tensor) -> Result<Buffer, EngineError>;

    /// Copies a tensor to the first device.
    ///
    /// # Errors
    /// See [`Engine::upload_to`].
    fn upload(&self, tensor: &Tensor) -> Result<Buffer, EngineError> {
        self.upload_to(DeviceId::default(), tensor)
    }

    /// A buffer of zeros on a device. An engine may take its memory when it is first written to: the
    /// limit counts it from here on.
    ///
    /// # Errors
    /// See [`Engine::upload_to`].
    fn zeros_on(&self, device: DeviceId, ty: &TensorType) -> Result<Buffer, EngineError> {
        self.upload_to(device, &Tensor::zeros(ty))
    }

    /// Copies a buffer out of the engine, after the runs that it comes from.
    ///
    /// # Errors
    /// [`EngineError::ForeignBuffer`], or that of a run.
    fn download(&self, buffer: &Buffer) -> Result<Tensor, EngineError>;

    /// Plans a program. No state is needed yet.
    ///
    /// # Errors
    /// [`EngineError::MemoryLimit`] when a limit is set and all live programs and buffers exceed it
    /// with this one, [`EngineError::UnknownDevice`], [`EngineError::Unsupported`].
    fn compile(
        &self,
        program: &Program,
        options: &CompileOptions,
    ) -> Result<Box<dyn Executable>, EngineError>;
}

/// A program ready to run.
pub trait Executable: Send {
    /// The program as compiled.
    fn program(&self) -> &Program;

    /// Memory it needs.
    fn memory(&self) -> MemoryPlan;

    /// Runs once: reads state and data, updates state, returns the returned outputs. An engine may
    /// return before the work is done; later runs and downloads see its results all the same.
    /// State that is updated is donated: it changes in place, unless its buffer is shared (see
    /// [`Buffer`]); then `state` gets a buffer of its own and the others keep what they have.
    ///
    /// # Errors
    /// Missing, mistyped or misplaced state or data, an index outside its table. State is as before
    /// when the bindings are at fault.
    fn run(
        &mut self,
        state: &mut Buffers,
        data: &[(&str, &Tensor)],
    ) -> Result<Pending, EngineError>;

    /// Starts counting time by step, where the engine can.
    fn start_profile(&mut self) {}

    /// Ends counting; time by op, longest first. Empty when no profile was started.
    fn take_profile(&mut self) -> Vec<OpProfile> {
        Vec::new()
    }
}
