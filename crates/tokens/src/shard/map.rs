//! The one use of `unsafe` in this crate: mapping a finished shard into memory.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps a file for reading.
#[expect(unsafe_code, reason = "a map is undefined behaviour if the file changes under it")]
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: shards are written beside their place and renamed when whole, and nothing in this
    // project opens one for writing afterwards, so the mapped bytes do not change. Truncation by
    // another program would end this one with a signal, never with wrong memory.
    unsafe { Mmap::map(file) }
}
