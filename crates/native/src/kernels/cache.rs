//! Attention over paged caches of keys and values: decoding and prefill in chunks.
//!
//! Neighbouring queries of one sequence (a prefill) go through the tiles of `attention`; a query on
//! its own (decoding) reads each key once, its keys cut into blocks of fixed size whose partial
//! softmaxes are combined in order. Tiles of queries, tiles of keys and blocks of keys begin at
//! multiples of their sizes, counted in positions of the sequence: where pages lie and how long they
//! are changes no bit.

use std::ops::Range;

use super::attention::{KEYS, QUERIES, Running, Visibility, scratch_floats};
use super::convert::Float;
use super::disjoint::Disjoint;
use crate::context::Context;
use crate::isa::{Kernel, Simd};

mod single;

use single::{KEY_BLOCK, Partial, Single};

/// Queries at positions of one aligned block of this many get the same bits whenever all of those
/// read so far are read in one call.
pub const QUERY_BLOCK: usize = 32;

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

    /// Checks that every token that lies somewhere lies inside a cache of `elements`, with all that
    /// comes before it in its sequence.
    fn check(&self, paging: Paging, elements: usize) {
        let size = paging.kv_heads * paging.page * paging.head_dim;
        assert!(self.sequences.len() == self.positions.len(), "places: shapes");
        let inside = |page: &i32| {
            usize::try_from(*page).is_ok_and(|page| (page + 1).saturating_mul(size) <= elements)
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

    /// Queries of one sequence that a tile holds, a power of two: those of an aligned block.
    fn block(&self) -> usize {
        1 << (QUERIES / self.group()).clamp(1, QUERY_BLOCK).ilog2()
    }
}

/// Writes row i of `new` [n, kv_heads·head_dim] to its place in `cache`, in order of i, rounded to
/// the cache's format. Tokens that lie nowhere are left out.
///
/// # Panics
/// If a slice does not have its shape or a place lies outside the cache; the engine checks places
/// before it runs.
pub fn kv_append<T: Float>(cache: &mut [T], paging: Paging, new: &[f32], places: Places<'_>) {
    let Paging { kv_heads, page, head_dim } = paging;
    let f = kv_heads * head_dim;
    assert!(new.len() == places.sequences.len() * f, "kv_append: shapes");
    places.check(paging, cache.len());
    if f == 0 {
        return;
    }
    for (token, row) in new.chunks_exact(f).enumerate() {
        let Some((sequence, position)) = places.get(token) else { continue };
        let at = places.page(sequence, position / page) * kv_heads;
        for (head, row) in row.chunks_exact(head_dim).enumerate() {
            let entry = ((at + head) * page + position % page) * head_dim;
            let entry = &mut cache[entry..][..head_dim];
            entry.iter_mut().zip(row).for_each(|(entry, &x)| *entry = T::from_f32(x));
        }
    }
}

/// out [n, heads·head_dim]: query i attends to positions 0..=positions_i of its sequence, within the
/// window, and reads no others. A query that lies nowhere gives 0.
///
/// # Panics
/// If a slice does not have its shape or a place lies outside the cache.
pub fn cached_attention<T: Float>(
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
    places.check(heads.paging, keys.len());
    let (runs, singles) = runs(heads, places);
    let out = Disjoint::new(out);
    let cached = Cached { heads, q, keys, values, places, out: &out };
    context.pool.run(runs.len() * kv_heads, &|task, worker| {
        let (first, count) = runs[task / kv_heads];
        let kv_head = task % kv_heads;
        context.pool.with_scratch(worker, scratch_floats(heads.head_dim()), |scratch| {
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
    /// and the first element of the piece for a key head, in keys and in values.
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

/// Splits queries into runs of one sequence that fill tiles (first query, count), and single
/// queries. Whether neighbours at consecutive positions go through tiles is decided for each aligned
/// block by itself; blocks that follow each other then share tiles, which changes no bit: what a
/// tile computes for one query does not depend on the others. The tiles write 0 for those that lie
/// nowhere.
fn runs(heads: CachedHeads, places: Places<'_>) -> (Vec<(usize, usize)>, Vec<usize>) {
    /// Rows below which computing a whole vector of queries costs more than reading keys singly.
    const MIN_ROWS: usize = 8;
    let (block, most) = (heads.block(), QUERIES / heads.group());
    let (mut tiles, mut singles) = (Vec::<(usize, usize)>::new(), Vec::new());
    let mut first = 0;
    while first < places.sequences.len() {
        let Some((sequence, position)) = places.get(first) else {
            singles.push(first);
            first += 1;
            continue;
        };
        let follows = |&i: &usize| places.get(i) == Some((sequence, position + i - first));
        let left = block - position % block;
        let all = first..places.sequences.len();
        let count = all.take(left).take_while(follows).count();
        let tiled = count * heads.group() >= MIN_ROWS && count > 1 && heads.group() <= QUERIES;
        let continued = tiles.last_mut().filter(|(before, rows)| {
            let follows = before + rows == first
                && position
                    .checked_sub(*rows)
                    .is_some_and(|p| places.get(*before) == Some((sequence, p)));
            follows && rows + count <= most
        });
        match continued {
            _ if !tiled => singles.extend(first..first + count),
            Some((_, rows)) => *rows += count,
            None => tiles.push((first, count)),
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

impl<T: Float> Kernel for Tile<'_, T> {
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
                let all = at..at + entries.len() * d;
                keys[all.clone()].iter().chain(&values[all]).all(|x| x.to_f32().is_finite())
            })
        });
        if !finite {
            for query in queries {
                whole_query(s, self.cached, query, self.kv_head, self.scratch);
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
                let (key, value) = (|i| keys[rows[i]..].as_ptr(), |i| values[rows[i]..].as_ptr());
                running.pass(s, &visible, entry, count, key, value);
            }
            running.finish(s, &visible, |row| out.at(at(row)), |row| lse.add(row));
        }
    }
}

/// One query and key head from beginning to end, without touching what the query does not see.
#[inline(always)]
fn whole_query<S: Simd, T: Float>(
    s: S,
    cached: Cached<'_, T>,
    query: usize,
    kv_head: usize,
    scratch: &mut [f32],
) {
    let heads = cached.heads;
    let (first, end) = heads.range(cached.places.positions[query] as usize);
    let mut total = Partial::nothing(heads);
    for start in (first / KEY_BLOCK * KEY_BLOCK..end).step_by(KEY_BLOCK) {
        let entries = start.max(first)..(start + KEY_BLOCK).min(end);
        let mut block = Partial::nothing(heads);
        Single { cached, query, kv_head, entries, scratch }.attend(s, &mut block);
        total.absorb(&block);
    }
    total.store(cached, query, kv_head);
}

/// Queries on their own: a task per query, key head and block of keys, then one per query and key
/// head to combine.
fn attend_singly<T: Float>(context: Context<'_>, cached: Cached<'_, T>, singles: &[usize]) {
    let heads = cached.heads;
    // (query, block of keys), and where the blocks of each query begin.
    let mut blocks = Vec::new();
    let mut begins = Vec::with_capacity(singles.len() + 1);
    for &query in singles {
        begins.push(blocks.len());
        if cached.places.sequences[query] < 0 {
            let row = heads.heads * heads.head_dim();
            // SAFETY: no task runs now.
            unsafe { cached.out.part(query * row, row) }.fill(0.0);
            continue;
        }
        let (first, end) = heads.range(cached.places.positions[query] as usize);
        let starts = (first / KEY_BLOCK * KEY_BLOCK..end).step_by(KEY_BLOCK);
        blocks.extend(starts.map(|s| (query, s.max(first)..(s + KEY_BLOCK).min(end))));
    }
    begins.push(blocks.len());
    let mut partials: Vec<Partial> = Vec::new();
    partials.resize_with(blocks.len() * heads.paging.kv_heads, || Partial::nothing(heads));
    let shared = Disjoint::new(&mut partials);
    context.pool.run(blocks.len() * heads.paging.kv_heads, &|task, worker| {
        let (query, entries) = blocks[task / heads.paging.kv_heads].clone();
        let kv_head = task % heads.paging.kv_heads;
        // SAFETY: one partial per task.
        let partial = unsafe { &mut shared.part(task, 1)[0] };
        context.pool.with_scratch(worker, KEY_BLOCK * heads.group(), |scratch| {
            context
                .isa
                .dispatch(Single { cached, query, kv_head, entries, scratch }.into_kernel(partial));
        });
    });
    for (at, &query) in singles.iter().enumerate() {
        for kv_head in 0..heads.paging.kv_heads {
            let mut total = Partial::nothing(heads);
            for block in begins[at]..begins[at + 1] {
                total.absorb(&partials[block * heads.paging.kv_heads + kv_head]);
            }
            if cached.places.sequences[query] >= 0 {
                total.store(cached, query, kv_head);
            }
        }
    }
}
