//! Every gradient against finite differences of the reference, over odd sizes and all attributes;
//! and what the transform promises: accumulation, recomputation, substitutes, errors.

#![allow(clippy::unwrap_used)]

mod attention;
mod block;
#[path = "../draws/mod.rs"]
mod draws;
mod finite;
mod linear;
mod losses;
mod pointwise;
mod transform;
