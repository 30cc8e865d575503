//! Everything that can go wrong in this crate, with the values needed to put it right.

use std::path::PathBuf;

/// An error of the tokenizer, its files, its trainer or its shards.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// A file could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done, as a verb: "reading", "writing".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A tokenizer's file is wrong.
    #[error("{path}: {source}")]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TokensError>,
    },
    /// A tokenizer.json is not JSON, or not of the expected shape.
    #[error("tokenizer.json: {0}; check that the file is a whole Hugging Face tokenizer.json")]
    Json(#[from] serde_json::Error),
    /// A file beside a vocabulary is not JSON.
    #[error("{0}; fetch the file again, or remove it where the model needs none")]
    Beside(serde_json::Error),
    /// A tokenizer.json asks for something that is not byte-level BPE as implemented here.
    #[error("tokenizer.json: {field} is {value}, which is not supported; supported: {supported}")]
    Unsupported {
        /// Path of the field, such as `pre_tokenizer.type`.
        field: String,
        /// What the file holds there, cut to a readable length.
        value: String,
        /// What could stand there.
        supported: String,
    },
    /// A table of a GGUF file names what is not read here.
    #[error("{field} is {value:?}, which is not read here; {remedy}")]
    UnsupportedTable {
        /// The table.
        field: &'static str,
        /// What it holds, cut to a readable length.
        value: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A regular expression of a tokenizer file uses what is not implemented.
    #[error("tokenizer.json: {field} is `{expression}`, which cannot be compiled: {problem}")]
    BadExpression {
        /// Path of the field.
        field: String,
        /// The expression, cut to a readable length.
        expression: String,
        /// What the regular expression engine says.
        problem: String,
    },
    /// The pre-tokeniser's regular expression is not one of [`crate::Pattern`].
    #[error(
        "the pre-tokeniser splits with the regular expression `{regex}`, which is none of the known patterns ({known}); convert the tokenizer to one of them"
    )]
    UnknownPattern {
        /// The expression found.
        regex: String,
        /// Names of the patterns known.
        known: String,
    },
    /// A merge names a token that the vocabulary lacks.
    #[error(
        "merge {index} ({left:?} + {right:?}) needs token {missing:?}, which is not in the vocabulary"
    )]
    MergeOutOfVocabulary {
        /// Position in the list of merges.
        index: usize,
        /// Left part, in the byte alphabet.
        left: String,
        /// Right part, in the byte alphabet.
        right: String,
        /// The absent token.
        missing: String,
    },
    /// A merge is not two parts.
    #[error(
        "merge {index} is {value}; a merge is two tokens: \"left right\" or [\"left\", \"right\"]"
    )]
    MalformedMerge {
        /// Position in the list of merges.
        index: usize,
        /// What the file holds there.
        value: String,
    },
    /// A table of a GGUF file has not one entry for each token.
    #[error("{table} has {length} entries for {tokens} tokens; convert the model again")]
    UnevenTables {
        /// The table.
        table: &'static str,
        /// Its entries.
        length: usize,
        /// Tokens in `tokenizer.ggml.tokens`.
        tokens: usize,
    },
    /// A part of a tokenizer that the tables of GGUF files cannot say.
    #[error(
        "GGUF files cannot hold this tokenizer: its {field} is {value}; write the model as safetensors, \
         whose tokenizer.json holds it"
    )]
    NoTables {
        /// Path of the field in a tokenizer.json, such as `pre_tokenizer`.
        field: String,
        /// The value found, cut to a readable length.
        value: String,
    },
    /// A file that belongs to a tokenizer but is not one, or not one that is read here.
    #[error("this is {what}; {remedy}")]
    OtherFile {
        /// What it is.
        what: &'static str,
        /// What to give instead.
        remedy: &'static str,
    },
    /// One of the 256 single bytes has no token, so some text could not be encoded.
    #[error(
        "the vocabulary has no token for byte 0x{byte:02x}; a byte-level vocabulary needs all 256"
    )]
    MissingByte {
        /// The byte.
        byte: u8,
    },
    /// Two tokens share an id, or one name has two ids.
    #[error("token id {id} belongs to both {first:?} and {second:?}; every id may have one token")]
    DuplicateId {
        /// The id.
        id: u32,
        /// One token.
        first: String,
        /// The other token.
        second: String,
    },
    /// Two tokens of a vocabulary hold the same bytes.
    #[error("tokens {first} and {second} hold the same bytes {bytes:?}; every token must differ")]
    DuplicateToken {
        /// One id.
        first: u32,
        /// The other id.
        second: u32,
        /// The bytes, shown as text.
        bytes: String,
    },
    /// An id is too large for the packed merge table.
    #[error("token id {id} is beyond the largest supported id {largest}")]
    IdTooLarge {
        /// The id.
        id: u64,
        /// The largest id that can be used.
        largest: u32,
    },
    /// There are more merges than the packed merge table can rank.
    #[error("{count} merges are more than the supported {largest}")]
    TooManyMerges {
        /// Number of merges.
        count: usize,
        /// The largest number supported.
        largest: usize,
    },
    /// A line of a tiktoken rank file is not `base64 rank`.
    #[error(
        "tiktoken file, line {line}: {text:?} is not `base64 rank`; check that the file is whole"
    )]
    MalformedRank {
        /// Line number from 1.
        line: usize,
        /// The line, cut to a readable length.
        text: String,
    },
    /// A `tekken.json` is not JSON, or not of the expected shape.
    #[error("tekken.json: {0}; check that the file of Mistral's tokenizer is whole")]
    Tekken(#[source] serde_json::Error),
    /// A token of a `tekken.json` is not base64.
    #[error(
        "tekken.json: token_bytes of rank {rank} is {text:?}, which is not base64 of any bytes"
    )]
    MalformedToken {
        /// Its rank.
        rank: u32,
        /// What the file holds, cut to a readable length.
        text: String,
    },
    /// A file is no SentencePiece model.
    #[error(
        "this is no SentencePiece model, nor the JSON of another tokenizer; check that the file is whole"
    )]
    MalformedModel,
    /// An id to decode is not in the vocabulary.
    #[error(
        "token id {id} is not in the vocabulary of {vocab_size} tokens; was it made by another tokenizer?"
    )]
    UnknownToken {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// Training was asked for a vocabulary that cannot hold the bytes and special tokens.
    #[error(
        "a vocabulary of {vocab_size} cannot hold 256 bytes and {special_tokens} special tokens; ask for at least {least}"
    )]
    VocabularyTooSmall {
        /// Size asked for.
        vocab_size: usize,
        /// Number of special tokens.
        special_tokens: usize,
        /// Smallest possible size.
        least: usize,
    },
    /// A special token is empty or given twice.
    #[error("special token {token:?} is empty or given twice; give distinct, non-empty names")]
    BadSpecialToken {
        /// The token.
        token: String,
    },
    /// An option of the trainer is out of its range.
    #[error("training option {option} is {value}; {advice}")]
    BadOption {
        /// Name of the option.
        option: &'static str,
        /// Value given.
        value: u64,
        /// What to give instead.
        advice: &'static str,
    },
    /// The text has more distinct pieces than 32-bit tables can index.
    #[error(
        "the text has too many distinct pieces to index ({pieces} pieces, {bytes} bytes); lower max_distinct_pieces"
    )]
    TooManyPieces {
        /// Distinct pieces.
        pieces: usize,
        /// Bytes in them.
        bytes: usize,
    },
    /// The progress callback asked to stop.
    #[error("training was stopped by its caller")]
    Cancelled,
    /// A token shard is not whole or not a token shard.
    #[error(
        "token shard {path}, byte {offset}: {problem}; write the shard again from its documents"
    )]
    CorruptShard {
        /// The file.
        path: PathBuf,
        /// Where the problem lies.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// A position beyond the end of a shard was asked for.
    #[error("token shard {path}: {what} {start}..{end} is outside 0..{len}")]
    ShardRange {
        /// The file.
        path: PathBuf,
        /// "tokens" or "documents".
        what: &'static str,
        /// First asked for.
        start: u64,
        /// One past the last asked for.
        end: u64,
        /// How many there are.
        len: u64,
    },
    /// A token id does not fit in the width of a shard.
    #[error(
        "token id {id} does not fit in the {bits}-bit tokens of shard {path}; write it with 32 bits"
    )]
    TokenTooWide {
        /// The file.
        path: PathBuf,
        /// The id.
        id: u32,
        /// Bits of a token in this shard.
        bits: u32,
    },
    /// A shard was written with another tokenizer.
    #[error(
        "token shard {path} was written with tokenizer {found}, not {expected}; encode the documents again"
    )]
    FingerprintMismatch {
        /// The file.
        path: PathBuf,
        /// The fingerprint in the shard.
        found: String,
        /// The fingerprint wanted.
        expected: String,
    },
}

impl TokensError {
    /// The same error with the file it is about.
    pub(crate) fn at(self, path: &std::path::Path) -> Self {
        Self::In { path: path.to_path_buf(), source: Box::new(self) }
    }

    /// Wraps an I/O error with the action and the path, for `map_err`.
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

impl From<stoa_maps::MapError> for TokensError {
    fn from(error: stoa_maps::MapError) -> Self {
        Self::Io { action: error.action, path: error.path, source: error.source }
    }
}

impl From<stoa_durable::FileError> for TokensError {
    fn from(error: stoa_durable::FileError) -> Self {
        Self::Io { action: error.action, path: error.path, source: error.source }
    }
}

/// Cuts text that goes into an error message to a readable length.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_LENGTH: usize = 200;
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
