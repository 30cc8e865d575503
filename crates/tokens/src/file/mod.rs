//! Tokenizer files: Hugging Face `tokenizer.json` and tiktoken ranks, read and written; Mistral's
//! `tekken.json`, SentencePiece models, `vocab.json` with `merges.txt` and the tables of GGUF
//! files, read.

mod hugging_face_read;
mod hugging_face_write;
mod open;
mod pre_names;
mod scored;
mod sentence_piece;
mod tables;
mod tekken;
mod tiktoken;
mod vocab_merges;

pub use tables::TokenTables;
