//! Readers of every kind of source, and the page of the rules.

mod exporters;
mod hostile;
mod mixed_scripts;
mod networks;
mod parquet;
mod reading;
mod rules_page;
