//! Writing a GGUF file, version 3: the head first, then one tensor after the other, none of which need be
//! in memory with another. The file appears whole.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use stoa_durable::{FileError, WholeFile};
use stoa_graph::{Tensor, TensorType};

use crate::GgufError;
use crate::file::swapped;
use crate::header::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT};
use crate::metadata::{Array, Metadata, Value};
use crate::types::number_of_type;

const VERSION: u32 = 3;

/// A file being written. Dropped before [`GgufWriter::finish`] it leaves nothing.
#[derive(Debug)]
pub struct GgufWriter {
    path: PathBuf,
    file: BufWriter<WholeFileWriter>,
    tensors: std::vec::IntoIter<(String, TensorType)>,
}

/// So that a buffer can be kept over a file that will be moved.
#[derive(Debug)]
struct WholeFileWriter(WholeFile);

impl Write for WholeFileWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.file().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.file().flush()
    }
}

impl GgufWriter {
    /// Starts a file that will appear at `path`, and writes its head.
    ///
    /// # Errors
    /// [`GgufError::Write`], [`GgufError::Order`] when keys or tensors have a name twice.
    pub fn create(
        path: &Path,
        metadata: &Metadata,
        tensors: Vec<(String, TensorType)>,
    ) -> Result<Self, GgufError> {
        let mut names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let what = format!("the tensor `{}` was announced twice", pair[0]);
            return Err(GgufError::Order { path: path.to_owned(), what });
        }
        let mut head = Vec::new();
        head.extend(b"GGUF");
        head.extend(VERSION.to_le_bytes());
        head.extend((tensors.len() as u64).to_le_bytes());
        let entries = || metadata.entries().iter().filter(|entry| entry.0 != ALIGNMENT_KEY);
        head.extend((entries().count() as u64).to_le_bytes());
        for (key, value) in entries() {
            push_string(&mut head, key);
            head.extend(value.kind().to_le_bytes());
            push_value(&mut head, value);
        }
        let mut offset = 0_usize;
        for (name, ty) in &tensors {
            push_string(&mut head, name);
            head.extend((ty.shape.len() as u32).to_le_bytes());
            for &size in ty.shape.iter().rev() {
                head.extend((size as u64).to_le_bytes());
            }
            head.extend(number_of_type(ty.dtype).to_le_bytes());
            head.extend((offset as u64).to_le_bytes());
            offset = (offset + ty.size_bytes()).next_multiple_of(DEFAULT_ALIGNMENT);
        }
        head.resize(head.len().next_multiple_of(DEFAULT_ALIGNMENT), 0);
        let file = BufWriter::new(WholeFileWriter(WholeFile::create(path)?));
        let mut writer = GgufWriter { path: path.to_owned(), file, tensors: tensors.into_iter() };
        writer.bytes(&head)?;
        Ok(writer)
    }

    /// Writes the next tensor of those that were announced.
    ///
    /// # Errors
    /// [`GgufError::Order`] when it is another, [`GgufError::Write`].
    pub fn write(&mut self, name: &str, tensor: &Tensor) -> Result<(), GgufError> {
        let next = self.tensors.next();
        let expected = next.as_ref().map(|(name, ty)| (name.as_str(), ty));
        if expected != Some((name, &tensor.ty())) {
            let expected =
                expected.map_or("no more".into(), |(name, ty)| format!("`{name}`, {ty}"));
            let what = format!("`{name}`, {} was given in place of {expected}", tensor.ty());
            return Err(GgufError::Order { path: self.path.clone(), what });
        }
        let size = tensor.bytes().len();
        if cfg!(target_endian = "big") && !tensor.dtype().is_quantised() {
            self.bytes(&swapped(tensor.dtype(), tensor.bytes()))?;
        } else {
            self.bytes(tensor.bytes())?;
        }
        self.bytes(&[0; DEFAULT_ALIGNMENT][..size.next_multiple_of(DEFAULT_ALIGNMENT) - size])
    }

    /// Moves the file to its place.
    ///
    /// # Errors
    /// [`GgufError::Order`] when tensors are missing, [`GgufError::Write`].
    pub fn finish(mut self) -> Result<(), GgufError> {
        if let Some((name, _)) = self.tensors.next() {
            let what = format!("the tensor `{name}` was announced and not given");
            return Err(GgufError::Order { path: self.path, what });
        }
        let path = self.path;
        let file = self.file.into_inner().map_err(|error| failed(&path, error.into_error()))?;
        Ok(file.0.commit()?)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), GgufError> {
        self.file.write_all(bytes).map_err(|source| failed(&self.path, source))
    }
}

fn failed(path: &Path, source: std::io::Error) -> GgufError {
    GgufError::Write(FileError { action: "writing", path: path.to_owned(), source })
}

fn push_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn push_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(x) => bytes.extend(x.to_le_bytes()),
        Value::I8(x) => bytes.extend(x.to_le_bytes()),
        Value::U16(x) => bytes.extend(x.to_le_bytes()),
        Value::I16(x) => bytes.extend(x.to_le_bytes()),
        Value::U32(x) => bytes.extend(x.to_le_bytes()),
        Value::I32(x) => bytes.extend(x.to_le_bytes()),
        Value::U64(x) => bytes.extend(x.to_le_bytes()),
        Value::I64(x) => bytes.extend(x.to_le_bytes()),
        Value::F32(x) => bytes.extend(x.to_le_bytes()),
        Value::F64(x) => bytes.extend(x.to_le_bytes()),
        Value::Bool(x) => bytes.push(u8::from(*x)),
        Value::String(x) => push_string(bytes, x),
        Value::Array(x) => push_array(bytes, x),
    }
}

fn push_array(bytes: &mut Vec<u8>, array: &Array) {
    bytes.extend(array.kind().to_le_bytes());
    bytes.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::Bool(x) => bytes.extend(x.iter().map(|&x| u8::from(x))),
        Array::String(x) => x.iter().for_each(|x| push_string(bytes, x)),
        Array::Array(x) => x.iter().for_each(|x| push_array(bytes, x)),
        Array::U8(x) => bytes.extend(x),
        Array::I8(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        Array::U16(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        Array::I16(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        Array::U32(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        Array::I32(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        Array::U64(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        Array::I64(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        Array::F32(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        Array::F64(x) => x.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
    }
}
