//! Functions applied element by element: sums and products here, nonlinearities in `curves`.
//!
//! An operand given as `None` lies where the output will: it is read from there before it is
//! overwritten. Casts and fills are in `convert`.

use super::disjoint::Disjoint;
use crate::context::Context;
use crate::isa::{Kernel, Simd};

pub use super::convert::{Float, cast, cast_blocks, fill, quantise_rows};

/// Elements a task works on.
const TASK: usize = 1 << 14;

/// A function of `I` numbers with `O` results.
pub(crate) trait Function<const I: usize, const O: usize>: Copy + Sync {
    /// The function on vectors; implementations are `#[inline(always)]`.
    fn apply<S: Simd>(self, s: S, x: [S::F32; I]) -> [S::F32; O];
}

/// Applies `f` to each element. An input that is `None` is read from the output that `place` names.
///
/// # Panics
/// If the operands have different lengths.
pub(crate) fn apply<const I: usize, const O: usize, F: Function<I, O>>(
    context: Context<'_>,
    f: F,
    inputs: [Option<&[f32]>; I],
    place: [usize; I],
    outputs: [&mut [f32]; O],
) {
    let len = outputs[0].len();
    assert!(outputs.iter().all(|o| o.len() == len), "outputs of different lengths");
    assert!(inputs.iter().flatten().all(|x| x.len() == len), "an operand has not {len} elements");
    let outputs = outputs.map(Disjoint::new);
    context.pool.run(len.div_ceil(TASK), &|task, _| {
        let start = task * TASK;
        let to: [*mut f32; O] = std::array::from_fn(|o| outputs[o].at(start));
        let from: [*const f32; I] = std::array::from_fn(|i| match inputs[i] {
            Some(x) => x[start..].as_ptr(),
            None => to[place[i]].cast_const(),
        });
        // SAFETY: inside the operands, whose lengths were checked; a task's elements are its own.
        context.isa.dispatch(unsafe { Block::new(f, from, to, TASK.min(len - start)) });
    });
}

/// A run of elements.
pub(crate) struct Block<F, const I: usize, const O: usize> {
    f: F,
    from: [*const f32; I],
    to: [*mut f32; O],
    len: usize,
}

impl<F, const I: usize, const O: usize> Block<F, I, O> {
    /// `f` of `len` elements at `from`, to be written at `to`.
    ///
    /// # Safety
    /// While this lives, `len` elements must be readable at each of `from` and writable at each of
    /// `to`, and no one else may write the former or use the latter. An input may lie exactly where
    /// an output does.
    #[inline(always)]
    pub unsafe fn new(f: F, from: [*const f32; I], to: [*mut f32; O], len: usize) -> Self {
        Block { f, from, to, len }
    }
}

impl<F: Function<I, O>, const I: usize, const O: usize> Kernel for Block<F, I, O> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.len - self.len % S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            // SAFETY: `at + LANES <= len`, the caller of `new` vouches for the pointers, and each
            // vector is read before it is written.
            unsafe {
                let x = self.from.map(|p| s.load_ptr(p.add(at)));
                let y = self.f.apply(s, x);
                for o in 0..O {
                    s.store_ptr(y[o], self.to[o].add(at));
                }
            }
        }
        if whole < self.len {
            let rest = self.len - whole;
            // SAFETY: as above, for the last `rest` elements.
            unsafe {
                let x = self.from.map(|p| s.load_partial_ptr(p.add(whole), rest));
                let y = self.f.apply(s, x);
                for o in 0..O {
                    s.store_partial_ptr(y[o], self.to[o].add(whole), rest);
                }
            }
        }
    }
}

/// Declares a function and the kernel that applies it.
macro_rules! pointwise {
    ($(#[$doc:meta])* $name:ident $(($constant:ident))?, $function:ident:
        [$($x:ident @ $place:literal),+] -> [$($y:ident),+], $s:ident => $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $function { $($constant: f32)? }

        impl Function<{ [$($place),+].len() }, { [$(stringify!($y)),+].len() }> for $function {
            #[inline(always)]
            fn apply<S: Simd>(
                self,
                $s: S,
                [$($x),+]: [S::F32; [$($place),+].len()],
            ) -> [S::F32; [$(stringify!($y)),+].len()] {
                $(let $constant = self.$constant;)?
                $body
            }
        }

        $(#[$doc])*
        ///
        /// # Panics
        /// If the operands have different lengths.
        pub fn $name(
            context: Context<'_>,
            $($constant: f32,)?
            $($x: Option<&[f32]>,)+
            $($y: &mut [f32],)+
        ) {
            let f = $function { $($constant)? };
            apply(context, f, [$($x),+], [$($place),+], [$($y),+]);
        }
    };
}

pointwise! {
    /// y = a + b
    add, Add: [a @ 0, b @ 0] -> [y], s => [s.add(a, b)]
}
pointwise! {
    /// y = a·b
    mul, Mul: [a @ 0, b @ 0] -> [y], s => [s.mul(a, b)]
}
pointwise! {
    /// y = by·x
    scale(by), Scale: [x @ 0] -> [y], s => [s.mul(s.splat(by), x)]
}
