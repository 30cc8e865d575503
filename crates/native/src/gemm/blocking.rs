//! The loops around the inner one: which block of which operand is in which cache, and which
//! thread works on it.
//!
//! C is cut into panels of `nc` columns and the sum into spans of `kc`; each pair is a step. All
//! threads pack the step's panel of B together; then each takes blocks of `mc` rows, packs its rows
//! of A and multiplies (Smith et al., "Anatomy of High-Performance Many-Threaded Matrix
//! Multiplication", 2014: the loop over row blocks is the one shared among threads). When there are
//! few rows, A is packed together as well and blocks of columns are shared too. Packing waits for
//! memory and multiplying for arithmetic, so the packing of the next step is mixed into the tasks
//! of the current one. Every choice depends on sizes alone.

use super::epilogue::Tile;
use super::micro::Tiling;
use super::pack::{Operand, Span, Strips};
use super::view::MatMut;
use crate::pool::Pool;
use std::marker::PhantomData;

/// Called with each finished tile.
pub(super) type OnFinished<'a> = &'a (dyn Fn(&mut Tile<'_>) + Sync);

/// A product to carry out: C = alpha · A · B + beta · C. Sizes are checked by the caller.
pub(super) struct Product<'a> {
    pub alpha: f32,
    /// `[m, k]`
    pub a: Operand<'a>,
    /// `[n, k]`: B transposed.
    pub b_t: Operand<'a>,
    pub beta: f32,
    /// `[m, n]`
    pub c: MatMut<'a>,
    pub finished: Option<OnFinished<'a>>,
}

/// Block sizes in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub kc: usize,
    pub mc: usize,
    pub nc: usize,
    /// Columns per task, when A is packed together.
    pub nb: usize,
    /// Whether all of A's rows are packed by all threads together for each span of k.
    pub joint_a: bool,
}

/// Bound on the elements of a strip along k (`kc` holds one or two k each): a strip of B (32 × 512 floats, 64 KB, on AVX-512) overflows the first-level
/// cache, but the second level streams it fast enough (64 bytes are used per 7 cycles), and
/// longer sums mean fewer passes over C.
const KC: usize = 512;
/// Bound on `nc`: a packed panel of B is at most 512 × 2048 floats, 4 MB, a share of the last
/// level.
const NC: usize = 2048;
/// Strips of A in a block: 112 rows × 512 floats are 229 KB, well inside a second-level cache.
const STRIPS_PER_BLOCK: usize = 8;
/// With this many blocks of rows there is enough to share without cutting columns too.
const ENOUGH_BLOCKS: usize = 24;

impl Blocks {
    pub fn new<S: Tiling>(m: usize, n: usize, k: usize) -> Blocks {
        // Equal spans, so that none is left too short to amortise its pass over C.
        let even = |total: usize, bound: usize, unit: usize| {
            let pieces = total.div_ceil(bound).max(1);
            total.div_ceil(pieces).next_multiple_of(unit).max(unit)
        };
        let kc = even(k, KC * S::INNER, 8);
        let nc = even(n, NC, S::NR);
        let mc = even(m, S::MR * STRIPS_PER_BLOCK, S::MR);
        let joint_a = m.div_ceil(mc) < ENOUGH_BLOCKS;
        let column_blocks = ENOUGH_BLOCKS.div_ceil(m.div_ceil(mc).max(1));
        let nb = if joint_a { even(nc.div_ceil(column_blocks), NC, S::NR) } else { nc };
        Blocks { kc, mc, nc, nb, joint_a }
    }
}

/// Strips of B packed by one task where packing transposes.
const PACK_STRIPS: usize = 4;
/// Inner indices packed by one task where packing copies: each is one run through memory. Whole
/// elements of any form.
const PACK_RUNS: usize = 64;

/// Elements that `inner` indices of the contraction fill.
fn depth<S: Tiling>(inner: usize) -> usize {
    inner.div_ceil(S::INNER)
}

/// Hands disjoint parts of one buffer to several tasks.
#[derive(Clone, Copy)]
pub(super) struct Parts(*mut f32, usize);

// SAFETY: only an address; its methods state who may use what.
unsafe impl Send for Parts {}
// SAFETY: as above.
unsafe impl Sync for Parts {}

impl Parts {
    pub fn new(buffer: &mut [f32]) -> Parts {
        Parts(buffer.as_mut_ptr(), buffer.len())
    }

    /// Address of element `at`, where `len` elements follow.
    pub fn address(self, at: usize, len: usize) -> *mut f32 {
        assert!(at + len <= self.1, "part {at}..{} of {}", at + len, self.1);
        self.0.wrapping_add(at)
    }

    /// # Safety
    /// No live reference to `at..at + len` may be used to write.
    unsafe fn shared<'a>(self, at: usize, len: usize) -> &'a [f32] {
        assert!(at + len <= self.1, "part {at}..{} of {}", at + len, self.1);
        // SAFETY: inside the buffer; not written by the caller's word.
        unsafe { std::slice::from_raw_parts(self.0.add(at), len) }
    }
}

/// Strips of B that each strip of A meets in turn. The longer runs this makes in the rows of C suit
/// the prefetcher; more strips than this would push the block of A out of the second-level cache.
const GROUP: usize = 4;

/// Carries out a product with the whole pool.
pub(super) fn multiply<S: Tiling>(s: S, pool: &Pool, product: &Product<'_>) {
    let (m, n, k) = (product.c.rows, product.c.cols, product.a.cols());
    let blocks = Blocks::new::<S>(m, n, k);
    let deepest = depth::<S>(blocks.kc);
    let b_floats = blocks.nc.min(n.next_multiple_of(S::NR)) * deepest;
    let a_floats = if blocks.joint_a { m.next_multiple_of(S::MR) * deepest } else { 0 };
    // An empty sum still scales C by beta.
    let spans = k.div_ceil(blocks.kc).max(1);
    let steps = n.div_ceil(blocks.nc) * spans;
    let step = |i: usize| Step {
        s,
        pool,
        product,
        blocks,
        columns: Span { at: 0, len: n }.piece(blocks.nc, i / spans),
        inner: Span { at: 0, len: k }.piece(blocks.kc, i % spans),
    };
    let half = b_floats + a_floats;
    pool.with_joint_scratch(half * steps.min(2), |joint| {
        let (even, odd) = joint.split_at_mut(half);
        let (even, odd) = (Parts::new(even), Parts::new(odd));
        let panels = |i: usize| if i.is_multiple_of(2) { even } else { odd };
        let first = step(0);
        // SAFETY: nothing else uses the buffers yet, and every packing task happens once.
        pool.run(first.pack_tasks(), &|task, _| unsafe { first.pack(task, panels(0), b_floats) });
        for i in 0..steps {
            let (now, next) = (step(i), step(i + 1));
            let packing = if i + 1 < steps { next.pack_tasks() } else { 0 };
            let total = packing + now.multiply_tasks();
            // Packing tasks are spread evenly: number p is the one at which p / packing of all
            // tasks have begun.
            pool.run(total, &|task, worker| {
                let packed = task * packing / total;
                // SAFETY: this step's panels are complete and only read; the next step's are in
                // the other buffer, each part written by one task.
                unsafe {
                    if (task + 1) * packing / total > packed {
                        next.pack(packed, panels(i + 1), b_floats);
                    } else {
                        now.multiply(task - packed, worker, panels(i), b_floats);
                    }
                }
            });
        }
    });
}

/// One panel of B (`columns` × `inner`) against all rows of A.
struct Step<'a, S> {
    s: S,
    pool: &'a Pool,
    product: &'a Product<'a>,
    blocks: Blocks,
    columns: Span,
    inner: Span,
}

impl<S: Tiling> Step<'_, S> {
    /// Elements of a strip.
    fn depth(&self) -> usize {
        depth::<S>(self.inner.len)
    }

    fn rows(&self) -> Span {
        Span { at: 0, len: self.product.c.rows }
    }

    /// Number of tasks that pack the panel of B.
    fn b_tasks(&self) -> usize {
        self.pieces(&self.product.b_t, self.columns, S::NR * PACK_STRIPS)
    }

    /// Number of tasks that pack the panel of B, and A if it is shared.
    fn pack_tasks(&self) -> usize {
        let a = if self.blocks.joint_a { self.rows() } else { Span { at: 0, len: 0 } };
        self.b_tasks() + self.pieces(&self.product.a, a, self.blocks.mc)
    }

    /// Number of tasks that pack `outer` indices of an operand: `size` outer indices each, or
    /// [`PACK_RUNS`] inner ones, whichever follows memory.
    fn pieces(&self, operand: &Operand<'_>, outer: Span, size: usize) -> usize {
        if outer.len > 0 && operand.is_outer_adjacent() {
            self.inner.len.div_ceil(PACK_RUNS)
        } else {
            outer.len.div_ceil(size)
        }
    }

    /// What packing task `task` of [`Step::pieces`] packs: outer and inner indices, and the place of
    /// the first of its strips among those of `outer`, which are `width` wide.
    fn piece(
        &self,
        operand: &Operand<'_>,
        outer: Span,
        size: usize,
        width: usize,
        task: usize,
    ) -> (Span, Span, usize) {
        if operand.is_outer_adjacent() {
            let inner = self.inner.piece(PACK_RUNS, task);
            (outer, inner, depth::<S>(inner.at - self.inner.at) * width)
        } else {
            let piece = outer.piece(size, task);
            (piece, self.inner, (piece.at - outer.at) * self.depth())
        }
    }

    /// One packing task; the panel of B comes first in `panels`, A follows at `a_at`.
    ///
    /// # Safety
    /// No one else may use `panels`, except other packing tasks of this step.
    unsafe fn pack(&self, task: usize, panels: Parts, a_at: usize) {
        let (s, blocks, product) = (self.s, self.blocks, self.product);
        let left = task >= self.b_tasks();
        let (operand, outer, size, width, at, task) = if left {
            (&product.a, self.rows(), blocks.mc, S::MR, a_at, task - self.b_tasks())
        } else {
            (&product.b_t, self.columns, S::NR * PACK_STRIPS, S::NR, 0, task)
        };
        let (outer, inner, first) = self.piece(operand, outer, size, width, task);
        let len = width * self.depth();
        let end = (outer.len.div_ceil(width) - 1) * len + width * depth::<S>(inner.len);
        let to = Strips { start: panels.address(at + first, end), len };
        // SAFETY: strips inside the panels; pieces are disjoint, and each is one task.
        unsafe {
            if left {
                s.pack_a(operand, outer, inner, to);
            } else {
                s.pack_b(operand, outer, inner, to);
            }
        }
    }

    fn column_blocks(&self) -> usize {
        self.columns.len.div_ceil(self.blocks.nb)
    }

    /// Number of tasks that multiply.
    fn multiply_tasks(&self) -> usize {
        self.rows().len.div_ceil(self.blocks.mc) * self.column_blocks()
    }

    /// One multiplying task.
    ///
    /// # Safety
    /// All packing tasks of this step must have finished and no one may write `panels`.
    unsafe fn multiply(&self, task: usize, worker: usize, panels: Parts, a_at: usize) {
        let (s, inner, blocks, depth) = (self.s, self.inner, self.blocks, self.depth());
        let rows = self.rows().piece(blocks.mc, task / self.column_blocks());
        let columns = self.columns.piece(blocks.nb, task % self.column_blocks());
        let b_len = columns.len.next_multiple_of(S::NR) * depth;
        let a_len = rows.len.next_multiple_of(S::MR) * depth;
        // SAFETY: only read until the step ends, by the caller's word.
        let b = unsafe { panels.shared((columns.at - self.columns.at) * depth, b_len) };
        if blocks.joint_a {
            // SAFETY: as above.
            let a = unsafe { panels.shared(a_at + rows.at * depth, a_len) };
            self.block(rows, columns, a, b);
        } else {
            self.pool.with_scratch(worker, a_len, |a| {
                let to = Strips::in_buffer(a, S::MR, rows.len, depth);
                // SAFETY: the strips fit into the buffer, which is borrowed.
                unsafe { s.pack_a(&self.product.a, rows, inner, to) };
                self.block(rows, columns, a, b);
            });
        }
    }

    /// One packed block of A times packed columns of B.
    fn block(&self, rows: Span, columns: Span, a: &[f32], b: &[f32]) {
        let Step { s, product, inner, .. } = *self;
        let depth = self.depth();
        let beta = if inner.at == 0 { product.beta } else { 1.0 };
        let c = &product.c;
        let target = Target { ptr: c.ptr, row_stride: c.row_stride, col_stride: c.col_stride };
        let last = inner.at + inner.len == product.a.cols();
        for (group, cols) in columns.pieces(S::NR * GROUP).enumerate() {
            let b = &b[group * GROUP * S::NR * depth..];
            for (i, tile_rows) in rows.pieces(S::MR).enumerate() {
                let a = &a[i * S::MR * depth..];
                for (strip, tile_cols) in cols.pieces(S::NR).enumerate() {
                    let b = &b[strip * S::NR * depth..];
                    // SAFETY: the tile lies inside C and belongs to this task; `a` and `b` are its
                    // packed strips.
                    unsafe {
                        multiply_tile(
                            s,
                            depth,
                            product.alpha,
                            a,
                            b,
                            beta,
                            target,
                            tile_rows,
                            tile_cols,
                        );
                    }
                }
            }
            if let (true, Some(finished)) = (last, product.finished) {
                finished(&mut Tile {
                    row: rows.at,
                    col: cols.at,
                    rows: rows.len,
                    cols: cols.len,
                    ptr: target.at(rows.at, cols.at),
                    row_stride: c.row_stride,
                    life: PhantomData,
                });
            }
        }
    }
}

/// Where C lies.
#[derive(Clone, Copy)]
struct Target {
    ptr: *mut f32,
    row_stride: usize,
    col_stride: usize,
}

impl Target {
    fn at(self, row: usize, col: usize) -> *mut f32 {
        self.ptr.wrapping_add(row * self.row_stride + col * self.col_stride)
    }
}

/// One strip of A times one strip of B.
///
/// # Safety
/// `rows` (at most MR) × `cols` (at most NR) of C must be writable and used by no one else; `a` and
/// `b` start with their strips, each of length `depth`.
#[inline(always)]
unsafe fn multiply_tile<S: Tiling>(
    s: S,
    depth: usize,
    alpha: f32,
    a: &[f32],
    b: &[f32],
    beta: f32,
    c: Target,
    rows: Span,
    cols: Span,
) {
    assert!(a.len() >= S::MR * depth && b.len() >= S::NR * depth, "a strip is too short");
    let (a, b) = (a.as_ptr(), b.as_ptr());
    if cols.len == S::NR && c.col_stride == 1 {
        let to = c.at(rows.at, cols.at);
        // SAFETY: a whole tile of C; strips of that depth.
        return unsafe { s.multiply(rows.len, depth, a, b, to, c.row_stride, alpha, beta) };
    }
    let mut tile = S::tile();
    let tile = tile.as_mut();
    // SAFETY: the buffer is a whole tile; strips of that depth.
    unsafe { s.multiply(rows.len, depth, a, b, tile.as_mut_ptr(), S::NR, alpha, 0.0) };
    for i in 0..rows.len {
        for j in 0..cols.len {
            let to = c.at(rows.at + i, cols.at + j);
            let product = tile[i * S::NR + j];
            // SAFETY: inside rows × cols of C.
            unsafe { *to = if beta == 0.0 { product } else { beta * *to + product } };
        }
    }
}
