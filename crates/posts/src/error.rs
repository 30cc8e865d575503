//! What can go wrong between a file and a corpus, with the place and the remedy.

use std::path::PathBuf;
use thiserror::Error;

/// An error that ends reading or generating.
#[derive(Debug, Error)]
pub enum PostsError {
    /// A size the sample square cannot have.
    #[error(
        "the sample square cannot have {name} = {given}; choose a number from {lowest} to {highest}"
    )]
    SquareSize {
        /// Field of the configuration.
        name: &'static str,
        /// What was asked for.
        given: usize,
        /// Smallest accepted value.
        lowest: usize,
        /// Largest accepted value.
        highest: usize,
    },
    /// The path does not exist.
    #[error("{path}: no such file or folder; check the spelling, or give the full path")]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{path}: {cause}; check permissions and the disk")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Nothing in it.
    #[error("{path}: the file is empty; give one with at least one post")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A compressed stream ends early or is damaged.
    #[error(
        "{path}: the compressed data is cut short or damaged after {decoded_bytes} decoded bytes \
         ({posts} posts): {cause}; fetch the file again, or allow truncated input to keep what was read"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that did come out of the decoder.
        decoded_bytes: u64,
        /// Posts read before the damage.
        posts: u64,
        /// What the decoder said.
        cause: String,
    },
    /// Bytes that are not UTF-8.
    #[error(
        "{path}: line {line}, byte {byte_offset}: not valid UTF-8; convert the file first, for example \
         with `iconv -f latin1 -t utf-8`"
    )]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Offset of the first bad byte after decompression.
        byte_offset: u64,
    },
    /// JSON that does not parse as a whole file.
    #[error("{path}: line {line}, byte {byte_offset}: wrong JSON: {cause}; repair or remove it")]
    WrongJson {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Offset of the value that does not parse.
        byte_offset: u64,
        /// What the parser said.
        cause: String,
    },
    /// A table without a text column.
    #[error(
        "{path}: no column holds the text (columns: {columns}); name one text, full_text, content, \
         body, tweet or message"
    )]
    NoTextColumn {
        /// The file.
        path: PathBuf,
        /// The header found.
        columns: String,
    },
    /// A file of an X archive that holds something else than its owner's tweets.
    #[error("{path}: this part of an X archive holds `{kind}`, not posts; give tweets.js")]
    NotTweets {
        /// The file.
        path: PathBuf,
        /// What the file says it holds.
        kind: String,
    },
    /// A folder or archive without anything readable.
    #[error("{path}: holds no file of posts (tweets.js, .jsonl, .json, .csv, .tsv or .txt)")]
    NoPostFiles {
        /// The folder or archive.
        path: PathBuf,
    },
    /// A record longer than the limit.
    #[error(
        "{path}: line {line}, byte {byte_offset}: longer than {limit_bytes} bytes; raise the limit if \
         this is meant to be one record"
    )]
    RecordTooLong {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Where it starts.
        byte_offset: u64,
        /// The limit.
        limit_bytes: usize,
    },
    /// More in an archive than may be taken into memory.
    #[error(
        "{path}: the files of posts in this archive hold more than {limit_bytes} bytes; unpack it and \
         give the files, or raise the limit"
    )]
    ArchiveTooLarge {
        /// The archive and the member at which the limit was passed.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// Everything was rejected.
    #[error(
        "{path}: {records} records, none of them a usable post; the first was rejected because: \
         {first_reason}"
    )]
    NoUsablePosts {
        /// The file.
        path: PathBuf,
        /// Records looked at.
        records: u64,
        /// Why the first one was rejected.
        first_reason: String,
    },
    /// Too little text to train on and to hold out.
    #[error(
        "{posts} usable posts are too few: at least 2 are needed, one to train on and one to hold out; \
         {dropped} were dropped ({reasons})"
    )]
    TooFewPosts {
        /// Posts that were kept.
        posts: usize,
        /// Posts that were dropped in cleaning.
        dropped: usize,
        /// Counts by reason.
        reasons: String,
    },
}

/// A record that was passed over, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// File (or `archive!entry`).
    pub source: std::sync::Arc<str>,
    /// Line, from 1, where lines exist; else the record's number, from 1.
    pub line: u64,
    /// Offset after decompression at which the record (or the line holding it) starts.
    pub byte_offset: u64,
    /// Why.
    pub reason: RejectReason,
}

/// Why a record is not a post.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RejectReason {
    /// The line is not JSON.
    #[error("wrong JSON: {0}")]
    WrongJson(String),
    /// There is no text field, or it is empty.
    #[error("no text (looked for full_text, text, content, body, tweet, message)")]
    NoText,
    /// The row has another number of fields than the header.
    #[error("{found} fields where the header has {expected}")]
    FieldCount {
        /// Fields in the row.
        found: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// A retweet or other repost of somebody else's words.
    #[error("a repost of another post")]
    Repost,
}

/// Why an item of a reader is not a post: one passed-over record, or the end of reading.
#[derive(Debug, Error)]
pub enum Reject {
    /// This record only; reading goes on.
    #[error("{}: line {}, byte {}: {}", .0.source, .0.line, .0.byte_offset, .0.reason)]
    Record(Rejected),
    /// Reading ends here.
    #[error(transparent)]
    Fatal(#[from] PostsError),
}
