//! Finds how to lay a run out: every valid layout of a cluster, those that fit, the best of them by
//! time, memory and energy, why the others were refused, and what limits the best.

mod front;
mod limits;
mod space;

pub use front::{Candidate, pareto};
pub use limits::{Limit, limits};
pub use space::{Rejections, Search, Searched, search};
