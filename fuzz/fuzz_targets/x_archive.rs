//! X archives: the JavaScript of `tweets.js`.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("tweets.js", Format::Auto, data));
