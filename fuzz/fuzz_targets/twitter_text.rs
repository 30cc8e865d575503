//! X's text grammar: entities and lengths.

#![no_main]

use stoa_fuzz::entities;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entities(data));
