//! X API v1.1: statuses and the notices of streams.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("stream.jsonl", Format::X, data));
