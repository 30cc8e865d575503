//! JSON values: arrays, pages, one after the other.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("posts.json", Format::Json, data));
