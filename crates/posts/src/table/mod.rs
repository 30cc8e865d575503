//! The Parquet form of posts and of columns that accompany them, and how a file appears whole.

mod columns;
mod parquet_guard;
mod posts;
mod whole_file;

pub use columns::{Column, Values, read_columns, write_columns};
pub(crate) use parquet_guard::guarded;
pub use parquet_guard::panics_are_errors;
pub use posts::{read_posts, write_posts};
pub use whole_file::{Durability, write_whole, write_whole_with};
