//! Aligned, zeroed byte blocks in huge pages: arenas, and the buffers of state, which share chunks.
//! Allocation failure is an error, not an abort. What may be allocated together is decided in `account`.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stoa_graph::EngineError;

use crate::plan::ALIGNMENT;

/// Size of a huge page on the systems that have them by advice: 2 MiB on x86-64 and on aarch64 with
/// pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// What the memory is taken in that smaller blocks share. A model has hundreds of matrices of a few
/// megabytes: each on its own holds few whole huge pages, and gaps between aligned ones came to 60 MB of a
/// model of 160 million parameters.
const CHUNK: usize = 16 * HUGE_PAGE;

/// Blocks from this size on have memory of their own, from the border of a huge page on.
const LARGE: usize = CHUNK / 2;

/// Asks the system to back the whole huge pages inside a fresh, untouched range by single pages.
/// Matrices are read with strides of many kilobytes: with pages of 4 KiB each row is on another
/// page, and looking pages up limits packing and the writing of tiles. Only advice: where it is not
/// taken nothing changes.
pub(crate) fn ask_for_huge_pages(start: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        let first = (start as usize).next_multiple_of(HUGE_PAGE);
        let end = (start as usize + bytes) / HUGE_PAGE * HUGE_PAGE;
        if first < end {
            // SAFETY: the range lies inside an allocation of the caller; advice changes no content.
            unsafe { libc::madvise(first as *mut _, end - first, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

/// Asks the allocator of this process to map every block of a mebibyte and more by itself, so that
/// freeing one gives its memory back. By default glibc raises that bound to 32 MiB with the first
/// large block that is freed (mallopt(3), `M_MMAP_THRESHOLD`), and the matrices that pass through
/// the heap on their way into an engine leave holes there: 72 MB with a model of 160 million
/// parameters. For programs to call once when they start; elsewhere than on glibc nothing happens.
pub fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes two integers; a bound that the allocator refuses changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

/// Untouched memory from the border of a huge page on: the system gives zeroed pages when they are
/// written to.
struct Mapped {
    start: NonNull<u8>,
    /// What was allocated; `start` lies in it.
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: plain memory; who reads or writes it, and when, is for the blocks made of it to say.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    fn new(bytes: usize) -> Option<Mapped> {
        // The allocator zeroes by hand what it must align by itself.
        let layout = Layout::from_size_align(bytes.checked_add(HUGE_PAGE)?, 1).ok()?;
        // SAFETY: the layout has a size above zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let skipped = base.as_ptr().align_offset(HUGE_PAGE);
        // SAFETY: less than a huge page is skipped, and so many more bytes were allocated.
        let start = unsafe { base.add(skipped) };
        ask_for_huge_pages(start.as_ptr(), bytes.next_multiple_of(HUGE_PAGE));
        Some(Mapped { start, base, layout })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout where it was made.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// Memory of several blocks, given out from its begin on; free when all of them are dropped.
struct Chunk {
    memory: Mapped,
    bytes: usize,
    used: Mutex<Used>,
}

/// How much of a chunk is given out, in bytes.
#[derive(Default)]
struct Used {
    end: usize,
    /// What is beyond was never given out, and is zero.
    dirty: usize,
}

impl Chunk {
    fn new(bytes: usize) -> Option<Arc<Chunk>> {
        let memory = Mapped::new(bytes)?;
        Some(Arc::new(Chunk { memory, bytes, used: Mutex::default() }))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // No code that may panic runs under the lock.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block at the end of what is given out, if there is room.
    fn block(self: &Arc<Self>, bytes: usize) -> Option<Block> {
        let mut used = self.used();
        let at = used.end;
        let end = at + bytes;
        if end > self.bytes {
            return None;
        }
        // SAFETY: inside the chunk.
        let start = unsafe { self.memory.start.add(at) };
        let dirty = end.min(used.dirty).saturating_sub(at);
        // SAFETY: these bytes belong to no block.
        unsafe { start.as_ptr().write_bytes(0, dirty) };
        used.end = end;
        used.dirty = used.dirty.max(end);
        Some(Block { start, bytes, chunk: Arc::clone(self), at })
    }
}

/// Where blocks below [`LARGE`] come from.
#[derive(Default)]
pub(crate) struct Chunks {
    current: Mutex<Option<Arc<Chunk>>>,
}

impl Chunks {
    /// Zeroed bytes that are not touched before they are written to, for what may never be filled, as the
    /// cache of a long context.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`] when the system refuses.
    pub fn block(&self, bytes: usize, what: &str) -> Result<Block, EngineError> {
        let refused = || EngineError::OutOfMemory { bytes, what: what.to_owned() };
        if bytes >= LARGE {
            return Chunk::new(bytes).and_then(|chunk| chunk.block(bytes)).ok_or_else(refused);
        }
        let bytes = bytes.max(1).next_multiple_of(ALIGNMENT);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = current.as_ref().and_then(|chunk| chunk.block(bytes)) {
            return Ok(block);
        }
        let chunk = Chunk::new(CHUNK).ok_or_else(refused)?;
        let block = chunk.block(bytes).ok_or_else(refused)?;
        *current = Some(chunk);
        Ok(block)
    }
}

/// A block of zeroed bytes at a [`ALIGNMENT`]-byte boundary.
pub(crate) struct Block {
    start: NonNull<u8>,
    bytes: usize,
    /// What it is a part of, so many bytes from its begin: of one chunk with others, or alone.
    chunk: Arc<Chunk>,
    at: usize,
}

// SAFETY: the block owns its bytes, which are plain data.
unsafe impl Send for Block {}
// SAFETY: shared access only reads the pointer; a caller that writes through it holds the block mutably.
unsafe impl Sync for Block {}

impl Block {
    /// Zeroed bytes for `what` in memory of their own, all of them touched.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`] when the system refuses.
    pub fn zeroed(bytes: usize, what: &str) -> Result<Block, EngineError> {
        let refused = || EngineError::OutOfMemory { bytes, what: what.to_owned() };
        let chunk = Chunk::new(bytes).ok_or_else(refused)?;
        let mut block = chunk.block(bytes).ok_or_else(refused)?;
        block.bytes_mut().fill(0);
        Ok(block)
    }

    /// Address of the first byte.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// All bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the bytes were allocated with this size and zeroed; the block is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.bytes) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // The last one given out makes room again: copies come and go.
        let mut used = self.chunk.used();
        if used.end == self.at + self.bytes {
            used.end = self.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_share_chunks_and_are_zero_whoever_had_their_bytes_before() {
        let chunks = Chunks::default();
        let block = |bytes| chunks.block(bytes, "a test").expect("memory");
        let (mut a, mut b) = (block(100), block(1));
        assert_eq!(b.start() as usize - a.start() as usize, 128, "one after the other");
        assert_eq!(a.start() as usize % HUGE_PAGE, 0);
        a.bytes_mut().fill(1);
        b.bytes_mut().fill(2);
        let place = b.start();
        drop(b);
        let mut again = block(1000);
        assert_eq!(again.start(), place, "the room of the last one");
        assert!(again.bytes_mut().iter().all(|&x| x == 0));
        drop(a);
        assert_ne!(block(10).start() as usize % HUGE_PAGE, 0, "not the room of the first");
        let large = block(LARGE);
        assert_eq!(large.start() as usize % HUGE_PAGE, 0);
        let filling = (0..5).map(|_| block(LARGE - 64)).collect::<Vec<_>>();
        let mut places: Vec<usize> = filling.iter().map(|b| b.start() as usize).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= LARGE - 64), "apart");
        assert!(chunks.block(usize::MAX - 10, "a test").is_err());
    }
}
