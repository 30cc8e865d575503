//! The loops around the inner one: which block of which operand is in which cache, and which
//! thread works on it.
//!
//! C is cut into panels of `nc` columns and the sum into spans of `kc`. For each pair, all threads
//! pack that panel of B together; then each takes blocks of `mc` rows, packs its rows of A and
//! multiplies (Smith et al., "Anatomy of High-Performance Many-Threaded Matrix Multiplication",
//! 2014: the loop over row blocks is the one shared among threads). When there are few rows, A is
//! packed together as well and blocks of columns are shared too. Every choice depends on sizes
//! alone.

use super::epilogue::Tile;
use super::micro::Tiling;
use super::pack::{Operand, Span};
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

/// Bound on `kc`: a strip of B (32 × 512 floats, 64 KB, on AVX-512) overflows the first-level
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
        let kc = even(k, KC, 8);
        let nc = even(n, NC, S::NR);
        let mc = even(m, S::MR * STRIPS_PER_BLOCK, S::MR);
        let joint_a = m.div_ceil(mc) < ENOUGH_BLOCKS;
        let column_blocks = ENOUGH_BLOCKS.div_ceil(m.div_ceil(mc).max(1));
        let nb = if joint_a { even(nc.div_ceil(column_blocks), NC, S::NR) } else { nc };
        Blocks { kc, mc, nc, nb, joint_a }
    }
}

/// Strips of B packed by one task.
const PACK_STRIPS: usize = 4;

/// Hands disjoint parts of one buffer to several tasks.
#[derive(Clone, Copy)]
struct Parts(*mut f32, usize);

// SAFETY: only an address; `Parts::part` states who may use what.
unsafe impl Send for Parts {}
// SAFETY: as above.
unsafe impl Sync for Parts {}

impl Parts {
    fn new(buffer: &mut [f32]) -> Parts {
        Parts(buffer.as_mut_ptr(), buffer.len())
    }

    /// # Safety
    /// No other live reference may overlap `at..at + len`.
    unsafe fn part<'a>(self, at: usize, len: usize) -> &'a mut [f32] {
        assert!(at + len <= self.1, "part {at}..{} of {}", at + len, self.1);
        // SAFETY: inside the buffer; exclusive by the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}

/// Carries out a product with the whole pool.
pub(super) fn multiply<S: Tiling>(s: S, pool: &Pool, product: &Product<'_>) {
    let (m, n, k) = (product.c.rows, product.c.cols, product.a.cols());
    let blocks = Blocks::new::<S>(m, n, k);
    let b_floats = blocks.nc.min(n.next_multiple_of(S::NR)) * blocks.kc;
    let a_floats = if blocks.joint_a { m.next_multiple_of(S::MR) * blocks.kc } else { 0 };
    pool.with_joint_scratch(b_floats + a_floats, |joint| {
        let (b_packed, a_packed) = joint.split_at_mut(b_floats);
        for columns in (Span { at: 0, len: n }).pieces(blocks.nc) {
            // An empty sum still scales C by beta.
            for i in 0..k.div_ceil(blocks.kc).max(1) {
                let inner = Span { at: 0, len: k }.piece(blocks.kc, i);
                let step = Step { s, pool, product, blocks, columns, inner };
                step.pack(b_packed, a_packed);
                step.multiply(b_packed, a_packed);
            }
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
    fn rows(&self) -> Span {
        Span { at: 0, len: self.product.c.rows }
    }

    /// Packs the panel of B, and A if it is shared.
    fn pack(&self, b_packed: &mut [f32], a_packed: &mut [f32]) {
        let (s, inner, blocks) = (self.s, self.inner, self.blocks);
        let b_piece = S::NR * PACK_STRIPS;
        let b_tasks = self.columns.len.div_ceil(b_piece);
        let a_tasks = if blocks.joint_a { self.rows().len.div_ceil(blocks.mc) } else { 0 };
        let (b_parts, a_parts) = (Parts::new(b_packed), Parts::new(a_packed));
        self.pool.run(b_tasks + a_tasks, &|task, _| {
            if task < b_tasks {
                let piece = self.columns.piece(b_piece, task);
                let at = (piece.at - self.columns.at) * inner.len;
                let len = piece.len.next_multiple_of(S::NR) * inner.len;
                // SAFETY: pieces are disjoint, and each is one task.
                let to = unsafe { b_parts.part(at, len) };
                s.pack_b(&self.product.b_t, piece, inner, to);
            } else {
                let piece = self.rows().piece(blocks.mc, task - b_tasks);
                let len = piece.len.next_multiple_of(S::MR) * inner.len;
                // SAFETY: pieces are disjoint, and each is one task.
                let to = unsafe { a_parts.part(piece.at * inner.len, len) };
                s.pack_a(&self.product.a, piece, inner, to);
            }
        });
    }

    fn multiply(&self, b_packed: &[f32], a_packed: &[f32]) {
        let (s, inner, blocks) = (self.s, self.inner, self.blocks);
        let row_blocks = self.rows().len.div_ceil(blocks.mc);
        let column_blocks = self.columns.len.div_ceil(blocks.nb);
        self.pool.run(row_blocks * column_blocks, &|task, worker| {
            let rows = self.rows().piece(blocks.mc, task / column_blocks);
            let columns = self.columns.piece(blocks.nb, task % column_blocks);
            let b = &b_packed[(columns.at - self.columns.at) * inner.len..];
            if blocks.joint_a {
                self.block(rows, columns, &a_packed[rows.at * inner.len..], b);
            } else {
                let floats = blocks.mc * blocks.kc;
                self.pool.with_scratch(worker, floats, |a| {
                    s.pack_a(&self.product.a, rows, inner, a);
                    self.block(rows, columns, a, b);
                });
            }
        });
    }

    /// One packed block of A times packed columns of B.
    fn block(&self, rows: Span, columns: Span, a: &[f32], b: &[f32]) {
        let Step { s, product, inner, .. } = *self;
        let beta = if inner.at == 0 { product.beta } else { 1.0 };
        let c = &product.c;
        let target = Target { ptr: c.ptr, row_stride: c.row_stride, col_stride: c.col_stride };
        let last = inner.at + inner.len == product.a.cols();
        for (strip, cols) in columns.pieces(S::NR).enumerate() {
            let b = &b[strip * S::NR * inner.len..][..S::NR * inner.len];
            // SAFETY: rows × cols lie inside C and belong to this task; the strips are packed.
            unsafe { strip_of_b(s, inner.len, product.alpha, a, b, beta, target, rows, cols) };
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
pub(super) struct Target {
    pub ptr: *mut f32,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl Target {
    fn at(self, row: usize, col: usize) -> *mut f32 {
        self.ptr.wrapping_add(row * self.row_stride + col * self.col_stride)
    }
}

/// All strips of a packed block of A times one strip of B.
///
/// # Safety
/// `rows` × `cols` (at most NR) of C must be writable and used by no one else; `a` holds the strips
/// of `rows`, `b` that of `cols`, each of length `k`.
#[inline]
pub(super) unsafe fn strip_of_b<S: Tiling>(
    s: S,
    k: usize,
    alpha: f32,
    a: &[f32],
    b: &[f32],
    beta: f32,
    c: Target,
    rows: Span,
    cols: Span,
) {
    assert!(a.len() >= rows.len.next_multiple_of(S::MR) * k && b.len() >= S::NR * k);
    for (strip, tile_rows) in rows.pieces(S::MR).enumerate() {
        let a = a[strip * S::MR * k..].as_ptr();
        let micro = S::micro(tile_rows.len);
        if cols.len == S::NR && c.col_stride == 1 {
            let to = c.at(tile_rows.at, cols.at);
            // SAFETY: a whole tile of C; strips of length k.
            unsafe { micro(s, k, a, b.as_ptr(), to, c.row_stride, alpha, beta) };
            continue;
        }
        let mut tile = S::tile();
        let tile = tile.as_mut();
        // SAFETY: the buffer is a whole tile; strips of length k.
        unsafe { micro(s, k, a, b.as_ptr(), tile.as_mut_ptr(), S::NR, alpha, 0.0) };
        for i in 0..tile_rows.len {
            for j in 0..cols.len {
                let to = c.at(tile_rows.at + i, cols.at + j);
                let product = tile[i * S::NR + j];
                // SAFETY: inside rows × cols of C.
                unsafe { *to = if beta == 0.0 { product } else { beta * *to + product } };
            }
        }
    }
}
