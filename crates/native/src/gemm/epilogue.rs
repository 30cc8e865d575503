//! What happens to a part of C right after it is complete, while it is still in cache.
//!
//! An [`Epilogue`] sees every element exactly once, as a [`Tile`] of C that holds the finished
//! product; it may change it in place and write other matrices of the same shape through
//! [`MatMut::row_part`]. Tiles are disjoint and together cover C; their sizes and order are not
//! part of the contract. Two epilogues in a tuple run one after the other on each tile. The engine
//! adds its own by implementing the trait.

use super::view::{MatMut, MatRef};
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

/// Leaves C as it is.
#[derive(Clone, Copy, Debug)]
pub struct Keep;

impl Epilogue for Keep {
    #[inline(always)]
    fn tile<S: Simd>(&self, _: S, _: &mut Tile<'_>) {}
}

impl<A: Epilogue, B: Epilogue> Epilogue for (A, B) {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        self.0.tile(s, tile);
        self.1.tile(s, tile);
    }
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

/// c = f(c) along a row.
#[inline(always)]
pub fn map<S: Simd>(s: S, c: &mut [f32], f: impl Fn(S::F32) -> S::F32) {
    for c in c.chunks_mut(S::LANES) {
        s.store_partial(f(s.load_partial(c)), c);
    }
}

/// c = f(c, x) along a row.
#[inline(always)]
pub fn map2<S: Simd>(s: S, c: &mut [f32], x: &[f32], f: impl Fn(S::F32, S::F32) -> S::F32) {
    for (c, x) in c.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
        s.store_partial(f(s.load_partial(c), s.load_partial(x)), c);
    }
}

/// C += other: the residual stream.
#[derive(Clone, Copy, Debug)]
pub struct Add<'a>(pub MatRef<'a>);

impl Epilogue for Add<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        for i in 0..tile.rows {
            let other = self.0.row_part(tile.row + i, tile.col, tile.cols);
            map2(s, tile.row_mut(i), other, |c, x| s.add(c, x));
        }
    }
}

/// Row i of C times factor i, such as the inverse root mean square of a token.
#[derive(Clone, Copy, Debug)]
pub struct ScaleRows<'a>(pub &'a [f32]);

impl Epilogue for ScaleRows<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        for i in 0..tile.rows {
            let factor = s.splat(self.0[tile.row + i]);
            map(s, tile.row_mut(i), |c| s.mul(c, factor));
        }
    }
}

/// Column j of C times factor j.
#[derive(Clone, Copy, Debug)]
pub struct ScaleCols<'a>(pub &'a [f32]);

impl Epilogue for ScaleCols<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        let factors = &self.0[tile.col..tile.col + tile.cols];
        for i in 0..tile.rows {
            map2(s, tile.row_mut(i), factors, |c, x| s.mul(c, x));
        }
    }
}

/// max(x, 0)²; NaN stays NaN.
#[inline(always)]
fn relu2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.max(s.zero(), x);
    s.mul(x, x)
}

/// C = max(C, 0)².
#[derive(Clone, Copy, Debug)]
pub struct Relu2;

impl Epilogue for Relu2 {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        for i in 0..tile.rows {
            map(s, tile.row_mut(i), |c| relu2(s, c));
        }
    }
}

/// C stays the pre-activation; `activated` = max(C, 0)².
#[derive(Debug)]
pub struct Relu2Beside<'a> {
    /// Written, same shape as C.
    pub activated: MatMut<'a>,
}

impl Epilogue for Relu2Beside<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        for i in 0..tile.rows {
            // SAFETY: tiles are disjoint, so this part of the row is ours.
            let to = unsafe { self.activated.row_part(tile.row + i, tile.col, tile.cols) };
            map2(s, to, tile.row_mut(i), |_, c| relu2(s, c));
        }
    }
}

/// C = C · 2 max(h, 0): from the gradient of the activation to that of the pre-activation h.
#[derive(Clone, Copy, Debug)]
pub struct Relu2Gradient<'a> {
    /// The pre-activation h, same shape as C.
    pub pre: MatRef<'a>,
}

impl Epilogue for Relu2Gradient<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        for i in 0..tile.rows {
            let pre = self.pre.row_part(tile.row + i, tile.col, tile.cols);
            map2(s, tile.row_mut(i), pre, |c, h| {
                let h = s.max(s.zero(), h);
                s.mul(c, s.add(h, h))
            });
        }
    }
}

/// C stays the up-projection u; `hidden` = silu(gate) · u (Shazeer, "GLU Variants Improve
/// Transformer", 2020).
#[derive(Debug)]
pub struct SwiGlu<'a> {
    /// The gate projection, same shape as C, from an earlier product.
    pub gate: MatRef<'a>,
    /// Written, same shape as C.
    pub hidden: MatMut<'a>,
}

impl Epilogue for SwiGlu<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        for i in 0..tile.rows {
            let (row, col, cols) = (tile.row + i, tile.col, tile.cols);
            // SAFETY: tiles are disjoint, so this part of the row is ours.
            let hidden = unsafe { self.hidden.row_part(row, col, cols) };
            let gate = self.gate.row_part(row, col, cols).chunks(S::LANES);
            let up = tile.row_mut(i).chunks(S::LANES);
            for ((gate, up), hidden) in gate.zip(up).zip(hidden.chunks_mut(S::LANES)) {
                let g = s.load_partial(gate);
                let silu = s.mul(g, s.sigmoid(g));
                s.store_partial(s.mul(silu, s.load_partial(up)), hidden);
            }
        }
    }
}

/// C, the gradient of silu(gate) · up, becomes the gradient of `up`; that of the gate is written
/// beside.
#[derive(Debug)]
pub struct SwiGluGradient<'a> {
    /// The gate projection, same shape as C.
    pub gate: MatRef<'a>,
    /// The up-projection, same shape as C.
    pub up: MatRef<'a>,
    /// Written, same shape as C.
    pub d_gate: MatMut<'a>,
}

impl Epilogue for SwiGluGradient<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        let one = s.splat(1.0);
        for i in 0..tile.rows {
            let (row, col, cols) = (tile.row + i, tile.col, tile.cols);
            // SAFETY: tiles are disjoint, so this part of the row is ours.
            let d_gate = unsafe { self.d_gate.row_part(row, col, cols) };
            let gate = self.gate.row_part(row, col, cols).chunks(S::LANES);
            let up = self.up.row_part(row, col, cols).chunks(S::LANES);
            let c = tile.row_mut(i).chunks_mut(S::LANES);
            for (((gate, up), c), d_gate) in gate.zip(up).zip(c).zip(d_gate.chunks_mut(S::LANES)) {
                let (g, u, d) = (s.load_partial(gate), s.load_partial(up), s.load_partial(c));
                let sigmoid = s.sigmoid(g);
                let silu = s.mul(g, sigmoid);
                // silu' = sigmoid + silu (1 - sigmoid)
                let slope = s.mul_add(silu, s.sub(one, sigmoid), sigmoid);
                s.store_partial(s.mul(d, silu), c);
                s.store_partial(s.mul(s.mul(d, u), slope), d_gate);
            }
        }
    }
}
