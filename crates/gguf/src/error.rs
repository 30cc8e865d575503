//! What can be wrong with a GGUF file. Every message names the file, the place and a remedy.

use std::ops::Range;
use std::path::PathBuf;

use stoa_graph::{GraphError, TensorType};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The system refused a file.
    #[error(transparent)]
    Map(#[from] stoa_maps::MapError),
    /// The system refused to write.
    #[error(transparent)]
    Write(#[from] stoa_durable::FileError),
    /// Not a GGUF file.
    #[error(
        "{path} is not a GGUF file: it begins with {found}, not with the letters GGUF; give the file \
         that ends in .gguf, or the directory of a model with safetensors"
    )]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: String,
    },
    /// A version that is not read.
    #[error(
        "{path}: GGUF version {version} is not read, only 2 and 3; convert the model again with a \
         present llama.cpp"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it says.
        version: u32,
    },
    /// Numbers in the other byte order.
    #[error(
        "{path}: a big-endian GGUF file, and only little-endian ones are read; convert it with \
         gguf_convert_endian.py of llama.cpp"
    )]
    BigEndian {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that make no sense.
    #[error("{path}, byte {at}: {what}; the file is damaged or cut short, fetch or make it again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, from the beginning of the file.
        at: usize,
        /// What is wrong there.
        what: String,
    },
    /// An element type that programs do not know.
    #[error(
        "{path}: tensor `{tensor}` has element type {number} ({name}), which is not read; make or \
         fetch the model as one of {known}"
    )]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Number of the type.
        number: u32,
        /// Its name, where it has one here.
        name: &'static str,
        /// Types that are read.
        known: String,
    },
    /// A key that is needed is not there.
    #[error(
        "{path}: there is no key `{key}`; the file does not say all of its model, fetch another"
    )]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A key holds another kind of value.
    #[error("{path}: `{key}` is {found}, not {expected}; fetch or make the file again")]
    KeyType {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A split file whose parts do not fit.
    #[error("{path}: {what}")]
    Split {
        /// The part.
        path: PathBuf,
        /// What is wrong and what helps.
        what: String,
    },
    /// A tensor that is not there.
    #[error(
        "{path}: there is no tensor `{tensor}`; is this a whole model of the kind that it says?"
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// Rows that a tensor does not have.
    #[error("{path}: tensor `{tensor}` is {ty} and has no rows {rows:?}; is this a whole model?")]
    Rows {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        ty: TensorType,
        /// The rows asked for.
        rows: Range<usize>,
    },
    /// A tensor that cannot be.
    #[error("{path}: tensor `{tensor}`: {source}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Why.
        source: Box<GraphError>,
    },
    /// Tensors were written in another order or form than was announced.
    #[error("{path}: {what}")]
    Order {
        /// The file.
        path: PathBuf,
        /// What was announced and what came.
        what: String,
    },
}
