//! What engines keep and return: buffers in their memory, state by name, and the results of a run
//! that may still be in the making. No engine here.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{EngineError, GraphError, Tensor, TensorType};

/// A device of an engine, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub usize);

impl DeviceId {
    /// Whether an engine of so many devices has this one.
    ///
    /// # Errors
    /// [`EngineError::UnknownDevice`].
    pub fn check(self, devices: usize) -> Result<(), EngineError> {
        if self.0 < devices {
            Ok(())
        } else {
            Err(EngineError::UnknownDevice { device: self, devices })
        }
    }
}

/// Tensors returned by a run, by output name.
pub type Outputs = BTreeMap<String, Tensor>;

/// A tensor kept by an engine, in whatever memory it uses. Cloning shares it: executables read one
/// buffer at the same time, and the bytes are freed with the last clone. A run that updates a
/// shared buffer leaves it as it is and stores a new one.
#[derive(Clone)]
pub struct Buffer {
    /// Type of the tensor.
    pub ty: TensorType,
    /// Where it lies.
    pub device: DeviceId,
    handle: Arc<dyn Any + Send + Sync>,
}

impl Buffer {
    /// A buffer with the engine's own handle.
    pub fn new(ty: TensorType, device: DeviceId, handle: impl Any + Send + Sync) -> Self {
        Buffer { ty, device, handle: Arc::new(handle) }
    }

    /// The handle, for the engine that made it: `None` when another one did.
    pub fn handle<T: Any>(&self) -> Option<&T> {
        self.handle.downcast_ref()
    }

    /// Whether another clone of this buffer is alive.
    pub fn is_shared(&mut self) -> bool {
        Arc::get_mut(&mut self.handle).is_none()
    }
}

/// State by name: parameters, moments, caches. Runs read it and update it in place. A clone shares
/// its buffers.
#[derive(Clone, Default)]
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

/// The outputs of a run, as its engine holds them.
pub trait PendingRun: Send {
    /// Whether the results can be had without waiting.
    fn is_ready(&self) -> bool;

    /// Waits, and copies the outputs to the host.
    ///
    /// # Errors
    /// What went wrong in the run.
    fn outputs(self: Box<Self>) -> Result<Outputs, EngineError>;

    /// Leaves the outputs in the engine's memory; an engine may return before they are computed.
    ///
    /// # Errors
    /// What went wrong in the run, if that is known by now; out of memory.
    fn buffers(self: Box<Self>) -> Result<Buffers, EngineError>;
}

/// The outputs of a run, which may still be in progress. State is updated whether this is used or
/// dropped.
#[must_use = "errors of a run that was deferred are reported here"]
pub struct Pending(Box<dyn PendingRun>);

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("is_ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl Pending {
    /// The outputs as an engine holds them.
    pub fn new(run: impl PendingRun + 'static) -> Self {
        Pending(Box::new(run))
    }

    /// See [`PendingRun::is_ready`].
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// See [`PendingRun::outputs`].
    ///
    /// # Errors
    /// As there.
    pub fn outputs(self) -> Result<Outputs, EngineError> {
        self.0.outputs()
    }

    /// See [`PendingRun::buffers`].
    ///
    /// # Errors
    /// As there.
    pub fn buffers(self) -> Result<Buffers, EngineError> {
        self.0.buffers()
    }
}
