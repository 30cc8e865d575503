//! Real data: threads, archives and tables to documents, and languages through an ingest.

mod copies;
mod languages;
#[path = "../../../posts/tests/test_data/mod.rs"]
mod test_data;
mod threads;
