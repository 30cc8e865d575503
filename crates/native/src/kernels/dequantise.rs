//! Quantised blocks as f32, bit for bit as [`stoa_graph::dequantise`] reads them: the integers of a block
//! first, in plain loops over bytes, then scale·integer and the minimum in vectors, each rounded as there.

use stoa_graph::DType;

use crate::isa::{Isa, Kernel, Simd};

/// `numbers` = what blocks of a quantised type stand for.
///
/// # Panics
/// If the type is not quantised or the lengths do not fit.
pub(crate) fn dequantise(isa: Isa, dtype: DType, blocks: &[u8], numbers: &mut [f32]) {
    isa.dispatch(Dequantise { dtype, blocks, numbers });
}

/// As [`dequantise`], within another kernel.
pub(crate) struct Dequantise<'a> {
    pub dtype: DType,
    pub blocks: &'a [u8],
    pub numbers: &'a mut [f32],
}

impl Kernel for Dequantise<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Dequantise { dtype, blocks, numbers } = self;
        let layout = dtype.block();
        assert_eq!(blocks.len() / layout.bytes * layout.elements, numbers.len(), "{dtype} blocks");
        match dtype {
            DType::Q8_0 => read::<S, Bytes>(s, blocks, numbers),
            DType::Q4_0 => read::<S, Halves<false, false>>(s, blocks, numbers),
            DType::Q4_1 => read::<S, Halves<false, true>>(s, blocks, numbers),
            DType::Q5_0 => read::<S, Halves<true, false>>(s, blocks, numbers),
            DType::Q5_1 => read::<S, Halves<true, true>>(s, blocks, numbers),
            DType::Q2_K => read::<S, Q2K>(s, blocks, numbers),
            DType::Q3_K => read::<S, Q3K>(s, blocks, numbers),
            DType::Q4_K => read::<S, SixBitScales<false>>(s, blocks, numbers),
            DType::Q5_K => read::<S, SixBitScales<true>>(s, blocks, numbers),
            DType::Q6_K => read::<S, Q6K>(s, blocks, numbers),
            DType::F32 | DType::BF16 | DType::F16 | DType::I32 => {
                panic!("{dtype} has no blocks to dequantise")
            }
        }
    }
}

/// Numbers of the largest block.
const MOST: usize = 256;

/// What becomes of scale·integer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Minimum {
    Nothing,
    Added,
    Subtracted,
}

/// A type of blocks: number = scale·integer, plus or less a minimum, the same for a part of a block.
trait Blocks {
    const NUMBERS: usize;
    const BYTES: usize;
    /// Numbers that share a scale: a multiple of sixteen.
    const PART: usize;
    const MINIMUM: Minimum;

    /// The integers of a block.
    fn integers(block: &[u8], to: &mut [i8; MOST]);
    /// The scale of a part, in all lanes.
    fn scale<S: Simd>(s: S, block: &[u8], part: usize) -> S::F32;
    /// The minimum of a part, in all lanes.
    #[inline(always)]
    fn minimum<S: Simd>(s: S, _: &[u8], _: usize) -> S::F32 {
        s.zero()
    }
}

#[inline(always)]
fn read<S: Simd, B: Blocks>(s: S, blocks: &[u8], numbers: &mut [f32]) {
    let mut integers = [0; MOST];
    let numbers = numbers.chunks_exact_mut(B::NUMBERS);
    for (block, numbers) in blocks.chunks_exact(B::BYTES).zip(numbers) {
        B::integers(block, &mut integers);
        let parts = integers.chunks_exact(B::PART).zip(numbers.chunks_exact_mut(B::PART));
        for (part, (integers, numbers)) in parts.enumerate() {
            let (scale, minimum) = (B::scale(s, block, part), B::minimum(s, block, part));
            let vectors = integers.chunks_exact(S::LANES).zip(numbers.chunks_exact_mut(S::LANES));
            for (integers, to) in vectors {
                // SAFETY: a chunk of LANES bytes.
                let x = s.mul(scale, unsafe { s.load_i8_ptr(integers.as_ptr()) });
                let x = match B::MINIMUM {
                    Minimum::Nothing => x,
                    Minimum::Added => s.add(x, minimum),
                    Minimum::Subtracted => s.sub(x, minimum),
                };
                s.store(x, to);
            }
        }
    }
}

/// The binary16 number in two bytes, in all lanes.
#[inline(always)]
fn half<S: Simd>(s: S, block: &[u8], at: usize) -> S::F32 {
    let bytes = &block[at..at + 2];
    // SAFETY: two bytes of the block.
    unsafe { s.splat_f16_ptr(bytes.as_ptr().cast()) }
}

/// A small integer of a block times its number of binary16.
#[inline(always)]
fn units<S: Simd>(s: S, block: &[u8], at: usize, integer: f32) -> S::F32 {
    s.mul(half(s, block, at), s.splat(integer))
}

/// Q8_0.
struct Bytes;

impl Blocks for Bytes {
    const NUMBERS: usize = 32;
    const BYTES: usize = 34;
    const PART: usize = 32;
    const MINIMUM: Minimum = Minimum::Nothing;

    #[inline(always)]
    fn integers(block: &[u8], to: &mut [i8; MOST]) {
        to.iter_mut().zip(&block[2..]).for_each(|(to, &byte)| *to = byte as i8);
    }
    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &[u8], _: usize) -> S::F32 {
        half(s, block, 0)
    }
}

/// Q4_0, Q4_1, Q5_0, Q5_1.
struct Halves<const FIVE: bool, const MINIMUM: bool>;

impl<const FIVE: bool, const MINIMUM: bool> Blocks for Halves<FIVE, MINIMUM> {
    const NUMBERS: usize = 32;
    const BYTES: usize = 18 + if MINIMUM { 2 } else { 0 } + if FIVE { 4 } else { 0 };
    const PART: usize = 32;
    const MINIMUM: Minimum = if MINIMUM { Minimum::Added } else { Minimum::Nothing };

    #[inline(always)]
    fn integers(block: &[u8], to: &mut [i8; MOST]) {
        let rest = &block[if MINIMUM { 4 } else { 2 }..];
        let fifths =
            if FIVE { u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) } else { 0 };
        let fifth = |i: usize| ((fifths >> i & 1) << 4) as u8;
        let centre = match (MINIMUM, FIVE) {
            (true, _) => 0,
            (false, true) => 16,
            (false, false) => 8,
        };
        let pairs = &rest[if FIVE { 4 } else { 0 }..];
        let (low, high) = to.split_at_mut(16);
        for (i, (low, &pair)) in low.iter_mut().zip(pairs).enumerate() {
            *low = (pair & 15 | fifth(i)) as i8 - centre;
        }
        for (i, (high, &pair)) in high.iter_mut().zip(pairs).enumerate() {
            *high = (pair >> 4 | fifth(16 + i)) as i8 - centre;
        }
    }
    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &[u8], _: usize) -> S::F32 {
        half(s, block, 0)
    }
    #[inline(always)]
    fn minimum<S: Simd>(s: S, block: &[u8], _: usize) -> S::F32 {
        if MINIMUM { half(s, block, 2) } else { s.zero() }
    }
}

/// For each run of 32 numbers of 256: some bits of 32 bytes.
#[inline(always)]
fn runs(to: &mut [i8; MOST], number: impl Fn(usize, usize) -> u8, centre: i8) {
    for (run, to) in to.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (i, to) in to.iter_mut().enumerate() {
            *to = number(run, i) as i8 - centre;
        }
    }
}

/// Q2_K.
struct Q2K;

impl Blocks for Q2K {
    const NUMBERS: usize = 256;
    const BYTES: usize = 84;
    const PART: usize = 16;
    const MINIMUM: Minimum = Minimum::Subtracted;

    #[inline(always)]
    fn integers(block: &[u8], to: &mut [i8; MOST]) {
        let weights = &block[16..80];
        runs(to, |run, i| weights[run / 4 * 32 + i] >> (2 * (run % 4)) & 3, 0);
    }
    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &[u8], part: usize) -> S::F32 {
        units(s, block, 80, f32::from(block[part] & 15))
    }
    #[inline(always)]
    fn minimum<S: Simd>(s: S, block: &[u8], part: usize) -> S::F32 {
        units(s, block, 82, f32::from(block[part] >> 4))
    }
}

/// Q3_K.
struct Q3K;

impl Blocks for Q3K {
    const NUMBERS: usize = 256;
    const BYTES: usize = 110;
    const PART: usize = 16;
    const MINIMUM: Minimum = Minimum::Nothing;

    #[inline(always)]
    fn integers(block: &[u8], to: &mut [i8; MOST]) {
        let (high, weights) = (&block[..32], &block[32..96]);
        let number = |run: usize, i: usize| {
            weights[run / 4 * 32 + i] >> (2 * (run % 4)) & 3 | (high[i] >> run & 1) << 2
        };
        runs(to, number, 4);
    }
    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &[u8], part: usize) -> S::F32 {
        let scales = &block[96..108];
        let low = scales[part % 8] >> (4 * (part / 8)) & 15;
        let high = scales[8 + part % 4] >> (2 * (part / 4)) & 3;
        units(s, block, 108, f32::from((low | high << 4) as i8 - 32))
    }
}

/// Q4_K and Q5_K.
struct SixBitScales<const FIVE: bool>;

impl<const FIVE: bool> SixBitScales<FIVE> {
    /// Scale and minimum of a part: those of parts 0..4 lie in the low bits of 8 bytes, of the others
    /// four bits lie in 4 bytes more and two in the high bits of the first.
    #[inline(always)]
    fn six(block: &[u8], part: usize) -> (u8, u8) {
        let scales = &block[4..16];
        if part < 4 {
            return (scales[part] & 63, scales[part + 4] & 63);
        }
        let low = scales[part + 4];
        (low & 15 | scales[part - 4] >> 6 << 4, low >> 4 | scales[part] >> 6 << 4)
    }
}

impl<const FIVE: bool> Blocks for SixBitScales<FIVE> {
    const NUMBERS: usize = 256;
    const BYTES: usize = 144 + if FIVE { 32 } else { 0 };
    const PART: usize = 32;
    const MINIMUM: Minimum = Minimum::Subtracted;

    #[inline(always)]
    fn integers(block: &[u8], to: &mut [i8; MOST]) {
        let (fifths, weights) = (&block[16..48], &block[if FIVE { 48 } else { 16 }..]);
        let number = |run: usize, i: usize| {
            let low = weights[run / 2 * 32 + i] >> (4 * (run % 2)) & 15;
            if FIVE { low | (fifths[i] >> run & 1) << 4 } else { low }
        };
        runs(to, number, 0);
    }
    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &[u8], part: usize) -> S::F32 {
        units(s, block, 0, f32::from(Self::six(block, part).0))
    }
    #[inline(always)]
    fn minimum<S: Simd>(s: S, block: &[u8], part: usize) -> S::F32 {
        units(s, block, 2, f32::from(Self::six(block, part).1))
    }
}

/// Q6_K.
struct Q6K;

impl Blocks for Q6K {
    const NUMBERS: usize = 256;
    const BYTES: usize = 210;
    const PART: usize = 16;
    const MINIMUM: Minimum = Minimum::Nothing;

    #[inline(always)]
    fn integers(block: &[u8], to: &mut [i8; MOST]) {
        let (low, high) = (&block[..128], &block[128..192]);
        let number = |run: usize, i: usize| {
            // Each half of a block is four runs.
            let (half, run) = (run / 4, run % 4);
            let low = low[half * 64 + run % 2 * 32 + i] >> (4 * (run / 2)) & 15;
            low | (high[half * 32 + i] >> (2 * run) & 3) << 4
        };
        runs(to, number, 32);
    }
    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &[u8], part: usize) -> S::F32 {
        units(s, block, 208, f32::from(block[192 + part] as i8))
    }
}
