//! The whole answer to one question: layout, time, failures, money, learning. Wires the other
//! modules; computes nothing of its own but what combines them.

mod answer;
mod demands;
mod question;
mod reliability;
mod resolve;
mod said;
mod size;
mod sizing;

pub use answer::{Plan, Scale, answer};
pub use question::{Budget, Question, parse_count, parse_days, parse_dollars, parse_layout};
pub use reliability::Reliability;
pub use resolve::{Knowledge, Resolved, resolve};
pub use said::Said;
pub use sizing::Alternative;
