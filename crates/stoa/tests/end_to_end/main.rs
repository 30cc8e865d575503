//! End-to-end tests: the program itself, as a user starts it. What a library does is tested beside
//! it; here it is exit codes, streams, files, and what survives.

#![allow(clippy::unwrap_used)]

mod bad_input;
mod chat;
mod conversation;
mod documentation;
mod interruption;
mod models;
mod oversized;
mod plan;
mod program;
mod runs;
mod tokens;
mod up;
