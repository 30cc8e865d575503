//! Read-only memory maps of files that are finished: the only place that maps files. A map costs the
//! pages that are read; [`Map::release`] gives them back, and a [`Section`] does so by itself. Knows
//! no formats and writes nothing.
//!
//! What is mapped must not be written to: files of this project are written under another name and
//! renamed (`stoa-durable`), which leaves an open map as it is.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

/// What the system refused, or a range that the file does not have.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct MapError {
    /// What was done: "opening", "mapping", "reading".
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why it failed; with the place, when it is one in the file.
    pub source: io::Error,
}

/// A file mapped for reading; it derefs to its bytes. A clone is the same map.
#[derive(Clone)]
pub struct Map(Arc<Mapped>);

struct Mapped {
    path: PathBuf,
    bytes: Mmap,
}

impl Map {
    /// Maps the file at a path.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn open(path: &Path) -> Result<Self, MapError> {
        let file = File::open(path).map_err(failed("opening", path))?;
        Self::of(&file, path)
    }

    /// Maps an open file; `path` is for messages.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn of(file: &File, path: &Path) -> Result<Self, MapError> {
        // SAFETY: files that are mapped are whole: they were renamed to their place or come from
        // elsewhere to be read, and nothing in this project opens one for writing afterwards, so the
        // mapped bytes do not change. Truncation by another program would end this one with a
        // signal, never with wrong memory.
        let bytes = unsafe { Mmap::map(file) }.map_err(failed("mapping", path))?;
        Ok(Map(Arc::new(Mapped { path: path.to_owned(), bytes })))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// A part of the file that is held by itself.
    ///
    /// # Errors
    /// A range that the file does not have.
    pub fn section(&self, range: Range<usize>) -> Result<Section, MapError> {
        if self.get(range.clone()).is_none() {
            let (Range { start, end }, size) = (range, self.len());
            let problem = format!("bytes {start} to {end} are outside of its {size} bytes");
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, problem);
            return Err(failed("reading", self.path())(source));
        }
        Ok(Section { map: self.clone(), range })
    }

    /// Gives the memory of a range back to the system, whole pages at both ends included. Reading
    /// the range again reads the file again. Where the system has no such call nothing happens.
    pub fn release(&self, range: Range<usize>) {
        let range = range.start.min(self.len())..range.end.min(self.len());
        if range.is_empty() {
            return;
        }
        #[cfg(unix)]
        {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            let bytes = &self.0.bytes;
            // SAFETY: the map is shared with its file and never written, so that a page which is
            // read again holds the same bytes (madvise(2), MADV_DONTNEED); the range lies inside.
            let released =
                unsafe { bytes.unchecked_advise_range(advice, range.start, range.len()) };
            // A system that refuses keeps the pages until the map is dropped.
            drop(released);
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({}, {} bytes)", self.0.path.display(), self.len())
    }
}

/// A part of a mapped file, which keeps the map. Its pages are released when it is dropped.
#[derive(Debug)]
pub struct Section {
    map: Map,
    range: Range<usize>,
}

impl AsRef<[u8]> for Section {
    fn as_ref(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.map.release(self.range.clone());
    }
}

/// For `map_err`: the error of an action on a path.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MapError {
    let path = path.to_owned();
    move |source| MapError { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `bytes` bytes, each the low byte of its position divided by 1000.
    fn file(bytes: usize) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), (0..bytes).map(content).collect::<Vec<u8>>()).unwrap();
        file
    }

    fn content(at: usize) -> u8 {
        (at / 1000) as u8
    }

    #[test]
    fn what_was_released_reads_as_before() {
        let file = file(100_000);
        let map = Map::open(file.path()).unwrap();
        let read = |range: Range<usize>| range.clone().all(|at| map[at] == content(at));
        assert!(read(0..map.len()));
        // Ranges that begin and end within pages, an empty one, and one beyond the end.
        for range in [5000..9001, 0..1, 99_999..100_000, 4096..4096, 90_000..200_000] {
            map.release(range);
            assert!(read(0..map.len()));
        }
        let section = map.section(12_345..54_321).unwrap();
        assert_eq!(section.as_ref(), &map[12_345..54_321]);
        drop(section);
        assert!(read(0..map.len()));
    }

    #[test]
    fn ranges_outside_are_named() {
        let file = file(10);
        let map = Map::open(file.path()).unwrap();
        assert!(map.section(0..10).is_ok() && map.section(10..10).is_ok());
        for (start, end) in [(0, 11), (11, 12), (7, 3)] {
            let message = map.section(Range { start, end }).unwrap_err().to_string();
            let place = format!("bytes {start} to {end}");
            assert!(message.contains(&place) && message.contains("10 bytes"), "{message}");
        }
        let missing = Map::open(&file.path().with_file_name("none")).unwrap_err();
        assert!(missing.to_string().starts_with("opening "), "{missing}");
    }

    #[test]
    fn an_empty_file_has_no_bytes() {
        let map = Map::open(file(0).path()).unwrap();
        assert!(map.is_empty());
        map.release(0..10);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_dropped_section_gives_its_memory_back() {
        const BYTES: usize = 64 << 20;
        let file = file(BYTES);
        let map = Map::open(file.path()).unwrap();
        // Pages of files in memory, in bytes: proc(5).
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
        };
        let before = resident();
        let section = map.section(0..BYTES).unwrap();
        let sum: u64 = section.as_ref().iter().step_by(512).map(|&byte| u64::from(byte)).sum();
        assert!(sum > 0);
        assert!(resident() > before + BYTES / 2, "reading took no memory");
        drop(section);
        // The other tests of this process map less than a megabyte.
        assert!(resident() < before + BYTES / 4, "the pages are still there");
    }
}
