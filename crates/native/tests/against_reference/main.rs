//! The engine against the reference: every op over odd sizes and all attributes, on every
//! instruction set this machine has, with one, two and three threads (whose results must be equal
//! bit by bit); then whole programs, non-finite values and errors.

#![allow(clippy::unwrap_used)]

mod attention;
mod caches;
mod draws;
mod errors;
mod harness;
mod linear;
mod losses;
mod nonfinite;
mod optimizers;
mod packed;
mod pointwise;
mod programs;
mod rows;
mod state;
