//! Exact dot products of bytes: what products of quantised blocks are made of. A vector holds one
//! *quad*, four bytes that are neighbours along the sum, in each of its lanes.
//!
//! Weights are unsigned bytes, activations signed ones in −127..=127. AVX-512 VNNI and AVX-VNNI
//! multiply and add quads in one instruction; AVX2 and plain AVX-512 by way of pairs in 16 bits,
//! which hold several small weights before they are added up; NEON widens. All give the same
//! integers.

use super::{Isa, Portable, Simd};

#[cfg(target_arch = "aarch64")]
use super::Neon;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx2With, Avx512, Avx512Vnni, Avx512With, AvxVnni};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A computation over the dot products of an instruction set, not itself compiled for it.
pub trait DotsKernel {
    /// What the computation returns.
    type Output;
    /// The computation; what is to be compiled for the set goes through [`Simd::enter`].
    fn run<S: Dots>(self, s: S) -> Self::Output;
}

impl Isa {
    /// Runs `kernel` with the dot products of this set.
    ///
    /// # Panics
    /// If the machine lacks the set.
    pub fn with_dots<K: DotsKernel>(self, kernel: K) -> K::Output {
        let absent = "this machine lacks the instruction set asked for; use Isa::detect()";
        match self {
            Isa::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => kernel.run(Avx2::new().expect(absent)),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => kernel.run(AvxVnni::new().expect(absent)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => kernel.run(Avx512::new().expect(absent)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni | Isa::Avx512Bf16 => kernel.run(Avx512Vnni::new().expect(absent)),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => kernel.run(Neon::new().expect(absent)),
            #[allow(unreachable_patterns, reason = "which sets exist depends on the target")]
            _ => panic!("{absent}"),
        }
    }
}

/// Integers in the lanes of a vector, and dot products of their bytes.
pub trait Dots: Simd {
    /// [`Simd::LANES`] 32-bit integers, or as many quads of bytes.
    type I32: Copy;
    /// What [`Dots::dot_wide`] takes weights for: w − 128 where this is 0, w where it is 128.
    const WIDE_OFFSET: i32;
    /// Rows of activations whose sums the registers hold at once.
    const ROWS: usize;

    /// Loads `4 · LANES` bytes.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_quads(self, p: *const u8) -> Self::I32;
    /// Stores `4 · LANES` bytes.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_quads(self, v: Self::I32, p: *mut u8);
    /// Loads `LANES` bytes, one to a lane, from 0 to 255.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_u8(self, p: *const u8) -> Self::I32;
    /// All lanes equal `x`.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// Bit by bit.
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bit by bit.
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bit by bit.
    fn xor_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Lanes shifted right, zeros coming in.
    fn shift_right(self, a: Self::I32, by: u32) -> Self::I32;
    /// Lanes shifted left.
    fn shift_left(self, a: Self::I32, by: u32) -> Self::I32;
    /// Lanes as f32, exactly below 2²⁴.
    fn to_f32(self, a: Self::I32) -> Self::F32;

    /// How many quads of weights up to `most` can be added by [`Dots::dot`] between
    /// [`Dots::begin`] and [`Dots::settle`].
    fn run(self, most: u32) -> usize;
    /// A sum to be added to, `sum` itself or what is settled into it later.
    fn begin(self, sum: Self::I32) -> Self::I32;
    /// Adds the dot product of each quad; weights are at most 127.
    fn dot(self, partial: Self::I32, weights: Self::I32, x: Self::I32) -> Self::I32;
    /// `sum` with what was added since [`Dots::begin`].
    fn settle(self, sum: Self::I32, partial: Self::I32) -> Self::I32;
    /// Adds the dot product of each quad to `sum`, of weights of any size, less 128 unless
    /// [`Dots::WIDE_OFFSET`] says that this is left to the caller.
    fn dot_wide(self, sum: Self::I32, weights: Self::I32, x: Self::I32) -> Self::I32;
}

/// Pairs of 16 bits hold this sum.
#[cfg(target_arch = "x86_64")]
const MOST_PAIR: u32 = 0x7fff;
/// Greatest magnitude of an activation.
#[cfg(target_arch = "x86_64")]
const MOST_X: u32 = 127;

/// Σ weight_i·x_i over the bytes of a lane.
fn quad(weights: [i32; 4], x: i32) -> i32 {
    let x = x.to_le_bytes().map(|x| i32::from(x as i8));
    weights.iter().zip(x).map(|(w, x)| w * x).sum()
}

impl Dots for Portable {
    type I32 = [i32; 4];
    const WIDE_OFFSET: i32 = 0;
    const ROWS: usize = 2;

    #[inline(always)]
    unsafe fn load_quads(self, p: *const u8) -> [i32; 4] {
        // SAFETY: the caller gives sixteen readable bytes.
        let bytes = unsafe { p.cast::<[[u8; 4]; 4]>().read() };
        bytes.map(i32::from_le_bytes)
    }
    #[inline(always)]
    unsafe fn store_quads(self, v: [i32; 4], p: *mut u8) {
        // SAFETY: the caller gives sixteen writable bytes.
        unsafe { p.cast::<[[u8; 4]; 4]>().write(v.map(i32::to_le_bytes)) }
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> [i32; 4] {
        // SAFETY: the caller gives four readable bytes.
        unsafe { p.cast::<[u8; 4]>().read() }.map(i32::from)
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> [i32; 4] {
        [x; 4]
    }
    #[inline(always)]
    fn and_i32(self, a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn or_i32(self, a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        std::array::from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn xor_i32(self, a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        std::array::from_fn(|i| a[i] ^ b[i])
    }
    #[inline(always)]
    fn shift_right(self, a: [i32; 4], by: u32) -> [i32; 4] {
        a.map(|a| (a as u32 >> by) as i32)
    }
    #[inline(always)]
    fn shift_left(self, a: [i32; 4], by: u32) -> [i32; 4] {
        a.map(|a| a << by)
    }
    #[inline(always)]
    fn to_f32(self, a: [i32; 4]) -> [f32; 4] {
        a.map(|a| a as f32)
    }
    #[inline(always)]
    fn run(self, _: u32) -> usize {
        usize::MAX
    }
    #[inline(always)]
    fn begin(self, sum: [i32; 4]) -> [i32; 4] {
        sum
    }
    #[inline(always)]
    fn dot(self, partial: [i32; 4], weights: [i32; 4], x: [i32; 4]) -> [i32; 4] {
        std::array::from_fn(|i| partial[i] + quad(weights[i].to_le_bytes().map(i32::from), x[i]))
    }
    #[inline(always)]
    fn settle(self, _: [i32; 4], partial: [i32; 4]) -> [i32; 4] {
        partial
    }
    #[inline(always)]
    fn dot_wide(self, sum: [i32; 4], weights: [i32; 4], x: [i32; 4]) -> [i32; 4] {
        let signed = |w: i32| w.to_le_bytes().map(|w| i32::from(w) - 128);
        std::array::from_fn(|i| sum[i] + quad(signed(weights[i]), x[i]))
    }
}

/// Wraps one intrinsic call: a token of the set exists only where its instructions do.
#[cfg(target_arch = "x86_64")]
macro_rules! safe {
    ($call:expr) => {
        // SAFETY: the token proves the instructions exist; no memory is touched.
        unsafe { $call }
    };
}

#[cfg(target_arch = "x86_64")]
impl<const VNNI: bool> Dots for Avx2With<VNNI> {
    type I32 = __m256i;
    const WIDE_OFFSET: i32 = if VNNI { 128 } else { 0 };
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn load_quads(self, p: *const u8) -> __m256i {
        // SAFETY: the caller gives 32 readable bytes.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_quads(self, v: __m256i, p: *mut u8) {
        // SAFETY: the caller gives 32 writable bytes.
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> __m256i {
        // SAFETY: the caller gives eight readable bytes.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m256i {
        safe!(_mm256_set1_epi32(x))
    }
    #[inline(always)]
    fn and_i32(self, a: __m256i, b: __m256i) -> __m256i {
        safe!(_mm256_and_si256(a, b))
    }
    #[inline(always)]
    fn or_i32(self, a: __m256i, b: __m256i) -> __m256i {
        safe!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn xor_i32(self, a: __m256i, b: __m256i) -> __m256i {
        safe!(_mm256_xor_si256(a, b))
    }
    #[inline(always)]
    fn shift_right(self, a: __m256i, by: u32) -> __m256i {
        safe!(_mm256_srlv_epi32(a, _mm256_set1_epi32(by as i32)))
    }
    #[inline(always)]
    fn shift_left(self, a: __m256i, by: u32) -> __m256i {
        safe!(_mm256_sllv_epi32(a, _mm256_set1_epi32(by as i32)))
    }
    #[inline(always)]
    fn to_f32(self, a: __m256i) -> __m256 {
        safe!(_mm256_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn run(self, most: u32) -> usize {
        if VNNI { usize::MAX } else { (MOST_PAIR / (2 * most * MOST_X)) as usize }
    }
    #[inline(always)]
    fn begin(self, sum: __m256i) -> __m256i {
        if VNNI { sum } else { safe!(_mm256_setzero_si256()) }
    }
    #[inline(always)]
    fn dot(self, partial: __m256i, weights: __m256i, x: __m256i) -> __m256i {
        if VNNI {
            return safe!(_mm256_dpbusd_avx_epi32(partial, weights, x));
        }
        safe!(_mm256_add_epi16(partial, _mm256_maddubs_epi16(weights, x)))
    }
    #[inline(always)]
    fn settle(self, sum: __m256i, partial: __m256i) -> __m256i {
        if VNNI {
            return partial;
        }
        safe!(_mm256_add_epi32(sum, _mm256_madd_epi16(partial, _mm256_set1_epi16(1))))
    }
    #[inline(always)]
    fn dot_wide(self, sum: __m256i, weights: __m256i, x: __m256i) -> __m256i {
        if VNNI {
            return safe!(_mm256_dpbusd_avx_epi32(sum, weights, x));
        }
        // The sign of the weight moves to x: 2·128·127 fits into 16 bits.
        safe!({
            let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(i8::MIN));
            let x = _mm256_sign_epi8(x, signed);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), x);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }
}

#[cfg(target_arch = "x86_64")]
impl<const SET: u8> Dots for Avx512With<SET> {
    type I32 = __m512i;
    const WIDE_OFFSET: i32 = if Self::VNNI { 128 } else { 0 };
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn load_quads(self, p: *const u8) -> __m512i {
        // SAFETY: the caller gives 64 readable bytes.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_quads(self, v: __m512i, p: *mut u8) {
        // SAFETY: the caller gives 64 writable bytes.
        unsafe { _mm512_storeu_si512(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> __m512i {
        // SAFETY: the caller gives sixteen readable bytes.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        safe!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    fn and_i32(self, a: __m512i, b: __m512i) -> __m512i {
        safe!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn or_i32(self, a: __m512i, b: __m512i) -> __m512i {
        safe!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn xor_i32(self, a: __m512i, b: __m512i) -> __m512i {
        safe!(_mm512_xor_si512(a, b))
    }
    #[inline(always)]
    fn shift_right(self, a: __m512i, by: u32) -> __m512i {
        safe!(_mm512_srlv_epi32(a, _mm512_set1_epi32(by as i32)))
    }
    #[inline(always)]
    fn shift_left(self, a: __m512i, by: u32) -> __m512i {
        safe!(_mm512_sllv_epi32(a, _mm512_set1_epi32(by as i32)))
    }
    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        safe!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn run(self, most: u32) -> usize {
        if Self::VNNI { usize::MAX } else { (MOST_PAIR / (2 * most * MOST_X)) as usize }
    }
    #[inline(always)]
    fn begin(self, sum: __m512i) -> __m512i {
        if Self::VNNI { sum } else { safe!(_mm512_setzero_si512()) }
    }
    #[inline(always)]
    fn dot(self, partial: __m512i, weights: __m512i, x: __m512i) -> __m512i {
        if Self::VNNI {
            return safe!(_mm512_dpbusd_epi32(partial, weights, x));
        }
        safe!(_mm512_add_epi16(partial, _mm512_maddubs_epi16(weights, x)))
    }
    #[inline(always)]
    fn settle(self, sum: __m512i, partial: __m512i) -> __m512i {
        if Self::VNNI {
            return partial;
        }
        safe!(_mm512_add_epi32(sum, _mm512_madd_epi16(partial, _mm512_set1_epi16(1))))
    }
    #[inline(always)]
    fn dot_wide(self, sum: __m512i, weights: __m512i, x: __m512i) -> __m512i {
        if Self::VNNI {
            return safe!(_mm512_dpbusd_epi32(sum, weights, x));
        }
        // The sign of the weight moves to x: 2·128·127 fits into 16 bits.
        safe!({
            let signed = _mm512_xor_si512(weights, _mm512_set1_epi8(i8::MIN));
            let negative = _mm512_movepi8_mask(signed);
            let x = _mm512_mask_sub_epi8(x, negative, _mm512_setzero_si512(), x);
            let pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(signed), x);
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        })
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::super::Neon;
    use super::Dots;
    use std::arch::aarch64::*;

    /// Wraps one intrinsic call; the token proves the instructions exist.
    macro_rules! safe {
        ($call:expr) => {
            // SAFETY: the token proves the instructions exist; no memory is touched.
            #[allow(unused_unsafe, reason = "many NEON intrinsics are safe in the baseline")]
            unsafe {
                $call
            }
        };
    }

    /// Adds the dot product of each quad; two neighbouring products fit into 16 bits.
    #[inline(always)]
    fn widening(sum: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
        safe!({
            let low = vmull_s8(vget_low_s8(weights), vget_low_s8(x));
            let high = vmull_s8(vget_high_s8(weights), vget_high_s8(x));
            vpadalq_s16(sum, vpaddq_s16(low, high))
        })
    }

    impl Dots for Neon {
        type I32 = int32x4_t;
        const WIDE_OFFSET: i32 = 0;
        const ROWS: usize = 2;

        #[inline(always)]
        unsafe fn load_quads(self, p: *const u8) -> int32x4_t {
            // SAFETY: the caller gives sixteen readable bytes.
            unsafe { vreinterpretq_s32_u8(vld1q_u8(p)) }
        }
        #[inline(always)]
        unsafe fn store_quads(self, v: int32x4_t, p: *mut u8) {
            // SAFETY: the caller gives sixteen writable bytes.
            unsafe { vst1q_u8(p, vreinterpretq_u8_s32(v)) }
        }
        #[inline(always)]
        unsafe fn load_u8(self, p: *const u8) -> int32x4_t {
            // SAFETY: the caller gives four readable bytes.
            let bytes = unsafe { p.cast::<[u8; 4]>().read() }.map(i32::from);
            // SAFETY: an array of four integers.
            unsafe { vld1q_s32(bytes.as_ptr()) }
        }
        #[inline(always)]
        fn splat_i32(self, x: i32) -> int32x4_t {
            safe!(vdupq_n_s32(x))
        }
        #[inline(always)]
        fn and_i32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
            safe!(vandq_s32(a, b))
        }
        #[inline(always)]
        fn or_i32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
            safe!(vorrq_s32(a, b))
        }
        #[inline(always)]
        fn xor_i32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
            safe!(veorq_s32(a, b))
        }
        #[inline(always)]
        fn shift_right(self, a: int32x4_t, by: u32) -> int32x4_t {
            safe!({
                let shifted = vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-(by as i32)));
                vreinterpretq_s32_u32(shifted)
            })
        }
        #[inline(always)]
        fn shift_left(self, a: int32x4_t, by: u32) -> int32x4_t {
            safe!(vshlq_s32(a, vdupq_n_s32(by as i32)))
        }
        #[inline(always)]
        fn to_f32(self, a: int32x4_t) -> float32x4_t {
            safe!(vcvtq_f32_s32(a))
        }
        #[inline(always)]
        fn run(self, _: u32) -> usize {
            usize::MAX
        }
        #[inline(always)]
        fn begin(self, sum: int32x4_t) -> int32x4_t {
            sum
        }
        #[inline(always)]
        fn dot(self, partial: int32x4_t, weights: int32x4_t, x: int32x4_t) -> int32x4_t {
            safe!(widening(partial, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(x)))
        }
        #[inline(always)]
        fn settle(self, _: int32x4_t, partial: int32x4_t) -> int32x4_t {
            partial
        }
        #[inline(always)]
        fn dot_wide(self, sum: int32x4_t, weights: int32x4_t, x: int32x4_t) -> int32x4_t {
            safe!({
                let signed = veorq_s8(vreinterpretq_s8_s32(weights), vdupq_n_s8(i8::MIN));
                widening(sum, signed, vreinterpretq_s8_s32(x))
            })
        }
    }
}
