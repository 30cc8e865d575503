//! Gradients of a whole transformer block: recomputation and accumulation change no term.

use stoa_graph::reference::run;
use stoa_graph::{AttentionSpec, Builder, Nonlinearity, Recompute, RopeSpec, ValueId, gradients};

use crate::draws::Draws;
use crate::finite::{Inputs, POLICIES, differentiate};

/// A Llama block with QK-norm under a tied head: h·table, SwiGLU, two residuals, documents.
fn llama(b: &mut Builder, x: &[ValueId]) -> ValueId {
    let [table, n1, wq, wk, wv, nq, nk, wo, n2, gate, up, down, nf] = x[..13] else { panic!() };
    let [ids, positions, segments, targets, weights] = x[13..18] else { panic!() };
    let (batch, heads, kv_heads, head_dim) = (2, 4, 2, 2);
    let rope = RopeSpec::geometric(head_dim, 50.0, 1);
    let spec = AttentionSpec {
        batch,
        heads,
        kv_heads,
        head_dim,
        causal: true,
        window: Some(4),
        scale: 0.7,
        score_cap: None,
    };
    let h = b.gather(table, ids).unwrap();
    let y = b.rms_norm(h, Some(n1), 1e-5).unwrap();
    let q = b.linear(y, wq).unwrap();
    let k = b.linear(y, wk).unwrap();
    let v = b.linear(y, wv).unwrap();
    let q = b.rms_norm_grouped(q, Some(nq), head_dim, 1e-5).unwrap();
    let k = b.rms_norm_grouped(k, Some(nk), head_dim, 1e-5).unwrap();
    let q = b.rope(q, positions, rope.clone()).unwrap();
    let k = b.rope(k, positions, rope.clone()).unwrap();
    let (a, _) = b.attention(q, k, v, Some(segments), spec).unwrap();
    let h = b.linear_residual(a, wo, h).unwrap();
    let y = b.rms_norm(h, Some(n2), 1e-5).unwrap();
    let g = b.linear(y, gate).unwrap();
    let u = b.linear(y, up).unwrap();
    let s = b.gated(g, u, Nonlinearity::Silu).unwrap();
    let h = b.linear_residual(s, down, h).unwrap();
    let y = b.rms_norm(h, Some(nf), 1e-5).unwrap();
    b.cross_entropy(y, table, targets, weights, Some(5.0)).unwrap().0
}

fn llama_inputs() -> Inputs {
    let (vocab, d, heads, kv, hidden, tokens) = (11, 6, 8, 4, 7, 10);
    Inputs::new(17)
        .wrt(&[vocab, d])
        .wrt(&[d])
        .wrt(&[heads, d])
        .wrt(&[kv, d])
        .wrt(&[kv, d])
        .wrt(&[2])
        .wrt(&[2])
        .wrt(&[d, heads])
        .wrt(&[d])
        .wrt(&[hidden, d])
        .wrt(&[hidden, d])
        .wrt(&[d, hidden])
        .wrt(&[d])
        .integers(&[tokens], 0..11)
        .integers(&[tokens, 1], 0..5)
        .exactly(&[0, 0, 0, 1, 1, 2, 2, 3, 3, 3])
        .exactly(&[3, 1, -1, 10, 0, 4, 4, -1, 2, 7])
        .constant(&[tokens])
}

#[test]
fn a_whole_llama_block() {
    for policy in POLICIES {
        differentiate(&llama_inputs(), policy, llama).check(&format!("llama, {policy:?}"));
    }
}

#[test]
fn recomputation_changes_no_bit_and_makes_values_again() {
    let inputs = llama_inputs();
    let kept = differentiate(&inputs, Recompute::Nothing, llama);
    let expected = kept.gradients();
    let mut nodes = kept.backward.nodes().len();
    for policy in &POLICIES[1..] {
        let remade = differentiate(&inputs, *policy, llama);
        assert_eq!(remade.gradients(), expected, "{policy:?}");
        let more = remade.backward.nodes().len();
        assert!(more > nodes, "{policy:?} makes nothing again: {more} nodes after {nodes}");
        nodes = more;
    }
}

#[test]
fn accumulators_are_added_to() {
    let inputs = llama_inputs();
    let plain = differentiate(&inputs, Recompute::Cheap, llama);
    let expected = plain.gradients();
    let mut b = Builder::new();
    let values = inputs.declare(&mut b);
    let loss = llama(&mut b, &values);
    let wrt: Vec<ValueId> = inputs.wanted().iter().map(|&i| values[i]).collect();
    let mut map = inputs.map();
    let mut accumulators = Vec::new();
    for (seed, &v) in wrt.iter().enumerate() {
        let ty = b.ty(v).clone();
        let name = format!("sum{seed}");
        map.insert(name.clone(), Draws::new(100 + seed as u64).array(&ty.shape));
        accumulators.push(b.state(name, ty).unwrap());
    }
    let grads = gradients(&mut b, loss, &wrt, &accumulators, Recompute::Cheap).unwrap();
    for (i, &g) in grads.values.iter().enumerate() {
        b.updates(&format!("sum{i}"), g).unwrap();
    }
    let program = b.finish();
    let results = run(&program, &map).unwrap();
    for (i, name) in plain.wanted.iter().enumerate() {
        let (sum, start) = (&results[&format!("sum{i}")], &map[&format!("sum{i}")]);
        for j in 0..sum.data.len() {
            let expected = start.data[j] + expected[name].data[j];
            // The terms are summed in another order: a few roundings of 2⁻⁵³.
            assert!((sum.data[j] - expected).abs() < 1e-13, "{name}[{j}]");
        }
    }
}
