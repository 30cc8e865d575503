//! Attention and its gradient against softmax written out.

use stoa_native::kernels::attention::{
    Heads, KeyRange, Mask, attention, attention_backward, key_ranges,
};

use crate::oracle::{Numbers, assert_close, on_every_machine, wide};

/// out, lse by definition.
fn slow_attention(h: Heads, ranges: &[KeyRange], q: &[f64], k: &[f64], v: &[f64]) -> [Vec<f64>; 2] {
    let (qr, kr, d) = (h.heads * h.head_dim, h.kv_heads * h.head_dim, h.head_dim);
    let mut out = vec![0.0; q.len()];
    let mut lse = vec![f64::NEG_INFINITY; h.rows() * h.heads];
    for row in 0..h.rows() {
        let base = row / h.time * h.time;
        let keys = base + ranges[row].0 as usize..base + ranges[row].1.max(ranges[row].0) as usize;
        for head in 0..h.heads {
            let kv = head / (h.heads / h.kv_heads);
            let dot = |key: usize| -> f64 {
                (0..d).map(|f| q[row * qr + head * d + f] * k[key * kr + kv * d + f]).sum()
            };
            let scores: Vec<f64> = keys.clone().map(|key| f64::from(h.scale) * dot(key)).collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
            if scores.is_empty() {
                continue;
            }
            lse[row * h.heads + head] = max + sum.ln();
            for (score, key) in scores.iter().zip(keys.clone()) {
                let p = (score - max).exp() / sum;
                for f in 0..d {
                    out[row * qr + head * d + f] += p * v[key * kr + kv * d + f];
                }
            }
        }
    }
    [out, lse]
}

/// dq, dk, dv by the chain rule, from probabilities in f64.
fn slow_backward(c: &Case, dout: &[f64]) -> [Vec<f64>; 3] {
    let (h, ranges) = (c.heads, &c.ranges);
    let (q, k, v) = (wide(&c.q), wide(&c.k), wide(&c.v));
    let (qr, kr, d) = (h.heads * h.head_dim, h.kv_heads * h.head_dim, h.head_dim);
    let [_, lse] = slow_attention(h, ranges, &q, &k, &v);
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; k.len()]);
    for row in 0..h.rows() {
        let base = row / h.time * h.time;
        let keys = base + ranges[row].0 as usize..base + ranges[row].1.max(ranges[row].0) as usize;
        for head in 0..h.heads {
            let kv = head / (h.heads / h.kv_heads);
            let (qa, scale) = (row * qr + head * d, f64::from(h.scale));
            let weights: Vec<(f64, f64)> = keys
                .clone()
                .map(|key| {
                    let ka = key * kr + kv * d;
                    let s: f64 = (0..d).map(|f| q[qa + f] * k[ka + f]).sum();
                    let dp: f64 = (0..d).map(|f| dout[qa + f] * v[ka + f]).sum();
                    ((scale * s - lse[row * h.heads + head]).exp(), dp)
                })
                .collect();
            let mean: f64 = weights.iter().map(|(p, dp)| p * dp).sum();
            for ((p, dp), key) in weights.iter().zip(keys.clone()) {
                let (ds, ka) = (p * (dp - mean) * scale, key * kr + kv * d);
                for f in 0..d {
                    dq[qa + f] += ds * k[ka + f];
                    dk[ka + f] += ds * q[qa + f];
                    dv[ka + f] += p * dout[qa + f];
                }
            }
        }
    }
    [dq, dk, dv]
}

struct Case {
    heads: Heads,
    ranges: Vec<KeyRange>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Shapes chosen to meet every edge: one row, primes, whole and ragged tiles, several heads per
/// key head, head sizes that are not whole vectors, and every kind of mask.
fn cases() -> Vec<Case> {
    let shapes = [
        (1, 1, 1, 1, 1),
        (2, 7, 2, 1, 5),
        (1, 64, 1, 1, 64),
        (2, 65, 4, 2, 16),
        (1, 131, 3, 3, 24),
        (3, 40, 6, 2, 32),
        (1, 200, 2, 2, 64),
        (1, 97, 1, 1, 128),
        (1, 150, 2, 1, 80),
    ];
    let mut numbers = Numbers(1);
    let mut cases = Vec::new();
    for (batch, time, heads, kv_heads, head_dim) in shapes {
        for (causal, window, segmented) in [
            (true, None, false),
            (false, None, false),
            (true, Some(1 + time / 3), false),
            (false, Some(1 + time / 5), true),
            (true, None, true),
            (true, Some(0), false),
        ] {
            let scale = (head_dim as f32).powf(-0.5);
            let heads = Heads { batch, time, heads, kv_heads, head_dim, scale, score_cap: None };
            let mut ids = vec![0; batch * time];
            for i in 1..ids.len() {
                ids[i] = ids[i - 1] + i32::from(numbers.below(17) == 0);
            }
            let ids = segmented.then_some(ids);
            let ranges = key_ranges(Mask { causal, window }, batch, time, ids.as_deref());
            // Scores of several units, so that softmax is far from uniform.
            let mut draw = |row: usize| -> Vec<f32> {
                numbers.vec(batch * time * row).iter().map(|x| 3.0 * x).collect()
            };
            let (q, k, v) = (
                draw(heads.heads * head_dim),
                draw(kv_heads * head_dim),
                draw(kv_heads * head_dim),
            );
            cases.push(Case { heads, ranges, q, k, v });
        }
    }
    cases
}

#[test]
fn forward_is_softmax_of_the_visible_keys() {
    for c in cases() {
        let want = slow_attention(c.heads, &c.ranges, &wide(&c.q), &wide(&c.k), &wide(&c.v));
        on_every_machine(
            |context| {
                let mut out = vec![f32::NAN; c.q.len()];
                let mut lse = vec![f32::NAN; c.heads.rows() * c.heads.heads];
                attention(context, c.heads, &c.ranges, &c.q, &c.k, &c.v, &mut out, &mut lse);
                vec![out, lse]
            },
            |isa, found| {
                // A score of s carries an error of about s·2^−24·sqrt(head_dim); |s| ≤ 100 here,
                // so weights err by up to 2e-5 relative.
                assert_close(&format!("{isa} out {:?}", c.heads), &found[0], &want[0], 3e-5);
                assert_close(&format!("{isa} lse {:?}", c.heads), &found[1], &want[1], 3e-5);
            },
        );
    }
}

#[test]
fn backward_is_the_gradient() {
    for c in cases() {
        let dout = Numbers(2).vec(c.q.len());
        let want = slow_backward(&c, &wide(&dout));
        on_every_machine(
            |context| {
                let (h, r) = (c.heads, &c.ranges);
                let mut out = vec![0.0; c.q.len()];
                let mut lse = vec![0.0; h.rows() * h.heads];
                attention(context, h, r, &c.q, &c.k, &c.v, &mut out, &mut lse);
                let mut dq = vec![f32::NAN; c.q.len()];
                let (mut dk, mut dv) = (vec![f32::NAN; c.k.len()], vec![f32::NAN; c.k.len()]);
                let given = [&c.q[..], &c.k, &c.v, &out, &lse, &dout];
                attention_backward(context, h, r, given, (&mut dq, &mut dk, &mut dv));
                vec![dq, dk, dv]
            },
            |isa, found| {
                // Weights err by up to 2e-5 relative (see above); up to 200 of them are summed,
                // with random signs.
                for (name, (f, w)) in ["dq", "dk", "dv"].iter().zip(found.iter().zip(&want)) {
                    assert_close(&format!("{isa} {name} {:?}", c.heads), f, w, 2e-4);
                }
            },
        );
    }
}

#[test]
fn a_query_that_sees_nothing_is_silent() {
    let heads = Heads {
        batch: 1,
        time: 20,
        heads: 1,
        kv_heads: 1,
        head_dim: 8,
        scale: 1.0,
        score_cap: None,
    };
    let mut ranges = key_ranges(Mask { causal: true, window: None }, 1, 20, None);
    ranges[0] = (0, 0);
    ranges[7] = (7, 7);
    let x = Numbers(3).vec(160);
    on_every_machine(
        |context| {
            let (mut out, mut lse) = (vec![1.0; 160], vec![1.0; 20]);
            attention(context, heads, &ranges, &x, &x, &x, &mut out, &mut lse);
            let mut grads = [vec![1.0; 160], vec![1.0; 160], vec![1.0; 160]];
            let [dq, dk, dv] = &mut grads;
            let given = [&x[..], &x, &x, &out, &lse, &x];
            attention_backward(context, heads, &ranges, given, (dq, dk, dv));
            let [dq, dk, dv] = grads;
            vec![out, lse, dq, dk, dv]
        },
        |isa, found| {
            assert!(found[1][0] == f32::NEG_INFINITY && found[1][7] == f32::NEG_INFINITY, "{isa}");
            for row in [0, 7] {
                assert!(found[0][row * 8..row * 8 + 8].iter().all(|&x| x == 0.0), "{isa} out");
                assert!(found[2][row * 8..row * 8 + 8].iter().all(|&x| x == 0.0), "{isa} dq");
            }
            assert!(found[2..].iter().flatten().all(|x| x.is_finite()), "{isa} gradients");
        },
    );
}

#[test]
fn nan_reaches_the_query_it_enters() {
    let heads = Heads {
        batch: 2,
        time: 9,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        scale: 1.0,
        score_cap: None,
    };
    let ranges = key_ranges(Mask { causal: true, window: None }, 2, 9, None);
    let mut q = Numbers(4).vec(2 * 9 * 16);
    let k = Numbers(5).vec(2 * 9 * 8);
    q[3 * 16 + 8] = f32::NAN;
    on_every_machine(
        |context| {
            let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; 36]);
            attention(context, heads, &ranges, &q, &k, &k, &mut out, &mut lse);
            vec![out, lse]
        },
        |isa, found| {
            for (i, chunk) in found[0].chunks(8).enumerate() {
                let nan = i == 3 * 2 + 1;
                assert!(chunk.iter().all(|x| x.is_nan() == nan), "{isa} row, head {i}");
                assert_eq!(found[1][i].is_nan(), nan, "{isa} lse {i}");
            }
        },
    );
}
