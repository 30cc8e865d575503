//! Plain text by paragraph or line.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("posts.txt", Format::Text, data));
