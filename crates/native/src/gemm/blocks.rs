//! A factor stored in quantised blocks: parts of it are dequantised on their way into a packed
//! strip.

use stoa_graph::DType;

use super::pack::Span;
use crate::isa::Isa;
use crate::kernels::dequantise::dequantise;

/// A matrix of quantised blocks, each row a whole number of them, read as it is or transposed.
#[derive(Clone, Copy, Debug)]
pub struct BlockMatrix<'a> {
    dtype: DType,
    blocks: &'a [u8],
    /// As stored.
    rows: usize,
    cols: usize,
    transposed: bool,
}

impl<'a> BlockMatrix<'a> {
    /// `[rows, cols]` of a quantised type, row after row.
    ///
    /// # Panics
    /// If the type is not quantised, or `blocks` are not those of this many rows of whole blocks.
    pub fn new(dtype: DType, blocks: &'a [u8], rows: usize, cols: usize) -> Self {
        let layout = dtype.block();
        assert!(
            dtype.is_quantised()
                && cols.is_multiple_of(layout.elements)
                && blocks.len() == rows * cols / layout.elements * layout.bytes,
            "{} bytes are not [{rows}, {cols}] of {dtype}",
            blocks.len()
        );
        BlockMatrix { dtype, blocks, rows, cols, transposed: false }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        if self.transposed { self.cols } else { self.rows }
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        if self.transposed { self.rows } else { self.cols }
    }

    /// Element type.
    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The blocks, row after row as they are stored.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.blocks
    }

    /// The transpose, of the same memory.
    pub fn t(self) -> Self {
        BlockMatrix { transposed: !self.transposed, ..self }
    }

    /// `count` rows from `first` on.
    ///
    /// # Panics
    /// If there are fewer, or the matrix is transposed: its rows are no whole blocks.
    pub(super) fn rows_from(self, first: usize, count: usize) -> Self {
        assert!(!self.transposed, "rows of a transposed matrix of blocks");
        let layout = self.dtype.block();
        let row_bytes = self.cols / layout.elements * layout.bytes;
        let blocks = &self.blocks[first * row_bytes..(first + count) * row_bytes];
        BlockMatrix { blocks, rows: count, ..self }
    }

    /// Whether elements of neighbouring rows, and not those of a row, are neighbours in memory.
    pub(super) fn is_row_adjacent(&self) -> bool {
        self.transposed
    }

    /// The numbers of a part, in the order they are stored in: row after row of it, or column after
    /// column when transposed.
    ///
    /// # Panics
    /// If the part leaves the matrix.
    pub(super) fn part(&self, isa: Isa, rows: Span, cols: Span) -> Vec<f32> {
        let (rows, cols) = if self.transposed { (cols, rows) } else { (rows, cols) };
        assert!(rows.at + rows.len <= self.rows && cols.at + cols.len <= self.cols);
        let layout = self.dtype.block();
        let row_bytes = self.cols / layout.elements * layout.bytes;
        let first = cols.at / layout.elements;
        let end = (cols.at + cols.len).div_ceil(layout.elements);
        let skipped = cols.at - first * layout.elements;
        let mut whole = vec![0.0; (end - first) * layout.elements];
        let mut numbers = Vec::with_capacity(rows.len * cols.len);
        for row in rows.at..rows.at + rows.len {
            let row = &self.blocks[row * row_bytes..(row + 1) * row_bytes];
            let blocks = &row[first * layout.bytes..end * layout.bytes];
            dequantise(isa, self.dtype, blocks, &mut whole);
            numbers.extend_from_slice(&whole[skipped..skipped + cols.len]);
        }
        numbers
    }
}
