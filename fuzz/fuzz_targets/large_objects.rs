//! Objects of JSON that are too large to be read whole.

#![no_main]

use stoa_fuzz::{Format, ReadOptions, read_with};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let options =
        ReadOptions { format: Format::Json, record_limit_bytes: 64, ..ReadOptions::default() };
    read_with("posts.json", data, &options);
});
