//! Rows of any Parquet file as JSON values, so that the usual names of fields apply to its columns.
//!
//! Rows are read a page at a time; the file must be a plain file, since Parquet is read from its end.

use crate::error::PostsError;
use crate::table::guarded;
use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Map, Number, Value};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The rows of a file as JSON objects.
pub(super) struct ParquetRows {
    rows: RowIter<'static>,
    path: PathBuf,
    /// The type of a row, when it has times that the library hands over as plain numbers.
    schema: Option<TypePtr>,
}

impl ParquetRows {
    /// Opens a file.
    ///
    /// # Errors
    /// [`PostsError`]: it cannot be read, or is no Parquet file.
    pub(super) fn open(path: &Path) -> Result<ParquetRows, PostsError> {
        let path = path.to_path_buf();
        let file =
            File::open(&path).map_err(|cause| PostsError::Io { path: path.clone(), cause })?;
        let reader = guarded(&path, || SerializedFileReader::new(file))?;
        let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
        let schema = has_plain_times(&schema).then_some(schema);
        let rows = guarded(&path, || Ok(reader.into_iter()))?;
        Ok(ParquetRows { rows, path, schema })
    }

    /// The next row.
    ///
    /// # Errors
    /// [`PostsError::WrongParquet`]: the file is damaged from here on.
    pub(super) fn next(&mut self) -> Result<Option<Value>, PostsError> {
        let row = guarded(&self.path, || {
            self.rows.next().transpose().map(|row| row.map(|row| object(&row)))
        })?;
        Ok(row.map(|mut row| {
            if let Some(schema) = &self.schema {
                to_seconds(&mut row, schema);
            }
            row
        }))
    }
}

/// Ticks of a second of a time without a converted type, which the library does not know as a time:
/// nanoseconds, and local times of any unit.
fn plain_ticks(ty: &Type) -> Option<i64> {
    let info = ty.get_basic_info();
    match (info.converted_type(), info.logical_type_ref()) {
        (ConvertedType::NONE, Some(LogicalType::Timestamp(time))) => Some(match time.unit {
            TimeUnit::MILLIS => 1000,
            TimeUnit::MICROS => 1_000_000,
            TimeUnit::NANOS => 1_000_000_000,
        }),
        _ => None,
    }
}

fn has_plain_times(ty: &Type) -> bool {
    if ty.is_primitive() {
        return plain_ticks(ty).is_some();
    }
    ty.get_fields().iter().any(|field| has_plain_times(field))
}

/// Turns plain times within a value of a type to Unix seconds.
fn to_seconds(value: &mut Value, ty: &Type) {
    match value {
        Value::Number(number) if ty.is_primitive() => {
            if let (Some(ticks), Some(time)) = (plain_ticks(ty), number.as_i64()) {
                *value = Value::from(time.div_euclid(ticks));
            }
        }
        Value::Object(fields) if !ty.is_primitive() => {
            for ty in ty.get_fields() {
                if let Some(value) = fields.get_mut(ty.name()) {
                    to_seconds(value, ty);
                }
            }
        }
        Value::Array(elements) => {
            let element = element(ty);
            elements.iter_mut().for_each(|value| to_seconds(value, element));
        }
        _ => {}
    }
}

/// The type of a list's elements: a list is a group of a repeated group of one field, or, as older
/// programs write it, of a repeated element; or the repeated element stands by itself (parquet-format,
/// "LogicalTypes.md", Lists).
fn element(ty: &Type) -> &Type {
    let info = ty.get_basic_info();
    if info.has_repetition() && info.repetition() == Repetition::REPEATED {
        return ty;
    }
    match fields(ty) {
        [repeated] => match fields(repeated) {
            [element] => element,
            _ => repeated,
        },
        _ => ty,
    }
}

fn fields(ty: &Type) -> &[TypePtr] {
    if ty.is_primitive() { &[] } else { ty.get_fields() }
}

fn object(row: &Row) -> Value {
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
        Field::Float16(number) => float(f64::from(f32::from(*number))),
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
