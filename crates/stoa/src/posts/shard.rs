//! One machine's share of an ingest: which one, and how long it waits for the others.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use stoa_corpus::ingest::{IngestOptions, Manifest, Share, Waiting, ingest_shard};

use super::IngestArgs;
use crate::terminal::Terminal;
use stoa_runs::ingest_progress;

/// Seconds to wait for machines that do nothing, when none are given.
const WAIT_SECONDS: u64 = 3600;
/// How often to look whether the others are done. Looking costs a look at every missing file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Does the share; the manifest is there when the whole is done.
///
/// # Errors
/// What an ingest says; others that do not come.
pub fn run(
    args: &IngestArgs,
    options: &IngestOptions,
    own: Share,
    terminal: &Terminal,
) -> anyhow::Result<Option<Manifest>> {
    let usual = if args.phase.is_some() { 0 } else { WAIT_SECONDS };
    let limit = Duration::from_secs(args.wait.unwrap_or(usual));
    let progress = ingest_progress(terminal);
    let before: Cell<Option<(&'static str, usize, Instant)>> = Cell::new(None);
    let wait = |waiting: &Waiting| {
        let since = match before.get() {
            Some((phase, missing, since))
                if phase == waiting.phase && missing == waiting.missing =>
            {
                since
            }
            _ => {
                let shards: Vec<String> = waiting.shards.iter().map(usize::to_string).collect();
                terminal.note(format!(
                    "waiting in phase {}: {} of {} tasks missing, of shards {}",
                    waiting.phase,
                    waiting.missing,
                    waiting.tasks,
                    shards.join(", ")
                ));
                Instant::now()
            }
        };
        before.set(Some((waiting.phase, waiting.missing, since)));
        if since.elapsed() >= limit {
            return false;
        }
        thread::sleep(LOOK_EVERY.min(limit));
        true
    };
    Ok(ingest_shard(options, own, args.phase.as_deref(), &progress, &wait)?)
}

/// Says that a share is done and the whole is not.
///
/// # Errors
/// An output that is closed.
pub fn report_unfinished(
    args: &IngestArgs,
    own: Share,
    seconds: f64,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let shard = format!("{}/{}", own.index + 1, own.of);
    let phase = args.phase.as_deref().unwrap_or("");
    let summary = json!({
        "directory": args.out, "shard": shard, "phase": phase, "complete": false, "seconds": seconds,
    });
    terminal.result(&summary, || format!("phase {phase}, shard {shard}: done in {seconds:.1} s"))
}
