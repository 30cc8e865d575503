//! Folders that tests of stores read their posts from.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use tempfile::TempDir;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

/// A folder with some files of posts, and a key of authors in `author.key`, so that hashes are the same each
/// time.
pub fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("author.key"), KEY).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}
