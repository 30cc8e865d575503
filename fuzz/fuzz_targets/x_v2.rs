//! X API v2: pages with what they include, compliance events.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("page.json", Format::X, data));
