//! Training text that holds what a model will be examined on: n-gram overlap with evaluation sets.
//!
//! As in the training of GPT-3 (Brown et al. 2020, appendix C): a text is contaminated when it shares a
//! run of n words with an evaluation item. Posts are short, so items shorter than n words count
//! whole, and runs that are common speech (in many items) do not count.

use crate::normal_form::normal_form;
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Words in a run (Brown et al. use 8 to 13, by the items' length).
pub const RUN_WORDS: usize = 8;
/// Fewest words of an item that counts whole: shorter ones ("Yes, sure.") are in any text.
const MIN_WORDS: usize = 4;
/// Items that a run may stand in before it is common speech and says nothing (Brown et al.: 10).
const MAX_ITEMS: u32 = 10;

/// The runs of evaluation items.
#[derive(Clone, Debug, Default)]
pub struct Evaluations {
    /// Hash of a run, the item it was first seen in, the items it is in.
    runs: HashMap<u64, (u32, u32)>,
    /// Lengths of the runs of items shorter than a run.
    short_lengths: [bool; RUN_WORDS],
    items: u32,
}

/// What a text shares with the evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contamination {
    /// The first item it shares a run with, by the order in which items were added.
    pub item: u32,
    /// Runs shared, of all items.
    pub shared_runs: usize,
}

impl Evaluations {
    /// None yet.
    pub fn new() -> Evaluations {
        Evaluations::default()
    }

    /// Adds an item: a question, an answer, a whole test text.
    pub fn add(&mut self, item: &str) {
        let normal = normal_form(item);
        let words = starts(&normal);
        let number = self.items;
        self.items += 1;
        let length = words.len().min(RUN_WORDS);
        if length < MIN_WORDS {
            return;
        }
        if length < RUN_WORDS {
            self.short_lengths[length] = true;
        }
        for run in runs(&normal, &words, length) {
            let entry = self.runs.entry(run).or_insert((number, 0));
            // Several times in one item is once.
            if entry.1 == 0 || entry.0 != number {
                entry.1 += 1;
            }
        }
    }

    /// Items added.
    pub fn items(&self) -> u32 {
        self.items
    }

    /// What a text shares with the items; nothing when it is clean.
    pub fn contamination(&self, text: &str) -> Option<Contamination> {
        let normal = normal_form(text);
        let words = starts(&normal);
        let lengths = (MIN_WORDS..=RUN_WORDS)
            .filter(|&length| length == RUN_WORDS || self.short_lengths[length]);
        let shared: Vec<u32> = lengths
            .flat_map(|length| runs(&normal, &words, length))
            .filter_map(|run| self.runs.get(&run))
            .filter(|(_, items)| *items <= MAX_ITEMS)
            .map(|(item, _)| *item)
            .collect();
        let item = *shared.first()?;
        Some(Contamination { item, shared_runs: shared.len() })
    }
}

fn starts(normal: &str) -> Vec<usize> {
    let first = (!normal.is_empty()).then_some(0);
    first.into_iter().chain(normal.match_indices(' ').map(|(at, _)| at + 1)).collect()
}

/// Hashes of the runs of `length` words.
fn runs<'a>(normal: &'a str, words: &'a [usize], length: usize) -> impl Iterator<Item = u64> + 'a {
    let count = (words.len() + 1).saturating_sub(length);
    (0..count).map(move |first| {
        let end = words.get(first + length).map_or(normal.len(), |next| next - 1);
        xxh3_64(&normal.as_bytes()[words[first]..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_items_in_texts() {
        let mut items = Evaluations::new();
        items.add("Which river flows under the oldest bridge of Fosford?");
        items.add("Who keeps bees?");
        items.add("How many towns are there");
        let item = |text: &str| items.contamination(text).map(|found| found.item);
        assert_eq!(
            item("so: which RIVER flows under the oldest bridge of Fosford, I ask"),
            Some(0)
        );
        assert_eq!(item("which river flows under the new bridge of Fosford"), None);
        // Three words occur in many texts; five are the whole item.
        assert_eq!(item("who keeps bees?"), None);
        assert_eq!(item("tell me how many towns are there today"), Some(2));
        assert_eq!(item(""), None);
    }

    #[test]
    fn common_speech_is_no_contamination() {
        let mut items = Evaluations::new();
        for number in 0..20 {
            items
                .add(&format!("Answer the question in one or two short sentences please {number}"));
        }
        assert_eq!(
            items.contamination("Answer the question in one or two short sentences please"),
            None
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
        /// Against the definition: some run of the item's words stands in the text's words.
        #[test]
        fn agrees_with_searching(item in "[ab]( [abc]){0,11}", text in "[ab]( [abc]){0,20}") {
            let mut items = Evaluations::new();
            items.add(&item);
            let (item, words): (Vec<&str>, Vec<&str>) = (item.split(' ').collect(), text.split(' ').collect());
            let length = item.len().min(RUN_WORDS);
            let slow = length >= MIN_WORDS
                && item.windows(length).any(|run| words.windows(length).any(|other| other == run));
            prop_assert_eq!(items.contamination(&text).is_some(), slow);
        }

        #[test]
        fn no_text_panics(item in "\\PC{0,60}", text in "\\PC{0,60}") {
            let mut items = Evaluations::new();
            items.add(&item);
            items.contamination(&text);
        }
    }
}
