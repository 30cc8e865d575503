//! Gradients of rotations and attention.

use stoa_graph::{AttentionSpec, RopeSpec};

use crate::finite::{Inputs, check};

#[test]
fn rotations_by_one_and_more_axes() {
    for (axes, head_dim, heads) in
        [(1, 2, 1), (1, 6, 3), (2, 4, 1), (2, 12, 2), (3, 6, 2), (1, 5, 2)]
    {
        for inverse in [false, true] {
            let factor = if heads == 2 { 1.5 } else { 1.0 };
            let plain = RopeSpec::geometric(head_dim, 100.0, axes);
            let spec = RopeSpec { inverse, factor, ..plain };
            let inputs = Inputs::new(11).wrt(&[5, heads * head_dim]).integers(&[5, axes], -3..40);
            check(&format!("{spec:?}"), &inputs, |b, x| {
                let y = b.rope(x[0], x[1], spec.clone()).unwrap();
                b.mul(y, y).unwrap_or(y)
            });
            let weighed = format!("{spec:?}, weighed");
            check(&weighed, &inputs, |b, x| b.rope(x[0], x[1], spec.clone()).unwrap());
        }
    }
}

#[test]
fn attention_with_all_masks_and_groups() {
    for (batch, time) in [(1, 1), (2, 1), (1, 7), (3, 5)] {
        for (heads, kv_heads, head_dim) in [(1, 1, 1), (3, 3, 3), (4, 2, 2), (5, 1, 3)] {
            for causal in [true, false] {
                for window in [None, Some(1), Some(3), Some(100)] {
                    for (segmented, score_cap) in
                        [(false, None), (true, None), (false, Some(0.6)), (true, Some(0.6))]
                    {
                        let spec = AttentionSpec {
                            batch,
                            heads,
                            kv_heads,
                            head_dim,
                            causal,
                            window,
                            scale: 0.8,
                            score_cap,
                        };
                        check_attention(&spec, time, segmented);
                    }
                }
            }
        }
    }
}

fn check_attention(spec: &AttentionSpec, time: usize, segmented: bool) {
    let tokens = spec.batch * time;
    // Contiguous runs of equal ids, borders at other places in each sequence.
    let segments: Vec<i32> = (0..tokens).map(|t| ((t + t / time) / 3) as i32).collect();
    let kv = [tokens, spec.kv_heads * spec.head_dim];
    let inputs = Inputs::new(12)
        .wrt(&[tokens, spec.heads * spec.head_dim])
        .wrt(&kv)
        .wrt(&kv)
        .exactly(&segments);
    check(&format!("{spec:?} time {time} segmented {segmented}"), &inputs, |b, x| {
        let segments = segmented.then_some(x[3]);
        b.attention(x[0], x[1], x[2], segments, spec.clone()).unwrap().0
    });
}

#[test]
fn attention_of_one_value_as_query_key_and_value() {
    let spec = AttentionSpec {
        batch: 1,
        heads: 2,
        kv_heads: 2,
        head_dim: 3,
        causal: true,
        window: None,
        scale: 1.0,
        score_cap: None,
    };
    let inputs = Inputs::new(13).wrt(&[5, 6]);
    check("attention(x, x, x)", &inputs, |b, x| {
        b.attention(x[0], x[0], x[0], None, spec.clone()).unwrap().0
    });
}
