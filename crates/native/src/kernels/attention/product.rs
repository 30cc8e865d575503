//! Products of small blocks, read where they lie: C (+)= A·B with A read one element at a time
//! through any strides and B in whole vectors along its rows. Nothing is packed: a block of
//! attention is too small to repay it. Knows nothing of masks or softmax.

use crate::isa::Simd;

/// The least rows of C worth computing together. They divide the lanes of every instruction set, so
/// that a block of rows never straddles two vectors of queries.
pub(super) const ROWS: usize = 4;
/// Rows of C computed together where registers are few (see [`shape`]).
const TALL: usize = 6;

/// The left factor: element (i, k) lies at `start[i·row + k·column]`.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub start: *const f32,
    pub row: usize,
    pub column: usize,
}

/// The right factor: row k starts at `start[k·row]`, whole vectors readable.
#[derive(Clone, Copy)]
pub(super) struct Right {
    pub start: *const f32,
    pub row: usize,
}

/// The result: row i starts at `start[i·row]`.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub start: *mut f32,
    pub row: usize,
    /// Whether the product is added to the sum so far.
    pub accumulate: bool,
}

/// Rows and vectors of C computed together: as many sums as registers allow beside the vectors of B
/// and one element of A, and one register to spare, or the compiler spills a sum in the inner loop.
/// 6 × 2 of the 16 registers of AVX2, 4 × 4 of the 32 of AVX-512 and NEON.
const fn shape<S: Simd>() -> (usize, usize) {
    if S::LANES == 8 { (TALL, 2) } else { (ROWS, 4) }
}

/// C[0..rows, 0..columns] (+)= A[0..rows, 0..inner]·B[0..inner, 0..columns].
///
/// # Safety
/// A must be readable at all its elements, B at `columns` rounded up to whole vectors per row, and
/// C writable at `columns` per row.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd>(
    s: S,
    rows: usize,
    inner: usize,
    columns: usize,
    a: Left,
    b: Right,
    c: Target,
) {
    let mut column = 0;
    while column < columns {
        let vectors = (columns - column).div_ceil(S::LANES).min(shape::<S>().1);
        let width = (columns - column).min(vectors * S::LANES);
        // SAFETY: the panel lies inside the blocks the caller vouches for.
        unsafe {
            let b = Right { start: b.start.add(column), ..b };
            let c = Target { start: c.start.add(column), ..c };
            match vectors {
                1 => panel::<S, 1>(s, rows, inner, width, a, b, c),
                2 => panel::<S, 2>(s, rows, inner, width, a, b, c),
                3 => panel::<S, 3>(s, rows, inner, width, a, b, c),
                _ => panel::<S, 4>(s, rows, inner, width, a, b, c),
            }
        }
        column += width;
    }
}

/// As [`multiply`], for at most `N` vectors of columns.
#[inline(always)]
unsafe fn panel<S: Simd, const N: usize>(
    s: S,
    rows: usize,
    inner: usize,
    columns: usize,
    a: Left,
    b: Right,
    c: Target,
) {
    let mut row = 0;
    while row < rows {
        let left = rows - row;
        // SAFETY: rows row.. of the blocks the caller vouches for.
        unsafe {
            let a = Left { start: a.start.add(row * a.row), ..a };
            let c = Target { start: c.start.add(row * c.row), ..c };
            if shape::<S>().0 == TALL && left > ROWS {
                block::<S, TALL, N>(s, left.min(TALL), inner, columns, a, b, c);
                row += TALL;
            } else {
                block::<S, ROWS, N>(s, left.min(ROWS), inner, columns, a, b, c);
                row += ROWS;
            }
        }
    }
}

/// As [`panel`], for at most `M` rows.
#[inline(always)]
unsafe fn block<S: Simd, const M: usize, const N: usize>(
    s: S,
    rows: usize,
    inner: usize,
    columns: usize,
    a: Left,
    b: Right,
    c: Target,
) {
    // Missing rows repeat the last one: they are computed and not stored.
    let offset: [usize; M] = std::array::from_fn(|i| i.min(rows - 1) * a.row);
    let mut sums = [[s.zero(); N]; M];
    let (mut left, mut right) = (a.start, b.start);
    for _ in 0..inner {
        // SAFETY: element (i, k) of A and row k of B, vouched for by the caller. The addresses
        // after the last row are formed with wrapping arithmetic and not read.
        unsafe {
            let vectors: [S::F32; N] = std::array::from_fn(|j| s.load_ptr(right.add(j * S::LANES)));
            for i in 0..M {
                let element = s.splat(*left.add(offset[i]));
                for j in 0..N {
                    sums[i][j] = s.mul_add(element, vectors[j], sums[i][j]);
                }
            }
        }
        left = left.wrapping_add(a.column);
        right = right.wrapping_add(b.row);
    }
    let whole = columns == N * S::LANES;
    for (i, sums) in sums.iter().enumerate().take(rows) {
        for (j, &sum) in sums.iter().enumerate() {
            // SAFETY: row i < rows and at most `columns` of it.
            unsafe {
                let at = c.start.add(i * c.row + j * S::LANES);
                let count = if whole { S::LANES } else { columns - j * S::LANES };
                let sum = if c.accumulate { s.add(sum, s.load_first_ptr(at, count)) } else { sum };
                s.store_first_ptr(sum, at, count);
            }
        }
    }
}

/// Writes the transpose of up to `into_columns` rows of `columns` elements, times `factor`:
/// `to[k·into_columns + i] = factor·row(i)[k]`, zero for rows `count..into_columns`.
///
/// # Safety
/// `row(i)` must be readable at `columns` elements for i < count, and `to` writable at
/// `columns·into_columns`; `into_columns` must be a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn transpose<S: Simd>(
    s: S,
    count: usize,
    columns: usize,
    into_columns: usize,
    factor: f32,
    row: impl Fn(usize) -> *const f32,
    to: *mut f32,
) {
    let factor = s.splat(factor);
    let filled = count.next_multiple_of(S::LANES).min(into_columns);
    for first in (0..filled).step_by(S::LANES) {
        for k in (0..columns).step_by(S::LANES) {
            let width = (columns - k).min(S::LANES);
            // [LANES queries, LANES features] → [LANES features, LANES queries]
            let mut square = s.square(s.zero());
            for (i, vector) in square.as_mut().iter_mut().enumerate() {
                if first + i < count {
                    // SAFETY: row first + i < count, `width` elements from k.
                    *vector = unsafe { s.load_first_ptr(row(first + i).add(k), width) };
                }
            }
            let turned = s.transpose(square);
            for (j, &vector) in turned.as_ref().iter().enumerate().take(width) {
                // SAFETY: row k + j < columns of `to`, a whole vector from `first`.
                unsafe {
                    s.store_ptr(s.mul(vector, factor), to.add((k + j) * into_columns + first))
                }
            }
        }
    }
    for k in 0..columns {
        for first in (filled..into_columns).step_by(S::LANES) {
            // SAFETY: row k < columns of `to`, a whole vector from `first`.
            unsafe { s.store_ptr(s.zero(), to.add(k * into_columns + first)) }
        }
    }
}
