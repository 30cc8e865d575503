//! The key under which authors are hashed, so that a store tells people apart without naming them.
//!
//! Hash: the first 16 bytes of HMAC-SHA-256 (RFC 2104) of the lower-cased handle. Without the key
//! handles cannot be listed and compared; with it `forget --author` finds a person's posts.

use crate::error::CorpusError;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use stoa_durable::hex;

/// The key of a store.
#[derive(Clone)]
pub struct AuthorKey([u8; 32]);

impl AuthorKey {
    /// A key of given bytes, for tests and for stores that share a key.
    pub fn from_bytes(bytes: [u8; 32]) -> AuthorKey {
        AuthorKey(bytes)
    }

    /// Reads the key file, or makes one of random bytes that only its owner may read.
    ///
    /// # Errors
    /// A file that is no key; a disk that cannot be written; no source of randomness.
    pub fn open_or_create(path: &Path) -> Result<AuthorKey, CorpusError> {
        let io = |cause| CorpusError::Io { path: path.to_path_buf(), cause };
        if !path.exists() {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes)
                .map_err(|cause| io(std::io::Error::other(cause.to_string())))?;
            let partial = path.with_extension("key.partial");
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&partial).map_err(io)?;
            writeln!(file, "{}", hex(&bytes)).map_err(io)?;
            file.sync_all().map_err(io)?;
            fs::rename(&partial, path).map_err(io)?;
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let digits = text.trim();
        let wrong = || CorpusError::WrongKey { path: path.to_path_buf() };
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte =
                u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(AuthorKey(bytes))
    }

    /// The hash of an author: 32 hexadecimal digits, the same for `@Ann` and `ann`; empty without author.
    pub fn hash(&self, author: &str) -> String {
        let author = author.trim().trim_start_matches('@').to_lowercase();
        if author.is_empty() {
            return String::new();
        }
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes");
        mac.update(author.as_bytes());
        hex(&mac.finalize().into_bytes()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_hmac_sha_256() {
        // `printf ann | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b…0b` (32 bytes of 0x0b).
        let key = AuthorKey::from_bytes([0x0b; 32]);
        assert_eq!(key.hash("ann"), "9534aef75f3f6fb523dfbea27ced18be");
        assert_eq!(key.hash(" @Ann"), key.hash("ann"));
        assert_eq!(key.hash(""), "");
        assert_ne!(AuthorKey::from_bytes([1; 32]).hash("ann"), key.hash("ann"));
    }

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("author.key");
        let made = AuthorKey::open_or_create(&path).expect("makes a key");
        let read = AuthorKey::open_or_create(&path).expect("reads it");
        assert_eq!(made.0, read.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).expect("is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(&path, "short").expect("overwrites");
        assert!(AuthorKey::open_or_create(&path).is_err());
    }
}
