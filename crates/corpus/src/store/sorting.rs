//! Sorting more than fits in memory: sorted runs in files, merged k ways.
//!
//! Runs are temporary: they are removed when what reads them is dropped, and nothing relies on them
//! after a crash. What the records mean is the business of who sorts them.

use crate::error::CorpusError;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Most runs merged at once: bounds open files and read buffers.
const FAN_IN: usize = 64;
/// Bytes of a run's read and write buffers.
const BUFFER_BYTES: usize = 1 << 16;

/// What can be sorted in files.
pub(crate) trait Record: Ord + Sized {
    /// Bytes it takes in memory.
    fn memory_bytes(&self) -> usize;
    /// Writes it so that `read` gets it back.
    fn write(&self, to: &mut impl Write) -> io::Result<()>;
    /// Reads the next one; nothing at the end.
    fn read(from: &mut impl Read) -> io::Result<Option<Self>>;
}

/// A record of fixed size, ordered word by word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Words<const N: usize>(pub(crate) [u64; N]);

impl<const N: usize> Record for Words<N> {
    fn memory_bytes(&self) -> usize {
        N * 8
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        self.0.iter().try_for_each(|word| to.write_all(&word.to_le_bytes()))
    }

    fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            match (read_word(from)?, index) {
                (Some(read), _) => *word = read,
                (None, 0) => return Ok(None),
                (None, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(Some(Words(words)))
    }
}

/// A record ordered by words, then by the bytes that follow them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Keyed<const N: usize> {
    /// What it is sorted by.
    pub(crate) words: [u64; N],
    /// What it carries.
    pub(crate) body: Box<[u8]>,
}

impl<const N: usize> Record for Keyed<N> {
    fn memory_bytes(&self) -> usize {
        // The allocator takes some bytes of its own.
        size_of::<Keyed<N>>() + self.body.len() + 16
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        Words(self.words).write(to)?;
        to.write_all(&(self.body.len() as u32).to_le_bytes())?;
        to.write_all(&self.body)
    }

    fn read(from: &mut impl Read) -> io::Result<Option<Keyed<N>>> {
        let Some(Words(words)) = Words::<N>::read(from)? else { return Ok(None) };
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        from.read_exact(&mut body)?;
        Ok(Some(Keyed { words, body: body.into_boxed_slice() }))
    }
}

/// Eight bytes as a word; nothing at the end of the file.
pub(crate) fn read_word(from: &mut impl Read) -> io::Result<Option<u64>> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        match from.read(&mut bytes[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(Some(u64::from_le_bytes(bytes)))
}

/// A file that is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(crate) path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A file that cannot be removed now is left to the code that clears the folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// An error of the operating system on `path`.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> CorpusError + '_ {
    move |cause| CorpusError::Io { path: path.to_path_buf(), cause }
}

/// Takes records in any order; gives them back sorted.
pub(crate) struct Sorter<R: Record> {
    folder: PathBuf,
    name: &'static str,
    memory_bytes: usize,
    held: Vec<R>,
    held_bytes: usize,
    runs: Vec<Temporary>,
    written: usize,
}

impl<R: Record> Sorter<R> {
    /// Spills to files `name-N.run` in `folder` before records, or the vector that would have to grow
    /// for them, take more than `memory_bytes`.
    pub(crate) fn new(folder: &Path, name: &'static str, memory_bytes: usize) -> Sorter<R> {
        Sorter {
            folder: folder.to_path_buf(),
            name,
            memory_bytes,
            held: Vec::new(),
            held_bytes: 0,
            runs: Vec::new(),
            written: 0,
        }
    }

    pub(crate) fn push(&mut self, record: R) -> Result<(), CorpusError> {
        let grown = 2 * self.held.capacity() * size_of::<R>();
        let full = self.held.len() == self.held.capacity() && grown > self.memory_bytes;
        if !self.held.is_empty() && (full || self.held_bytes > self.memory_bytes) {
            self.spill()?;
        }
        self.held_bytes += record.memory_bytes();
        self.held.push(record);
        Ok(())
    }

    fn spill(&mut self) -> Result<(), CorpusError> {
        std::fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
        self.held.sort_unstable();
        let run = self.next_run();
        write_run(&run.path, self.held.drain(..).map(Ok))?;
        self.held_bytes = 0;
        self.runs.push(run);
        Ok(())
    }

    fn next_run(&mut self) -> Temporary {
        self.written += 1;
        Temporary { path: self.folder.join(format!("{}-{}.run", self.name, self.written)) }
    }

    /// All records in order.
    pub(crate) fn sorted(mut self) -> Result<Sorted<R>, CorpusError> {
        while self.runs.len() > FAN_IN {
            let rest = self.runs.split_off(FAN_IN);
            let merged = Sorted::<R>::new(std::mem::replace(&mut self.runs, rest), Vec::new())?;
            let run = self.next_run();
            write_run(&run.path, merged)?;
            self.runs.push(run);
        }
        self.held.sort_unstable();
        Sorted::new(self.runs, self.held)
    }
}

fn write_run<R: Record>(
    path: &Path,
    records: impl Iterator<Item = Result<R, CorpusError>>,
) -> Result<(), CorpusError> {
    let file = File::create(path).map_err(at(path))?;
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
    for record in records {
        record?.write(&mut writer).map_err(at(path))?;
    }
    writer.flush().map_err(at(path))
}

/// Records in order, merged from runs and memory.
pub(crate) struct Sorted<R: Record> {
    held: std::vec::IntoIter<R>,
    readers: Vec<(BufReader<File>, Temporary)>,
    /// The next record of each source; memory is the source after the last reader.
    heads: BinaryHeap<Reverse<(R, usize)>>,
}

impl<R: Record> Sorted<R> {
    fn new(runs: Vec<Temporary>, held: Vec<R>) -> Result<Sorted<R>, CorpusError> {
        let mut sorted =
            Sorted { held: held.into_iter(), readers: Vec::new(), heads: BinaryHeap::new() };
        for run in runs {
            let file = File::open(&run.path).map_err(at(&run.path))?;
            sorted.readers.push((BufReader::with_capacity(BUFFER_BYTES, file), run));
        }
        for source in 0..=sorted.readers.len() {
            sorted.advance(source)?;
        }
        Ok(sorted)
    }

    fn advance(&mut self, source: usize) -> Result<(), CorpusError> {
        let record = match self.readers.get_mut(source) {
            Some((reader, run)) => R::read(reader).map_err(at(&run.path))?,
            None => self.held.next(),
        };
        if let Some(record) = record {
            self.heads.push(Reverse((record, source)));
        }
        Ok(())
    }
}

impl<R: Record> Iterator for Sorted<R> {
    type Item = Result<R, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((record, source)) = self.heads.pop()?;
        match self.advance(source) {
            Ok(()) => Some(Ok(record)),
            Err(error) => {
                self.heads.clear();
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_random::mix;

    #[test]
    fn sorts_beyond_memory_and_fan_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = 5000;
        // 30 records a run: more runs than are merged at once.
        let mut sorter = Sorter::new(folder.path(), "test", 16 * 30);
        for index in 0..count {
            sorter.push(Words([mix(index) % 1000, index])).expect("space");
        }
        let sorted = sorter.sorted().expect("readable");
        let words: Vec<Words<2>> = sorted.map(|record| record.expect("readable")).collect();
        assert_eq!(words.len(), count as usize);
        assert!(words.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
