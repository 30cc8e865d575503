//! How a file appears whole: written under another name, synced where that is asked for, renamed.

use crate::error::PostsError;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Whether a file that was written must survive a power cut. A process that is killed loses none either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is synced before it gets its name: some milliseconds a file.
    #[default]
    Synced,
    /// It is not: for what can be regenerated, and for tests.
    Unsynced,
}

/// Writes a file, whole or not at all. A writer killed on the way leaves `NAME.partial`, which the
/// next one overwrites.
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
/// As [`write_whole`], and what `write` says.
pub fn write_whole_with<E: From<PostsError>>(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let io = |cause| PostsError::Io { path: path.to_path_buf(), cause };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let mut file = File::create(&partial).map_err(io)?;
    write(&mut file)?;
    if durability == Durability::Synced {
        file.sync_all().map_err(io)?;
    }
    fs::rename(&partial, path).map_err(io)?;
    Ok(())
}
