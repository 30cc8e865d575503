//! Attention over a cache of keys and values: decoding and prefill in chunks.
//!
//! Neighbouring queries of one slot (a prefill) go through the tiles of `attention`; a query on its
//! own (decoding) reads each key once, its keys cut into blocks of fixed size whose partial
//! softmaxes are combined in order.

use super::attention::{KEYS, QUERIES, Rows, Running, Visibility, scratch_floats};
use super::convert::Float;
use super::disjoint::Disjoint;
use crate::isa::{Isa, Kernel, Simd};
use crate::pool::Pool;

mod single;

use single::{KEY_BLOCK, Partial, Single};

/// Shape of an attention over caches [slots, max_time, kv_heads·head_dim]. A row of q is
/// [heads, head_dim].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CachedHeads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Features of one head.
    pub head_dim: usize,
    /// Factor on q·k before softmax.
    pub scale: f32,
    /// A query at position p sees entries at positions > p − window.
    pub window: Option<usize>,
    /// Entries of a slot.
    pub max_time: usize,
}

impl CachedHeads {
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn kv_row(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Entries that a query at `position` sees.
    fn range(&self, position: usize) -> (usize, usize) {
        let end = position + 1;
        (self.window.map_or(0, |window| end.saturating_sub(window)).min(end), end)
    }
}

/// Writes row i of `new` [n, f] to entry (slots_i, positions_i) of `cache` [slots, max_time, f],
/// in order of i, rounded to the cache's format. A slot of −1 is left out.
///
/// # Panics
/// If an entry lies outside the cache; the engine checks slots and positions before it runs.
pub fn kv_append<T: Float>(
    cache: &mut [T],
    (max_time, f): (usize, usize),
    new: &[f32],
    slots: &[i32],
    positions: &[i32],
) {
    assert!(new.len() == slots.len() * f && slots.len() == positions.len(), "kv_append: shapes");
    if f == 0 {
        return;
    }
    for ((row, &slot), &position) in new.chunks_exact(f).zip(slots).zip(positions) {
        let Ok(slot) = usize::try_from(slot) else { continue };
        let position = usize::try_from(position).expect("positions of a cache are not negative");
        assert!(position < max_time, "kv_append: position {position} of {max_time}");
        let entry = &mut cache[(slot * max_time + position) * f..][..f];
        entry.iter_mut().zip(row).for_each(|(entry, &x)| *entry = T::from_f32(x));
    }
}

/// out [n, heads·head_dim]: query i attends to entries 0..=positions_i of slot slots_i, within the
/// window, and reads no others. A slot of −1 gives 0.
///
/// # Panics
/// If a slice does not have its shape or an entry lies outside the cache.
pub fn cached_attention<T: Float>(
    pool: &Pool,
    isa: Isa,
    heads: CachedHeads,
    q: &[f32],
    (keys, values): (&[T], &[T]),
    slots: &[i32],
    positions: &[i32],
    out: &mut [f32],
) {
    let row = heads.heads * heads.head_dim;
    assert!(heads.kv_heads > 0 && heads.heads.is_multiple_of(heads.kv_heads), "{heads:?}");
    assert!(slots.len() == positions.len() && q.len() == slots.len() * row, "{heads:?}: q");
    assert!(out.len() == q.len() && keys.len() == values.len(), "{heads:?}: shapes");
    for (&slot, &position) in slots.iter().zip(positions) {
        let Ok(slot) = usize::try_from(slot) else { continue };
        let inside = usize::try_from(position).is_ok_and(|p| p < heads.max_time)
            && (slot + 1) * heads.max_time * heads.kv_row() <= keys.len();
        assert!(inside, "entry {position} of slot {slot} lies outside the cache");
    }
    let (runs, singles) = runs(heads, slots, positions);
    let out = Disjoint::new(out);
    let cached = Cached { heads, q, keys, values, slots, positions, out: &out };
    pool.run(runs.len() * heads.kv_heads, &|task, worker| {
        let (first, count) = runs[task / heads.kv_heads];
        let kv_head = task % heads.kv_heads;
        pool.with_scratch(worker, scratch_floats(heads.head_dim), |scratch| {
            isa.dispatch(Tile { cached, kv_head, first, count, scratch });
        });
    });
    attend_singly(pool, isa, cached, &singles);
}

/// What every task reads, and the output they share.
struct Cached<'a, T> {
    heads: CachedHeads,
    q: &'a [f32],
    keys: &'a [T],
    values: &'a [T],
    slots: &'a [i32],
    positions: &'a [i32],
    out: &'a Disjoint<'a, f32>,
}

impl<T> Clone for Cached<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Cached<'_, T> {}

/// Splits queries into runs of one slot that fill tiles (first query, count), and single queries.
/// The tiles write 0 for those without a slot.
fn runs(heads: CachedHeads, slots: &[i32], positions: &[i32]) -> (Vec<(usize, usize)>, Vec<usize>) {
    /// Rows below which computing a whole vector of queries costs more than reading keys singly.
    const MIN_ROWS: usize = 8;
    let most = (QUERIES / heads.group()).max(1);
    let (mut tiles, mut singles) = (Vec::new(), Vec::new());
    let mut first = 0;
    while first < slots.len() {
        let same = |&i: &usize| slots[i] == slots[first];
        let count = (first..slots.len()).take_while(same).take(most).count();
        let tiled = count * heads.group() >= MIN_ROWS && count > 1 && heads.group() <= QUERIES;
        // Unused slots are zeroed with the singles.
        if tiled && slots[first] >= 0 && positions[first] >= 0 {
            tiles.push((first, count));
        } else {
            singles.extend(first..first + count);
        }
        first += count;
    }
    (tiles, singles)
}

/// Some queries of one slot and one key head: rows are [queries, heads of the group].
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
        let Cached { heads, q, keys, values, slots, positions, out } = self.cached;
        let (group, d, kv_row) = (heads.group(), heads.head_dim, heads.kv_row());
        let at = |row: usize| {
            let (query, head) = (self.first + row / group, self.kv_head * group + row % group);
            (query * heads.heads + head) * d
        };
        let slot = slots[self.first] as usize;
        let base = slot * heads.max_time * kv_row + self.kv_head * d;
        let range = |query: usize| heads.range(positions[query] as usize);
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
            (from..to).all(|entry| {
                let row = base + entry * kv_row;
                let finite = |x: &T| x.to_f32().is_finite();
                keys[row..row + d].iter().chain(&values[row..row + d]).all(finite)
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
        let mut running = Running::new(rows, d, self.scratch);
        let mut ignored = [0.0; QUERIES];
        let lse = ignored.as_mut_ptr();
        // SAFETY: queries and entries lie inside their tensors, as `cached_attention` checked; the
        // rows of out of these queries and heads belong to this task alone.
        unsafe {
            running.pack(s, heads.scale, |row| q[at(row)..].as_ptr());
            let (start, end) = visible.span();
            for entry in (start / KEYS * KEYS..end).step_by(KEYS) {
                let count = (end - entry).min(KEYS);
                let of = |x: &[T]| Rows { start: x[base + entry * kv_row..].as_ptr(), row: kv_row };
                running.pass(s, &visible, entry, count, of(keys), of(values));
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
    let (first, end) = heads.range(cached.positions[query] as usize);
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
fn attend_singly<T: Float>(pool: &Pool, isa: Isa, cached: Cached<'_, T>, singles: &[usize]) {
    let heads = cached.heads;
    // (query, block of keys), and where the blocks of each query begin.
    let mut blocks = Vec::new();
    let mut begins = Vec::with_capacity(singles.len() + 1);
    for &query in singles {
        begins.push(blocks.len());
        if cached.slots[query] < 0 {
            let row = heads.heads * heads.head_dim;
            // SAFETY: no task runs now.
            unsafe { cached.out.part(query * row, row) }.fill(0.0);
            continue;
        }
        let (first, end) = heads.range(cached.positions[query] as usize);
        let starts = (first / KEY_BLOCK * KEY_BLOCK..end).step_by(KEY_BLOCK);
        blocks.extend(starts.map(|s| (query, s.max(first)..(s + KEY_BLOCK).min(end))));
    }
    begins.push(blocks.len());
    let mut partials: Vec<Partial> = Vec::new();
    partials.resize_with(blocks.len() * heads.kv_heads, || Partial::nothing(heads));
    let shared = Disjoint::new(&mut partials);
    pool.run(blocks.len() * heads.kv_heads, &|task, worker| {
        let (query, entries) = blocks[task / heads.kv_heads].clone();
        let kv_head = task % heads.kv_heads;
        // SAFETY: one partial per task.
        let partial = unsafe { &mut shared.part(task, 1)[0] };
        pool.with_scratch(worker, KEY_BLOCK * heads.group(), |scratch| {
            isa.dispatch(Single { cached, query, kv_head, entries, scratch }.into_kernel(partial));
        });
    });
    for (at, &query) in singles.iter().enumerate() {
        for kv_head in 0..heads.kv_heads {
            let mut total = Partial::nothing(heads);
            for block in begins[at]..begins[at + 1] {
                total.absorb(&partials[block * heads.kv_heads + kv_head]);
            }
            if cached.slots[query] >= 0 {
                total.store(cached, query, kv_head);
            }
        }
    }
}
