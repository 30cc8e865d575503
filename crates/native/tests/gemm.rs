//! The packed product against a triple loop in f64: odd sizes, strides, formats, fused passes,
//! NaN, every instruction set of this machine, and bitwise equality over thread counts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use half::{bf16, f16};
use proptest::prelude::*;
use stoa_graph::{DType, Tensor, TensorType};
use stoa_native::gemm::epilogue::{Epilogue, Tile};
use stoa_native::gemm::{
    Arithmetic, BlockMatrix, Element, MatMut, MatRef, Operand, PanelMatrix, Precision, gemm,
    gemm_fused, has_panels, panel_width, to_panels, to_rows,
};
use stoa_native::isa::{Isa, Simd};
use stoa_native::pool::Pool;

/// Deterministic values in -1..1 (splitmix64, Steele et al. 2014).
fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The slow obvious twin, in f64: (value, Σ|a||b| + |beta c|) of every element, row after row.
fn reference(
    alpha: f32,
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
    beta: f32,
    c: impl Fn(usize, usize) -> f32,
    [m, n, k]: [usize; 3],
) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for i in 0..m {
        for j in 0..n {
            let (mut sum, mut size) = (0.0, 0.0);
            for p in 0..k {
                let term = f64::from(a(i, p)) * f64::from(b(p, j));
                sum += term;
                size += term.abs();
            }
            let (alpha, beta) = (f64::from(alpha), f64::from(beta));
            let old = if beta == 0.0 { 0.0 } else { beta * f64::from(c(i, j)) };
            out.push((alpha * sum + old, (alpha * size).abs() + old.abs()));
        }
    }
    out
}

/// Within the worst-case rounding of a sum of k products in f32 (Higham, "Accuracy and Stability of
/// Numerical Algorithms", 2002, section 3.1): γ_k times the sum of magnitudes; `extra` counts the
/// roundings of alpha, beta and what is fused.
fn assert_close(what: &str, got: &[f32], want: &[(f64, f64)], k: usize, extra: usize) {
    assert_eq!(got.len(), want.len());
    let bound = (k + extra + 2) as f64 * f64::from(f32::EPSILON);
    for (i, (&got, &(want, size))) in got.iter().zip(want).enumerate() {
        let close = (f64::from(got) - want).abs() <= bound * size + f64::from(f32::MIN_POSITIVE);
        assert!(close, "{what}: element {i} is {got}, expected {want} (magnitude {size})");
    }
}

/// Sizes at and around every tile border of every set: 1, primes, multiples, one more, one less.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1usize..40, 2 => 40usize..150, 1 => prop::sample::select(vec![
        1, 4, 6, 8, 12, 14, 16, 28, 32, 64, 97, 112, 113, 127, 128, 255, 256, 257,
    ])]
}

/// A matrix stored with gaps and possibly transposed.
#[derive(Clone, Copy, Debug)]
struct Layout {
    transposed: bool,
    gap: usize,
    spread: usize,
}

impl Layout {
    /// (row stride, column stride, length) for a shape.
    fn strides(self, rows: usize, cols: usize) -> (usize, usize, usize) {
        let inner = if self.transposed { rows } else { cols };
        let outer_stride = inner * self.spread + self.gap;
        let outer = if self.transposed { cols } else { rows };
        let (row, col) =
            if self.transposed { (self.spread, outer_stride) } else { (outer_stride, self.spread) };
        (row, col, outer * outer_stride)
    }
}

fn layout() -> impl Strategy<Value = Layout> {
    let spread = prop_oneof![4 => Just(1usize), 1 => Just(3usize)];
    (any::<bool>(), prop_oneof![Just(0usize), Just(5)], spread)
        .prop_map(|(transposed, gap, spread)| Layout { transposed, gap, spread })
}

fn factor() -> impl Strategy<Value = f32> {
    prop::sample::select(vec![0.0, 1.0, -1.0, 0.37])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn plain_product_matches_the_triple_loop(
        (m, n, k) in (size(), size(), size()),
        layouts in prop::array::uniform3(layout()),
        (alpha, beta) in (factor(), factor()),
        seed in any::<u64>(),
    ) {
        let (ars, acs, alen) = layouts[0].strides(m, k);
        let (brs, bcs, blen) = layouts[1].strides(k, n);
        let (crs, ccs, clen) = layouts[2].strides(m, n);
        let (a, b, old) = (values(seed, alen), values(seed ^ 1, blen), values(seed ^ 2, clen));
        let want = reference(
            alpha,
            |i, p| a[i * ars + p * acs],
            |p, j| b[p * brs + j * bcs],
            beta,
            |i, j| old[i * crs + j * ccs],
            [m, n, k],
        );
        for isa in Isa::available() {
            let mut first: Option<Vec<f32>> = None;
            for threads in [1, 2, 3] {
                let pool = Pool::new(threads);
                let mut c = old.clone();
                gemm(
                    &pool,
                    isa,
                    alpha,
                    MatRef::strided(&a, m, k, ars, acs),
                    MatRef::strided(&b, k, n, brs, bcs),
                    beta,
                    MatMut::strided(&mut c, m, n, crs, ccs),
                );
                let inside = |i: usize, j: usize| i * crs + j * ccs;
                let got: Vec<f32> =
                    (0..m * n).map(|e| c[inside(e / n, e % n)]).collect();
                assert_close(&format!("{isa}"), &got, &want, k, 2);
                // Nothing between the elements was touched.
                let mut expected = old.clone();
                for e in 0..m * n {
                    expected[inside(e / n, e % n)] = got[e];
                }
                prop_assert_eq!(&c, &expected);
                prop_assert_eq!(first.get_or_insert_with(|| c.clone()), &c);
            }
        }
    }

    /// Rounding the operands is part of the definition, so the reference multiplies the rounded
    /// ones and the tolerance is that of a sum in f32.
    #[test]
    fn products_of_bf16_match_the_triple_loop(
        (m, n, k) in (size(), size(), size()),
        layouts in prop::array::uniform3(layout()),
        beta in factor(),
        stored in prop::array::uniform2(0usize..3),
        seed in any::<u64>(),
    ) {
        let (ars, acs, alen) = layouts[0].strides(m, k);
        let (brs, bcs, blen) = layouts[1].strides(k, n);
        let (crs, ccs, clen) = layouts[2].strides(m, n);
        let (a, b, old) = (values(seed, alen), values(seed ^ 1, blen), values(seed ^ 2, clen));
        let (a, b) = (Stored::new(&a, stored[0]), Stored::new(&b, stored[1]));
        let want = reference(
            1.0,
            |i, p| a.rounded(i * ars + p * acs),
            |p, j| b.rounded(p * brs + j * bcs),
            beta,
            |i, j| old[i * crs + j * ccs],
            [m, n, k],
        );
        for isa in Isa::available() {
            let mut first: Option<Vec<f32>> = None;
            for threads in [1, 2, 3] {
                let mut c = old.clone();
                let arithmetic = Arithmetic { isa, precision: Precision::Bf16 };
                let to = MatMut::strided(&mut c, m, n, crs, ccs);
                let (a, b) = (a.view(m, k, ars, acs), b.view(k, n, brs, bcs));
                gemm(&Pool::new(threads), arithmetic, 1.0, a, b, beta, to);
                let got: Vec<f32> = (0..m * n).map(|e| c[(e / n) * crs + (e % n) * ccs]).collect();
                assert_close(&format!("{isa}"), &got, &want, k, 2);
                prop_assert_eq!(first.get_or_insert_with(|| c.clone()), &c);
            }
        }
    }

    #[test]
    fn sixteen_bit_weights_convert_exactly(
        (m, n, k) in (size(), size(), size()),
        transposed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let x = values(seed, m * k);
        let w = values(seed ^ 1, n * k);
        let halves: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
        let brains: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
        let pool = Pool::new(2);
        // Stored [n, k] or [k, n]; the conversion is exact, so results equal those of the widened.
        fn view<T: Element>(w: &[T], n: usize, k: usize, t: bool) -> MatRef<'_, T> {
            if t { MatRef::new(w, n, k).t() } else { MatRef::new(w, k, n) }
        }
        for isa in Isa::available() {
            let product = |b: Operand<'_>| {
                let mut c = vec![f32::NAN; m * n];
                gemm(&pool, isa, 1.0, MatRef::new(&x, m, k), b, 0.0, MatMut::new(&mut c, m, n));
                c
            };
            let wide: Vec<f32> = halves.iter().map(|w| w.to_f32()).collect();
            let expected = product(view(&wide, n, k, transposed).into());
            prop_assert_eq!(product(view(&halves, n, k, transposed).into()), expected);
            let wide: Vec<f32> = brains.iter().map(|w| w.to_f32()).collect();
            let expected = product(view(&wide, n, k, transposed).into());
            prop_assert_eq!(product(view(&brains, n, k, transposed).into()), expected);
        }
    }

    #[test]
    fn an_epilogue_sees_every_finished_element_once(
        (m, n, k) in (size(), size(), size()),
        seed in any::<u64>(),
    ) {
        let (x, w) = (values(seed, m * k), values(seed ^ 1, n * k));
        let pool = Pool::new(2);
        for isa in Isa::available() {
            let (a, b) = (MatRef::new(&x, m, k), MatRef::new(&w, n, k).t());
            let mut plain = vec![f32::NAN; m * n];
            gemm(&pool, isa, 1.0, a, b, 0.0, MatMut::new(&mut plain, m, n));
            let (mut c, mut seen) = (vec![f32::NAN; m * n], vec![0.0; m * n]);
            let epilogue = NegateAndCopy { beside: MatMut::new(&mut seen, m, n) };
            gemm_fused(&pool, isa, 1.0, a, b, 0.0, MatMut::new(&mut c, m, n), &epilogue);
            // Added to zeros, so equal only where visited once, with the sum complete.
            prop_assert_eq!(&seen, &plain);
            let negated: Vec<f32> = plain.iter().map(|x| -x).collect();
            prop_assert_eq!(&c, &negated);
        }
    }
}

/// A matrix in one of the formats.
enum Stored {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Stored {
    fn new(values: &[f32], format: usize) -> Stored {
        match format {
            0 => Stored::F32(values.to_vec()),
            1 => Stored::F16(values.iter().map(|&x| f16::from_f32(x)).collect()),
            _ => Stored::Bf16(values.iter().map(|&x| bf16::from_f32(x)).collect()),
        }
    }

    /// An element as a product of bf16 takes it.
    fn rounded(&self, at: usize) -> f32 {
        let stored = match self {
            Stored::F32(v) => v[at],
            Stored::F16(v) => v[at].to_f32(),
            Stored::Bf16(v) => v[at].to_f32(),
        };
        bf16::from_f32(stored).to_f32()
    }

    fn view(&self, rows: usize, cols: usize, rs: usize, cs: usize) -> Operand<'_> {
        match self {
            Stored::F32(v) => MatRef::strided(v, rows, cols, rs, cs).into(),
            Stored::F16(v) => MatRef::strided(v, rows, cols, rs, cs).into(),
            Stored::Bf16(v) => MatRef::strided(v, rows, cols, rs, cs).into(),
        }
    }
}

/// beside += c, c = −c
struct NegateAndCopy<'a> {
    beside: MatMut<'a>,
}

impl Epilogue for NegateAndCopy<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, _: S, tile: &mut Tile<'_>) {
        for i in 0..tile.rows {
            let (row, col, cols) = (tile.row + i, tile.col, tile.cols);
            // SAFETY: tiles are disjoint.
            let beside = unsafe { self.beside.row_part(row, col, cols) };
            for (c, beside) in tile.row_mut(i).iter_mut().zip(beside) {
                *beside += *c;
                *c = -*c;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..Default::default() })]

    #[test]
    fn panels_have_the_bits_of_rows_alone_and_among_others(
        (m, n, k) in (1usize..30, size(), size()),
        dtype in prop::sample::select(types_in_panels()),
        beta in prop::sample::select(vec![0.0_f32, 1.0]),
        seed in any::<u64>(),
    ) {
        let block = dtype.block().elements;
        check_panels([m, n, (k * 32 / block).max(1).min(k) * block], dtype, beta, seed);
    }
}

fn types_in_panels() -> Vec<DType> {
    DType::ALL.into_iter().filter(|&dtype| has_panels(dtype)).collect()
}

/// The product with weights in panels against the one with the same weights in rows, bit for bit, for
/// all rows together and for each alone; and that panels become the same rows again.
fn check_panels([m, n, k]: [usize; 3], dtype: DType, beta: f32, seed: u64) {
    let tensor = |seed, rows, dtype| {
        Tensor::f32([rows, k], values(seed, rows * k)).unwrap().converted(dtype).unwrap()
    };
    let weights = tensor(seed ^ 1, n, dtype);
    // What panels are multiplied with.
    let x = tensor(seed, m, if dtype.is_quantised() { DType::Q8_0 } else { DType::F32 });
    let c = values(seed ^ 2, m * n);
    for isa in Isa::available() {
        let width = panel_width(isa);
        // Aligned as f32 are.
        let bytes = weights.bytes();
        let mut aligned = vec![0.0_f32; bytes.len().div_ceil(size_of::<f32>())];
        let panels = &mut bytemuck::cast_slice_mut::<f32, u8>(&mut aligned)[..bytes.len()];
        panels.copy_from_slice(bytes);
        to_panels(&Pool::new(2), dtype, [n, k], width, panels);
        let matrix = PanelMatrix::new(dtype, panels, n, k, width);
        // Rows `first..first + count` of x.
        let product = |threads, first: usize, count: usize, w: Operand<'_>| {
            let mut y = c[first * n..(first + count) * n].to_vec();
            let x = rows_of(&x).rows_from(first, count);
            gemm(&Pool::new(threads), isa, 1.0, x, w.t(), beta, MatMut::new(&mut y, count, n));
            y
        };
        let expected = product(1, 0, m, rows_of(&weights));
        for threads in [1, 3] {
            assert_eq!(product(threads, 0, m, matrix.into()), expected, "{isa} {dtype}");
        }
        for count in [1, 2, 3, 4, 5, 7] {
            for (first, expected) in (0..m).step_by(count).zip(expected.chunks(count * n)) {
                let found = product(2, first, count.min(m - first), matrix.into());
                assert_eq!(found, expected, "{isa} {dtype}, {count} rows from {first}");
            }
        }
        for row in 0..n {
            let [mut found, mut expected] = [vec![f32::NAN; k], vec![f32::NAN; k]];
            matrix.row_to_f32(isa, row, &mut found);
            rows_of(&weights).row_to_f32(isa, row, &mut expected);
            assert_eq!(found, expected, "{isa}, row {row}");
        }
        to_rows(&Pool::new(2), dtype, [n, k], width, panels);
        assert_eq!(panels, bytes, "{isa}");
    }
}

/// A matrix as it is stored.
fn rows_of(weights: &Tensor) -> Operand<'_> {
    let TensorType { dtype, shape } = weights.ty();
    let (rows, cols, bytes) = (shape[0], shape[1], weights.bytes());
    match dtype {
        DType::F32 => MatRef::new(bytemuck::cast_slice::<u8, f32>(bytes), rows, cols).into(),
        DType::F16 => MatRef::new(weights.elements::<f16>().unwrap(), rows, cols).into(),
        DType::BF16 => MatRef::new(weights.elements::<bf16>().unwrap(), rows, cols).into(),
        _ => BlockMatrix::new(dtype, bytes, rows, cols).into(),
    }
}

/// Spans of the sum that are cut (beyond 512 terms), several panels and tasks, an end of a panel.
#[test]
fn long_sums_in_panels_have_the_bits_of_rows() {
    for (i, dtype) in types_in_panels().into_iter().enumerate() {
        for [m, n, k] in [[3, 203, 1184], [14, 64, 544], [65, 97, 1056]] {
            let k = k - k % dtype.block().elements;
            check_panels([m, n, k], dtype, 1.0, i as u64);
        }
    }
}

/// Sizes beyond one block in every direction, once; proptest covers the small ones.
#[test]
fn sizes_beyond_one_block_match_and_ignore_the_thread_count() {
    for (m, n, k) in [(2700, 70, 401), (40, 2100, 800), (301, 333, 1201)] {
        let (a, b) = (values(1, m * k), values(2, n * k));
        let want =
            reference(1.0, |i, p| a[i * k + p], |p, j| b[j * k + p], 0.0, |_, _| 0.0, [m, n, k]);
        for isa in Isa::available() {
            let run = |threads| {
                let mut c = vec![f32::NAN; m * n];
                let mut negated = vec![f32::NAN; m * n];
                let b = MatRef::new(&b, n, k).t();
                let (pool, a) = (Pool::new(threads), MatRef::new(&a, m, k));
                gemm(&pool, isa, 1.0, a, b, 0.0, MatMut::new(&mut c, m, n));
                let mut seen = vec![0.0; m * n];
                let epilogue = NegateAndCopy { beside: MatMut::new(&mut seen, m, n) };
                let to = MatMut::new(&mut negated, m, n);
                gemm_fused(&pool, isa, 1.0, a, b, 0.0, to, &epilogue);
                assert_eq!(c, seen, "{isa}");
                assert!(c.iter().zip(&negated).all(|(c, negated)| *negated == -c), "{isa}");
                c
            };
            let one = run(1);
            assert_close(&format!("{isa} {m} {n} {k}"), &one, &want, k, 0);
            assert_products_of_bf16_sum_over_blocks(isa, [m, n, k], &a, &b);
            for threads in [2, 3] {
                assert_eq!(run(threads), one, "{isa} with {threads} threads");
            }
        }
    }
}

/// A `[m, k]`, B `[n, k]`: bitwise alike at any thread count and close to the sum of rounded ones.
fn assert_products_of_bf16_sum_over_blocks(isa: Isa, [m, n, k]: [usize; 3], a: &[f32], b: &[f32]) {
    let round = |x: f32| bf16::from_f32(x).to_f32();
    let (left, right) = (|i, p| round(a[i * k + p]), |p, j| round(b[j * k + p]));
    let want = reference(1.0, left, right, 0.0, |_, _| 0.0, [m, n, k]);
    let run = |threads| {
        let mut c = vec![f32::NAN; m * n];
        let (a, b) = (MatRef::new(a, m, k), MatRef::new(b, n, k).t());
        let arithmetic = Arithmetic { isa, precision: Precision::Bf16 };
        gemm(&Pool::new(threads), arithmetic, 1.0, a, b, 0.0, MatMut::new(&mut c, m, n));
        c
    };
    let one = run(1);
    assert_close(&format!("bf16 {isa} {m} {n} {k}"), &one, &want, k, 0);
    assert_eq!(run(3), one, "bf16 {isa} with 3 threads");
}

#[test]
fn nan_in_c_is_overwritten_and_nan_in_a_and_b_propagates() {
    let (m, n, k) = (31, 45, 50);
    let pool = Pool::new(2);
    for isa in Isa::available() {
        let (mut a, b) = (values(1, m * k), values(2, k * n));
        a[7 * k + 3] = f32::NAN;
        a[9 * k + 4] = f32::INFINITY;
        let mut c = vec![f32::NAN; m * n];
        let (a, b) = (MatRef::new(&a, m, k), MatRef::new(&b, k, n));
        gemm(&pool, isa, 1.0, a, b, 0.0, MatMut::new(&mut c, m, n));
        for (i, row) in c.chunks(n).enumerate() {
            match i {
                7 => assert!(row.iter().all(|x| x.is_nan()), "{isa}"),
                9 => assert!(row.iter().all(|x| !x.is_finite()), "{isa}"),
                _ => assert!(row.iter().all(|x| x.is_finite()), "{isa} row {i}"),
            }
        }
        gemm(&pool, isa, 0.0, a, b, 0.0, MatMut::new(&mut c, m, n));
        assert!(c[7 * n].is_nan() && c[0] == 0.0, "{isa}: alpha 0 still forms the product");
        let arithmetic = Arithmetic { isa, precision: Precision::Bf16 };
        gemm(&pool, arithmetic, 1.0, a, b, 0.0, MatMut::new(&mut c, m, n));
        for (i, row) in c.chunks(n).enumerate() {
            match i {
                7 => assert!(row.iter().all(|x| x.is_nan()), "{isa} bf16"),
                9 => assert!(row.iter().all(|x| !x.is_finite()), "{isa} bf16"),
                _ => assert!(row.iter().all(|x| x.is_finite()), "{isa} bf16 row {i}"),
            }
        }
    }
}

#[test]
fn empty_products() {
    let pool = Pool::new(2);
    for isa in Isa::available() {
        let mut c = [1.0f32, 2.0, 3.0, 4.0];
        let empty: [f32; 0] = [];
        let (a, b) = (MatRef::new(&empty, 2, 0), MatRef::new(&empty, 0, 2));
        gemm(&pool, isa, 1.0, a, b, 0.5, MatMut::new(&mut c, 2, 2));
        assert_eq!(c, [0.5, 1.0, 1.5, 2.0], "an empty sum leaves beta * C");
        gemm(&pool, isa, 1.0, a, b, 0.0, MatMut::new(&mut c, 2, 2));
        assert_eq!(c, [0.0; 4]);
        let (a, b) = (MatRef::new(&c, 0, 2), MatRef::new(&c, 2, 2));
        gemm(&pool, isa, 1.0, a, b, 0.0, MatMut::new(&mut [], 0, 2));
    }
}

#[test]
#[should_panic(expected = "[2, 3] times [2, 2] does not make [2, 2]")]
fn mismatched_shapes_are_named() {
    let data = [0.0f32; 6];
    let mut c = [0.0f32; 4];
    let (a, b) = (MatRef::new(&data, 2, 3), MatRef::new(&data, 2, 2));
    gemm(&Pool::new(1), Isa::Portable, 1.0, a, b, 0.0, MatMut::new(&mut c, 2, 2));
}
