//! JSON lines.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("posts.jsonl", Format::JsonLines, data));
