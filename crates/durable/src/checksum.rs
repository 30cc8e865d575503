//! A file by its content: size and SHA-256.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{FileError, failed};

/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 18;

/// What a manifest keeps of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
}

impl FileEntry {
    /// The entry of a file, read from the disk.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn of(path: &Path) -> Result<Self, FileError> {
        let mut file = File::open(path).map_err(failed("reading", path))?;
        Self::of_open(&mut file).map_err(failed("reading", path))
    }

    /// The entry of what an open file holds from where it stands.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn of_open(file: &mut File) -> std::io::Result<Self> {
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(FileEntry { sha256: hex(&digest.finalize()), bytes }),
                Ok(read) => {
                    digest.update(&buffer[..read]);
                    bytes += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The entry of a file that holds these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        FileEntry { sha256: hex(&Sha256::digest(bytes)), bytes: bytes.len() as u64 }
    }
}

/// Lower-case hexadecimal digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sha256_of_the_bytes() {
        // FIPS 180-4, the example of one block.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(FileEntry::of_bytes(b"abc"), FileEntry { sha256: expected.into(), bytes: 3 });
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let bytes = vec![7; BUFFER_BYTES + 1];
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(FileEntry::of(&path).unwrap(), FileEntry::of_bytes(&bytes));
        let error = FileEntry::of(&directory.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }
}
