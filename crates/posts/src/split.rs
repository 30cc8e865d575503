//! Which side of the held-out border a thread is on by its name alone. How authors are divided is `corpus`.

use serde::{Deserialize, Serialize};
use stoa_random::stable_hash;

/// Which side of the held-out border a document is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Trained on.
    Train,
    /// Kept for measuring.
    HeldOut,
}

/// One in this many threads is held out, or one of as many classes of authors.
pub const HELD_OUT_ONE_IN: u64 = 16;

/// The split of a thread by its name.
pub fn split_of(thread: &str) -> Split {
    if stable_hash(thread.as_bytes()).is_multiple_of(HELD_OUT_ONE_IN) {
        Split::HeldOut
    } else {
        Split::Train
    }
}
