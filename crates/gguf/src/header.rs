//! The head of a GGUF file from its bytes: keys, values, and where tensors lie. Hostile input is met
//! here: nothing is reserved that the rest of the file could not hold, and every range is checked
//! against the file and against the others.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use stoa_graph::TensorType;

use crate::GgufError;
use crate::metadata::{Array, Metadata, Value};
use crate::types::{known_types, name_of_type, type_of_number};

/// Where the key says nothing.
pub(crate) const DEFAULT_ALIGNMENT: usize = 32;
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";
/// ggml has no more dimensions.
const MOST_DIMENSIONS: u32 = 4;
/// Arrays in arrays; none is known that has more than two.
const DEEPEST: usize = 8;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name.
    pub name: String,
    /// Element type and dimensions, outermost first.
    pub ty: TensorType,
    /// Its bytes in the file.
    pub range: Range<usize>,
}

/// The head of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Keys and values.
    pub metadata: Metadata,
    /// Tensors in the order of the file.
    pub tensors: Vec<TensorInfo>,
}

impl Header {
    /// Reads the head of the file with these bytes; `path` is for messages.
    ///
    /// # Errors
    /// Whatever is wrong with the head, by place.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self, GgufError> {
        let mut reader = Reader { path, bytes, at: 0 };
        let version = reader.version()?;
        let tensors_at = reader.at;
        // A name without letters, no dimension, a type and an offset.
        let tensors = reader.count("tensors", 8 + 4 + 4 + 8)?;
        // A key without letters, a type and a byte.
        let keys = reader.count("keys", 8 + 4 + 1)?;
        let mut entries = Vec::with_capacity(keys);
        let mut names = BTreeSet::new();
        for _ in 0..keys {
            let at = reader.at;
            let key = reader.string("a key")?;
            if !names.insert(key.clone()) {
                return Err(reader.malformed(at, format!("the key `{key}` is there twice")));
            }
            let kind = reader.u32("the type of a value")?;
            let value = reader.value(kind, &key)?;
            entries.push((key, value));
        }
        let metadata = Metadata::of(path, entries);
        let alignment = reader.alignment(&metadata)?;
        let mut names = BTreeSet::new();
        let mut infos = Vec::with_capacity(tensors);
        for _ in 0..tensors {
            let at = reader.at;
            let info = reader.tensor(alignment)?;
            if !names.insert(info.name.clone()) {
                let what = format!("the tensor `{}` is there twice", info.name);
                return Err(reader.malformed(at, what));
            }
            infos.push(info);
        }
        let data = reader.at.next_multiple_of(alignment);
        place(&reader, tensors_at, data, &mut infos)?;
        Ok(Header { version, metadata, tensors: infos })
    }
}

/// Turns offsets into ranges of the file, none of which leaves it or meets another.
fn place(
    reader: &Reader<'_>,
    at: usize,
    data: usize,
    infos: &mut [TensorInfo],
) -> Result<(), GgufError> {
    for info in &mut *infos {
        let end = info.range.end.checked_add(data).filter(|&end| end <= reader.bytes.len());
        let Some(end) = end else {
            let what = format!(
                "the tensor `{}` ends at byte {} of the data, of which there are {}",
                info.name,
                info.range.end,
                reader.bytes.len().saturating_sub(data)
            );
            return Err(reader.malformed(at, what));
        };
        info.range = info.range.start + data..end;
    }
    let mut by_place: Vec<&TensorInfo> = infos.iter().filter(|i| !i.range.is_empty()).collect();
    by_place.sort_by_key(|info| info.range.start);
    match by_place.windows(2).find(|pair| pair[1].range.start < pair[0].range.end) {
        None => Ok(()),
        Some(pair) => {
            let what = format!("the tensors `{}` and `{}` overlap", pair[0].name, pair[1].name);
            Err(reader.malformed(pair[1].range.start, what))
        }
    }
}

struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

macro_rules! numbers {
    ($self:ident, $what:expr, $ty:ty) => {
        <$ty>::from_le_bytes($self.take::<{ size_of::<$ty>() }>($what)?)
    };
}

impl<'a> Reader<'a> {
    fn malformed(&self, at: usize, what: impl Into<String>) -> GgufError {
        GgufError::Malformed { path: self.path.to_owned(), at, what: what.into() }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn slice(&mut self, len: usize, what: &str) -> Result<&'a [u8], GgufError> {
        if len > self.left() {
            let left = self.left();
            let what = format!("{what} takes {len} bytes, and {left} are left of the file");
            return Err(self.malformed(self.at, what));
        }
        let slice = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let slice = self.slice(N, what)?;
        Ok(slice.try_into().expect("the slice has this length"))
    }

    fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        Ok(numbers!(self, what, u32))
    }

    fn version(&mut self) -> Result<u32, GgufError> {
        let start = &self.bytes[..self.bytes.len().min(4)];
        if start != b"GGUF" {
            let found = format!("{:?}", String::from_utf8_lossy(start));
            return Err(GgufError::NotGguf { path: self.path.to_owned(), found });
        }
        self.at = 4;
        let version = self.u32("the version")?;
        let path = self.path.to_owned();
        match version {
            2 | 3 => Ok(version),
            _ if (1..=0xffff).contains(&version.swap_bytes()) => Err(GgufError::BigEndian { path }),
            _ => Err(GgufError::Version { path, version }),
        }
    }

    /// How many of something follow that take at least `least` bytes each.
    fn count(&mut self, what: &str, least: usize) -> Result<usize, GgufError> {
        let at = self.at;
        let count = numbers!(self, what, u64);
        let fits = usize::try_from(count).ok().filter(|&count| count <= self.left() / least);
        fits.ok_or_else(|| {
            let left = self.left();
            self.malformed(at, format!("{count} {what} do not fit into the {left} bytes left"))
        })
    }

    fn string(&mut self, what: &str) -> Result<String, GgufError> {
        let len = self.count(&format!("bytes of {what}"), 1)?;
        let at = self.at;
        let text = std::str::from_utf8(self.slice(len, what)?);
        text.map(ToOwned::to_owned)
            .map_err(|error| self.malformed(at, format!("{what} is not UTF-8: {error}")))
    }

    fn flag(&mut self, what: &str) -> Result<bool, GgufError> {
        let at = self.at;
        match self.take::<1>(what)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(self.malformed(at, format!("{what} is {byte}, not 0 or 1"))),
        }
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value, GgufError> {
        let what = &format!("the value of `{key}`");
        Ok(match kind {
            0 => Value::U8(numbers!(self, what, u8)),
            1 => Value::I8(numbers!(self, what, i8)),
            2 => Value::U16(numbers!(self, what, u16)),
            3 => Value::I16(numbers!(self, what, i16)),
            4 => Value::U32(numbers!(self, what, u32)),
            5 => Value::I32(numbers!(self, what, i32)),
            6 => Value::F32(numbers!(self, what, f32)),
            7 => Value::Bool(self.flag(what)?),
            8 => Value::String(self.string(what)?),
            9 => Value::Array(self.array(what, 0)?),
            10 => Value::U64(numbers!(self, what, u64)),
            11 => Value::I64(numbers!(self, what, i64)),
            12 => Value::F64(numbers!(self, what, f64)),
            _ => return Err(self.unknown_kind(kind, what)),
        })
    }

    fn array(&mut self, what: &str, depth: usize) -> Result<Array, GgufError> {
        let at = self.at;
        if depth == DEEPEST {
            return Err(
                self.malformed(at, format!("{what} has more than {DEEPEST} arrays in arrays"))
            );
        }
        let kind = self.u32(what)?;
        macro_rules! elements {
            ($least:expr, $reader:ident => $read:expr) => {{
                let count = self.count(&format!("elements of {what}"), $least)?;
                let $reader = self;
                (0..count).map(|_| Ok::<_, GgufError>($read)).collect::<Result<Vec<_>, _>>()?
            }};
        }
        Ok(match kind {
            0 => Array::U8(elements!(1, r => numbers!(r, what, u8))),
            1 => Array::I8(elements!(1, r => numbers!(r, what, i8))),
            2 => Array::U16(elements!(2, r => numbers!(r, what, u16))),
            3 => Array::I16(elements!(2, r => numbers!(r, what, i16))),
            4 => Array::U32(elements!(4, r => numbers!(r, what, u32))),
            5 => Array::I32(elements!(4, r => numbers!(r, what, i32))),
            6 => Array::F32(elements!(4, r => numbers!(r, what, f32))),
            7 => Array::Bool(elements!(1, r => r.flag(what)?)),
            8 => Array::String(elements!(8, r => r.string(what)?)),
            9 => Array::Array(elements!(12, r => r.array(what, depth + 1)?)),
            10 => Array::U64(elements!(8, r => numbers!(r, what, u64))),
            11 => Array::I64(elements!(8, r => numbers!(r, what, i64))),
            12 => Array::F64(elements!(8, r => numbers!(r, what, f64))),
            _ => return Err(self.unknown_kind(kind, what)),
        })
    }

    fn unknown_kind(&self, kind: u32, what: &str) -> GgufError {
        self.malformed(self.at - 4, format!("{what} has type {kind}, and there are 0 to 12"))
    }

    fn alignment(&self, metadata: &Metadata) -> Result<usize, GgufError> {
        let alignment = metadata.size(ALIGNMENT_KEY)?.unwrap_or(DEFAULT_ALIGNMENT);
        if alignment.is_power_of_two() && alignment <= 1 << 20 {
            return Ok(alignment);
        }
        let what = format!("{ALIGNMENT_KEY} is {alignment}, not a power of two up to 1048576");
        Err(self.malformed(self.at, what))
    }

    /// A tensor with its range relative to the beginning of the data.
    fn tensor(&mut self, alignment: usize) -> Result<TensorInfo, GgufError> {
        let name = self.string("the name of a tensor")?;
        let at = self.at;
        let refused = |what: String| {
            let what = format!("the tensor `{name}` {what}");
            GgufError::Malformed { path: self.path.to_owned(), at, what }
        };
        let path = self.path;
        let mut reader = Reader { ..*self };
        let dimensions = reader.u32("a number of dimensions")?;
        if dimensions > MOST_DIMENSIONS {
            return Err(refused(format!("has {dimensions} dimensions, and ggml has 4 at most")));
        }
        // The first dimension of a file is the innermost one.
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = numbers!(reader, "a dimension", u64);
            let size = usize::try_from(size).ok().filter(|&size| size > 0);
            shape.insert(0, size.ok_or_else(|| refused("has a dimension of no size".into()))?);
        }
        let number = reader.u32("the type of a tensor")?;
        let offset = numbers!(reader, "the offset of a tensor", u64);
        let dtype = type_of_number(number).ok_or_else(|| GgufError::ElementType {
            path: path.to_owned(),
            tensor: name.clone(),
            number,
            name: name_of_type(number),
            known: known_types(),
        })?;
        let ty =
            TensorType::new(dtype, shape).checked().map_err(|error| refused(error.to_string()))?;
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(ty.size_bytes()));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(refused(format!("lies at {offset}, beyond what can be addressed")));
        };
        if !start.is_multiple_of(alignment) {
            let what =
                format!("lies at {start}, which is no multiple of the alignment, {alignment}");
            return Err(refused(what));
        }
        let at = reader.at;
        self.at = at;
        Ok(TensorInfo { name, ty, range: start..end })
    }
}
