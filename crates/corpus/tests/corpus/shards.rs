//! Many machines: the same bytes as one, whichever is killed, late or missing.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::source_folder::folder_with;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use stoa_corpus::ingest::{IngestOptions, Manifest, PHASES, Share, Waiting, ingest, ingest_shard};
use stoa_corpus::{CorpusError, SplitBy};
use stoa_posts::Durability;
use stoa_square::{Square, SquareConfig};
use tempfile::TempDir;

const NOTICES: &str = r#"{"delete": {"status": {"id_str": "4"}, "timestamp_ms": "1600000000000"}}
{"user_delete": {"id": "hal", "timestamp_ms": "1600000000000"}}
not json
"#;

/// The square in three files, notices, and a chain of replies longer than the rounds in phases follow.
fn sources() -> TempDir {
    let folder = folder_with(&[("notices.jsonl", NOTICES)]);
    let square = Square::generate(3, &SquareConfig::default()).unwrap();
    for (part, posts) in square.posts.chunks(square.posts.len().div_ceil(3)).enumerate() {
        let lines: String =
            posts.iter().map(|post| serde_json::to_string(post).unwrap() + "\n").collect();
        std::fs::write(folder.path().join(format!("square-{part}.jsonl")), lines).unwrap();
    }
    let mut chain = String::new();
    for at in 0..200_u32 {
        let text = format!("Link number {at} of a chain that {} people hold together.", at * 7 + 3);
        let parent = at.checked_sub(1).map(|parent| format!("chain-{parent}"));
        let post = serde_json::json!({
            "id": format!("chain-{at}"), "author": format!("holder{}", at % 5), "text": text,
            "in_reply_to": parent,
        });
        chain.push_str(&format!("{post}\n"));
    }
    // Two that answer each other: damage, which must end.
    chain.push_str("{\"id\": \"loop-1\", \"text\": \"The first of two that answer each other.\", \"in_reply_to\": \"loop-2\"}\n");
    chain.push_str("{\"id\": \"loop-2\", \"text\": \"And here is the second one of the two.\", \"in_reply_to\": \"loop-1\"}\n");
    std::fs::write(folder.path().join("chain.jsonl"), chain).unwrap();
    folder
}

const FILES: [&str; 5] =
    ["square-0.jsonl", "notices.jsonl", "square-1.jsonl", "chain.jsonl", "square-2.jsonl"];

fn options(folder: &Path, out: &str) -> IngestOptions {
    let sources = FILES.iter().map(|file| folder.join(file)).collect();
    let mut options = IngestOptions::new(sources, &folder.join(out));
    options.author_key = Some(folder.join("author.key"));
    options.shard_posts = 1500;
    options.threads = 2;
    options.durability = Durability::Unsynced;
    options
}

/// Every file below a folder with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_path_buf();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn assert_same(one: &Path, other: &Path, what: &str) {
    let (one, other) = (tree(one), tree(other));
    let names = |tree: &BTreeMap<PathBuf, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other), "{what}");
    for (name, bytes) in &one {
        assert!(other[name] == *bytes, "{what}: {} differs", name.display());
    }
}

const QUIET: fn(&'static str, u64, u64) = |_, _, _| {};

fn part(
    options: &IngestOptions,
    index: usize,
    of: usize,
    phase: &str,
) -> Result<Option<Manifest>, CorpusError> {
    ingest_shard(options, Share { index, of }, Some(phase), &QUIET, &|_: &Waiting| false)
}

#[test]
fn machines_that_take_phases_in_turn_make_the_bytes_of_one() {
    let folder = sources();
    let whole = options(folder.path(), "whole");
    let manifest = ingest(&whole, &QUIET).unwrap();
    assert!(manifest.kept > 5000, "{}", manifest.kept);
    let gathered = manifest.gathered.unwrap();
    assert!(gathered.split_by == SplitBy::Author && gathered.set_aside > 0, "{gathered:?}");
    for of in [1, 2, 3] {
        let out = format!("of-{of}");
        let shared = options(folder.path(), &out);
        let mut last = None;
        for (phase, _) in PHASES {
            // The order of machines within a phase does not matter.
            for index in (0..of).rev() {
                last = part(&shared, index, of, phase).unwrap();
            }
        }
        assert_eq!(last.unwrap(), manifest);
        assert_same(&whole.out, &shared.out, &out);
        // A finished store is found complete by every share.
        assert_eq!(part(&shared, 0, of, "read").unwrap().unwrap(), manifest);
    }
}

#[test]
fn a_missing_shard_is_named_and_another_number_may_go_on() {
    let folder = sources();
    let shared = options(folder.path(), "shared");
    part(&shared, 0, 2, "read").unwrap();
    let error = part(&shared, 0, 2, "settle").unwrap_err();
    assert!(
        matches!(&error, CorpusError::PhaseIncomplete { phase: "read", missing: 2, tasks: 5, shards }
            if shards == "2/2"),
        "{error}"
    );
    let error =
        ingest_shard(&shared, Share { index: 2, of: 3 }, None, &QUIET, &|_: &Waiting| false);
    assert!(matches!(error, Err(CorpusError::PhaseIncomplete { phase: "read", .. })), "{error:?}");
    assert!(matches!(part(&shared, 0, 2, "reed"), Err(CorpusError::UnknownPhase { .. })));
    // One machine alone finishes what several began.
    let manifest = ingest(&shared, &QUIET).unwrap();
    let whole = options(folder.path(), "whole");
    assert_eq!(ingest(&whole, &QUIET).unwrap(), manifest);
    assert_same(&whole.out, &shared.out, "finished by one");
    let mut stdin = options(folder.path(), "stdin");
    stdin.sources.push("-".into());
    assert!(matches!(part(&stdin, 0, 2, "read"), Err(CorpusError::SharedStdin)));
}

/// Not a test of its own: a machine that the next test starts, and that ends itself, as a power cut
/// would, at the call of progress that `STOA_END_AT` names.
#[test]
#[ignore = "child process of machines_at_once_that_are_killed_and_run_again_make_the_same_bytes"]
fn child_machine_that_is_killed() {
    let folder = std::env::var("STOA_INGEST_IN").unwrap();
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let own = Share { index: number("STOA_SHARD") as usize, of: number("STOA_SHARDS") as usize };
    let calls = AtomicU64::new(0);
    let end_at = number("STOA_END_AT");
    let progress = |_: &'static str, _: u64, _: u64| {
        if calls.fetch_add(1, Ordering::SeqCst) == end_at {
            std::process::abort();
        }
    };
    let wait = |_: &Waiting| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        true
    };
    let options = options(Path::new(&folder), "shared");
    ingest_shard(&options, own, None, &progress, &wait).unwrap();
}

#[test]
fn machines_at_once_that_are_killed_and_run_again_make_the_same_bytes() {
    let folder = sources();
    let whole = options(folder.path(), "whole");
    ingest(&whole, &QUIET).unwrap();
    let of = 3;
    let child = |index: u64, end_at: u64| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "shards::child_machine_that_is_killed", "--ignored"])
            .env("STOA_INGEST_IN", folder.path())
            .env("STOA_SHARD", index.to_string())
            .env("STOA_SHARDS", of.to_string())
            .env("STOA_END_AT", end_at.to_string())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    // Each machine has a process at work at any time; those that were killed are started again, and
    // get a little further each time.
    let mut running: Vec<_> = (0..of).map(|index| (index, 1, child(index, 1))).collect();
    let mut killed = 0;
    while let Some((index, end_at, mut process)) = running.pop() {
        match process.try_wait().unwrap() {
            Some(status) if status.success() => continue,
            Some(_) => {
                killed += 1;
                let next = end_at + 17;
                running.insert(0, (index, next, child(index, next)));
            }
            None => {
                std::thread::sleep(std::time::Duration::from_millis(5));
                running.insert(0, (index, end_at, process));
            }
        }
    }
    assert!(killed > 6, "only {killed} were killed");
    assert_same(&whole.out, &folder.path().join("shared"), "killed");
}
