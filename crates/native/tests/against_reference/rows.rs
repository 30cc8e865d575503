//! Norms, rotations and tables: ops that work row by row.

use stoa_graph::reference::Array;
use stoa_graph::{DType, Op, RopeSpec};

use crate::draws::Draws;
use crate::harness::{Case, Given, ULP, check_large, check_op, f32s, i32s, typed};

/// Rows, features, and features normalised together.
const SHAPES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (3, 7, 7),
    (5, 6, 3),
    (2, 16, 16),
    (7, 33, 33),
    (3, 34, 17),
    (2, 131, 131),
    (67, 48, 16),
    (0, 8, 4),
];

fn norm_inputs(rows: usize, d: usize, group: usize, weighted: bool) -> Vec<Given> {
    let mut draws = Draws::new((rows + d) as u64);
    let mut given = vec![f32s(draws.array(&[rows, d], 2.0))];
    given.extend(weighted.then(|| f32s(draws.array(&[group], 2.0))));
    given
}

#[test]
fn norms_in_groups() {
    for (rows, d, group) in SHAPES.into_iter().chain([(1031, 97, 97)]) {
        for weighted in [false, true] {
            for eps in [1e-6, 0.5] {
                let op = Op::RmsNorm { group, eps, weighted };
                // A mean of squares, a root, two products.
                check_op(&op, &norm_inputs(rows, d, group, weighted), 16.0 * ULP);
            }
        }
    }
}

#[test]
fn norm_gradients_in_groups() {
    for (rows, d, group) in SHAPES.into_iter().chain([(1031, 97, 97)]) {
        for (weighted, accumulate) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut draws = Draws::new((rows * d) as u64);
            let mut given =
                vec![f32s(draws.array(&[rows, d], 2.0)), f32s(draws.array(&[rows, d], 1.0))];
            given.extend(weighted.then(|| f32s(draws.array(&[group], 2.0))));
            given.extend(accumulate.then(|| f32s(draws.array(&[rows, d], 1.0))));
            let op = Op::RmsNormBackward { group, eps: 0.01, weighted };
            let case = if accumulate { Case::adding(op, 0) } else { Case::from(&op) };
            // Sums over a group, and for dw over all rows; 1/rms up to 10.
            check_op(case, &given, (160.0 + rows as f64) * ULP);
        }
    }
}

#[test]
fn layer_norms_in_groups() {
    for (rows, d, group) in SHAPES.into_iter().chain([(1031, 97, 97)]) {
        // Factors that all groups of a row share, one for each feature, and each for two groups.
        let pairs = if (d / group).is_multiple_of(2) { 2 * group } else { d };
        for (biased, offset, period) in [
            (false, 0.0, group),
            (true, 0.0, group),
            (true, 30.0, group),
            (false, 0.0, d),
            (true, 0.0, pairs),
        ] {
            let mut draws = Draws::new((rows * d + group) as u64);
            // A mean far from 0: the variance is that of what is left of it.
            let mut x = draws.array(&[rows, d], 2.0);
            x.data.iter_mut().for_each(|x| *x += offset);
            let (x, dy) = (f32s(x), f32s(draws.array(&[rows, d], 1.0)));
            let vector = |draws: &mut Draws| f32s(draws.array(&[period], 2.0));
            let mut given = vec![x.clone(), vector(&mut draws)];
            given.extend(biased.then(|| vector(&mut draws)));
            // A mean, a mean of squares, a root, two products. Each element carries a rounding of
            // its size, which 1/sqrt(variance + eps) raises up to 10 times.
            let op = Op::LayerNorm { group, eps: 0.01, biased };
            check_op(&op, &given, (16.0 + 20.0 * offset) * ULP);
            let op = Op::LayerNormBackward { group, eps: 0.01, biased };
            let given = [x, dy, vector(&mut draws)];
            // As for RMSNorm: sums over a group, and over all rows; up to 10 twice.
            let tolerance = (200.0 + rows as f64 + 200.0 * offset) * ULP;
            check_op(&op, &given, tolerance);
            let c = f32s(draws.array(&[rows, d], 1.0));
            let given = [&given[..], &[c]].concat();
            check_op(Case::adding(op, 0), &given, tolerance);
        }
    }
}

#[test]
fn rotations_by_one_and_more_axes() {
    for (axes, head_dim, heads) in
        [(1, 2, 1), (1, 6, 3), (1, 64, 2), (2, 4, 3), (2, 36, 1), (3, 6, 5)]
    {
        for inverse in [false, true] {
            for tokens in [0, 1, 7, 33] {
                let spec = RopeSpec { inverse, ..RopeSpec::geometric(head_dim, 10_000.0, axes) };
                let mut draws = Draws::new(tokens as u64);
                let x = draws.array(&[tokens, heads * head_dim], 1.0);
                let positions = draws.integers(&[tokens, axes], -5..3000);
                // Angles are made in more than f32, or 3000 radians would lose four digits.
                check_op(&Op::Rope(spec), &[f32s(x), i32s(positions)], 4.0 * ULP);
            }
        }
    }
    let spec = RopeSpec::geometric(32, 500.0, 1);
    let mut draws = Draws::new(1);
    let (x, positions) = (draws.array(&[701, 96], 1.0), draws.integers(&[701, 1], 0..701));
    check_large(&Op::Rope(spec), &[f32s(x), i32s(positions)], 4.0 * ULP);
}

#[test]
fn rotations_by_positions_beyond_any_table() {
    let spec = RopeSpec::geometric(6, 10_000.0, 1);
    let x = Draws::new(2).array(&[4, 12], 1.0);
    let far = [f64::from(i32::MAX), f64::from(i32::MIN), -1.0, 1e8];
    let positions = i32s(Array::new([4, 1], far));
    // Angles of 2³¹ in f64 are right to 2³¹·2⁻⁵³ ≈ 4 roundings of f32.
    check_large(&Op::Rope(spec), &[f32s(x), positions], 16.0 * ULP);
}

/// Fewer pairs than a chunk has room for: the rest is copied, or stays where it is, without a factor.
#[test]
fn rotations_of_parts_of_heads() {
    for (head_dim, pairs, axes) in [(8, 1, 1), (14, 3, 2), (64, 17, 1), (5, 2, 1)] {
        let frequencies = (0..pairs).map(|i| 0.7 / (1.0 + i as f64)).collect();
        let factor = if pairs == 3 { 1.0 } else { 1.25 };
        let spec = RopeSpec { head_dim, frequencies, factor, axes, inverse: false };
        let mut draws = Draws::new(head_dim as u64);
        let x = f32s(draws.array(&[13, 3 * head_dim], 1.0));
        let positions = i32s(draws.integers(&[13, axes], -40..900));
        for inverse in [false, true] {
            let op = Op::Rope(RopeSpec { inverse, ..spec.clone() });
            // Two products of numbers of the order of 1.
            check_op(&op, &[x.clone(), positions.clone()], 4.0 * ULP);
        }
    }
}

#[test]
fn tables_of_every_float_type() {
    for (rows, d, n) in [(1, 1, 1), (5, 3, 7), (13, 17, 1), (7, 33, 0), (40, 129, 301)] {
        let mut draws = Draws::new(d as u64);
        let ids = draws.integers(&[n], 0..rows as i64);
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let table = typed(dtype, draws.array(&[rows, d], 1.0));
            check_op(&Op::Gather, &[table, i32s(ids.clone())], 0.0);
        }
        for accumulate in [false, true] {
            let mut given = vec![i32s(ids.clone()), f32s(draws.array(&[n, d], 1.0))];
            given.extend(accumulate.then(|| f32s(draws.array(&[rows, d], 1.0))));
            let op = Op::GatherBackward { rows };
            let case = if accumulate { Case::adding(op, 0) } else { Case::from(&op) };
            // Up to n terms in one row.
            check_op(case, &given, (1.0 + n as f64) * ULP);
        }
    }
}

#[test]
fn tables_of_blocks_and_what_they_cast_to() {
    for (rows, d, n) in [(1, 32_usize, 3), (40, 96, 301), (1031, 64, 7), (40, 768, 61)] {
        let mut draws = Draws::new(d as u64);
        let ids = draws.integers(&[n], 0..rows as i64);
        let types = DType::ALL.into_iter().filter(|ty| ty.is_quantised());
        for dtype in types.filter(|ty| d.is_multiple_of(ty.block().elements)) {
            let table = typed(dtype, draws.array(&[rows, d], 1.0));
            check_large(&Op::Gather, &[table.clone(), i32s(ids.clone())], 0.0);
            for to in [DType::F32, DType::BF16, DType::F16] {
                check_large(&Op::Cast { dtype: to }, std::slice::from_ref(&table), 0.0);
            }
        }
    }
}

#[test]
fn ids_that_are_all_the_same() {
    let mut draws = Draws::new(9);
    let op = Op::GatherBackward { rows: 3 };
    let given = [i32s(draws.integers(&[1001], 1..2)), f32s(draws.array(&[1001, 19], 1.0))];
    check_large(&op, &given, 1001.0 * ULP);
}
