//! `report.html`: a run on one page that needs nothing else: curves, figures, tables, samples. Light
//! and dark, readable without its pictures. Pure: all data are arguments, the page is a string.

mod chart;
mod page;

use std::path::Path;

use crate::metrics::Metric;
use crate::{TrainingError, atomic};

pub use chart::{Chart, Series};

/// What a report shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// A sentence or two below it.
    pub summary: String,
    /// The numbers that matter, large.
    pub figures: Vec<Figure>,
    /// Curves are drawn from these.
    pub metrics: Vec<Metric>,
    /// Everything else, in this order.
    pub sections: Vec<Section>,
}

/// A number with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it is.
    pub label: String,
    /// The number with its unit.
    pub value: String,
    /// What to hold it against, or nothing.
    pub note: String,
}

impl Figure {
    /// A figure.
    pub fn new(
        label: impl Into<String>,
        value: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Figure { label: label.into(), value: value.into(), note: note.into() }
    }
}

/// A part of a report with a heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// A sentence or two below it; may be empty.
    pub text: String,
    /// What is shown.
    pub content: Content,
}

/// What a section shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Rows and columns; long ones are folded.
    Table {
        /// Column headings.
        header: Vec<String>,
        /// Cells, as many in each row as headings.
        rows: Vec<Vec<String>>,
    },
    /// Conversations, each with a title.
    Samples(Vec<Sample>),
    /// Text as it is, such as a `run.toml`.
    Verbatim(String),
    /// A further chart.
    Chart(Chart),
}

/// A conversation or text that the model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it shows.
    pub title: String,
    /// Speaker and words, in order.
    pub turns: Vec<(String, String)>,
}

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        page::render(self)
    }

    /// Writes the page atomically.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn write(&self, path: &Path) -> Result<(), TrainingError> {
        atomic::write(path, self.to_html().as_bytes())
    }
}
