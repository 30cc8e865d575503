//! Input that cannot be used, settings that make no sense, disks that refuse: an error that names
//! the file or option and what to do, no panic, and everything that was there is there still.
//!
//! Tests may run as root, whom permissions do not bind: where a directory must refuse, its place is
//! below a regular file instead. A disk that fills is stood in for by `ulimit -f`, which makes
//! writes beyond a size fail in the same calls.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::chat::flip_a_byte;
use crate::program::{Said, files, run, run_with};
use crate::runs::{UP, copy, made, posts, prepared, write_run_file};

/// Text and damaged forms of it, one file each.
fn write_inputs(directory: &Path) {
    let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();
    let text = posts();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    write("posts.jsonl", text.as_bytes());
    write("cut.jsonl.gz", &gzip[..gzip.len() / 2]);
    let mut damaged = gzip.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    write("damaged.jsonl.gz", &damaged);
    write("empty.jsonl", b"");
    write("empty.txt", b"");
    write("latin1.jsonl", b"{\"id\":\"1\",\"text\":\"caf\xe9\"}\n");
    write("bytes.jsonl", b"{\"id\":\"1\",\"text\":\"un caf\xc3\xa9, un th\xc3\xa9 \xff\"}\n");
    write("latin1.txt", b"un caf\xe9\n");
    write("wrong.json", br#"[{"id":"1","text":"half a list"},"#);
    write("notext.csv", b"id,author\n1,ann\n");
    write("a_file", b"not a directory\n");
    write("ids.jsonl", b"[1, 2]\n[3, \"four\"]\n");
    write("unknown_ids.jsonl", b"[4000000]\n");
    write("broken.json", br#"{"version": "1.0", "model": {"type": "BPE", "#);
    fs::copy(made().directory.join("run/tokenizer.json"), directory.join("tokenizer.json"))
        .unwrap();
}

/// A line of arguments, and what the error must say.
type Case = (&'static str, &'static [&'static str]);

const FILES: &[Case] = &[
    ("posts read nowhere.jsonl", &["nowhere.jsonl", "no such file"]),
    ("posts read cut.jsonl.gz", &["cut.jsonl.gz", "cut short or damaged", "fetch"]),
    ("posts read damaged.jsonl.gz", &["damaged.jsonl.gz", "cut short or damaged", "fetch"]),
    ("posts read empty.jsonl", &["empty.jsonl", "empty", "give one"]),
    ("posts read bytes.jsonl", &["bytes.jsonl", "line 1", "not valid UTF-8", "iconv"]),
    ("posts read wrong.json", &["wrong.json", "line 1", "wrong JSON"]),
    ("posts read notext.csv", &["notext.csv", "id, author", "text"]),
    ("posts read posts.jsonl --out a_file/out", &["a_file/out", "choose another place"]),
    ("posts square --out a_file/out", &["a_file/out", "choose another place"]),
    ("tokens train cut.jsonl.gz", &["cut.jsonl.gz", "cut short", "fetch"]),
    ("tokens train latin1.txt", &["latin1.txt", "byte 6", "convert"]),
    ("tokens train empty.txt", &["empty.txt", "give"]),
    ("tokens train nowhere.txt", &["nowhere.txt"]),
    ("tokens train posts.jsonl --out a_file/t.json", &["a_file/t.json"]),
    ("tokens train posts.jsonl --vocab-size 1", &["at least 2"]),
    ("tokens train posts.jsonl --vocab-size 10000000000", &["10000000000"]),
    ("tokens train posts.jsonl --pattern gpt9", &["--pattern gpt9", "gpt4"]),
    ("tokens encode --tokenizer broken.json posts.jsonl", &["broken.json", "whole"]),
    ("tokens encode --tokenizer posts.jsonl posts.jsonl", &["posts.jsonl", "tokenizer.json"]),
    ("tokens encode --tokenizer nowhere.json posts.jsonl", &["nowhere.json"]),
    ("tokens decode --tokenizer tokenizer.json ids.jsonl", &["ids.jsonl", "line 2"]),
    ("tokens decode --tokenizer tokenizer.json unknown_ids.jsonl", &["4000000"]),
    ("up --no-chat --dir run --posts cut.jsonl.gz", &["cut.jsonl.gz", "fetch"]),
    ("up --no-chat --dir run --posts bytes.jsonl", &["bytes.jsonl", "iconv"]),
    ("up --no-chat --dir run --posts empty.jsonl", &["empty.jsonl"]),
    ("up --no-chat --dir run --posts wrong.json", &["wrong.json"]),
    ("up --no-chat --dir a_file/run --posts posts.jsonl", &["a_file/run", "another place"]),
    ("chat --run a_file/run --prompt hello", &["a_file/run"]),
    ("eval bpb --run nowhere", &["nowhere", "stoa up"]),
    ("eval exam --run nowhere", &["nowhere", "stoa up"]),
    ("train pretrain --config nowhere.toml", &["nowhere.toml"]),
];

const OPTIONS: &[Case] = &[
    ("--threads 0", &["--threads 0", "1 to 1024"]),
    ("--threads 10000000000", &["--threads", "1 to 1024"]),
    ("--memory-limit 1K", &["memory", "limit"]),
    ("--memory-limit lots", &["--memory-limit", "800M"]),
    ("--isa abacus", &["--isa", "abacus"]),
    ("--depth 10000000000", &["depth", "10000000000", "4096"]),
    ("--depth 0", &["depth", "0"]),
    ("--effort 0", &["--effort 0"]),
    ("--effort NaN", &["--effort NaN"]),
    ("--seed=-1", &["--seed", "-1"]),
];

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    write_inputs(directory.path());
    let before = files(directory.path());
    for (line, words) in FILES {
        run(directory.path(), line).refused(words);
        assert!(files(directory.path()) == before, "files changed by {line}");
    }
}

#[test]
fn an_encoding_that_is_found_is_named() {
    let directory = tempfile::tempdir().unwrap();
    write_inputs(directory.path());
    let said = run(directory.path(), "posts read latin1.jsonl --out out");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("note 1: sources read as windows-1252"), "{said:?}");
    let posts = fs::read_to_string(directory.path().join("out/posts.jsonl")).unwrap();
    assert!(posts.contains("café"), "{posts}");
}

#[test]
fn options_that_make_no_sense_are_named() {
    let directory = tempfile::tempdir().unwrap();
    write_inputs(directory.path());
    let before = files(directory.path());
    for (option, words) in OPTIONS {
        let line = "up --no-chat --dir new --posts posts.jsonl";
        run(directory.path(), &format!("{line} {option}")).refused(words);
        let after = files(directory.path());
        assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "{option}");
        // A run that failed is not lost: once corrected, it resumes.
        let _ = fs::remove_dir_all(directory.path().join("new"));
    }
}

#[test]
fn a_model_that_no_machine_can_hold_is_refused_before_it_is_made() {
    let directory = prepared("layers = 4096\nhidden = 65536\n");
    run(directory.path(), "train pretrain --config run.toml").refused(&["memory", "GiB"]);
    let directory = prepared("[pretrain]\nrows = 65536\ntime = 64\n");
    let limited = "train pretrain --config run.toml --memory-limit 500M";
    run(directory.path(), limited).refused(&["memory", "limit"]);
}

#[test]
fn run_files_are_read_strictly() {
    let directory = prepared("");
    let cases: &[Case] = &[
        ("[pretrain]\nstepz = 4\n", &["run.toml", "line", "stepz", "length"]),
        ("[pretrain\n", &["run.toml", "line"]),
        ("depth = 2\n", &["run.toml", "depth"]),
        ("vocab = 10\n", &["model.vocab", "each needs a row"]),
        ("hidden = 10000000000\n", &["model.hidden", "1 to 1048576"]),
        ("[pretrain]\nrows = 0\n", &["pretrain.rows", "1 to"]),
        ("[pretrain]\nlength = { steps = 0 }\n", &["pretrain.length"]),
        ("[pretrain]\nlength = { minutes = 4 }\n", &["run.toml", "minutes", "steps"]),
        ("[chat]\ntime = 1000\n", &["chat.time", "1 to 64"]),
    ];
    for (settings, words) in cases {
        write_run_file(directory.path(), settings);
        let before = files(directory.path());
        run(directory.path(), "train pretrain --config run.toml").refused(words);
        assert!(files(directory.path()) == before, "files changed by {settings}");
    }
    // Files that it names.
    let whole = "[pretrain]\nlength = { steps = 2 }\nrows = 2\ntime = 32\n";
    for (name, words) in [
        ("tokenizer.json", ["tokenizer.json", "whole"]),
        ("train.tokens", ["train.tokens", "write the shard again"]),
        ("dialogues.jsonl", ["dialogues.jsonl", "line 1"]),
    ] {
        let directory = prepared(whole);
        let path = directory.path().join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..40]).unwrap();
        run(directory.path(), "train pretrain --config run.toml").refused(&words);
        fs::remove_file(&path).unwrap();
        run(directory.path(), "train pretrain --config run.toml").refused(&[name]);
        assert!(!directory.path().join("out").exists());
    }
}

const SHORT: &str = "[pretrain]\nlength = { steps = 6 }\nrows = 2\ntime = 32\n\
                     checkpoint_every = 2\n";

#[test]
fn a_run_is_neither_overwritten_nor_mixed_with_another() {
    let directory = prepared(SHORT);
    run(directory.path(), "train chat --config run.toml").refused(&["no pretrain checkpoint"]);
    run(directory.path(), "train pretrain --config run.toml").succeeded();
    let before = files(directory.path());
    run(directory.path(), "train pretrain --config run.toml")
        .refused(&["already holds a checkpoint of step 6", "resume it"]);
    assert!(files(directory.path()) == before);
    let line = "train pretrain --config other.toml --resume";
    let text = fs::read_to_string(directory.path().join("run.toml")).unwrap();
    fs::write(directory.path().join("other.toml"), text.replace("rows = 2", "rows = 3")).unwrap();
    let before = files(directory.path());
    run(directory.path(), line).refused(&["another configuration", "put it back"]);
    assert!(files(directory.path()) == before);
}

#[test]
fn a_run_file_in_the_directory_of_its_run_stays_as_it_was_written() {
    let directory = prepared(SHORT);
    let path = directory.path().join("run.toml");
    let text = fs::read_to_string(&path).unwrap().replace("directory = \"out\"\n", "");
    fs::write(&path, &text).unwrap();
    // From elsewhere, so that paths in the file are not those the process sees.
    let (above, name) = (directory.path().parent().unwrap(), directory.path().file_name().unwrap());
    let config = format!("{}/run.toml", name.to_str().unwrap());
    run(above, &format!("train pretrain --config {config}")).succeeded();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    run(above, &format!("train pretrain --config {config} --resume")).succeeded();
    // The resolved run is in the same folder, and is the same run.
    let resolved = "train pretrain --config run.resolved.toml --resume";
    let said = run(directory.path(), resolved).succeeded();
    assert!(said.out.contains("step 6, done"), "{said:?}");
}

#[test]
fn the_run_file_that_up_leaves_is_its_run() {
    let copy = copy();
    let said = run(copy.path(), "train pretrain --config run/run.toml --resume --json");
    assert_eq!(said.succeeded().json()["finished"], true);
}

#[test]
fn training_passes_over_a_damaged_checkpoint_and_says_so() {
    let whole = prepared(SHORT);
    run(whole.path(), "train pretrain --config run.toml").succeeded();
    let weights =
        |of: &Path| fs::read(of.join("out/checkpoints/000006/model.safetensors")).unwrap();
    let expected = weights(whole.path());
    flip_a_byte(&whole.path().join("out/checkpoints/000006/model.safetensors"));
    assert!(weights(whole.path()) != expected);
    let said = run(whole.path(), "train pretrain --config run.toml --resume").succeeded();
    for word in ["warning", "000006/model.safetensors", "SHA-256", "resuming from step 4"] {
        assert!(said.err.contains(word), "{word} in {}", said.err);
    }
    assert!(weights(whole.path()) == expected, "recomputed, the same");
    // None whole: nothing is done, each is named.
    for step in ["000002", "000004", "000006"] {
        flip_a_byte(&whole.path().join("out/checkpoints").join(step).join("state.json"));
    }
    let before = files(whole.path());
    run(whole.path(), "train pretrain --config run.toml --resume").refused(&[
        "000006/state.json",
        "000004/state.json",
        "remove the damaged ones",
    ]);
    assert!(files(whole.path()) == before);
}

/// The program with a limit on the size of files it writes, in blocks of 512 bytes, instead of the
/// signal that the limit sends by itself.
#[cfg(unix)]
fn limited(directory: &Path, blocks: usize, line: &str) -> Said {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {line}",);
    let output = std::process::Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_stoa")])
        .current_dir(directory)
        .stdin(std::process::Stdio::null())
        .output();
    output.expect("a shell").into()
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_is_an_error_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    write_inputs(directory.path());
    fs::write(directory.path().join("t.json"), "what was there").unwrap();
    let before = files(directory.path());
    for (line, words) in [
        ("tokens train posts.jsonl --out t.json", &["t.json", "too large"]),
        ("posts read posts.jsonl --out read", &["read/posts.jsonl", "too large"]),
    ] {
        limited(directory.path(), 8, line).refused(words);
        assert!(files(directory.path()) == before, "files changed by {line}");
    }

    // A checkpoint that does not fit: the ones before it stay, and with room the run continues to
    // the same end.
    let whole = prepared(SHORT);
    run(whole.path(), "train pretrain --config run.toml").succeeded();
    let directory = prepared(&SHORT.replace("steps = 6", "steps = 4"));
    run(directory.path(), "train pretrain --config run.toml").succeeded();
    let kept = files(&directory.path().join("out/checkpoints"));
    write_run_file(directory.path(), SHORT);
    fs::remove_dir_all(directory.path().join("out")).unwrap();
    let said = limited(directory.path(), 64, "train pretrain --config run.toml");
    said.refused(&["checkpoints/.unfinished-000002", "too large"]);
    assert!(!kept.is_empty());
    let left = files(&directory.path().join("out"));
    assert!(!left.keys().any(|path| path.starts_with("checkpoints")), "{:?}", left.keys());
    run(directory.path(), "train pretrain --config run.toml --resume").succeeded();
    let weights =
        |of: &Path| fs::read(of.join("out/checkpoints/000006/model.safetensors")).unwrap();
    assert!(weights(directory.path()) == weights(whole.path()));
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_printed_are_an_error() {
    let made = made();
    for line in [
        "tokens encode --tokenizer run/tokenizer.json posts.jsonl",
        "chat --run run --prompt hello --max-tokens 4",
        "chat --run run --prompt hello --max-tokens 4 --json",
        "posts read posts.jsonl",
        "train example",
        "completions bash",
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = crate::program::stoa(&made.directory)
            .args(line.split_whitespace())
            .stdout(full)
            .output();
        Said::from(output.unwrap()).refused(&["No space left"]);
    }
}

#[test]
fn a_damaged_run_is_not_continued_blindly() {
    let copy = copy();
    let source = copy.path().join("run/corpus/source.json");
    fs::write(&source, "{").unwrap();
    let before = files(copy.path());
    run(copy.path(), UP).refused(&["source.json", "remove it"]);
    assert!(files(copy.path()) == before);
    // A path that is no text.
    run_with(copy.path(), &["chat", "--run", "", "--prompt", "hello"]).refused(&["--model"]);
}
