//! Which format a source is in, and its records one after the other.
//!
//! Formats are told by content, with the file's extension only where content leaves a doubt. Formats:
//! JSON lines, JSON values (an array, objects one after the other, or the JavaScript assignment of an
//! X archive), tables, plain text by paragraph or by line.

use super::input::{Framed, Input};
use super::table::Table;
use super::tweet::{Part, Record, records};
use crate::error::{PostsError, RejectReason};
use serde_json::Value;
use std::path::Path;

/// A frame of the source: its place and what it holds.
pub(super) struct Frame {
    pub(super) line: u64,
    pub(super) byte_offset: u64,
    pub(super) content: Result<Vec<Record>, RejectReason>,
}

/// A source cut into frames.
pub(super) enum Frames {
    Lines(Input),
    Values(Values),
    Table(Box<Table>),
    Text(Text),
}

impl Frames {
    /// Tells the format; `None` for a source without anything in it.
    pub(super) fn open(mut input: Input) -> Result<Option<Frames>, PostsError> {
        let head = input.head()?;
        let Some(first) = head.iter().copied().find(|byte| !byte.is_ascii_whitespace()) else {
            return Ok(None);
        };
        let extension = extension(input.path());
        let solid = head.trim_ascii_start();
        let first_line = solid.split(|&byte| byte == b'\n').next().unwrap_or(solid);
        if solid.starts_with(b"window.YTD") {
            return Values::open(input, true).map(|values| Some(Frames::Values(values)));
        }
        let wordy = matches!(extension.as_str(), "txt" | "md");
        if first == b'{' && !wordy {
            let ends =
                first_line.len() == solid.len() || first_line.trim_ascii_end().ends_with(b"}");
            let by_line = ends || matches!(extension.as_str(), "jsonl" | "ndjson");
            return if by_line {
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
        if matches!(extension.as_str(), "json" | "jsonl" | "ndjson") {
            return Ok(Some(Frames::Lines(input)));
        }
        let tabular =
            matches!(extension.as_str(), "csv" | "tsv") || (!wordy && Table::is_header(first_line));
        if tabular {
            return Table::open(input, first_line)
                .map(|table| Some(Frames::Table(Box::new(table))));
        }
        Ok(Some(Frames::Text(Text::new(input, &head))))
    }

    /// The next frame, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, PostsError> {
        match self {
            Frames::Lines(input) => loop {
                match input.line()? {
                    None => return Ok(None),
                    Some(line) if line.text.trim().is_empty() => {}
                    Some(line) => return Ok(Some(json_line(&line))),
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
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_string())
}

fn json_line(line: &Framed) -> Frame {
    let content = match serde_json::from_str::<Value>(line.text.trim()) {
        Ok(value) => Ok(records(&value)),
        Err(error) => Err(RejectReason::WrongJson(error.to_string())),
    };
    Frame { line: line.line, byte_offset: line.byte_offset, content }
}

/// JSON values one at a time out of an array or a sequence, without reading the whole.
pub(super) struct Values {
    input: Input,
    archive: bool,
    in_array: bool,
}

impl Values {
    fn open(mut input: Input, archive: bool) -> Result<Values, PostsError> {
        if archive {
            input.peek_solid()?;
            // `window.YTD.tweets.part0 = [`
            let assigned = input.until(|byte| byte == b'=')?.map(|framed| framed.text);
            let kind = assigned.as_deref().and_then(|name| name.split('.').nth(2)).unwrap_or("");
            if !matches!(kind, "tweets" | "tweet" | "community_tweet") {
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

    fn next(&mut self) -> Result<Option<Frame>, PostsError> {
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
        match serde_json::from_str::<Value>(&framed.text) {
            Ok(value) => Ok(Some(Frame {
                line: framed.line,
                byte_offset: framed.byte_offset,
                content: Ok(records(&value)),
            })),
            Err(error) => Err(self.wrong((framed.line, framed.byte_offset), &error.to_string())),
        }
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

/// Plain text: a post per paragraph when blank lines part paragraphs, else a post per line.
pub(super) struct Text {
    input: Input,
    by_paragraph: bool,
    given: u64,
    name: String,
}

impl Text {
    fn new(input: Input, head: &[u8]) -> Text {
        let by_paragraph =
            head.trim_ascii().split(|&byte| byte == b'\n').any(|line| line.trim_ascii().is_empty());
        let name = input.path().display().to_string();
        Text { input, by_paragraph, given: 0, name }
    }

    fn next(&mut self) -> Result<Option<Frame>, PostsError> {
        let mut paragraph: Option<Framed> = None;
        while let Some(line) = self.input.line()? {
            let blank = line.text.trim().is_empty();
            match (&mut paragraph, blank) {
                (None, true) => {}
                (Some(_), true) => break,
                (None, false) => {
                    paragraph = Some(line);
                    if !self.by_paragraph {
                        break;
                    }
                }
                (Some(begun), false) => {
                    begun.text.push('\n');
                    begun.text.push_str(&line.text);
                }
            }
        }
        let Some(framed) = paragraph else { return Ok(None) };
        let mut record = Record::default();
        record.set(Part::Text, Some(framed.text));
        if self.by_paragraph {
            let thread = self.given / PARAGRAPHS_PER_THREAD;
            record.set(Part::Thread, Some(format!("{}#{thread}", self.name)));
        }
        self.given += 1;
        Ok(Some(Frame {
            line: framed.line,
            byte_offset: framed.byte_offset,
            content: Ok(vec![record]),
        }))
    }
}
