//! How weights of a type become integers and scales: what [`super::tile`] reads of a panel, for
//! [`Simd::LANES`](crate::isa::Simd::LANES) columns at once. Types of blocks as they are stored, and
//! [`Unpacked`], which many rows read.

use crate::isa::Dots;

/// Numbers of a block of activations, and of what is called a block here.
pub(super) const BLOCK: usize = 32;
/// Quads of a block.
pub(super) const QUADS: usize = BLOCK / 4;

/// Where a block of 32 weights of a panel lies.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// The panel.
    pub panel: *const u8,
    /// Its columns.
    pub width: usize,
    /// Which block along the sum.
    pub block: usize,
    /// First of the columns that are asked for.
    pub column: usize,
}

impl At {
    /// The same block, columns from `column` on.
    #[inline(always)]
    pub fn column(self, column: usize) -> At {
        At { column, ..self }
    }
}

/// A type of weights: number = scale·(integer − offset) [+ minimum].
pub(super) trait Weights: Copy + Send + Sync + 'static {
    /// Scales of a block: 1, or 2 where sixteen numbers share one.
    const PARTS: usize;
    /// Whether numbers have a minimum.
    const HAS_MINIMUM: bool;
    /// Greatest integer; above 127 quads are multiplied by [`Dots::dot_wide`].
    const MOST: u32;
    /// Subtracted from the integers.
    const OFFSET: i32;
    /// Whether what follows in memory should be asked for ahead.
    const STREAMED: bool;

    /// Bytes of a panel before a block.
    fn bytes(width: usize, block: usize) -> usize;
    /// The scales of a part of the block.
    ///
    /// # Safety
    /// The block must lie in the panel.
    unsafe fn scale<S: Dots>(s: S, at: At, part: usize) -> S::F32;
    /// The minima of the block.
    ///
    /// # Safety
    /// As for [`Weights::scale`].
    unsafe fn minimum<S: Dots>(s: S, at: At) -> S::F32;
    /// The integers of a quad of the block.
    ///
    /// # Safety
    /// As for [`Weights::scale`].
    unsafe fn quad<S: Dots>(s: S, at: At, quad: usize) -> S::I32;
}

/// Loads units of two bytes as f16.
///
/// # Safety
/// They must be readable.
#[inline(always)]
unsafe fn halves<S: Dots>(s: S, p: *const u8, column: usize) -> S::F32 {
    // SAFETY: passed on to the caller.
    unsafe { s.load_f16_ptr(p.cast::<u16>().add(column)) }
}

/// Blocks of a scale and 32 weights of a byte.
#[derive(Clone, Copy)]
pub(super) struct Q8;

impl Weights for Q8 {
    const PARTS: usize = 1;
    const HAS_MINIMUM: bool = false;
    const MOST: u32 = 255;
    const OFFSET: i32 = 128;
    const STREAMED: bool = true;

    #[inline(always)]
    fn bytes(width: usize, block: usize) -> usize {
        block * width * 34
    }
    #[inline(always)]
    unsafe fn scale<S: Dots>(s: S, at: At, _: usize) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { halves(s, at.panel.add(Self::bytes(at.width, at.block)), at.column) }
    }
    #[inline(always)]
    unsafe fn minimum<S: Dots>(s: S, _: At) -> S::F32 {
        s.zero()
    }
    #[inline(always)]
    unsafe fn quad<S: Dots>(s: S, at: At, quad: usize) -> S::I32 {
        let place = Self::bytes(at.width, at.block) + 2 * at.width;
        // SAFETY: passed on to the caller.
        let signed =
            unsafe { s.load_quads(at.panel.add(place + 4 * (quad * at.width + at.column))) };
        s.xor_i32(signed, s.splat_i32(i32::from_ne_bytes([0x80; 4])))
    }
}

/// Blocks of 32 weights of four bits, or five of which the fifth ones lie apart, with an f16 scale and
/// perhaps a minimum: Q4_0, Q4_1, Q5_0 and Q5_1.
#[derive(Clone, Copy)]
pub(super) struct Halves<const FIVE: bool, const MINIMUM: bool>;

impl<const FIVE: bool, const MINIMUM: bool> Halves<FIVE, MINIMUM> {
    /// Bytes before the fifth bits, and before the halves of bytes.
    const HEAD: usize = if MINIMUM { 4 } else { 2 };
    const NIBBLES: usize = Self::HEAD + if FIVE { 4 } else { 0 };

    #[inline(always)]
    fn block(at: At) -> *const u8 {
        at.panel.wrapping_add(Self::bytes(at.width, at.block))
    }
}

impl<const FIVE: bool, const MINIMUM: bool> Weights for Halves<FIVE, MINIMUM> {
    const PARTS: usize = 1;
    const HAS_MINIMUM: bool = MINIMUM;
    const MOST: u32 = if FIVE { 31 } else { 15 };
    const OFFSET: i32 = match (MINIMUM, FIVE) {
        (true, _) => 0,
        (false, true) => 16,
        (false, false) => 8,
    };
    const STREAMED: bool = true;

    #[inline(always)]
    fn bytes(width: usize, block: usize) -> usize {
        block * width * (Self::NIBBLES + BLOCK / 2)
    }
    #[inline(always)]
    unsafe fn scale<S: Dots>(s: S, at: At, _: usize) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { halves(s, Self::block(at), at.column) }
    }
    #[inline(always)]
    unsafe fn minimum<S: Dots>(s: S, at: At) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { halves(s, Self::block(at).add(2 * at.width), at.column) }
    }
    #[inline(always)]
    unsafe fn quad<S: Dots>(s: S, at: At, quad: usize) -> S::I32 {
        let block = Self::block(at);
        let place = 4 * (quad % (QUADS / 2) * at.width + at.column);
        // SAFETY: passed on to the caller.
        unsafe {
            let pairs = s.load_quads(block.add(Self::NIBBLES * at.width + place));
            let low = nibbles(s, pairs, quad >= QUADS / 2);
            if !FIVE {
                return low;
            }
            let fifths = s.load_quads(block.add(Self::HEAD * at.width + 4 * at.column));
            s.or_i32(low, bits(s, fifths, quad, 1, 4))
        }
    }
}

/// The low or the high halves of bytes.
#[inline(always)]
fn nibbles<S: Dots>(s: S, pairs: S::I32, high: bool) -> S::I32 {
    let pairs = if high { s.shift_right(pairs, 4) } else { pairs };
    s.and_i32(pairs, s.splat_i32(0x0f0f_0f0f))
}

/// Of each byte, the bits of `mask` from bit `from` on, moved to bit `to`.
#[inline(always)]
fn bits<S: Dots>(s: S, bytes: S::I32, from: usize, mask: u8, to: u32) -> S::I32 {
    let low =
        s.and_i32(s.shift_right(bytes, from as u32), s.splat_i32(i32::from_ne_bytes([mask; 4])));
    s.shift_left(low, to)
}

/// Blocks of 32 in a block of 256.
const SUBBLOCKS: usize = 8;

/// Blocks of 256 weights of four or five bits, of which each 32 share a scale and a minimum of six
/// bits: Q4_K and Q5_K.
#[derive(Clone, Copy)]
pub(super) struct SixBitScales<const FIVE: bool>;

impl<const FIVE: bool> SixBitScales<FIVE> {
    /// Bytes before the scales, the fifth bits and the halves of bytes, and of a block of 256.
    const SCALES: usize = 4;
    const FIFTHS: usize = Self::SCALES + 12;
    const NIBBLES: usize = Self::FIFTHS + if FIVE { 32 } else { 0 };
    const SIZE: usize = Self::NIBBLES + 128;

    #[inline(always)]
    fn block(at: At) -> *const u8 {
        at.panel.wrapping_add(at.block / SUBBLOCKS * at.width * Self::SIZE)
    }

    /// Byte `i` of the scales.
    ///
    /// # Safety
    /// The block must lie in the panel.
    #[inline(always)]
    unsafe fn packed<S: Dots>(s: S, at: At, i: usize) -> S::I32 {
        let place = (Self::SCALES + i) * at.width + at.column;
        // SAFETY: passed on to the caller.
        unsafe { s.load_u8(Self::block(at).add(place)) }
    }

    /// The six bits of the scale or minimum: of the first four blocks in a byte, whose two highest bits
    /// go with half of another byte for the other four.
    ///
    /// # Safety
    /// The block must lie in the panel.
    #[inline(always)]
    unsafe fn six<S: Dots>(s: S, at: At, minimum: bool) -> S::F32 {
        let block = at.block % SUBBLOCKS;
        let byte = block % 4 + if minimum { 4 } else { 0 };
        // SAFETY: passed on to the caller.
        let six = unsafe {
            let byte = Self::packed(s, at, byte);
            if block < 4 {
                s.and_i32(byte, s.splat_i32(63))
            } else {
                let low = nibbles(s, Self::packed(s, at, 4 + block), minimum);
                s.or_i32(low, s.shift_left(s.shift_right(byte, 6), 4))
            }
        };
        s.to_f32(six)
    }
}

impl<const FIVE: bool> Weights for SixBitScales<FIVE> {
    const PARTS: usize = 1;
    const HAS_MINIMUM: bool = true;
    const MOST: u32 = if FIVE { 31 } else { 15 };
    const OFFSET: i32 = 0;
    const STREAMED: bool = true;

    #[inline(always)]
    fn bytes(width: usize, block: usize) -> usize {
        block * width * Self::SIZE / SUBBLOCKS
    }
    #[inline(always)]
    unsafe fn scale<S: Dots>(s: S, at: At, _: usize) -> S::F32 {
        // SAFETY: passed on to the caller. The product is exact: 11 bits times 6.
        unsafe { s.mul(halves(s, Self::block(at), at.column), Self::six(s, at, false)) }
    }
    #[inline(always)]
    unsafe fn minimum<S: Dots>(s: S, at: At) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe {
            let scale = halves(s, Self::block(at).add(2 * at.width), at.column);
            s.neg(s.mul(scale, Self::six(s, at, true)))
        }
    }
    #[inline(always)]
    unsafe fn quad<S: Dots>(s: S, at: At, quad: usize) -> S::I32 {
        let block = at.block % SUBBLOCKS;
        let place = |i: usize| 4 * (i * at.width + at.column);
        // SAFETY: passed on to the caller.
        unsafe {
            let pairs =
                Self::block(at).add(Self::NIBBLES * at.width + place(block / 2 * QUADS + quad));
            let low = nibbles(s, s.load_quads(pairs), block % 2 == 1);
            if !FIVE {
                return low;
            }
            let fifths = Self::block(at).add(Self::FIFTHS * at.width + place(quad));
            s.or_i32(low, bits(s, s.load_quads(fifths), block, 1, 4))
        }
    }
}

/// Blocks of 256 weights of six bits, of which each sixteen share a scale of eight: Q6_K.
#[derive(Clone, Copy)]
pub(super) struct Q6K;

impl Q6K {
    /// Bytes before the high bits, the scales and the scale of scales, and of a block of 256.
    const HIGH: usize = 128;
    const SCALES: usize = 192;
    const SCALE: usize = 208;
    const SIZE: usize = 210;

    #[inline(always)]
    fn block(at: At) -> *const u8 {
        at.panel.wrapping_add(at.block / SUBBLOCKS * at.width * Self::SIZE)
    }
}

impl Weights for Q6K {
    const PARTS: usize = 2;
    const HAS_MINIMUM: bool = false;
    const MOST: u32 = 63;
    const OFFSET: i32 = 32;
    const STREAMED: bool = true;

    #[inline(always)]
    fn bytes(width: usize, block: usize) -> usize {
        block * width * Self::SIZE / SUBBLOCKS
    }
    #[inline(always)]
    unsafe fn scale<S: Dots>(s: S, at: At, part: usize) -> S::F32 {
        let block = Self::block(at);
        let i = at.block % SUBBLOCKS * 2 + part;
        // SAFETY: passed on to the caller. The product is exact: 11 bits times 8.
        unsafe {
            let scale = halves(s, block.add(Self::SCALE * at.width), at.column);
            // A signed byte, moved up by 128 and back.
            let moved = s.load_u8(block.add((Self::SCALES + i) * at.width + at.column));
            let moved = s.to_f32(s.xor_i32(moved, s.splat_i32(128)));
            s.mul(scale, s.sub(moved, s.splat(128.0)))
        }
    }
    #[inline(always)]
    unsafe fn minimum<S: Dots>(s: S, _: At) -> S::F32 {
        s.zero()
    }
    #[inline(always)]
    unsafe fn quad<S: Dots>(s: S, at: At, quad: usize) -> S::I32 {
        let block = at.block % SUBBLOCKS;
        // Each half of a block is four runs of 32 weights.
        let (half, run) = (block / 4, block % 4);
        let place = |i: usize| 4 * (i * at.width + at.column);
        // SAFETY: passed on to the caller.
        unsafe {
            let start = Self::block(at);
            let pairs = start.add(place((2 * half + run % 2) * QUADS + quad));
            let low = nibbles(s, s.load_quads(pairs), run >= 2);
            let high = start.add(Self::HIGH * at.width + place(half * QUADS + quad));
            s.or_i32(low, bits(s, s.load_quads(high), 2 * run, 3, 4))
        }
    }
}

/// Scales and minima in f32 and integers of a byte, as [`super::tile::Unpack`] writes them: part after
/// part its scales, the minima if there are some, and its quads.
#[derive(Clone, Copy)]
pub(super) struct Unpacked<const WIDE: bool, const MINIMUM: bool, const PARTS: usize>;

impl<const WIDE: bool, const MINIMUM: bool, const PARTS: usize> Unpacked<WIDE, MINIMUM, PARTS> {
    /// Words of a column before a part of a block.
    #[inline(always)]
    pub fn words(block: usize, part: usize) -> usize {
        let heads = 1 + if MINIMUM { 1 } else { 0 };
        (block * PARTS + part) * (heads + QUADS / PARTS)
    }

    #[inline(always)]
    fn word(at: At, part: usize, word: usize) -> *const u8 {
        at.panel.wrapping_add(4 * ((Self::words(at.block, part) + word) * at.width + at.column))
    }
}

impl<const WIDE: bool, const MINIMUM: bool, const PARTS: usize> Weights
    for Unpacked<WIDE, MINIMUM, PARTS>
{
    const PARTS: usize = PARTS;
    const HAS_MINIMUM: bool = MINIMUM;
    // The greatest of the types that are unpacked so.
    const MOST: u32 = match (WIDE, PARTS) {
        (true, _) => 255,
        (false, 1) => 31,
        (false, _) => 63,
    };
    const OFFSET: i32 = 0;
    const STREAMED: bool = false;

    #[inline(always)]
    fn bytes(width: usize, block: usize) -> usize {
        4 * width * Self::words(block, 0)
    }
    #[inline(always)]
    unsafe fn scale<S: Dots>(s: S, at: At, part: usize) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { s.load_ptr(Self::word(at, part, 0).cast()) }
    }
    #[inline(always)]
    unsafe fn minimum<S: Dots>(s: S, at: At) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { s.load_ptr(Self::word(at, 0, 1).cast()) }
    }
    #[inline(always)]
    unsafe fn quad<S: Dots>(s: S, at: At, quad: usize) -> S::I32 {
        let heads = 1 + if MINIMUM { 1 } else { 0 };
        let (part, quad) = (quad / (QUADS / PARTS), quad % (QUADS / PARTS));
        // SAFETY: passed on to the caller.
        unsafe { s.load_quads(Self::word(at, part, heads + quad)) }
    }
}
