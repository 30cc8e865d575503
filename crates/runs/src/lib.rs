//! Runs: the directory of a run, its text, tokenizer and token shards, what `up` decides, training from
//! a run file, finding and loading its model, the examination. Known to the binary and to every room
//! that serves or spreads runs.
//!
//! Nothing of the size of a corpus is in memory: a run reads its text some lines at a time and its
//! tokens through a memory map. Engines come through `&dyn Engine`; clocks are arguments; what is worth
//! showing goes to a [`Progress`].

mod compare;
mod error;
mod exam;
mod export;
mod export_gguf;
mod facts;
mod files;
mod inputs;
mod lines;
mod merge;
mod model;
mod passport;
mod progress;
mod provenance;
mod recipe;
pub mod shards;
mod text;
mod tokenizer;

pub use compare::Likeness;
pub use error::RunsError;
pub use exam::{Answer, Exam, ask, examine, held_out_questions};
pub use export::{Exported, export_directory, tokenizer_files};
pub use export_gguf::{ExportedGguf, export_gguf};
pub use facts::ModelFacts;
pub use files::RunFiles;
pub use inputs::{Resume, RunInputs};
pub use lines::{read_lines, write_lines};
pub use merge::merge_directory;
pub use model::{Loaded, Model, ModelOptions, batch_assistant};
pub use progress::{NoProgress, Progress, Work};
pub use provenance::{Provenance, card, hashes};
pub use recipe::Recipe;
pub use stoa_assistant::Storage;
pub use text::{Dropped, RunText, SquareText, TextSource, ingest, ingest_progress, square_corpus};
pub use tokenizer::tokenizer_of;
