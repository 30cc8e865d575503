//! Directories that Stoa wrote: what stands in them was made of posts, and is no source of posts again.
//!
//! A store is known by its manifest or by the plan of an ingest that has not ended, a run by its `run.toml`
//! beside what a run makes. Parts of them may be named as sources by themselves.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The remark on folders that are no sources.
pub(super) const LEFT_OUT: &str = "folders left out: stores and runs that stoa made";

/// Bytes of a manifest in which the program that wrote it stands.
const MANIFEST_BYTES: u64 = 4096;

/// What a directory is, when Stoa made it.
pub(super) fn kind(folder: &Path) -> Option<&'static str> {
    let has = |name: &str| folder.join(name).exists();
    if has("state/plan.json") || has_manifest(folder) {
        Some("a store")
    } else if has("run.toml")
        && ["tokens", "corpus/source.json", "tokenizer.json"].iter().any(|name| has(name))
    {
        Some("a run")
    } else {
        None
    }
}

fn has_manifest(folder: &Path) -> bool {
    let mut begun = Vec::new();
    let read = File::open(folder.join("manifest.json"))
        .and_then(|file| file.take(MANIFEST_BYTES).read_to_end(&mut begun));
    let text = String::from_utf8_lossy(&begun);
    read.is_ok() && text.contains("\"code\": \"stoa ") && text.contains("\"plan\"")
}
