//! Ingests of one machine and of many, what can be asked of a store, threads and the held-out side.

mod copies;
mod empty_sources;
mod forgetting;
mod ingest;
mod scripts;
mod shards;
mod source_folder;
mod splits;
mod threads;
