//! Mastodon: statuses, contexts, streaming events.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("statuses.json", Format::Mastodon, data));
