//! Zip containers.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("archive.zip", Format::Auto, data));
