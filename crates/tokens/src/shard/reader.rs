//! Reads token shards through a memory map, trusting nothing in them.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use stoa_maps::Map;

use super::format::{BLOCK_BYTES, HEADER_BYTES, Header, Layout, TokenWidth, u32_at, u64_at};
use crate::{Fingerprint, TokenId, TokensError};

/// A page that is read maps pages around it: on Linux the whole folio of the page cache, up to 2 MiB.
const NEIGHBOURHOOD: usize = 2 << 20;

/// A shard open for reading. What was read of the tokens is given back to the system, so that a shard
/// takes no memory but the table of its documents, 8 bytes each.
#[derive(Debug)]
pub struct TokenShard {
    path: PathBuf,
    map: Map,
    header: Header,
    layout: Layout,
}

impl TokenShard {
    /// Opens a shard and checks everything but the tokens themselves.
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        let map = Map::open(path)?;
        let corrupt = |(offset, problem): (u64, String)| TokensError::CorruptShard {
            path: path.to_path_buf(),
            offset,
            problem,
        };
        let (header, layout) = check(&map).map_err(corrupt)?;
        Ok(Self { path: path.to_path_buf(), map, header, layout })
    }

    /// Opens a shard that must have been written with the tokenizer of that fingerprint.
    pub fn open_for(path: &Path, fingerprint: Fingerprint) -> Result<Self, TokensError> {
        let shard = Self::open(path)?;
        if shard.fingerprint() != fingerprint {
            return Err(TokensError::FingerprintMismatch {
                path: shard.path,
                found: shard.header.fingerprint.to_string(),
                expected: fingerprint.to_string(),
            });
        }
        Ok(shard)
    }

    /// Checks all tokens against their checksums. They are read from the file, a block at a time, not
    /// through the map: what is mapped counts as memory of the process.
    pub fn verify(&self) -> Result<(), TokensError> {
        let read = |block: &mut [u8], file: &mut File| {
            file.read_exact(block).map_err(TokensError::io("reading", &self.path))
        };
        let mut file = File::open(&self.path).map_err(TokensError::io("opening", &self.path))?;
        read(&mut [0; HEADER_BYTES], &mut file)?;
        let mut left = self.layout.tokens_end as usize - HEADER_BYTES;
        let mut block = vec![0; left.min(BLOCK_BYTES)];
        for index in 0..left.div_ceil(BLOCK_BYTES) {
            let block = &mut block[..left.min(BLOCK_BYTES)];
            read(block, &mut file)?;
            left -= block.len();
            let expected = u32_at(&self.map, self.layout.blocks_start as usize + index * 4);
            if crc32c::crc32c(block) != expected {
                return Err(TokensError::CorruptShard {
                    path: self.path.clone(),
                    offset: (HEADER_BYTES + index * BLOCK_BYTES) as u64,
                    problem: format!("the checksum of {} bytes of tokens is wrong", block.len()),
                });
            }
        }
        Ok(())
    }

    /// Where the shard is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tokens in all.
    pub fn token_count(&self) -> u64 {
        self.header.token_count
    }

    /// Documents in all.
    pub fn document_count(&self) -> u64 {
        self.header.document_count
    }

    /// How tokens are stored.
    pub fn width(&self) -> TokenWidth {
        self.header.width
    }

    /// The fingerprint of the tokenizer that made the tokens.
    pub fn fingerprint(&self) -> Fingerprint {
        self.header.fingerprint
    }

    /// The tokens of a document, as positions in the shard.
    pub fn document_range(&self, document: u64) -> Result<Range<u64>, TokensError> {
        if document >= self.header.document_count {
            return Err(TokensError::ShardRange {
                path: self.path.clone(),
                what: "documents",
                start: document,
                end: document.saturating_add(1),
                len: self.header.document_count,
            });
        }
        let start = if document == 0 { 0 } else { self.document_end(document - 1) };
        Ok(start..self.document_end(document))
    }

    /// The tokens of a document.
    pub fn document(&self, document: u64) -> Result<Vec<TokenId>, TokensError> {
        let range = self.document_range(document)?;
        let mut tokens = vec![TokenId(0); (range.end - range.start) as usize];
        self.read(range.start, &mut tokens)?;
        Ok(tokens)
    }

    /// The document that holds the token at `position`.
    pub fn document_at(&self, position: u64) -> Result<u64, TokensError> {
        self.check_range(position, 1)?;
        // The first document that ends beyond the position; empty ones before it end at it.
        let (mut low, mut high) = (0, self.header.document_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.document_end(middle) > position { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    }

    /// Fills `tokens` from position `start` on.
    pub fn read(&self, start: u64, tokens: &mut [TokenId]) -> Result<(), TokensError> {
        let range = self.check_range(start, tokens.len())?;
        let bytes = &self.map[range.clone()];
        match self.header.width {
            TokenWidth::U16 => {
                for (token, bytes) in tokens.iter_mut().zip(bytes.as_chunks().0) {
                    *token = TokenId(u16::from_le_bytes(*bytes).into());
                }
            }
            TokenWidth::U32 => {
                for (token, bytes) in tokens.iter_mut().zip(bytes.as_chunks().0) {
                    *token = TokenId(u32::from_le_bytes(*bytes));
                }
            }
        }
        self.map.release(range.start.saturating_sub(NEIGHBOURHOOD)..range.end + NEIGHBOURHOOD);
        Ok(())
    }

    /// Where `count` tokens from `start` on are stored.
    fn check_range(&self, start: u64, count: usize) -> Result<Range<usize>, TokensError> {
        let end = start.checked_add(count as u64).filter(|&end| end <= self.header.token_count);
        let Some(end) = end else {
            return Err(TokensError::ShardRange {
                path: self.path.clone(),
                what: "tokens",
                start,
                end: start.saturating_add(count as u64),
                len: self.header.token_count,
            });
        };
        let at = |position: u64| HEADER_BYTES + position as usize * self.header.width.bytes();
        Ok(at(start)..at(end))
    }

    /// One past the last token of a document that exists.
    fn document_end(&self, document: u64) -> u64 {
        u64_at(&self.map, self.layout.ends_start as usize + document as usize * 8)
    }
}

/// Checks header, size and tables; on failure, the offset of the problem and what it is.
fn check(bytes: &[u8]) -> Result<(Header, Layout), (u64, String)> {
    let size = bytes.len() as u64;
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err((size, format!("the file ends inside the header of {HEADER_BYTES} bytes")));
    };
    let header = Header::from_bytes(header)?;
    let layout = header.layout().ok_or((16, "the counts are absurd".to_owned()))?;
    if layout.file_end != size {
        let problem = format!("the file has {size} bytes, its header says {}", layout.file_end);
        return Err((size.min(layout.file_end), problem));
    }
    let part = |start: u64, end: u64| &bytes[start as usize..end as usize];
    if part(layout.tokens_end, layout.ends_start).iter().any(|&byte| byte != 0) {
        return Err((layout.tokens_end, "the padding is not zero".into()));
    }
    let ends = part(layout.ends_start, layout.blocks_start);
    if crc32c::crc32c(ends) != header.ends_checksum {
        return Err((layout.ends_start, "the checksum of the document ends is wrong".into()));
    }
    let mut last = 0;
    for (index, end) in ends.chunks_exact(8).enumerate() {
        let end = u64_at(end, 0);
        if end < last || end > header.token_count {
            let offset = layout.ends_start + index as u64 * 8;
            return Err((offset, format!("document {index} ends at token {end}, out of order")));
        }
        last = end;
    }
    if last != header.token_count {
        let problem = format!("the documents end at token {last} of {}", header.token_count);
        return Err((layout.blocks_start, problem));
    }
    if crc32c::crc32c(part(layout.blocks_start, layout.file_end)) != header.blocks_checksum {
        return Err((layout.blocks_start, "the checksum of the block checksums is wrong".into()));
    }
    Ok((header, layout))
}
