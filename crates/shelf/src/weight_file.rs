//! Whether a safetensors file is whole: its header and its size agree. A file that was cut short, by
//! a download that broke off or a full disk, is named before it is mapped. Reads no tensors.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::ShelfError;
use crate::error::io;
use crate::foreign::{Content, content_of};

/// Longest header that is read, as the format has it.
const MAX_HEADER: u64 = 100_000_000;

/// That a file is safetensors, and whole.
///
/// # Errors
/// [`ShelfError::Foreign`] for something else, [`ShelfError::Unsound`] for a file cut short.
pub(crate) fn check(path: &Path) -> Result<(), ShelfError> {
    match content_of(path)? {
        Content::Safetensors => {}
        Content::Foreign(foreign) => {
            return Err(ShelfError::Foreign { path: path.to_owned(), foreign });
        }
        Content::Gguf => {
            return Err(unsound(path, "holds GGUF, not safetensors".to_owned(), RENAME));
        }
        Content::Json | Content::Unknown => {
            return Err(unsound(path, "is not a safetensors file".to_owned(), FETCH));
        }
    }
    let mut file = File::open(path).map_err(io("reading", path))?;
    let there = file.metadata().map_err(io("reading", path))?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(io("reading", path))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(unsound(path, format!("has a header of {length} bytes"), FETCH));
    }
    if there < 8 + length {
        return Err(cut(path, there, 8 + length));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(io("reading", path))?;
    // What else a header may have wrong is said by who reads the tensors.
    let Ok(Value::Object(tensors)) = serde_json::from_slice(&header) else { return Ok(()) };
    let end = |tensor: &Value| tensor["data_offsets"][1].as_u64();
    let needed = tensors.values().filter_map(end).max().unwrap_or(0).saturating_add(8 + length);
    if there < needed { Err(cut(path, there, needed)) } else { Ok(()) }
}

const FETCH: &str = "fetch the file again";
const RENAME: &str = "give the file itself as the model, under a name that ends in .gguf";

fn unsound(path: &Path, problem: String, remedy: &'static str) -> ShelfError {
    ShelfError::Unsound { path: path.to_owned(), problem, remedy }
}

fn cut(path: &Path, there: u64, needed: u64) -> ShelfError {
    unsound(path, format!("is cut short: {there} of {needed} bytes are there"), FETCH)
}
