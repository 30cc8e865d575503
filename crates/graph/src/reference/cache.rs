//! Key-value caches: appending and attending.

use super::attention::{dot, softmax_average};
use super::table::{checked, checked_or_none};
use super::{Array, Result};
use crate::AttentionSpec;

/// cache[slots_i, positions_i] = new_i, in order of i.
pub(super) fn kv_append(
    cache: &Array,
    new: &Array,
    slots: &Array,
    positions: &Array,
) -> Result<Array> {
    let (slot_count, max_time) = (cache.shape[0], cache.shape[1]);
    let mut out = cache.clone();
    for i in 0..new.shape[0] {
        let Some(slot) = checked_or_none("kv_append", slots, i, slot_count)? else { continue };
        let position = checked("kv_append", positions, i, max_time)?;
        out.row_mut(slot * max_time + position).copy_from_slice(new.row(i));
    }
    Ok(out)
}

/// Query i attends to entries 0..=positions_i of its slot, within the window.
pub(super) fn cached_attention(
    q: &Array,
    keys: &Array,
    values: &Array,
    slots: &Array,
    positions: &Array,
    spec: &AttentionSpec,
) -> Result<Array> {
    let (slot_count, max_time, dim) = (keys.shape[0], keys.shape[1], spec.head_dim);
    let mut out = Array::zeros(&q.shape);
    for i in 0..q.shape[0] {
        let Some(slot) = checked_or_none("cached_attention", slots, i, slot_count)? else {
            continue;
        };
        let position = checked("cached_attention", positions, i, max_time)?;
        let first = spec.window.map_or(0, |window| (position + 1).saturating_sub(window));
        for h in 0..spec.heads {
            let kv = h / (spec.heads / spec.kv_heads);
            let entry = |cache| -> Vec<&[f64]> {
                let row = |s| &Array::row(cache, slot * max_time + s)[kv * dim..(kv + 1) * dim];
                (first..=position).map(row).collect()
            };
            let query = &q.row(i)[h * dim..(h + 1) * dim];
            let scores: Vec<f64> =
                entry(keys).iter().map(|key| f64::from(spec.scale) * dot(query, key)).collect();
            let (average, _) = softmax_average(&scores, entry(values).into_iter(), dim);
            out.row_mut(i)[h * dim..(h + 1) * dim].copy_from_slice(&average);
        }
    }
    Ok(out)
}
