//! Attention over paged caches of keys and values: decoding and prefill in chunks.
//!
//! Neighbouring queries of one sequence (a prefill) go through the tiles of `attention`; a query on
//! its own (decoding) reads each key once. Both do the same arithmetic in the same order, over
//! tiles of keys that begin at multiples of their size, counted in positions of the sequence: which
//! way a query goes, with which others, where pages lie and how long they are changes no bit.

use std::ops::Range;

use super::attention::{KEYS, QUERIES, Running, Visibility, scratch_floats};
use super::disjoint::Disjoint;
use crate::context::Context;
use crate::isa::{Kernel, Simd};

mod append;
mod entry;
mod single;

pub use append::kv_append;
use entry::CacheRows;
pub use entry::{Entry, Q8Block};
use single::Single;

/// Shape of paged caches [pages, kv_heads, page, head_dim].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Key and value heads.
    pub kv_heads: usize,
    /// Entries of a page.
    pub page: usize,
    /// Features of one head.
    pub head_dim: usize,
}

/// Where tokens lie in paged caches.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Pages of each sequence, `columns` to a row.
    pub table: &'a [i32],
    /// Pages of a row.
    pub columns: usize,
    /// Row of the table of each token; −1 for a token that lies nowhere.
    pub sequences: &'a [i32],
    /// Position of each token in its sequence.
    pub positions: &'a [i32],
}

impl Places<'_> {
    /// Sequence and position of a token that lies somewhere.
    fn get(&self, token: usize) -> Option<(usize, usize)> {
        let sequence = usize::try_from(self.sequences[token]).ok()?;
        let position = usize::try_from(self.positions[token]).ok();
        Some((sequence, position.expect("positions of a cache are not negative")))
    }

    /// The page of the cache that holds block `block` of a sequence.
    fn page(&self, sequence: usize, block: usize) -> usize {
        self.table[sequence * self.columns + block] as usize
    }

    /// Checks that every token that lies somewhere lies inside a cache, with all that comes before it
    /// in its sequence.
    fn check<T: Entry>(&self, paging: Paging, cache: &[T]) {
        let size = paging.kv_heads * paging.page * paging.head_dim;
        let numbers = cache.len() * T::NUMBERS;
        assert!(paging.head_dim.is_multiple_of(T::NUMBERS), "{paging:?}: rows of whole blocks");
        assert!(self.sequences.len() == self.positions.len(), "places: shapes");
        let inside = |page: &i32| {
            usize::try_from(*page).is_ok_and(|page| (page + 1).saturating_mul(size) <= numbers)
        };
        for token in 0..self.sequences.len() {
            let Some((sequence, position)) = self.get(token) else { continue };
            let blocks = position.checked_div(paging.page).map_or(usize::MAX, |block| block + 1);
            assert!(blocks <= self.columns, "position {position} lies beyond its pages");
            let pages = &self.table[sequence * self.columns..][..blocks];
            assert!(pages.iter().all(inside), "a page of sequence {sequence} is not in the cache");
        }
    }
}

/// Shape of an attention over paged caches. A row of q is [heads, head_dim].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CachedHeads {
    /// Query heads, a multiple of the key heads.
    pub heads: usize,
    /// Shape of the caches.
    pub paging: Paging,
    /// Factor on q·k before softmax.
    pub scale: f32,
    /// Bound of the scores, `cap·tanh(score/cap)`.
    pub score_cap: Option<f32>,
    /// A query at position p sees entries at positions > p − window.
    pub window: Option<usize>,
}

impl CachedHeads {
    fn group(&self) -> usize {
        self.heads / self.paging.kv_heads
    }

    fn head_dim(&self) -> usize {
        self.paging.head_dim
    }

    /// Entries that a query at `position` sees.
    fn range(&self, position: usize) -> (usize, usize) {
        let end = position + 1;
        (self.window.map_or(0, |window| end.saturating_sub(window)).min(end), end)
    }
}

/// out [n, heads·head_dim]: query i attends to positions 0..=positions_i of its sequence, within
/// the window, and reads no others. A query that lies nowhere gives 0.
///
/// # Panics
/// If a slice does not have its shape or a place lies outside the cache.
pub fn cached_attention<T: Entry>(
    context: Context<'_>,
    heads: CachedHeads,
    q: &[f32],
    (keys, values): (&[T], &[T]),
    places: Places<'_>,
    out: &mut [f32],
) {
    let kv_heads = heads.paging.kv_heads;
    let row = heads.heads * heads.head_dim();
    assert!(kv_heads > 0 && heads.heads.is_multiple_of(kv_heads), "{heads:?}");
    assert!(q.len() == places.sequences.len() * row, "{heads:?}: q");
    assert!(out.len() == q.len() && keys.len() == values.len(), "{heads:?}: shapes");
    places.check(heads.paging, keys);
    let (runs, singles) = runs(heads, places);
    let out = Disjoint::new(out);
    let cached = Cached { heads, q, keys, values, places, out: &out };
    let floats = single::scratch_floats(heads.group(), heads.head_dim())
        .max(scratch_floats(heads.head_dim()));
    context.pool.run(runs.len() * kv_heads, &|task, worker| {
        let (first, count) = runs[task / kv_heads];
        let kv_head = task % kv_heads;
        context.pool.with_scratch(worker, floats, |scratch| {
            context.isa.dispatch(Tile { cached, kv_head, first, count, scratch });
        });
    });
    attend_singly(context, cached, &singles);
}

/// What every task reads, and the output they share.
struct Cached<'a, T> {
    heads: CachedHeads,
    q: &'a [f32],
    keys: &'a [T],
    values: &'a [T],
    places: Places<'a>,
    out: &'a Disjoint<'a, f32>,
}

impl<T> Cached<'_, T> {
    /// Entries of a sequence page by page: how many lie together, counted from the first of them,
    /// and the first number of the piece for a key head, in keys and in values.
    #[inline(always)]
    fn pieces(
        &self,
        sequence: usize,
        kv_head: usize,
        entries: Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, usize)> {
        let (Paging { kv_heads, page, head_dim }, places) = (self.heads.paging, self.places);
        let Range { start, end } = entries;
        (start / page..end.div_ceil(page)).map(move |block| {
            let (from, to) = (start.max(block * page), end.min((block + 1) * page));
            let head = places.page(sequence, block) * kv_heads + kv_head;
            (from - start..to - start, (head * page + from - block * page) * head_dim)
        })
    }
}

impl<T> Clone for Cached<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Cached<'_, T> {}

/// Splits queries into runs of neighbours at consecutive positions of one sequence that fill tiles
/// (first query, count), and single queries. Only speed depends on it.
fn runs(heads: CachedHeads, places: Places<'_>) -> (Vec<(usize, usize)>, Vec<usize>) {
    /// Rows below which computing a whole vector of queries costs more than reading keys singly.
    const MIN_ROWS: usize = 8;
    let (group, most) = (heads.group(), QUERIES / heads.group());
    let (mut tiles, mut singles) = (Vec::new(), Vec::new());
    let mut first = 0;
    while first < places.sequences.len() {
        let place = places.get(first);
        let follows = |&i: &usize| {
            place.is_some_and(|(sequence, at)| places.get(i) == Some((sequence, at + i - first)))
        };
        let all = (first..places.sequences.len()).take(most.max(1));
        let count = all.take_while(follows).count().max(1);
        if count > 1 && count * group >= MIN_ROWS {
            tiles.push((first, count));
        } else {
            singles.extend(first..first + count);
        }
        first += count;
    }
    (tiles, singles)
}

/// Some queries of one sequence and one key head: rows are [queries, heads of the group].
struct Tile<'a, T> {
    cached: Cached<'a, T>,
    kv_head: usize,
    first: usize,
    count: usize,
    scratch: &'a mut [f32],
}

impl<T: Entry> Kernel for Tile<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Cached { heads, q, keys, values, places, out } = self.cached;
        let (group, d) = (heads.group(), heads.head_dim());
        let at = |row: usize| {
            let (query, head) = (self.first + row / group, self.kv_head * group + row % group);
            (query * heads.heads + head) * d
        };
        let sequence = places.sequences[self.first] as usize;
        let pieces = |entries| self.cached.pieces(sequence, self.kv_head, entries);
        let range = |query: usize| heads.range(places.positions[query] as usize);
        // Entries that some queries see and others do not: their weight 0 would still carry NaN.
        let queries = self.first..self.first + self.count;
        let firsts = || queries.clone().map(|i| range(i).0);
        let ends = || queries.clone().map(|i| range(i).1);
        let span = |mut all: Box<dyn Iterator<Item = usize> + '_>| {
            let start = all.next().unwrap_or(0);
            all.fold((start, start), |(low, high), x| (low.min(x), high.max(x)))
        };
        let partial = [span(Box::new(firsts())), span(Box::new(ends()))];
        let finite = partial.iter().all(|&(from, to)| {
            pieces(from..to).all(|(entries, at)| {
                let all = at / T::NUMBERS..(at + entries.len() * d) / T::NUMBERS;
                T::all_finite(&keys[all.clone()]) && T::all_finite(&values[all])
            })
        });
        if !finite {
            let cached = self.cached;
            for query in queries {
                let heads = self.kv_head * group..(self.kv_head + 1) * group;
                Single { cached, query, heads, scratch: self.scratch }.run(s);
            }
            return;
        }
        let rows = self.count * group;
        let visible = Visibility::new::<S>(rows, |row| {
            let (first, end) = range(self.first + row / group);
            (first as u32, end as u32)
        });
        let mut running = Running::new(rows, d, self.scratch).capped(heads.score_cap);
        let mut ignored = [0.0; QUERIES];
        let lse = ignored.as_mut_ptr();
        // SAFETY: queries and entries lie inside their tensors, as `cached_attention` checked; the
        // rows of out of these queries and heads belong to this task alone.
        unsafe {
            running.pack(s, heads.scale, |row| q[at(row)..].as_ptr());
            let (start, end) = visible.span();
            for entry in (start / KEYS * KEYS..end).step_by(KEYS) {
                let count = (end - entry).min(KEYS);
                let mut rows = [0; KEYS];
                for (entries, at) in pieces(entry..entry + count) {
                    let piece = rows[entries].iter_mut().enumerate();
                    piece.for_each(|(i, row)| *row = at + i * d);
                }
                let of = |units| CacheRows { units, begins: &rows };
                running.pass(s, &visible, entry, count, of(keys), of(values));
            }
            running.finish(s, &visible, |row| out.at(at(row)), |row| lse.add(row));
        }
    }
}

/// Queries on their own: each in so many runs of neighbouring heads that all threads have some; heads do
/// not mix, so that this changes no bit.
fn attend_singly<T: Entry>(context: Context<'_>, cached: Cached<'_, T>, singles: &[usize]) {
    /// Tasks of a thread where there are heads enough, so that one that is late does not hold up the rest.
    const TASKS: usize = 2;
    let heads = cached.heads;
    let (group, d, kv_heads) = (heads.group(), heads.head_dim(), heads.paging.kv_heads);
    let workers = context.pool.threads().div_ceil(singles.len().max(1));
    // Heads of a task: of whole groups, which read a key once for all their heads, or a part of one where
    // there are fewer groups than threads.
    let count = match kv_heads < workers {
        true => group.div_ceil(workers.div_ceil(kv_heads)).max(1),
        false => (kv_heads / (TASKS * workers)).max(1) * group,
    };
    let span = if count < group { group } else { heads.heads };
    let (parts, spans) = (span.div_ceil(count), heads.heads / span);
    let floats = single::scratch_floats(count, d);
    context.pool.run(singles.len() * spans * parts, &|task, worker| {
        let (query, part) = (singles[task / (spans * parts)], task % (spans * parts));
        let begin = part / parts * span;
        let start = begin + part % parts * count;
        let end = (begin + span).min(start + count);
        if cached.places.sequences[query] < 0 {
            let at = (query * heads.heads + start) * d;
            // SAFETY: these heads of a query belong to one task.
            unsafe { cached.out.part(at, (end - start) * d) }.fill(0.0);
            return;
        }
        context.pool.with_scratch(worker, floats, |scratch| {
            context.isa.dispatch(Single { cached, query, heads: start..end, scratch });
        });
    });
}
