//! Repair and normalisation of texts.

#![no_main]

use stoa_fuzz::normalise;

libfuzzer_sys::fuzz_target!(|data: &[u8]| normalise(data));
