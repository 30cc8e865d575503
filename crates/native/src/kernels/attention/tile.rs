//! A tile of queries and the parts of a tile of keys that its mask lets through. Scores are held
//! transposed, keys down and queries across, so that every step of softmax (maximum, exponential,
//! sum, mask) is a plain vector operation on many queries at once. No attention is computed here.

use super::product::{Left, ROWS, Right, Target, multiply};
use super::ranges::KeyRange;
use crate::isa::Simd;
use crate::kernels::curves::{Curve, SoftCap};

/// Queries of a tile: the width of a score row.
pub(in crate::kernels) const QUERIES: usize = 64;
/// Keys of a tile. 64 × 64 scores, with 64 features, are 16 KB a block: three or four of them are
/// in use at a time, which is what an L1 data cache of 32–48 KB holds.
pub(in crate::kernels) const KEYS: usize = 64;
/// Vectors of queries in a tile on the set with the fewest lanes.
const MAX_GROUPS: usize = QUERIES / 4;

/// Feature counts rounded up so that rows of scratch hold whole vectors of any instruction set.
pub(super) const fn padded(features: usize) -> usize {
    features.next_multiple_of(16)
}

/// What the queries of a tile may see. A group is one vector of queries.
pub(in crate::kernels) struct Visibility {
    /// First visible key per query, as exact f32; 0 for lanes beyond the last query.
    first: [f32; QUERIES],
    /// End of the visible keys per query.
    end: [f32; QUERIES],
    groups: usize,
    /// Smallest and largest `first` of a group.
    first_span: [(usize, usize); MAX_GROUPS],
    /// Smallest and largest `end` of a group.
    end_span: [(usize, usize); MAX_GROUPS],
}

/// The part of a key tile that a tile of queries sees.
pub(super) struct Window {
    groups: usize,
    /// Whether every group sees every key.
    uniform: bool,
    /// Per group, the keys of the tile to compute: a multiple of [`ROWS`] up to one, or the end of
    /// the tile. Empty when the group sees none.
    pub keys: [(usize, usize); MAX_GROUPS],
    /// Per group, whether every query of it sees all of `keys`.
    pub whole: [bool; MAX_GROUPS],
}

impl Visibility {
    /// From the ranges of at most [`QUERIES`] queries.
    pub fn new<S: Simd>(count: usize, range: impl Fn(usize) -> KeyRange) -> Self {
        let mut this = Visibility {
            first: [0.0; QUERIES],
            end: [0.0; QUERIES],
            groups: count.div_ceil(S::LANES),
            first_span: [(usize::MAX, 0); MAX_GROUPS],
            end_span: [(usize::MAX, 0); MAX_GROUPS],
        };
        for query in 0..count {
            let (first, end) = range(query);
            // An empty range must not widen what its group computes.
            let (first, end) = if first < end { (first, end) } else { (0, 0) };
            this.first[query] = first as f32;
            this.end[query] = end as f32;
            let group = query / S::LANES;
            let (first, end) = (first as usize, end as usize);
            let span = &mut this.end_span[group];
            *span = (span.0.min(end), span.1.max(end));
            if end > 0 {
                let span = &mut this.first_span[group];
                *span = (span.0.min(first), span.1.max(first));
            }
        }
        this
    }

    /// Vectors of queries in use.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether a query sees any key.
    pub fn sees(&self, query: usize) -> bool {
        self.end[query] > 0.0
    }

    /// The keys that any query sees: `first..end`, empty when none does.
    pub fn span(&self) -> (usize, usize) {
        let first = self.first_span[..self.groups].iter().map(|s| s.0).min().unwrap_or(0);
        let end = self.end_span[..self.groups].iter().map(|s| s.1).max().unwrap_or(0);
        if first < end { (first, end) } else { (0, 0) }
    }

    /// What the tile sees of keys `start..start + count`.
    pub(super) fn window(&self, start: usize, count: usize) -> Window {
        let mut window = Window {
            groups: self.groups,
            uniform: true,
            keys: [(0, 0); MAX_GROUPS],
            whole: [false; MAX_GROUPS],
        };
        for group in 0..self.groups {
            let (first, last_first) = self.first_span[group];
            let (least_end, end) = self.end_span[group];
            let (from, to) = (first.max(start), end.min(start + count));
            if from >= to {
                window.uniform = false;
                continue;
            }
            let from = (from - start) / ROWS * ROWS;
            let to = (to - start).next_multiple_of(ROWS).min(count);
            window.keys[group] = (from, to);
            window.uniform &= (from, to) == (0, count);
            window.whole[group] = last_first <= start + from && start + to <= least_end;
        }
        window
    }

    /// Replaces scores of group `group` that the mask hides by `hidden`.
    ///
    /// # Safety
    /// `scores` must hold the tile, `keys` rows of [`QUERIES`].
    #[inline(always)]
    pub unsafe fn mask<S: Simd>(
        &self,
        s: S,
        group: usize,
        start: usize,
        keys: (usize, usize),
        hidden: f32,
        scores: *mut f32,
    ) {
        let first = s.load(&self.first[group * S::LANES..]);
        let end = s.load(&self.end[group * S::LANES..]);
        let hidden = s.splat(hidden);
        for key in keys.0..keys.1 {
            let time = s.splat((start + key) as f32);
            let seen = s.and(s.le(first, time), s.lt(time, end));
            // SAFETY: one vector of the tile.
            unsafe {
                let at = scores.add(key * QUERIES + group * S::LANES);
                s.store_ptr(s.select(seen, s.load_ptr(at), hidden), at);
            }
        }
    }
}

/// Bounds the scores of group `group` by cap·tanh(score/cap), with the hyperbolic tangent of the op
/// for soft caps.
///
/// # Safety
/// `scores` must hold the tile, `keys` rows of [`QUERIES`].
#[inline(always)]
pub(super) unsafe fn cap<S: Simd>(
    s: S,
    group: usize,
    keys: (usize, usize),
    cap: f32,
    scores: *mut f32,
) {
    let curve = SoftCap { cap };
    for key in keys.0..keys.1 {
        // SAFETY: one vector of the tile.
        unsafe {
            let at = scores.add(key * QUERIES + group * S::LANES);
            s.store_ptr(curve.value_and_slope(s, s.load_ptr(at)).0, at);
        }
    }
}

impl Window {
    /// Whether no query sees any key of the tile.
    pub fn is_empty(&self) -> bool {
        self.keys[..self.groups].iter().all(|k| k.0 >= k.1)
    }

    /// The groups that see any of keys `from..to`, as a range; groups between two that do are
    /// included.
    fn groups_of(&self, from: usize, to: usize) -> (usize, usize) {
        let keys = &self.keys[..self.groups];
        let sees = |k: &(usize, usize)| k.0 < to && from < k.1;
        let first = keys.iter().position(sees).unwrap_or(0);
        let last = keys.iter().rposition(sees).map_or(0, |g| g + 1);
        (first, last)
    }

    /// Runs of neighbouring groups with the same visible keys: (first group, end group, keys).
    fn runs(&self) -> impl Iterator<Item = (usize, usize, (usize, usize))> {
        let mut at = 0;
        std::iter::from_fn(move || {
            while at < self.groups && self.keys[at].0 >= self.keys[at].1 {
                at += 1;
            }
            let first = at;
            while at < self.groups && self.keys[at] == self.keys[first] {
                at += 1;
            }
            (first < at).then(|| (first, at, self.keys[first]))
        })
    }
}

/// scores[key, query] = Σ_f rows[key, f]·queries[f, query] where the window needs it.
///
/// # Safety
/// `rows` must be readable at `keys` rows of `features`; `queries` at `features` rows of
/// [`QUERIES`]; `scores` writable at `keys` rows of [`QUERIES`].
#[inline(always)]
pub(super) unsafe fn scores<S: Simd>(
    s: S,
    window: &Window,
    keys: usize,
    features: usize,
    rows: Left,
    queries: *const f32,
    scores: *mut f32,
) {
    let step = if window.uniform { KEYS } else { ROWS };
    for key in (0..keys).step_by(step) {
        let (first, end) = window.groups_of(key, key + step);
        if first >= end {
            continue;
        }
        // SAFETY: part of the blocks the caller vouches for.
        unsafe {
            let a = Left { start: rows.start.add(key * rows.row), ..rows };
            let b = Right { start: queries.add(first * S::LANES), row: QUERIES };
            let start = scores.add(key * QUERIES + first * S::LANES);
            let c = Target { start, row: QUERIES, accumulate: false };
            multiply(s, (keys - key).min(step), features, (end - first) * S::LANES, a, b, c);
        }
    }
}

/// out[query, f] += Σ_key scores[key, query]·rows[key, f] over the keys each query sees.
///
/// # Safety
/// `scores` must hold the tile; `rows` must be readable at the tile's keys, whole vectors of
/// `features`; `out` writable at `queries` rows of `features`.
#[inline(always)]
pub(super) unsafe fn weigh<S: Simd>(
    s: S,
    window: &Window,
    queries: usize,
    features: usize,
    scores: *const f32,
    rows: Right,
    out: Target,
) {
    for (first, end, keys) in window.runs() {
        let (from, to) = (first * S::LANES, (end * S::LANES).min(queries));
        // SAFETY: part of the blocks the caller vouches for.
        unsafe {
            let start = scores.add(keys.0 * QUERIES + from);
            let a = Left { start, row: 1, column: QUERIES };
            let b = Right { start: rows.start.add(keys.0 * rows.row), ..rows };
            let c = Target { start: out.start.add(from * out.row), ..out };
            multiply(s, to - from, keys.1 - keys.0, features, a, b, c);
        }
    }
}

/// out[key, f] += Σ_query scores[key, query]·rows[query, f] over the queries that see each key.
///
/// # Safety
/// `scores` must hold the tile; `rows` must be readable at `queries` rows, whole vectors of
/// `features`; `out` writable at the tile's keys, `features` each.
#[inline(always)]
pub(super) unsafe fn weigh_transposed<S: Simd>(
    s: S,
    window: &Window,
    keys: usize,
    queries: usize,
    features: usize,
    scores: *const f32,
    rows: Right,
    out: Target,
) {
    let step = if window.uniform { KEYS } else { ROWS };
    let mut key = 0;
    while key < keys {
        let groups = window.groups_of(key, key + step);
        let begin = key;
        // Neighbouring rows with the same queries go together.
        while key < keys && window.groups_of(key, key + step) == groups {
            key += step;
        }
        let (from, to) = (groups.0 * S::LANES, (groups.1 * S::LANES).min(queries));
        if from >= to {
            continue;
        }
        // SAFETY: part of the blocks the caller vouches for.
        unsafe {
            let start = scores.add(begin * QUERIES + from);
            let a = Left { start, row: QUERIES, column: 1 };
            let b = Right { start: rows.start.add(from * rows.row), ..rows };
            let c = Target { start: out.start.add(begin * out.row), ..out };
            multiply(s, key.min(keys) - begin, to - from, features, a, b, c);
        }
    }
}
