//! Random numbers as pure functions: a draw depends on seed, purpose and index, on nothing drawn
//! before it and on no machine. Not for secrets.
//!
//! Two generators. [`Stream`] and [`Draws`] are SplitMix64 (Steele, Lea and Flood, "Fast splittable
//! pseudorandom number generators", OOPSLA 2014, fig. 17), whose state is a counter: fast, for data
//! and first weights. [`philox4x32`] is a cipher over (seed, position), for sampling, where seeds
//! are chosen by people and one position follows the other.

mod draws;
mod philox;
mod stream;

pub use draws::Draws;
pub use philox::{philox4x32, uniform};
pub use stream::{Stream, mix, stable_hash};
