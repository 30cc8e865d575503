//! Lists of files of a hub.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stoa_fuzz::hub_listing(data));
