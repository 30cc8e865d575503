//! The whole answer to one question: layout, time, failures, money, learning. Wires the other
//! modules; computes nothing of its own but what combines them.

mod answer;
mod assumption;
mod constraints;
mod question;
mod reliability;
mod resolve;
mod size;
mod sizing;

pub use answer::{ClusterSize, Plan, answer};
pub use assumption::Assumption;
pub use question::{
    Budget, Question, parse_count, parse_days, parse_devices, parse_dollars, parse_layout,
};
pub use reliability::Reliability;
pub use resolve::{Given, Knowledge, Resolved, resolve};
pub use sizing::Alternative;
