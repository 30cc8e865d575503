//! What can go wrong between a file and its posts, with the place and the remedy.

use crate::read::Remarks;
use std::path::PathBuf;
use thiserror::Error;

/// An error that ends reading or writing.
#[derive(Debug, Error)]
pub enum PostsError {
    /// What takes the items of a scan failed.
    #[error(transparent)]
    Sink(Box<dyn std::error::Error + Send + Sync>),
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
        /// The error of the system.
        cause: std::io::Error,
    },
    /// Nothing in it.
    #[error("{path}: the file is empty; give one with at least one post")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Something in it, but nothing that is read as a record.
    #[error("{path}: nothing in it is read as a post; give one with at least one post{}", notes(.remarks))]
    NothingRead {
        /// The source.
        path: PathBuf,
        /// What was left out or read in another way.
        remarks: Remarks,
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
        /// The error of the decoder.
        cause: String,
    },
    /// A stream that unpacks to more than any honest data does.
    #[error(
        "{path}: a decompression bomb: {ratio} bytes for every compressed one, {decoded_bytes} so far; \
         unpack it yourself if you trust it"
    )]
    Bomb {
        /// The file.
        path: PathBuf,
        /// Bytes that came out of the decoder.
        decoded_bytes: u64,
        /// Decoded bytes per compressed byte.
        ratio: u64,
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
        /// The message of the parser.
        cause: String,
    },
    /// A mapping that names no part of a post.
    #[error("`{part}` is no part of a post that a column can be mapped to; use one of {known}")]
    UnknownPart {
        /// The name given.
        part: String,
        /// The names there are.
        known: String,
    },
    /// A table without a text column.
    #[error(
        "{path}: no column holds the text (columns: {columns}); name it by --map text=NAME or its number, \
         --map text=2, and give --no-header when the first row is a post"
    )]
    NoTextColumn {
        /// The file.
        path: PathBuf,
        /// The header found.
        columns: String,
    },
    /// A table without a header, whose columns are not numbered.
    #[error(
        "{path}: the first row of {columns} columns reads like data, not like a header; number the columns, \
         for instance --map text={column},author=2, or name the header's text by --map text=NAME"
    )]
    NoHeader {
        /// The file.
        path: PathBuf,
        /// Columns of the first row.
        columns: usize,
        /// The column with the longest field, from 1.
        column: usize,
    },
    /// An encoding that is not known.
    #[error(
        "--encoding {name} is unknown; give one of the web's names, such as utf-8, utf-16le, windows-1252, \
         latin1, windows-1251, shift_jis, gbk, euc-kr or big5"
    )]
    UnknownEncoding {
        /// The name given.
        name: String,
    },
    /// Neither lines of JSON nor a table.
    #[error(
        "{path}: rows are read from JSON lines (one object a line), CSV and TSV with a header, and \
         Parquet; make other formats one of these, or ingest them first"
    )]
    NotRows {
        /// The file.
        path: PathBuf,
    },
    /// A file of an X archive that holds something else than its owner's tweets.
    #[error("{path}: this part of an X archive holds `{kind}`, not posts; give tweets.js")]
    NotTweets {
        /// The file.
        path: PathBuf,
        /// What the file says it holds.
        kind: String,
    },
    /// A folder that Stoa made, given as a source.
    #[error(
        "{path}: this is {kind} that stoa made, not a source of posts; give what it was made of, or a folder in \
         it, such as posts/ of a store, by itself"
    )]
    OwnOutput {
        /// The folder.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A folder or archive without anything readable.
    #[error(
        "{path}: holds no file of posts (tweets.js, .jsonl, .json, .csv, .tsv or .txt){}", notes(.remarks)
    )]
    NoPostFiles {
        /// The folder or archive.
        path: PathBuf,
        /// The files in it, by kind.
        remarks: Remarks,
    },
    /// A picture, a program, an archive of another kind.
    #[error("{path}: this is {kind}, not a file of posts; {remedy}")]
    NotPosts {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A row of a table that does not end.
    #[error(
        "{path}: the row at byte {byte_offset} is longer than {limit_bytes} bytes; close its quote, or \
         give --quote none when marks do not quote"
    )]
    EndlessRow {
        /// The file.
        path: PathBuf,
        /// Where the row starts.
        byte_offset: u64,
        /// Bytes that a row may have.
        limit_bytes: usize,
    },
    /// Members of an archive that share their bytes, or more of them than is allowed.
    #[error(
        "{path}: {cause}, as only a decompression bomb has them; unpack it yourself if you trust it"
    )]
    ArchiveBomb {
        /// The archive.
        path: PathBuf,
        /// What is wrong with its members.
        cause: String,
    },
    /// More in an archive than is allowed.
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
    /// A Parquet file that cannot be read or written.
    #[error("{path}: not a valid Parquet file of posts: {cause}; recreate it or remove it")]
    WrongParquet {
        /// The file.
        path: PathBuf,
        /// The message of the library.
        cause: String,
    },
    /// A CAR export of a repository that cannot be read.
    #[error(
        "{path}: not a whole CAR export of a Bluesky repository: {cause}; export it again, for instance \
         with `goat repo export`"
    )]
    WrongCar {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A remote file that could not be read, or not in this build.
    #[error(transparent)]
    Remote(#[from] stoa_remote::RemoteError),
    /// A remote file of a kind that is read from its end.
    #[error(
        "{address}: a zip or Parquet file, which is read from its end, and an address only from its \
         start; fetch the file first"
    )]
    RemoteFromItsEnd {
        /// Its address.
        address: PathBuf,
    },
    /// Everything was rejected.
    #[error(
        "{path}: {records} records, none of them a usable post; the first was rejected because: \
         {first_reason}{}", notes(.remarks)
    )]
    NoUsablePosts {
        /// The file.
        path: PathBuf,
        /// Records looked at.
        records: u64,
        /// Why the first one was rejected.
        first_reason: String,
        /// What was guessed, changed, rounded or left out.
        remarks: Remarks,
    },
}

/// The remarks as lines below an error.
fn notes(remarks: &Remarks) -> String {
    remarks.lines().map(|line| format!("\n{line}")).collect()
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
    /// A retweet or other repost of another person's words.
    #[error("a repost of another post")]
    Repost,
    /// Addressed to followers or to persons, not to the public.
    #[error("not public")]
    NotPublic,
    /// Bytes that are not UTF-8.
    #[error(
        "not valid UTF-8 at byte {at} of the record; give the file's --encoding, or convert it with iconv"
    )]
    InvalidUtf8 {
        /// Offset of the first bad byte in the record.
        at: usize,
    },
    /// A record longer than the limit; it was skipped without being kept.
    #[error(
        "{bytes} bytes, more than the {limit_bytes} a record may have; one large object that holds posts is \
         walked through with --format json"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The rest of a source after damage.
    #[error("the source breaks off: {0}")]
    Broken(String),
    /// A block of a CAR whose data do not have the hash in its identifier.
    #[error(
        "the data of block {cid} do not have the hash that names it; export the repository again"
    )]
    WrongHash {
        /// Its content identifier, in base 32.
        cid: String,
    },
}

impl RejectReason {
    /// The kind of reason, for counts.
    pub fn kind(&self) -> &'static str {
        match self {
            RejectReason::WrongJson(_) => "wrong JSON",
            RejectReason::NoText => "no text",
            RejectReason::FieldCount { .. } => "row of another length",
            RejectReason::Repost => "a repost of another post",
            RejectReason::NotPublic => "not public",
            RejectReason::InvalidUtf8 { .. } => "not UTF-8",
            RejectReason::TooLong { .. } => "record too long",
            RejectReason::Broken(_) => "source breaks off",
            RejectReason::WrongHash { .. } => "block with a wrong hash",
        }
    }
}
