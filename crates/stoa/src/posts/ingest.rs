//! `stoa posts ingest`: sources to a store, with progress and a summary that scripts can read.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};
use stoa_corpus::ingest::{IngestOptions, Manifest, RejectBound, Share, Stage};
use stoa_corpus::{SplitBy, Store};
use stoa_posts::decontamination::MIN_WORDS;
use stoa_posts::{DateOrder, Format, Quote};

use super::{IngestArgs, shard};
use crate::cli::MachineArgs;
use crate::terminal::Terminal;

/// Runs the command.
///
/// # Errors
/// Options without sense, and what an ingest says.
pub fn ingest(args: &IngestArgs, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let options = options(args, machine)?;
    let started = Instant::now();
    let bytes: u64 = args.sources.iter().map(|path| size(path)).sum();
    let own = match &args.shard {
        None => None,
        Some(text) => Some(Share::parse(text).map_err(|error| anyhow::anyhow!("--{error}"))?),
    };
    let manifest = match own {
        None => stoa_runs::ingest(&options, terminal)?,
        Some(own) => match shard::run(args, &options, own, terminal)? {
            Some(manifest) => manifest,
            None => {
                return shard::report_unfinished(
                    args,
                    own,
                    started.elapsed().as_secs_f64(),
                    terminal,
                );
            }
        },
    };
    let seconds = started.elapsed().as_secs_f64();
    let summary = summary(&manifest, &options.out, bytes, seconds);
    terminal.result(&summary, || summary_text(&manifest, &options.out, bytes, seconds))
}

pub(super) fn options(args: &IngestArgs, machine: &MachineArgs) -> anyhow::Result<IngestOptions> {
    let mut options = IngestOptions::new(args.sources.clone(), &args.out);
    options.read.format = Format::from_name(&args.format).with_context(|| {
        let known: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
        format!("--format {} is unknown; use one of {}", args.format, known.join(", "))
    })?;
    for pair in &args.map {
        let (part, name) = pair
            .split_once('=')
            .with_context(|| format!("--map {pair}: write PART=NAME, such as text=body"))?;
        options.read.map.push((part.trim().to_owned(), name.trim().to_owned()));
    }
    options.read.table.quote = match &args.quote {
        None => None,
        Some(name) => Some(Quote::from_name(name).with_context(|| {
            format!("--quote {name} is unknown; use none, double or backslash")
        })?),
    };
    options.read.table.delimiter = args.delimiter.as_deref().map(delimiter).transpose()?;
    options.read.table.no_header = args.no_header;
    options.read.dates = DateOrder::from_name(&args.dates).with_context(|| {
        format!("--dates {} is unknown; use day-first, month-first or excel", args.dates)
    })?;
    options.read.encoding.clone_from(&args.encoding);
    if !args.stages.is_empty() {
        options.stages = args
            .stages
            .iter()
            .map(|name| {
                Stage::from_name(name.trim()).with_context(|| {
                    let known: Vec<&str> = Stage::ALL.iter().map(|(name, _)| *name).collect();
                    format!("--stages {name} is unknown; use some of {}", known.join(", "))
                })
            })
            .collect::<anyhow::Result<_>>()?;
    }
    options.read.keep_truncated = args.keep_truncated;
    options.read.embedded = !args.no_embedded;
    options.profile.clone_from(&args.rules);
    options.basis.clone_from(&args.basis);
    options.licence.clone_from(&args.licence);
    options.evaluation_sets.clone_from(&args.decontaminate);
    options.author_key.clone_from(&args.author_key);
    let way = SplitBy::ALL.into_iter().find(|(name, _)| *name == args.split);
    options.split = way
        .map(|(_, way)| way)
        .with_context(|| format!("--split {} is unknown; use author or thread", args.split))?;
    options.max_rejects = args.max_rejects.as_deref().map(bound).transpose()?;
    anyhow::ensure!(args.shard_posts > 0, "--shard-posts 0 holds nothing; give for example 65536");
    options.shard_posts = args.shard_posts;
    options.threads = threads(machine);
    Ok(options)
}

/// The separator of fields: a character, or its name.
fn delimiter(text: &str) -> anyhow::Result<u8> {
    const NAMES: [(&str, u8); 6] = [
        ("tab", b'\t'),
        ("\\t", b'\t'),
        ("comma", b','),
        ("semicolon", b';'),
        ("bar", b'|'),
        ("space", b' '),
    ];
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, byte)| *byte);
    let single = || match text.as_bytes() {
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Some(*byte),
        _ => None,
    };
    named.or_else(single).with_context(|| {
        format!("--delimiter {text}: give one character, or tab, comma, semicolon, bar or space")
    })
}

/// Threads as asked for, or one a core.
pub fn threads(machine: &MachineArgs) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    machine.threads.unwrap_or_else(cores).max(1)
}

fn bound(text: &str) -> anyhow::Result<RejectBound> {
    let wrong = || format!("--max-rejects {text}: write a number, or a share such as 1%");
    if let Some(percent) = text.trim().strip_suffix('%') {
        let percent: f64 = percent.trim().parse().with_context(wrong)?;
        anyhow::ensure!((0.0..=100.0).contains(&percent), wrong());
        return Ok(RejectBound::Share(percent / 100.0));
    }
    Ok(RejectBound::Count(text.trim().parse().with_context(wrong)?))
}

/// Bytes of a file, or of the files in a folder.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = std::fs::metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

fn summary(manifest: &Manifest, out: &Path, bytes: u64, seconds: f64) -> Value {
    json!({
        "directory": out,
        "records": manifest.records,
        "posts": manifest.posts,
        "notices": manifest.notices,
        "asides": manifest.asides,
        "rejected": manifest.rejected,
        "reject_reasons": manifest.reject_reasons,
        "remarks": manifest.remarks,
        "kept": manifest.kept,
        "stages": manifest.stages,
        "evaluations": manifest.evaluations,
        "gathered": manifest.gathered,
        "shards": manifest.shards.len(),
        "seconds": seconds,
        "posts_per_second": manifest.posts as f64 / seconds,
        "source_megabytes_per_second": bytes as f64 / 1e6 / seconds,
    })
}

fn summary_text(manifest: &Manifest, out: &Path, bytes: u64, seconds: f64) -> String {
    let mut lines = vec![format!(
        "{} records: {} posts, {} notices, {} asides, {} rejected",
        manifest.records, manifest.posts, manifest.notices, manifest.asides, manifest.rejected
    )];
    for (reason, count) in &manifest.reject_reasons {
        lines.push(format!("  rejected {count}: {reason}"));
    }
    if manifest.rejected > 0 {
        lines.push(format!("  each with its place: {}", Store::new(out).rejects().display()));
    }
    lines.extend(manifest.remarks.lines());
    for stage in &manifest.stages {
        for (reason, count) in stage.dropped.iter().filter(|_| stage.stage != "verdict") {
            lines.push(format!(
                "  {:<24} dropped {count} of {}: {reason}",
                stage.stage, stage.asked
            ));
        }
    }
    if let Some(evaluations) = manifest.evaluations.filter(|counts| counts.too_short > 0) {
        lines.push(format!(
            "  {} of {} evaluation texts have fewer than {MIN_WORDS} words and were not looked for",
            evaluations.too_short, evaluations.items
        ));
    }
    lines.push(format!("{} posts kept of {}", manifest.kept, manifest.posts));
    if let Some(gathered) = &manifest.gathered {
        let by = match gathered.split_by {
            SplitBy::Author => format!("by author, {} posts set aside", gathered.set_aside),
            SplitBy::Thread => "by thread".to_owned(),
        };
        lines.push(format!(
            "{} threads ({} held out {by}), {} dialogues, {} bytes of documents",
            gathered.threads, gathered.held_out, gathered.dialogues, gathered.bytes
        ));
    }
    lines.push(format!(
        "{seconds:.1} s, {:.0} posts/s, {:.1} MB/s of sources; in {}",
        manifest.posts as f64 / seconds,
        bytes as f64 / 1e6 / seconds,
        out.display()
    ));
    lines.join("\n")
}
