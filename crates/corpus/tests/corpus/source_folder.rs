//! Folders that tests of stores read their posts from and write to.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::Path;
use tempfile::TempDir;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

/// Bytes that a place in memory must have: several stores of the sample square at a time.
const MEMORY_BYTES: u64 = 1 << 30;

/// A folder with some files of posts, and a key of authors in `author.key`, so that hashes are the same each
/// time. It lies in memory where the system has a place for that: a store syncs each of its files, which takes
/// minutes on a busy disk.
pub fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match has_room(memory) {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = folder.unwrap();
    std::fs::write(folder.path().join("author.key"), KEY).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Whether a file system in memory is mounted there that may hold [`MEMORY_BYTES`]. Without `size=` it may hold
/// half of the memory.
fn has_room(memory: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mount = mounts.lines().find(|line| line.split(' ').nth(1).map(Path::new) == Some(memory));
    let Some(options) = mount.and_then(|line| line.split(' ').nth(3)) else { return false };
    let size = options.split(',').find_map(|option| option.strip_prefix("size="));
    size.is_none_or(|size| {
        let (number, unit) = size.split_at(size.trim_end_matches(char::is_alphabetic).len());
        let unit = match unit {
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            _ => 1,
        };
        number.parse::<u64>().is_ok_and(|number| number * unit >= MEMORY_BYTES)
    })
}
