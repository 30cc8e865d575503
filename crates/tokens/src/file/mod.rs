//! Tokenizer files: Hugging Face `tokenizer.json` and tiktoken ranks, read and written; Mistral's
//! `tekken.json`, SentencePiece models and `vocab.json` with `merges.txt`, read; the tables of GGUF
//! files, read and written.

mod directory;
mod hugging_face_read;
mod hugging_face_write;
mod open;
mod pre_names;
mod scored;
mod sentence_piece;
mod tables;
mod tables_write;
mod tekken;
mod tiktoken;
mod vocab_merges;

pub use tables::TokenTables;
pub use tables_write::WrittenTables;
