//! Runs a tensor program on the CPU: kernels, thread pool, memory plan.
//!
//! From the bottom up: [`isa`] finds the vector instructions of the machine and lets a kernel be
//! written once for all of them; [`pool`] shares tasks among a fixed set of threads. How work is
//! split depends on shapes alone, so results are bitwise the same for any number of threads.

// A match on ops or element types names them all, so that a new one is met by the compiler.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod account;
mod context;
mod dispatch;
mod engine;
pub mod gemm;
mod indices;
pub mod isa;
pub mod kernels;
mod memory;
pub mod peak;
mod plan;
pub mod pool;
mod step;
mod support;
mod view;

pub use context::Context;
pub use engine::{NativeEngine, NativeOptions};
pub use memory::return_large_blocks;
