//! Directories that appear whole. The caller fills [`unfinished`] and syncs its files, then calls
//! [`replace_directory`].

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::{FileError, UNFINISHED, failed, sync_parent, unfinished};

/// Moves the filled directory [`unfinished`]`(path)` to `path`, in place of what was there.
///
/// # Errors
/// What the system refuses.
pub fn replace_directory(path: &Path) -> Result<(), FileError> {
    remove_directory(path)?;
    fs::rename(unfinished(path), path).map_err(failed("renaming to", path))?;
    sync_parent(path)
}

/// Removes a directory so that no half of it is ever seen under its name. None there is no error.
///
/// # Errors
/// What the system refuses.
pub fn remove_directory(path: &Path) -> Result<(), FileError> {
    if !path.exists() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let leaving = path.with_file_name(format!("{UNFINISHED}old-{name}"));
    remove_tree(&leaving)?;
    fs::rename(path, &leaving).map_err(failed("removing", path))?;
    remove_tree(&leaving)
}

/// Removes from a directory what writes that did not end have left.
///
/// # Errors
/// What the system refuses.
pub fn clear_unfinished(directory: &Path) -> Result<(), FileError> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let entry = entry.map_err(failed("listing", directory))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file or a directory with all below it.
fn remove_tree(path: &Path) -> Result<(), FileError> {
    let removed = match path.symlink_metadata() {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("removing", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_replaced_and_leftovers_go() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("000100");
        for text in ["first", "second"] {
            let waiting = unfinished(&path);
            fs::create_dir(&waiting).unwrap();
            fs::write(waiting.join("file"), text).unwrap();
            replace_directory(&path).unwrap();
            assert_eq!(fs::read_to_string(path.join("file")).unwrap(), text);
        }
        fs::create_dir_all(unfinished(&path).join("deep")).unwrap();
        fs::write(root.path().join(format!("{UNFINISHED}file")), "").unwrap();
        clear_unfinished(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        remove_directory(&path).unwrap();
        remove_directory(&path).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
