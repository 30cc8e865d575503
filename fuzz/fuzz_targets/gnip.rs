//! Gnip activity streams.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("activities.json", Format::Gnip, data));
