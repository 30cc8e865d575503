//! What a source is, told by its content alone.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("source", Format::Auto, data));
