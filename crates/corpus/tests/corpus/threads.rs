//! Threads and what is made of them: missing parents, loops, forks, handles, self-replies.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::source_folder::folder_with;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use stoa_corpus::ingest::{IngestOptions, ingest};
use stoa_corpus::{Conversation, Corpus, SplitBy, Store, conversations, split_by_author};
use stoa_dialogue::Dialogue;
use stoa_posts::{Durability, Language, Origin, Post, Split, Tombstone, split_of};

fn post(id: &str, author: &str, text: &str, in_reply_to: Option<&str>) -> Post {
    Post {
        id: id.to_string(),
        author: author.to_string(),
        text: text.to_string(),
        in_reply_to: in_reply_to.map(str::to_string),
        language: Language::English,
        origin: Origin { source: Arc::from("test"), record: 0, byte_offset: 0 },
        ..Post::default()
    }
}

fn ids(thread: &Conversation) -> Vec<&str> {
    thread.replies.iter().map(|reply| reply.post.id.as_str()).collect()
}

fn spoken(dialogue: &Dialogue) -> Vec<&str> {
    dialogue.messages.iter().map(|message| message.text()).collect()
}

#[test]
fn replies_follow_what_they_answer_and_missing_parents_keep_siblings_together() {
    let posts = vec![
        post("b", "y", "second", Some("a")),
        post("x1", "y", "orphan one", Some("gone")),
        post("d", "z", "fourth", Some("b")),
        post("a", "x", "first", None),
        post("c", "z", "third", Some("a")),
        post("x2", "z", "orphan two", Some("gone")),
    ];
    let threads = conversations(posts);
    assert_eq!(threads.len(), 2);
    assert_eq!(ids(&threads[0]), ["a", "b", "d", "c"]);
    assert_eq!(threads[0].missing_parents, 0);
    assert_eq!((threads[1].id.as_str(), threads[1].missing_parents), ("gone", 1));
    assert_eq!(ids(&threads[1]), ["x1", "x2"]);
}

/// Ingests lines and reads what came of them, split by thread.
fn corpus(lines: &str) -> Corpus {
    let folder = folder_with(&[("posts.jsonl", lines)]);
    let sources = vec![folder.path().join("posts.jsonl")];
    let mut options = IngestOptions::new(sources, &folder.path().join("out"));
    options.split = SplitBy::Thread;
    options.durability = Durability::Unsynced;
    ingest(&options, &|_, _, _| {}).unwrap();
    Corpus::of_store(&Store::new(&options.out)).unwrap()
}

/// Posts as lines of JSON, a second apart.
fn lines(posts: &[Post]) -> String {
    let line = |(second, post): (usize, &Post)| {
        let post = serde_json::json!({
            "id": post.id, "author": post.author, "text": post.text, "in_reply_to": post.in_reply_to,
            "created_at": 1_500_000_000 + second, "deleted": post.tombstone.is_some(),
        });
        format!("{post}\n")
    };
    posts.iter().enumerate().map(line).collect()
}

/// An identifier whose hash puts its thread on a side.
fn id_on(side: Split) -> String {
    (0..).map(|n| format!("t{n}")).find(|id| split_of(id) == side).unwrap()
}

#[test]
fn a_deleted_post_leaves_its_replies_in_their_thread() {
    let root = id_on(Split::Train);
    let mut middle = post("b", "y", "to be forgotten", Some(&root));
    middle.tombstone = Some(Tombstone::default());
    let posts = [
        post(&root, "x", "the first of three posts", None),
        middle,
        post("c", "z", "the third of three posts", Some("b")),
        post(&id_on(Split::HeldOut), "eve", "a thread elsewhere", None),
    ];
    let corpus = corpus(&lines(&posts));
    let thread = corpus.documents.iter().find(|document| document.id == root).unwrap();
    assert_eq!(thread.text, "the first of three posts\nthe third of three posts");
}

#[test]
fn dialogues_alternate_join_self_replies_and_do_not_repeat_prefixes() {
    let root = id_on(Split::Train);
    let posts = [
        post(&root, "ann", "words number one", None),
        post("p2", "ann", "words number two", Some(&root)),
        post("p3", "bea", "@ann words number three @carl", Some("p2")),
        post("p4", "carl", "words number four", Some("p3")),
        post("p5", "dora", "words number five", Some("p3")),
        post(&id_on(Split::HeldOut), "eve", "a thread elsewhere", None),
    ];
    let corpus = corpus(&lines(&posts));
    let spoken_lines: Vec<Vec<&str>> = corpus.dialogues.iter().map(spoken).collect();
    // Placeholders count authors in reading order: ann, bea, carl, dora.
    let first = vec!["words number one\nwords number two", "words number three @user3"];
    assert_eq!(spoken_lines, [first, vec!["words number three @user3", "words number five"]]);
}

#[test]
fn handles_become_placeholders_and_addresses_are_masked() {
    let posts = [
        post("a", "Ann", "hi @bea, write to me@example.org or @ANN_x @", None),
        post("b", "bea", "@ann @carl yes @carl", Some("a")),
    ];
    let corpus = corpus(&lines(&posts));
    let text: Vec<&str> = corpus.documents.iter().map(|document| document.text.as_str()).collect();
    let hello = "hi @user2, write to [email] or @user3 @";
    // One thread alone is cut before its last post; each part counts the thread's authors first.
    assert_eq!(text, [hello, "yes @user3"]);
}

#[test]
fn two_posts_give_training_and_held_out_text() {
    for count in [2, 3, 11] {
        for thread in ["", ", \"thread_id\": \"t\""] {
            let line =
                |n| format!("{{\"id\": {n}, \"text\": \"number {n} says hello\"{thread}}}\n");
            let corpus = corpus(&(0..count).map(line).collect::<String>());
            for split in [Split::Train, Split::HeldOut] {
                let of_split = corpus.documents.iter().filter(|document| document.split == split);
                assert!(of_split.map(|document| document.text.len()).sum::<usize>() > 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the links (loops, self-links, missing parents, repeated identifiers), every kept post
    /// stands in exactly one thread, after the one it answers.
    #[test]
    fn any_links_give_a_forest(links in prop::collection::vec((0_usize..12, prop::option::of(0_usize..14)), 1..24)) {
        let posts: Vec<Post> = links
            .iter()
            .enumerate()
            .map(|(index, (id, parent))| {
                let parent = parent.map(|parent| parent.to_string());
                post(&id.to_string(), "a", &format!("words {index}"), parent.as_deref())
            })
            .collect();
        let distinct: BTreeSet<&str> = posts.iter().map(|post| post.id.as_str()).collect();
        let distinct = distinct.len();
        let threads = conversations(posts.clone());
        let placed: Vec<&str> = threads.iter().flat_map(ids).collect();
        prop_assert_eq!(placed.len(), distinct);
        for thread in &threads {
            for (position, reply) in thread.replies.iter().enumerate() {
                prop_assert!(reply.parent.is_none_or(|parent| parent < position));
            }
        }
        let names: BTreeSet<&str> = threads.iter().map(|thread| thread.id.as_str()).collect();
        prop_assert_eq!(names.len(), threads.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Threads found on disk are those found in memory, whatever the links: loops, self-links, missing
    /// parents, chains of many rounds.
    #[test]
    fn an_ingest_finds_the_threads_of_conversations(
        links in prop::collection::vec(prop::option::of(0_usize..44), 2..40),
    ) {
        let posts: Vec<Post> = links
            .iter()
            .enumerate()
            .map(|(index, parent)| {
                let parent = parent.map(|parent| format!("p{parent}"));
                post(&format!("p{index}"), "a", &format!("words number {index}"), parent.as_deref())
            })
            .collect();
        let text = |post: &Post| post.text.clone();
        let expected: BTreeSet<(String, BTreeSet<String>)> = conversations(posts.clone())
            .into_iter()
            .map(|thread| (thread.id, thread.replies.iter().map(|reply| text(&reply.post)).collect()))
            .collect();
        let mut found: HashMap<String, BTreeSet<String>> = HashMap::new();
        for document in corpus(&lines(&posts)).documents {
            // A corpus of one thread is two documents.
            found.entry(document.id).or_default().extend(document.text.lines().map(str::to_string));
        }
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    /// After parting by author, no author and no thread is on both sides, replies still follow what they
    /// answer, whoever began a thread is in it, and what is set aside could not stay.
    #[test]
    fn authors_are_on_one_side(answers in prop::collection::vec((0..600_usize, 0..400_u32), 1500..2500)) {
        let posts: Vec<Post> = answers
            .iter()
            .enumerate()
            .map(|(index, (answered, author))| {
                let parent = (answered % 4 != 0 && index > *answered).then(|| format!("p{answered}"));
                let text = format!("post number {index} says something of its own");
                post(&format!("p{index}"), &format!("author{author}"), &text, parent.as_deref())
            })
            .collect();
        let threads = conversations(posts);
        let Some(parted) = split_by_author(threads.clone()) else { return Ok(()) };
        prop_assert!(!parted.held_out.is_empty() && !parted.train.is_empty());
        prop_assert_eq!(parted.held_out.len() + parted.train.len(), threads.len());
        let mut sides: HashMap<&str, BTreeSet<bool>> = HashMap::new();
        let mut stayed = 0;
        let both = [(true, &parted.held_out), (false, &parted.train)];
        for (held_out, thread) in both.iter().flat_map(|(side, threads)| threads.iter().map(move |t| (side, t))) {
            prop_assert!(!thread.replies.is_empty());
            stayed += thread.replies.len();
            for (place, reply) in thread.replies.iter().enumerate() {
                prop_assert!(reply.parent.is_none_or(|parent| parent < place));
                if let Some(parent) = reply.parent {
                    prop_assert_eq!(Some(&thread.replies[parent].post.id), reply.post.in_reply_to.as_ref());
                }
                sides.entry(&reply.post.author).or_default().insert(*held_out);
            }
        }
        prop_assert!(sides.values().all(|sides| sides.len() == 1));
        let before: usize = threads.iter().map(|thread| thread.replies.len()).sum();
        prop_assert_eq!(stayed + parted.set_aside, before);
        // A post that is not there is by an author of the other side of its thread.
        for thread in &threads {
            let held_out = parted.held_out.iter().any(|other| other.id == thread.id);
            let all = parted.train.iter().chain(&parted.held_out);
            let there: BTreeSet<&str> =
                all.filter(|other| other.id == thread.id).flat_map(ids).collect();
            for reply in thread.replies.iter().filter(|reply| !there.contains(reply.post.id.as_str())) {
                let side = sides.get(reply.post.author.as_str());
                prop_assert!(side.is_none_or(|sides| !sides.contains(&held_out)));
            }
        }
    }
}
