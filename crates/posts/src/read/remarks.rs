//! What was guessed, changed, rounded or left out while reading, by kind and counted.
//!
//! A remark never changes what is read: it is how the summary and the manifest name it. Kinds are fixed
//! sentences, some with a name in them (an encoding, the form of a time), never words of a post.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kinds kept apart; what else comes is counted together, so that memory stays bounded.
const MAX_KINDS: usize = 64;
/// The kind of what is counted together.
const OTHER: &str = "other remarks";

/// Counts by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Remarks(BTreeMap<String, u64>);

impl Remarks {
    /// Counts so many more of a kind.
    pub fn add(&mut self, kind: &str, count: u64) {
        if count == 0 {
            return;
        }
        if let Some(known) = self.0.get_mut(kind) {
            *known += count;
        } else if self.0.len() < MAX_KINDS {
            self.0.insert(kind.to_string(), count);
        } else {
            *self.0.entry(OTHER.to_string()).or_insert(0) += count;
        }
    }

    /// Adds the counts of others.
    pub fn merge(&mut self, others: &Remarks) {
        others.0.iter().for_each(|(kind, count)| self.add(kind, *count));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// A line for each kind, as summaries and errors show them.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.iter().map(|(kind, count)| format!("  note {count}: {kind}"))
    }

    /// Kinds with their counts, in order of kind.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_bounded_and_no_count_is_lost() {
        let mut remarks = Remarks::default();
        for kind in 0..200 {
            remarks.add(&kind.to_string(), 2);
        }
        remarks.add("0", 1);
        assert_eq!(remarks.count("0"), 3);
        assert_eq!(remarks.iter().map(|(_, count)| count).sum::<u64>(), 401);
        assert!(remarks.iter().count() <= MAX_KINDS + 1);
    }
}
