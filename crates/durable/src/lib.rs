//! Files and directories that appear whole or not at all: written under another name in the same
//! directory, synced, renamed, and the directory synced, so that a power cut loses nothing that was
//! reported as written; and what manifests keep of a file, its size and SHA-256. No formats.

mod checksum;
mod directory;
mod file;

use std::path::{Path, PathBuf};

pub use checksum::{FileEntry, hex};
pub use directory::{clear_unfinished, remove_directory, replace_directory};
pub use file::{Durability, WholeFile, name_file, write, write_with};

/// Prefix of what is not in its place yet, or no longer. After a crash it may be left over; the next
/// write of the same path replaces it.
pub const UNFINISHED: &str = ".unfinished-";

/// What the system refused.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct FileError {
    /// What was done: "writing", "renaming to", ….
    pub action: &'static str,
    /// To which file or directory.
    pub path: PathBuf,
    /// Why it failed.
    pub source: std::io::Error,
}

/// For `map_err`: the error of an action on a path.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source }
}

/// Where a file or directory is written before it is renamed to `path`.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(UNFINISHED);
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

/// Makes a rename within the directory of `path` last. Only Unix can sync a directory; elsewhere
/// the file system decides.
///
/// # Errors
/// What the system refuses.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if cfg!(unix) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            let synced = std::fs::File::open(parent).and_then(|directory| directory.sync_all());
            synced.map_err(failed("syncing", parent))
        }
        _ => Ok(()),
    }
}
