//! `stoa plan validate`: the cost model against a table of published runs, for people and scripts.

use std::fmt::Write as _;
use std::path::Path;

use stoa_planner::calibration::{Calibration, Errors, Report, read_rows, validate};

use crate::files;
use crate::terminal::Terminal;

/// Validates the rows of a file.
///
/// # Errors
/// When the file cannot be read or a row is not understood.
pub fn run(rows: &Path, leave_one_source_out: bool, terminal: &Terminal) -> anyhow::Result<()> {
    let text = files::read_text(rows)?;
    let runs = read_rows(&text, &rows.display().to_string())?;
    for refused in &runs.refused {
        let id = if refused.id.is_empty() { String::new() } else { format!(" ({})", refused.id) };
        terminal.note(format!("line {}{id} left out: {}", refused.line, refused.reason));
    }
    let report = validate(&runs, &Calibration::published(), leave_one_source_out);
    terminal.result(&report, || table(&report))
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    let how = if report.leave_one_source_out {
        "each source predicted by constants fitted without it"
    } else {
        "shipped constants"
    };
    let _ = writeln!(
        text,
        "{} rows, {} of them timed, {} left out; {how}. Errors of MFU in percent.\n",
        report.rows,
        report.count,
        report.refused.len()
    );
    let _ = writeln!(
        text,
        "{:<30} {:>5} {:>8} {:>8} {:>8}   constant MFU",
        "", "rows", "median", "p90", "bias"
    );
    let mut section = |title: &str, rows: &std::collections::BTreeMap<String, Errors>| {
        let _ = writeln!(text, "{title}");
        for (name, errors) in rows {
            let baseline = report.baseline.get(name).map_or(String::new(), |b| {
                format!("{:>8.1} {:>8.1}", b.mfu_median_ape_pct, b.mfu_p90_ape_pct)
            });
            let _ = writeln!(
                text,
                "  {name:<28} {:>5} {:>8.1} {:>8.1} {:>8.1}   {baseline}",
                errors.count,
                errors.mfu_median_ape_pct,
                errors.mfu_p90_ape_pct,
                errors.step_time_bias_pct
            );
        }
    };
    section("by class", &report.by_class);
    section("by source", &report.by_source);
    section("by device", &report.by_gpu);
    section("by devices", &report.by_size);
    let _ = writeln!(text);
    for (class, coverage) in &report.interval_coverage {
        let _ = writeln!(
            text,
            "intervals ({class}): {} of {} rows inside, {:.0} % at a nominal {:.0} %",
            coverage.covered,
            coverage.count,
            100.0 * coverage.share,
            100.0 * coverage.nominal
        );
    }
    let memory = &report.memory;
    let _ = write!(
        text,
        "memory: {} of {} measured rows within 15 % (median {:.1} %); of {} rows {} predicted to fit \
         that did not, {} predicted not to fit that ran",
        memory.within_15_pct,
        memory.measured,
        memory.median_ape_pct,
        memory.judged,
        memory.false_fits,
        memory.false_rejections
    );
    if let (Some(error), Some(bound)) = (memory.error, memory.bound) {
        let _ = write!(
            text,
            "\nmemory: measured is below {bound:.2} × predicted with 95 %; bounds of the other sources hold \
             {} of {} rows",
            error.covered, error.rows
        );
    }
    if !report.baseline_wins.is_empty() {
        let _ = write!(text, "\na constant MFU is nearer on: {}", report.baseline_wins.join(", "));
    }
    text
}
