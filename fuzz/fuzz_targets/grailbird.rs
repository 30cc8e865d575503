//! X archives of before 2019: the JavaScript of a month.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("2013_01.js", Format::Auto, data));
