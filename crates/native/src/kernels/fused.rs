//! A pointwise function of a product, applied to the finished tiles of it while they are in cache.
//! The function is the one that `pointwise` applies in a pass of its own, so both give the same
//! bits. Which ops of a program meet like this is decided in `step`.

use super::pointwise::{Block, Function};
use crate::gemm::epilogue::{Epilogue, Tile};
use crate::gemm::{MatMut, MatRef};
use crate::isa::{Kernel, Simd};

/// An operand of the function, of the product's shape.
pub(crate) enum Input<'a> {
    /// The product itself.
    Product,
    /// Another matrix.
    Matrix(MatRef<'a>),
    /// A matrix that this output overwrites, element by element.
    InOutput(usize),
}

/// Where a result of the function goes.
pub(crate) enum Output<'a> {
    /// Over the product.
    Product,
    /// To another matrix.
    Matrix(MatMut<'a>),
}

/// outputs = f(inputs), tile by tile.
pub(crate) struct OnTiles<'a, F, const I: usize, const O: usize> {
    pub f: F,
    pub inputs: [Input<'a>; I],
    pub outputs: [Output<'a>; O],
}

impl<const I: usize, const O: usize, F: Function<I, O>> Epilogue for OnTiles<'_, F, I, O> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: &mut Tile<'_>) {
        let (col, cols) = (tile.col, tile.cols);
        for i in 0..tile.rows {
            let row = tile.row + i;
            let product = tile.row_mut(i).as_mut_ptr();
            let to: [*mut f32; O] = std::array::from_fn(|o| match &self.outputs[o] {
                Output::Product => product,
                // SAFETY: tiles are disjoint, so this part of the row belongs to this call alone.
                Output::Matrix(m) => unsafe { m.row_part(row, col, cols) }.as_mut_ptr(),
            });
            let from: [*const f32; I] = std::array::from_fn(|i| match &self.inputs[i] {
                Input::Product => product.cast_const(),
                Input::Matrix(m) => m.row_part(row, col, cols).as_ptr(),
                Input::InOutput(o) => to[*o].cast_const(),
            });
            // SAFETY: every pointer has a row of the tile, disjoint from those of other calls; an
            // input that is also an output is read at an element before that element is written.
            unsafe { Block::new(self.f, from, to, cols) }.run(s);
        }
    }
}
