//! Records spilled to disk by bucket: how a corpus larger than memory is grouped and joined.
//!
//! A task appends records to numbered buckets and writes one file; a task that needs a bucket reads its
//! part of every such file, in the order of the files. [`Buckets`] holds one task's output in memory,
//! for tasks whose output is bounded; [`Spread`] sorts it on disk.

use super::sorting::{Keyed, Record, Sorter, at};
use crate::error::CorpusError;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use stoa_posts::{Durability, write_whole_with};

/// Records of one task, by bucket.
pub(crate) struct Buckets {
    parts: Vec<Vec<u8>>,
}

impl Buckets {
    /// `count` empty buckets.
    pub(crate) fn new(count: usize) -> Buckets {
        Buckets { parts: vec![Vec::new(); count] }
    }

    /// The bytes of a bucket.
    #[cfg(test)]
    pub(crate) fn part(&mut self, bucket: usize) -> &mut Vec<u8> {
        &mut self.parts[bucket]
    }

    /// Appends a record to a bucket.
    pub(crate) fn push(&mut self, bucket: usize, record: &impl Record) {
        // Writing to memory cannot fail.
        let _ = record.write(&mut self.parts[bucket]);
    }

    /// Writes all buckets: their ends as u64, then their bytes.
    pub(crate) fn write(self, path: &Path, durability: Durability) -> Result<(), CorpusError> {
        write_whole_with(path, durability, |file| {
            let mut end = 0_u64;
            let mut ends = Vec::with_capacity(8 * self.parts.len());
            for part in &self.parts {
                end += part.len() as u64;
                ends.extend_from_slice(&end.to_le_bytes());
            }
            file.write_all(&ends).map_err(at(path))?;
            self.parts.iter().try_for_each(|part| file.write_all(part)).map_err(at(path))
        })
    }

    /// Calls for every record of one bucket (of `count`) in each of the files, in their order.
    pub(crate) fn each<R: Record>(
        files: &[PathBuf],
        bucket: usize,
        count: usize,
        mut call: impl FnMut(R) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        for path in files {
            let (file, length) = part_of(path, bucket, count)?;
            if length == 0 {
                continue;
            }
            let mut reader = BufReader::with_capacity(READ_BYTES, file.take(length));
            while let Some(record) = R::read(&mut reader).map_err(at(path))? {
                call(record)?;
            }
            if reader.into_inner().limit() > 0 {
                return Err(at(path)(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }
}

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 15;

/// A file of buckets at the start of one of them, and that one's length.
fn part_of(path: &Path, bucket: usize, count: usize) -> Result<(File, u64), CorpusError> {
    let mut file = File::open(path).map_err(at(path))?;
    // The end of the bucket before it, where there is one, and its own.
    let first = bucket.saturating_sub(1);
    let mut words = vec![0; 8 * (bucket - first + 1)];
    file.seek(SeekFrom::Start(8 * first as u64)).map_err(at(path))?;
    file.read_exact(&mut words).map_err(at(path))?;
    let mut ends = words
        .chunks_exact(8)
        .map(|bytes| bytes.iter().rev().fold(0_u64, |word, &byte| word << 8 | u64::from(byte)));
    let start = if bucket == 0 { 0 } else { ends.next().unwrap_or(0) };
    let end = ends.next().unwrap_or(start);
    file.seek(SeekFrom::Start(8 * count as u64 + start)).map_err(at(path))?;
    Ok((file, end.saturating_sub(start)))
}

/// Buckets whose records do not fit in memory: sorted on disk by bucket and order, then written in the
/// form of [`Buckets`].
pub(crate) struct Spread {
    sorter: Sorter<Keyed<2>>,
    count: usize,
}

impl Spread {
    /// `count` empty buckets; what exceeds `memory_bytes` goes to files in `folder`.
    pub(crate) fn new(folder: &Path, count: usize, memory_bytes: usize) -> Spread {
        Spread { sorter: Sorter::new(folder, "spread", memory_bytes), count }
    }

    /// Adds a record to a bucket; records of one bucket come in the order given here.
    pub(crate) fn push(
        &mut self,
        bucket: usize,
        order: u64,
        record: &impl Record,
    ) -> Result<(), CorpusError> {
        let mut body = Vec::new();
        // Writing to memory cannot fail.
        let _ = record.write(&mut body);
        self.sorter.push(Keyed { words: [bucket as u64, order], body: body.into_boxed_slice() })
    }

    /// Writes all buckets.
    pub(crate) fn write(self, path: &Path, durability: Durability) -> Result<(), CorpusError> {
        let Spread { sorter, count } = self;
        write_whole_with(path, durability, |file| {
            file.write_all(&vec![0; 8 * count]).map_err(at(path))?;
            let mut lengths = vec![0_u64; count];
            let mut writer = BufWriter::with_capacity(READ_BYTES, &mut *file);
            for record in sorter.sorted()? {
                let Keyed { words: [bucket, _], body } = record?;
                writer.write_all(&body).map_err(at(path))?;
                lengths[bucket as usize] += body.len() as u64;
            }
            writer.flush().map_err(at(path))?;
            drop(writer);
            let mut end = 0;
            let mut ends = Vec::with_capacity(8 * count);
            for length in lengths {
                end += length;
                ends.extend_from_slice(&u64::to_le_bytes(end));
            }
            file.seek(SeekFrom::Start(0)).map_err(at(path))?;
            file.write_all(&ends).map_err(at(path))
        })
    }
}

/// Appends a number of 32 bits.
pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a hash of 128 bits.
pub(crate) fn put_u128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends bytes with their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// Takes fields off spilled records. A record cut short, which only damage makes, reads as zeros.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `records`.
    pub(crate) fn new(records: &'a [u8]) -> Fields<'a> {
        Fields { rest: records }
    }

    /// Whether all were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                *head
            }
            None => {
                self.rest = &[];
                [0; N]
            }
        }
    }

    /// A number of 32 bits.
    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    /// A hash of 128 bits.
    pub(crate) fn u128(&mut self) -> u128 {
        u128::from_le_bytes(self.take())
    }

    /// Bytes with their length.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = (self.u32() as usize).min(self.rest.len());
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        head
    }

    /// Text; what is not UTF-8, which only damage makes, is empty.
    pub(crate) fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.bytes()).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(task: u64, bucket: u64) -> Keyed<2> {
        let mut body = Vec::new();
        put_bytes(&mut body, format!("t{task}b{bucket}").as_bytes());
        put_u128(&mut body, u128::MAX - 1);
        Keyed { words: [task, bucket], body: body.into_boxed_slice() }
    }

    #[test]
    fn buckets_of_several_files_come_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = Vec::new();
        for task in 0..3_u64 {
            // One task in memory, the others on disk, in another order.
            let path = folder.path().join(format!("{task}"));
            let mut spread = Spread::new(&folder.path().join("sorting"), 4, 100);
            let mut buckets = Buckets::new(4);
            for bucket in [3, 1, 0] {
                buckets.push(bucket as usize, &record(task, bucket));
                buckets.push(bucket as usize, &record(task, 9));
                spread.push(bucket as usize, 1, &record(task, 9)).expect("space");
                spread.push(bucket as usize, 0, &record(task, bucket)).expect("space");
            }
            let durability = Durability::Unsynced;
            if task == 0 {
                buckets.write(&path, durability)
            } else {
                spread.write(&path, durability)
            }
            .expect("writes");
            files.push(path);
        }
        for bucket in 0..4 {
            let mut found = Vec::new();
            let each = Buckets::each(&files, bucket, 4, |record: Keyed<2>| {
                found.push(record);
                Ok(())
            });
            each.expect("reads");
            let both = |task| [record(task, bucket as u64), record(task, 9)];
            let expected: Vec<_> = (0..3_u64).flat_map(both).filter(|_| bucket != 2).collect();
            assert_eq!(found, expected);
        }
        let whole = record(1, 2).body;
        let mut fields = Fields::new(&whole);
        assert_eq!((fields.text(), fields.u128()), ("t1b2", u128::MAX - 1));
        let whole = std::fs::read(&files[0]).expect("is there");
        std::fs::write(&files[0], &whole[..whole.len() - 1]).expect("cuts");
        assert!(Buckets::each(&files, 3, 4, |_: Keyed<2>| Ok(())).is_err());
    }
}
