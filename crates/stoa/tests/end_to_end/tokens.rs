//! `stoa tokens`: train, encode and decode through files and streams.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::program::{Said, files, run, stoa};
use crate::runs::posts;

const TEXT: &str = "a plain line\n\n  çà et là, 1234567 — 👋🏽 \u{0}\t end  \nلا 字 \u{fffd}\n";

#[test]
fn what_is_encoded_is_decoded() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("posts.txt"), posts()).unwrap();
    fs::write(path("text.txt"), TEXT).unwrap();
    let line = "tokens train --vocab-size 400 --out tokenizer.json posts.txt --json";
    let trained = run(directory.path(), line).succeeded();
    assert_eq!(trained.json()["vocab_size"], 400);

    let encode = "tokens encode --tokenizer tokenizer.json text.txt";
    let encoded = run(directory.path(), encode).succeeded().out;
    let ids: Vec<Vec<u32>> = encoded.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(ids.len(), TEXT.lines().count(), "one line of ids per line of text");
    assert!(ids.iter().flatten().all(|&id| id < 400));
    assert!(ids[1].is_empty(), "an empty line has no ids");
    fs::write(path("ids.jsonl"), &encoded).unwrap();
    let decode = "tokens decode --tokenizer tokenizer.json ids.jsonl";
    assert_eq!(run(directory.path(), decode).succeeded().out, TEXT);

    // Through a pipe it is the same.
    let mut child = stoa(directory.path())
        .args(["tokens", "encode", "--tokenizer", "tokenizer.json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(TEXT.as_bytes()).unwrap();
    let piped: Said = child.wait_with_output().unwrap().into();
    assert_eq!(piped.succeeded().out, encoded);
}

#[test]
fn training_again_gives_the_same_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("posts.txt"), posts()).unwrap();
    for (out, threads) in [("one.json", 1), ("two.json", 2)] {
        let line =
            format!("tokens train --vocab-size 350 --out {out} posts.txt --threads {threads}");
        run(directory.path(), &line).succeeded();
    }
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    assert!(read("one.json") == read("two.json"));
}

#[test]
fn documents_of_json_lines_are_their_texts() {
    let directory = tempfile::tempdir().unwrap();
    let texts: Vec<String> = posts().lines().map(str::to_owned).collect();
    let line = |text: &String| serde_json::json!({"id": "1", "text": text}).to_string() + "\n";
    fs::write(directory.path().join("lines.txt"), texts.join("\n")).unwrap();
    let json: String = texts.iter().map(line).collect();
    fs::write(directory.path().join("documents.jsonl"), json).unwrap();
    for (out, file) in [("a.json", "lines.txt"), ("b.json", "documents.jsonl")] {
        run(directory.path(), &format!("tokens train --vocab-size 350 --out {out} {file}"))
            .succeeded();
    }
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    assert!(read("a.json") == read("b.json"), "keys and quotes are not trained on");

    fs::write(directory.path().join("other.jsonl"), "{\"body\": \"x\"}\n").unwrap();
    run(directory.path(), "tokens train other.jsonl").refused(&["other.jsonl line 1", "`text`"]);
}

#[test]
fn a_tiktoken_file_needs_its_pattern() {
    let directory = tempfile::tempdir().unwrap();
    // Every byte as its own rank, then "aB".
    let bytes = (0..=255u8).map(|byte| vec![byte]).chain([b"aB".to_vec()]);
    let lines: Vec<String> =
        bytes.enumerate().map(|(rank, token)| format!("{} {rank}", base64(&token))).collect();
    fs::write(directory.path().join("ranks.tiktoken"), lines.join("\n")).unwrap();
    fs::write(directory.path().join("text.txt"), "aB\n").unwrap();
    let encode = "tokens encode --tokenizer ranks.tiktoken text.txt";
    run(directory.path(), encode).refused(&["ranks.tiktoken", "--pattern o200k"]);
    // o200k cuts where case changes, so the two letters do not merge.
    for (pattern, ids) in [("cl100k", "[256]\n"), ("o200k", "[97,66]\n")] {
        let said = run(directory.path(), &format!("{encode} --pattern {pattern}")).succeeded();
        assert_eq!(said.out, ids, "{pattern}");
    }
    fs::write(directory.path().join("ids.jsonl"), "[97,66]\n").unwrap();
    let decode = "tokens decode --tokenizer ranks.tiktoken ids.jsonl";
    assert_eq!(run(directory.path(), decode).succeeded().out, "aB\n");
}

/// Standard base64, RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group.iter().chain([0, 0].iter()).take(3).fold(0, |n, &b| n << 8 | u32::from(b));
        let letter = |at: usize| match at <= group.len() {
            true => char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]),
            false => '=',
        };
        (0..4).map(letter).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("posts.txt"), posts()).unwrap();
    run(directory.path(), "tokens train --vocab-size 300 --out t.json posts.txt").succeeded();
    let commands: [&[&str]; 5] = [
        &["tokens", "encode", "--tokenizer", "t.json", "posts.txt"],
        &["train", "example"],
        &["completions", "bash"],
        &["plan", "--model", "llama-405b", "--gpus", "16384:h100", "--tokens", "15T"],
        &["posts", "read", "posts.txt", "--json"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let said: Said =
            stoa(directory.path()).args(arguments).stdout(writer).output().unwrap().into();
        assert_eq!((said.code, said.err.contains("roken pipe")), (Some(0), false), "{said:?}");
    }
}

#[test]
fn a_store_becomes_shards_to_train_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("posts.jsonl"), posts()).unwrap();
    run(directory.path(), "posts ingest posts.jsonl --out store").succeeded();
    let train = "tokens train --vocab-size 350 --out tokenizer.json posts.jsonl";
    run(directory.path(), train).succeeded();
    let shards = "tokens shards store --tokenizer tokenizer.json --json --out";
    let whole = run(directory.path(), &format!("{shards} whole")).succeeded().json();
    let lines = |folder: &str| -> usize {
        let entries = fs::read_dir(path("store").join(folder)).unwrap();
        entries.map(|e| fs::read_to_string(e.unwrap().path()).unwrap().lines().count()).sum()
    };
    let count = |key: &str| whole[key].as_u64().unwrap() as usize;
    assert_eq!(count("documents") + count("held_out"), lines("documents"));
    assert_eq!(count("dialogues"), lines("dialogues"));
    assert!(count("tokens") > count("documents") && count("held_out") > 0, "{whole}");

    let first = run(directory.path(), &format!("{shards} parts --shard 2/2")).succeeded().json();
    assert_eq!(first["complete"], false);
    let last = run(directory.path(), &format!("{shards} parts --shard 1/2")).succeeded().json();
    assert_eq!(last["tokens"], whole["tokens"]);
    assert!(files(&path("whole")) == files(&path("parts")), "the same bytes for any N");

    // What training reads.
    let shards_of = |folder: &str| {
        let found = files(&path("whole").join(folder)).into_keys();
        found.map(|name| format!("whole/{folder}/{}", name.display())).collect::<Vec<_>>()
    };
    let run_file = format!(
        "[data]\ndirectory = 'run'\ntokenizer = 'tokenizer.json'\ntrain = {:?}\n\
         held_out = {:?}\n[model]\ndepth = 1\nhidden = 64\nhead_dim = 32\n\
         [pretrain]\nlength = {{ steps = 2 }}\nrows = 2\ntime = 64\n",
        shards_of("train"),
        shards_of("held_out")
    );
    fs::write(path("run.toml"), run_file).unwrap();
    let trained = run(directory.path(), "train pretrain --config run.toml --json").succeeded();
    assert_eq!(trained.json()["finished"], true);
    run(directory.path(), &format!("{shards} x --shard 3/2")).refused(&["--shard", "1/N"]);
}
