//! Weights that programs keep in panels: the same bits as in rows, for every program that reads
//! them.

use std::collections::BTreeMap;

use stoa_graph::reference::{Array, Rounding, run_rounded};
use stoa_graph::{
    Builder, CompileOptions, DType, Engine, Nonlinearity, Program, Tensor, TensorType,
};

use crate::draws::Draws;
use crate::harness::{ULP, assert_close, bits, each_isa, run_with, upload};

const TYPES: [DType; 6] =
    [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q5_1];
const VOCAB: usize = 101;
const WIDTH: usize = 64;
const INNER: usize = 544;

/// A tied embedding, a product with an activation, one with a residual, and one that is only
/// gathered.
fn program(dtype: DType, tokens: usize) -> Program {
    let mut b = Builder::new();
    let mut weight =
        |name: &str, shape: [usize; 2]| b.state(name, TensorType::new(dtype, shape)).unwrap();
    let (table, other) = (weight("table", [VOCAB, WIDTH]), weight("other", [VOCAB, WIDTH]));
    let (up, down) = (weight("up", [INNER, WIDTH]), weight("down", [WIDTH, INNER]));
    let ids = b.data("ids", TensorType::i32([tokens])).unwrap();
    let x = b.gather(table, ids).unwrap();
    let y = b.gather(other, ids).unwrap();
    let x = b.add(x, y).unwrap();
    let operand = |b: &mut Builder, x| match dtype.is_quantised() {
        true => b.cast(x, DType::Q8_0).unwrap(),
        false => x,
    };
    let given = operand(&mut b, x);
    let h = b.linear_in(given, up, DType::F32).unwrap();
    let h = b.activation(h, Nonlinearity::ReluSquared).unwrap();
    let h = operand(&mut b, h);
    let x = b.linear_residual(h, down, x).unwrap();
    let x = operand(&mut b, x);
    let logits = b.linear_in(x, table, DType::F32).unwrap();
    b.returns("logits", logits).unwrap();
    b.finish()
}

fn inputs(tokens: usize) -> BTreeMap<String, Array> {
    let mut draws = Draws::new(3);
    let mut inputs = BTreeMap::new();
    for (name, shape) in [
        ("table", [VOCAB, WIDTH]),
        ("other", [VOCAB, WIDTH]),
        ("up", [INNER, WIDTH]),
        ("down", [WIDTH, INNER]),
    ] {
        inputs.insert(name.to_owned(), draws.array(&shape, 0.1));
    }
    inputs.insert("ids".to_owned(), draws.integers(&[tokens], 0..VOCAB as i64));
    inputs
}

/// The rows `range` of a run over `tokens`.
fn part(
    inputs: &BTreeMap<String, Array>,
    range: std::ops::Range<usize>,
) -> BTreeMap<String, Array> {
    let mut part = inputs.clone();
    let ids = part.get_mut("ids").unwrap();
    *ids = Array::new([range.len()], ids.data[range].to_vec());
    part
}

#[test]
fn weights_in_panels_give_the_bits_of_rows_in_any_company() {
    const TOKENS: usize = 40;
    let packed = CompileOptions { pack_weights: true, ..CompileOptions::default() };
    for dtype in TYPES {
        let (whole, all) = (program(dtype, TOKENS), inputs(TOKENS));
        let expected = run_rounded(&whole, &all, Rounding::Declared).unwrap();
        each_isa(|engines| {
            for engine in engines {
                let what = format!("{dtype} on {}", engine.facts().name);
                let mut state = upload(engine, &whole, &all);
                let mut rows = engine.compile(&whole, &CompileOptions::default()).unwrap();
                let mut panels = engine.compile(&whole, &packed).unwrap();
                let first = run_with(&mut *rows, &mut state, &all).remove("logits").unwrap();
                // Sums of up to 544 terms, one after another through three products; and where a
                // sum is quantised, its last bit may decide between two integers of 127.
                let tolerance = if dtype.is_quantised() { 0.01 } else { 2000.0 * ULP };
                assert_close(&what, &first, &expected["logits"], tolerance);
                let uploaded = |state: &stoa_graph::Buffers| -> Vec<Tensor> {
                    state.0.values().map(|buffer| engine.download(buffer).unwrap()).collect()
                };
                let weights = uploaded(&state);
                // Programs that want the same buffers in different orders take turns.
                for _ in 0..2 {
                    let found = run_with(&mut *panels, &mut state, &all);
                    assert_eq!(bits(&found["logits"]), bits(&first), "{what}, panels");
                    assert_eq!(uploaded(&state), weights, "{what}, downloaded");
                    let found = run_with(&mut *rows, &mut state, &all);
                    assert_eq!(bits(&found["logits"]), bits(&first), "{what}, rows");
                }
                for count in [1, 2, 7, 13] {
                    let few = program(dtype, count);
                    let mut few = engine.compile(&few, &packed).unwrap();
                    let found = run_with(&mut *few, &mut state, &part(&all, 5..5 + count));
                    let same = bits(&first)[5 * VOCAB..(5 + count) * VOCAB].to_vec();
                    assert_eq!(bits(&found["logits"]), same, "{what}, {count} rows");
                }
            }
        });
    }
}

/// A program that updates a weight that another keeps in panels.
#[test]
fn weights_in_panels_can_be_updated() {
    let packed = CompileOptions { pack_weights: true, ..CompileOptions::default() };
    let mut b = Builder::new();
    let up = b.state("up", TensorType::f32([INNER, WIDTH])).unwrap();
    let twice = b.scale(up, 2.0).unwrap();
    b.updates("up", twice).unwrap();
    let doubling = b.finish();
    let (whole, all) = (program(DType::F32, 3), inputs(3));
    let mut doubled = all.clone();
    doubled.get_mut("up").unwrap().data.iter_mut().for_each(|x| *x *= 2.0);
    each_isa(|engines| {
        let engine = &engines[1];
        let mut panels = engine.compile(&whole, &packed).unwrap();
        let mut double = engine.compile(&doubling, &packed).unwrap();
        let mut state = upload(engine, &whole, &all);
        let expected = run_with(&mut *panels, &mut upload(engine, &whole, &doubled), &all);
        let before = run_with(&mut *panels, &mut state, &all);
        // Shared, so that the update takes bytes of its own.
        let kept = state.clone();
        let _ = double.run(&mut state, &[]).unwrap();
        let after = run_with(&mut *panels, &mut state, &all);
        assert_eq!(bits(&after["logits"]), bits(&expected["logits"]));
        let again = run_with(&mut *panels, &mut kept.clone(), &all);
        assert_eq!(bits(&again["logits"]), bits(&before["logits"]));
    });
}
