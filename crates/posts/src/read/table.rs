//! CSV and TSV of any dialect, with a header or without: columns are found by the usual names of posts'
//! fields, or named or numbered by the user.
//!
//! A row is a line, or several where a quoted field goes over line ends (RFC 4180, by the `csv-core` crate). The
//! dialect is that of the file (`dialect`). Two faults of single rows are mended and counted. Text after the
//! mark that closes a field: the row is read without quoting, when that gives it the header's number of
//! fields. And **rows that a mark swallowed**: when a row goes over several lines and each of them, the first
//! included, reads as a row by itself, the first one is read without quoting and the others are read again. A line
//! reads as a row when it has the header's number of fields and each has the form of its column in the rows
//! before: digits, digits and signs, one word, or anything; where every column holds anything, nothing
//! can be told. Sixteen such lines are enough; a mark that nothing closes needs one.

use super::dialect::{self, Dialect, NO_DELIMITER, Quote, name_of};
use super::field_columns::FieldColumns;
use super::framing::{Raw, RawFrame};
use super::input::{Input, RawLine, io_error};
use super::record::{Part, Record};
use super::remarks::Remarks;
use super::{Format, ReadOptions};
use crate::error::{PostsError, RejectReason};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// Lines of one row after which it is asked whether they are rows.
const LOOK_AHEAD: usize = 17;
/// Rows by which the forms of columns are known.
const FORM_ROWS: usize = 200;

/// Remarks of this file.
const SWALLOWED: &str =
    "rows of tables that a quotation mark would have swallowed, read without quoting";
const STRAY: &str = "rows of tables with marks that do not quote, read without quoting";
const UNCLOSED: &str = "rows of tables with a quotation mark that nothing closes";
const HEADERLESS: &str = "tables read without a header";
const NO_SUCH_COLUMN: &str = "columns of --map that a table does not have";

/// The fields of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    bytes: Vec<u8>,
    /// Where each field ends.
    ends: Vec<usize>,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.bytes.get(start..end)
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// Lines to fields, by one way of quoting.
struct Parser {
    reader: Reader,
    cells: Cells,
    bytes: usize,
    fields: usize,
}

impl Parser {
    fn new(delimiter: u8, quote: Quote) -> Parser {
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .quoting(quote != Quote::None)
            .escape((quote == Quote::Backslash).then_some(b'\\'))
            .terminator(Terminator::Any(b'\n'))
            .build();
        Parser { reader, cells: Cells::default(), bytes: 0, fields: 0 }
    }

    /// Starts a row.
    fn start(&mut self) {
        self.reader.reset();
        (self.bytes, self.fields) = (0, 0);
        self.cells.bytes.resize(1024, 0);
        self.cells.ends.resize(32, 0);
    }

    /// Takes a line; true when the row ends with it. An empty line inside quotation marks is one: to the
    /// reader no bytes are the end of the source.
    fn line(&mut self, line: &[u8]) -> bool {
        (!line.is_empty() && self.feed(line)) || self.feed(b"\n")
    }

    /// Takes the end of the source, which ends a row.
    fn end(&mut self) {
        self.feed(b"");
    }

    fn feed(&mut self, mut input: &[u8]) -> bool {
        loop {
            let (result, read, written, ended) = self.reader.read_record(
                input,
                &mut self.cells.bytes[self.bytes..],
                &mut self.cells.ends[self.fields..],
            );
            input = &input[read..];
            self.bytes += written;
            self.fields += ended;
            match result {
                ReadRecordResult::InputEmpty => return false,
                ReadRecordResult::OutputFull => {
                    self.cells.bytes.resize(self.cells.bytes.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    self.cells.ends.resize(self.cells.ends.len() * 2, 0);
                }
                ReadRecordResult::Record | ReadRecordResult::End => return true,
            }
        }
    }

    /// The fields of the row that ended.
    fn take(&mut self) -> Cells {
        let mut cells = std::mem::take(&mut self.cells);
        cells.bytes.truncate(self.bytes);
        cells.ends.truncate(self.fields);
        cells
    }

    /// The fields of a line that is a row; nothing when its quoting is not closed.
    fn of(&mut self, line: &[u8]) -> Option<Cells> {
        self.start();
        self.line(line).then(|| self.take())
    }
}

/// What the fields of a column look like, the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Digits,
    /// Digits and signs: numbers, dates, times.
    Figures,
    Word,
    Text,
}

impl Form {
    /// The form of a field; nothing of an empty one.
    fn of(field: &[u8]) -> Option<Form> {
        let field = field.trim_ascii();
        let digits = field.iter().filter(|byte| byte.is_ascii_digit()).count();
        Some(match field {
            [] => return None,
            _ if digits == field.len() => Form::Digits,
            _ if digits > 0 && !field.iter().any(|byte| !b"0123456789+-.:/TZ ".contains(byte)) => {
                Form::Figures
            }
            _ if !field.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'"') => {
                Form::Word
            }
            _ => Form::Text,
        })
    }
}

/// The forms of the columns in the rows that were read.
#[derive(Default)]
struct Forms {
    columns: Vec<Option<Form>>,
    rows: usize,
}

impl Forms {
    fn learn(&mut self, cells: &Cells) {
        if self.rows >= FORM_ROWS {
            return;
        }
        self.rows += 1;
        self.columns.resize(cells.len(), None);
        for (column, field) in self.columns.iter_mut().zip(cells.iter()) {
            *column = (*column).max(Form::of(field));
        }
    }

    /// Whether fields look like those of the rows that were read; never when those may be anything.
    fn fit(&self, cells: &Cells) -> bool {
        let strict = |form: &Option<Form>| form.is_some_and(|form| form < Form::Text);
        cells.len() == self.columns.len()
            && self.columns.iter().any(strict)
            && self.columns.iter().zip(cells.iter()).all(|(form, field)| {
                form.is_none_or(|form| Form::of(field).is_none_or(|own| own <= form))
            })
    }
}

/// A table being read.
pub(super) struct Table<'a> {
    input: Input<'a>,
    /// Lines to read again, before those of the input.
    again: VecDeque<RawLine>,
    dialect: Dialect,
    quoted: Parser,
    plain: Parser,
    /// For lines that are looked at while a row is under way.
    aside: Parser,
    columns: Arc<Columns>,
    width: usize,
    forms: Forms,
    remarks: Remarks,
}

/// The columns that mean something.
#[derive(Default)]
pub(super) struct Columns(FieldColumns);

impl Columns {
    /// The record of a row.
    pub(super) fn record(&self, row: &Cells) -> Result<Record, RejectReason> {
        self.0.record(|column| {
            let field = row.get(column).map(std::str::from_utf8).transpose();
            field.map_err(|error| RejectReason::InvalidUtf8 { at: error.valid_up_to() })
        })
    }

    /// Columns by the user's names and numbers, and by the usual names; counts what is not there.
    fn of(names: &[String], map: &[(String, String)], remarks: &mut Remarks) -> Columns {
        Columns(FieldColumns::find(names, |part| {
            let (_, own) = map.iter().find(|(mapped, _)| mapped == part.mapping())?;
            let named = names.iter().position(|name| *name == own.to_lowercase());
            let column = named.or_else(|| numbered(own).filter(|column| *column < names.len()));
            remarks.add(NO_SUCH_COLUMN, u64::from(column.is_none()));
            Some(column)
        }))
    }
}

/// The column that a number names, counted from 1: `6` or `#6`.
fn numbered(name: &str) -> Option<usize> {
    let number = name.strip_prefix('#').unwrap_or(name);
    number.parse::<usize>().ok()?.checked_sub(1)
}

/// Whether a name is that of the text, by the usual names or the user's.
fn is_text(name: &str, map: &[(String, String)]) -> bool {
    Part::Text.names().iter().any(|usual| usual.to_lowercase() == name)
        || map.iter().any(|(_, own)| numbered(own).is_none() && own.to_lowercase() == name)
}

impl<'a> Table<'a> {
    /// Whether a first line reads like a header: several columns, one of which is the text.
    pub(super) fn is_header(line: &[u8], map: &[(String, String)]) -> bool {
        let separator = delimiter(line);
        let mut names = line.split(|&byte| byte == separator).map(name_of).peekable();
        let first = names.next();
        names.peek().is_some() && first.into_iter().chain(names).any(|name| is_text(&name, map))
    }

    /// Starts reading; `head` is the first part of the input, `whole` when it is all of it.
    pub(super) fn open(
        mut input: Input<'a>,
        head: &[u8],
        whole: bool,
        options: &ReadOptions,
    ) -> Result<Table<'a>, PostsError> {
        let map = &options.map;
        let mut given = options.table;
        if options.format == Format::Tsv {
            given.delimiter.get_or_insert(b'\t');
        }
        let dialect = Dialect::of(head, whole, &given, &|name| is_text(name, map));
        input.end_lines_with(dialect.line_end);
        let mut table = Table {
            input,
            again: VecDeque::new(),
            dialect,
            quoted: Parser::new(dialect.delimiter, dialect.quote),
            plain: Parser::new(dialect.delimiter, Quote::None),
            aside: Parser::new(dialect.delimiter, dialect.quote),
            columns: Arc::new(Columns::default()),
            width: 0,
            forms: Forms::default(),
            remarks: Remarks::default(),
        };
        if dialect.sep_line {
            table.line()?;
        }
        table.header(options)?;
        table.learn(head);
        table.remark_dialect(&given);
        Ok(table)
    }

    /// Reads the header, or puts the first row back where it is none.
    fn header(&mut self, options: &ReadOptions) -> Result<(), PostsError> {
        let Some((lines, first)) = self.row()? else { return Ok(()) };
        let mut names: Vec<String> = first.iter().map(name_of).collect();
        self.width = names.len();
        let has_text = names.iter().any(|name| is_text(name, &options.map));
        let headerless = options.table.no_header || (!has_text && dialect::is_data(&names));
        if headerless {
            self.again.extend(lines);
            self.remarks.add(HEADERLESS, 1);
            names = vec![String::new(); self.width];
        }
        let columns = Columns::of(&names, &options.map, &mut self.remarks);
        if !columns.0.has_text() {
            let path = self.input.path().to_path_buf();
            return Err(if headerless {
                let longest =
                    (0..self.width).max_by_key(|&column| first.get(column).map(<[u8]>::len));
                let column = longest.map_or(1, |column| column + 1);
                PostsError::NoHeader { path, columns: self.width, column }
            } else {
                PostsError::NoTextColumn { path, columns: names.join(", ") }
            });
        }
        self.columns = Arc::new(columns);
        Ok(())
    }

    /// Learns the forms of columns from the rows of a sample that are a line each.
    fn learn(&mut self, head: &[u8]) {
        if self.dialect.quote == Quote::None {
            return;
        }
        for line in head.split(|&byte| byte == self.dialect.line_end).skip(1).take(FORM_ROWS) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if dialect::has_stray(line, &self.dialect) {
                continue;
            }
            let cells = self.quoted.of(line).filter(|cells| cells.len() == self.width);
            if let Some(cells) = cells {
                self.forms.learn(&cells);
            }
        }
    }

    /// Says how the table is read, where that was found and is not the usual way.
    fn remark_dialect(&mut self, given: &dialect::TableOptions) {
        let delimiter = match self.dialect.delimiter {
            b'\t' => "tab",
            b';' => "semicolon",
            b'|' => "bar",
            NO_DELIMITER => "nothing",
            _ => "comma",
        };
        let quote = self.dialect.quote;
        if given.quote.is_none() && quote != Quote::Double {
            let quote = quote.name();
            self.remarks
                .add(&format!("tables parted by {delimiter}, read with quoting: {quote}"), 1);
        }
    }

    pub(super) fn remarks(&mut self) -> Remarks {
        std::mem::take(&mut self.remarks)
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<RawFrame>, PostsError> {
        let Some((lines, cells)) = self.row()? else { return Ok(None) };
        let (line, byte_offset) =
            lines.first().map_or((0, 0), |line| (line.line, line.byte_offset));
        let content = if cells.len() == self.width {
            self.forms.learn(&cells);
            Ok(Raw::Row(cells, Arc::clone(&self.columns)))
        } else {
            Err(RejectReason::FieldCount { found: cells.len(), expected: self.width })
        };
        Ok(Some(RawFrame { line, byte_offset, content }))
    }

    /// The lines of the next row, and its fields.
    fn row(&mut self) -> Result<Option<(Vec<RawLine>, Cells)>, PostsError> {
        let Some(first) = self.line()? else { return Ok(None) };
        self.quoted.start();
        if self.quoted.line(&first.bytes) {
            let cells = self.quoted.take();
            let cells = self.without_strays(&first, cells);
            return Ok(Some((vec![first], cells)));
        }
        let mut size = first.bytes.len();
        let mut lines = vec![first];
        loop {
            let Some(line) = self.next_line()? else {
                self.remarks.add(UNCLOSED, 1);
                if self.reads_as_row(&lines[0].bytes) {
                    return Ok(Some(self.released(lines)));
                }
                self.quoted.end();
                return Ok(Some((lines, self.quoted.take())));
            };
            size += line.bytes.len();
            let closed = self.quoted.line(&line.bytes);
            lines.push(line);
            if closed || lines.len() == LOOK_AHEAD {
                let cells = closed.then(|| self.quoted.take());
                if lines.iter().all(|line| self.reads_as_row(&line.bytes)) {
                    return Ok(Some(self.released(lines)));
                }
                if let Some(cells) = cells {
                    return Ok(Some((lines, cells)));
                }
            }
            if size > self.input.record_limit_bytes() {
                return Err(self.endless(lines[0].byte_offset));
            }
        }
    }

    /// The first of the lines as a row without quoting; the others are read again.
    fn released(&mut self, lines: Vec<RawLine>) -> (Vec<RawLine>, Cells) {
        self.remarks.add(SWALLOWED, lines.len() as u64 - 1);
        let mut lines = lines.into_iter();
        let first: Vec<RawLine> = lines.by_ref().take(1).collect();
        for line in lines.rev() {
            self.again.push_front(line);
        }
        let cells = first.first().and_then(|line| self.plain.of(&line.bytes));
        (first, cells.unwrap_or_default())
    }

    /// A row whose marks do not quote, without quoting.
    fn without_strays(&mut self, line: &RawLine, cells: Cells) -> Cells {
        let quoting = self.dialect.quote != Quote::None && line.bytes.contains(&b'"');
        if !quoting || !dialect::has_stray(&line.bytes, &self.dialect) {
            return cells;
        }
        let plain = self.plain.of(&line.bytes).filter(|plain| plain.len() == self.width);
        self.remarks.add(STRAY, u64::from(plain.is_some()));
        plain.unwrap_or(cells)
    }

    /// Whether a line reads as a row by itself.
    fn reads_as_row(&mut self, line: &[u8]) -> bool {
        let stray = dialect::has_stray(line, &self.dialect);
        let quoted = self.aside.of(line).filter(|_| !stray);
        let cells = quoted.or_else(|| self.plain.of(line));
        cells.is_some_and(|cells| self.forms.fit(&cells))
    }

    /// The next line that is not empty.
    fn line(&mut self) -> Result<Option<RawLine>, PostsError> {
        loop {
            match self.next_line()? {
                Some(line) if line.bytes.is_empty() => {}
                line => return Ok(line),
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<RawLine>, PostsError> {
        if let Some(line) = self.again.pop_front() {
            return Ok(Some(line));
        }
        match self.input.raw_line()? {
            Some(line) if line.length > self.input.record_limit_bytes() => {
                Err(self.endless(line.byte_offset))
            }
            line => Ok(line),
        }
    }

    fn endless(&self, byte_offset: u64) -> PostsError {
        let path = self.input.path().to_path_buf();
        PostsError::EndlessRow { path, byte_offset, limit_bytes: self.input.record_limit_bytes() }
    }
}

/// The separator the header uses most.
fn delimiter(line: &[u8]) -> u8 {
    let uses = |separator: u8| line.iter().filter(|&&byte| byte == separator).count();
    // Ties go to the comma, which is last.
    [b';', b'\t', b','].into_iter().max_by_key(|&separator| uses(separator)).unwrap_or(b',')
}

/// The error of a table that the `csv` crate could not read on.
pub(super) fn failed(path: &Path, compressed: bool, bytes: u64, error: csv::Error) -> PostsError {
    let message = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(cause) => io_error(path, compressed, bytes, cause),
        _ => PostsError::Io { path: path.to_path_buf(), cause: std::io::Error::other(message) },
    }
}
