//! Aligned, zeroed byte blocks: arenas and the buffers of state. Allocation failure is an error, not
//! an abort. What may be allocated together is decided in `account`.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use stoa_graph::EngineError;

use crate::plan::ALIGNMENT;

/// Size of a huge page on the systems that have them by advice: 2 MiB on x86-64 and on aarch64 with
/// pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Blocks from this size on begin at the border of a huge page, which costs up to one page each.
/// Smaller ones do not: a model has hundreds of matrices of a few megabytes, and gaps between
/// them, backed by huge pages too, came to 60 MB of a model of 160 million parameters.
const WORTH_ALIGNING: usize = 16 * HUGE_PAGE;

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

/// A block of zeroed bytes at a [`ALIGNMENT`]-byte boundary.
pub(crate) struct Block {
    start: NonNull<u8>,
    /// What was allocated; `start` lies in it.
    base: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

// SAFETY: the block owns its bytes, which are plain data.
unsafe impl Send for Block {}
// SAFETY: shared access only reads the pointer; a caller that writes through it holds the block mutably.
unsafe impl Sync for Block {}

impl Block {
    /// Allocates `bytes` zeroed bytes for `what`.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`] when the system refuses.
    pub fn zeroed(bytes: usize, what: &str) -> Result<Block, EngineError> {
        let refused = || EngineError::OutOfMemory { bytes, what: what.to_owned() };
        let alignment = if bytes >= WORTH_ALIGNING { HUGE_PAGE } else { ALIGNMENT };
        let layout =
            Layout::from_size_align(bytes.max(ALIGNMENT), alignment).map_err(|_| refused())?;
        // SAFETY: the layout has a size above zero.
        let start = NonNull::new(unsafe { alloc(layout) }).ok_or_else(refused)?;
        ask_for_huge_pages(start.as_ptr(), layout.size());
        // SAFETY: the block was just allocated with this size.
        unsafe { start.as_ptr().write_bytes(0, layout.size()) };
        Ok(Block { start, base: start, layout, bytes: layout.size() })
    }

    /// The same without touching the bytes: the system gives zeroed pages when they are written to.
    /// For what may never be filled, as the cache of a long context.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`] when the system refuses.
    pub fn untouched(bytes: usize, what: &str) -> Result<Block, EngineError> {
        let refused = || EngineError::OutOfMemory { bytes, what: what.to_owned() };
        // The allocator zeroes by hand what it must align by itself.
        let size = bytes.max(ALIGNMENT).checked_add(ALIGNMENT).ok_or_else(refused)?;
        let layout = Layout::from_size_align(size, 1).map_err(|_| refused())?;
        // SAFETY: the layout has a size above zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
        let skipped = base.as_ptr().align_offset(ALIGNMENT);
        // SAFETY: less than `ALIGNMENT` bytes are skipped, and so many more were allocated.
        let start = unsafe { base.add(skipped) };
        let bytes = bytes.max(ALIGNMENT);
        ask_for_huge_pages(start.as_ptr(), bytes);
        Ok(Block { start, base, layout, bytes })
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
        // SAFETY: allocated with this layout where the block was made.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}
