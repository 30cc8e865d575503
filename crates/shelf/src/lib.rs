//! Models on disk: what a path holds, be it the directory of a run, a model directory or a GGUF file,
//! and what it holds instead, by name and with the remedy.
//!
//! Decides by content, not by the ends of names. Reads the beginnings of files and the headers of
//! weight files; loads no model.

mod error;
mod foreign;
mod source;
mod weight_file;

pub use error::ShelfError;
pub use foreign::{Content, Foreign, content_of};
pub use source::{Recognised, Source, recognise};
