//! What a source is, detected from its content alone.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("source", Format::Auto, data));
