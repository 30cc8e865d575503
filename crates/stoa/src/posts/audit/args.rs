//! Options of `stoa posts audit`, declared once with the help that teaches them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `stoa posts audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// JSON lines, CSV, TSV or Parquet files with a column that names the side; or the directory of an
    /// ingest, whose own verdicts are audited.
    #[arg(required = true, value_name = "SOURCE|DIR")]
    pub sources: Vec<PathBuf>,
    /// Column of the side a post speaks for: party, camp, language, dialect. In a store: a column of its
    /// posts, or of the files they were read from, which must still exist.
    #[arg(long, value_name = "COLUMN")]
    pub side: String,
    /// Sides to compare, the reference first [default: all, the first by alphabet as reference].
    #[arg(long, value_name = "SIDE", value_delimiter = ',')]
    pub sides: Vec<String>,
    /// Side that the others are compared with.
    #[arg(long, value_name = "SIDE")]
    pub reference: Option<String>,
    /// Column of the author [default: the usual names, such as author, screen_name, author_id, name].
    #[arg(long, value_name = "COLUMN")]
    pub author: Option<String>,
    /// Column of the text [default: the usual names, such as full_text, text, content].
    #[arg(long, value_name = "COLUMN")]
    pub text: Option<String>,
    /// Column of the language [default: lang or language].
    #[arg(long, value_name = "COLUMN")]
    pub language: Option<String>,
    /// Column of the topic: sides are also compared topic by topic.
    #[arg(long, value_name = "COLUMN")]
    pub topic: Option<String>,
    /// Further column to list rates by, such as a dialect or region; may be given several times.
    #[arg(long, value_name = "COLUMN")]
    pub by: Vec<String>,
    /// Use only rows where COLUMN is VALUE; may be given several times.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub only: Vec<String>,
    /// gopher, c4, dialogpt, posts, or a file that names rules one a line [default: posts; for a store,
    /// the verdicts it holds].
    #[arg(long, value_name = "PROFILE|FILE")]
    pub rules: Option<String>,
    /// Largest difference of drop rates that does not matter, in points.
    #[arg(long, value_name = "POINTS", default_value_t = 2.0)]
    pub margin: f64,
    /// Seed of the resampling. Same seed, same intervals.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Bootstrap resamples.
    #[arg(long, value_name = "N", default_value_t = 4000)]
    pub resamples: usize,
    /// Write a report to this HTML file.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Language of the report.
    #[arg(long, value_enum, default_value = "en")]
    pub report_language: ReportLanguage,
    /// Put up to N dropped posts of every rule and side into the report. Posts belong to people: look
    /// at them, do not pass them on.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub samples: usize,
}

/// Language of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportLanguage {
    /// English.
    En,
    /// French.
    Fr,
}
