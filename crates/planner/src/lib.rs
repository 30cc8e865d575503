//! What a training run on thousands of accelerators takes: time, memory, failures, money, energy,
//! each with its error. Pure functions over dated data files; files, clocks, terminals and seeds
//! belong to the caller.
//!
//! Reading order: [`hardware`], [`model`], [`layout`] say what is given; [`time`] and [`memory`]
//! what a step takes; [`calibration`] how far that can be trusted.

pub mod calibration;
pub mod device_file;
pub mod error;
pub mod fabric;
pub mod failures;
pub mod hardware;
pub mod hugging_face;
pub mod launch;
pub mod layout;
pub mod learning;
pub mod memory;
pub mod model;
pub mod money;
pub mod plan;
pub mod program;
pub mod report;
pub mod search;
pub mod software;
pub mod time;
pub mod units;

pub use error::{PlanError, Result};
