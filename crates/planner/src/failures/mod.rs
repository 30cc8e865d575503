//! How often a run is interrupted, what that costs, and what checkpoint interval costs least:
//! published rates, the closed forms of Young and Daly, and a simulation of what they leave out.

mod closed_form;
mod rates;
mod simulation;

pub use closed_form::{best_interval, goodput, young_interval};
pub use rates::{Checkpoint, FAILURE_DATA, Failures, Observation};
pub use simulation::{Policy, Scenario, Simulated, simulate};
