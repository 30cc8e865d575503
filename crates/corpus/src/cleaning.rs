//! Which posts may become training text: a verdict for each, by exact and simple rules.
//!
//! Deleted posts, refused consent and reposts go first; then template spam, then copies by normal
//! form and by word overlap. Every verdict is returned, none is silent. The full pipeline (language
//! filters, personal data, audit by side) is not here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use stoa_posts::normal_form;
use stoa_posts::{Consent, Post};
use stoa_random::stable_hash;

/// Why a post is used or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is used.
    Keep,
    /// It has a tombstone.
    Deleted,
    /// Its author refuses.
    Refused,
    /// It repeats another person's post.
    Repost,
    /// Nothing but links, handles and signs.
    Empty,
    /// One author posts the same link template again and again.
    Spam,
    /// The same words as the post at this index.
    Duplicate(usize),
    /// Nearly the same words as the post at this index.
    NearDuplicate(usize),
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Verdict::Keep => "kept",
            Verdict::Deleted => "deleted",
            Verdict::Refused => "consent refused",
            Verdict::Repost => "repost",
            Verdict::Empty => "no words",
            Verdict::Spam => "spam",
            Verdict::Duplicate(_) => "duplicate",
            Verdict::NearDuplicate(_) => "near-duplicate",
        })
    }
}

/// How many posts each rule dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Count by reason, `Keep` not included.
    pub by_reason: BTreeMap<String, usize>,
}

impl Dropped {
    /// Counts verdicts.
    pub fn count(verdicts: &[Verdict]) -> Dropped {
        let mut by_reason = BTreeMap::new();
        for verdict in verdicts.iter().filter(|&&verdict| verdict != Verdict::Keep) {
            *by_reason.entry(verdict.to_string()).or_insert(0) += 1;
        }
        Dropped { by_reason }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.by_reason.values().sum()
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_reason.is_empty() {
            return formatter.write_str("none");
        }
        let parts: Vec<String> =
            self.by_reason.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
        formatter.write_str(&parts.join(", "))
    }
}

/// Fewest words at which equal texts count as copies: shorter ones ("Thank you!") are said by many
/// people independently, and tools that collapse them lose the conversation.
const SHORTEST_COPY_WORDS: usize = 5;
/// Words in a shingle.
const SHINGLE_WORDS: usize = 3;
/// Jaccard similarity of shingle sets from which texts count as nearly the same: the usual threshold
/// of web corpora (Lee et al. 2022, "Deduplicating training data makes language models better").
const NEAR: f64 = 0.8;
/// Posts of one author in one link template from which they are spam.
const SPAM_COPIES: usize = 3;

fn is_link(token: &str) -> bool {
    token.contains("://") || token.starts_with("www.")
}

/// The text with links and digits masked: what stays the same from one spam post to the next.
fn template(text: &str) -> String {
    let masked: Vec<String> = text
        .split_whitespace()
        .map(|token| if is_link(token) { "<link>".to_string() } else { mask_numbers(token) })
        .collect();
    masked.join(" ").to_lowercase()
}

/// Each run of digits as one zero, so that `code 7` and `code 1234` are the same template.
fn mask_numbers(token: &str) -> String {
    let mut masked = String::with_capacity(token.len());
    for letter in token.chars() {
        if !letter.is_numeric() {
            masked.push(letter);
        } else if !masked.ends_with('0') {
            masked.push('0');
        }
    }
    masked
}

/// The verdict on every post, in order. The earliest post of a group of copies is the one kept.
pub fn verdicts(posts: &[Post]) -> Vec<Verdict> {
    // A notice of deletion reaches every post of that identifier, before or after it.
    let deleted: HashSet<&str> =
        posts.iter().filter(|post| post.tombstone.is_some()).map(|post| post.id.as_str()).collect();
    let mut verdicts: Vec<Verdict> = posts
        .iter()
        .map(|post| match deleted.contains(post.id.as_str()) {
            true => Verdict::Deleted,
            false => single_verdict(post),
        })
        .collect();
    let mut templates: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
    for (index, post) in posts.iter().enumerate() {
        if verdicts[index] == Verdict::Keep && post.text.split_whitespace().any(is_link) {
            templates.entry((&post.author, template(&post.text))).or_default().push(index);
        }
    }
    for ((author, _), copies) in templates {
        if !author.is_empty() && copies.len() >= SPAM_COPIES {
            copies.into_iter().for_each(|index| verdicts[index] = Verdict::Spam);
        }
    }
    mark_copies(posts, &mut verdicts);
    verdicts
}

fn single_verdict(post: &Post) -> Verdict {
    if post.consent == Consent::Refused {
        Verdict::Refused
    } else if post.repost {
        Verdict::Repost
    } else if normal_form(&post.text).is_empty() {
        Verdict::Empty
    } else {
        Verdict::Keep
    }
}

fn mark_copies(posts: &[Post], verdicts: &mut [Verdict]) {
    let mut firsts: HashMap<String, usize> = HashMap::new();
    let mut candidates = Vec::new();
    for (index, post) in posts.iter().enumerate() {
        if verdicts[index] != Verdict::Keep {
            continue;
        }
        let normal = normal_form(&post.text);
        if normal.split(' ').count() < SHORTEST_COPY_WORDS {
            continue;
        }
        match firsts.get(&normal) {
            Some(&first) => verdicts[index] = Verdict::Duplicate(first),
            None => {
                candidates.push((index, shingles(&normal)));
                firsts.insert(normal, index);
            }
        }
    }
    for (index, original) in near_pairs(&candidates) {
        verdicts[index] = Verdict::NearDuplicate(original);
    }
}

/// Sorted distinct hashes of the runs of `SHINGLE_WORDS` words.
fn shingles(normal: &str) -> Vec<u64> {
    let words: Vec<&str> = normal.split(' ').collect();
    let mut hashes: Vec<u64> =
        words.windows(SHINGLE_WORDS).map(|run| stable_hash(run.join(" ").as_bytes())).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

fn jaccard(left: &[u64], right: &[u64]) -> f64 {
    let shared = left.iter().filter(|hash| right.binary_search(hash).is_ok()).count();
    let union = left.len() + right.len() - shared;
    if union == 0 { 0.0 } else { shared as f64 / union as f64 }
}

/// For each text whose similarity to an earlier kept one is at least `NEAR`, the pair of both.
///
/// Exact, by prefix filtering (Bayardo, Ma, Srikant, "Scaling up all pairs similarity search", WWW
/// 2007): with shingles ordered from rare to common, two sets that similar share one of their first
/// `n - ceil(NEAR n) + 1`, so only texts meeting in a rare shingle are compared.
fn near_pairs(texts: &[(usize, Vec<u64>)]) -> Vec<(usize, usize)> {
    let mut frequency: HashMap<u64, usize> = HashMap::new();
    for hash in texts.iter().flat_map(|(_, hashes)| hashes) {
        *frequency.entry(*hash).or_insert(0) += 1;
    }
    let mut index: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut pairs = Vec::new();
    for (position, (post, hashes)) in texts.iter().enumerate() {
        let mut by_rarity = hashes.clone();
        by_rarity.sort_by_key(|hash| (frequency[hash], *hash));
        let kept = (NEAR * hashes.len() as f64).ceil() as usize;
        by_rarity.truncate((hashes.len() + 1).saturating_sub(kept));
        let original = by_rarity
            .iter()
            .flat_map(|hash| index.get(hash).into_iter().flatten())
            .copied()
            .filter(|&earlier| jaccard(hashes, &texts[earlier].1) >= NEAR)
            .min();
        match original {
            Some(earlier) => pairs.push((*post, texts[earlier].0)),
            None => {
                for hash in by_rarity {
                    index.entry(hash).or_default().push(position);
                }
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of `near_pairs`: compare with every earlier kept text.
    fn near_pairs_slowly(texts: &[(usize, Vec<u64>)]) -> Vec<(usize, usize)> {
        let mut kept: Vec<usize> = Vec::new();
        let mut pairs = Vec::new();
        for (position, (post, hashes)) in texts.iter().enumerate() {
            match kept.iter().find(|&&earlier| jaccard(hashes, &texts[earlier].1) >= NEAR) {
                Some(&earlier) => pairs.push((*post, texts[earlier].0)),
                None => kept.push(position),
            }
        }
        pairs
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn prefix_filtering_finds_what_comparing_all_finds(
            sets in prop::collection::vec(prop::collection::btree_set(0_u64..14, 0..12), 0..40)
        ) {
            let texts: Vec<(usize, Vec<u64>)> =
                sets.into_iter().map(|set| set.into_iter().collect()).enumerate().collect();
            prop_assert_eq!(near_pairs(&texts), near_pairs_slowly(&texts));
        }
    }
}
