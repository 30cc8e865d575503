//! CSV and TSV with a header: columns are found by the usual names of posts' fields.
//!
//! Quoting is RFC 4180, by the `csv` crate. A table without a text column is an error; a row of
//! another length than the header is a rejected record.

use super::framing::{Raw, RawFrame};
use super::input::{Input, io_error};
use super::record::{Part, Record, is_absent};
use crate::error::{PostsError, RejectReason};
use csv::{ByteRecord, Reader, ReaderBuilder};
use std::cell::Cell;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// A table being read.
pub(super) struct Table<'a> {
    reader: Reader<Bounded<'a>>,
    /// Bytes read since the last row.
    since_row: Rc<Cell<usize>>,
    path: PathBuf,
    compressed: bool,
    /// Bytes before the table: a byte order mark.
    before: u64,
    columns: Arc<Columns>,
    width: usize,
    row: ByteRecord,
}

/// The column of each part of a post.
pub(super) struct Columns([Option<usize>; Part::ALL.len()]);

impl Columns {
    /// The record of a row.
    pub(super) fn record(&self, row: &ByteRecord) -> Result<Record, RejectReason> {
        let mut record = Record::default();
        for part in Part::ALL {
            let Some(field) = self.0[part as usize].and_then(|column| row.get(column)) else {
                continue;
            };
            let text = std::str::from_utf8(field)
                .map_err(|error| RejectReason::InvalidUtf8 { at: error.valid_up_to() })?;
            record.set(part, Some(text.to_string()).filter(|text| !is_absent(text)));
        }
        Ok(record)
    }
}

impl<'a> Table<'a> {
    /// Whether a first line reads like a header: several columns, one of which is the text.
    pub(super) fn is_header(line: &[u8], map: &[(String, String)]) -> bool {
        let names = split_header(line);
        let mapped = |name: &String| map.iter().any(|(_, column)| column.to_lowercase() == *name);
        let usual = |name: &String| Part::Text.names().contains(&name.as_str());
        names.len() > 1 && names.iter().any(|name| usual(name) || mapped(name))
    }

    /// Starts reading; `first_line` is the header, as peeked, `map` names columns by part.
    pub(super) fn open(
        input: Input<'a>,
        first_line: &[u8],
        separator: Option<u8>,
        map: &[(String, String)],
    ) -> Result<Table<'a>, PostsError> {
        let path = input.path().to_path_buf();
        let compressed = input.is_compressed();
        let limit = input.record_limit_bytes();
        let (reader, before) = input.into_reader();
        let since_row = Rc::new(Cell::new(0));
        let reader = Bounded { inner: reader, since_row: Rc::clone(&since_row), limit };
        let mut reader = ReaderBuilder::new()
            .delimiter(separator.unwrap_or_else(|| delimiter(first_line)))
            .flexible(true)
            .from_reader(reader);
        let header = match reader.byte_headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(failed(&path, compressed, before, error)),
        };
        let names: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
        let columns = Part::ALL.map(|part| {
            let own = map.iter().find(|(mapped, _)| mapped == part.mapping());
            let wanted: Vec<String> = match own {
                Some((_, column)) => vec![column.to_lowercase()],
                None => part.names().iter().map(|name| name.to_lowercase()).collect(),
            };
            wanted.into_iter().find_map(|wanted| names.iter().position(|name| *name == wanted))
        });
        if columns[Part::Text as usize].is_none() {
            return Err(PostsError::NoTextColumn { path, columns: names.join(", ") });
        }
        Ok(Table {
            reader,
            path,
            compressed,
            before,
            columns: Arc::new(Columns(columns)),
            width: names.len(),
            row: ByteRecord::new(),
            since_row,
        })
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<RawFrame>, PostsError> {
        let before = self.before;
        self.since_row.set(0);
        let at = before + self.reader.position().byte();
        match self.reader.read_byte_record(&mut self.row) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(failed(&self.path, self.compressed, at, error)),
        }
        let (line, byte_offset) =
            self.row.position().map_or((0, at), |place| (place.line(), before + place.byte()));
        let content = if self.row.len() == self.width {
            Ok(Raw::Row(self.row.clone(), Arc::clone(&self.columns)))
        } else {
            Err(RejectReason::FieldCount { found: self.row.len(), expected: self.width })
        };
        Ok(Some(RawFrame { line, byte_offset, content }))
    }
}

/// The separator the header uses most.
pub(super) fn delimiter(line: &[u8]) -> u8 {
    let uses = |separator: u8| line.iter().filter(|&&byte| byte == separator).count();
    // Ties go to the comma, which is last.
    [b';', b'\t', b','].into_iter().max_by_key(|&separator| uses(separator)).unwrap_or(b',')
}

fn split_header(line: &[u8]) -> Vec<String> {
    let separator = delimiter(line);
    line.split(|&byte| byte == separator)
        .map(|name| String::from_utf8_lossy(name).trim().trim_matches('"').to_lowercase())
        .collect()
}

pub(super) fn failed(path: &Path, compressed: bool, bytes: u64, error: csv::Error) -> PostsError {
    let message = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(cause) if cause.get_ref().is_some_and(|inner| inner.is::<Endless>()) => {
            let endless = cause.get_ref().and_then(|inner| inner.downcast_ref::<Endless>());
            let limit_bytes = endless.map_or(0, |endless| endless.limit_bytes);
            PostsError::EndlessRow { path: path.to_path_buf(), byte_offset: bytes, limit_bytes }
        }
        csv::ErrorKind::Io(cause) => io_error(path, compressed, bytes, cause),
        _ => PostsError::Io { path: path.to_path_buf(), cause: std::io::Error::other(message) },
    }
}

/// The error that a row without an end is met with.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a row is longer than {limit_bytes} bytes")]
struct Endless {
    limit_bytes: usize,
}

/// A reader that fails when one row is longer than the limit: a quote that is never closed would
/// otherwise take the rest of the file into memory.
struct Bounded<'a> {
    inner: Box<dyn BufRead + 'a>,
    since_row: Rc<Cell<usize>>,
    limit: usize,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.since_row.get() > self.limit {
            return Err(std::io::Error::other(Endless { limit_bytes: self.limit }));
        }
        let read = self.inner.read(buffer)?;
        self.since_row.set(self.since_row.get() + read);
        Ok(read)
    }
}
