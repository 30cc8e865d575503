//! Model directories: config.json, the index of safetensors, headers of weight files.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stoa_fuzz::model_directory(data));
