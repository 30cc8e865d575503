//! The reference as an engine of several devices whose runs are deferred: a run is queued, and done
//! when someone waits for its results or for those of a later one. Where inputs lie is recorded and
//! checked; nothing is computed elsewhere. It shows that callers of an engine bear both, and is no
//! faster than the reference.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::engine::{bind, memory_plan};
use super::{Array, ReferenceEngine, Rounding, evaluate};
use crate::{
    Buffer, Buffers, CompileOptions, DeviceId, Engine, EngineError, EngineFacts, Executable,
    MemoryPlan, Output, Outputs, Pending, PendingRun, Placement, Program, Tensor, TensorType,
};

/// Runs programs on the reference, later. Clones share the queue.
#[derive(Clone)]
pub struct DeferredEngine {
    devices: usize,
    rounding: Rounding,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<VecDeque<Run>>,
    /// Where the inputs of every program compiled so far lie.
    placed: Mutex<BTreeMap<String, DeviceId>>,
}

/// A value that a run makes, or the message of the run that failed.
type Slot = Arc<OnceLock<Result<Array, String>>>;

/// A run that waits to be done.
struct Run {
    program: Arc<Program>,
    rounding: Rounding,
    inputs: Vec<Slot>,
    /// By output of the program.
    outputs: Vec<Slot>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn filled(array: Array) -> Slot {
    Arc::new(OnceLock::from(Ok(array)))
}

fn slot(name: &str, buffer: &Buffer) -> Result<Slot, EngineError> {
    let slot = buffer.handle::<Slot>().map(Arc::clone);
    slot.ok_or_else(|| EngineError::ForeignBuffer(name.to_owned()))
}

impl DeferredEngine {
    /// An engine of so many devices.
    pub fn new(devices: usize, rounding: Rounding) -> Self {
        DeferredEngine { devices, rounding, shared: Arc::default() }
    }

    /// Runs that are not done yet.
    pub fn queued(&self) -> usize {
        lock(&self.shared.queue).len()
    }

    /// Where the inputs of the programs compiled so far lie.
    pub fn placed(&self) -> BTreeMap<String, DeviceId> {
        lock(&self.shared.placed).clone()
    }
}

impl Shared {
    /// Does the runs in their order until one has filled the slot.
    fn wait(&self, slot: &Slot) -> Result<Array, EngineError> {
        let mut queue = lock(&self.queue);
        while slot.get().is_none() {
            queue.pop_front().expect("an empty slot belongs to a queued run").perform();
        }
        drop(queue);
        slot.get().expect("filled above").clone().map_err(EngineError::Deferred)
    }
}

impl Run {
    fn perform(self) {
        let inputs: Result<Vec<&Array>, String> = self
            .inputs
            .iter()
            .map(|slot| slot.get().expect("runs are done in order").as_ref().map_err(String::clone))
            .collect();
        let values = inputs.and_then(|inputs| {
            let inputs: Vec<Option<&Array>> = inputs.into_iter().map(Some).collect();
            evaluate(&self.program, &inputs, self.rounding).map_err(|error| error.to_string())
        });
        for (output, slot) in self.program.outputs().iter().zip(&self.outputs) {
            let value = values.as_ref().map(|values| values[output.value().index()].clone());
            // Each slot is filled by the one run that made it.
            let _ = slot.set(value.map_err(String::clone));
        }
    }
}

impl Engine for DeferredEngine {
    fn facts(&self) -> EngineFacts {
        EngineFacts {
            name: format!("reference, deferred ({} devices)", self.devices),
            devices: (0..self.devices).map(|device| format!("host {device}")).collect(),
            ..ReferenceEngine::new(self.rounding).facts()
        }
    }

    fn upload_to(&self, device: DeviceId, tensor: &Tensor) -> Result<Buffer, EngineError> {
        device.check(self.devices)?;
        Ok(Buffer::new(tensor.ty(), device, filled(Array::from(tensor))))
    }

    fn download(&self, buffer: &Buffer) -> Result<Tensor, EngineError> {
        let array = self.shared.wait(&slot("download", buffer)?)?;
        Ok(array.to_tensor(buffer.ty.dtype)?)
    }

    fn compile(
        &self,
        program: &Program,
        options: &CompileOptions,
    ) -> Result<Box<dyn Executable>, EngineError> {
        let placement = options.placement.clone();
        placement.check(program, self.devices)?;
        let names = program.inputs().iter().map(|input| &input.name);
        lock(&self.shared.placed).extend(names.map(|name| (name.clone(), placement.device(name))));
        let (engine, program) = (self.clone(), Arc::new(program.clone()));
        Ok(Box::new(DeferredExecutable { engine, program, placement }))
    }
}

struct DeferredExecutable {
    engine: DeferredEngine,
    program: Arc<Program>,
    placement: Placement,
}

impl Executable for DeferredExecutable {
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
        let kept = |name: &str, buffer: &Buffer| {
            let (expected, found) = (self.placement.device(name), buffer.device);
            if expected != found {
                return Err(EngineError::Misplaced { name: name.to_owned(), expected, found });
            }
            slot(name, buffer)
        };
        let inputs = bind(&self.program, state, data, kept, |tensor| filled(Array::from(tensor)))?;
        let outputs: Vec<Slot> = self.program.outputs().iter().map(|_| Slot::default()).collect();
        let mut returned = Vec::new();
        for (output, slot) in self.program.outputs().iter().zip(&outputs) {
            let ty = self.program.ty(output.value()).clone();
            let slot = Arc::clone(slot);
            match output {
                Output::Returned { name, .. } => returned.push((name.clone(), ty, slot)),
                Output::Updates { state: name, .. } => {
                    state.insert(name.clone(), Buffer::new(ty, self.placement.device(name), slot));
                }
            }
        }
        let (program, rounding) = (Arc::clone(&self.program), self.engine.rounding);
        let shared = Arc::clone(&self.engine.shared);
        lock(&shared.queue).push_back(Run { program, rounding, inputs, outputs });
        Ok(Pending::new(Queued { shared, returned }))
    }
}

/// The outputs of a run that may still be queued.
struct Queued {
    shared: Arc<Shared>,
    returned: Vec<(String, TensorType, Slot)>,
}

impl PendingRun for Queued {
    fn is_ready(&self) -> bool {
        self.returned.iter().all(|(_, _, slot)| slot.get().is_some())
    }

    fn outputs(self: Box<Self>) -> Result<Outputs, EngineError> {
        let returned = self.returned.iter();
        let tensors = returned.map(|(name, ty, slot)| {
            Ok((name.clone(), self.shared.wait(slot)?.to_tensor(ty.dtype)?))
        });
        tensors.collect()
    }

    fn buffers(self: Box<Self>) -> Result<Buffers, EngineError> {
        let buffer = |(name, ty, slot)| (name, Buffer::new(ty, DeviceId::default(), slot));
        Ok(Buffers(self.returned.into_iter().map(buffer).collect()))
    }
}
