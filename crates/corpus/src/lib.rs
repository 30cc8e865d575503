//! From posts to a corpus: stores, ingest, copies, threads, documents and dialogues, the held-out side.
//!
//! What one post is and says is `posts`. Tokens, models and training are other rooms.

mod conversations;
mod corpus;
mod error;
pub mod ingest;
pub mod near;
mod split;
mod store;

pub use conversations::{Conversation, Reply, conversations};
pub use corpus::{Corpus, Document};
pub use error::CorpusError;
pub use split::{SplitBy, SplitThreads, split_by_author};
pub use store::{AuthorKey, Store};
