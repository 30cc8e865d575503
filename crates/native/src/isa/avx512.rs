//! AVX-512 (F, BW, DQ, VL): sixteen lanes, lane masks, every operation one instruction; with VNNI the
//! dot products of bytes and with BF16 those of pairs of bf16, for matrix products alone.
//!
//! SAFETY of every intrinsic below that takes no pointer: an [`Avx512With`] exists only if `new` saw
//! the features, so the instructions are there.

use super::{Isa, Kernel, Simd};
use std::arch::x86_64::*;
use std::mem::transmute;

/// Token of [`Isa::Avx512`], or of that with more: see [`Avx512Vnni`], [`Avx512Bf16`].
#[derive(Clone, Copy, Debug)]
pub struct Avx512With<const SET: u8>(());

/// With AVX-512 VNNI.
const WITH_VNNI: u8 = 1;
/// With AVX-512 VNNI and BF16.
const WITH_BF16: u8 = 2;

/// Token of [`Isa::Avx512`].
pub type Avx512 = Avx512With<0>;
/// Token of [`Isa::Avx512Vnni`].
pub type Avx512Vnni = Avx512With<WITH_VNNI>;
/// Token of [`Isa::Avx512Bf16`].
pub type Avx512Bf16 = Avx512With<WITH_BF16>;

const LANES: usize = 16;
type F32 = __m512;

/// Wraps one intrinsic call; see the SAFETY note of the module.
macro_rules! safe {
    ($call:expr) => {
        // SAFETY: the token proves the instructions exist; no memory is touched.
        unsafe { $call }
    };
}

impl<const SET: u8> Avx512With<SET> {
    /// Whether the set has dot products of bytes.
    pub(super) const VNNI: bool = SET >= WITH_VNNI;

    /// The token, if this machine has the instructions.
    #[inline]
    pub fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && (SET < WITH_VNNI || is_x86_feature_detected!("avx512vnni"))
            && (SET < WITH_BF16 || is_x86_feature_detected!("avx512bf16"));
        has.then_some(Avx512With(()))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn enter_with_features<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn enter_with_vnni<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn enter_with_bf16<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// Vectors of sixteen pairs of bf16, as their bits in the lanes of an f32 vector. Numbers that are
/// subnormal in f32 count as zero, on the way in and out.
impl Avx512Bf16 {
    /// Thirty-two numbers, rounded to nearest even: pair i is numbers 2i and 2i + 1.
    #[inline(always)]
    pub fn round_to_pairs(self, first: F32, last: F32) -> F32 {
        // SAFETY: the token proves the instruction exists; both types are 64 bytes.
        safe!(transmute::<__m512bh, F32>(_mm512_cvtne2ps_pbh(last, first)))
    }

    /// From the halves of a vector of pairs: pair i becomes (number i, number 16 + i).
    #[inline(always)]
    pub fn interleave_halves(self, pairs: F32) -> F32 {
        const ORDER: [u16; 32] = {
            let mut order = [0; 32];
            let mut i = 0;
            while i < LANES {
                order[2 * i] = i as u16;
                order[2 * i + 1] = (LANES + i) as u16;
                i += 1;
            }
            order
        };
        // SAFETY: the token proves the instruction exists; arrays and vectors are 64 bytes.
        safe!({
            let order = transmute::<[u16; 32], __m512i>(ORDER);
            _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, _mm512_castps_si512(pairs)))
        })
    }

    /// c + a₀·b₀ + a₁·b₁ lane by lane, for pairs a and b, summed in f32.
    #[inline(always)]
    pub fn dot_pairs(self, a: F32, b: F32, c: F32) -> F32 {
        // SAFETY: the token proves the instruction exists; all types are 64 bytes.
        safe!(_mm512_dpbf16_ps(c, transmute::<F32, __m512bh>(a), transmute::<F32, __m512bh>(b)))
    }
}

#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    if count >= LANES { !0 } else { (1u16 << count) - 1 }
}

impl<const SET: u8> Simd for Avx512With<SET> {
    const ISA: Isa = match SET {
        WITH_BF16 => Isa::Avx512Bf16,
        WITH_VNNI => Isa::Avx512Vnni,
        _ => Isa::Avx512,
    };
    const LANES: usize = LANES;
    type F32 = F32;
    type Mask = __mmask16;
    type Square = [F32; LANES];

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the features are present.
        unsafe {
            match SET {
                WITH_BF16 => self.enter_with_bf16(kernel),
                WITH_VNNI => self.enter_with_vnni(kernel),
                _ => self.enter_with_features(kernel),
            }
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32 {
        safe!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn iota(self) -> F32 {
        safe!(_mm512_setr_ps(0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.))
    }
    #[inline(always)]
    fn add(self, a: F32, b: F32) -> F32 {
        safe!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: F32, b: F32) -> F32 {
        safe!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: F32, b: F32) -> F32 {
        safe!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: F32, b: F32) -> F32 {
        safe!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        safe!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        safe!(_mm512_fnmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: F32, b: F32) -> F32 {
        safe!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: F32, b: F32) -> F32 {
        safe!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: F32) -> F32 {
        safe!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn round_bf16(self, a: F32) -> F32 {
        // Half a unit of the last place kept is added, less the least bit if that place is even; a
        // carry into the exponent is right, up to infinity.
        safe!({
            let bits = _mm512_castps_si512(a);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let near = _mm512_and_si512(_mm512_add_epi32(bits, half), high);
            self.select(self.eq(a, a), _mm512_castsi512_ps(near), a)
        })
    }
    #[inline(always)]
    fn abs(self, a: F32) -> F32 {
        safe!(_mm512_abs_ps(a))
    }
    #[inline(always)]
    fn neg(self, a: F32) -> F32 {
        safe!(_mm512_xor_ps(a, _mm512_set1_ps(-0.0)))
    }
    #[inline(always)]
    fn round(self, a: F32) -> F32 {
        safe!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn scale_exp2(self, a: F32, n: F32) -> F32 {
        safe!(_mm512_scalef_ps(a, n))
    }

    #[inline(always)]
    fn lt(self, a: F32, b: F32) -> __mmask16 {
        safe!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn le(self, a: F32, b: F32) -> __mmask16 {
        safe!(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: F32, b: F32) -> __mmask16 {
        safe!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, yes: F32, no: F32) -> F32 {
        safe!(_mm512_mask_blend_ps(mask, no, yes))
    }

    #[inline(always)]
    fn reduce_add(self, a: F32) -> f32 {
        safe!(_mm512_reduce_add_ps(a))
    }
    #[inline(always)]
    fn reduce_max(self, a: F32) -> f32 {
        safe!(_mm512_reduce_max_ps(a))
    }

    #[inline(always)]
    fn square(self, v: F32) -> [F32; LANES] {
        [v; LANES]
    }
    #[inline(always)]
    fn transpose(self, r: [F32; LANES]) -> [F32; LANES] {
        // Four rounds of pairwise interleaving at distances 1, 2, 4 and 8 lanes.
        safe!({
            let mut t = r;
            for i in (0..LANES).step_by(2) {
                t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
                t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
            }
            let mut u = t;
            for i in (0..LANES).step_by(4) {
                u[i] = _mm512_shuffle_ps::<0x44>(t[i], t[i + 2]);
                u[i + 1] = _mm512_shuffle_ps::<0xee>(t[i], t[i + 2]);
                u[i + 2] = _mm512_shuffle_ps::<0x44>(t[i + 1], t[i + 3]);
                u[i + 3] = _mm512_shuffle_ps::<0xee>(t[i + 1], t[i + 3]);
            }
            let mut v = u;
            for i in 0..4 {
                for half in [0, 8] {
                    let (a, b) = (u[half + i], u[half + 4 + i]);
                    v[half + i] = _mm512_shuffle_f32x4::<0x88>(a, b);
                    v[half + 4 + i] = _mm512_shuffle_f32x4::<0xdd>(a, b);
                }
            }
            let mut w = v;
            for i in 0..8 {
                w[i] = _mm512_shuffle_f32x4::<0x88>(v[i], v[i + 8]);
                w[i + 8] = _mm512_shuffle_f32x4::<0xdd>(v[i], v[i + 8]);
            }
            w
        })
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: F32, p: *mut f32) {
        // SAFETY: the caller gives LANES writable elements.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_partial_ptr(self, p: *const f32, count: usize) -> F32 {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm512_maskz_loadu_ps(first_lanes(count), p) }
    }
    #[inline(always)]
    unsafe fn store_partial_ptr(self, v: F32, p: *mut f32, count: usize) {
        // SAFETY: masked lanes are not accessed.
        unsafe { _mm512_mask_storeu_ps(p, first_lanes(count), v) }
    }
    #[inline(always)]
    unsafe fn load_f16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store_f16_ptr(self, v: F32, p: *mut u16) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: the caller gives LANES writable elements.
        unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<NEAREST>(v)) }
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn splat_f16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives a readable number.
        unsafe { _mm512_cvtph_ps(_mm256_set1_epi16(p.read_unaligned() as i16)) }
    }
    #[inline(always)]
    unsafe fn load_i8_ptr(self, p: *const i8) -> F32 {
        // SAFETY: the caller gives LANES readable bytes.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()))) }
    }
    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        safe!(_mm_prefetch::<_MM_HINT_T0>(p.cast()))
    }
}
