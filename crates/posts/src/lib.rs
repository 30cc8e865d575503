//! Posts: what one is, readers of every usual source, what is done to its text, and rules on it.
//!
//! Everything that follows a source (`read`) is a pure function of one post; only `read` and `table` touch
//! files. Stores of many posts, threads and copies are `corpus`; tokens and models are other rooms.

pub mod decontamination;
mod error;
pub mod identify;
mod normal_form;
pub mod normalise;
pub mod pii;
mod post;
mod read;
pub mod rules;
mod split;
mod table;
pub mod twitter_text;
pub mod units;
pub mod worker_pool;

pub use error::{PostsError, RejectReason, Rejected};
pub use normal_form::normal_form;
pub use post::{
    About, Consent, Language, LanguageSource, Notice, Origin, Post, Removal, Tombstone,
};
pub use read::{
    DateOrder, Format, Intake, Item, Quote, ReadOptions, Remarks, Row, Rows, Scanned, Sink,
    TableOptions, address, read_all, scan, scan_with,
};
pub use split::{HELD_OUT_ONE_IN, Split, split_of};
pub use table::{
    Column, Durability, Values, panics_are_errors, read_columns, read_posts, write_columns,
    write_posts, write_whole, write_whole_with,
};
