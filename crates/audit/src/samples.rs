//! A few dropped posts per rule and side, for people to look at. Which ones is a function of the seed
//! and of a post's place, so that no one picks them.

use std::collections::{BTreeMap, BinaryHeap};

use serde::{Deserialize, Serialize};

use stoa_random::{mix, stable_hash};

/// A dropped post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The rule that drops it.
    pub rule: String,
    /// Its side.
    pub side: String,
    /// What stands in it.
    pub text: String,
}

/// Chooses as the posts come by.
#[derive(Clone, Debug)]
pub struct Samples {
    seed: u64,
    each: usize,
    seen: u64,
    chosen: BTreeMap<(String, String), BinaryHeap<(u64, u64, String)>>,
}

impl Samples {
    /// Up to `each` posts for every rule and side.
    pub fn new(seed: u64, each: usize) -> Samples {
        Samples { seed, each, seen: 0, chosen: BTreeMap::new() }
    }

    /// Takes a post; `dropped` are the verdicts of `rules`.
    pub fn add(&mut self, rules: &[String], dropped: &[bool], side: &str, text: &str) {
        self.seen += 1;
        if self.each == 0 {
            return;
        }
        for (rule, _) in rules.iter().zip(dropped).filter(|(_, dropped)| **dropped) {
            // Those with the lowest numbers stay: a fair draw without replacement.
            let number = mix(self.seed ^ mix(self.seen) ^ stable_hash(rule.as_bytes()));
            let heap = self.chosen.entry((rule.clone(), side.to_owned())).or_default();
            let full = heap.len() == self.each;
            if full && heap.peek().is_some_and(|(highest, _, _)| *highest <= number) {
                continue;
            }
            if full {
                heap.pop();
            }
            heap.push((number, self.seen, text.to_owned()));
        }
    }

    /// The chosen posts, by rule, then side.
    pub fn finish(self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for ((rule, side), heap) in self.chosen {
            for (_, _, text) in heap.into_sorted_vec() {
                samples.push(Sample { rule: rule.clone(), side: side.clone(), text });
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_drawn_and_any_may_be() {
        let rules = ["r".to_owned(), "s".to_owned()];
        let mut met = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let mut samples = Samples::new(seed, 2);
            for post in 0..10 {
                let text = post.to_string();
                samples.add(&rules, &[post % 2 == 0, false], ["a", "b"][post / 5], &text);
            }
            let chosen = samples.finish();
            // Even posts are dropped: 0, 2, 4 on one side, 6, 8 on the other.
            assert_eq!(chosen.len(), 4, "two a side");
            assert!(chosen.iter().all(|sample| sample.rule == "r"));
            met.extend(chosen.into_iter().map(|sample| sample.text));
        }
        assert_eq!(met.into_iter().collect::<Vec<_>>(), ["0", "2", "4", "6", "8"]);
        assert!(Samples::new(1, 0).finish().is_empty());
    }
}
