//! Products of quantised activations with quantised weights, in integers: what `MatMul` is for rows
//! of `q8_0`.
//!
//! Rows of activations are packed into strips (`rows`), a few at a time. Few rows read each panel of
//! weights in place, once; for many it is unpacked into bytes in a cache first (`tile`). How a type
//! of weights is read is in `format`, where its bytes lie in a panel in `layout`. Weights that lie
//! in rows are brought into panels on the way. All ways give the same bits.

mod format;
mod layout;
mod rows;
mod tile;

use std::marker::PhantomData;

use stoa_graph::DType;

pub(super) use layout::{row_of_panel, to_panel};

use super::blocking::{Parts, Product};
use super::blocks::BlockMatrix;
use super::few::finish;
use super::pack::{Operand, Span};
use super::panels::has_panels;
use crate::isa::{Dots, DotsKernel, Isa};
use crate::pool::Pool;
use format::{BLOCK, Halves, Q6K, Q8, SixBitScales, Unpacked, Weights};
use rows::{PackRows, Strip, WORDS};
use tile::{Panel, Tiles, Unpack};

/// Rows up to which weights are read where they lie.
const FEW_ROWS: usize = 4;
/// Bytes of weights per task: long enough to be worth claiming, short enough to share evenly.
const TASK_BYTES: usize = 64 << 10;

/// Whether a product is one of quantised activations with quantised weights, along the blocks of
/// both, of a type that has kernels.
pub(super) fn suits(product: &Product<'_>) -> bool {
    let weights = match product.b_t {
        Operand::Blocks(w) => !w.is_row_adjacent() && has_panels(w.dtype()),
        Operand::Panels(w) => w.dtype().is_quantised(),
        Operand::F32(_) | Operand::F16(_) | Operand::Bf16(_) => false,
    };
    let adjacent = product.c.cols <= 1 || product.c.col_stride == 1;
    weights && adjacent && activations(product).is_some()
}

fn activations<'a>(product: &Product<'a>) -> Option<BlockMatrix<'a>> {
    match product.a {
        Operand::Blocks(x) => (!x.is_row_adjacent() && x.dtype() == DType::Q8_0).then_some(x),
        Operand::F32(_) | Operand::F16(_) | Operand::Bf16(_) | Operand::Panels(_) => None,
    }
}

/// Carries out a product that [`suits`]; panels are `width` wide.
pub(super) fn multiply(pool: &Pool, isa: Isa, width: usize, product: &Product<'_>) {
    isa.with_dots(Multiply { pool, width, product });
}

struct Multiply<'a> {
    pool: &'a Pool,
    width: usize,
    product: &'a Product<'a>,
}

impl DotsKernel for Multiply<'_> {
    type Output = ();
    fn run<S: Dots>(self, s: S) {
        of_type(s, self.pool, self.width, self.product);
    }
}

fn of_type<S: Dots>(s: S, pool: &Pool, width: usize, product: &Product<'_>) {
    let (dtype, blocks) = match product.b_t {
        Operand::Blocks(w) => (w.dtype(), w.cols() / BLOCK),
        Operand::Panels(w) => (w.dtype(), w.cols() / BLOCK),
        Operand::F32(_) | Operand::F16(_) | Operand::Bf16(_) => unreachable!("not quantised"),
    };
    let x = activations(product).expect("the product suits");
    let run = Run { s, pool, width, product, x, dtype, blocks };
    match dtype {
        DType::Q8_0 => run.multiply::<Q8, true, false, 1>(),
        DType::Q4_0 => run.multiply::<Halves<false, false>, false, false, 1>(),
        DType::Q4_1 => run.multiply::<Halves<false, true>, false, true, 1>(),
        DType::Q5_0 => run.multiply::<Halves<true, false>, false, false, 1>(),
        DType::Q5_1 => run.multiply::<Halves<true, true>, false, true, 1>(),
        DType::Q4_K => run.multiply::<SixBitScales<false>, false, true, 1>(),
        DType::Q5_K => run.multiply::<SixBitScales<true>, false, true, 1>(),
        DType::Q6_K => run.multiply::<Q6K, false, false, 2>(),
        DType::Q2_K | DType::Q3_K | DType::F32 | DType::BF16 | DType::F16 | DType::I32 => {
            unreachable!("the product suits")
        }
    }
}

/// A product on its way.
struct Run<'a, S> {
    s: S,
    pool: &'a Pool,
    /// Columns of a panel.
    width: usize,
    product: &'a Product<'a>,
    x: BlockMatrix<'a>,
    /// Of the weights.
    dtype: DType,
    /// Blocks of 32 along the sum.
    blocks: usize,
}

impl<S: Dots> Run<'_, S> {
    /// With weights of W, which are unpacked as the constants say.
    fn multiply<W: Weights, const WIDE: bool, const MINIMUM: bool, const PARTS: usize>(&self) {
        let (rows, columns) = (self.x.rows(), self.product.c.cols);
        let few = rows <= FEW_ROWS;
        let each = if few { S::ROWS.min(FEW_ROWS) } else { S::ROWS };
        let words = rows * self.blocks * WORDS;
        self.pool.with_joint_scratch(words, |scratch| {
            let parts = Parts::new(scratch);
            let strips = self.pack::<W>(parts, each);
            let row_bytes =
                self.blocks * BLOCK / self.dtype.block().elements * self.dtype.block().bytes;
            let panel_bytes = row_bytes * self.width;
            // Many rows take a panel at a time, which stays in a cache for all of them.
            let per_task = if few { (TASK_BYTES / panel_bytes.max(1)).max(1) } else { 1 };
            let panels = columns.div_ceil(self.width);
            self.pool.run_neighbours(panels.div_ceil(per_task), &|task, worker| {
                let first = task * per_task;
                for panel in first..panels.min(first + per_task) {
                    self.panel::<W, WIDE, MINIMUM, PARTS>(&strips, panel, panel_bytes, worker);
                }
                let all = Span { at: 0, len: columns };
                finish(self.product, all.piece(per_task * self.width, task));
            });
        });
    }

    /// Packs the rows of x, `each` to a strip.
    fn pack<W: Weights>(&self, parts: Parts, each: usize) -> Vec<Strip> {
        let rows = Span { at: 0, len: self.x.rows() };
        let per_row = self.blocks * WORDS;
        let offset = if W::MOST > 127 { S::WIDE_OFFSET } else { W::OFFSET };
        let strips: Vec<Strip> = rows
            .pieces(each)
            .map(|rows| Strip {
                words: parts.address(rows.at * per_row, rows.len * per_row).cast(),
                rows,
            })
            .collect();
        let starts = &strips;
        self.pool.run(strips.len(), &|task, _| {
            let strip = starts[task];
            let words = strip.rows.len * per_row;
            // SAFETY: each task has the words of its own rows.
            let words = unsafe { std::slice::from_raw_parts_mut(strip.words.cast_mut(), words) };
            self.s.enter(PackRows {
                rows: self.x.rows_from(strip.rows.at, strip.rows.len).bytes(),
                blocks: self.blocks,
                offset,
                parts: W::PARTS,
                words,
            });
        });
        strips
    }

    /// All rows times panel `i` of the weights.
    fn panel<W: Weights, const WIDE: bool, const MINIMUM: bool, const PARTS: usize>(
        &self,
        strips: &[Strip],
        i: usize,
        bytes: usize,
        worker: usize,
    ) {
        let (s, product, width, blocks) = (self.s, self.product, self.width, self.blocks);
        let columns = Span { at: 0, len: product.c.cols }.piece(width, i);
        let stored = match product.b_t {
            Operand::Panels(w) => (i < w.panels()).then(|| w.panel(i)),
            Operand::F32(_) | Operand::F16(_) | Operand::Bf16(_) | Operand::Blocks(_) => None,
        };
        let few = self.x.rows() <= FEW_ROWS;
        let unpacked = width * Unpacked::<WIDE, MINIMUM, PARTS>::words(blocks, 0);
        let unpacked = if few { 0 } else { unpacked };
        let packed = if stored.is_some() { 0 } else { bytes.div_ceil(4) };
        self.pool.with_scratch(worker, unpacked + packed, |scratch| {
            let (unpacked, packed) = scratch.split_at_mut(unpacked);
            let start = match stored {
                Some(panel) => panel.as_ptr(),
                None => {
                    let panel = &mut bytemuck::cast_slice_mut::<f32, u8>(packed)[..bytes];
                    to_panel(self.dtype, blocks * BLOCK, width, self.rows(columns), panel);
                    panel.as_ptr()
                }
            };
            let panel = Panel { start, width, blocks };
            if few {
                let weights = PhantomData::<W>;
                return s.enter(Tiles { s, panel, strips, product, columns, weights });
            }
            let to = unpacked.as_mut_ptr().cast();
            let weights = PhantomData::<W>;
            s.enter(Unpack::<S, W, WIDE, MINIMUM, PARTS> { s, panel, to, weights });
            let panel = Panel { start: to, ..panel };
            let weights = PhantomData::<Unpacked<WIDE, MINIMUM, PARTS>>;
            s.enter(Tiles { s, panel, strips, product, columns, weights });
        });
    }

    /// The weights of some columns, where they lie in rows.
    fn rows(&self, columns: Span) -> &[u8] {
        match self.product.b_t {
            Operand::Blocks(w) => w.rows_from(columns.at, columns.len).bytes(),
            Operand::Panels(w) => w.rest_bytes(),
            Operand::F32(_) | Operand::F16(_) | Operand::Bf16(_) => unreachable!("not quantised"),
        }
    }
}
