//! Readers of every kind of source, and the page of the rules.

mod exporters;
mod hostile;
mod lenient;
mod mixed_scripts;
mod networks;
mod objects;
mod parquet;
mod reading;
mod rules_page;
mod tables;
