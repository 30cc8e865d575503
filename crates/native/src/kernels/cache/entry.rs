//! What caches of keys and values are kept in: numbers of a float type, or blocks of `q8_0` along
//! head_dim. Both are read as f32, exactly, so that what attention computes does not ask which.

use half::f16;

use crate::isa::{Kernel, Simd};
use crate::kernels::attention::WideRows;
use crate::kernels::convert::{BLOCK, BLOCK_BYTES, Cast, Float, Quantise};

/// A unit of a cache: one number, or a block of them. Numbers of a cache are counted from its first;
/// a row of head_dim begins with a unit.
pub trait Entry: Copy + Send + Sync + 'static {
    /// Numbers of a unit.
    const NUMBERS: usize;

    /// The `LANES` numbers from number `at` on, which is a multiple of the lanes from the begin of a
    /// row.
    ///
    /// # Safety
    /// They must be numbers of the units at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self, at: usize) -> S::F32;

    /// Number `at`.
    fn get(units: &[Self], at: usize) -> f32;

    /// Whether all numbers are finite.
    fn all_finite(units: &[Self]) -> bool;

    /// Writes a row, rounded: to nearest even, or as [`stoa_graph::quantise`] does.
    fn write<S: Simd>(s: S, row: &[f32], to: &mut [Self]);
}

impl<T: Float> Entry for T {
    const NUMBERS: usize = 1;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const T, at: usize) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { <T as crate::gemm::Element>::load(s, p.add(at)) }
    }
    #[inline(always)]
    fn get(units: &[T], at: usize) -> f32 {
        units[at].to_f32()
    }
    #[inline(always)]
    fn all_finite(units: &[T]) -> bool {
        units.iter().all(|x| x.to_f32().is_finite())
    }
    #[inline(always)]
    fn write<S: Simd>(s: S, row: &[f32], to: &mut [T]) {
        Cast { x: row, y: to }.run(s);
    }
}

/// A block of `q8_0`: an f16 scale and 32 signed bytes.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Q8Block([u8; BLOCK_BYTES]);

impl Default for Q8Block {
    /// Zeros.
    fn default() -> Self {
        Q8Block([0; BLOCK_BYTES])
    }
}

impl Q8Block {
    /// Bytes as blocks.
    ///
    /// # Panics
    /// If they are not whole blocks.
    pub fn of(bytes: &[u8]) -> &[Q8Block] {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        assert!(rest.is_empty(), "{} bytes are not whole blocks", bytes.len());
        // SAFETY: a transparent wrapper.
        unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), blocks.len()) }
    }

    /// As [`Q8Block::of`], to be written.
    ///
    /// # Panics
    /// If they are not whole blocks.
    pub fn of_mut(bytes: &mut [u8]) -> &mut [Q8Block] {
        let (blocks, rest) = bytes.as_chunks_mut::<BLOCK_BYTES>();
        assert!(rest.is_empty(), "bytes are not whole blocks");
        // SAFETY: a transparent wrapper.
        unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), blocks.len()) }
    }

    #[inline(always)]
    fn scale(&self) -> f16 {
        f16::from_le_bytes([self.0[0], self.0[1]])
    }
}

impl Entry for Q8Block {
    const NUMBERS: usize = BLOCK;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const Q8Block, at: usize) -> S::F32 {
        // SAFETY: rows begin with a block and lanes divide it, so that the lanes lie in this one.
        unsafe {
            let block = p.add(at / BLOCK);
            let weights = s.load_i8_ptr((*block).0.as_ptr().add(2 + at % BLOCK).cast());
            // The product is exact: 11 bits times 7.
            s.mul(s.splat_f16_ptr(block.cast()), weights)
        }
    }
    #[inline(always)]
    fn get(units: &[Q8Block], at: usize) -> f32 {
        let block = &units[at / BLOCK];
        block.scale().to_f32_const() * f32::from(block.0[2 + at % BLOCK] as i8)
    }
    #[inline(always)]
    fn all_finite(units: &[Q8Block]) -> bool {
        units.iter().all(|block| block.scale().is_finite())
    }
    #[inline(always)]
    fn write<S: Simd>(s: S, row: &[f32], to: &mut [Q8Block]) {
        let (x, rest) = row.as_chunks::<BLOCK>();
        assert!(rest.is_empty() && x.len() == to.len(), "a row is whole blocks");
        for (x, to) in x.iter().zip(to) {
            Quantise { x: std::slice::from_ref(x), y: &mut to.0 }.run(s);
        }
    }
}

/// Rows of a cache, by the number that each begins with.
#[derive(Clone, Copy)]
pub(super) struct CacheRows<'a, T> {
    pub units: &'a [T],
    pub begins: &'a [usize],
}

impl<T: Entry> WideRows for CacheRows<'_, T> {
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, s: S, row: usize, feature: usize) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { T::load(s, self.units.as_ptr(), self.begins[row] + feature) }
    }
    #[inline(always)]
    unsafe fn get(&self, row: usize, feature: usize) -> f32 {
        T::get(self.units, self.begins[row] + feature)
    }
}
