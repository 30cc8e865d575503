//! Room on a disk, asked for before it is taken.

use std::path::Path;

use crate::ShelfError;

/// Bytes that must stay free: a full disk stops more than one download.
const RESERVE: u64 = 256 << 20;

/// That a file system has room for so many bytes. Where the system does not say, nothing is refused.
///
/// # Errors
/// [`ShelfError::NoSpace`].
pub fn check_space(directory: &Path, bytes: u64) -> Result<(), ShelfError> {
    match free_bytes(directory) {
        Some(free) if free < bytes.saturating_add(RESERVE) => {
            Err(ShelfError::NoSpace { directory: directory.to_owned(), needed: bytes, free })
        }
        _ => Ok(()),
    }
}

/// Bytes that this user may still write.
#[cfg(unix)]
fn free_bytes(directory: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(directory).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_disk_holds_is_refused_with_what_there_is() {
        let here = Path::new(".");
        check_space(here, 0).unwrap();
        if cfg!(unix) {
            let message = check_space(here, u64::MAX / 2).unwrap_err().to_string();
            assert!(message.contains("free"), "{message}");
        }
    }
}
