//! The Parquet library on untrusted files.
//!
//! On damaged files the library panics in places instead of saying what is wrong (fuzzing found
//! negative lengths of columns, among others). Such a panic ends the reading of the file, not the
//! program. What was half read is dropped.

use crate::error::PostsError;
use parquet::errors::ParquetError;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

thread_local! {
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread will be caught and reported as an error of a file, so that a program's
/// panic hook need not report it too.
pub fn panics_are_errors() -> bool {
    READING.get()
}

/// Reads a part of a Parquet file; a panic is an error of the file.
pub(crate) fn guarded<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, PostsError> {
    let before = READING.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(read));
    READING.set(before);
    let cause = match outcome {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("damaged: {}", words.unwrap_or("it makes no sense"))
        }
    };
    Err(PostsError::WrongParquet { path: path.to_path_buf(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_errors_of_the_file() {
        let path = Path::new("a.parquet");
        let error = guarded::<()>(path, || {
            assert!(panics_are_errors());
            panic!("a length of {}", -1)
        });
        assert!(!panics_are_errors());
        let message = error.expect_err("it failed").to_string();
        assert!(message.contains("a.parquet") && message.contains("a length of -1"), "{message}");
        assert_eq!(guarded(path, || Ok(3)).expect("it worked"), 3);
    }
}
