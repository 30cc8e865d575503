//! What happens to a part of C right after it is complete, while it is still in cache.
//!
//! An [`Epilogue`] sees every element exactly once, as a [`Tile`] of C that holds the finished
//! product; it may change it in place and write other matrices of the same shape through
//! [`MatMut::row_part`](super::MatMut::row_part). Tiles are disjoint and together cover C; their
//! sizes and order are not part of the contract. The engine's epilogues are in `kernels::fused`.

use crate::isa::{Kernel, Simd};
use std::marker::PhantomData;

/// A finished part of C.
pub struct Tile<'a> {
    /// First row, in C.
    pub row: usize,
    /// First column, in C.
    pub col: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    pub(super) ptr: *mut f32,
    pub(super) row_stride: usize,
    pub(super) life: PhantomData<&'a mut [f32]>,
}

impl Tile<'_> {
    /// Row `i` of the tile, that is row `self.row + i` of C from column `self.col` on.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline(always)]
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows, "row {i} of a tile of {}", self.rows);
        // SAFETY: inside the tile, which this struct borrows exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(i * self.row_stride), self.cols) }
    }
}

/// A pass over C fused into the product that makes it.
pub trait Epilogue: Sync {
    /// Handles one tile. Called from several threads; implementations are `#[inline(always)]`.
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>);
}

/// One tile as a kernel, so that it runs compiled for the instruction set of the product.
pub(super) struct Finish<'a, 'b, E>(pub &'a E, pub &'a mut Tile<'b>);

impl<E: Epilogue> Kernel for Finish<'_, '_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.0.tile(s, self.1);
    }
}
