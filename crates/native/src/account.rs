//! The memory of one engine: what its live programs and buffers take together, under one limit, and
//! the workspaces that programs borrow for a run. Programs that run one after another use the same
//! workspace, so a trainer and its evaluator, or a decoder in all its sizes, cost no more than the
//! largest of them. Allocates through `memory`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use stoa_graph::{EngineError, MemoryPlan};

use crate::dispatch::Caches;
use crate::memory::{Block, Chunks};

/// The account of an engine.
pub(crate) struct Memory {
    limit_bytes: Option<usize>,
    ledger: Mutex<Ledger>,
    chunks: Chunks,
    /// Held by who reads buffers; alone by who brings some into another order.
    pub orders: RwLock<()>,
}

/// Intermediate values and scratch of a program while it runs. The arena holds whatever the last
/// program left: every value is written before it is read.
pub(crate) struct Workspace {
    pub arena: Block,
    pub caches: Caches,
    /// Bytes on the account.
    bytes: usize,
}

#[derive(Default)]
struct Ledger {
    /// Bytes of the buffers that are alive.
    state_bytes: usize,
    /// Bytes of all arenas, borrowed ones included.
    arena_bytes: usize,
    /// Programs that are alive.
    plans: BTreeMap<u64, MemoryPlan>,
    next_plan: u64,
    free: Vec<Workspace>,
}

impl Ledger {
    /// The largest of something over the live programs.
    fn most(&self, bytes: fn(&MemoryPlan) -> usize) -> usize {
        self.plans.values().map(bytes).max().unwrap_or(0)
    }

    /// Bytes in use once every live program has its state and its workspace.
    fn total_bytes(&self) -> usize {
        self.state_bytes.max(self.most(|plan| plan.state_bytes))
            + self.arena_bytes.max(self.most(|plan| plan.arena_bytes))
            + self.most(|plan| plan.scratch_bytes)
    }

    /// Frees unused workspaces, those that `keep` names excepted.
    fn trim(&mut self, keep: impl Fn(&Workspace) -> bool) {
        let bytes = |free: &[Workspace]| free.iter().map(|w| w.bytes).sum::<usize>();
        let before = bytes(&self.free);
        self.free.retain(keep);
        self.arena_bytes -= before - bytes(&self.free);
    }

    /// Frees unused workspaces that are larger than any live program asks for.
    fn trim_to_plans(&mut self) {
        let most = self.most(|plan| plan.arena_bytes);
        self.trim(|w| w.bytes <= most);
    }
}

impl Memory {
    /// An account with nothing in use.
    pub fn new(limit_bytes: Option<usize>) -> Arc<Self> {
        Arc::new(Memory {
            limit_bytes,
            ledger: Mutex::default(),
            chunks: Chunks::default(),
            orders: RwLock::default(),
        })
    }

    /// Bytes that may be in use.
    pub fn limit_bytes(&self) -> Option<usize> {
        self.limit_bytes
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No code that may panic runs under the lock.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the ledger keeps to the limit with something new in it.
    fn check(
        &self,
        ledger: &Ledger,
        what: &'static str,
        plan: MemoryPlan,
    ) -> Result<(), EngineError> {
        let total_bytes = ledger.total_bytes();
        match self.limit_bytes {
            Some(limit_bytes) if total_bytes > limit_bytes => {
                Err(EngineError::MemoryLimit { what, plan, total_bytes, limit_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Zeroed bytes for a buffer, which are not touched before they are written to.
    ///
    /// # Errors
    /// [`EngineError::MemoryLimit`], [`EngineError::OutOfMemory`].
    pub fn state(self: &Arc<Self>, bytes: usize) -> Result<StateBlock, EngineError> {
        {
            let mut ledger = self.ledger();
            ledger.state_bytes += bytes;
            let plan = MemoryPlan { state_bytes: bytes, ..MemoryPlan::default() };
            if let Err(error) = self.check(&ledger, "a buffer", plan) {
                ledger.state_bytes -= bytes;
                return Err(error);
            }
        }
        let booked = Booked { memory: Arc::clone(self), bytes };
        let in_panels = AtomicBool::new(false);
        Ok(StateBlock { block: self.chunks.block(bytes, "state")?, booked, in_panels })
    }

    /// Notes a program of which `arena_bytes` are for its values, the rest of its plan's arena being
    /// the data of a run. Its workspace is allocated at once.
    ///
    /// # Errors
    /// [`EngineError::MemoryLimit`], [`EngineError::OutOfMemory`].
    pub fn program(
        self: &Arc<Self>,
        plan: MemoryPlan,
        arena_bytes: usize,
    ) -> Result<Live, EngineError> {
        let live = {
            let mut ledger = self.ledger();
            let id = ledger.next_plan;
            ledger.next_plan += 1;
            ledger.plans.insert(id, plan);
            if let Err(error) = self.check(&ledger, "the program", plan) {
                ledger.plans.remove(&id);
                return Err(error);
            }
            Live { memory: Arc::clone(self), id }
        };
        drop(self.borrow(arena_bytes)?);
        Ok(live)
    }

    /// A workspace of at least so many bytes, until it is dropped. Only programs that run at the
    /// same time need a second one.
    ///
    /// # Errors
    /// As [`Memory::program`].
    pub fn borrow(self: &Arc<Self>, bytes: usize) -> Result<Borrowed, EngineError> {
        let mut ledger = self.ledger();
        let workspace = match ledger.free.iter().position(|w| w.bytes >= bytes) {
            Some(at) => ledger.free.swap_remove(at),
            None => {
                ledger.trim(|_| false);
                ledger.arena_bytes += bytes;
                let plan = MemoryPlan { arena_bytes: bytes, ..MemoryPlan::default() };
                let arena = self
                    .check(&ledger, "a program that runs at the same time as another", plan)
                    .and_then(|()| Block::zeroed(bytes, "intermediate values"));
                if arena.is_err() {
                    ledger.arena_bytes -= bytes;
                }
                Workspace { arena: arena?, caches: Caches::default(), bytes }
            }
        };
        Ok(Borrowed { memory: Arc::clone(self), workspace: Some(workspace) })
    }
}

/// A workspace in use.
pub(crate) struct Borrowed {
    memory: Arc<Memory>,
    workspace: Option<Workspace>,
}

impl Borrowed {
    /// The workspace.
    pub fn get(&mut self) -> &mut Workspace {
        self.workspace.as_mut().expect("there until dropped")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut ledger = self.memory.ledger();
        ledger.free.extend(self.workspace.take());
        ledger.trim_to_plans();
    }
}

/// Bytes on the account until dropped.
struct Booked {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Drop for Booked {
    fn drop(&mut self) {
        self.memory.ledger().state_bytes -= self.bytes;
    }
}

/// The bytes of a buffer.
pub(crate) struct StateBlock {
    block: Block,
    booked: Booked,
    /// Whether they are a matrix in panels (see `gemm::panels`); changes under [`Memory::orders`].
    in_panels: AtomicBool,
}

impl StateBlock {
    /// Address of the first byte.
    pub fn start(&self) -> *mut u8 {
        self.block.start()
    }

    /// The block, to be written.
    pub fn block_mut(&mut self) -> &mut Block {
        &mut self.block
    }

    /// Whether the bytes are a matrix in panels.
    pub fn in_panels(&self) -> bool {
        self.in_panels.load(Ordering::Relaxed)
    }

    /// Notes that the bytes are now in panels, or no longer.
    pub fn set_in_panels(&self, in_panels: bool) {
        self.in_panels.store(in_panels, Ordering::Relaxed);
    }

    /// Bytes of the buffer.
    pub fn bytes(&self) -> usize {
        self.booked.bytes
    }

    /// Another block with the same bytes.
    ///
    /// # Errors
    /// As [`Memory::state`].
    pub fn copy(&self) -> Result<StateBlock, EngineError> {
        let bytes = self.booked.bytes;
        let mut copy = self.booked.memory.state(bytes)?;
        // SAFETY: the block has at least these bytes, initialised when it was made; who could write
        // them holds the only handle to them.
        let from = unsafe { std::slice::from_raw_parts(self.start(), bytes) };
        copy.block.bytes_mut()[..bytes].copy_from_slice(from);
        copy.set_in_panels(self.in_panels());
        Ok(copy)
    }
}

/// A live program on the account.
pub(crate) struct Live {
    memory: Arc<Memory>,
    id: u64,
}

impl Live {
    /// The account.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut ledger = self.memory.ledger();
        ledger.plans.remove(&self.id);
        ledger.trim_to_plans();
    }
}
