//! Tokenizer files: Hugging Face `tokenizer.json` and tiktoken ranks, read and written.

mod hugging_face_read;
mod hugging_face_write;
mod tiktoken;
