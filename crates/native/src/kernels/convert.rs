//! Casts between float formats, rounded to nearest even, from and to quantised blocks, and fills.
//! Results are the same on every instruction set.

use half::{bf16, f16};
use stoa_graph::DType;

use super::dequantise::Dequantise;
use super::disjoint::Disjoint;
use crate::context::Context;
use crate::gemm::Element;
use crate::isa::{Kernel, Simd};
use crate::pool::Pool;

/// Elements a task works on.
const TASK: usize = 1 << 14;

/// A float format tensors are stored in.
pub trait Float: Element {
    /// Stores `LANES` numbers, each rounded to nearest even.
    ///
    /// # Safety
    /// `S::LANES` elements must be writable at `p`.
    unsafe fn store<S: Simd>(s: S, v: S::F32, p: *mut Self);
    /// Rounded to nearest even, beyond the range ±∞; NaN stays NaN.
    fn from_f32(x: f32) -> Self;
}

impl Float for f32 {
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, v: S::F32, p: *mut f32) {
        // SAFETY: passed on to the caller.
        unsafe { s.store_ptr(v, p) }
    }
    #[inline(always)]
    fn from_f32(x: f32) -> f32 {
        x
    }
}

impl Float for f16 {
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, v: S::F32, p: *mut f16) {
        // SAFETY: passed on to the caller; f16 is a transparent u16.
        unsafe { s.store_f16_ptr(v, p.cast()) }
    }
    #[inline(always)]
    fn from_f32(x: f32) -> f16 {
        f16::from_f32_const(x)
    }
}

impl Float for bf16 {
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, v: S::F32, p: *mut bf16) {
        const MAX_LANES: usize = 16;
        let mut lanes = [0.0; MAX_LANES];
        s.store(v, &mut lanes);
        for (i, &x) in lanes[..S::LANES].iter().enumerate() {
            // SAFETY: lane i < LANES, vouched for by the caller.
            unsafe { *p.add(i) = <bf16 as Float>::from_f32(x) }
        }
    }
    #[inline(always)]
    fn from_f32(x: f32) -> bf16 {
        // Branch-free, so that a loop over it becomes vector code.
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        bf16::from_bits(if x.is_nan() { quiet } else { rounded } as u16)
    }
}

/// y = x in another format.
///
/// # Panics
/// If the lengths differ.
pub fn cast<A: Float, B: Float>(context: Context<'_>, x: &[A], y: &mut [B]) {
    assert_eq!(x.len(), y.len(), "cast: lengths differ");
    let to = Disjoint::new(y);
    context.pool.run(x.len().div_ceil(TASK), &|task, _| {
        let start = task * TASK;
        let x = &x[start..x.len().min(start + TASK)];
        // SAFETY: each task has its own block.
        let y = unsafe { to.part(start, x.len()) };
        context.isa.dispatch(Cast { x, y });
    });
}

/// y = the numbers that blocks of a quantised type stand for.
///
/// # Panics
/// If the lengths do not fit.
pub fn cast_blocks<B: Float>(context: Context<'_>, dtype: DType, blocks: &[u8], y: &mut [B]) {
    let layout = dtype.block();
    assert_eq!(blocks.len() / layout.bytes * layout.elements, y.len(), "cast: lengths differ");
    let per_task = TASK / layout.elements;
    let count = y.len() / layout.elements;
    let to = Disjoint::new(y);
    context.pool.run(count.div_ceil(per_task), &|task, _| {
        let (first, end) = (task * per_task, count.min((task + 1) * per_task));
        let blocks = &blocks[first * layout.bytes..end * layout.bytes];
        // SAFETY: each task has its own blocks.
        let y = unsafe { to.part(first * layout.elements, (end - first) * layout.elements) };
        context.isa.dispatch(CastBlocks { dtype, blocks, y });
    });
}

/// Some blocks, by way of a buffer that stays in the L1 cache.
struct CastBlocks<'a, B> {
    dtype: DType,
    blocks: &'a [u8],
    y: &'a mut [B],
}

impl<B: Float> Kernel for CastBlocks<'_, B> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const NUMBERS: usize = 1024;
        let layout = self.dtype.block();
        let mut buffer = [0.0; NUMBERS];
        let blocks = self.blocks.chunks(NUMBERS / layout.elements * layout.bytes);
        for (blocks, y) in blocks.zip(self.y.chunks_mut(NUMBERS)) {
            let numbers = &mut buffer[..y.len()];
            Dequantise { dtype: self.dtype, blocks, numbers }.run(s);
            Cast { x: &*numbers, y }.run(s);
        }
    }
}

/// Numbers of a block of q8_0, and its bytes.
pub(super) const BLOCK: usize = 32;
pub(super) const BLOCK_BYTES: usize = 34;

/// y = x in blocks of q8_0, as [`stoa_graph::quantise`] rounds.
///
/// # Panics
/// If the lengths do not fit.
pub fn quantise_rows<A: Float>(context: Context<'_>, x: &[A], y: &mut [u8]) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    assert!(rest.is_empty() && y.len() == blocks.len() * BLOCK_BYTES, "cast: lengths differ");
    let per_task = TASK / BLOCK;
    let to = Disjoint::new(y);
    context.pool.run(blocks.len().div_ceil(per_task), &|task, _| {
        let first = task * per_task;
        let x = &blocks[first..blocks.len().min(first + per_task)];
        // SAFETY: each task has its own blocks.
        let y = unsafe { to.part(first * BLOCK_BYTES, x.len() * BLOCK_BYTES) };
        context.isa.dispatch(Quantise { x, y });
    });
}

/// Some blocks. Plain loops, which the compiler turns into vector code.
pub(super) struct Quantise<'a, A> {
    pub x: &'a [[A; BLOCK]],
    pub y: &'a mut [u8],
}

impl<A: Float> Kernel for Quantise<'_, A> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        const MAGNITUDE: u32 = 0x7fff_ffff;
        const INFINITY: u32 = f32::INFINITY.to_bits();
        for (x, y) in self.x.iter().zip(self.y.as_chunks_mut::<BLOCK_BYTES>().0) {
            let x: [f32; BLOCK] = std::array::from_fn(|i| x[i].to_f32());
            // Magnitudes are ordered as their bits are, infinity and NaN last.
            let most = x.iter().fold(0, |most, x| most.max(x.to_bits() & MAGNITUDE));
            let scale = if most >= INFINITY { f32::NAN } else { f32::from_bits(most) / 127.0 };
            let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            y[..2].copy_from_slice(&f16::from_f32_const(scale).to_le_bytes());
            for (y, x) in y[2..].iter_mut().zip(x) {
                *y = (x * inverse).round() as i8 as u8;
            }
        }
    }
}

/// One block, also used for rows of tables.
pub(super) struct Cast<'a, A, B> {
    pub x: &'a [A],
    pub y: &'a mut [B],
}

impl<A: Float, B: Float> Kernel for Cast<'_, A, B> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert_eq!(self.x.len(), self.y.len());
        let whole = self.x.len() - self.x.len() % S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            // SAFETY: LANES elements from `at` lie inside both slices.
            unsafe {
                let v = A::load(s, self.x.as_ptr().add(at));
                B::store(s, v, self.y.as_mut_ptr().add(at));
            }
        }
        for (x, y) in self.x[whole..].iter().zip(&mut self.y[whole..]) {
            *y = B::from_f32(x.to_f32());
        }
    }
}

/// Every element of y = value.
pub fn fill<T: Copy + Send + Sync>(pool: &Pool, value: T, y: &mut [T]) {
    let (len, to) = (y.len(), Disjoint::new(y));
    pool.run(len.div_ceil(TASK), &|task, _| {
        let start = task * TASK;
        // SAFETY: each task has its own block.
        unsafe { to.part(start, TASK.min(len - start)) }.fill(value);
    });
}
