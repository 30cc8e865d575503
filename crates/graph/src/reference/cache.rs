//! Paged key-value caches: appending and attending.

use super::attention::{dot, score, softmax_average};
use super::table::{checked, checked_or_none};
use super::{Array, Result};
use crate::CachedAttentionSpec;

/// Where tokens lie: the inputs of the op that say so.
pub(super) struct Places<'a> {
    pub op: &'static str,
    pub table: &'a Array,
    pub sequences: &'a Array,
    pub positions: &'a Array,
}

impl Places<'_> {
    /// Sequence and position of token i; `None` when it is left out.
    fn of(&self, i: usize, cache: &Array) -> Result<Option<(usize, usize)>> {
        for page in 0..self.table.data.len() {
            checked(self.op, self.table, page, cache.shape[0])?;
        }
        let (rows, entries) = (self.table.shape[0], self.table.shape[1] * cache.shape[2]);
        let Some(sequence) = checked_or_none(self.op, self.sequences, i, rows)? else {
            return Ok(None);
        };
        Ok(Some((sequence, checked(self.op, self.positions, i, entries)?)))
    }

    /// The row of the cache that holds a position of a sequence for a key head.
    fn row(&self, cache: &Array, sequence: usize, position: usize, head: usize) -> usize {
        let (heads, entries) = (cache.shape[1], cache.shape[2]);
        let page = self.table.row(sequence)[position / entries] as usize;
        (page * heads + head) * entries + position % entries
    }
}

/// new_i replaces what stands at its place, in order of i. It has the precision of the cache already.
pub(super) fn kv_append(cache: &Array, new: &Array, places: &Places<'_>) -> Result<Array> {
    let (heads, dim) = (cache.shape[1], cache.shape[3]);
    let mut out = cache.clone();
    for i in 0..new.shape[0] {
        let Some((sequence, position)) = places.of(i, cache)? else { continue };
        for head in 0..heads {
            let row = places.row(cache, sequence, position, head);
            out.row_mut(row).copy_from_slice(&new.row(i)[head * dim..(head + 1) * dim]);
        }
    }
    Ok(out)
}

/// Query i attends to positions 0..=positions_i of its sequence, within the window.
pub(super) fn cached_attention(
    q: &Array,
    keys: &Array,
    values: &Array,
    places: &Places<'_>,
    spec: &CachedAttentionSpec,
) -> Result<Array> {
    let dim = spec.head_dim;
    let mut out = Array::zeros(&q.shape);
    for i in 0..q.shape[0] {
        let Some((sequence, position)) = places.of(i, keys)? else { continue };
        let first = spec.window.map_or(0, |window| (position + 1).saturating_sub(window));
        for h in 0..spec.heads {
            let kv = h / (spec.heads / spec.kv_heads);
            let entry = |cache| -> Vec<&[f64]> {
                let row = |p| Array::row(cache, places.row(cache, sequence, p, kv));
                (first..=position).map(row).collect()
            };
            let query = &q.row(i)[h * dim..(h + 1) * dim];
            let scores: Vec<f64> = entry(keys)
                .iter()
                .map(|key| score(dot(query, key), spec.scale, spec.score_cap).0)
                .collect();
            let (average, _) = softmax_average(&scores, entry(values).into_iter(), dim);
            out.row_mut(i)[h * dim..(h + 1) * dim].copy_from_slice(&average);
        }
    }
    Ok(out)
}
