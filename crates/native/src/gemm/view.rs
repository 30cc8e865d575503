//! Strided views of matrices: what a product reads and writes.
//!
//! A view borrows a slice and says where row i, column j lies: `i * row_stride + j * col_stride`.
//! Transposing and cutting out a block only change these numbers.

use crate::isa::Simd;
use half::{bf16, f16};
use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use crate::isa::Avx512Bf16;

/// A number format a matrix can be stored in; arithmetic is always f32.
pub trait Element: Copy + Send + Sync + sealed::Sealed + 'static {
    /// The value as f32, exactly.
    fn to_f32(self) -> f32;
    /// Loads `S::LANES` consecutive elements.
    ///
    /// # Safety
    /// `S::LANES` elements must be readable at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::F32;
    /// Loads `2 · LANES` consecutive elements as pairs of bf16, rounded to nearest even.
    ///
    /// # Safety
    /// They must be readable at `p`.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_pairs(s: Avx512Bf16, p: *const Self) -> <Avx512Bf16 as Simd>::F32 {
        // SAFETY: passed on to the caller.
        unsafe { s.round_to_pairs(Self::load(s, p), Self::load(s, p.add(Avx512Bf16::LANES))) }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f32) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { s.load_ptr(p) }
    }
}

impl Element for f16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.to_f32_const()
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f16) -> S::F32 {
        // SAFETY: passed on to the caller; f16 is a transparent u16.
        unsafe { s.load_f16_ptr(p.cast()) }
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const bf16) -> S::F32 {
        // SAFETY: passed on to the caller; bf16 is a transparent u16.
        unsafe { s.load_bf16_ptr(p.cast()) }
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_pairs(s: Avx512Bf16, p: *const bf16) -> <Avx512Bf16 as Simd>::F32 {
        // SAFETY: pairs of bf16 as they lie in memory, of the size of LANES f32.
        unsafe { s.load_ptr(p.cast()) }
    }
}

/// Index of the last element of a view plus one, or 0 for an empty one.
fn extent(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        return 0;
    }
    let last = (rows - 1).checked_mul(row_stride).and_then(|r| {
        (cols - 1)
            .checked_mul(col_stride)
            .and_then(|c| r.checked_add(c))
            .and_then(|i| i.checked_add(1))
    });
    last.unwrap_or(usize::MAX)
}

/// A matrix to read.
#[derive(Debug)]
pub struct MatRef<'a, T = f32> {
    pub(super) ptr: *const T,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
    life: PhantomData<&'a [T]>,
}

impl<T> Clone for MatRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for MatRef<'_, T> {}

// SAFETY: a MatRef is a shared borrow of a slice.
unsafe impl<T: Sync> Send for MatRef<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for MatRef<'_, T> {}

impl<'a, T: Element> MatRef<'a, T> {
    /// `[rows, cols]`, row after row without gaps.
    ///
    /// # Panics
    /// If `data` is shorter than that.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols, 1)
    }

    /// `[rows, cols]` with element (i, j) at `i * row_stride + j * col_stride`.
    ///
    /// # Panics
    /// If an element lies outside `data`.
    pub fn strided(
        data: &'a [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        let needed = extent(rows, cols, row_stride, col_stride);
        assert!(
            needed <= data.len(),
            "a [{rows}, {cols}] view with strides {row_stride}, {col_stride} needs {needed} \
             elements, {} given",
            data.len()
        );
        MatRef { ptr: data.as_ptr(), rows, cols, row_stride, col_stride, life: PhantomData }
    }

    /// A view of memory known by address.
    ///
    /// # Safety
    /// Every element of the view must be readable, and not be written, for `'a`.
    pub unsafe fn from_raw(
        ptr: *const T,
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        MatRef { ptr, rows, cols, row_stride, col_stride, life: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Whether elements of neighbouring rows, and not those of a row, are neighbours in memory.
    pub(super) fn is_row_adjacent(&self) -> bool {
        self.row_stride == 1 && self.col_stride != 1
    }

    /// The transpose, of the same memory.
    #[inline(always)]
    pub fn t(self) -> Self {
        MatRef {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// The `[rows, cols]` block whose first element is (row, col).
    ///
    /// # Panics
    /// If it does not lie inside.
    pub fn block(self, row: usize, col: usize, rows: usize, cols: usize) -> Self {
        assert!(
            row + rows <= self.rows && col + cols <= self.cols,
            "block [{rows}, {cols}] at ({row}, {col}) leaves the matrix [{}, {}]",
            self.rows,
            self.cols
        );
        let ptr = self.ptr.wrapping_add(row * self.row_stride + col * self.col_stride);
        MatRef { ptr, rows, cols, ..self }
    }

    /// Element (row, col).
    ///
    /// # Panics
    /// If it does not lie inside.
    pub fn at(&self, row: usize, col: usize) -> T {
        assert!(row < self.rows && col < self.cols, "({row}, {col}) is outside");
        // SAFETY: inside the view, which lies inside the borrowed memory.
        unsafe { *self.ptr.add(row * self.row_stride + col * self.col_stride) }
    }

    /// `len` elements of `row` from `col` on, for a matrix whose rows have no gaps.
    ///
    /// # Panics
    /// If they do not lie inside or columns are not adjacent.
    #[inline(always)]
    pub fn row_part(&self, row: usize, col: usize, len: usize) -> &'a [T] {
        assert!(row < self.rows && col + len <= self.cols && self.col_stride == 1);
        // SAFETY: inside the view, and adjacent.
        unsafe { std::slice::from_raw_parts(self.ptr.add(row * self.row_stride + col), len) }
    }
}

/// A matrix to write. No two of its elements share memory.
#[derive(Debug)]
pub struct MatMut<'a> {
    pub(super) ptr: *mut f32,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: a MatMut is an exclusive borrow of a slice.
unsafe impl Send for MatMut<'_> {}
// SAFETY: shared access only reads the sizes; writing through `&MatMut` is unsafe.
unsafe impl Sync for MatMut<'_> {}

impl<'a> MatMut<'a> {
    /// `[rows, cols]`, row after row without gaps.
    ///
    /// # Panics
    /// If `data` is shorter than that.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols, 1)
    }

    /// `[rows, cols]` with element (i, j) at `i * row_stride + j * col_stride`.
    ///
    /// # Panics
    /// If an element lies outside `data` or two of them coincide.
    pub fn strided(
        data: &'a mut [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        let needed = extent(rows, cols, row_stride, col_stride);
        assert!(
            needed <= data.len(),
            "a [{rows}, {cols}] view with strides {row_stride}, {col_stride} needs {needed} \
             elements, {} given",
            data.len()
        );
        // One row must end before the next begins, or one column before the next.
        let rows_apart = rows <= 1 || row_stride > cols.saturating_sub(1) * col_stride;
        let cols_apart = cols <= 1 || col_stride > rows.saturating_sub(1) * row_stride;
        let apart = (rows_apart && (cols <= 1 || col_stride > 0))
            || (cols_apart && (rows <= 1 || row_stride > 0));
        assert!(
            needed == 0 || apart,
            "elements of a [{rows}, {cols}] output with strides {row_stride}, {col_stride} coincide"
        );
        MatMut { ptr: data.as_mut_ptr(), rows, cols, row_stride, col_stride, life: PhantomData }
    }

    /// A view of memory known by address.
    ///
    /// # Safety
    /// Every element of the view must be writable and used by no one else for `'a`, and no two
    /// elements may coincide.
    pub unsafe fn from_raw(
        ptr: *mut f32,
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        MatMut { ptr, rows, cols, row_stride, col_stride, life: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The transpose, of the same memory.
    pub fn t(self) -> Self {
        let MatMut { ptr, rows, cols, row_stride, col_stride, life } = self;
        let (row_stride, col_stride) = (col_stride, row_stride);
        MatMut { ptr, rows: cols, cols: rows, row_stride, col_stride, life }
    }

    /// The `[rows, cols]` block whose first element is (row, col).
    ///
    /// # Panics
    /// If it does not lie inside.
    pub fn block(&mut self, row: usize, col: usize, rows: usize, cols: usize) -> MatMut<'_> {
        assert!(
            row + rows <= self.rows && col + cols <= self.cols,
            "block [{rows}, {cols}] at ({row}, {col}) leaves the matrix [{}, {}]",
            self.rows,
            self.cols
        );
        let ptr = self.ptr.wrapping_add(row * self.row_stride + col * self.col_stride);
        let (row_stride, col_stride) = (self.row_stride, self.col_stride);
        MatMut { ptr, rows, cols, row_stride, col_stride, life: PhantomData }
    }

    /// The same matrix to read, while this one is not written.
    pub fn as_ref(&self) -> MatRef<'_> {
        let MatMut { ptr, rows, cols, row_stride, col_stride, .. } = *self;
        MatRef { ptr, rows, cols, row_stride, col_stride, life: PhantomData }
    }

    /// Part of a row, through a shared view: several threads may write disjoint parts.
    ///
    /// # Safety
    /// No other reference to any of these elements may be alive.
    ///
    /// # Panics
    /// If the part does not lie inside or columns are not adjacent.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's duty")]
    pub unsafe fn row_part(&self, row: usize, col: usize, len: usize) -> &mut [f32] {
        assert!(row < self.rows && col + len <= self.cols && self.col_stride == 1);
        // SAFETY: inside the view, and adjacent; exclusive by the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(row * self.row_stride + col), len) }
    }
}
