//! Where a bench or a check keeps what its programs hand each other.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::python_env;

/// A directory of this run alone, removed with it; in the cache because texts and models can be
/// large.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty directory for `purpose`.
    pub fn new(purpose: &str) -> anyhow::Result<Self> {
        let name = format!("{purpose}-{}", std::process::id());
        let directory = python_env::cache_directory()?.join(name);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Self(directory))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
