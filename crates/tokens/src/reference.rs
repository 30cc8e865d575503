//! The definitions of encoding and training, written as plainly as possible.
//!
//! Slow on purpose and used by tests alone: the fast encoder and trainer must give exactly what
//! these give.

use std::collections::BTreeMap;

/// Merges tokens by the definition: while any adjacent pair is a merge, apply the merge of lowest
/// rank (`merges` is in rank order; of two with the same pair the later counts) at its leftmost
/// place. A merge is `(left, right, merged)`.
pub fn merge(merges: &[(u32, u32, u32)], tokens: &[u32]) -> Vec<u32> {
    let ranks: BTreeMap<(u32, u32), usize> =
        merges.iter().enumerate().map(|(rank, &(left, right, _))| ((left, right), rank)).collect();
    let mut tokens = tokens.to_vec();
    loop {
        let ranked = |at: usize| Some((*ranks.get(&(tokens[at], tokens[at + 1]))?, at));
        let best = (0..tokens.len().saturating_sub(1)).filter_map(ranked).min();
        let Some((rank, at)) = best else { return tokens };
        tokens[at] = merges[rank].2;
        tokens.remove(at + 1);
    }
}

/// Trains merges by the definition, over pieces with how often each occurs. Tokens 0 to 255 are
/// the bytes. Each step counts every adjacent pair in every piece (overlapping places all count),
/// takes the pair of highest count, of equals the smallest `(left, right)`, gives it the next id,
/// and replaces it in every piece from left to right. Stops after `most_merges`, or when no pair
/// occurs `least_count` times.
pub fn train(
    pieces: &BTreeMap<Vec<u8>, u64>,
    most_merges: usize,
    least_count: u64,
) -> Vec<(u32, u32)> {
    let mut words: Vec<(Vec<u32>, u64)> = pieces
        .iter()
        .map(|(piece, &count)| (piece.iter().map(|&byte| byte.into()).collect(), count))
        .collect();
    let mut merges = Vec::new();
    while merges.len() < most_merges {
        let mut counts: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for (word, count) in &words {
            for pair in word.windows(2) {
                *counts.entry((pair[0], pair[1])).or_default() += count;
            }
        }
        // Pairs come in ascending order and a later one must count more to win.
        let mut best = None;
        for (pair, count) in counts {
            if count >= least_count.max(1) && best.is_none_or(|(_, most)| count > most) {
                best = Some((pair, count));
            }
        }
        let Some(((left, right), _)) = best else { break };
        let id = 256 + merges.len() as u32;
        merges.push((left, right));
        for (word, _) in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if (word[at], word[at + 1]) == (left, right) {
                    word[at] = id;
                    word.remove(at + 1);
                }
                at += 1;
            }
        }
    }
    merges
}
