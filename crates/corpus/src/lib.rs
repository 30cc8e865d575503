//! From posts to a corpus: stores, ingest, copies, threads, documents and dialogues, the held-out side.
//!
//! What one post is and says is `posts`. Tokens, models and training are other rooms.

mod cleaning;
mod conversations;
mod corpus;
mod error;
pub mod ingest;
pub mod near;
mod split;
mod store;

pub use cleaning::{Dropped, Verdict, verdicts};
pub use conversations::{Conversation, Reply, conversations};
pub use corpus::{Corpus, Document, documents, reply_dialogues};
pub use error::CorpusError;
pub use split::{Parted, Split, SplitBy, apart_by_author, split_of};
pub use store::{AuthorKey, Store};
