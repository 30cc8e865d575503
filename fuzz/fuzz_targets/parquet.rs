//! Parquet. The library's own panics on damaged files are caught where files are read; whatever gets
//! past that ends the target.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(
    init: {
        // libFuzzer's hook ends the process at any panic, caught or not; an uncaught panic
        // still does.
        std::panic::set_hook(Box::new(|panic| {
            if !stoa_posts::panics_are_errors() {
                eprintln!("{panic}");
            }
        }));
    },
    |data: &[u8]| read("posts.parquet", Format::Parquet, data)
);
