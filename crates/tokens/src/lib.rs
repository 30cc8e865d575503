//! Byte-pair encoding: train, encode, decode; memory-mapped shards of token ids.
//!
//! - [`Tokenizer`] encodes text and any bytes, and decodes ids ([`Utf8Assembler`] a token at a
//!   time). It is trained here ([`Tokenizer::train`]), read from the file a model ships
//!   ([`Tokenizer::open`]) or made from the tables of a GGUF file ([`TokenTables`]).
//! - [`ShardWriter`] and [`TokenShard`] keep encoded documents in one checksummed file that is
//!   read through a memory map.
//!
//! Only BPE is here, of bytes and of characters: no Unigram, no WordPiece, no WordLevel.

mod added_token;
mod byte_alphabet;
mod decode;
mod encode;
mod error;
mod file;
mod merge;
mod pattern;
mod piece_cache;
mod piece_hash;
mod piece_table;
mod pipeline;
pub mod reference;
mod settings;
mod shard;
mod split;
mod symbols;
mod tokenizer;
mod train;
mod unicode_class;
mod vocabulary;

pub use added_token::AddedToken;
pub use decode::Utf8Assembler;
pub use error::TokensError;
pub use file::{TokenTables, WrittenTables};
pub use pattern::Pattern;
pub use shard::{ShardSummary, ShardWriter, TokenShard, TokenWidth};
pub use tokenizer::{Fingerprint, Tokenizer};
pub use train::{TrainOptions, TrainProgress};

/// The code of the guide, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/tokens.md")]
struct Guide;

/// The id of one token of a [`Tokenizer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TokenId(pub u32);

impl TokenId {
    /// The id as an index into tables with one row per token.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Ends a document in pretraining text.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Opens a turn of a chat; the role's name follows.
pub const IM_START: &str = "<|im_start|>";
/// Closes a turn of a chat.
pub const IM_END: &str = "<|im_end|>";

/// The special tokens of tokenizers trained here: the ends of documents and of turns, a pad, and
/// reserved ones so that later uses need no resized embedding.
pub const DEFAULT_SPECIAL_TOKENS: [&str; 8] = [
    END_OF_TEXT,
    IM_START,
    IM_END,
    "<|pad|>",
    "<|reserved_0|>",
    "<|reserved_1|>",
    "<|reserved_2|>",
    "<|reserved_3|>",
];
