//! Shards of a store: what is in them, the same bytes however the work is shared out, nothing
//! repeated that is whole, and refusals that say what to do.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use stoa_dialogue::{ChatTemplate, Dialogue};
use stoa_runs::RunsError;
use stoa_runs::shards::{Job, Layout, Manifest, ShardText, Share, write};
use stoa_tokens::{TokenId, TokenShard, Tokenizer, TrainOptions};

struct World {
    directory: tempfile::TempDir,
    tokenizer: Tokenizer,
    template: ChatTemplate,
}

impl World {
    /// A store of five files of documents and three of dialogues.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        for folder in ["documents", "dialogues"] {
            fs::create_dir_all(store.join(folder)).unwrap();
        }
        for file in 0..5 {
            let lines: String = (0..40 * file).map(|at| document(file, at)).collect();
            fs::write(store.join(format!("documents/{file:02}.jsonl")), lines).unwrap();
        }
        for file in 0..3 {
            let lines: String = (0..10).map(|at| dialogue(file, at)).collect();
            fs::write(store.join(format!("dialogues/{file:02}.jsonl")), lines).unwrap();
        }
        let texts: Vec<String> = (0..200).map(|at| text(at % 5, at)).collect();
        let options = TrainOptions { vocab_size: 300, threads: 1, ..TrainOptions::default() };
        let tokenizer = Tokenizer::train(&texts, &options, |_| ControlFlow::Continue(())).unwrap();
        World { directory, tokenizer, template: ChatTemplate::chatml() }
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn out(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(
        &self,
        out: &Path,
        share: Share,
        threads: usize,
    ) -> Result<Option<Manifest>, RunsError> {
        self.write_as(out, Layout::EachFile(share), threads)
    }

    fn write_as(
        &self,
        out: &Path,
        layout: Layout,
        threads: usize,
    ) -> Result<Option<Manifest>, RunsError> {
        let (text, World { tokenizer, template, .. }) = (ShardText::of_store(&self.store())?, self);
        let job = Job { text: &text, out, tokenizer, template, layout, threads };
        write(&job, &mut |_, _| ())
    }
}

fn text(file: usize, at: usize) -> String {
    format!("in house {at} of street {file} lives someone who sells {} lamps", at % 7)
}

fn document(file: usize, at: usize) -> String {
    let split = if at % 10 == 3 { "held-out" } else { "train" };
    let line =
        serde_json::json!({"id": "1", "text": text(file, at), "language": "en", "split": split});
    format!("{line}\n")
}

fn dialogue(file: usize, at: usize) -> String {
    let mut messages = vec![serde_json::json!({"role": "user", "content": text(file, at)})];
    // The last says nothing that could be learned.
    if at < 9 {
        messages
            .push(serde_json::json!({"role": "assistant", "content": format!("so it is, {at}")}));
    }
    let line = serde_json::json!({"messages": messages, "language": "en", "thread": "7"});
    format!("{line}\n")
}

/// Every file of a directory by its path.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(directory).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

/// A tokenizer without `z`, of which the texts of two parts hold three. Another process writes each.
#[test]
fn characters_without_a_token_are_counted_in_parts_and_manifest() {
    let mut world = World::new();
    let alphabet = "abcdefghijklmnopqrstuvwxy0123456789 :,-<|>_\n";
    let vocab: serde_json::Map<_, _> =
        alphabet.chars().enumerate().map(|(id, c)| (c.to_string(), id.into())).collect();
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].into_iter().enumerate();
    let added: Vec<_> = special
        .map(|(at, content)| {
            serde_json::json!({
                "id": 100 + at, "content": content, "special": true, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            })
        })
        .collect();
    let file = serde_json::json!({
        "version": "1.0", "added_tokens": added,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    let path = world.out("tokenizer.json");
    fs::write(&path, file.to_string()).unwrap();
    world.tokenizer = Tokenizer::open(&path).unwrap();
    for (name, line) in [
        (
            "documents/02.jsonl",
            r#"{"id": "1", "text": "zig zag", "language": "en", "split": "train"}"#,
        ),
        (
            "dialogues/02.jsonl",
            r#"{"messages": [{"role": "user", "content": "z"}, {"role": "assistant", "content": "so"}]}"#,
        ),
    ] {
        let path = world.store().join(name);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{before}{line}\n")).unwrap();
    }
    let out = world.out("tokens");
    let share = |index| Share { index, of: 2 };
    assert!(world.write(&out, share(0), 1).unwrap().is_none());
    let manifest = world.write(&out, share(1), 1).unwrap().expect("nothing is missing");
    assert_eq!(manifest.totals.characters_left_out, 3);
    assert_eq!(manifest.totals.searches_given_up, 0);
}

#[test]
fn shards_hold_what_the_store_holds() {
    let world = World::new();
    let out = world.out("tokens");
    let manifest = world.write(&out, Share::ALL, 2).unwrap().expect("nothing is missing");
    let totals = manifest.totals;
    // 0 + 40 + 80 + 120 + 160 documents, one in ten held out; 3 × 9 dialogues with an answer.
    assert_eq!((totals.documents, totals.held_out), (360, 40));
    assert_eq!((totals.dialogues, totals.dialogues_without_answer), (27, 3));
    let mut tokens = 0;
    for name in manifest.shards("train").chain(manifest.shards("held_out")) {
        let shard = TokenShard::open_for(&out.join(name), world.tokenizer.fingerprint()).unwrap();
        shard.verify().unwrap();
        tokens += shard.token_count();
        if name == "train/02.tokens" {
            let expected = world.tokenizer.encode(&text(2, 4));
            // Number 3 is held out.
            assert_eq!(shard.document(3).unwrap(), expected);
        }
    }
    assert_eq!(tokens, totals.tokens + totals.held_out_tokens);

    let open = |name: &str| TokenShard::open(&out.join(name)).unwrap();
    let (shard, marks) = (open("dialogues/01.tokens"), open("dialogues/01.learned"));
    assert_eq!((shard.document_count(), marks.document_count()), (9, 9));
    let dialogue = Dialogue::alternating([text(1, 5), "so it is, 5".to_owned()]);
    let expected =
        world.template.encode_for_training(&world.tokenizer, &dialogue.conversation(None)).unwrap();
    assert_eq!(shard.document(5).unwrap(), expected.tokens);
    let learned: Vec<TokenId> = expected.learned.iter().map(|&l| TokenId(u32::from(l))).collect();
    assert_eq!(marks.document(5).unwrap(), learned);
}

#[test]
fn the_bytes_do_not_depend_on_how_the_work_is_shared_out() {
    let world = World::new();
    let whole = world.out("whole");
    world.write(&whole, Share::ALL, 1).unwrap().unwrap();
    let expected = files(&whole);
    for (of, threads) in [(2, 2), (3, 1), (20, 1)] {
        let out = world.out(&format!("of-{of}"));
        // The last share first, so that the order does not matter either.
        for index in (0..of).rev() {
            let manifest = world.write(&out, Share { index, of }, threads).unwrap();
            // The share that leaves nothing missing writes the manifest.
            assert_eq!(manifest.is_some(), index == 0, "{index} of {of}");
        }
        assert!(files(&out) == expected, "{of} shares");
    }
}

#[test]
fn joined_shards_hold_the_files_one_after_the_other() {
    let world = World::new();
    let (apart, joined) = (world.out("apart"), world.out("joined"));
    let parts = world.write(&apart, Share::ALL, 1).unwrap().unwrap();
    let whole = world.write_as(&joined, Layout::Joined, 2).unwrap().unwrap();
    assert_eq!(whole.totals, parts.totals);
    let documents = |path: PathBuf| -> Vec<Vec<TokenId>> {
        let shard = TokenShard::open(&path).unwrap();
        (0..shard.document_count()).map(|at| shard.document(at).unwrap()).collect()
    };
    for side in ["train", "held_out", "dialogues"] {
        assert!(whole.shards(side).eq([format!("{side}.tokens")]));
        let expected: Vec<Vec<TokenId>> =
            parts.shards(side).flat_map(|name| documents(apart.join(name))).collect();
        assert_eq!(documents(joined.join(format!("{side}.tokens"))), expected, "{side}");
    }
    let learned: Vec<Vec<TokenId>> = (0..3)
        .flat_map(|file| documents(apart.join(format!("dialogues/{file:02}.learned"))))
        .collect();
    assert_eq!(documents(joined.join("dialogues.learned")), learned);
    let modified = || fs::metadata(joined.join("train.tokens")).unwrap().modified().unwrap();
    let before = modified();
    world.write_as(&joined, Layout::Joined, 1).unwrap().unwrap();
    assert_eq!(modified(), before, "what is whole is kept");
}

#[test]
fn what_is_whole_is_kept_and_what_is_not_is_repeated() {
    let world = World::new();
    let out = world.out("tokens");
    world.write(&out, Share::ALL, 1).unwrap().unwrap();
    let expected = files(&out);
    let modified = |name: &str| fs::metadata(out.join(name)).unwrap().modified().unwrap();
    let before = modified("train/04.tokens");
    // A process killed while it wrote: no record of the part, half a shard.
    fs::remove_file(out.join("parts/documents-03.json")).unwrap();
    fs::write(out.join("train/03.tokens"), "half").unwrap();
    fs::remove_file(out.join("manifest.json")).unwrap();
    world.write(&out, Share::ALL, 1).unwrap().unwrap();
    assert!(files(&out) == expected);
    assert_eq!(modified("train/04.tokens"), before, "a whole part is not written again");
    // A store that changed.
    let path = world.store().join("documents/01.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + &document(1, 41)).unwrap();
    let manifest = world.write(&out, Share::ALL, 1).unwrap().unwrap();
    assert_eq!(manifest.totals.documents, 361);
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let mut world = World::new();
    let out = world.out("tokens");
    let error = |world: &World| world.write(&out, Share::ALL, 1).unwrap_err().to_string();
    let path = world.store().join("documents/02.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{{\"text\": 3}}\n")).unwrap();
    let refused = error(&world);
    assert!(refused.contains("02.jsonl line 81") && refused.contains("ingest"), "{refused}");
    fs::write(&path, text).unwrap();
    world.write(&out, Share::ALL, 1).unwrap().unwrap();

    world.template = ChatTemplate::new("{{ messages[0].content }}").unwrap();
    assert!(error(&world).contains("another chat template"));
    let options = TrainOptions { vocab_size: 290, threads: 1, ..TrainOptions::default() };
    world.tokenizer =
        Tokenizer::train(["a b a b"], &options, |_| ControlFlow::Continue(())).unwrap();
    assert!(error(&world).contains("another tokenizer"));
    fs::remove_dir_all(world.store()).unwrap();
    assert!(error(&world).contains("holds no documents/"));
}
