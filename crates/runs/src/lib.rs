//! What a run's files are made of, known to the binary and to every room that serves or spreads
//! runs. So far: token shards made from a store, file by file. Training and models are other rooms.

mod error;
pub mod shards;

pub use error::RunsError;
