//! Template spam: one author posting one link template again and again.
//!
//! Two passes: [`TemplateSpam::observe`] counts (author, template) pairs, `judge` asks the counts. A
//! count is one 16-byte key and four bytes, kept only for posts with links; an ingest sorts the keys on
//! disk instead. Texts without links are speech, however often they occur.

use super::words;
use super::{CorpusRule, Judgement, RulePost};
use crate::units::{bare_units, tokens};
use std::collections::HashMap;
use xxhash_rust::xxh3::Xxh3;

/// Posts of one author in one link template from which they are spam.
pub const SPAM_COPIES: u32 = 3;

/// Why such a post is dropped.
pub const SPAM_REASON: &str = "one author, one link template, three times";

/// The text in lower case with links masked and each run of digits as one zero: what stays the same
/// from one post of a template to the next.
pub fn template(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for token in tokens(text) {
        if !masked.is_empty() {
            masked.push(' ');
        }
        if words::is_link(token) {
            masked.push_str("<link>");
            continue;
        }
        for letter in token.chars().flat_map(char::to_lowercase) {
            if !letter.is_numeric() {
                masked.push(letter);
            } else if !masked.ends_with('0') {
                masked.push('0');
            }
        }
    }
    masked
}

/// Lower-case words, and letters of scripts without spaces, separated by single spaces.
pub(super) fn words_of(text: &str) -> String {
    let lower = text.to_lowercase();
    let units = lower.split_whitespace().flat_map(bare_units);
    units.map(|unit| unit.text).collect::<Vec<_>>().join(" ")
}

/// Counts of link templates by author.
#[derive(Clone, Debug, Default)]
pub struct TemplateSpam {
    counts: HashMap<u128, u32>,
}

impl TemplateSpam {
    /// No counts.
    pub fn new() -> TemplateSpam {
        TemplateSpam::default()
    }

    /// (author, template) as one key; nothing for a post without links or without an author.
    pub fn key(post: &RulePost<'_>) -> Option<u128> {
        if post.author.is_empty() || !tokens(post.text).any(words::is_link) {
            return None;
        }
        let mut hash = Xxh3::new();
        hash.update(&(post.author.len() as u64).to_le_bytes());
        hash.update(post.author.as_bytes());
        hash.update(template(post.text).as_bytes());
        Some(hash.digest128())
    }
}

impl CorpusRule for TemplateSpam {
    fn name(&self) -> &'static str {
        "posts/template-spam"
    }

    fn observe(&mut self, post: &RulePost<'_>) {
        if let Some(key) = TemplateSpam::key(post) {
            let count = self.counts.entry(key).or_insert(0);
            *count = count.saturating_add(1);
        }
    }

    fn merge(&mut self, other: TemplateSpam) {
        for (key, more) in other.counts {
            let count = self.counts.entry(key).or_insert(0);
            *count = count.saturating_add(more);
        }
    }

    fn judge(&self, post: &RulePost<'_>) -> Judgement {
        let count = TemplateSpam::key(post).and_then(|key| self.counts.get(&key));
        Judgement::drop_if(count.is_some_and(|&count| count >= SPAM_COPIES), SPAM_REASON)
    }
}
