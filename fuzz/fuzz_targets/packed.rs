//! gzip, bzip2 and zstd around JSON lines.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("posts.jsonl.gz", Format::Auto, data));
