//! AVX2 with FMA and F16C: eight lanes, masks as full-width vectors; with AVX-VNNI the dot products of
//! bytes, for matrix products alone.
//!
//! SAFETY of every intrinsic below that takes no pointer: an [`Avx2With`] exists only if `new` saw
//! the features, so the instructions are there.

use super::{Isa, Kernel, Simd};
use std::arch::x86_64::*;

/// Token of [`Isa::Avx2`], or with `VNNI` of [`Isa::AvxVnni`].
#[derive(Clone, Copy, Debug)]
pub struct Avx2With<const VNNI: bool>(());

/// Token of [`Isa::Avx2`].
pub type Avx2 = Avx2With<false>;
/// Token of [`Isa::AvxVnni`].
pub type AvxVnni = Avx2With<true>;

const LANES: usize = 8;
type F32 = __m256;

impl<const VNNI: bool> Avx2With<VNNI> {
    /// The token, if this machine has the instructions.
    #[inline]
    pub fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && (!VNNI || is_x86_feature_detected!("avxvnni"));
        has.then_some(Avx2With(()))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn enter_with_features<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    fn enter_with_vnni<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// Wraps one intrinsic call; see the SAFETY note of the module.
macro_rules! safe {
    ($call:expr) => {
        // SAFETY: the token proves the instructions exist; no memory is touched.
        unsafe { $call }
    };
}

/// All bits set in the first `count` lanes, as `maskload` and `maskstore` want it.
#[inline(always)]
fn first_lanes(count: usize) -> __m256i {
    safe!(_mm256_cmpgt_epi32(
        _mm256_set1_epi32(count.min(LANES) as i32),
        _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
    ))
}

/// 2^n for integer n in -126..=127.
#[inline(always)]
fn exp2_normal(n: __m256i) -> F32 {
    safe!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)))))
}

/// The two halves combined lane by lane.
#[inline(always)]
fn halves(a: F32, f: impl Fn(__m128, __m128) -> __m128) -> __m128 {
    safe!(f(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a)))
}

impl<const VNNI: bool> Simd for Avx2With<VNNI> {
    const ISA: Isa = if VNNI { Isa::AvxVnni } else { Isa::Avx2 };
    const LANES: usize = LANES;
    type F32 = F32;
    type Mask = __m256;
    type Square = [F32; LANES];

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the features are present.
        unsafe {
            if VNNI { self.enter_with_vnni(kernel) } else { self.enter_with_features(kernel) }
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32 {
        safe!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn iota(self) -> F32 {
        safe!(_mm256_setr_ps(0., 1., 2., 3., 4., 5., 6., 7.))
    }
    #[inline(always)]
    fn add(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        safe!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        safe!(_mm256_fnmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: F32) -> F32 {
        safe!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn round_bf16(self, a: F32) -> F32 {
        // Half a unit of the last place kept is added, less the least bit if that place is even; a
        // carry into the exponent is right, up to infinity.
        safe!({
            let bits = _mm256_castps_si256(a);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let near = _mm256_and_si256(_mm256_add_epi32(bits, half), high);
            self.select(self.eq(a, a), _mm256_castsi256_ps(near), a)
        })
    }
    #[inline(always)]
    fn abs(self, a: F32) -> F32 {
        safe!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), a))
    }
    #[inline(always)]
    fn neg(self, a: F32) -> F32 {
        safe!(_mm256_xor_ps(a, _mm256_set1_ps(-0.0)))
    }
    #[inline(always)]
    fn round(self, a: F32) -> F32 {
        safe!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn scale_exp2(self, a: F32, n: F32) -> F32 {
        // In two steps, so that each power is a normal number.
        safe!({
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let scaled = _mm256_mul_ps(a, exp2_normal(half));
            _mm256_mul_ps(scaled, exp2_normal(_mm256_sub_epi32(n, half)))
        })
    }

    #[inline(always)]
    fn lt(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn le(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn and(self, a: F32, b: F32) -> F32 {
        safe!(_mm256_and_ps(a, b))
    }
    #[inline(always)]
    fn select(self, mask: F32, yes: F32, no: F32) -> F32 {
        safe!(_mm256_blendv_ps(no, yes, mask))
    }

    #[inline(always)]
    fn reduce_add(self, a: F32) -> f32 {
        safe!({
            let a = halves(a, |x, y| _mm_add_ps(x, y));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps::<1>(a, a)))
        })
    }
    #[inline(always)]
    fn reduce_max(self, a: F32) -> f32 {
        safe!({
            let a = halves(a, |x, y| _mm_max_ps(x, y));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps::<1>(a, a)))
        })
    }

    #[inline(always)]
    fn square(self, v: F32) -> [F32; LANES] {
        [v; LANES]
    }
    #[inline(always)]
    fn transpose(self, r: [F32; LANES]) -> [F32; LANES] {
        // Three rounds of pairwise interleaving at distances 1, 2 and 4 lanes.
        safe!({
            let mut t = r;
            for i in (0..LANES).step_by(2) {
                t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
                t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
            }
            let mut u = t;
            for i in (0..LANES).step_by(4) {
                u[i] = _mm256_shuffle_ps::<0x44>(t[i], t[i + 2]);
                u[i + 1] = _mm256_shuffle_ps::<0xee>(t[i], t[i + 2]);
                u[i + 2] = _mm256_shuffle_ps::<0x44>(t[i + 1], t[i + 3]);
                u[i + 3] = _mm256_shuffle_ps::<0xee>(t[i + 1], t[i + 3]);
            }
            let mut v = u;
            for i in 0..4 {
                v[i] = _mm256_permute2f128_ps::<0x20>(u[i], u[i + 4]);
                v[i + 4] = _mm256_permute2f128_ps::<0x31>(u[i], u[i + 4]);
            }
            v
        })
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: F32, p: *mut f32) {
        // SAFETY: the caller gives LANES writable elements.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_partial_ptr(self, p: *const f32, count: usize) -> F32 {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm256_maskload_ps(p, first_lanes(count)) }
    }
    #[inline(always)]
    unsafe fn store_partial_ptr(self, v: F32, p: *mut f32, count: usize) {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm256_maskstore_ps(p, first_lanes(count), v) }
    }
    #[inline(always)]
    unsafe fn load_f16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store_f16_ptr(self, v: F32, p: *mut u16) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
        // SAFETY: the caller gives LANES writable elements.
        unsafe { _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<NEAREST>(v)) }
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn splat_f16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives a readable number.
        unsafe { _mm256_cvtph_ps(_mm_set1_epi16(p.read_unaligned() as i16)) }
    }
    #[inline(always)]
    unsafe fn load_i8_ptr(self, p: *const i8) -> F32 {
        // SAFETY: the caller gives LANES readable bytes.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))) }
    }
    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        safe!(_mm_prefetch::<_MM_HINT_T0>(p.cast()))
    }
}
