//! Which vector instructions this machine has, and how to write a kernel once for all of them.
//!
//! A kernel is a struct that implements [`Kernel`]: its `run` is generic over [`Simd`], marked
//! `#[inline(always)]`, and uses the vector operations of the token it is given.
//! [`Isa::dispatch`] compiles the body once per instruction set (AVX-512, AVX2 + FMA + F16C, NEON,
//! portable) and calls the one asked for. Because a token such as [`Avx512`] can only be made on a
//! machine that has the instructions, the arithmetic is safe to call; only raw-pointer access is
//! `unsafe`.
//!
//! ```
//! use stoa_native::isa::{Isa, Kernel, Simd};
//!
//! /// y += alpha * x
//! struct Axpy<'a> { alpha: f32, x: &'a [f32], y: &'a mut [f32] }
//!
//! impl Kernel for Axpy<'_> {
//!     type Output = ();
//!     #[inline(always)]
//!     fn run<S: Simd>(self, s: S) {
//!         let alpha = s.splat(self.alpha);
//!         for (x, y) in self.x.chunks(S::LANES).zip(self.y.chunks_mut(S::LANES)) {
//!             // The partial forms touch min(len, LANES) elements and cost nothing on full chunks.
//!             let sum = s.mul_add(alpha, s.load_partial(x), s.load_partial(y));
//!             s.store_partial(sum, y);
//!         }
//!     }
//! }
//!
//! let (x, mut y) = ([1.0; 19], [2.0; 19]);
//! Isa::detect().dispatch(Axpy { alpha: 3.0, x: &x, y: &mut y });
//! assert_eq!(y, [5.0; 19]);
//! ```
//!
//! Rules for the inlining to work: every function between `run` and the vector operations is
//! `#[inline(always)]`, and closures are small enough for the compiler to inline. Plain loops
//! written inside `run` are vectorised by the compiler with the instructions of the chosen set.
//!
//! Results may differ in the last bits between instruction sets (fused or separate multiply-add,
//! number of lanes in a sum), never between runs or thread counts on one of them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dots;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::{Avx2, Avx2With, AvxVnni};
#[cfg(target_arch = "x86_64")]
pub use avx512::{Avx512, Avx512Bf16, Avx512Vnni, Avx512With};
pub use dots::{Dots, DotsKernel};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;

use std::fmt;
use std::str::FromStr;

/// An instruction set a kernel can be compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust on arrays of four: runs anywhere.
    Portable,
    /// aarch64 NEON: 4 lanes, fused multiply-add.
    Neon,
    /// x86-64 AVX2, FMA and F16C: 8 lanes.
    Avx2,
    /// The same with AVX-VNNI: products of quantised blocks use its dot products of bytes, all else is
    /// [`Isa::Avx2`].
    AvxVnni,
    /// x86-64 AVX-512 F, BW, DQ and VL: 16 lanes and lane masks.
    Avx512,
    /// The same with AVX-512 VNNI: products of quantised blocks use its dot products of bytes, all else
    /// is [`Isa::Avx512`].
    Avx512Vnni,
    /// The same with AVX-512 BF16: products of bf16 use its dot products.
    Avx512Bf16,
}

impl Isa {
    /// Every instruction set, slowest first.
    pub const ALL: [Isa; 7] = [
        Isa::Portable,
        Isa::Neon,
        Isa::Avx2,
        Isa::AvxVnni,
        Isa::Avx512,
        Isa::Avx512Vnni,
        Isa::Avx512Bf16,
    ];

    /// The fastest set of this machine.
    pub fn detect() -> Isa {
        Isa::available().last().unwrap_or(Isa::Portable)
    }

    /// The sets this machine can run, slowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Whether this machine can run this set. Cheap: the answer is cached by the standard library.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => AvxVnni::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => Avx512Vnni::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Avx512Bf16::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::new().is_some(),
            #[allow(unreachable_patterns, reason = "which sets exist depends on the target")]
            _ => false,
        }
    }

    /// Number of f32 lanes in one vector.
    pub fn lanes(self) -> usize {
        match self {
            Isa::Portable | Isa::Neon => 4,
            Isa::Avx2 | Isa::AvxVnni => 8,
            Isa::Avx512 | Isa::Avx512Vnni | Isa::Avx512Bf16 => 16,
        }
    }

    /// Runs `kernel` compiled for this set.
    ///
    /// # Panics
    /// If the machine lacks the set; take it from [`Isa::detect`] or check [`Isa::is_available`].
    #[inline]
    pub fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        let absent = "this machine lacks the instruction set asked for; use Isa::detect()";
        match self {
            Isa::Portable => Portable.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::AvxVnni => Avx2::new().expect(absent).enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Vnni | Isa::Avx512Bf16 => {
                Avx512::new().expect(absent).enter(kernel)
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::new().expect(absent).enter(kernel),
            #[allow(unreachable_patterns, reason = "which sets exist depends on the target")]
            _ => panic!("{absent}"),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avxvnni",
            Isa::Avx512 => "avx512",
            Isa::Avx512Vnni => "avx512vnni",
            Isa::Avx512Bf16 => "avx512bf16",
        })
    }
}

/// A name that is no instruction set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown instruction set {0:?}: use portable, neon, avx2, avxvnni, avx512, avx512vnni or avx512bf16"
)]
pub struct UnknownIsa(pub String);

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Isa, UnknownIsa> {
        let found = Isa::ALL.into_iter().find(|isa| isa.to_string() == name);
        found.ok_or_else(|| UnknownIsa(name.to_owned()))
    }
}

/// A computation written once for every instruction set. See the module documentation.
pub trait Kernel {
    /// What the computation returns.
    type Output;
    /// The computation. Implementations must be `#[inline(always)]`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// The token of one instruction set: proof that the machine has it, and its vector operations.
///
/// All arithmetic is IEEE f32, lane by lane; NaN propagates unless stated otherwise.
pub trait Simd: Copy + Send + Sync + fmt::Debug + 'static {
    /// The set this token stands for.
    const ISA: Isa;
    /// Number of f32 in a vector.
    const LANES: usize;
    /// A vector of [`Self::LANES`] f32.
    type F32: Copy;
    /// The outcome of a comparison, one truth value per lane.
    type Mask: Copy;
    /// `LANES` vectors, that is a square of f32: `[Self::F32; LANES]`.
    type Square: Copy + AsRef<[Self::F32]> + AsMut<[Self::F32]>;

    /// Runs a kernel compiled with the instructions of this set.
    fn enter<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes equal `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// The lane numbers 0, 1, 2, …
    fn iota(self) -> Self::F32;
    /// `a + b`
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`, correctly rounded.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once where the set has a fused multiply-add (all but portable).
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded like [`Simd::mul_add`].
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `if a > b { a } else { b }`: the second argument when either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a < b { a } else { b }`: the second argument when either is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Square root, correctly rounded.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// Nearest bfloat16 number, ties to even; ±∞ beyond its range, NaN for NaN.
    fn round_bf16(self, a: Self::F32) -> Self::F32;
    /// Absolute value.
    fn abs(self, a: Self::F32) -> Self::F32;
    /// `-a`, also for zero and NaN.
    fn neg(self, a: Self::F32) -> Self::F32;
    /// Nearest integer, ties to even, for |a| < 2^22.
    fn round(self, a: Self::F32) -> Self::F32;
    /// `a * 2^n` for integer-valued `n` in -250..=250, with gradual underflow.
    fn scale_exp2(self, a: Self::F32, n: Self::F32) -> Self::F32;

    /// `a < b`, false when either is NaN.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a <= b`, false when either is NaN.
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a == b`, false when either is NaN.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// Both.
    fn and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Lane by lane `yes` where the mask holds, else `no`.
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32;

    /// Sum of all lanes, by halving: a fixed order.
    fn reduce_add(self, a: Self::F32) -> f32;
    /// Largest lane; unspecified when a lane is NaN.
    fn reduce_max(self, a: Self::F32) -> f32;

    /// A square of `LANES` equal vectors, to be filled through `as_mut`.
    fn square(self, v: Self::F32) -> Self::Square;
    /// Transposes the square: lane j of vector i becomes lane i of vector j.
    fn transpose(self, square: Self::Square) -> Self::Square;

    /// Loads `LANES` f32 from any address.
    ///
    /// # Safety
    /// `LANES` f32 must be readable at `p`.
    unsafe fn load_ptr(self, p: *const f32) -> Self::F32;
    /// Stores `LANES` f32 to any address.
    ///
    /// # Safety
    /// `LANES` f32 must be writable at `p`.
    unsafe fn store_ptr(self, v: Self::F32, p: *mut f32);
    /// Loads the first `min(count, LANES)` lanes and zeroes the others.
    ///
    /// # Safety
    /// `min(count, LANES)` f32 must be readable at `p`.
    unsafe fn load_partial_ptr(self, p: *const f32, count: usize) -> Self::F32;
    /// Stores the first `min(count, LANES)` lanes.
    ///
    /// # Safety
    /// `min(count, LANES)` f32 must be writable at `p`.
    unsafe fn store_partial_ptr(self, v: Self::F32, p: *mut f32, count: usize);
    /// Loads `LANES` IEEE half-precision numbers, given as their bits.
    ///
    /// # Safety
    /// `LANES` u16 must be readable at `p`.
    unsafe fn load_f16_ptr(self, p: *const u16) -> Self::F32;
    /// Stores as half precision, rounded to nearest even.
    ///
    /// # Safety
    /// `LANES` u16 must be writable at `p`.
    unsafe fn store_f16_ptr(self, v: Self::F32, p: *mut u16);
    /// Loads `LANES` bfloat16 numbers, given as their bits.
    ///
    /// # Safety
    /// `LANES` u16 must be readable at `p`.
    unsafe fn load_bf16_ptr(self, p: *const u16) -> Self::F32;
    /// All lanes equal the IEEE half-precision number at `p`, given as its bits.
    ///
    /// # Safety
    /// It must be readable; any address is allowed.
    unsafe fn splat_f16_ptr(self, p: *const u16) -> Self::F32;
    /// Loads `LANES` signed bytes as f32.
    ///
    /// # Safety
    /// `LANES` bytes must be readable at `p`.
    unsafe fn load_i8_ptr(self, p: *const i8) -> Self::F32;
    /// Asks for the cache line at `p` to be brought near; any address is allowed.
    fn prefetch(self, p: *const f32);

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }

    /// Loads the first `LANES` elements.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::F32 {
        assert!(from.len() >= Self::LANES, "load of {} from {}", Self::LANES, from.len());
        // SAFETY: the length was just checked.
        unsafe { self.load_ptr(from.as_ptr()) }
    }

    /// Stores to the first `LANES` elements.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn store(self, v: Self::F32, to: &mut [f32]) {
        assert!(to.len() >= Self::LANES, "store of {} to {}", Self::LANES, to.len());
        // SAFETY: the length was just checked.
        unsafe { self.store_ptr(v, to.as_mut_ptr()) }
    }

    /// Loads `min(len, LANES)` elements, the other lanes zero.
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::F32 {
        // SAFETY: never more than the slice holds.
        unsafe { self.load_first_ptr(from.as_ptr(), from.len()) }
    }

    /// [`Simd::load_partial_ptr`], by a whole load where there is a whole vector: masked loads and
    /// above all masked stores take many cycles on some machines.
    ///
    /// # Safety
    /// `min(count, LANES)` f32 must be readable at `p`.
    #[inline(always)]
    unsafe fn load_first_ptr(self, p: *const f32, count: usize) -> Self::F32 {
        // SAFETY: as the caller promises.
        unsafe {
            if count >= Self::LANES { self.load_ptr(p) } else { self.load_partial_ptr(p, count) }
        }
    }

    /// [`Simd::store_partial_ptr`], by a whole store where there is a whole vector.
    ///
    /// # Safety
    /// `min(count, LANES)` f32 must be writable at `p`.
    #[inline(always)]
    unsafe fn store_first_ptr(self, v: Self::F32, p: *mut f32, count: usize) {
        // SAFETY: as the caller promises.
        unsafe {
            if count >= Self::LANES {
                self.store_ptr(v, p);
            } else {
                self.store_partial_ptr(v, p, count);
            }
        }
    }

    /// Stores `min(len, LANES)` elements.
    #[inline(always)]
    fn store_partial(self, v: Self::F32, to: &mut [f32]) {
        // SAFETY: never more than the slice holds.
        unsafe { self.store_first_ptr(v, to.as_mut_ptr(), to.len()) }
    }

    /// e^x with a relative error below 2e-7 where the result is a normal number; 0 below
    /// about -103.9, infinity above 88.73, NaN for NaN.
    ///
    /// Range reduction by ln 2 in two pieces and a degree-5 minimax polynomial; coefficients of
    /// Cephes `expf` (S. Moshier, netlib cephes/single).
    #[inline(always)]
    fn exp(self, x: Self::F32) -> Self::F32 {
        // `x` second, so that NaN passes through.
        let x = self.min(self.splat(90.0), self.max(self.splat(-105.0), x));
        let n = self.round(self.mul(x, self.splat(std::f32::consts::LOG2_E)));
        let r = self.neg_mul_add(n, self.splat(0.693_359_4), x);
        let r = self.neg_mul_add(n, self.splat(-2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = self.mul_add(p, r, self.splat(c));
        }
        let p = self.mul_add(p, self.mul(r, r), self.add(r, self.splat(1.0)));
        self.scale_exp2(p, n)
    }

    /// The logistic function 1 / (1 + e^-x).
    #[inline(always)]
    fn sigmoid(self, x: Self::F32) -> Self::F32 {
        let one = self.splat(1.0);
        self.div(one, self.add(one, self.exp(self.neg(x))))
    }
}
