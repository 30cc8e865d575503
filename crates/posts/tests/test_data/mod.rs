//! Real data for tests that are ignored with `needs STOA_TEST_DATA`: `cargo test -- --ignored` with that
//! variable set to an absolute path runs them. Without it they fail.

use std::path::PathBuf;

/// A file of the folder that `STOA_TEST_DATA` names.
pub fn test_data(file: &str) -> PathBuf {
    let root = std::env::var_os("STOA_TEST_DATA")
        .expect("set STOA_TEST_DATA to the absolute path of the folder of real data");
    let path = PathBuf::from(root).join(file);
    assert!(path.exists(), "{}: no such file", path.display());
    path
}
