//! One file that appears whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{FileError, failed, sync_parent, unfinished};

/// Whether a file that was written must survive a power cut. A killed process loses none either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The file is synced before it gets its name, and then the directory that names it.
    #[default]
    Synced,
    /// Neither is: for what can be recomputed, and for tests.
    Unsynced,
}

/// A file being written. Dropped without [`WholeFile::commit`] it leaves nothing, and what was at
/// its path stays.
#[derive(Debug)]
pub struct WholeFile {
    /// `None` once committed.
    file: Option<File>,
    path: PathBuf,
}

impl WholeFile {
    /// Starts a file that will appear at `path`.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let file = File::create(unfinished(path)).map_err(failed("creating", path))?;
        Ok(WholeFile { file: Some(file), path: path.to_owned() })
    }

    /// Where the file will appear.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory where it will appear, for files that help to write it.
    pub fn directory(&self) -> &Path {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    /// The file, to write to.
    pub fn file(&mut self) -> &mut File {
        self.file.as_mut().expect("only commit takes the file, and it consumes self")
    }

    /// Syncs the file, moves it to its place, and syncs the directory that names it.
    ///
    /// # Errors
    /// What the system refuses; what was at the path is then still there.
    pub fn commit(self) -> Result<(), FileError> {
        self.commit_as(Durability::Synced)
    }

    /// Moves the file to its place, and makes that last where it must.
    ///
    /// # Errors
    /// As [`WholeFile::commit`].
    pub fn commit_as(mut self, durability: Durability) -> Result<(), FileError> {
        if durability == Durability::Synced {
            self.file().sync_all().map_err(failed("writing", &self.path))?;
        }
        fs::rename(unfinished(&self.path), &self.path).map_err(failed("writing", &self.path))?;
        self.file = None;
        match durability {
            Durability::Synced => sync_parent(&self.path),
            Durability::Unsynced => Ok(()),
        }
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What cannot be removed is replaced by the next write of this path.
            let _ = fs::remove_file(unfinished(&self.path));
        }
    }
}

/// Moves the file [`unfinished`]`(path)`, which was written whole and synced, to `path`.
///
/// # Errors
/// What the system refuses.
pub fn name_file(path: &Path) -> Result<(), FileError> {
    fs::rename(unfinished(path), path).map_err(failed("renaming to", path))?;
    sync_parent(path)
}

/// Writes a file at once.
///
/// # Errors
/// What the system refuses: no directory, no permission, disk full.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_with(path, |file| file.write_all(bytes).map_err(failed("writing", path)))
}

/// As [`write()`] for what is not in memory: `fill` writes it into the file, with errors of its own.
///
/// # Errors
/// Those of `fill`, and what the system refuses.
pub fn write_with<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = WholeFile::create(path)?;
    fill(file.file())?;
    Ok(file.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        write(&path, b"old").unwrap();
        let failing = write_with(&path, |file| {
            file.write_all(b"half").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"old", "the old file stays while one writes");
            Err(failed("filling", &path)(std::io::Error::other("full")))
        });
        let error: FileError = failing.unwrap_err();
        assert!(error.to_string().contains("a.json: full"), "{error}");
        assert_eq!(
            (fs::read(&path).unwrap().as_slice(), names(directory.path())),
            (b"old".as_slice(), vec!["a.json".to_owned()])
        );
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["a.json"]);
    }

    #[test]
    fn what_a_crash_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        fs::write(unfinished(&path), "what a killed process had written so far").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["a.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_finished_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (ours, plain) = (directory.path().join("ours"), directory.path().join("plain"));
        write(&ours, b"").unwrap();
        File::create(&plain).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = write(Path::new("/no/such/directory/a.json"), b"").unwrap_err();
        assert!(error.to_string().contains("/no/such/directory/a.json"), "{error}");
    }
}
