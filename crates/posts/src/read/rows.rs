//! Rows of any Parquet file as JSON values, so that the usual names of fields apply to its columns.
//!
//! Rows are read a page at a time; the file must be a plain file, since Parquet is read from its end.

use crate::error::PostsError;
use crate::table::guarded;
use parquet::file::reader::SerializedFileReader;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};
use std::fs::File;
use std::path::Path;

/// Hands over each row with its number, from 0.
pub(super) fn read(
    path: &Path,
    take: &mut dyn FnMut(Value, u64) -> Result<(), PostsError>,
) -> Result<(), PostsError> {
    let file =
        File::open(path).map_err(|cause| PostsError::Io { path: path.to_path_buf(), cause })?;
    let mut rows = guarded(path, || SerializedFileReader::new(file).map(IntoIterator::into_iter))?;
    let mut number = 0;
    while let Some(row) =
        guarded(path, || rows.next().transpose().map(|row| row.map(|row| object(&row))))?
    {
        take(row, number)?;
        number += 1;
    }
    Ok(())
}

pub(super) fn object(row: &Row) -> Value {
    let mut object = Map::new();
    for (name, field) in row.get_column_iter() {
        object.insert(name.clone(), value(field));
    }
    Value::Object(object)
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::Bool(*truth),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float(number) => float(f64::from(*number)),
        Field::Double(number) => float(*number),
        Field::Str(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => {
            // Files without logical types hold text as plain bytes.
            bytes.as_utf8().map_or(Value::Null, |text| Value::String(text.to_string()))
        }
        Field::TimestampMillis(millis) => Value::from(millis.div_euclid(1000)),
        Field::TimestampMicros(micros) => Value::from(micros.div_euclid(1_000_000)),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(value).collect()),
        // Dates, decimals and maps are no part of a post; they are kept as they print.
        other => Value::String(other.to_string()),
    }
}

/// Whole numbers stored as floating point, which is what data frames make of identifiers with gaps,
/// are written without a fraction.
fn float(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9.0e15 {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}
