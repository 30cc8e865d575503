//! `stoa tokens`: train, encode and decode through files and streams.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::program::{Said, run, stoa};
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
