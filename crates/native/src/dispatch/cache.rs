//! From ops on caches of keys and values to their kernels, by the type that the caches are kept in.

use half::{bf16, f16};
use stoa_graph::{CachedAttentionSpec, DType};

use crate::context::Context;
use crate::kernels::cache::{self, CachedHeads, Paging, Places, Q8Block};
use crate::view::{Stored, View};

fn paging(cache: &View<'_>) -> Paging {
    let shape = cache.shape();
    Paging { kv_heads: shape[1], page: shape[2], head_dim: shape[3] }
}

/// The operands that say where tokens lie in paged caches.
fn places<'a>(ins: &[View<'a>]) -> Places<'a> {
    Places {
        table: ins[0].i32(),
        columns: ins[0].shape()[1],
        sequences: ins[1].i32(),
        positions: ins[2].i32(),
    }
}

/// Writes new keys or values into a cache that lies where it is to be.
pub(super) fn kv_append(context: Context<'_>, ins: &[View<'_>], cache: &View<'_>) {
    let (paging, new, places) = (paging(cache), ins[1].f32(), places(&ins[2..]));
    match cache.ty.dtype {
        DType::F32 => cache::kv_append(context, cache.f32_mut(), paging, new, places),
        DType::F16 => {
            cache::kv_append(context, cache.elements_mut::<f16>(), paging, new, places);
        }
        DType::BF16 => {
            cache::kv_append(context, cache.elements_mut::<bf16>(), paging, new, places);
        }
        DType::Q8_0 => {
            cache::kv_append(context, Q8Block::of_mut(cache.bytes_mut()), paging, new, places);
        }
        DType::I32
        | DType::Q4_0
        | DType::Q4_1
        | DType::Q5_0
        | DType::Q5_1
        | DType::Q2_K
        | DType::Q3_K
        | DType::Q4_K
        | DType::Q5_K
        | DType::Q6_K => unreachable!("the shape rule keeps floats and q8_0 in caches"),
    }
}

/// Attends to caches of one type.
pub(super) fn cached_attention(
    context: Context<'_>,
    spec: &CachedAttentionSpec,
    ins: &[View<'_>],
    out: &View<'_>,
) {
    let heads = CachedHeads {
        heads: spec.heads,
        paging: paging(&ins[1]),
        scale: spec.scale,
        score_cap: spec.score_cap,
        window: spec.window,
    };
    let (q, places, out) = (ins[0].f32(), places(&ins[3..]), out.f32_mut());
    match (ins[1].stored(), ins[2].stored()) {
        (Stored::F32(keys), Stored::F32(values)) => {
            cache::cached_attention(context, heads, q, (keys, values), places, out);
        }
        (Stored::F16(keys), Stored::F16(values)) => {
            cache::cached_attention(context, heads, q, (keys, values), places, out);
        }
        (Stored::BF16(keys), Stored::BF16(values)) => {
            cache::cached_attention(context, heads, q, (keys, values), places, out);
        }
        (Stored::Blocks(DType::Q8_0, keys), Stored::Blocks(DType::Q8_0, values)) => {
            let caches = (Q8Block::of(keys), Q8Block::of(values));
            cache::cached_attention(context, heads, q, caches, places, out);
        }
        _ => unreachable!("the shape rule gives both caches one type, a float or q8_0"),
    }
}
