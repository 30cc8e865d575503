//! Reddit and Pushshift: comments, submissions, listings.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("RC_2015-01", Format::Reddit, data));
