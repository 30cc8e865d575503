//! GGUF files, the format of ggml and llama.cpp: metadata and tensors in one file or split over
//! several, read from memory maps and written as a stream.
//!
//! Knows the format and nothing of models: what keys and tensor names mean is in `stoa-models`. Reads
//! versions 2 and 3, which differ in nothing that is read here. Not read: version 1, big-endian files,
//! and element types that programs do not compute with; each is refused by name.

mod error;
mod file;
mod header;
mod metadata;
mod types;
mod write;

pub use error::GgufError;
pub use file::GgufFile;
pub use header::{Header, TensorInfo};
pub use metadata::{Array, Metadata, Value};
pub use types::{file_type, name_of_type, number_of_type, type_of_number};
pub use write::GgufWriter;
