//! Shapes of rotations, attention and caches.

use stoa_graph::{AttentionSpec, CachedAttentionSpec, Op, RopeSpec};

use crate::rules::{accepts, refuses, result};

#[test]
fn rotations() {
    let rope = |head_dim, axes| Op::Rope(RopeSpec::geometric(head_dim, 1e4, axes));
    accepts(rope(4, 1), "f32[5, 12]; i32[5, 1]", "f32[5, 12]");
    accepts(rope(12, 2), "f32[5, 12]; i32[5, 2]", "f32[5, 12]");
    // Features beyond the pairs stay as they are.
    accepts(rope(3, 1), "f32[5, 12]; i32[5, 1]", "f32[5, 12]");
    let divides = |head_dim, axes| {
        format!(
            "rope: head_dim {head_dim} must be a multiple of axes = {axes} and divide the features \
             of f32[5, 12]"
        )
    };
    refuses(rope(3, 2), "f32[5, 12]; i32[5, 2]", &divides(3, 2));
    refuses(rope(8, 1), "f32[5, 12]; i32[5, 1]", &divides(8, 1));
    refuses(rope(0, 1), "f32[5, 12]; i32[5, 1]", &divides(0, 1));
    refuses(rope(4, 0), "f32[5, 12]; i32[5, 0]", &divides(4, 0));
    for pairs in [0, 3] {
        let spec =
            RopeSpec { frequencies: vec![0.5; pairs].into(), ..RopeSpec::geometric(4, 9.0, 1) };
        let message =
            format!("rope: {pairs} frequencies for chunks of 4 features: at most half as many");
        refuses(Op::Rope(spec), "f32[5, 12]; i32[5, 1]", &message);
    }
    let spec = RopeSpec { factor: f64::NAN, ..RopeSpec::geometric(4, 9.0, 1) };
    refuses(Op::Rope(spec), "f32[5, 12]; i32[5, 1]", "rope: factor NaN is no number");
    let message = "rope: input `positions` must be i32[5, 1], is i32[5]";
    refuses(rope(4, 1), "f32[5, 12]; i32[5]", message);
    let message = "rope: input `positions` must be i32[5, 1], is f32[5, 1]";
    refuses(rope(4, 1), "f32[5, 12]; f32[5, 1]", message);
    let message = "rope: input `x` must be 2-dimensional, is f32[1, 5, 12]";
    refuses(rope(4, 1), "f32[1, 5, 12]; i32[5, 1]", message);
}

fn spec() -> AttentionSpec {
    AttentionSpec {
        batch: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 3,
        causal: true,
        window: None,
        scale: 1.0,
        score_cap: None,
    }
}

pub fn cached_spec() -> CachedAttentionSpec {
    let AttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap, .. } = spec();
    CachedAttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap }
}

#[test]
fn attention() {
    let op = |spec, segmented| Op::Attention { spec, segmented };
    let qkv = "f32[10, 12]; f32[10, 6]; f32[10, 6]";
    accepts(op(spec(), false), qkv, "f32[10, 12]; f32[10, 4]");
    accepts(op(spec(), true), &format!("{qkv}; i32[10]"), "f32[10, 12]; f32[10, 4]");
    let heads = "attention: kv_heads 3 must divide heads 4, head_dim 3 must be positive";
    refuses(op(AttentionSpec { kv_heads: 3, ..spec() }, false), qkv, heads);
    let heads = "attention: kv_heads 0 must divide heads 4, head_dim 3 must be positive";
    refuses(op(AttentionSpec { kv_heads: 0, ..spec() }, false), qkv, heads);
    let heads = "attention: kv_heads 2 must divide heads 4, head_dim 0 must be positive";
    refuses(op(AttentionSpec { head_dim: 0, ..spec() }, false), qkv, heads);
    let window = "attention: a window must hold at least one key";
    refuses(op(AttentionSpec { window: Some(0), ..spec() }, false), qkv, window);
    let cap = "attention: score_cap must be positive, is -1";
    refuses(op(AttentionSpec { score_cap: Some(-1.0), ..spec() }, false), qkv, cap);
    for batch in [0, 3] {
        let message =
            format!("attention: batch {batch} does not divide the rows of q, f32[10, 12]");
        refuses(op(AttentionSpec { batch, ..spec() }, false), qkv, &message);
    }
    for (inputs, message) in [
        (
            "f32[10, 13]; f32[10, 6]; f32[10, 6]",
            "attention: input `q` must be f32[10, 12], is f32[10, 13]",
        ),
        (
            "f32[10, 12]; f32[10, 12]; f32[10, 6]",
            "attention: input `k` must be f32[10, 6], is f32[10, 12]",
        ),
        (
            "f32[10, 12]; f32[10, 6]; f32[8, 6]",
            "attention: input `v` must be f32[10, 6], is f32[8, 6]",
        ),
        (
            "f32[2, 5, 12]; f32[10, 6]; f32[10, 6]",
            "attention: input `q` must be 2-dimensional, is f32[2, 5, 12]",
        ),
    ] {
        refuses(op(spec(), false), inputs, message);
    }
    let message = "attention: input `segments` must be i32[10], is i32[2, 5]";
    refuses(op(spec(), true), &format!("{qkv}; i32[2, 5]"), message);
    let huge = AttentionSpec { heads: usize::MAX - 1, kv_heads: 2, ..spec() };
    assert!(result(&op(huge, false), qkv).is_err(), "no overflow");
}

#[test]
fn attention_backward() {
    let op = |segmented| Op::AttentionBackward { spec: spec(), segmented };
    let inputs = "f32[10, 12]; f32[10, 6]; f32[10, 6]; f32[10, 12]; f32[10, 4]; f32[10, 12]";
    let outputs = "f32[10, 12]; f32[10, 6]; f32[10, 6]";
    accepts(op(false), inputs, outputs);
    accepts(op(true), &format!("{inputs}; i32[10]"), outputs);
    refuses(
        op(false),
        "f32[10, 12]; f32[10, 6]; f32[10, 6]; f32[10, 6]; f32[10, 4]; f32[10, 12]",
        "attention_backward: inputs 0 and 3 must have one type: f32[10, 12] against f32[10, 6]",
    );
    refuses(
        op(false),
        "f32[10, 12]; f32[10, 6]; f32[10, 6]; f32[10, 12]; f32[4, 10]; f32[10, 12]",
        "attention_backward: input `lse` must be f32[10, 4], is f32[4, 10]",
    );
    refuses(
        op(false),
        "f32[10, 12]; f32[10, 6]; f32[10, 6]; f32[10, 12]; f32[10, 4]; f32[10]",
        "attention_backward: inputs 0 and 5 must have one type: f32[10, 12] against f32[10]",
    );
}

#[test]
fn caches() {
    let append = "f32[5, 6]; i32[3, 4]; i32[5]; i32[5]";
    for cache in ["f32[2, 3, 9, 2]", "bf16[2, 3, 9, 2]", "f16[2, 3, 9, 2]"] {
        accepts(Op::KvAppend, &format!("{cache}; {append}"), cache);
    }
    let rows = "f32[5, 96]; i32[3, 4]; i32[5]; i32[5]";
    accepts(Op::KvAppend, &format!("q8_0[2, 3, 9, 32]; {rows}"), "q8_0[2, 3, 9, 32]");
    let message = "kv_append: input `cache` must be f32, bf16, f16 or q8_0, is q4_0[2, 3, 9, 32]";
    refuses(Op::KvAppend, &format!("q4_0[2, 3, 9, 32]; {rows}"), message);
    for (inputs, message) in [
        (
            "i32[2, 3, 9, 2]; f32[5, 6]; i32[3, 4]; i32[5]; i32[5]",
            "kv_append: input `cache` must be f32, bf16, f16 or q8_0, is i32[2, 3, 9, 2]",
        ),
        (
            "f32[18, 6]; f32[5, 6]; i32[3, 4]; i32[5]; i32[5]",
            "kv_append: input `cache` must be 4-dimensional, is f32[18, 6]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 7]; i32[3, 4]; i32[5]; i32[5]",
            "kv_append: input `new` must be f32[5, 6], is f32[5, 7]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 6]; i32[12]; i32[5]; i32[5]",
            "kv_append: input `table` must be 2-dimensional, is i32[12]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 6]; f32[3, 4]; i32[5]; i32[5]",
            "kv_append: input `table` must be i32[3, 4], is f32[3, 4]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 6]; i32[3, 4]; i32[4]; i32[5]",
            "kv_append: input `sequences` must be i32[5], is i32[4]",
        ),
        (
            "f32[2, 3, 9, 2]; f32[5, 6]; i32[3, 4]; i32[5]; i32[5, 1]",
            "kv_append: input `positions` must be i32[5], is i32[5, 1]",
        ),
    ] {
        refuses(Op::KvAppend, inputs, message);
    }
    let attend = || Op::CachedAttention(cached_spec());
    let tail = "i32[3, 4]; i32[5]; i32[5]";
    let inputs = format!("f32[5, 12]; bf16[2, 2, 9, 3]; bf16[2, 2, 9, 3]; {tail}");
    accepts(attend(), &inputs, "f32[5, 12]");
    let wide = CachedAttentionSpec { head_dim: 32, ..cached_spec() };
    let blocks = format!("f32[5, 128]; q8_0[2, 2, 9, 32]; q8_0[2, 2, 9, 32]; {tail}");
    accepts(Op::CachedAttention(wide), &blocks, "f32[5, 128]");
    let capped = CachedAttentionSpec { score_cap: Some(0.0), ..cached_spec() };
    let message = "cached_attention: score_cap must be positive, is 0";
    refuses(Op::CachedAttention(capped), &inputs, message);
    for (inputs, message) in [
        (
            "f32[5, 12]; f32[2, 6, 9, 2]; f32[2, 6, 9, 2]",
            "cached_attention: input `keys` must be [_, 2, _, 3], is f32[2, 6, 9, 2]",
        ),
        (
            "f32[5, 12]; f32[2, 2, 9, 3]; f32[2, 2, 8, 3]",
            "cached_attention: inputs 1 and 2 must have one type: f32[2, 2, 9, 3] against \
             f32[2, 2, 8, 3]",
        ),
        (
            "f32[5, 6]; f32[2, 2, 9, 3]; f32[2, 2, 9, 3]",
            "cached_attention: input `q` must be f32[5, 12], is f32[5, 6]",
        ),
        (
            "f32[5, 12]; i32[2, 2, 9, 3]; i32[2, 2, 9, 3]",
            "cached_attention: input `keys` must be f32, bf16, f16 or q8_0, is i32[2, 2, 9, 3]",
        ),
        (
            "f32[5, 12]; f32[18, 6]; f32[18, 6]",
            "cached_attention: input `keys` must be 4-dimensional, is f32[18, 6]",
        ),
    ] {
        refuses(attend(), &format!("{inputs}; {tail}"), message);
    }
    let message = "cached_attention: input `sequences` must be i32[5], is i32[2]";
    let keys = "f32[2, 2, 9, 3]";
    let inputs = format!("f32[5, 12]; {keys}; {keys}; i32[3, 4]; i32[2]; i32[5]");
    refuses(attend(), &inputs, message);
}
