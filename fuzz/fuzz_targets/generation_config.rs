//! The sampling that a model's publisher wants.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stoa_fuzz::generation_config(data));
