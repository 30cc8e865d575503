//! Bluesky: events of Jetstream, views of the API.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("jetstream.jsonl", Format::Bluesky, data));
