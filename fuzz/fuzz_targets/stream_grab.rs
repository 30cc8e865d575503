//! Stream grabs: compressed JSON lines in tar, compressed or not.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("grab.tar", Format::Auto, data));
