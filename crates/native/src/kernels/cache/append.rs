//! Writing keys and values of new tokens to their places.

use super::{Entry, Paging, Places};
use crate::context::Context;
use crate::isa::{Kernel, Simd};

/// Writes row i of `new` [n, kv_heads·head_dim] to its place in `cache`, in order of i, rounded to
/// the cache's type. Tokens that lie nowhere are left out.
///
/// # Panics
/// If a slice does not have its shape or a place lies outside the cache; the engine checks places
/// before it runs.
pub fn kv_append<T: Entry>(
    context: Context<'_>,
    cache: &mut [T],
    paging: Paging,
    new: &[f32],
    places: Places<'_>,
) {
    let features = paging.kv_heads * paging.head_dim;
    assert!(new.len() == places.sequences.len() * features, "kv_append: shapes");
    places.check(paging, cache);
    if features > 0 {
        context.isa.dispatch(Append { cache, paging, new, places });
    }
}

/// All rows, on one thread: few bytes beside what the products before them read.
struct Append<'a, T> {
    cache: &'a mut [T],
    paging: Paging,
    new: &'a [f32],
    places: Places<'a>,
}

impl<T: Entry> Kernel for Append<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Append { cache, paging: Paging { kv_heads, page, head_dim }, new, places } = self;
        let units = head_dim / T::NUMBERS;
        for (token, row) in new.chunks_exact(kv_heads * head_dim).enumerate() {
            let Some((sequence, position)) = places.get(token) else { continue };
            let at = places.page(sequence, position / page) * kv_heads;
            for (head, row) in row.chunks_exact(head_dim).enumerate() {
                let entry = (at + head) * page + position % page;
                T::write(s, row, &mut cache[entry * units..][..units]);
            }
        }
    }
}
