//! A report on one page that needs nothing else: figures, plots, tables, samples. Light and dark,
//! readable without its pictures, in English or French. Pure: all data are arguments, the page is a
//! string. It knows nothing of what is reported, and writes no file.

mod axis;
mod dots;
mod forest;
mod gantt;
mod lines;
mod page;
mod ranges;
mod scatter;
mod stack;

pub use dots::{DotPlot, DotRow};
pub use forest::{ForestPlot, ForestRow, Mark};
pub use gantt::{GanttChart, GanttLane, GanttSpan};
pub use lines::{LineChart, Series};
pub use ranges::RangeChart;
pub use scatter::{ScatterChart, ScatterSeries};
pub use stack::{StackBar, StackPart};

/// What a report shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Language of the page.
    pub language: Language,
    /// Heading of the page.
    pub title: String,
    /// A sentence or two below it.
    pub summary: String,
    /// The numbers that matter, large.
    pub figures: Vec<Figure>,
    /// Everything else, in this order.
    pub sections: Vec<Section>,
}

/// Language of a page. What is reported comes in it; the page adds its few own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// French.
    French,
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
    Table(Table),
    /// Conversations, each with a title.
    Samples(Vec<Sample>),
    /// Text as it is, such as a `run.toml`.
    Verbatim(String),
    /// Plots, each with its numbers in a table.
    Plots(Vec<Plot>),
}

/// Rows and columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Column headings.
    pub header: Vec<String>,
    /// Cells, as many in each row as headings.
    pub rows: Vec<Vec<String>>,
}

/// A drawing with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Plot {
    /// Curves.
    Lines(LineChart),
    /// Estimates with their intervals, and a band of what does not matter.
    Forest(ForestPlot),
    /// Shares of several groups, row by row.
    Dots(DotPlot),
    /// A whole and its parts.
    Stack(StackBar),
    /// Who does what when.
    Gantt(GanttChart),
    /// How far inputs move a result.
    Ranges(RangeChart),
    /// Points over two axes.
    Scatter(ScatterChart),
}

/// A conversation or text that the model or a person wrote.
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
}
