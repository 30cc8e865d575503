//! Tables as Parquet files: named columns of text, time, count and flag, in one row group.
//!
//! A shard fits in memory, so columns are written and read whole; a reader asks only for the columns
//! it needs. Pages are compressed with zstd. No nesting, no Arrow.

use super::guarded;
use super::whole_file::{Durability, write_whole};
use crate::error::PostsError;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::reader::ColumnReader;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The values of a column, one a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// UTF-8 text.
    Text(Vec<Option<String>>),
    /// Unix seconds; milliseconds in UTC on disk.
    Time(Vec<Option<i64>>),
    /// Whole numbers.
    Count(Vec<Option<i64>>),
    /// Truth values.
    Flag(Vec<Option<bool>>),
}

impl Values {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Values::Text(values) => values.len(),
            Values::Time(values) | Values::Count(values) => values.len(),
            Values::Flag(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The texts, when it is a column of text.
    pub fn into_texts(self) -> Option<Vec<Option<String>>> {
        if let Values::Text(values) = self { Some(values) } else { None }
    }

    /// The numbers, when it is a column of times or counts.
    pub fn into_numbers(self) -> Option<Vec<Option<i64>>> {
        match self {
            Values::Time(values) | Values::Count(values) => Some(values),
            _ => None,
        }
    }

    /// The truth values, when it is a column of flags.
    pub fn into_flags(self) -> Option<Vec<Option<bool>>> {
        if let Values::Flag(values) = self { Some(values) } else { None }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Whether every row has a value.
    pub required: bool,
    /// The values.
    pub values: Values,
}

impl Column {
    fn declaration(&self) -> String {
        let repetition = if self.required { "REQUIRED" } else { "OPTIONAL" };
        let name = self.name;
        match self.values {
            Values::Text(_) => format!("{repetition} BYTE_ARRAY {name} (STRING);"),
            Values::Time(_) => format!("{repetition} INT64 {name} (TIMESTAMP(MILLIS,true));"),
            Values::Count(_) => format!("{repetition} INT64 {name};"),
            Values::Flag(_) => format!("{repetition} BOOLEAN {name};"),
        }
    }
}

/// Rows in which texts are all different: a dictionary of them would be built in vain.
const DISTINCT: [&str; 2] = ["id", "text"];

/// Writes a table, whole or not at all.
///
/// # Errors
/// A disk that cannot be written; a required column with a gap.
pub fn write_columns(
    path: &Path,
    durability: Durability,
    table: &str,
    columns: &[Column],
) -> Result<(), PostsError> {
    let wrong = |cause: ParquetError| PostsError::WrongParquet {
        path: path.to_path_buf(),
        cause: cause.to_string(),
    };
    let fields: Vec<String> = columns.iter().map(Column::declaration).collect();
    let schema = format!("message {table} {{ {} }}", fields.join(" "));
    let schema = Arc::new(parse_message_type(&schema).map_err(wrong)?);
    let level = ZstdLevel::try_new(3).map_err(wrong)?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(concat!("stoa ", env!("CARGO_PKG_VERSION")).to_string());
    for name in DISTINCT {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))
        .map_err(wrong)?;
    let mut group = writer.next_row_group().map_err(wrong)?;
    for column in columns {
        let mut open = group
            .next_column()
            .map_err(wrong)?
            .ok_or_else(|| wrong(ParquetError::General("a column too many".to_string())))?;
        write_column(open.untyped(), column).map_err(wrong)?;
        open.close().map_err(wrong)?;
    }
    group.close().map_err(wrong)?;
    let bytes = writer.into_inner().map_err(wrong)?;
    write_whole(path, durability, &bytes)
}

fn write_column(writer: &mut ColumnWriter<'_>, column: &Column) -> Result<(), ParquetError> {
    fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
        values.iter().map(|value| i16::from(value.is_some())).collect()
    }
    let gap = || ParquetError::General(format!("column {} has a gap", column.name));
    let written = match (writer, &column.values) {
        (ColumnWriter::ByteArrayColumnWriter(writer), Values::Text(values)) => {
            let filled: Vec<ByteArray> =
                values.iter().flatten().map(|text| ByteArray::from(text.as_str())).collect();
            let levels = levels(values);
            if column.required && filled.len() < values.len() {
                return Err(gap());
            }
            writer.write_batch(&filled, (!column.required).then_some(&levels), None)?
        }
        (ColumnWriter::Int64ColumnWriter(writer), Values::Time(values) | Values::Count(values)) => {
            let scale = if matches!(column.values, Values::Time(_)) { 1000 } else { 1 };
            let filled: Vec<i64> =
                values.iter().flatten().map(|number| number.saturating_mul(scale)).collect();
            let levels = levels(values);
            if column.required && filled.len() < values.len() {
                return Err(gap());
            }
            writer.write_batch(&filled, (!column.required).then_some(&levels), None)?
        }
        (ColumnWriter::BoolColumnWriter(writer), Values::Flag(values)) => {
            let filled: Vec<bool> = values.iter().flatten().copied().collect();
            let levels = levels(values);
            if column.required && filled.len() < values.len() {
                return Err(gap());
            }
            writer.write_batch(&filled, (!column.required).then_some(&levels), None)?
        }
        _ => {
            return Err(ParquetError::General(format!(
                "column {} is of another type",
                column.name
            )));
        }
    };
    debug_assert!(written <= column.values.len(), "no more values than rows");
    Ok(())
}

/// Reads the named columns of a table; a column the file lacks is `None`.
///
/// # Errors
/// A file that is missing, damaged, or whose columns are of other types than written here.
pub fn read_columns(path: &Path, names: &[&str]) -> Result<Vec<Option<Values>>, PostsError> {
    let file =
        File::open(path).map_err(|cause| PostsError::Io { path: path.to_path_buf(), cause })?;
    guarded(path, || read_named(file, names))
}

fn read_named(file: File, names: &[&str]) -> Result<Vec<Option<Values>>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let mut found: Vec<Option<Values>> = Vec::with_capacity(names.len());
    for name in names {
        let Some(index) = schema.columns().iter().position(|column| column.name() == *name) else {
            found.push(None);
            continue;
        };
        let timed = schema.column(index).logical_type_ref().is_some();
        let mut whole: Option<Values> = None;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            let rows = group.metadata().num_rows() as usize;
            let column = group.get_column_reader(index)?;
            let required = schema.column(index).max_def_level() == 0;
            let part = read_column(column, rows, required, timed)?;
            whole = Some(match whole {
                None => part,
                Some(before) => append(before, part),
            });
        }
        found.push(whole);
    }
    Ok(found)
}

fn append(before: Values, part: Values) -> Values {
    match (before, part) {
        (Values::Text(mut all), Values::Text(more)) => {
            all.extend(more);
            Values::Text(all)
        }
        (Values::Time(mut all), Values::Time(more)) => {
            all.extend(more);
            Values::Time(all)
        }
        (Values::Count(mut all), Values::Count(more)) => {
            all.extend(more);
            Values::Count(all)
        }
        (Values::Flag(mut all), Values::Flag(more)) => {
            all.extend(more);
            Values::Flag(all)
        }
        // One column has one type in all row groups.
        (before, _) => before,
    }
}

fn read_column(
    column: ColumnReader,
    rows: usize,
    required: bool,
    timed: bool,
) -> Result<Values, ParquetError> {
    fn spread<T>(levels: Vec<i16>, values: Vec<T>, required: bool) -> Vec<Option<T>> {
        if required {
            return values.into_iter().map(Some).collect();
        }
        let mut values = values.into_iter();
        levels.into_iter().map(|level| if level > 0 { values.next() } else { None }).collect()
    }
    let mut levels = Vec::new();
    match column {
        ColumnReader::ByteArrayColumnReader(mut reader) => {
            let mut values = Vec::new();
            while reader.read_records(rows, Some(&mut levels), None, &mut values)?.0 > 0 {}
            let texts = values
                .into_iter()
                .map(|bytes| bytes.as_utf8().map(str::to_string))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Values::Text(spread(levels, texts, required)))
        }
        ColumnReader::Int64ColumnReader(mut reader) => {
            let mut values = Vec::new();
            while reader.read_records(rows, Some(&mut levels), None, &mut values)?.0 > 0 {}
            if timed {
                values.iter_mut().for_each(|number: &mut i64| *number = number.div_euclid(1000));
                return Ok(Values::Time(spread(levels, values, required)));
            }
            Ok(Values::Count(spread(levels, values, required)))
        }
        ColumnReader::BoolColumnReader(mut reader) => {
            let mut values = Vec::new();
            while reader.read_records(rows, Some(&mut levels), None, &mut values)?.0 > 0 {}
            Ok(Values::Flag(spread(levels, values, required)))
        }
        _ => Err(ParquetError::General("a column of a type that is not written here".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.parquet");
        let columns = [
            Column {
                name: "id",
                required: true,
                values: Values::Text(vec![Some("a".into()), Some("é".into()), Some(String::new())]),
            },
            Column {
                name: "at",
                required: false,
                values: Values::Time(vec![None, Some(-1), Some(1_700_000_000)]),
            },
            Column { name: "n", required: false, values: Values::Count(vec![Some(3), None, None]) },
            Column {
                name: "kept",
                required: false,
                values: Values::Flag(vec![Some(true), None, Some(false)]),
            },
        ];
        write_columns(&path, Durability::Unsynced, "t", &columns).expect("writes");
        let read = read_columns(&path, &["kept", "id", "missing", "at", "n"]).expect("reads");
        assert_eq!(read[0].as_ref(), Some(&columns[3].values));
        assert_eq!(read[1].as_ref(), Some(&columns[0].values));
        assert_eq!(read[2], None);
        assert_eq!(read[3].as_ref(), Some(&columns[1].values));
        assert_eq!(read[4].as_ref(), Some(&columns[2].values));
        let first = std::fs::read(&path).expect("is there");
        write_columns(&path, Durability::Unsynced, "t", &columns).expect("writes again");
        assert_eq!(std::fs::read(&path).expect("is there"), first, "same table, same bytes");
    }

    #[test]
    fn gaps_in_required_columns_and_damage_are_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.parquet");
        let values = Values::Text(vec![Some("a".into()), None]);
        let column = Column { name: "id", required: true, values };
        let error =
            write_columns(&path, Durability::Unsynced, "t", &[column]).expect_err("has a gap");
        assert!(error.to_string().contains("gap"), "{error}");
        std::fs::write(&path, b"PAR1 nothing PAR1").expect("writes");
        assert!(read_columns(&path, &["id"]).is_err());
    }
}
