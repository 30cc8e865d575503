//! The reference as an engine, so that models and training run on the oracle. Keeps state in f64.

use std::collections::BTreeMap;

use super::{Array, Rounding, evaluate};
use crate::{
    Buffer, Buffers, CompileOptions, DeviceId, Engine, EngineError, EngineFacts, Executable,
    GraphError, InputKind, MemoryPlan, Output, Outputs, Pending, PendingRun, Program, Tensor,
    TensorType,
};

/// Runs programs on the reference. State stays in f64 between runs when rounding is
/// [`Rounding::Exact`]; what is returned or downloaded is rounded to its declared type. A quantised
/// state comes back as its numbers quantise, which need not be the blocks that were uploaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceEngine {
    rounding: Rounding,
}

impl ReferenceEngine {
    /// An engine with this rounding.
    pub const fn new(rounding: Rounding) -> Self {
        ReferenceEngine { rounding }
    }
}

impl Engine for ReferenceEngine {
    fn facts(&self) -> EngineFacts {
        let name = match self.rounding {
            Rounding::Exact => "reference (f64)",
            Rounding::Declared => "reference (f64, rounded to declared types)",
        };
        EngineFacts {
            name: name.into(),
            devices: vec!["host".into()],
            memory_limit_bytes: None,
            peak_flops: BTreeMap::new(),
        }
    }

    fn upload_to(&self, device: DeviceId, tensor: &Tensor) -> Result<Buffer, EngineError> {
        device.check(1)?;
        Ok(Buffer::new(tensor.ty(), device, Array::from(tensor)))
    }

    fn download(&self, buffer: &Buffer) -> Result<Tensor, EngineError> {
        let array = array("download", buffer)?;
        Ok(array.to_tensor(buffer.ty.dtype)?)
    }

    fn compile(
        &self,
        program: &Program,
        options: &CompileOptions,
    ) -> Result<Box<dyn Executable>, EngineError> {
        options.placement.check(program, 1)?;
        Ok(Box::new(ReferenceExecutable { program: program.clone(), rounding: self.rounding }))
    }
}

fn array<'a>(name: &str, buffer: &'a Buffer) -> Result<&'a Array, EngineError> {
    buffer.handle().ok_or_else(|| EngineError::ForeignBuffer(name.to_owned()))
}

/// The returned values of a run that is done.
struct Returned(Vec<(String, TensorType, Array)>);

impl PendingRun for Returned {
    fn is_ready(&self) -> bool {
        true
    }

    fn outputs(self: Box<Self>) -> Result<Outputs, EngineError> {
        let tensor =
            |(name, ty, array): (String, TensorType, Array)| Ok((name, array.to_tensor(ty.dtype)?));
        self.0.into_iter().map(tensor).collect()
    }

    fn buffers(self: Box<Self>) -> Result<Buffers, EngineError> {
        let buffer = |(name, ty, array)| (name, Buffer::new(ty, DeviceId::default(), array));
        Ok(Buffers(self.0.into_iter().map(buffer).collect()))
    }
}

struct ReferenceExecutable {
    program: Program,
    rounding: Rounding,
}

/// What is bound to the inputs of a program, in their order. `kept` gives what an engine keeps for a
/// state and `copied` what it makes of data.
///
/// # Errors
/// Missing, mistyped or unknown state or data.
pub(super) fn bind<T>(
    program: &Program,
    state: &Buffers,
    data: &[(&str, &Tensor)],
    kept: impl Fn(&str, &Buffer) -> Result<T, EngineError>,
    copied: impl Fn(&Tensor) -> T,
) -> Result<Vec<T>, EngineError> {
    for (name, _) in data {
        program.input(name)?;
    }
    let data: BTreeMap<&str, &Tensor> = data.iter().copied().collect();
    let mut given = Vec::new();
    for input in program.inputs() {
        let expected = program.ty(input.value);
        let (found, bound) = match input.kind {
            InputKind::State => {
                let buffer = state.get(&input.name)?;
                (buffer.ty.clone(), kept(&input.name, buffer)?)
            }
            InputKind::Data => {
                let tensor = data.get(input.name.as_str()).ok_or_else(|| {
                    let (name, expected) = (input.name.clone(), expected.clone());
                    GraphError::Unbound { name, expected }
                })?;
                (tensor.ty(), copied(tensor))
            }
        };
        if found != *expected {
            let (name, expected) = (input.name.clone(), expected.clone());
            return Err(GraphError::Binding { name, expected, found }.into());
        }
        given.push(bound);
    }
    Ok(given)
}

/// Memory of a program whose values are all kept in f64.
pub(super) fn memory_plan(program: &Program) -> MemoryPlan {
    let states = program.inputs().iter().filter(|i| i.kind == InputKind::State);
    let elements = |v| program.ty(v).elements();
    let made = program.nodes().iter().flat_map(|n| &n.outputs);
    MemoryPlan {
        state_bytes: states.map(|i| elements(i.value) * size_of::<f64>()).sum(),
        arena_bytes: made.map(|&v| elements(v) * size_of::<f64>()).sum(),
        scratch_bytes: 0,
    }
}

impl Executable for ReferenceExecutable {
    fn program(&self) -> &Program {
        &self.program
    }

    fn memory(&self) -> MemoryPlan {
        memory_plan(&self.program)
    }

    fn run(
        &mut self,
        state: &mut Buffers,
        data: &[(&str, &Tensor)],
    ) -> Result<Pending, EngineError> {
        let kept = |name: &str, buffer: &Buffer| Ok(array(name, buffer)?.clone());
        let given = bind(&self.program, state, data, kept, |tensor| Array::from(tensor))?;
        let given: Vec<Option<&Array>> = given.iter().map(Some).collect();
        let values = evaluate(&self.program, &given, self.rounding)?;
        let mut returned = Vec::new();
        for output in self.program.outputs() {
            let ty = self.program.ty(output.value()).clone();
            let array = values[output.value().index()].clone();
            match output {
                Output::Returned { name, .. } => returned.push((name.clone(), ty, array)),
                Output::Updates { state: name, .. } => {
                    state.insert(name.clone(), Buffer::new(ty, DeviceId::default(), array));
                }
            }
        }
        Ok(Pending::new(Returned(returned)))
    }
}
