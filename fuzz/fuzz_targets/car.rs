//! CAR exports of Bluesky repositories.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("repo.car", Format::Auto, data));
