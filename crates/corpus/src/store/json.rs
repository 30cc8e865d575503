//! Files of JSON: a value, or a value a line.

use super::sorting::at;
use crate::error::CorpusError;
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use stoa_posts::{Durability, write_whole};

/// Writes a small file of JSON.
pub(crate) fn write_json<T: Serialize>(
    path: &Path,
    durability: Durability,
    value: &T,
) -> Result<(), CorpusError> {
    let text = serde_json::to_vec(value)
        .map_err(|cause| CorpusError::Io { path: path.to_path_buf(), cause: cause.into() })?;
    Ok(write_whole(path, durability, &text)?)
}

/// Reads a small file of JSON.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CorpusError> {
    let io = |cause| CorpusError::Io { path: path.to_path_buf(), cause };
    let text = std::fs::read(path).map_err(io)?;
    serde_json::from_slice(&text).map_err(|cause| io(cause.into()))
}

/// Hands over every line of a file, read as JSON and as it stands.
pub(crate) fn each_line<T: serde::de::DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(T, &str) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    let mut file = BufReader::new(File::open(path).map_err(at(path))?);
    let (mut text, mut line, mut byte_offset) = (String::new(), 0, 0);
    while file.read_line(&mut text).map_err(at(path))? > 0 {
        line += 1;
        let read = serde_json::from_str(&text).map_err(|error| CorpusError::WrongJson {
            path: path.to_path_buf(),
            line,
            byte_offset,
            cause: error.to_string(),
        })?;
        take(read, &text)?;
        byte_offset += text.len() as u64;
        text.clear();
    }
    Ok(())
}
