//! Files that appear whole or not at all: written beside their place, synced, renamed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::TokensError;

/// A file being written; dropped without [`AtomicFile::commit`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts a file that will appear at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, TokensError> {
        let file = NamedTempFile::new_in(directory_of(path));
        let file = file.map_err(TokensError::io("creating a file beside", path))?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Where the file will appear.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory where it will appear, for files that help to write it.
    pub(crate) fn directory(&self) -> &Path {
        directory_of(&self.path)
    }

    /// The file, to write to.
    pub(crate) fn file(&mut self) -> &mut std::fs::File {
        self.file.as_file_mut()
    }

    /// Syncs the file, moves it to its place, and syncs the directory that names it.
    pub(crate) fn commit(self) -> Result<(), TokensError> {
        let Self { file, path } = self;
        let publish = || -> io::Result<()> {
            file.as_file().sync_all()?;
            make_readable(file.as_file())?;
            file.persist(&path).map_err(|error| error.error)?;
            sync_directory(directory_of(&path))
        };
        publish().map_err(TokensError::io("writing", &path))
    }
}

/// Writes a whole file at once.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TokensError> {
    let mut file = AtomicFile::create(path)?;
    file.file().write_all(bytes).map_err(TokensError::io("writing", path))?;
    file.commit()
}

/// The directory that holds `path`.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// Temporary files are private; a finished file is as readable as any other.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &std::fs::File) -> io::Result<()> {
    Ok(())
}

/// Makes a rename last through a power cut.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

/// Only Unix can sync a directory.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
