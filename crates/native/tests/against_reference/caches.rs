//! Key-value caches: appending, attending, and a decoder that does both.

use std::collections::BTreeMap;

use stoa_graph::reference::{Array, ReferenceEngine, Rounding};
use stoa_graph::{
    Builder, CachedAttentionSpec, DType, Engine, Op, Places, Program, RopeSpec, TensorType,
};

use crate::draws::Draws;
use crate::harness::{
    Given, ULP, assert_close, check_large, check_op, each_isa, f32s, i32s, run_on, run_with, typed,
    upload,
};

fn integers(values: &[i64]) -> Given {
    i32s(Array::new([values.len()], values.iter().map(|&x| x as f64).collect::<Vec<_>>()))
}

/// The pages of each sequence.
fn table(rows: &[&[i64]]) -> Given {
    let pages: Vec<f64> = rows.concat().iter().map(|&page| page as f64).collect();
    i32s(Array::new([rows.len(), rows[0].len()], pages))
}

/// Pages of `rows` sequences of `columns` each, no two alike and none where it would lie in order.
fn dealt(rows: usize, columns: usize) -> Given {
    let pages = rows * columns;
    let page = |i: usize| (pages - 1 - (i % columns * rows + i / columns)) as f64;
    i32s(Array::new([rows, columns], (0..pages).map(page).collect::<Vec<_>>()))
}

/// Types of caches, with head sizes that they can have: odd ones, and whole blocks.
const CACHES: [(DType, [usize; 4]); 4] = [
    (DType::F32, [1, 7, 16, 33]),
    (DType::BF16, [1, 7, 16, 33]),
    (DType::F16, [1, 7, 16, 33]),
    (DType::Q8_0, [32, 64, 96, 160]),
];

#[test]
fn appending_to_every_type() {
    for (dtype, sizes) in CACHES {
        for features in sizes {
            let mut draws = Draws::new(features as u64);
            let cache = typed(dtype, draws.array(&[4, 2, 5, features], 1.0));
            let mut new = draws.array(&[6, 2 * features], 1.0);
            // Numbers that the narrow types round.
            new.data.iter_mut().for_each(|x| *x = f64::from((*x / 3.0) as f32));
            // One left out, one place written twice: the last stands.
            // Sequences 0 and 2 share their first page.
            let table = table(&[&[3, 1], &[0, 2], &[3, 0]]);
            let sequences = integers(&[2, 0, -1, 1, 0, 2]);
            let positions = integers(&[4, 0, 3, 9, 0, 6]);
            check_op(&Op::KvAppend, &[cache, f32s(new), table, sequences, positions], 0.0);
        }
    }
    let cache = f32s(Draws::new(1).array(&[1, 2, 3, 2], 1.0));
    let none = [f32s(Array::zeros(&[0, 4])), table(&[&[0]]), integers(&[]), integers(&[])];
    check_op(&Op::KvAppend, &[&[cache], &none[..]].concat(), 0.0);
}

#[test]
fn attending_to_every_type() {
    let odd = [(1, 1, 1), (4, 2, 16), (3, 1, 7), (2, 2, 64)];
    let whole = [(1, 1, 32), (4, 2, 32), (3, 1, 96), (2, 2, 64)];
    for (dtype, shapes) in
        [(DType::F32, odd), (DType::BF16, odd), (DType::F16, odd), (DType::Q8_0, whole)]
    {
        for (heads, kv_heads, head_dim) in shapes {
            for (window, score_cap) in [
                (None, None),
                (Some(1), None),
                (Some(3), Some(0.5)),
                (Some(1000), None),
                (None, Some(0.5)),
            ] {
                let mut draws = Draws::new(head_dim as u64);
                // Pages that tiles of keys do not end with.
                let page = if kv_heads == 2 { 37 } else { 5 };
                let columns = 37_usize.div_ceil(page);
                let cache = [4 * columns, kv_heads, page, head_dim];
                let mut of = || typed(dtype, draws.array(&cache, 1.0));
                let (keys, values) = (of(), of());
                let q = f32s(draws.array(&[7, heads * head_dim], 1.0));
                let sequences = integers(&[3, 0, -1, 1, 3, 3, 2]);
                let positions = integers(&[36, 0, 0, 17, 5, 6, 1]);
                let spec = CachedAttentionSpec {
                    heads,
                    kv_heads,
                    head_dim,
                    window,
                    scale: 0.3,
                    score_cap,
                };
                let given = [q, keys, values, dealt(4, columns), sequences, positions];
                // Scores below 6, exponentials, sums over 37 keys.
                check_op(&Op::CachedAttention(spec), &given, 48.0 * ULP);
            }
        }
    }
}

#[test]
fn attending_to_a_long_past() {
    let (heads, kv_heads, head_dim) = (6, 2, 32);
    for dtype in [DType::BF16, DType::Q8_0] {
        let mut draws = Draws::new(1);
        let mut of = || typed(dtype, draws.array(&[2 * 47, kv_heads, 32, head_dim], 1.0));
        let (keys, values) = (of(), of());
        let q = f32s(draws.array(&[5, heads * head_dim], 1.0));
        let sequences = integers(&[0, 1, 0, 1, 1]);
        let positions = integers(&[1499, 1300, 3, 0, 777]);
        let given = [q, keys, values, dealt(2, 47), sequences, positions];
        let spec = CachedAttentionSpec {
            heads,
            kv_heads,
            head_dim,
            window: None,
            scale: 0.2,
            score_cap: None,
        };
        check_large(&Op::CachedAttention(spec.clone()), &given, 48.0 * ULP);
        let capped = CachedAttentionSpec { score_cap: Some(1.5), ..spec };
        check_large(&Op::CachedAttention(capped), &given, 48.0 * ULP);
    }
}

/// One layer of a decoder with its caches as state: tokens in, logits out.
fn decoder(dtype: DType, cache: DType, n: usize) -> Program {
    let head_dim = if cache.is_quantised() { 32 } else { 6 };
    let (vocab, d, heads, kv_heads) = (17, 12, 4, 2);
    let mut b = Builder::new();
    let tokens = b.data("tokens", TensorType::i32([n])).unwrap();
    let table_of_pages = b.data("pages", TensorType::i32([3, 4])).unwrap();
    let sequences = b.data("sequences", TensorType::i32([n])).unwrap();
    let positions = b.data("positions", TensorType::i32([n])).unwrap();
    let mut weight =
        |name: &str, shape: [usize; 2]| b.state(name, TensorType::new(dtype, shape)).unwrap();
    let table = weight("table", [vocab, d]);
    let wq = weight("wq", [heads * head_dim, d]);
    let wk = weight("wk", [kv_heads * head_dim, d]);
    let wv = weight("wv", [kv_heads * head_dim, d]);
    let wo = weight("wo", [d, heads * head_dim]);
    let cache = TensorType::new(cache, [12, kv_heads, 5, head_dim]);
    let [keys, values] = ["keys", "values"].map(|name| b.state(name, cache.clone()).unwrap());
    let rope = RopeSpec::geometric(head_dim, 100.0, 1);
    let spec = CachedAttentionSpec {
        heads,
        kv_heads,
        head_dim,
        window: Some(9),
        scale: 0.4,
        score_cap: None,
    };
    let h = b.gather(table, tokens).unwrap();
    let x = b.rms_norm(h, None, 1e-5).unwrap();
    let [q, k, v] = [wq, wk, wv].map(|w| b.linear(x, w).unwrap());
    let columns = b.reshape(positions, [n, 1]).unwrap();
    let [q, k] = [q, k].map(|x| b.rope(x, columns, rope.clone()).unwrap());
    let places = Places { table: table_of_pages, sequences, positions };
    let keys = b.kv_append(keys, k, places).unwrap();
    let values = b.kv_append(values, v, places).unwrap();
    let a = b.cached_attention(q, (keys, values), places, spec).unwrap();
    let h = b.linear_residual(a, wo, h).unwrap();
    let logits = b.linear(h, table).unwrap();
    b.returns("logits", logits).unwrap();
    b.updates("keys", keys).unwrap();
    b.updates("values", values).unwrap();
    b.finish()
}

#[test]
fn decoding_step_by_step() {
    for (dtype, cache) in
        [(DType::F32, DType::F32), (DType::BF16, DType::BF16), (DType::F32, DType::Q8_0)]
    {
        let program = decoder(dtype, cache, 4);
        let mut draws = Draws::new(11);
        let mut weights = BTreeMap::new();
        for input in program.inputs() {
            let ty = program.ty(input.value);
            weights.insert(input.name.clone(), draws.array(&ty.shape, 0.7));
        }
        // Two sequences: a prompt of two tokens each, then one token each and two empty places.
        let mut steps = Vec::new();
        for t in 0..8 {
            let mut step = weights.clone();
            let (sequences, positions) = match t {
                0 => ([0, 0, 2, 2], [0, 1, 0, 1]),
                _ => ([2, -1, 0, -1], [t + 1, 0, t + 1, 0]),
            };
            step.insert("tokens".into(), draws.integers(&[4], 0..17));
            step.insert("pages".into(), dealt(3, 4).array);
            step.insert("sequences".into(), integers(&sequences).array);
            step.insert("positions".into(), integers(&positions).array);
            steps.push(step);
        }
        let reference = ReferenceEngine::new(Rounding::Declared);
        let mut expected = reference.compile(&program, &Default::default()).unwrap();
        let mut state = upload(&reference, &program, &weights);
        let expected: Vec<Array> = steps
            .iter()
            .map(|step| Array::from(&run_with(&mut *expected, &mut state, step)["logits"]))
            .collect();
        each_isa(|engines| {
            for engine in engines {
                let mut executable = engine.compile(&program, &Default::default()).unwrap();
                let mut state = upload(engine, &program, &weights);
                for (t, (step, expected)) in steps.iter().zip(&expected).enumerate() {
                    let found = run_with(&mut *executable, &mut state, step);
                    let what = format!("{dtype}, {cache}, step {t} on {}", engine.facts().name);
                    // Two sides may round a cache entry to different neighbours in bf16 (8 bits)
                    // or q8_0 (127 steps to the largest number of a block).
                    let tolerance = if cache == DType::F32 { 64.0 * ULP } else { 1.0 / 127.0 };
                    assert_close(&what, &found["logits"], expected, tolerance);
                }
            }
        });
    }
}

/// Queries of a prompt in chunks and one by one: pages of any length, in any order and shared, give
/// the same bits.
#[test]
fn where_pages_lie_changes_no_bit() {
    pages_lie_anywhere(DType::BF16, 24);
    pages_lie_anywhere(DType::Q8_0, 32);
}

fn pages_lie_anywhere(dtype: DType, head_dim: usize) {
    const TIME: usize = 150;
    let (heads, kv_heads) = (4, 2);
    let mut draws = Draws::new(5);
    let rows = draws.array(&[TIME, kv_heads * head_dim], 1.0);
    let q = draws.array(&[TIME, heads * head_dim], 1.0);
    let spec = CachedAttentionSpec {
        heads,
        kv_heads,
        head_dim,
        window: Some(90),
        scale: 0.2,
        score_cap: None,
    };
    let mut expected: Option<Vec<f64>> = None;
    for (page, shift) in [(256, 0), (32, 0), (32, 3), (7, 5), (1, 1)] {
        let columns = TIME.div_ceil(page);
        let mut b = Builder::new();
        let cache = TensorType::new(dtype, [columns + shift, kv_heads, page, head_dim]);
        let cache = b.state("cache", cache).unwrap();
        let data = ["new", "q"].map(|name| match name {
            "new" => b.data(name, TensorType::f32([TIME, kv_heads * head_dim])).unwrap(),
            _ => b.data(name, TensorType::f32([TIME, heads * head_dim])).unwrap(),
        });
        let table = b.data("table", TensorType::i32([2, columns])).unwrap();
        let sequences = b.data("sequences", TensorType::i32([TIME])).unwrap();
        let positions = b.data("positions", TensorType::i32([TIME])).unwrap();
        let places = Places { table, sequences, positions };
        let cache = b.kv_append(cache, data[0], places).unwrap();
        let out = b.cached_attention(data[1], (cache, cache), places, spec.clone()).unwrap();
        b.returns("out", out).unwrap();
        b.updates("cache", cache).unwrap();
        let program = b.finish();
        // Both sequences have the same pages.
        let pages: Vec<i64> = (0..columns).map(|i| (columns - 1 - i + shift) as i64).collect();
        // The first 100 tokens are read as chunks of one sequence, the others turn about.
        let sequence: Vec<i64> =
            (0..TIME).map(|i| if i < 100 { 0 } else { i as i64 % 2 }).collect();
        let inputs = BTreeMap::from([
            ("cache".to_owned(), Array::zeros(&[columns + shift, kv_heads, page, head_dim])),
            ("new".to_owned(), rows.clone()),
            ("q".to_owned(), q.clone()),
            ("table".to_owned(), self::table(&[&pages, &pages]).array),
            ("sequences".to_owned(), integers(&sequence).array),
            ("positions".to_owned(), integers(&(0..TIME as i64).collect::<Vec<_>>()).array),
        ]);
        each_isa(|engines| {
            // The best instruction set alone: others differ in the last bits.
            if engines[0].isa() == stoa_native::isa::Isa::detect() {
                for engine in engines {
                    let found = run_on(engine, &program, &inputs)["out"].to_f64();
                    let expected = expected.get_or_insert_with(|| found.clone());
                    assert!(found == *expected, "pages of {page}");
                }
            }
        });
    }
}

/// A prompt read at once, in chunks of any length or token by token, next to others: the same bits for
/// each query.
#[test]
fn a_query_gives_the_same_bits_alone_and_in_any_company() {
    const TIME: usize = 135;
    const PAGE: usize = 32;
    let shapes = [
        (2, 2, 16, DType::F32),
        (6, 2, 24, DType::F16),
        (20, 1, 7, DType::F32),
        (3, 3, 80, DType::BF16),
        (6, 2, 64, DType::Q8_0),
        (5, 5, 32, DType::Q8_0),
    ];
    for (heads, kv_heads, head_dim, dtype) in shapes {
        let mut draws = Draws::new(heads as u64);
        let rows = draws.array(&[TIME, kv_heads * head_dim], 1.0);
        let q = draws.array(&[TIME, heads * head_dim], 1.0);
        let (scale, window) = (0.2, Some(70));
        let score_cap = (heads == 6).then_some(1.5);
        let spec = CachedAttentionSpec { heads, kv_heads, head_dim, window, scale, score_cap };
        // Rows `range` of the prompt, read as sequence 1 of 2, with `more` tokens of another.
        let read = |range: std::ops::Range<usize>, more: usize| {
            let n = range.len() + more;
            let columns = TIME.div_ceil(PAGE);
            let mut b = Builder::new();
            let filled = TensorType::new(dtype, [2 * columns, kv_heads, PAGE, head_dim]);
            let cache = b.state("cache", filled).unwrap();
            let q_in = b.data("q", TensorType::f32([n, heads * head_dim])).unwrap();
            let table = b.data("table", TensorType::i32([2, columns])).unwrap();
            let sequences = b.data("sequences", TensorType::i32([n])).unwrap();
            let positions = b.data("positions", TensorType::i32([n])).unwrap();
            let places = Places { table, sequences, positions };
            let out = b.cached_attention(q_in, (cache, cache), places, spec.clone()).unwrap();
            b.returns("out", out).unwrap();
            let mut cache = Array::zeros(&[2 * columns, kv_heads, PAGE, head_dim]);
            for position in 0..TIME {
                for head in 0..kv_heads {
                    let page = columns + position / PAGE;
                    let row = (page * kv_heads + head) * PAGE + position % PAGE;
                    let from = position * kv_heads * head_dim + head * head_dim;
                    cache.data[row * head_dim..][..head_dim]
                        .copy_from_slice(&rows.data[from..from + head_dim]);
                }
            }
            let width = heads * head_dim;
            let mut queries = q.data[range.start * width..range.end * width].to_vec();
            queries.extend(&q.data[..more * width]);
            let pages: Vec<i64> = (0..2 * columns as i64).collect();
            let table = self::table(&[&pages[..columns], &pages[columns..]]).array;
            let sequence: Vec<i64> = (0..n).map(|i| i64::from(i < range.len())).collect();
            let position: Vec<i64> = range.clone().chain(0..more).map(|p| p as i64).collect();
            let inputs = BTreeMap::from([
                ("cache".to_owned(), cache),
                ("q".to_owned(), Array::new([n, width], queries)),
                ("table".to_owned(), table),
                ("sequences".to_owned(), integers(&sequence).array),
                ("positions".to_owned(), integers(&position).array),
            ]);
            let mut found = Vec::new();
            each_isa(|engines| {
                let out = run_on(&engines[0], &b.clone().finish(), &inputs)["out"].to_f64();
                found.push(out[..range.len() * width].to_vec());
            });
            found
        };
        let whole = read(0..TIME, 0);
        let width = heads * head_dim;
        for (chunk, more) in [(1, 0), (1, 5), (3, 1), (32, 5), (50, 0)] {
            for start in (0..TIME).step_by(chunk) {
                let end = TIME.min(start + chunk);
                let part = read(start..end, more);
                for (whole, part) in whole.iter().zip(&part) {
                    assert!(whole[start * width..end * width] == part[..], "{start}..{end}");
                }
            }
        }
    }
}
