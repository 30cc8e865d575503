//! What an ingest leaves on disk: posts and attributes as Parquet, the author key, spilled buckets.
//!
//! Every file is written beside its place, synced and renamed. What is written and why is the
//! business of `ingest`; this room knows only forms.

mod author_key;
mod columns;
mod layout;
mod post_table;
mod sorting;
mod soundly;
mod spill;

pub use author_key::AuthorKey;
pub use columns::{Column, Values, read_columns, write_columns};
pub(crate) use layout::write_whole_with;
pub use layout::{Store, write_whole};
pub use post_table::{read_posts, write_posts};
pub(crate) use sorting::{Keyed, Record, Sorted, Sorter, Temporary, Words, at, read_word};
pub use soundly::panics_are_errors;
pub(crate) use soundly::soundly;
pub(crate) use spill::{Buckets, Fields, Spread, put_bytes, put_u32, put_u128};
