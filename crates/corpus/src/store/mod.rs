//! What an ingest leaves on disk: where files are, the author key, sorted and spilled records.
//!
//! Every file is written beside its place, synced and renamed. What is written and why is the
//! business of `ingest`; this room knows only forms.

mod author_key;
mod layout;
mod sorting;
mod spill;

pub use author_key::AuthorKey;
pub use layout::Store;
pub(crate) use sorting::{Keyed, Record, Sorted, Sorter, Temporary, Words, at, read_word};
pub(crate) use spill::{Buckets, Fields, Spread, put_bytes, put_u32, put_u128};
