//! Small text and small runs to test on. Posts are made here, by a rule.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::program::{Said, run};

/// Threads in the posts: enough that some are held out.
const THREADS: usize = 48;

/// Posts of two people who ask and answer, as JSON lines.
pub fn posts() -> String {
    let trades = ["lamps", "bread", "clocks", "maps", "boots", "kites", "soap"];
    let towns = ["Arlen", "Brim", "Corvo", "Delmar", "Esk"];
    let mut text = String::new();
    for thread in 0..THREADS {
        let (trade, town) = (trades[thread % trades.len()], towns[thread * 3 % towns.len()]);
        let (house, id) = (thread * 7 % 40 + 1, thread * 3);
        let mut post = |id: usize, author: &str, body: &str, reply: Option<usize>| {
            let parent = reply.map_or("null".into(), |p| format!("\"{p}\""));
            let _ = writeln!(
                text,
                r#"{{"id":"{id}","author":"{author}","text":"{body}","in_reply_to":{parent}}}"#
            );
        };
        post(id, "ann", &format!("Who sells {trade} near house {house} in {town}?"), None);
        let answer = format!("The shop in house {house} of {town} sells {trade} every day.");
        post(id + 1, "bob", &answer, Some(id));
        let thanks = format!("Thank you, then I shall go to {town} for {trade} tomorrow.");
        post(id + 2, "ann", &thanks, Some(id + 1));
    }
    text
}

/// The arguments that make a small run of `posts.jsonl` in `run`.
pub const UP: &str =
    "up --no-chat --json --seed 3 --depth 1 --effort 0.8 --dir run --posts posts.jsonl";

/// A run of `stoa up`, made once for all tests of this process, which only read it.
pub struct Made {
    /// The directory it was made in: `posts.jsonl` and `run`.
    pub directory: PathBuf,
    /// What the program said.
    pub said: Said,
}

/// The run. Statics are never dropped, so it stays until a later test process removes it.
pub fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("end_to_end");
        remove_old(&place);
        let directory = place.join(std::process::id().to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("posts.jsonl"), posts()).unwrap();
        let said = run(&directory, UP).succeeded();
        Made { directory, said }
    })
}

/// Removes what processes that must have ended left.
fn remove_old(place: &Path) {
    const TIME_LIMIT: Duration = Duration::from_secs(3600);
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let made = entry.metadata().and_then(|m| m.modified()).ok();
        if made.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > TIME_LIMIT) {
            // Another process may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A copy of the run that a test may change.
pub fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in crate::program::files(&made().directory) {
        let to = copy.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    copy
}

/// A directory with the tokenizer and shards of the run, its dialogues as JSON lines, and a `run.toml`
/// with these settings, to be trained by `stoa train`.
pub fn prepared(settings: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let made = made().directory.join("run");
    for (name, from) in [
        ("tokenizer.json", "tokenizer.json"),
        ("train.tokens", "tokens/train.tokens"),
        ("held_out.tokens", "tokens/held_out.tokens"),
    ] {
        fs::copy(made.join(from), directory.path().join(name)).unwrap();
    }
    fs::write(directory.path().join("dialogues.jsonl"), dialogues()).unwrap();
    write_run_file(directory.path(), settings);
    directory
}

/// The dialogues of the run, in the order of its shard.
pub fn dialogues() -> String {
    let files = fs::read_dir(made().directory.join("run/corpus/store/dialogues")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Writes `run.toml`: these settings beside the data.
pub fn write_run_file(directory: &Path, settings: &str) {
    let text = format!(
        "# what a person wrote\nseed = 5\n[data]\ndirectory = \"out\"\n\
         tokenizer = \"tokenizer.json\"\ntrain = [\"train.tokens\"]\n\
         held_out = [\"held_out.tokens\"]\ndialogues = [\"dialogues.jsonl\"]\n\
         [model]\ndepth = 1\nmax_time = 64\n{settings}"
    );
    fs::write(directory.join("run.toml"), text).unwrap();
}
