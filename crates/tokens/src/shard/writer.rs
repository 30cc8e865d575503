//! Writes a token shard document by document, in memory that does not grow with it.
//!
//! Only the block checksums are held (4 bytes a MiB of tokens). Document ends wait in a
//! temporary file, because their place in the shard is known only at the end.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use stoa_durable::WholeFile;

use super::format::{BLOCK_BYTES, HEADER_BYTES, Header, TokenWidth};
use crate::{Fingerprint, TokenId, TokensError};

/// What a finished shard holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSummary {
    /// Where it is.
    pub path: PathBuf,
    /// Tokens in it.
    pub token_count: u64,
    /// Documents in it.
    pub document_count: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// A shard being written. It appears at its path when [`ShardWriter::finish`] succeeds; dropped
/// before that, it leaves nothing.
#[derive(Debug)]
pub struct ShardWriter {
    file: WholeFile,
    fingerprint: Fingerprint,
    width: TokenWidth,
    /// Tokens of the block not yet full.
    block: Vec<u8>,
    block_checksums: Vec<u32>,
    ends: BufWriter<File>,
    ends_checksum: u32,
    token_count: u64,
    document_count: u64,
}

impl ShardWriter {
    /// Starts a shard of tokens made by the tokenizer with that fingerprint.
    pub fn create(
        path: &Path,
        fingerprint: Fingerprint,
        width: TokenWidth,
    ) -> Result<Self, TokensError> {
        let mut file = WholeFile::create(path)?;
        // The header's place; until it is written last, the file is no shard.
        let reserve = file.file().write_all(&[0; HEADER_BYTES]);
        reserve.map_err(TokensError::io("writing", path))?;
        let ends = tempfile::tempfile_in(file.directory());
        let ends = ends.map_err(TokensError::io("creating a file beside", path))?;
        Ok(Self {
            file,
            fingerprint,
            width,
            block: Vec::with_capacity(BLOCK_BYTES),
            block_checksums: Vec::new(),
            ends: BufWriter::new(ends),
            ends_checksum: 0,
            token_count: 0,
            document_count: 0,
        })
    }

    /// Appends one document; it may be empty.
    pub fn push_document(&mut self, tokens: &[TokenId]) -> Result<(), TokensError> {
        if self.width == TokenWidth::U16
            && let Some(wide) = tokens.iter().find(|token| token.0 > u32::from(u16::MAX))
        {
            let path = self.file.path().to_path_buf();
            return Err(TokensError::TokenTooWide { path, id: wide.0, bits: 16 });
        }
        for token in tokens {
            match self.width {
                TokenWidth::U16 => self.block.extend_from_slice(&(token.0 as u16).to_le_bytes()),
                TokenWidth::U32 => self.block.extend_from_slice(&token.0.to_le_bytes()),
            }
            if self.block.len() == BLOCK_BYTES {
                self.flush_block()?;
            }
        }
        self.token_count += tokens.len() as u64;
        self.document_count += 1;
        let end = self.token_count.to_le_bytes();
        self.ends_checksum = crc32c::crc32c_append(self.ends_checksum, &end);
        self.ends.write_all(&end).map_err(TokensError::io("writing", self.file.path()))
    }

    /// Tokens written so far.
    pub fn token_count(&self) -> u64 {
        self.token_count
    }

    /// Documents written so far.
    pub fn document_count(&self) -> u64 {
        self.document_count
    }

    /// Completes the file, syncs it, and puts it in its place.
    pub fn finish(mut self) -> Result<ShardSummary, TokensError> {
        self.flush_block()?;
        let file_bytes =
            self.finish_file().map_err(TokensError::io("writing", self.file.path()))?;
        let path = self.file.path().to_path_buf();
        self.file.commit()?;
        let (token_count, document_count) = (self.token_count, self.document_count);
        Ok(ShardSummary { path, token_count, document_count, file_bytes })
    }

    /// Writes the tokens gathered, with their checksum.
    fn flush_block(&mut self) -> Result<(), TokensError> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.block_checksums.push(crc32c::crc32c(&self.block));
        let written = self.file.file().write_all(&self.block);
        self.block.clear();
        written.map_err(TokensError::io("writing", self.file.path()))
    }

    /// Writes padding, document ends, block checksums, and at last the header; gives the size.
    fn finish_file(&mut self) -> io::Result<u64> {
        let file = self.file.file();
        let tokens_end = file.stream_position()?;
        let padding = tokens_end.next_multiple_of(8) - tokens_end;
        file.write_all(&[0; 8][..padding as usize])?;
        self.ends.flush()?;
        let ends = self.ends.get_mut();
        ends.seek(SeekFrom::Start(0))?;
        io::copy(&mut ends.take(self.document_count * 8), file)?;
        let blocks: Vec<u8> =
            self.block_checksums.iter().flat_map(|checksum| checksum.to_le_bytes()).collect();
        file.write_all(&blocks)?;
        let file_bytes = file.stream_position()?;
        let header = Header {
            width: self.width,
            token_count: self.token_count,
            document_count: self.document_count,
            fingerprint: self.fingerprint,
            ends_checksum: self.ends_checksum,
            blocks_checksum: crc32c::crc32c(&blocks),
        };
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header.to_bytes())?;
        Ok(file_bytes)
    }
}
