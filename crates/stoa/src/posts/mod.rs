//! `stoa posts ingest|jobs|audit|explain|forget|stats|sample|diff`: sources to a store, and what can be asked of it.

mod args;
mod audit;
mod forget;
mod ingest;
mod inspect;
mod jobs;
mod shard;

pub use args::{DiffArgs, ExplainArgs, ForgetArgs, IngestArgs, JobsArgs, SampleArgs, StatsArgs};
pub use audit::{AuditArgs, audit};
pub use forget::forget;
pub use ingest::{ingest, threads};
pub use inspect::{diff, explain, sample, stats};
pub use jobs::jobs;
