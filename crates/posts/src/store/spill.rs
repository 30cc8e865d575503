//! Records spilled to disk by bucket: how a corpus larger than memory is grouped and joined.
//!
//! A task appends records to numbered buckets and writes one file; whoever needs a bucket reads its
//! part of every such file, in the order of the files. Memory is one task's output on the one side
//! and one bucket on the other.

use super::layout::write_whole;
use crate::error::PostsError;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Records of one task, by bucket.
pub(crate) struct Buckets {
    parts: Vec<Vec<u8>>,
}

impl Buckets {
    /// `count` empty buckets.
    pub(crate) fn new(count: usize) -> Buckets {
        Buckets { parts: vec![Vec::new(); count] }
    }

    /// The bucket to append to.
    pub(crate) fn part(&mut self, bucket: usize) -> &mut Vec<u8> {
        &mut self.parts[bucket]
    }

    /// Writes all buckets: their ends as u64, then their bytes.
    pub(crate) fn write(self, path: &Path) -> Result<(), PostsError> {
        let total: usize = self.parts.iter().map(Vec::len).sum();
        let mut bytes = Vec::with_capacity(8 * self.parts.len() + total);
        let mut end = 0_u64;
        for part in &self.parts {
            end += part.len() as u64;
            bytes.extend_from_slice(&end.to_le_bytes());
        }
        self.parts.iter().for_each(|part| bytes.extend_from_slice(part));
        write_whole(path, &bytes)
    }

    /// The records of one bucket (of `count`) in each of the files, in their order.
    pub(crate) fn read(
        files: &[PathBuf],
        bucket: usize,
        count: usize,
    ) -> Result<Vec<u8>, PostsError> {
        let mut records = Vec::new();
        for path in files {
            let io = |cause| PostsError::Io { path: path.clone(), cause };
            let mut file = File::open(path).map_err(io)?;
            let mut ends = vec![0; 8 * count];
            file.read_exact(&mut ends).map_err(io)?;
            let end_of = |bucket: usize| {
                let mut word = [0; 8];
                word.copy_from_slice(&ends[8 * bucket..8 * bucket + 8]);
                u64::from_le_bytes(word)
            };
            let start = if bucket == 0 { 0 } else { end_of(bucket - 1) };
            let length = end_of(bucket).saturating_sub(start);
            file.seek(SeekFrom::Start(8 * count as u64 + start)).map_err(io)?;
            let before = records.len();
            file.take(length).read_to_end(&mut records).map_err(io)?;
            if (records.len() - before) as u64 != length {
                return Err(io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(records)
    }
}

/// Appends a number of 32 bits.
pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a signed number of 64 bits.
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
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

    /// A signed number of 64 bits.
    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.take())
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

    #[test]
    fn buckets_of_several_files_come_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = Vec::new();
        for task in 0..3_u32 {
            let mut buckets = Buckets::new(4);
            for bucket in 0..4 {
                if bucket != 2 {
                    put_u32(buckets.part(bucket), task);
                    put_bytes(buckets.part(bucket), format!("t{task}b{bucket}").as_bytes());
                    put_u128(buckets.part(bucket), u128::MAX - 1);
                    put_i64(buckets.part(bucket), -7);
                }
            }
            files.push(folder.path().join(format!("{task}")));
            buckets.write(&files[task as usize]).expect("writes");
        }
        for bucket in 0..4 {
            let records = Buckets::read(&files, bucket, 4).expect("reads");
            let mut fields = Fields::new(&records);
            for task in 0..3_u32 {
                if bucket != 2 {
                    assert_eq!(fields.u32(), task);
                    assert_eq!(fields.text(), format!("t{task}b{bucket}"));
                    assert_eq!((fields.u128(), fields.i64()), (u128::MAX - 1, -7));
                }
            }
            assert!(fields.is_empty());
        }
        let whole = std::fs::read(&files[0]).expect("is there");
        std::fs::write(&files[0], &whole[..whole.len() - 1]).expect("cuts");
        assert!(Buckets::read(&files, 3, 4).is_err());
    }
}
