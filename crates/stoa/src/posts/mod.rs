//! `stoa posts ingest|audit|explain|forget|stats|sample|diff`: sources to a store, and what can be asked of it.

mod args;
mod audit;
mod corpus;
mod forget;
mod ingest;
mod look;

pub use args::{DiffArgs, ExplainArgs, ForgetArgs, IngestArgs, SampleArgs, StatsArgs};
pub use audit::{AuditArgs, audit};
pub use corpus::corpus;
pub use forget::forget;
pub use ingest::{ingest, run_ingest, threads};
pub use look::{diff, explain, sample, stats};
