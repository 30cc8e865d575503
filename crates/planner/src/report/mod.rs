//! A plan as one HTML file that needs nothing else: numbers, tables and charts, in English or French.

mod layouts;
mod page;
mod step;
mod words;

pub use page::html;
pub use stoa_report::Language;
