//! Chat templates and a conversation that they render.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stoa_fuzz::chat_template(data));
