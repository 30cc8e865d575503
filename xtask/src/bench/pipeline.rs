//! Whole pipelines on posts, paired: ours and datatrove's take turns on one file, one thread each, and
//! medians over the turns are compared by processor time.
//!
//! The steps are those that both have: reading JSON lines, Gopher's filters or none, masking of personal
//! data, near-copies, writing what is left. Ours also keeps every verdict; that is not taken out.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::peak_memory;
use crate::workspace;

/// The rules both have, by our name, with our stages, and how much longer than usual posts are: Gopher's
/// filters drop whatever has fewer than 50 words, so that nothing would be left to find copies in.
const PIPELINES: [(&str, &str, u64); 2] = [
    ("none", "normalise,exact,near,pii,threads", 1),
    ("gopher", "normalise,rules,exact,near,pii,threads", 4),
];

/// Runs both pipelines `turns` times on `count` made-up posts in `folder`.
///
/// # Errors
/// A program that fails; processor time that the system does not tell.
pub fn run(
    root: &Path,
    python: Option<&Path>,
    folder: &Path,
    count: u64,
    turns: usize,
) -> anyhow::Result<Value> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let posts = folder.join("posts.jsonl");
    let binary = workspace::release_binary(root)?;
    let mut result = json!({"posts": count, "turns": turns});
    for (rules, stages, times) in PIPELINES {
        make_posts(root, &posts, count, times)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for turn in 0..turns {
            let out = folder.join("store");
            std::fs::remove_dir_all(&out).ok();
            let mut command = Command::new(&binary);
            command.args(["posts", "ingest", "--quiet", "--json", "--threads", "1"]);
            command.args(["--stages", stages, "--rules", "gopher", "--out"]).arg(&out).arg(&posts);
            ours.push(timed(&mut command)?);
            if let Some(python) = python {
                let out = folder.join("datatrove");
                std::fs::remove_dir_all(&out).ok();
                let mut command = Command::new(python);
                command.arg(root.join("xtask/oracle/posts/pipeline.py"));
                command.arg(&posts).arg(&out).arg(rules);
                theirs.push(timed(&mut command)?);
            }
            eprintln!("pipeline {rules}, turn {}: {:?} {:?}", turn + 1, ours.last(), theirs.last());
        }
        let rate = |times: &mut Vec<Timed>| -> Option<Value> {
            times.sort_by(|left, right| left.seconds.total_cmp(&right.seconds));
            let median = times.get(times.len() / 2)?;
            Some(json!({
                "posts_per_processor_second": count as f64 / median.seconds,
                "processor_seconds": median.seconds,
                "peak_bytes": median.peak_bytes,
                "kept": median.kept,
            }))
        };
        let (ours, theirs) = (rate(&mut ours), rate(&mut theirs));
        let seconds = |side: &Option<Value>| side.as_ref()?["processor_seconds"].as_f64();
        result[rules] = json!({
            "megabytes": std::fs::metadata(&posts).map_or(0.0, |file| file.len() as f64 / 1e6),
            "ratio": seconds(&theirs).zip(seconds(&ours)).map(|(theirs, ours)| theirs / ours),
            "stoa": ours,
            "datatrove": theirs,
        });
    }
    std::fs::remove_dir_all(folder).ok();
    Ok(result)
}

/// What a run took.
#[derive(Debug)]
struct Timed {
    /// Processor time of the process and its children, in seconds.
    seconds: f64,
    peak_bytes: Option<u64>,
    kept: Value,
}

fn timed(command: &mut Command) -> anyhow::Result<Timed> {
    let before = children_seconds()?;
    let watched = peak_memory::run(command)?;
    let seconds = children_seconds()? - before;
    let line = watched.stdout.lines().last().context("the pipeline printed nothing")?;
    let output: Value = serde_json::from_str(line)
        .with_context(|| format!("the pipeline printed no JSON object: {line}"))?;
    Ok(Timed { seconds, peak_bytes: watched.peak_rss_bytes, kept: output["kept"].clone() })
}

/// Processor time of all children that ended, in seconds (proc(5): `cutime` and `cstime`, the 16th and
/// 17th fields of `stat`, in ticks of a hundredth).
fn children_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")
        .context("processor time is read from /proc, which only Linux has")?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    // What follows the name begins with the third field.
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(|ticks| ticks.parse().context("a number of ticks"))
        .collect::<anyhow::Result<_>>()?;
    ensure!(ticks.len() == 2, "/proc/self/stat has too few fields");
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Writes made-up posts.
fn make_posts(root: &Path, path: &Path, count: u64, times: u64) -> anyhow::Result<()> {
    let file =
        std::fs::File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["run", "--release", "-q", "-p", "stoa-posts", "--example", "many_posts", "--"])
        .args([count.to_string(), "1".to_owned(), times.to_string()])
        .stdout(Stdio::from(file))
        .status()
        .context("cannot start the generator of posts")?;
    ensure!(status.success(), "the generator of posts failed ({status})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn processor_time_of_children_grows() {
        let before = children_seconds().expect("Linux tells");
        let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let status = Command::new("sh").args(["-c", spin]).status().expect("a shell");
        assert!(status.success() && children_seconds().expect("Linux tells") > before);
    }
}
