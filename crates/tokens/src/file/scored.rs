//! Merges of SentencePiece, whose tokens have scores instead of merges in order.

use super::tiktoken::all_merges;
use crate::merge::Merge;
use crate::vocabulary::Vocabulary;

/// Every way to make a token of two others, the token of the highest score first; of one score,
/// the token of the lowest id, and of one token the parts of the lowest ids.
pub(super) fn scored_merges(vocabulary: &Vocabulary, score: impl Fn(u32) -> f32) -> Vec<Merge> {
    let mut merges = all_merges(vocabulary);
    merges.sort_by(|left, right| {
        let (left, right) = (score(left.merged), score(right.merged));
        right.total_cmp(&left)
    });
    merges
}
