//! Which format a source is in, and its records one after the other.
//!
//! Formats are detected from the content, with the file's extension only where content leaves a doubt. Formats:
//! JSON lines, JSON values (an array, objects one after the other, or the JavaScript assignment of an
//! X archive), tables, plain text by paragraph or by line.

use super::file_signature::{self, FileSignature};
use super::input::{Framed, Input};
use super::network::{Shaping, found};
use super::record::{Found, Part, Record};
use super::table::{Columns, Table};
use super::{Format, ReadOptions, refusal};
use crate::error::{PostsError, RejectReason};
use csv::ByteRecord;
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
    Row(ByteRecord, Arc<Columns>),
    /// A record.
    Record(Box<Record>),
}

impl RawFrame {
    /// Bytes it holds, roughly.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            Ok(Raw::Json(text)) => text.len(),
            Ok(Raw::Row(row, _)) => row.as_slice().len(),
            // The bytes of values are not counted; a thousand make a batch.
            _ => 256,
        }
    }

    /// Takes the content apart.
    pub(super) fn shaped(self, shaping: &Shaping) -> Frame {
        let content = self.content.and_then(|raw| match raw {
            Raw::Json(text) => json_values(&text, shaping),
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
    Values(Values<'a>),
    Table(Box<Table<'a>>),
    Text(Text<'a>),
}

impl<'a> Frames<'a> {
    /// Detects the format, or takes the one that is given; `None` for a source without anything in it.
    pub(super) fn open(
        mut input: Input<'a>,
        options: &ReadOptions,
    ) -> Result<Option<Frames<'a>>, PostsError> {
        let head = input.head()?;
        let Some(first) = head.iter().copied().find(|byte| !byte.is_ascii_whitespace()) else {
            return Ok(None);
        };
        let not_posts = |FileSignature { kind, remedy }| {
            let path = input.path().to_path_buf();
            PostsError::NotPosts { path, kind, remedy }
        };
        if let Some(other) = file_signature::foreign(&head) {
            return Err(not_posts(other));
        }
        let extension = extension(input.path());
        let solid = head.trim_ascii_start();
        let first_line = solid.split(|&byte| byte == b'\n').next().unwrap_or(solid);
        if ARCHIVES.iter().any(|start| solid.starts_with(start)) && options.format != Format::Text {
            return Values::open(input, true).map(|values| Some(Frames::Values(values)));
        }
        if let Some(other) = refusal::markup(&head).filter(|_| options.format == Format::Auto) {
            return Err(not_posts(other));
        }
        match options.format {
            Format::JsonLines => return Ok(Some(Frames::Lines(input))),
            Format::Text => return Ok(Some(Frames::Text(Text::new(input, &head)))),
            Format::Csv | Format::Tsv => {
                let separator = if options.format == Format::Csv { None } else { Some(b'\t') };
                let table = Table::open(input, first_line, separator, &options.map)?;
                return Ok(Some(Frames::Table(Box::new(table))));
            }
            _ => {}
        }
        let by_network = options.format.is_json();
        let wordy = !by_network && matches!(extension.as_str(), "txt" | "md");
        if first == b'{' && !wordy {
            let ends =
                first_line.len() == solid.len() || first_line.trim_ascii_end().ends_with(b"}");
            let by_line = ends || matches!(extension.as_str(), "jsonl" | "ndjson");
            return if by_line && options.format != Format::Json {
                Ok(Some(Frames::Lines(input)))
            } else {
                Values::open(input, false).map(|values| Some(Frames::Values(values)))
            };
        }
        if first == b'[' && !wordy {
            let second = solid[1..].iter().find(|byte| !byte.is_ascii_whitespace());
            if extension == "json" || matches!(second, Some(b'{' | b'[' | b'"' | b']')) {
                return Values::open(input, false).map(|values| Some(Frames::Values(values)));
            }
        }
        if by_network || matches!(extension.as_str(), "json" | "jsonl" | "ndjson") {
            return Ok(Some(Frames::Lines(input)));
        }
        let tabular = matches!(extension.as_str(), "csv" | "tsv")
            || (!wordy && Table::is_header(first_line, &options.map));
        if tabular {
            return Table::open(input, first_line, None, &options.map)
                .map(|table| Some(Frames::Table(Box::new(table))));
        }
        if let Some(other) = file_signature::binary(&head) {
            return Err(not_posts(other));
        }
        if let Some(other) = refusal::of(&head, &extension) {
            return Err(not_posts(other));
        }
        Ok(Some(Frames::Text(Text::new(input, &head))))
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

fn json_frame(framed: Framed) -> RawFrame {
    let Framed { text, line, byte_offset } = framed;
    RawFrame { line, byte_offset, content: text.map(Raw::Json) }
}

fn json_values(text: &str, shaping: &Shaping) -> Result<Vec<Found>, RejectReason> {
    let text = text.trim();
    // Streams of HTTP and of Kafka tools mark records by a control character (RFC 7464).
    let text = text.strip_prefix('\u{1e}').unwrap_or(text);
    match serde_json::from_str::<Value>(text) {
        Ok(value) => Ok(found(&value, shaping)),
        Err(error) => Err(RejectReason::WrongJson(error.to_string())),
    }
}

/// JSON values one at a time out of an array or a sequence, without reading the whole.
pub(super) struct Values<'a> {
    input: Input<'a>,
    archive: bool,
    in_array: bool,
}

impl<'a> Values<'a> {
    fn open(mut input: Input<'a>, archive: bool) -> Result<Values<'a>, PostsError> {
        if archive {
            input.peek_solid()?;
            // `window.YTD.tweets.part0 = [`, `Grailbird.data.tweets_2013_01 =`
            let assigned = input.until(|byte| byte == b'=')?.map(|framed| framed.text);
            let name = assigned.and_then(Result::ok).unwrap_or_default();
            let name = name.trim_start_matches("window.").trim_end_matches('=').trim();
            let kind = name.split('.').nth(1).unwrap_or("");
            let month = name.strip_prefix("Grailbird.data.tweets_");
            let of_owner =
                matches!(kind, "tweets" | "tweet" | "community_tweet" | "deleted_tweets");
            if !of_owner && month.is_none() {
                let kind = name.strip_prefix("Grailbird.data.").unwrap_or(kind);
                let path = input.path().to_path_buf();
                return Err(PostsError::NotTweets { path, kind: kind.to_string() });
            }
        }
        let in_array = input.peek_solid()? == Some(b'[');
        if in_array {
            input.skip_byte(b'[');
        }
        Ok(Values { input, archive, in_array })
    }

    fn wrong(&self, place: (u64, u64), cause: &str) -> PostsError {
        PostsError::WrongJson {
            path: self.input.path().to_path_buf(),
            line: place.0,
            byte_offset: place.1,
            cause: cause.to_string(),
        }
    }

    fn next(&mut self) -> Result<Option<RawFrame>, PostsError> {
        let framed = loop {
            match self.input.peek_solid()? {
                None if self.in_array => {
                    let place = self.input.place();
                    return Err(self.wrong(place, "the file ends before the array is closed"));
                }
                None => return Ok(None),
                Some(byte @ (b',' | b';')) => self.input.skip_byte(byte),
                Some(b']') if self.in_array => {
                    self.input.skip_byte(b']');
                    self.in_array = false;
                }
                Some(b'{' | b'[' | b'"') => break self.bracketed()?,
                // Lists of numbers hold no posts; each is a record that is rejected.
                Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') if self.in_array => {
                    break self.input.scalar()?;
                }
                Some(byte) => {
                    let place = self.input.place();
                    let cause = format!("a value cannot start with {:?}", char::from(byte));
                    return Err(self.wrong(place, &cause));
                }
            }
        };
        Ok(Some(json_frame(framed)))
    }

    fn bracketed(&mut self) -> Result<Framed, PostsError> {
        let place = self.input.place();
        let mut balance = Balance::default();
        match self.input.until(|byte| balance.closes(byte))? {
            Some(framed) => Ok(framed),
            None => Err(self.wrong(place, "the file ends inside a value")),
        }
    }
}

/// Follows brackets and strings of JSON to the end of a value.
#[derive(Default)]
struct Balance {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Balance {
    /// Takes the next byte; true when it is the last of the value.
    fn closes(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    return self.depth == 0;
                }
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
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
