//! The held-out border in a store: no author and no thread on both sides, as parting in memory says.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::source_folder::folder_with;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use stoa_corpus::ingest::{IngestOptions, Manifest, Stage, ingest};
use stoa_corpus::{Conversation, Reply, SplitBy, SplitThreads, Store, split_by_author};
use stoa_posts::{Durability, Post, Values, read_columns, read_posts};

/// Ingests lines with the stages that a border needs.
fn run(folder: &Path, name: &str, split: SplitBy, shard_posts: usize) -> (Store, Manifest) {
    let mut options = IngestOptions::new(vec![folder.join("posts.jsonl")], &folder.join(name));
    options.author_key = Some(folder.join("author.key"));
    options.stages = vec![Stage::Threads];
    options.split = split;
    options.shard_posts = shard_posts;
    options.threads = 2;
    options.durability = Durability::Unsynced;
    let manifest = ingest(&options, &|_, _, _| {}).unwrap();
    (Store::new(&options.out), manifest)
}

fn lines(store: &Store, folder: &str) -> Vec<Value> {
    let mut paths: Vec<_> = std::fs::read_dir(store.root().join(folder))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    paths.sort();
    let text: String = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_string).collect()
}

/// Posts by identifier.
fn posts(store: &Store) -> HashMap<String, Post> {
    let shards = store.shards().unwrap();
    let posts = shards.iter().flat_map(|shard| read_posts(&store.posts(shard)).unwrap());
    posts.map(|post| (post.id.clone(), post)).collect()
}

/// Documents by thread: the side, and the posts.
fn documents_of(store: &Store) -> BTreeMap<String, (String, Vec<String>)> {
    let line = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap().to_string();
        (text("id"), (text("split"), strings(&line["posts"])))
    };
    lines(store, "documents").iter().map(line).collect()
}

/// Threads as a store split by thread tells them, parted in memory.
fn split_in_memory(store: &Store) -> Option<SplitThreads> {
    let posts = posts(store);
    let threads = documents_of(store).into_iter().map(|(id, (_, members))| {
        let place = |id: &String| members.iter().position(|member| member == id);
        let replies = members.iter().enumerate().map(|(at, id)| {
            let post = posts[id].clone();
            let parent = post.in_reply_to.as_ref().and_then(place).filter(|&parent| parent < at);
            Reply { post, parent }
        });
        Conversation { id, replies: replies.collect(), missing_parents: 0 }
    });
    split_by_author(threads.collect())
}

/// Posts as drawn: how far back the answered one lies, and the author. Some answer a post that is not there.
fn made_up(answers: &[(usize, u32)]) -> String {
    let line = |(index, (back, author)): (usize, &(usize, u32))| {
        let parent = match back % 5 {
            0 | 1 => None,
            2 if back % 3 == 0 => Some(format!("gone{}", back / 10)),
            _ => index.checked_sub(back + 1).map(|parent| format!("p{parent}")),
        };
        // One post in thirty has no author.
        let author = if author % 30 == 7 { String::new() } else { format!("u{author}") };
        let post = json!({
            "id": format!("p{index}"), "author": author, "in_reply_to": parent,
            "created_at": 1_500_000_000 + 10 * index,
            "text": format!("Post number {index} says something of its own."),
        });
        format!("{post}\n")
    };
    answers.iter().enumerate().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, failure_persistence: None, ..ProptestConfig::default() })]

    /// A store in shards of any size parts as memory does; the two sides share no author; dialogues are of
    /// the training side; what is set aside stands beside its thread; a store that cannot be divided is as
    /// one split by thread.
    #[test]
    fn a_store_parts_as_memory_does(
        answers in prop::collection::vec((0..40_usize, 0..400_u32), 2000..2600),
        shard_posts in 200..900_usize,
    ) {
        let folder = folder_with(&[]);
        std::fs::write(folder.path().join("posts.jsonl"), made_up(&answers)).unwrap();
        let (by_thread, _) = run(folder.path(), "by-thread", SplitBy::Thread, 700);
        let (by_author, manifest) = run(folder.path(), "by-author", SplitBy::Author, shard_posts);
        let gathered = manifest.gathered.unwrap();
        let documents = documents_of(&by_author);
        let Some(parted) = split_in_memory(&by_thread) else {
            prop_assert_eq!(gathered.split_by, SplitBy::Thread);
            prop_assert_eq!(documents, documents_of(&by_thread));
            return Ok(());
        };
        prop_assert_eq!(gathered.split_by, SplitBy::Author);
        prop_assert_eq!(gathered.set_aside, parted.set_aside as u64);
        prop_assert_eq!(gathered.held_out, parted.held_out.len() as u64);
        let mut expected = BTreeMap::new();
        for (side, threads) in [("train", &parted.train), ("held-out", &parted.held_out)] {
            for thread in threads {
                let ids: Vec<String> = thread.replies.iter().map(|reply| reply.post.id.clone()).collect();
                expected.insert(thread.id.clone(), (side.to_string(), ids));
            }
        }
        prop_assert_eq!(&documents, &expected);
        let posts = posts(&by_author);
        let mut sides: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for (side, members) in documents.values() {
            for post in members.iter().map(|id| &posts[id]).filter(|post| !post.author.is_empty()) {
                sides.entry(&post.author).or_default().insert(side);
            }
        }
        prop_assert!(sides.values().all(|sides| sides.len() == 1));
        let split = manifest.stages.iter().find(|stage| stage.stage == "split").unwrap();
        prop_assert_eq!(split.asked, manifest.kept);
        prop_assert_eq!(split.asked - split.kept, gathered.set_aside);
        for shard in by_author.shards().unwrap() {
            let path = by_author.attribute("split", &shard);
            let mut columns = read_columns(&path, &["id", "kept"]).unwrap().into_iter();
            let ids = columns.next().flatten().and_then(Values::into_texts).unwrap();
            let kept = columns.next().flatten().and_then(Values::into_flags).unwrap();
            for (id, kept) in ids.iter().flatten().zip(kept) {
                let in_documents = documents.values().any(|(_, members)| members.contains(id));
                prop_assert_eq!(kept, Some(in_documents));
            }
        }
        for dialogue in lines(&by_author, "dialogues") {
            prop_assert_eq!(&documents[dialogue["thread"].as_str().unwrap()].0, "train");
        }
    }
}

#[test]
fn one_person_is_split_by_thread() {
    let folder = folder_with(&[]);
    let mine: Vec<(usize, u32)> = (0..300).map(|index| (index % 37, 1)).collect();
    std::fs::write(folder.path().join("posts.jsonl"), made_up(&mine)).unwrap();
    let (store, manifest) = run(folder.path(), "store", SplitBy::Author, 100);
    let gathered = manifest.gathered.unwrap();
    assert_eq!((gathered.split_by, gathered.set_aside), (SplitBy::Thread, 0));
    assert!(gathered.held_out > 0 && gathered.held_out < gathered.threads / 4, "{gathered:?}");
    assert_eq!(documents_of(&store).values().map(|(_, posts)| posts.len()).sum::<usize>(), 300);
}
