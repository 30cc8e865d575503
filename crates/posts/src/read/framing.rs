//! Which format a source is in, and its records one after the other.
//!
//! Formats are detected from the content, with the file's extension only where content leaves a doubt. Formats:
//! JSON lines, JSON values (an array, objects one after the other, or the JavaScript assignment of an
//! X archive), tables, plain text by paragraph or by line.

use super::dialect::{self, TableOptions};
use super::file_signature::{self, FileSignature};
use super::input::{Framed, HEAD_BYTES, Input};
use super::json;
use super::network::{Shaping, found};
use super::record::{Found, Part, Record};
use super::remarks::Remarks;
use super::table::{Cells, Columns, Table};
use super::values::Values;
use super::{Format, ReadOptions, refusal};
use crate::error::{PostsError, RejectReason};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// A frame of the source: its place and what it holds.
pub(super) struct Frame {
    pub(super) line: u64,
    pub(super) byte_offset: u64,
    pub(super) content: Result<Vec<Found>, RejectReason>,
}

/// A frame whose content is yet to be looked at, which need not happen where the source is read.
pub(super) struct RawFrame {
    pub(super) line: u64,
    pub(super) byte_offset: u64,
    pub(super) content: Result<Raw, RejectReason>,
}

/// What a frame holds, as it was read.
pub(super) enum Raw {
    /// The text of a JSON value.
    Json(String),
    /// A JSON value.
    Value(Value),
    /// A row of a table, with the columns of the parts of a post.
    Row(Cells, Arc<Columns>),
    /// A record.
    Record(Box<Record>),
}

impl RawFrame {
    /// Bytes it holds, roughly.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            Ok(Raw::Json(text)) => text.len(),
            Ok(Raw::Row(row, _)) => row.size(),
            // The bytes of values are not counted; a thousand make a batch.
            _ => 256,
        }
    }

    /// Takes the content apart.
    pub(super) fn shaped(self, shaping: &Shaping, remarks: &mut Remarks) -> Frame {
        let content = self.content.and_then(|raw| match raw {
            Raw::Json(text) => json_values(&text, shaping, remarks),
            Raw::Value(value) => Ok(found(&value, shaping)),
            Raw::Row(row, columns) => columns.record(&row).map(|record| vec![posted(record)]),
            Raw::Record(record) => Ok(vec![Found::Post(record)]),
        });
        Frame { line: self.line, byte_offset: self.byte_offset, content }
    }
}

fn posted(record: Record) -> Found {
    Found::Post(Box::new(record))
}

/// How the JavaScript of X archives begins, that of today and that of before 2019.
const ARCHIVES: [&[u8]; 3] = [b"window.YTD.", b"YTD.", b"Grailbird.data."];

/// A source cut into frames.
pub(super) enum Frames<'a> {
    Lines(Input<'a>),
    Values(Box<Values<'a>>),
    Table(Box<Table<'a>>),
    Text(Text<'a>),
}

impl<'a> Frames<'a> {
    /// Detects the format from the first part of the input, or takes the one that is given; `None` for a source
    /// without anything in it.
    pub(super) fn open(
        input: Input<'a>,
        head: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<Frames<'a>>, PostsError> {
        let Some(first) = head.iter().copied().find(|byte| !byte.is_ascii_whitespace()) else {
            return Ok(None);
        };
        let not_posts = |FileSignature { kind, remedy }| {
            let path = input.path().to_path_buf();
            PostsError::NotPosts { path, kind, remedy }
        };
        if let Some(other) = file_signature::foreign(head) {
            return Err(not_posts(other));
        }
        let values = |input: Input<'a>, archive| {
            let values = Values::open(input, archive, options.shaping())?;
            Ok(Some(Frames::Values(Box::new(values))))
        };
        let extension = extension(input.path());
        let solid = head.trim_ascii_start();
        let first_line = solid.split(|&byte| byte == b'\n').next().unwrap_or(solid);
        if ARCHIVES.iter().any(|start| solid.starts_with(start)) && options.format != Format::Text {
            return values(input, true);
        }
        if let Some(other) = refusal::markup(head).filter(|_| options.format == Format::Auto) {
            return Err(not_posts(other));
        }
        match options.format {
            Format::JsonLines => return Ok(Some(Frames::Lines(input))),
            Format::Text => return Ok(Some(Frames::Text(Text::new(input, head)))),
            Format::Csv | Format::Tsv => return Frames::table(input, head, options),
            _ => {}
        }
        let by_network = options.format.is_json();
        let wordy = !by_network && matches!(extension.as_str(), "txt" | "md");
        if first == b'{' && !wordy {
            // One object may be a line of any length: a name says so.
            let one_line = first_line.len() == solid.len();
            let large = one_line && head.len() >= HEAD_BYTES && extension == "json";
            let ends = one_line || first_line.trim_ascii_end().ends_with(b"}");
            let by_line = (ends && !large) || matches!(extension.as_str(), "jsonl" | "ndjson");
            return if by_line && options.format != Format::Json {
                Ok(Some(Frames::Lines(input)))
            } else {
                values(input, false)
            };
        }
        if first == b'[' && !wordy {
            let second = solid[1..].iter().find(|byte| !byte.is_ascii_whitespace());
            if extension == "json" || matches!(second, Some(b'{' | b'[' | b'"' | b']')) {
                return values(input, false);
            }
        }
        if by_network || matches!(extension.as_str(), "json" | "jsonl" | "ndjson") {
            return Ok(Some(Frames::Lines(input)));
        }
        let tabular = matches!(extension.as_str(), "csv" | "tsv" | "tab" | "psv")
            || options.table != TableOptions::default()
            || dialect::has_sep_line(head)
            || (!wordy && Table::is_header(first_line, &options.map));
        if tabular {
            return Frames::table(input, head, options);
        }
        if let Some(other) = file_signature::binary(head) {
            return Err(not_posts(other));
        }
        if let Some(other) = refusal::of(head, &extension) {
            return Err(not_posts(other));
        }
        Ok(Some(Frames::Text(Text::new(input, head))))
    }

    fn table(
        input: Input<'a>,
        head: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<Frames<'a>>, PostsError> {
        let table = Table::open(input, head, head.len() < HEAD_BYTES, options)?;
        Ok(Some(Frames::Table(Box::new(table))))
    }

    /// What was remarked so far, which is not given twice.
    pub(super) fn remarks(&mut self) -> Remarks {
        match self {
            Frames::Table(table) => table.remarks(),
            Frames::Values(values) => values.remarks(),
            Frames::Lines(_) | Frames::Text(_) => Remarks::default(),
        }
    }

    /// The next frame, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<RawFrame>, PostsError> {
        match self {
            Frames::Lines(input) => loop {
                match input.line()? {
                    None => return Ok(None),
                    Some(line) if line.text.as_ref().is_ok_and(|t| t.trim().is_empty()) => {}
                    Some(line) => return Ok(Some(json_frame(line))),
                }
            },
            Frames::Values(values) => values.next(),
            Frames::Table(table) => table.next(),
            Frames::Text(text) => text.next(),
        }
    }

    /// Whether it is a file of an X archive, whose author is the archive's owner.
    pub(super) fn is_archive(&self) -> bool {
        matches!(self, Frames::Values(values) if values.archive)
    }
}

/// The extension that tells the format: `jsonl` of `posts.jsonl.gz`.
pub(super) fn extension(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    let name = [".gz", ".bz2", ".zst", ".zstd"]
        .iter()
        .find_map(|packed| name.strip_suffix(packed))
        .unwrap_or(&name);
    name.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_string())
}

pub(super) fn json_frame(framed: Framed) -> RawFrame {
    let Framed { text, line, byte_offset } = framed;
    RawFrame { line, byte_offset, content: text.map(Raw::Json) }
}

fn json_values(
    text: &str,
    shaping: &Shaping,
    remarks: &mut Remarks,
) -> Result<Vec<Found>, RejectReason> {
    let text = text.trim();
    // Streams of HTTP and of Kafka tools mark records by a control character (RFC 7464).
    let text = text.strip_prefix('\u{1e}').unwrap_or(text);
    let value = json::parse(text, remarks).map_err(RejectReason::WrongJson)?;
    Ok(found(&value, shaping))
}

/// Paragraphs that follow each other belong together; so many make a thread.
const PARAGRAPHS_PER_THREAD: u64 = 16;
/// Where a paragraph that never ends is cut, so that memory stays bounded.
const MAX_PARAGRAPH_BYTES: usize = 1 << 20;

/// Plain text: a post per paragraph when blank lines part paragraphs, else a post per line.
pub(super) struct Text<'a> {
    input: Input<'a>,
    by_paragraph: bool,
    given: u64,
    name: String,
}

impl<'a> Text<'a> {
    fn new(input: Input<'a>, head: &[u8]) -> Text<'a> {
        let by_paragraph =
            head.trim_ascii().split(|&byte| byte == b'\n').any(|line| line.trim_ascii().is_empty());
        let name = input.path().display().to_string();
        Text { input, by_paragraph, given: 0, name }
    }

    fn next(&mut self) -> Result<Option<RawFrame>, PostsError> {
        let mut paragraph: Option<(u64, u64, String)> = None;
        while let Some(line) = self.input.line()? {
            let text = match line.text {
                Ok(text) => text,
                Err(reason) => {
                    let (line, byte_offset) = (line.line, line.byte_offset);
                    return Ok(Some(RawFrame { line, byte_offset, content: Err(reason) }));
                }
            };
            let blank = text.trim().is_empty();
            match (&mut paragraph, blank) {
                (None, true) => {}
                (Some(_), true) => break,
                (None, false) => {
                    paragraph = Some((line.line, line.byte_offset, text));
                    if !self.by_paragraph {
                        break;
                    }
                }
                (Some((_, _, begun)), false) => {
                    begun.push('\n');
                    begun.push_str(&text);
                    if begun.len() > MAX_PARAGRAPH_BYTES {
                        break;
                    }
                }
            }
        }
        let Some((line, byte_offset, text)) = paragraph else { return Ok(None) };
        let mut record = Record::default();
        record.set(Part::Text, Some(text));
        if self.by_paragraph {
            let thread = self.given / PARAGRAPHS_PER_THREAD;
            record.set(Part::Thread, Some(format!("{}#{thread}", self.name)));
        }
        self.given += 1;
        let content = Ok(Raw::Record(Box::new(record)));
        Ok(Some(RawFrame { line, byte_offset, content }))
    }
}
