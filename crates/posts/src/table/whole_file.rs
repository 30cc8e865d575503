//! Files that appear whole, as `durable` writes them, with the errors of this room; their folders are
//! created.

use crate::error::PostsError;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use stoa_durable::{FileError, WholeFile};

pub use stoa_durable::Durability;

/// Writes a file, whole or not at all.
///
/// # Errors
/// With the path: no permission, disk full.
pub fn write_whole(path: &Path, durability: Durability, bytes: &[u8]) -> Result<(), PostsError> {
    write_whole_with(path, durability, |file| {
        file.write_all(bytes).map_err(|cause| PostsError::Io { path: path.to_path_buf(), cause })
    })
}

/// As [`write_whole`], for what is not in memory: `write` puts it into the file.
///
/// # Errors
/// As [`write_whole`], and those of `write`.
pub fn write_whole_with<E: From<PostsError>>(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(folder) = path.parent() {
        let io = |cause| PostsError::Io { path: path.to_path_buf(), cause };
        fs::create_dir_all(folder).map_err(io)?;
    }
    let mut file = WholeFile::create(path).map_err(PostsError::from)?;
    write(file.file())?;
    Ok(file.commit_as(durability).map_err(PostsError::from)?)
}

impl From<FileError> for PostsError {
    fn from(error: FileError) -> PostsError {
        PostsError::Io { path: error.path, cause: error.source }
    }
}
