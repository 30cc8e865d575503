//! `stoa posts audit`: asks rules about posts with their sides, prints verdicts, writes the report.

mod args;

pub use args::AuditArgs;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use stoa_audit::report;
use stoa_audit::source::{AuditPost, Columns, LeftOut, Source, SourceOptions};
use stoa_audit::{
    Against, Audit, AuditConfig, AuditError, Judge, Leaning, Observation, RuleAudit, Sample,
    Samples, Tally,
};
use stoa_posts::rules::PROFILES;
use stoa_report::Language;

use crate::cli::MachineArgs;
use crate::files;
use crate::terminal::Terminal;
use args::ReportLanguage;

/// Exit status when a rule leans.
const LEANS: u8 = 3;
/// Exit status when nothing leans and something is undetermined.
const UNDETERMINED: u8 = 4;

/// What is printed as JSON: the audit, and what it was made of.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    audit: &'a Audit,
    profile: &'a str,
    columns: &'a Columns,
    left_out: &'a LeftOut,
    exit_status: u8,
}

/// Runs the audit. The status says what was found: 0, or [`LEANS`], or [`UNDETERMINED`].
///
/// # Errors
/// Files that cannot be read, columns and sides that are not there, a report that cannot be written.
pub fn audit(
    args: &AuditArgs,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<ExitCode> {
    let source = Source::open(options(args)?)?;
    let profile = match (&args.rules, source.stored_rules()) {
        (None, Some(_)) => "verdicts of the store",
        (None, None) => "posts",
        (Some(rules), _) => rules.as_str(),
    };
    let mut judge = match (&args.rules, source.stored_rules()) {
        (None, Some(_)) => None,
        _ => Some(judge(profile)?),
    };
    if let Some(judge) = judge.as_mut().filter(|judge| judge.needs_observing()) {
        each(&source, terminal, "observing", |post, _| {
            judge.observe(&post.rule_post());
            Ok(())
        })?;
    }
    let rules = match &judge {
        Some(judge) => judge.names(),
        None => source.stored_rules().map(<[String]>::to_vec).unwrap_or_default(),
    };
    let mut tally = Tally::new(rules.clone(), source.facets());
    let mut samples = Samples::new(args.seed, args.samples);
    let left_out = each(&source, terminal, "judging", |post, levels| {
        let dropped = match &judge {
            Some(judge) => judge.drops(&post.rule_post()),
            None => post.stored_drops.clone(),
        };
        samples.add(&rules, &dropped, &post.side, &post.text);
        let (side, author) = (post.side.as_str(), post.author.as_deref());
        tally.add(&Observation { side, author, levels, dropped: &dropped })
    })?;
    if tally.posts() == 0 {
        anyhow::bail!(
            "no row has both a side in `{}` and a text in `{}` (columns: {}); check --side, --sides and \
             --text",
            source.columns.side,
            source.columns.text,
            source.known.join(", ")
        );
    }
    let config = AuditConfig {
        sides: source.order(&tally)?,
        margin: args.margin / 100.0,
        seed: args.seed,
        resamples: args.resamples,
        threads: super::ingest::threads(machine),
    };
    let mut bar = None;
    let found = stoa_audit::audit(&tally, &config, |done, of| {
        let bar = bar.get_or_insert_with(|| terminal.bar("resampling", of as u64, "passes"));
        bar.update(done as u64, "");
    })?;
    if let Some(bar) = bar {
        bar.finish(&format!("{} resamples", args.resamples));
    }
    if tally.without_author() > 0 {
        terminal.note(format!(
            "{} of {} posts have no author: posts are resampled, and intervals are too narrow where few \
             people wrote many of them; name a column with --author",
            tally.without_author(),
            tally.posts()
        ));
    }
    let status = match found.verdict {
        Leaning::WithinMargin => 0,
        Leaning::Leans => LEANS,
        Leaning::Undetermined => UNDETERMINED,
    };
    let printed = Printed {
        audit: &found,
        profile,
        columns: &source.columns,
        left_out: &left_out,
        exit_status: status,
    };
    if let Some(path) = &args.report {
        write_report(path, args, profile, &found, &samples.finish())?;
        terminal.note(format!("report: {}", path.display()));
    }
    terminal.result(&printed, || table(&found))?;
    Ok(ExitCode::from(status))
}

/// Where the posts are, of the options.
fn options(args: &AuditArgs) -> anyhow::Result<SourceOptions> {
    let condition = |condition: &String| {
        let parts = condition.split_once('=');
        let parts = parts.map(|(column, value)| (column.to_owned(), value.to_owned()));
        parts.with_context(|| format!("--where {condition}: write COLUMN=VALUE"))
    };
    Ok(SourceOptions {
        sources: args.sources.clone(),
        side: args.side.clone(),
        sides: args.sides.clone(),
        reference: args.reference.clone(),
        author: args.author.clone(),
        text: args.text.clone(),
        language: args.language.clone(),
        topic: args.topic.clone(),
        by: args.by.clone(),
        only: args.only.iter().map(condition).collect::<anyhow::Result<_>>()?,
        has_rules: args.rules.is_some(),
    })
}

/// Shows every usable post, with a bar.
fn each(
    source: &Source,
    terminal: &Terminal,
    what: &str,
    show: impl FnMut(&AuditPost, &[&str]) -> Result<(), AuditError>,
) -> anyhow::Result<LeftOut> {
    let mut bar = None;
    let mut progress = |done: u64, total: u64| {
        let bar = bar.get_or_insert_with(|| terminal.bar(what, total, source.unit()));
        bar.update(done, "");
    };
    let left_out = source.each(&mut progress, show)?;
    if let Some(bar) = bar {
        bar.finish(&format!("{} rows", left_out.rows));
    }
    Ok(left_out)
}

fn write_report(
    path: &Path,
    args: &AuditArgs,
    profile: &str,
    found: &Audit,
    samples: &[Sample],
) -> anyhow::Result<()> {
    let language = match args.report_language {
        ReportLanguage::En => Language::English,
        ReportLanguage::Fr => Language::French,
    };
    let page = report::report(found, profile, samples, language);
    files::write(path, page.to_html().as_bytes())
}

/// The rules of a profile, or of a file.
fn judge(rules: &str) -> anyhow::Result<Judge> {
    if let Some(judge) = Judge::of_profile(rules) {
        return Ok(judge);
    }
    let path = Path::new(rules);
    if !path.exists() {
        anyhow::bail!(
            "--rules {rules}: neither a profile ({}) nor a file; write a file that names rules one a line",
            PROFILES.join(", ")
        );
    }
    Judge::of_list(&files::read_text(path)?).with_context(|| format!("in {rules}"))
}

/// The audit for people.
fn table(audit: &Audit) -> String {
    let mut lines = Vec::new();
    for (at, side) in audit.sides.iter().enumerate() {
        let role = if at == 0 { " (reference)" } else { "" };
        let authors = side.authors.map_or("authors unknown".to_owned(), |n| format!("{n} authors"));
        lines.push(format!("{}{role}: {} posts, {authors}", side.side, side.n));
    }
    lines.push(format!(
        "{:<28} {:<14} {:>7} {:>7} {:>7} {:>18} {:>8} {:>7}  verdict",
        "rule", "side", "rate %", "ref. %", "points", "95 % interval", "p (Holm)", "alike"
    ));
    for rule in audit.rules.iter().chain([&audit.all]) {
        for side in &rule.sides {
            let Some(against) = &side.against else { continue };
            lines.push(row(rule, &side.side, side.rate, against));
        }
    }
    lines.push(format!(
        "verdict: {} (margin {} points; points: side minus reference; alike: difference between posts \
         alike in {})",
        audit.verdict.name(),
        100.0 * audit.margin,
        audit.strata.join(", ")
    ));
    lines.join("\n")
}

fn row(rule: &RuleAudit, side: &str, rate: f64, against: &Against) -> String {
    let estimate = &against.overall;
    let interval = estimate.interval.map(|end| format!("{:+.1}", 100.0 * end)).join(", ");
    let alike = against.like_for_like.as_ref();
    let alike = alike.map_or("-".to_owned(), |l| format!("{:+.1}", 100.0 * l.estimate.difference));
    format!(
        "{:<28} {:<14} {:>7.2} {:>7.2} {:>+7.2} {:>18} {:>8.3} {:>7}  {}",
        rule.rule,
        side,
        100.0 * rate,
        100.0 * rule.sides[0].rate,
        100.0 * estimate.difference,
        format!("[{interval}]"),
        estimate.p_adjusted,
        alike,
        against.verdict.name()
    )
}
