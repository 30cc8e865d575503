//! The header of a token shard, and where its parts lie.

use crate::Fingerprint;

/// First bytes of every shard.
const MAGIC: [u8; 8] = *b"STOATOKS";
/// Version of the layout.
const VERSION: u32 = 1;
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 128;
/// Bytes of tokens under one checksum: finds damage to within a MiB for 4 bytes a MiB.
pub(super) const BLOCK_BYTES: usize = 1 << 20;
/// Where the header's own checksum stands.
const HEADER_CHECKSUM_AT: usize = HEADER_BYTES - 4;

/// How a token is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenWidth {
    /// Two bytes: vocabularies of up to 65,536 tokens.
    U16,
    /// Four bytes.
    U32,
}

impl TokenWidth {
    /// The smallest width for a vocabulary.
    pub fn for_vocab_size(vocab_size: usize) -> Self {
        if vocab_size <= 1 << 16 { Self::U16 } else { Self::U32 }
    }

    /// Bytes of one token.
    pub fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }
}

/// The header's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width: TokenWidth,
    pub(super) token_count: u64,
    pub(super) document_count: u64,
    pub(super) fingerprint: Fingerprint,
    /// CRC-32C of the document ends.
    pub(super) ends_checksum: u32,
    /// CRC-32C of the block checksums.
    pub(super) blocks_checksum: u32,
}

/// Byte offsets of the parts after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) tokens_end: u64,
    pub(super) ends_start: u64,
    pub(super) blocks_start: u64,
    pub(super) file_end: u64,
}

impl Header {
    /// Where the parts lie; nothing if the counts overflow.
    pub(super) fn layout(&self) -> Option<Layout> {
        let token_bytes = self.token_count.checked_mul(self.width.bytes() as u64)?;
        let tokens_end = token_bytes.checked_add(HEADER_BYTES as u64)?;
        let ends_start = tokens_end.checked_next_multiple_of(8)?;
        let blocks_start = self.document_count.checked_mul(8)?.checked_add(ends_start)?;
        let blocks = token_bytes.div_ceil(BLOCK_BYTES as u64);
        let file_end = blocks.checked_mul(4)?.checked_add(blocks_start)?;
        Some(Layout { tokens_end, ends_start, blocks_start, file_end })
    }

    /// The header as bytes, its checksum last.
    pub(super) fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.width.bytes() as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.token_count.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.document_count.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.fingerprint.0);
        bytes[64..68].copy_from_slice(&self.ends_checksum.to_le_bytes());
        bytes[68..72].copy_from_slice(&self.blocks_checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..HEADER_CHECKSUM_AT]);
        bytes[HEADER_CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header; on failure, the offset of the problem and what it is.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, (u64, String)> {
        let number = |at: usize| u32_at(bytes, at);
        if bytes[..8] != MAGIC {
            return Err((0, "the file does not start with STOATOKS; it is no token shard".into()));
        }
        if number(8) != VERSION {
            return Err((8, format!("layout version {} is not {VERSION}", number(8))));
        }
        if number(HEADER_CHECKSUM_AT) != crc32c::crc32c(&bytes[..HEADER_CHECKSUM_AT]) {
            return Err((HEADER_CHECKSUM_AT as u64, "the header's checksum is wrong".into()));
        }
        let width = match number(12) {
            2 => TokenWidth::U16,
            4 => TokenWidth::U32,
            other => return Err((12, format!("tokens of {other} bytes are not 2 or 4"))),
        };
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&bytes[32..64]);
        Ok(Self {
            width,
            token_count: u64_at(bytes, 16),
            document_count: u64_at(bytes, 24),
            fingerprint: Fingerprint(fingerprint),
            ends_checksum: number(64),
            blocks_checksum: number(68),
        })
    }
}

/// The u32 at an offset inside `bytes`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The u64 at an offset inside `bytes`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
