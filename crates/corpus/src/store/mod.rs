//! What an ingest leaves on disk: where files are, the author key, sorted and spilled records.
//!
//! Every file is written under another name, synced and renamed. What is written and why is the
//! business of `ingest`; this room knows only forms.

mod author_key;
mod json;
mod layout;
mod sorting;
mod spill;

pub use author_key::AuthorKey;
pub(crate) use json::{each_line, read_json, write_json};
pub use layout::Store;
#[cfg(test)]
pub(crate) use sorting::Record;
pub(crate) use sorting::{Keyed, Sorter, Words, at};
pub(crate) use spill::{Buckets, Fields, Spread, put_bytes, put_u32, put_u128};
