//! Files and directories that appear whole or not at all: written beside their place, synced,
//! renamed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::TrainingError;
use crate::error::io;

/// Prefix of what is not in its place yet, or no longer: left over only after a crash.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Where a file or directory waits before it is renamed to `path`.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{UNFINISHED}{name}"))
}

/// Replaces a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainingError> {
    let waiting = beside(path);
    let written = File::create(&waiting).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(source) = written.and_then(|()| fs::rename(&waiting, path)) {
        // Nothing is lost when this fails too: the old file is still in its place.
        let _ = fs::remove_file(&waiting);
        return Err(io("writing", path)(source));
    }
    sync_parent(path)
}

/// Makes a rename last. Only Unix can open a directory for it; elsewhere the file system decides.
pub(crate) fn sync_parent(path: &Path) -> Result<(), TrainingError> {
    match path.parent() {
        Some(parent) if cfg!(unix) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            File::open(parent).and_then(|d| d.sync_all()).map_err(io("syncing", parent))
        }
        _ => Ok(()),
    }
}
