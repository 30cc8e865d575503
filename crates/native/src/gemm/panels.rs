//! Weights W `[n, k]` in the order that products x · Wᵀ read them: panels of as many rows of W,
//! columns of the product, as a tile is wide, `[n / width][k][width]`. A strip of B is then a piece
//! of a panel, and few rows of x read a panel as one run through memory, each column in a lane of
//! its own.
//!
//! A panel takes the bytes of the rows that it holds, so that a matrix changes its order in place;
//! rows beyond the last whole panel stay as they are. How quantised blocks lie in a panel is in
//! `integer::layout`.

use std::marker::PhantomData;

use half::{bf16, f16};
use stoa_graph::{DType, any_quantised};

use super::blocks::BlockMatrix;
use super::integer::{row_of_panel, to_panel};
use super::pack::{Operand, Span, Strips};
use super::view::{Element, MatRef};
use crate::isa::{Isa, Kernel, Simd};
use crate::kernels::dequantise::dequantise;
use crate::kernels::disjoint::Disjoint;
use crate::pool::Pool;

/// How the numbers of a panel are stored.
pub(super) trait Format: Copy + Send + Sync + 'static {
    /// LANES numbers: those of columns `at..at + LANES` at index `k` of the sum.
    ///
    /// # Safety
    /// They must lie inside the panel.
    unsafe fn load<S: Simd>(s: S, panel: *const u8, width: usize, k: usize, at: usize) -> S::F32;
    /// The number of column `at` at index `k`.
    ///
    /// # Safety
    /// It must lie inside the panel.
    unsafe fn number(panel: *const u8, width: usize, k: usize, at: usize) -> f32;
    /// Bytes of a panel up to index `k`.
    fn bytes(width: usize, k: usize) -> usize;
}

/// Numbers one after another.
#[derive(Clone, Copy)]
pub(super) struct Plain<T>(PhantomData<T>);

impl<T: Element> Format for Plain<T> {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, panel: *const u8, width: usize, k: usize, at: usize) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { T::load(s, panel.cast::<T>().add(k * width + at)) }
    }
    #[inline(always)]
    unsafe fn number(panel: *const u8, width: usize, k: usize, at: usize) -> f32 {
        // SAFETY: passed on to the caller.
        unsafe { panel.cast::<T>().add(k * width + at).read_unaligned().to_f32() }
    }
    #[inline(always)]
    fn bytes(width: usize, k: usize) -> usize {
        k * width * size_of::<T>()
    }
}

/// Runs an expression with the format of a type of weights.
macro_rules! with_format {
    ($dtype:expr, $format:ident => $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $format = Plain<f32>;
                $body
            }
            DType::F16 => {
                type $format = Plain<f16>;
                $body
            }
            DType::BF16 => {
                type $format = Plain<bf16>;
                $body
            }
            stoa_graph::any_quantised!() => unreachable!("blocks are multiplied in integers"),
            DType::I32 => unreachable!("a matrix of weights holds numbers"),
        }
    };
}
pub(super) use with_format;

/// Whether matrices of a type can be kept in panels. The other quantised ones stay in rows, and are
/// dequantised on their way into packed strips.
pub fn has_panels(dtype: DType) -> bool {
    match dtype {
        DType::F32
        | DType::F16
        | DType::BF16
        | DType::Q8_0
        | DType::Q4_0
        | DType::Q4_1
        | DType::Q5_0
        | DType::Q5_1
        | DType::Q4_K
        | DType::Q5_K
        | DType::Q6_K => true,
        DType::Q2_K | DType::Q3_K | DType::I32 => false,
    }
}

/// A matrix `[rows, cols]` in panels, or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct PanelMatrix<'a> {
    dtype: DType,
    bytes: &'a [u8],
    rows: usize,
    cols: usize,
    width: usize,
    transposed: bool,
}

impl<'a> PanelMatrix<'a> {
    /// `[rows, cols]` in panels `width` wide, as [`to_panels`] leaves them.
    ///
    /// # Panics
    /// If `bytes` are not those of such a matrix, or f32 and halves are not aligned.
    pub fn new(dtype: DType, bytes: &'a [u8], rows: usize, cols: usize, width: usize) -> Self {
        assert_eq!(bytes.len(), rows * row_bytes(dtype, cols), "[{rows}, {cols}] of {dtype}");
        let alignment = if dtype == DType::F32 { 4 } else { 2 };
        assert!(bytes.as_ptr().align_offset(alignment) == 0, "the panels are not aligned");
        PanelMatrix { dtype, bytes, rows, cols, width, transposed: false }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        if self.transposed { self.cols } else { self.rows }
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        if self.transposed { self.rows } else { self.cols }
    }

    /// The transpose, of the same memory.
    pub fn t(self) -> Self {
        PanelMatrix { transposed: !self.transposed, ..self }
    }

    /// Element type.
    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Rows of a panel.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Number of whole panels.
    pub(super) fn panels(&self) -> usize {
        self.rows / self.width
    }

    /// Bytes of a panel.
    pub(super) fn panel_bytes(&self) -> usize {
        self.width * row_bytes(self.dtype, self.cols)
    }

    /// Whole panel `i`.
    pub(super) fn panel(&self, i: usize) -> &'a [u8] {
        assert!(i < self.panels(), "panel {i} of {}", self.panels());
        &self.bytes[i * self.panel_bytes()..][..self.panel_bytes()]
    }

    /// The bytes of the rows beyond the last whole panel.
    pub(super) fn rest_bytes(&self) -> &'a [u8] {
        &self.bytes[self.panels() * self.panel_bytes()..]
    }

    /// The rows beyond the last whole panel, which lie one after another.
    pub(super) fn rest(&self) -> Operand<'a> {
        let bytes = self.rest_bytes();
        let (rows, cols) = (self.rows % self.width, self.cols);
        match self.dtype {
            DType::F32 => MatRef::new(bytemuck::cast_slice::<u8, f32>(bytes), rows, cols).into(),
            DType::F16 => MatRef::new(halves::<f16>(bytes), rows, cols).into(),
            DType::BF16 => MatRef::new(halves::<bf16>(bytes), rows, cols).into(),
            any_quantised!() => BlockMatrix::new(self.dtype, bytes, rows, cols).into(),
            DType::I32 => unreachable!("a matrix of weights holds numbers"),
        }
    }

    /// Copies a row of a matrix that is not transposed, as f32.
    ///
    /// # Panics
    /// If there is no such row or it has another length.
    pub fn row_to_f32(&self, isa: Isa, row: usize, to: &mut [f32]) {
        assert!(!self.transposed && row < self.rows && to.len() == self.cols, "row {row}");
        if row >= self.panels() * self.width {
            return self.rest().row_to_f32(isa, row % self.width, to);
        }
        let (panel, at) = (self.panel(row / self.width), row % self.width);
        if self.dtype.is_quantised() {
            let mut blocks = vec![0; row_bytes(self.dtype, self.cols)];
            row_of_panel(self.dtype, self.width, panel, at, &mut blocks);
            return dequantise(isa, self.dtype, &blocks, to);
        }
        let panel = panel.as_ptr();
        with_format!(self.dtype, F => for (k, to) in to.iter_mut().enumerate() {
            // SAFETY: k < cols and at < width, inside the panel.
            *to = unsafe { F::number(panel, self.width, k, at) };
        });
    }

    /// As [`Operand::pack`], into strips of f32 as wide as a panel.
    ///
    /// # Safety
    /// As for [`Operand::pack`].
    ///
    /// # Panics
    /// If the range leaves the matrix or does not begin with a panel.
    pub(super) unsafe fn pack(&self, s: impl Simd, outer: Span, inner: Span, to: Strips) {
        assert!(!self.transposed && outer.at.is_multiple_of(self.width), "the left factor");
        assert!(outer.at + outer.len <= self.rows && inner.at + inner.len <= self.cols);
        let first = outer.at / self.width;
        let count = self.panels().min((outer.at + outer.len) / self.width) - first;
        for i in 0..count {
            let panel = self.panel(first + i).as_ptr();
            let (width, to) = (self.width, to.start.wrapping_add(i * to.len));
            with_format!(self.dtype, F => {
                s.enter(Unpack::<F> { panel, width, inner, to, format: PhantomData });
            });
        }
    }
}

fn halves<T: bytemuck::Pod>(bytes: &[u8]) -> &[T] {
    bytemuck::cast_slice(bytes)
}

/// A piece of a panel as a strip. Made by [`PanelMatrix::pack`] alone, whose caller vouches for
/// `to`.
struct Unpack<F> {
    panel: *const u8,
    width: usize,
    inner: Span,
    to: *mut f32,
    format: PhantomData<F>,
}

impl<F: Format> Kernel for Unpack<F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Unpack { panel, width, inner, to, .. } = self;
        for k in 0..inner.len {
            for at in (0..width).step_by(S::LANES) {
                // SAFETY: inside the panel, whose width is a multiple of the lanes, and the strip.
                unsafe {
                    let numbers = F::load(s, panel, width, inner.at + k, at);
                    s.store_ptr(numbers, to.add(k * width + at));
                }
            }
        }
    }
}

fn row_bytes(dtype: DType, cols: usize) -> usize {
    let layout = dtype.block();
    cols / layout.elements * layout.bytes
}

/// Brings `[rows, cols]`, row after row, into panels `width` wide.
///
/// # Panics
/// If `bytes` are not those of such a matrix.
pub fn to_panels(
    pool: &Pool,
    dtype: DType,
    [rows, cols]: [usize; 2],
    width: usize,
    bytes: &mut [u8],
) {
    rearrange(pool, dtype, [rows, cols], width, bytes, true);
}

/// Brings panels back into rows.
///
/// # Panics
/// As [`to_panels`].
pub fn to_rows(
    pool: &Pool,
    dtype: DType,
    [rows, cols]: [usize; 2],
    width: usize,
    bytes: &mut [u8],
) {
    rearrange(pool, dtype, [rows, cols], width, bytes, false);
}

fn rearrange(
    pool: &Pool,
    dtype: DType,
    [rows, cols]: [usize; 2],
    width: usize,
    bytes: &mut [u8],
    into_panels: bool,
) {
    assert_eq!(bytes.len(), rows * row_bytes(dtype, cols), "[{rows}, {cols}] of {dtype}");
    let panel = width * row_bytes(dtype, cols);
    let parts = Disjoint::new(bytes);
    pool.run(rows / width, &|i, worker| {
        // SAFETY: each task has a panel of its own.
        let to = unsafe { parts.part(i * panel, panel) };
        pool.with_scratch(worker, panel.div_ceil(size_of::<f32>()), |scratch| {
            let from = &mut bytemuck::cast_slice_mut::<f32, u8>(scratch)[..panel];
            from.copy_from_slice(to);
            let (from_rows, from_cols) = if into_panels { (width, cols) } else { (cols, width) };
            match dtype {
                DType::F32 => transpose::<4>(from, to, from_rows, from_cols),
                DType::F16 | DType::BF16 => transpose::<2>(from, to, from_rows, from_cols),
                any_quantised!() if into_panels => to_panel(dtype, cols, width, from, to),
                any_quantised!() => {
                    let rows = to.chunks_exact_mut(row_bytes(dtype, cols).max(1)).enumerate();
                    rows.for_each(|(at, row)| row_of_panel(dtype, width, from, at, row));
                }
                DType::I32 => unreachable!("a matrix of weights holds numbers"),
            }
        });
    });
}

/// `from` [rows, cols] of elements of E bytes to `to` [cols, rows].
fn transpose<const E: usize>(from: &[u8], to: &mut [u8], rows: usize, cols: usize) {
    let ((from, _), (to, _)) = (from.as_chunks::<E>(), to.as_chunks_mut::<E>());
    if cols == 0 {
        return;
    }
    for (col, to) in to.chunks_exact_mut(rows.max(1)).enumerate() {
        to.iter_mut().enumerate().for_each(|(row, to)| *to = from[row * cols + col]);
    }
}
