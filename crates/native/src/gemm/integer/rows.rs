//! Activations as the tiles read them: a few rows together, block after block, what a block of each
//! row needs side by side. A row takes the same numbers whatever rows stand beside it.

use half::f16;

use super::format::{BLOCK, QUADS};
use crate::gemm::pack::Span;
use crate::isa::{Kernel, Simd};

/// Words of a row's block: its scale, scale·Σx, two sums to begin with, and its quads.
pub(super) const WORDS: usize = 4 + QUADS;
/// Bytes of a block of q8_0.
const BYTES: usize = 34;
const SCALE: usize = size_of::<f16>();

/// Some rows as one run of words: `[block][WORDS][rows]`.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub words: *const u32,
    /// First of the rows, and how many.
    pub rows: Span,
}

// SAFETY: only an address, of words that are read while a product runs; who packs them says so.
unsafe impl Send for Strip {}
// SAFETY: as above.
unsafe impl Sync for Strip {}

impl Strip {
    /// Word `word` of block `block` of row `row`.
    ///
    /// # Safety
    /// There must be such a word.
    #[inline(always)]
    pub unsafe fn word<const ROWS: usize>(&self, block: usize, word: usize, row: usize) -> u32 {
        // SAFETY: passed on to the caller.
        unsafe { *self.words.add((block * WORDS + word) * ROWS + row) }
    }
}

/// Packs rows of q8_0.
pub(super) struct PackRows<'a> {
    /// The rows, one after another.
    pub rows: &'a [u8],
    /// Blocks of a row.
    pub blocks: usize,
    /// Subtracted from the integers of weights, and scales of a block of them.
    pub offset: i32,
    pub parts: usize,
    /// `[block][WORDS][rows]`
    pub words: &'a mut [u32],
}

impl Kernel for PackRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PackRows { rows, blocks, offset, parts, words } = self;
        let rows = || rows.chunks_exact((blocks * BYTES).max(1));
        let count = rows().len();
        for (i, row) in rows().enumerate() {
            for (block, to) in
                row.as_chunks::<BYTES>().0.iter().zip(words.chunks_mut(WORDS * count))
            {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32_const();
                let quants: &[u8; BLOCK] = block[SCALE..].first_chunk().expect("32 integers");
                let sum = |half: &[u8]| half.iter().map(|&x| i32::from(x as i8)).sum::<i32>();
                let (low, high) = quants.split_at(BLOCK / 2);
                let [low, high] = [sum(low), sum(high)];
                let begin = if parts == 1 { [low + high, 0] } else { [low, high] };
                to[i] = scale.to_bits();
                to[count + i] = (scale * (low + high) as f32).to_bits();
                to[2 * count + i] = (-offset * begin[0]) as u32;
                to[3 * count + i] = (-offset * begin[1]) as u32;
                for (quad, to) in
                    quants.as_chunks::<4>().0.iter().zip(to[4 * count..].chunks_mut(count))
                {
                    to[i] = u32::from_le_bytes(*quad);
                }
            }
        }
    }
}
