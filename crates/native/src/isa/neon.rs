//! aarch64 NEON: four lanes with fused multiply-add.
//!
//! NEON is part of the aarch64 baseline of every target the standard library supports, so the
//! intrinsics need no `target_feature` here. Half precision is converted in software: the f16
//! vector type of the hardware is not in stable Rust.

use super::{Isa, Kernel, Simd};
use std::arch::aarch64::*;

/// Token of [`Isa::Neon`].
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

const LANES: usize = 4;
type F32 = float32x4_t;

impl Neon {
    /// The token, if this machine has the instructions.
    #[inline]
    pub fn new() -> Option<Neon> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    #[target_feature(enable = "neon")]
    fn enter_with_features<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// Wraps one intrinsic call; the token proves the instructions exist.
macro_rules! safe {
    ($call:expr) => {
        // SAFETY: the token proves the instructions exist; no memory outside locals is touched.
        #[allow(unused_unsafe, reason = "many NEON intrinsics are safe in the aarch64 baseline")]
        unsafe {
            $call
        }
    };
}

/// 2^n for integer n in -126..=127.
#[inline(always)]
fn exp2_normal(n: int32x4_t) -> F32 {
    safe!(vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127)))))
}

#[inline(always)]
fn to_array(v: F32) -> [f32; LANES] {
    let mut a = [0.0; LANES];
    safe!(vst1q_f32(a.as_mut_ptr(), v));
    a
}

#[inline(always)]
fn from_array(a: [f32; LANES]) -> F32 {
    safe!(vld1q_f32(a.as_ptr()))
}

impl Simd for Neon {
    const ISA: Isa = Isa::Neon;
    const LANES: usize = LANES;
    type F32 = F32;
    type Mask = uint32x4_t;
    type Square = [F32; LANES];

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the features are present.
        unsafe { self.enter_with_features(kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32 {
        safe!(vdupq_n_f32(x))
    }
    #[inline(always)]
    fn iota(self) -> F32 {
        from_array([0.0, 1.0, 2.0, 3.0])
    }
    #[inline(always)]
    fn add(self, a: F32, b: F32) -> F32 {
        safe!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: F32, b: F32) -> F32 {
        safe!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: F32, b: F32) -> F32 {
        safe!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: F32, b: F32) -> F32 {
        safe!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        safe!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        safe!(vfmsq_f32(c, a, b))
    }
    #[inline(always)]
    fn max(self, a: F32, b: F32) -> F32 {
        safe!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn min(self, a: F32, b: F32) -> F32 {
        safe!(vbslq_f32(vcltq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: F32) -> F32 {
        safe!(vsqrtq_f32(a))
    }
    #[inline(always)]
    fn round_bf16(self, a: F32) -> F32 {
        // Half a unit of the last place kept is added, less the least bit if that place is even; a
        // carry into the exponent is right, up to infinity.
        safe!({
            let bits = vreinterpretq_u32_f32(a);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let half = vaddq_u32(odd, vdupq_n_u32(0x7fff));
            let near = vandq_u32(vaddq_u32(bits, half), vdupq_n_u32(0xffff_0000));
            self.select(self.eq(a, a), vreinterpretq_f32_u32(near), a)
        })
    }
    #[inline(always)]
    fn abs(self, a: F32) -> F32 {
        safe!(vabsq_f32(a))
    }
    #[inline(always)]
    fn neg(self, a: F32) -> F32 {
        safe!(vnegq_f32(a))
    }
    #[inline(always)]
    fn round(self, a: F32) -> F32 {
        safe!(vrndnq_f32(a))
    }
    #[inline(always)]
    fn scale_exp2(self, a: F32, n: F32) -> F32 {
        // In two steps, so that each power is a normal number.
        safe!({
            let n = vcvtq_s32_f32(n);
            let half = vshrq_n_s32::<1>(n);
            let scaled = vmulq_f32(a, exp2_normal(half));
            vmulq_f32(scaled, exp2_normal(vsubq_s32(n, half)))
        })
    }

    #[inline(always)]
    fn lt(self, a: F32, b: F32) -> uint32x4_t {
        safe!(vcltq_f32(a, b))
    }
    #[inline(always)]
    fn le(self, a: F32, b: F32) -> uint32x4_t {
        safe!(vcleq_f32(a, b))
    }
    #[inline(always)]
    fn eq(self, a: F32, b: F32) -> uint32x4_t {
        safe!(vceqq_f32(a, b))
    }
    #[inline(always)]
    fn and(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        safe!(vandq_u32(a, b))
    }
    #[inline(always)]
    fn select(self, mask: uint32x4_t, yes: F32, no: F32) -> F32 {
        safe!(vbslq_f32(mask, yes, no))
    }

    #[inline(always)]
    fn reduce_add(self, a: F32) -> f32 {
        let a = to_array(a);
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn reduce_max(self, a: F32) -> f32 {
        safe!(vmaxvq_f32(a))
    }

    #[inline(always)]
    fn square(self, v: F32) -> [F32; LANES] {
        [v; LANES]
    }
    #[inline(always)]
    fn transpose(self, r: [F32; LANES]) -> [F32; LANES] {
        let r = r.map(to_array);
        std::array::from_fn(|i| from_array(std::array::from_fn(|j| r[j][i])))
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: F32, p: *mut f32) {
        // SAFETY: the caller gives LANES writable elements.
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn load_partial_ptr(self, p: *const f32, count: usize) -> F32 {
        // SAFETY: lane i is read only when the caller vouches for it.
        from_array(std::array::from_fn(|i| if i < count { unsafe { *p.add(i) } } else { 0.0 }))
    }
    #[inline(always)]
    unsafe fn store_partial_ptr(self, v: F32, p: *mut f32, count: usize) {
        let v = to_array(v);
        for i in 0..count.min(LANES) {
            // SAFETY: lane i is written only when the caller vouches for it.
            unsafe { *p.add(i) = v[i] }
        }
    }
    #[inline(always)]
    unsafe fn load_f16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        let bits: [u16; LANES] = unsafe { p.cast::<[u16; LANES]>().read_unaligned() };
        from_array(bits.map(|b| half::f16::from_bits(b).to_f32_const()))
    }
    #[inline(always)]
    unsafe fn store_f16_ptr(self, v: F32, p: *mut u16) {
        let bits = to_array(v).map(|x| half::f16::from_f32_const(x).to_bits());
        // SAFETY: the caller gives LANES writable elements.
        unsafe { p.cast::<[u16; LANES]>().write_unaligned(bits) }
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p))) }
    }
    #[inline(always)]
    unsafe fn splat_f16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives a readable number.
        let bits = unsafe { p.read_unaligned() };
        self.splat(half::f16::from_bits(bits).to_f32_const())
    }
    #[inline(always)]
    unsafe fn load_i8_ptr(self, p: *const i8) -> F32 {
        // SAFETY: the caller gives LANES readable bytes.
        let bytes = unsafe { p.cast::<u32>().read_unaligned() };
        // SAFETY: the token proves the instructions exist; no memory is touched.
        unsafe {
            let wide = vget_low_s16(vmovl_s8(vcreate_s8(u64::from(bytes))));
            vcvtq_f32_s32(vmovl_s16(wide))
        }
    }
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}
}
