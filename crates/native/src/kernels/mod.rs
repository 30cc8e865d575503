//! Kernels of the CPU engine other than matrix products. Each takes plain slices and sizes and
//! knows nothing of programs.
//!
//! Every kernel splits its work by shape alone and sums in a fixed order, so its result is bitwise
//! the same at any number of threads; it may differ in the last bits between instruction sets.

pub mod attention;
pub mod cache;
mod convert;
pub(crate) mod curves;
pub(crate) mod dequantise;
pub(crate) mod disjoint;
pub(crate) mod fused;
pub mod gather;
pub mod loss;
mod math;
pub mod norm;
pub mod optimizer;
pub mod pointwise;
pub mod rope;
