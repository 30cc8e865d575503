//! Posts in, conversations out: the sample square, readers, cleaning, threading.
//!
//! Everything that follows a source (`read`) or a seed (`Square`) is a pure function; only `read`
//! touches files. Tokens, models and training are other rooms.

pub mod audit;
mod cleaning;
mod conversations;
mod corpus;
mod crew;
pub mod decontamination;
mod draws;
mod error;
pub mod identify;
pub mod ingest;
pub mod near;
pub mod normalise;
pub mod pii;
mod post;
mod read;
pub mod rules;
mod split;
mod square;
mod store;
pub mod twitter_text;

pub use cleaning::{Dropped, Verdict, normal_form, verdicts};
pub use conversations::{Conversation, Reply, conversations};
pub use corpus::{Corpus, Document, documents, reply_dialogues};
pub use error::{PostsError, RejectReason, Rejected};
pub use post::{
    About, Consent, Language, LanguageSource, Notice, Origin, Post, Removal, Tombstone,
};
pub use read::{Format, Intake, Item, ReadOptions, Row, Rows, Scanned, Sink, read_all, scan};
pub use split::{Parted, Split, SplitBy, apart_by_author, split_of};
pub use square::{
    Attribute, Fact, Noun, Question, Side, Square, SquareConfig, Subject, Truth, exam,
    majority_baseline, mark,
};
pub use store::{
    AuthorKey, Column, Store, Values, panics_are_errors, read_columns, read_posts, write_columns,
    write_posts, write_whole,
};
