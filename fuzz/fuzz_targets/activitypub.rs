//! ActivityPub: outboxes and activities.

#![no_main]

use stoa_fuzz::{Format, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| read("outbox.json", Format::ActivityPub, data));
