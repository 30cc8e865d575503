//! Masks as ranges: every mask the engine knows (causal, sliding window, segments) lets a query see
//! one contiguous run of keys, so a mask is two numbers per query and whole tiles outside it are
//! never computed.

/// Which keys, within its own sequence, query row i may see: `first..end`.
pub type KeyRange = (u32, u32);

/// The mask of an attention over whole sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Whether a query sees only keys at its own and earlier times.
    pub causal: bool,
    /// A query at time t sees keys at times > t − window (and, when not causal, < t + window).
    pub window: Option<usize>,
}

impl Mask {
    /// The keys that a query at `time` sees of a sequence of `times`, before segments.
    fn range(self, time: usize, times: usize) -> (usize, usize) {
        let window = self.window.unwrap_or(times);
        let first = (time + 1).saturating_sub(window);
        let end = if self.causal { time + 1 } else { time.saturating_add(window).min(times) };
        if window == 0 { (time, time) } else { (first, end) }
    }
}

/// The range of each of `batch·time` queries. With `segments` (one id per row, equal ids
/// contiguous) a query sees only its own segment.
///
/// # Panics
/// If `segments` has not `batch·time` elements, or `time` does not fit the range type.
pub fn key_ranges(
    mask: Mask,
    batch: usize,
    time: usize,
    segments: Option<&[i32]>,
) -> Vec<KeyRange> {
    assert!(time < 1 << 24, "a sequence of {time} keys: masks hold times as exact f32");
    if let Some(segments) = segments {
        assert_eq!(segments.len(), batch * time, "one segment id per row");
    }
    let mut ranges = Vec::with_capacity(batch * time);
    for sequence in 0..batch {
        let ids = segments.map(|s| &s[sequence * time..(sequence + 1) * time]);
        let (mut start, mut stop) = (0, if ids.is_some() { 0 } else { time });
        for query in 0..time {
            if let Some(ids) = ids
                && query == stop
            {
                start = query;
                let same = ids[query..].iter().take_while(|&&id| id == ids[query]);
                stop = query + same.count();
            }
            let (first, end) = mask.range(query, time);
            ranges.push((first.max(start) as u32, end.min(stop) as u32));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_exactly_the_visible_keys() {
        for (causal, window, segmented) in
            (0..2).flat_map(|c| (0..6).flat_map(move |w| (0..2).map(move |s| (c == 1, w, s == 1))))
        {
            let window = (window < 5).then_some(window);
            let (batch, time) = (2, 7);
            let ids = [0, 0, 0, 4, 4, 2, 2, 9, 9, 9, 9, 9, 9, 9];
            let mask = Mask { causal, window };
            let ranges = key_ranges(mask, batch, time, segmented.then_some(&ids));
            for (row, &(first, end)) in ranges.iter().enumerate() {
                let (sequence, t) = (row / time, row % time);
                for key in 0..time {
                    let w = window.map_or(i64::MAX / 4, |w| w as i64);
                    let (t, k) = (t as i64, key as i64);
                    let visible = k > t - w
                        && if causal { k <= t } else { k < t + w }
                        && (!segmented || ids[row] == ids[sequence * time + key]);
                    let inside = (first..end).contains(&(key as u32));
                    assert_eq!(inside, visible, "{mask:?} {segmented} row {row} key {key}");
                }
            }
        }
    }
}
