//! Rows of a file with all their columns: JSON lines, CSV, TSV and Parquet, compressed or not, for
//! those who need more of a source than a post holds, such as the side it speaks for.
//!
//! It keeps what the source wrote, as text. Which column means what is the caller's business, and
//! other formats than lines and tables are not read here.

use super::dialect::{Dialect, NO_DELIMITER, Quote};
use super::input::{HEAD_BYTES, Input};
use super::remarks::Remarks;
use super::rows::ParquetRows;
use super::{ReadOptions, decode, encoding, json};
use crate::error::{PostsError, RejectReason};
use crate::normalise::normalise;
use csv::{Reader, ReaderBuilder, StringRecord};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The four bytes a Parquet file starts with.
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    fields: Fields,
    byte_offset: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Fields {
    Object(Value),
    Table { header: Arc<Vec<String>>, cells: StringRecord },
}

impl Row {
    /// A column as text; nothing where it is missing, null or empty. In JSON, `user.lang` reaches into
    /// objects where there is no column of that whole name.
    pub fn get(&self, column: &str) -> Option<String> {
        let text = match &self.fields {
            Fields::Object(value) => {
                let found = value
                    .get(column)
                    .or_else(|| column.split('.').try_fold(value, |value, name| value.get(name)))?;
                match found {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    Value::Bool(flag) => flag.to_string(),
                    Value::Null | Value::Array(_) | Value::Object(_) => return None,
                }
            }
            Fields::Table { header, cells } => {
                let place = header.iter().position(|name| name == column)?;
                cells.get(place)?.to_owned()
            }
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// The first of some columns that has something in it.
    pub fn first<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> Option<String> {
        columns.into_iter().find_map(|column| self.get(column))
    }

    /// A column as the text of a post: without HTML escapes and damage, in NFC, links in place.
    pub fn text(&self, column: &str) -> Option<String> {
        self.get(column).map(|text| normalise(&text))
    }

    /// Where the row starts in the decoded source; 0 in Parquet, which has no such place.
    pub fn byte_offset(&self) -> u64 {
        self.byte_offset
    }

    /// Names of the columns.
    pub fn columns(&self) -> Vec<String> {
        match &self.fields {
            Fields::Object(Value::Object(fields)) => fields.keys().cloned().collect(),
            Fields::Object(_) => Vec::new(),
            Fields::Table { header, .. } => header.to_vec(),
        }
    }
}

/// The rows of a file. An item that is a `RejectReason` is a row that is none; reading continues.
pub struct Rows {
    source: Source,
    path: PathBuf,
    ended: bool,
    consumed: Arc<AtomicU64>,
}

/// A file that tells how far it was read.
struct Counted {
    file: File,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.consumed.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

enum Source {
    Lines(Input<'static>),
    Table { reader: Box<Reader<Box<dyn BufRead>>>, header: Arc<Vec<String>>, before: u64 },
    Parquet(Box<ParquetRows>),
}

impl Rows {
    /// Opens a file of JSON lines, a table with a header, or Parquet.
    ///
    /// # Errors
    /// [`PostsError`]: no such file, an empty one, one that is neither lines of JSON nor a table.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Rows, PostsError> {
        let owned = || path.to_path_buf();
        let io = |cause| PostsError::Io { path: owned(), cause };
        let file = File::open(path).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => PostsError::NotFound { path: owned() },
            _ => io(cause),
        })?;
        let consumed = Arc::new(AtomicU64::new(0));
        let rows =
            |source| Rows { source, path: owned(), ended: false, consumed: Arc::clone(&consumed) };
        let counted = Box::new(Counted { file, consumed: Arc::clone(&consumed) });
        let (stream, compressed) = decode::decoded(counted).map_err(io)?;
        let (magic, stream) = decode::peek(stream, PARQUET_MAGIC.len());
        if magic == PARQUET_MAGIC && !compressed {
            return Ok(rows(Source::Parquet(Box::new(ParquetRows::open(path)?))));
        }
        let encoding = options.encoding.as_deref().and_then(encoding::named);
        let (stream, _) = encoding::as_utf8(Box::new(stream), encoding);
        let mut input = Input::new(stream, path, compressed, options.record_limit_bytes);
        let head = input.head()?;
        let solid = head.trim_ascii_start();
        let Some(&first) = solid.first() else { return Err(PostsError::Empty { path: owned() }) };
        if first == b'{' {
            return Ok(rows(Source::Lines(input)));
        }
        let whole = head.len() < HEAD_BYTES;
        let Dialect { delimiter, quote, sep_line, .. } =
            Dialect::of(&head, whole, &options.table, &|_| false);
        if first == b'[' || delimiter == NO_DELIMITER {
            return Err(PostsError::NotRows { path: owned() });
        }
        if sep_line {
            input.line()?;
        }
        let (reader, before) = input.into_reader();
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).quoting(quote != Quote::None).flexible(true);
        builder.escape((quote == Quote::Backslash).then_some(b'\\'));
        let mut reader = Box::new(builder.from_reader(reader));
        let header = match reader.headers() {
            Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            Err(error) => return Err(super::table::failed(path, compressed, before, error)),
        };
        Ok(rows(Source::Table { reader, header: Arc::new(header), before }))
    }

    /// Bytes of the file read so far, compressed where it is.
    pub fn consumed_bytes(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    fn read(&mut self) -> Result<Option<Result<Row, RejectReason>>, PostsError> {
        match &mut self.source {
            Source::Lines(input) => loop {
                let Some(line) = input.line()? else { return Ok(None) };
                let text = match line.text {
                    Ok(text) if text.trim().is_empty() => continue,
                    Ok(text) => text,
                    Err(reason) => return Ok(Some(Err(reason))),
                };
                return Ok(Some(match json::parse(text.trim(), &mut Remarks::default()) {
                    Ok(value @ Value::Object(_)) => {
                        Ok(Row { fields: Fields::Object(value), byte_offset: line.byte_offset })
                    }
                    Ok(_) => Err(RejectReason::WrongJson("not an object".into())),
                    Err(error) => Err(RejectReason::WrongJson(error)),
                }));
            },
            Source::Table { reader, header, before } => {
                let mut cells = StringRecord::new();
                let at = *before + reader.position().byte();
                match reader.read_record(&mut cells) {
                    Ok(false) => Ok(None),
                    Ok(true) if cells.len() != header.len() => {
                        let (found, expected) = (cells.len(), header.len());
                        Ok(Some(Err(RejectReason::FieldCount { found, expected })))
                    }
                    Ok(true) => {
                        let byte_offset = cells.position().map_or(at, |p| *before + p.byte());
                        let fields = Fields::Table { header: Arc::clone(header), cells };
                        Ok(Some(Ok(Row { fields, byte_offset })))
                    }
                    Err(error) => match error.kind() {
                        csv::ErrorKind::Utf8 { err, .. } => {
                            Ok(Some(Err(RejectReason::InvalidUtf8 { at: err.valid_up_to() })))
                        }
                        _ => Err(super::table::failed(&self.path, true, at, error)),
                    },
                }
            }
            Source::Parquet(rows) => {
                let row = |value| Ok(Row { fields: Fields::Object(value), byte_offset: 0 });
                Ok(rows.next()?.map(row))
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Result<Row, RejectReason>, PostsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn rows(name: &str, content: &[u8]) -> Result<Vec<Result<Row, RejectReason>>, PostsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Rows::open(&path, &ReadOptions::default())?.collect()
    }

    fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_of_json_have_columns_by_name_and_path() {
        let content = b"{\"party\":\"D\",\"user\":{\"lang\":\"fr\"},\"n\":3,\"t\":\"a &amp; b\"}\n\nnot json\n[1]\n";
        let rows = rows("a.jsonl.gz", &gzipped(content)).unwrap();
        assert_eq!(rows.len(), 3);
        let row = rows[0].as_ref().unwrap();
        assert_eq!(row.get("party").as_deref(), Some("D"));
        assert_eq!(row.get("user.lang").as_deref(), Some("fr"));
        assert_eq!(row.first(["x", "n"]).as_deref(), Some("3"));
        assert_eq!(row.text("t").as_deref(), Some("a & b"));
        assert_eq!(row.get("user"), None);
        assert_eq!(row.columns(), ["n", "party", "t", "user"]);
        assert!(rows[1..].iter().all(Result::is_err));
    }

    #[test]
    fn tables_have_columns_by_header() {
        let rows = rows("a.csv", b"side;text\nA;\"x;y\"\nB;\nC\n").unwrap();
        assert_eq!(rows[0].as_ref().unwrap().get("text").as_deref(), Some("x;y"));
        assert_eq!(rows[1].as_ref().unwrap().get("text"), None);
        assert_eq!(rows[2], Err(RejectReason::FieldCount { found: 1, expected: 2 }));
        let offsets: Vec<u64> =
            rows[..2].iter().map(|row| row.as_ref().unwrap().byte_offset()).collect();
        assert_eq!(offsets, [10, 18]);
    }

    #[test]
    fn dialects_and_encodings_are_found() {
        let one = |name, content: &[u8]| {
            let rows = rows(name, content).unwrap();
            rows.iter().map(|row| row.as_ref().unwrap().get("text").unwrap()).collect::<Vec<_>>()
        };
        let tsv = b"id\ttext\n1\t\"We begin\n2\tnow\n3\t\"Soon\" is late\n";
        assert_eq!(one("a.tsv", tsv), ["\"We begin", "now", "\"Soon\" is late"]);
        assert_eq!(one("a.csv", b"sep=;\nid;text\n1;a, b\n"), ["a, b"]);
        assert_eq!(one("a.csv", b"id,text\n1,le caf\xe9 est bon\n"), ["le café est bon"]);
        assert_eq!(one("a.jsonl", b"{\"text\": \"a\", \"n\": NaN}\n"), ["a"]);
    }

    #[test]
    fn other_files_are_refused_with_a_remedy() {
        let error = |name, content: &[u8]| rows(name, content).err().unwrap().to_string();
        assert!(error("a.jsonl", b"").contains("empty"));
        assert!(error("a.json", b"[{\"text\":\"x\"}]").contains("one object a line"));
        assert!(error("a.txt", b"some words").contains("one object a line"));
        let cut = gzipped(b"{\"a\":1}\n{\"a\":2}\n");
        assert!(error("a.jsonl.gz", &cut[..cut.len() - 9]).contains("cut short"));
        let damaged = rows("a.csv", b"a,text\n1,\xff\n").unwrap();
        assert_eq!(damaged, [Err(RejectReason::InvalidUtf8 { at: 0 })]);
    }
}
