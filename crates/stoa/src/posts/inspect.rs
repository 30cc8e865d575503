//! `stoa posts explain|stats|sample|diff`: what can be asked of a store.

use anyhow::Context as _;
use serde_json::json;
use stoa_corpus::Store;
use stoa_corpus::ingest::{self, Manifest, Survival};

use super::{DiffArgs, ExplainArgs, SampleArgs, StatsArgs};
use crate::terminal::Terminal;

/// Shows one post's path through the rules.
///
/// # Errors
/// No such store; no such post in it.
pub fn explain(args: &ExplainArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let explained = ingest::explain(&Store::new(&args.dir), &args.id)?;
    anyhow::ensure!(
        !explained.is_empty(),
        "no post of {} has the identifier {}; `stoa posts sample {}` shows some",
        args.dir.display(),
        args.id,
        args.dir.display()
    );
    terminal.result(&explained, || {
        let mut lines = Vec::new();
        for found in &explained {
            let post = &found.post;
            lines.push(format!("{} in shard {}, row {}", post.id, found.shard, found.row));
            lines.push(format!(
                "  read from {}, record {}, byte {}",
                post.origin.source, post.origin.record, post.origin.byte_offset
            ));
            let (language, source) = (post.language.code(), post.language_source.name());
            lines.push(format!("  language {language} ({source}), author {}", post.author));
            lines.push(format!("  {}", post.text.replace('\n', "\n  ")));
            for verdict in &found.verdicts {
                let said = match (verdict.kept, &verdict.reason, &verdict.of) {
                    (None, ..) => "not asked".to_owned(),
                    (Some(true), ..) => "kept".to_owned(),
                    (_, reason, None) => format!("dropped: {}", reason.as_deref().unwrap_or("")),
                    (_, reason, Some(of)) => {
                        format!("dropped: {} of {of}", reason.as_deref().unwrap_or(""))
                    }
                };
                lines.push(format!("  {:<24} {said}", verdict.rule));
            }
        }
        lines.join("\n")
    })
}

/// Counts a store.
///
/// # Errors
/// No such store; damaged files, when they are to be verified.
pub fn stats(args: &StatsArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let store = Store::new(&args.dir);
    let manifest = Manifest::read(&store)?;
    if args.verify {
        let damaged = manifest.damaged(&store)?;
        anyhow::ensure!(
            damaged.is_empty(),
            "{} files of {} differ from the manifest, the first {}; ingest again",
            damaged.len(),
            args.dir.display(),
            damaged.first().map_or("", String::as_str)
        );
    }
    let statistics = ingest::statistics(&store)?;
    let value = json!({
        "records": manifest.records,
        "posts": manifest.posts,
        "notices": manifest.notices,
        "rejected": manifest.rejected,
        "reject_reasons": manifest.reject_reasons,
        "remarks": manifest.remarks,
        "kept": manifest.kept,
        "stages": manifest.stages,
        "gathered": manifest.gathered,
        "statistics": statistics,
        "verified": args.verify,
    });
    terminal.result(&value, || {
        let survival = |name: &str, survival: &Survival| {
            let share = 100.0 * survival.kept as f64 / survival.posts.max(1) as f64;
            format!("  {name:<40} {} of {} kept ({share:.1} %)", survival.kept, survival.posts)
        };
        let mut lines = vec![survival("posts", &statistics.all)];
        lines.push(survival("authors", &statistics.authors));
        lines.push(format!("  largest group of copies: {}", statistics.largest_cluster));
        for (what, table) in [
            ("language", &statistics.by_language),
            ("source", &statistics.by_source),
            ("basis", &statistics.by_basis),
        ] {
            lines.push(format!("by {what}"));
            lines.extend(table.iter().map(|(name, counts)| survival(name, counts)));
        }
        for (removal, count) in &statistics.removed {
            lines.push(format!("  gone, {removal}: {count}"));
        }
        lines.join("\n")
    })
}

/// Draws posts.
///
/// # Errors
/// No such store.
pub fn sample(args: &SampleArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let store = Store::new(&args.dir);
    let sampled = ingest::sample(&store, args.n, args.seed, args.dropped_by.as_deref())?;
    terminal.result(&sampled, || {
        let lines = sampled.iter().map(|sampled| {
            let verdict = sampled.dropped_by.as_deref().unwrap_or("kept");
            format!("{} [{verdict}] {}", sampled.post.id, sampled.post.text.replace('\n', " / "))
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// Compares two stores.
///
/// # Errors
/// One of them is no store.
pub fn diff(args: &DiffArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let difference = ingest::difference(&Store::new(&args.before), &Store::new(&args.after))
        .context("comparing two stores")?;
    terminal.result(&difference, || {
        let mut lines = vec![
            format!(
                "only before: {}, only after: {}",
                difference.only_before, difference.only_after
            ),
            format!("kept in both: {}", difference.kept_in_both),
            format!("text differs: {}", difference.other_text),
        ];
        for (what, table) in [
            ("now dropped by", &difference.now_dropped),
            ("kept now, dropped before by", &difference.now_kept),
            ("dropped by another rule", &difference.other_rule),
        ] {
            lines.extend(table.iter().map(|(rule, count)| format!("{what} {rule}: {count}")));
        }
        lines.join("\n")
    })
}
