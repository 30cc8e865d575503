//! Devices by their figures, in TOML and JSON.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stoa_fuzz::device(data));
