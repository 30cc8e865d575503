//! Aligned, zeroed byte blocks: the arena and the buffers of state. Allocation failure is an
//! error, not an abort, so that an absurd size is refused politely.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use stoa_graph::EngineError;

use crate::plan::ALIGNMENT;

/// A block of zeroed bytes at a [`ALIGNMENT`]-byte boundary.
pub(crate) struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the block owns its bytes, which are plain data.
unsafe impl Send for Block {}
// SAFETY: shared access only reads the pointer; whoever writes through it holds the block mutably.
unsafe impl Sync for Block {}

impl Block {
    /// Allocates `bytes` zeroed bytes for `what`.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`] when the system refuses.
    pub fn zeroed(bytes: usize, what: &str) -> Result<Block, EngineError> {
        let refused = || EngineError::OutOfMemory { bytes, what: what.to_owned() };
        let layout =
            Layout::from_size_align(bytes.max(ALIGNMENT), ALIGNMENT).map_err(|_| refused())?;
        // SAFETY: the layout has a size above zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
        Ok(Block { start, layout })
    }

    /// Address of the first byte.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The first `count` elements, to be changed.
    ///
    /// # Panics
    /// If the block is smaller.
    pub fn elements_mut<T: bytemuck::Pod>(&mut self, count: usize) -> &mut [T] {
        assert!(count * size_of::<T>() <= self.layout.size(), "write beyond the block");
        // SAFETY: in bounds, aligned to 64 bytes, initialised (zeroed), T is plain data, and the
        // block is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start().cast(), count) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout.
        unsafe { dealloc(self.start(), self.layout) }
    }
}
