//! What an ingest leaves on disk: posts and attributes as Parquet, the author key, spilled buckets.
//!
//! Every file is written beside its place, synced and renamed. What is written and why is the
//! business of `ingest`; this room knows only forms.

mod author_key;
mod columns;
mod layout;
mod post_table;
mod spill;

pub use author_key::AuthorKey;
pub use columns::{Column, Values, read_columns, write_columns};
pub use layout::{Store, write_whole};
pub use post_table::{read_posts, write_posts};
pub(crate) use spill::{Buckets, Fields, put_bytes, put_i64, put_u32, put_u128};
