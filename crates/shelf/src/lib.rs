//! Models on disk: what a path holds, be it the directory of a run, a model directory or a GGUF file,
//! and what it holds instead, by name and with the remedy; a directory of models by name; models of a
//! hub, fetched into it.
//!
//! Decides by content, not by the ends of names. Reads the beginnings of files and the headers of
//! weight files; loads no model.

mod disk;
mod error;
mod foreign;
pub mod hub;
mod licence;
mod listing;
mod shelf;
mod source;
mod weight_file;

pub use disk::check_space;
pub use error::ShelfError;
pub use foreign::{Content, Foreign, content_of};
pub use licence::{GGUF_TERMS, Licence, terms_of_gguf};
pub use listing::{HubFile, HubModel};
pub use shelf::{
    Entry, Imported, Keep, PROVENANCE, RECORD, Record, Shelf, belongs, check_name, content_hash,
    locate,
};
pub use source::{Recognised, Source, recognise};
