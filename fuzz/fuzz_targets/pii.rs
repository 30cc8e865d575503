//! Personal data: found and masked.

#![no_main]

use stoa_fuzz::personal_data;

libfuzzer_sys::fuzz_target!(|data: &[u8]| personal_data(data));
