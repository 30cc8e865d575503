//! CSV and TSV.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("posts.csv", Format::Csv, data));
