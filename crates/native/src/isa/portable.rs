//! Vectors of four in plain Rust, for machines without a set of their own here.
//!
//! Written so that the compiler maps them onto whatever four-lane registers the target's baseline
//! has (SSE2 on x86-64). Multiply-add is not fused: without hardware for it that would be a call.

use super::{Isa, Kernel, Simd};

/// Token of [`Isa::Portable`].
#[derive(Clone, Copy, Debug)]
pub struct Portable;

const LANES: usize = 4;
type F32 = [f32; LANES];

#[inline(always)]
fn zip(a: F32, b: F32, f: impl Fn(f32, f32) -> f32) -> F32 {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

/// 2^n for integer-valued `n` in -126..=127.
#[inline(always)]
fn exp2_normal(n: f32) -> f32 {
    f32::from_bits(((n as i32 + 127) as u32) << 23)
}

impl Simd for Portable {
    const ISA: Isa = Isa::Portable;
    const LANES: usize = LANES;
    type F32 = F32;
    type Mask = [bool; LANES];
    type Square = [F32; LANES];

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32 {
        [x; LANES]
    }
    #[inline(always)]
    fn iota(self) -> F32 {
        [0.0, 1.0, 2.0, 3.0]
    }
    #[inline(always)]
    fn add(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn max(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: F32) -> F32 {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    fn round_bf16(self, a: F32) -> F32 {
        a.map(|x| half::bf16::from_f32(x).to_f32())
    }
    #[inline(always)]
    fn abs(self, a: F32) -> F32 {
        a.map(f32::abs)
    }
    #[inline(always)]
    fn neg(self, a: F32) -> F32 {
        a.map(|x| -x)
    }
    #[inline(always)]
    fn round(self, a: F32) -> F32 {
        // Adding 1.5 * 2^23 leaves no fraction bits; the sum is rounded to nearest even.
        const MAGIC: f32 = 12_582_912.0;
        a.map(|x| (x + MAGIC) - MAGIC)
    }
    #[inline(always)]
    fn scale_exp2(self, a: F32, n: F32) -> F32 {
        // In two steps, so that each power is a normal number.
        zip(a, n, |a, n| {
            let half = (n * 0.5) as i32 as f32;
            a * exp2_normal(half) * exp2_normal(n - half)
        })
    }

    #[inline(always)]
    fn lt(self, a: F32, b: F32) -> [bool; LANES] {
        std::array::from_fn(|i| a[i] < b[i])
    }
    #[inline(always)]
    fn le(self, a: F32, b: F32) -> [bool; LANES] {
        std::array::from_fn(|i| a[i] <= b[i])
    }
    #[inline(always)]
    fn eq(self, a: F32, b: F32) -> [bool; LANES] {
        std::array::from_fn(|i| a[i] == b[i])
    }
    #[inline(always)]
    fn and(self, a: [bool; LANES], b: [bool; LANES]) -> [bool; LANES] {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn select(self, mask: [bool; LANES], yes: F32, no: F32) -> F32 {
        std::array::from_fn(|i| if mask[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn reduce_add(self, a: F32) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn reduce_max(self, a: F32) -> f32 {
        a[0].max(a[2]).max(a[1].max(a[3]))
    }

    #[inline(always)]
    fn square(self, v: F32) -> [F32; LANES] {
        [v; LANES]
    }
    #[inline(always)]
    fn transpose(self, square: [F32; LANES]) -> [F32; LANES] {
        std::array::from_fn(|i| std::array::from_fn(|j| square[j][i]))
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> F32 {
        // SAFETY: the caller gives LANES readable elements; `read_unaligned` needs no alignment.
        unsafe { p.cast::<F32>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: F32, p: *mut f32) {
        // SAFETY: the caller gives LANES writable elements.
        unsafe { p.cast::<F32>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_partial_ptr(self, p: *const f32, count: usize) -> F32 {
        // SAFETY: lane i is read only when the caller vouches for it.
        std::array::from_fn(|i| if i < count { unsafe { p.add(i).read_unaligned() } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_partial_ptr(self, v: F32, p: *mut f32, count: usize) {
        for i in 0..count.min(LANES) {
            // SAFETY: lane i is written only when the caller vouches for it.
            unsafe { p.add(i).write_unaligned(v[i]) }
        }
    }
    #[inline(always)]
    unsafe fn load_f16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        let bits: [u16; LANES] = unsafe { p.cast::<[u16; LANES]>().read_unaligned() };
        bits.map(|b| half::f16::from_bits(b).to_f32_const())
    }
    #[inline(always)]
    unsafe fn store_f16_ptr(self, v: F32, p: *mut u16) {
        let bits = v.map(|x| half::f16::from_f32_const(x).to_bits());
        // SAFETY: the caller gives LANES writable elements.
        unsafe { p.cast::<[u16; LANES]>().write_unaligned(bits) }
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, p: *const u16) -> F32 {
        // SAFETY: the caller gives LANES readable elements.
        let bits: [u16; LANES] = unsafe { p.cast::<[u16; LANES]>().read_unaligned() };
        bits.map(|b| f32::from_bits(u32::from(b) << 16))
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
        unsafe { p.cast::<[i8; LANES]>().read_unaligned() }.map(f32::from)
    }
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}
}
