//! The commands on stores as scripts meet them: `posts ingest|explain|forget|stats|sample|diff`, their
//! last line of JSON, their exit status, and errors that name the remedy.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const STOA: &str = env!("CARGO_BIN_EXE_stoa");

const POSTS: &str = r#"{"id": "1", "author": "ann", "created_at": "2020-01-01T00:00:00Z", "text": "The market opens on Sunday at nine, write to ann@example.org."}
{"id": "2", "author": "bea", "text": "@ann No, it opens at ten, I was there.", "in_reply_to": "1"}
{"id": "3", "author": "ann", "text": "@bea Thank you, ten then.", "in_reply_to": "2"}
{"id": "4", "author": "carl", "text": "Words that will be deleted soon.", "in_reply_to": "1"}
{"id": "5", "author": "dora", "text": "the market OPENS on Sunday at nine, write to ann@example.org"}
{"id": "6", "author": "eve", "text": "http://only.example/link"}
{"id": "7", "author": "fred", "text": "My words are not for machines.", "consent": "refused"}
{"id": "8", "author": "gil", "text": "RT @ann: The market opens on Sunday at nine, write to…"}
{"id": "9", "author": "hal", "text": "A thread of its own about ropes and the harbour.", "licence": "CC0-1.0"}
{"delete": {"status": {"id_str": "4"}, "timestamp_ms": "1600000000000"}}
not json
{"id": "10", "author": "ida"}
"#;

/// What a run said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.err);
        serde_json::from_str(self.out.lines().last().unwrap()).unwrap()
    }

    fn refused(&self, words: &[&str]) {
        assert!(matches!(self.code, Some(1 | 2)), "{:?}: {}", self.code, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing: {}", self.err);
        }
    }
}

/// Runs the words of a line in a folder, with this on standard input.
fn run_with(folder: &Path, line: &str, input: &str) -> Said {
    let mut child = Command::new(STOA)
        .current_dir(folder)
        .args(line.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(folder: &Path, line: &str) -> Said {
    run_with(folder, line, "")
}

/// A folder with the posts, and their store in `out`.
fn ingested() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("posts.jsonl"), POSTS).unwrap();
    run(folder.path(), "posts ingest posts.jsonl --out out --json").json();
    folder
}

/// Documents and dialogues, one after the other.
fn documents_text(folder: &Path) -> String {
    let mut text = String::new();
    for kind in ["documents", "dialogues"] {
        // There may be no dialogues: a thread that is held out has none.
        for entry in std::fs::read_dir(folder.join("out").join(kind)).into_iter().flatten() {
            text += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
        }
    }
    text
}

#[test]
fn tables_are_read_as_stated_and_what_is_guessed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "2190001:mara:3/4/2019:\"the ferry is late\n2190002:olek:5/4/2019:no work today\n";
    let bytes: Vec<u8> =
        rows.replace("late", "late à").encode_utf16().flat_map(u16::to_be_bytes).collect();
    std::fs::write(folder.path().join("rows.dat"), bytes).unwrap();
    let command = "posts ingest rows.dat --out out --delimiter : --quote none --no-header --dates day-first \
        --encoding utf-16be --map id=1,author=2,created_at=3,text=4";
    let said = run(folder.path(), command);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("note 1: tables read without a header"), "{}", said.out);
    let summary = run(folder.path(), &format!("{command} --json")).json();
    assert_eq!((&summary["posts"], &summary["rejected"]), (&2.into(), &0.into()));
    assert_eq!(summary["remarks"]["sources read as UTF-16BE"], 1);
    assert_eq!(summary["remarks"]["times without a zone, taken as UTC"], 2);
    for (option, remedy) in [
        ("--quote single", "none, double or backslash"),
        ("--delimiter ::", "one character"),
        ("--dates odd", "day-first"),
        ("--encoding klingon", "windows-1252"),
    ] {
        let words = format!("posts ingest rows.dat --out other {option}");
        run(folder.path(), &words).refused(&[remedy]);
    }
}

#[test]
fn the_last_line_of_an_ingest_counts_stages_and_rejects() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("posts.jsonl"), POSTS).unwrap();
    let summary = run(folder.path(), "posts ingest posts.jsonl --out out --json").json();
    assert_eq!((&summary["records"], &summary["posts"]), (&12.into(), &9.into()));
    assert_eq!((&summary["notices"], &summary["rejected"]), (&1.into(), &2.into()));
    assert_eq!(summary["reject_reasons"]["wrong JSON"], 1);
    assert_eq!(summary["reject_reasons"]["no text"], 1);
    let stages = summary["stages"].as_array().unwrap();
    let stage = |name: &str| stages.iter().find(|stage| stage["stage"] == name).unwrap();
    for (name, reason) in [
        ("tombstone", "deleted"),
        ("consent", "consent refused"),
        ("repost", "repeats another post"),
        ("posts/no-words", "links only"),
        ("exact", "copy"),
    ] {
        assert_eq!(stage(name)["dropped"][reason], 1, "{name}");
    }
    // Every post is kept or dropped, once.
    let verdict = stage("verdict");
    let dropped: i64 =
        verdict["dropped"].as_object().unwrap().values().filter_map(Value::as_i64).sum();
    assert_eq!(verdict["in"], 9);
    assert_eq!(verdict["out"].as_i64().unwrap() + dropped, 9);
    assert_eq!(summary["kept"], verdict["out"]);
    assert_eq!(summary["gathered"]["threads"], 2);
    // The places that the contract names.
    let out = folder.path().join("out");
    for file in ["posts/00000-00000.parquet", "attrs/exact/00000-00000.parquet", "manifest.json"] {
        assert!(out.join(file).exists(), "{file}");
    }
    let rejects = std::fs::read_to_string(out.join("rejects.jsonl")).unwrap();
    let rejects: Vec<Value> =
        rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rejects.len(), 2);
    assert_eq!((&rejects[0]["source"], &rejects[0]["line"]), (&"posts.jsonl".into(), &11.into()));
    assert!(rejects[0]["byte_offset"].as_u64().unwrap() > 500);
    // Some stages, by name; standard input.
    let some = run_with(
        folder.path(),
        "posts ingest - --out some --stages rules,exact --format jsonl --json",
        POSTS,
    );
    let some = some.json();
    assert!(some["gathered"].is_null());
    assert!(some["stages"].as_array().unwrap().iter().all(|stage| stage["stage"] != "near"));
    // Without --json the same is printed as text.
    let words = run(folder.path(), "posts ingest posts.jsonl --out words");
    for part in ["12 records: 9 posts", "2 rejected", "rejected 1: no text", "posts kept of 9"] {
        assert!(words.out.contains(part), "`{part}` is missing: {}", words.out);
    }
}

#[test]
fn too_many_rejects_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("posts.jsonl"), POSTS).unwrap();
    let ingest = |bound: &str, out: &str| {
        run(folder.path(), &format!("posts ingest posts.jsonl --out {out} --max-rejects {bound}"))
    };
    ingest("1", "one").refused(&["2 records were rejected", "more than the 1 allowed", "--map"]);
    assert!(!folder.path().join("one/manifest.json").exists());
    ingest("10%", "tenth").refused(&["--max-rejects"]);
    assert_eq!(ingest("2", "two").code, Some(0));
    assert_eq!(ingest("20%", "fifth").code, Some(0));
    ingest("many", "x").refused(&["--max-rejects many", "1%"]);
    ingest("200%", "x").refused(&["--max-rejects 200%"]);
}

#[test]
fn explain_shows_the_path_through_the_rules() {
    let folder = ingested();
    let explained = run(folder.path(), "posts explain 5 --dir out --json").json();
    let verdicts = explained[0]["verdicts"].as_array().unwrap();
    let of = |rule: &str| verdicts.iter().find(|verdict| verdict["rule"] == rule).unwrap();
    assert_eq!((&of("exact")["kept"], &of("exact")["of"]), (&false.into(), &"1".into()));
    assert!(of("near")["kept"].is_null());
    assert_eq!(of("consent")["kept"], true);
    assert_eq!(verdicts.last().unwrap()["rule"], "verdict");
    let words = run(folder.path(), "posts explain 5 --dir out").out;
    for part in ["5 in shard 00000-00000, row 4", "record 4", "dropped: copy of 1", "not asked"] {
        assert!(words.contains(part), "`{part}` is missing: {words}");
    }
    run(folder.path(), "posts explain unknown --dir out").refused(&["unknown", "posts sample"]);
    run(folder.path(), "posts explain 5 --dir nowhere").refused(&["nowhere", "ingest"]);
}

#[test]
fn stats_count_and_verify() {
    let folder = ingested();
    let stats = run(folder.path(), "posts stats out --json --verify").json();
    assert_eq!((&stats["verified"], &stats["rejected"]), (&true.into(), &2.into()));
    let counted = &stats["statistics"];
    assert_eq!(counted["all"]["posts"], 9);
    assert_eq!(counted["all"]["kept"], stats["kept"]);
    assert_eq!(
        (&counted["largest_cluster"], &counted["removed"]["deleted"]),
        (&2.into(), &1.into())
    );
    assert_eq!(counted["by_source"]["posts.jsonl"]["posts"], 9);
    let words = run(folder.path(), "posts stats out").out;
    for part in ["of 9 kept", "by language", "gone, deleted: 1", "largest group of copies: 2"] {
        assert!(words.contains(part), "`{part}` is missing: {words}");
    }
    std::fs::write(folder.path().join("out/rejects.jsonl"), "changed").unwrap();
    assert_eq!(run(folder.path(), "posts stats out").code, Some(0));
    run(folder.path(), "posts stats out --verify").refused(&["1 files", "rejects.jsonl", "again"]);
    run(folder.path(), "posts stats nowhere").refused(&["nowhere"]);
}

#[test]
fn sample_draws_the_same_again_and_knows_its_rules() {
    let folder = ingested();
    let draw = |words: &str| run(folder.path(), &format!("posts sample out {words}"));
    let five = draw("-n 5 --seed 7 --json").json();
    assert_eq!(five.as_array().unwrap().len(), 5);
    assert_eq!(five, draw("-n 5 --seed 7 --json").json());
    assert_ne!(draw("-n 3 --seed 1 --json").json(), draw("-n 3 --seed 2 --json").json());
    let copies = draw("--dropped-by exact --json").json();
    assert_eq!(copies.as_array().unwrap().len(), 1);
    assert_eq!(
        (&copies[0]["post"]["id"], &copies[0]["dropped_by"]),
        (&"5".into(), &"exact".into())
    );
    let kept = draw("--dropped-by kept --json").json();
    assert!(kept.as_array().unwrap().iter().all(|sampled| sampled["dropped_by"].is_null()));
    assert!(draw("--dropped-by exact").out.contains("5 [exact] the market"));
    // A rule that is there and dropped nothing is no error; one that is not there is.
    assert_eq!(draw("--dropped-by near --json").json(), Value::Array(Vec::new()));
    draw("--dropped-by exactly").refused(&["`exactly`", "exact", "posts/no-words", "near", "kept"]);
}

#[test]
fn diff_says_what_other_rules_change() {
    let folder = ingested();
    run(folder.path(), "posts ingest posts.jsonl --out fewer --stages rules --json").json();
    let diff = run(folder.path(), "posts diff out fewer --json").json();
    assert_eq!(diff["now_kept"]["exact"], 1);
    assert_eq!((&diff["only_before"], &diff["only_after"]), (&0.into(), &0.into()));
    assert_eq!(diff["now_dropped"], Value::Object(serde_json::Map::new()));
    let words = run(folder.path(), "posts diff out fewer").out;
    assert!(words.contains("kept now, dropped before by exact: 1"), "{words}");
    run(folder.path(), "posts diff out nowhere").refused(&["comparing", "nowhere"]);
}

#[test]
fn forget_takes_words_out_and_names_the_runs_that_saw_them() {
    let folder = ingested();
    assert!(documents_text(folder.path()).contains("it opens at ten"));
    // A run whose corpus is the store.
    let run_folder = folder.path().join("runs/mine");
    std::fs::create_dir_all(run_folder.join("tokens")).unwrap();
    std::fs::create_dir_all(run_folder.join("corpus")).unwrap();
    std::fs::write(run_folder.join("run.toml"), "").unwrap();
    std::fs::write(run_folder.join("tokens/shard-0"), "").unwrap();
    let documents = documents_text(folder.path());
    let document = documents.lines().find(|line| line.contains("it opens at ten")).unwrap();
    std::fs::write(run_folder.join("corpus/documents.jsonl"), format!("{document}\n")).unwrap();
    let forgotten = run(folder.path(), "posts forget --dir out --id 2 --json").json();
    assert_eq!((&forgotten["posts"], &forgotten["ids"][0]), (&1.into(), &"2".into()));
    assert_eq!(forgotten["documents"].as_array().unwrap().len(), 1);
    assert_eq!(forgotten["runs"][0]["documents"], 1);
    let shards = forgotten["runs"][0]["token_shards"].as_array().unwrap();
    assert!(shards[0].as_str().unwrap().ends_with("shard-0"));
    let text = documents_text(folder.path());
    assert!(!text.contains("it opens at ten") && text.contains("ten then"), "{text}");
    assert!(text.contains("[email]") && !text.contains("ann@example.org"), "{text}");
    let explained = run(folder.path(), "posts explain 2 --dir out --json").json();
    assert_eq!(explained[0]["post"]["text"], "");
    assert_eq!(explained[0]["post"]["tombstone"]["removal"], "forgotten");
    assert_eq!(run(folder.path(), "posts stats out --verify").code, Some(0));
    // By author, as people write them; the repost of their words goes too.
    let forgotten = run(folder.path(), "posts forget --dir out --author @Ann --json").json();
    assert_eq!(forgotten["posts"], 3);
    let unknown = run(folder.path(), "posts forget --dir out --id unknown --json").json();
    assert_eq!((&unknown["posts"], &unknown["files"]), (&0.into(), &Value::Array(Vec::new())));
    run(folder.path(), "posts forget --dir nowhere --id 1").refused(&["nowhere", "author"]);
    run(folder.path(), "posts forget --dir out").refused(&["--id"]);
}

#[test]
fn names_that_are_unknown_are_answered_by_those_that_are_known() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("posts.jsonl"), POSTS).unwrap();
    let ingest =
        |words: &str| run(folder.path(), &format!("posts ingest posts.jsonl --out out {words}"));
    ingest("--rules nonsense").refused(&["nonsense", "gopher", "c4", "dialogpt", "posts"]);
    ingest("--stages near,farther").refused(&["farther", "exact", "pii", "threads"]);
    ingest("--format xls").refused(&["xls", "jsonl", "parquet", "bluesky"]);
    ingest("--map words=body").refused(&["words", "text", "author", "created_at"]);
    ingest("--map text").refused(&["--map text", "PART=NAME"]);
    assert!(!folder.path().join("out/manifest.json").exists());
}
