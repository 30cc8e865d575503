//! A plan as one HTML file that needs nothing else: numbers, tables, and charts as inline SVG.

mod chart;
mod page;

pub use page::html;
