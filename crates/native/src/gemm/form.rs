//! What an element of a packed strip is: an f32, an f32 rounded to bf16, or a pair of bf16 that are
//! neighbours along the contraction index, in the four bytes of an f32. Strips are buffers of f32
//! either way; how they are laid out is in `pack`.

use super::view::Element;
use crate::isa::Simd;

#[cfg(target_arch = "x86_64")]
use crate::isa::Avx512Bf16;

/// The elements of strips on one instruction set: how they are made and multiplied.
pub(super) trait Form: Copy + Send + Sync + 'static {
    /// The vectors of the instruction set.
    type Simd: Simd;
    /// Numbers along the contraction index in one element.
    const INNER: usize;

    /// The token of the instruction set.
    fn simd(self) -> Self::Simd;

    /// LANES elements along the contraction index, from `INNER · LANES` numbers at `p`.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn along_inner<T: Element>(self, p: *const T) -> <Self::Simd as Simd>::F32;

    /// LANES elements along the outer index, from LANES numbers at each of the first `INNER` of `p`.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn along_outer<T: Element>(self, p: [*const T; 2]) -> <Self::Simd as Simd>::F32;

    /// One element, from its first `INNER` numbers.
    fn element(self, numbers: [f32; 2]) -> f32;
}

/// Elements that are multiplied as they are packed.
pub(super) trait Multiply: Form {
    /// c + a·b lane by lane, over all numbers of an element.
    fn multiply_add(
        self,
        a: <Self::Simd as Simd>::F32,
        b: <Self::Simd as Simd>::F32,
        c: <Self::Simd as Simd>::F32,
    ) -> <Self::Simd as Simd>::F32;
}

/// f32 as they are.
#[derive(Clone, Copy)]
pub(super) struct Whole<S>(pub S);

impl<S: Simd> Form for Whole<S> {
    type Simd = S;
    const INNER: usize = 1;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }
    #[inline(always)]
    unsafe fn along_inner<T: Element>(self, p: *const T) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { T::load(self.0, p) }
    }
    #[inline(always)]
    unsafe fn along_outer<T: Element>(self, [p, _]: [*const T; 2]) -> S::F32 {
        // SAFETY: passed on to the caller.
        unsafe { T::load(self.0, p) }
    }
    #[inline(always)]
    fn element(self, [number, _]: [f32; 2]) -> f32 {
        number
    }
}

impl<S: Simd> Multiply for Whole<S> {
    #[inline(always)]
    fn multiply_add(self, a: S::F32, b: S::F32, c: S::F32) -> S::F32 {
        self.0.mul_add(a, b, c)
    }
}

/// f32 rounded to bf16: what machines multiply that have no arithmetic of bf16.
#[derive(Clone, Copy)]
pub(super) struct Rounded<S>(pub S);

impl<S: Simd> Form for Rounded<S> {
    type Simd = S;
    const INNER: usize = 1;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }
    #[inline(always)]
    unsafe fn along_inner<T: Element>(self, p: *const T) -> S::F32 {
        // SAFETY: passed on to the caller.
        self.0.round_bf16(unsafe { T::load(self.0, p) })
    }
    #[inline(always)]
    unsafe fn along_outer<T: Element>(self, [p, _]: [*const T; 2]) -> S::F32 {
        // SAFETY: passed on to the caller.
        self.0.round_bf16(unsafe { T::load(self.0, p) })
    }
    #[inline(always)]
    fn element(self, [number, _]: [f32; 2]) -> f32 {
        half::bf16::from_f32(number).to_f32()
    }
}

/// Pairs of bf16 for the dot products of AVX-512 BF16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Pairs(pub Avx512Bf16);

#[cfg(target_arch = "x86_64")]
type PairVector = <Avx512Bf16 as Simd>::F32;

#[cfg(target_arch = "x86_64")]
impl Form for Pairs {
    type Simd = Avx512Bf16;
    const INNER: usize = 2;

    #[inline(always)]
    fn simd(self) -> Avx512Bf16 {
        self.0
    }
    #[inline(always)]
    unsafe fn along_inner<T: Element>(self, p: *const T) -> PairVector {
        // SAFETY: passed on to the caller.
        unsafe { T::load_pairs(self.0, p) }
    }
    #[inline(always)]
    unsafe fn along_outer<T: Element>(self, [even, odd]: [*const T; 2]) -> PairVector {
        // SAFETY: passed on to the caller.
        let (even, odd) = unsafe { (T::load(self.0, even), T::load(self.0, odd)) };
        self.0.interleave_halves(self.0.round_to_pairs(even, odd))
    }
    #[inline(always)]
    fn element(self, numbers: [f32; 2]) -> f32 {
        let [low, high] = numbers.map(|x| u32::from(half::bf16::from_f32(x).to_bits()));
        f32::from_bits(low | high << 16)
    }
}

#[cfg(target_arch = "x86_64")]
impl Multiply for Pairs {
    #[inline(always)]
    fn multiply_add(self, a: PairVector, b: PairVector, c: PairVector) -> PairVector {
        self.0.dot_pairs(a, b, c)
    }
}
