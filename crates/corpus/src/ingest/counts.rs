//! What became of threads, counted by bucket and summed up for the manifest; evaluation texts.

use crate::split::SplitBy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Evaluation texts that posts were compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationCounts {
    /// Texts in the files.
    pub items: u32,
    /// Of them, those of too few words, which are not looked for.
    pub too_short: u32,
}

/// Counts of threads and of what was written of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadCounts {
    /// Threads with a kept post.
    pub threads: u64,
    /// Of their documents, those that are held out.
    pub held_out: u64,
    /// How they were split: by thread where authors could not be divided.
    pub split_by: SplitBy,
    /// Kept posts on neither side, for their author is on the other one than their thread.
    pub set_aside: u64,
    /// Posts that kept posts answer, but that are not kept or not there.
    pub missing_parents: u64,
    /// Dialogues.
    pub dialogues: u64,
    /// Bytes of documents.
    pub bytes: u64,
}

impl ThreadCounts {
    /// Adds what came of other threads.
    pub(super) fn add(&mut self, other: ThreadCounts) {
        self.threads += other.threads;
        self.held_out += other.held_out;
        self.set_aside += other.set_aside;
        self.missing_parents += other.missing_parents;
        self.dialogues += other.dialogues;
        self.bytes += other.bytes;
    }
}

/// What was written of a bucket of threads.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) gathered: ThreadCounts,
    /// Checksums by name.
    pub(super) files: BTreeMap<String, String>,
}
