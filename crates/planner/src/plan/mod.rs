//! The whole answer to one question: layout, time, failures, money, learning. Wires the other
//! modules; computes nothing of its own but what combines them.

mod answer;
mod question;
mod resolve;
mod size;

pub use answer::{Plan, Reliability, answer};
pub use question::{Budget, Question, parse_count, parse_days, parse_dollars, parse_layout};
pub use resolve::{Knowledge, Resolved, resolve};
