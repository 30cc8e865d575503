//! Token shards: encoded documents in one file, read through a memory map.
//!
//! ```text
//! header            128 bytes, see `format`
//! tokens            u16 or u32, little end first
//! padding           zeros up to a multiple of 8
//! document ends     u64 each: one past the last token of each document
//! block checksums   u32 each: CRC-32C of each MiB of tokens
//! ```
//!
//! The header holds the counts, the tokenizer's fingerprint, and CRC-32C of the tables and of
//! itself. Everything but the tokens is checked when a shard is opened; the tokens by
//! [`TokenShard::verify`].

mod format;
mod reader;
mod writer;

pub use format::TokenWidth;
pub use reader::TokenShard;
pub use writer::{ShardSummary, ShardWriter};
