//! Forgetting: no word is left anywhere, what stays has the form an ingest gives it, and an interrupted
//! run is resumed.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::source_folder::folder_with;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stoa_corpus::ingest::{
    Forgotten, IngestOptions, Manifest, Request, explain, forget, ingest, statistics,
};
use stoa_corpus::{AuthorKey, SplitBy, Store};
use stoa_posts::{Durability, read_posts};
use stoa_square::{Square, SquareConfig};

fn store_of(folder: &Path, sources: &[&str], out: &str) -> Store {
    store_split(folder, sources, out, SplitBy::default())
}

fn store_split(folder: &Path, sources: &[&str], out: &str, split: SplitBy) -> Store {
    let sources = sources.iter().map(|file| folder.join(file)).collect();
    let mut options = IngestOptions::new(sources, &folder.join(out));
    options.author_key = Some(folder.join("author.key"));
    options.shard_posts = 4000;
    options.split = split;
    options.durability = Durability::Unsynced;
    ingest(&options, &|_, _, _| {}).unwrap();
    Store::with_durability(&options.out, options.durability)
}

fn key() -> AuthorKey {
    let folder = folder_with(&[]);
    AuthorKey::open_or_create(&folder.path().join("author.key")).unwrap()
}

fn forget_ids(store: &Store, ids: &[&str]) -> Forgotten {
    let ids = ids.iter().map(|id| (*id).to_string()).collect();
    let request = Request { ids, at_unix_seconds: 5, ..Request::default() };
    forget(store, &key(), &request).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut open) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut open } else { &mut files }.push(path);
        }
    }
    files
}

/// The text of every file of a store: Parquet both decoded and raw, the rest raw.
fn everything(store: &Store) -> BTreeMap<PathBuf, String> {
    let mut texts = BTreeMap::new();
    for path in files(store.root()) {
        let bytes = std::fs::read(&path).unwrap();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if bytes.starts_with(b"PAR1") {
            let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
            for row in reader.get_row_iter(None).unwrap() {
                text.push_str(&row.unwrap().to_string());
                text.push('\n');
            }
        }
        texts.insert(path, text);
    }
    texts
}

fn files_with(store: &Store, word: &str) -> Vec<PathBuf> {
    let texts = everything(store).into_iter();
    texts.filter(|(_, text)| text.contains(word)).map(|(path, _)| path).collect()
}

/// The lines of documents, then those of dialogues, each in order of their letters.
fn lines(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    for folder in ["documents", "dialogues"] {
        let mut some: Vec<String> = files(&store.root().join(folder))
            .iter()
            .flat_map(|path| {
                let text = std::fs::read_to_string(path).unwrap();
                text.lines().map(str::to_string).collect::<Vec<_>>()
            })
            .collect();
        some.sort();
        lines.extend(some);
    }
    lines
}

const THREAD: &str = r#"{"id": "1", "author": "ann", "text": "The market opens on Sunday at nine, ask me at ann@example.org or +33 1 42 68 53 00."}
{"id": "2", "author": "bea", "text": "@ann No, quibblefish, it opens at ten, call +44 20 7946 0958.", "in_reply_to": "1", "source_app": "Quibblewriter"}
{"id": "3", "author": "ann", "text": "@bea Thank you, ten then.", "in_reply_to": "2"}
{"id": "4", "author": "carl", "text": "@ann my address is carl@example.org if you need a lift.", "in_reply_to": "1"}
{"id": "5", "author": "dora", "text": "A thread of its own about ropes and harbours."}
{"id": "6", "author": "eve", "text": "@dora ropes again, on Monday at the old pier.", "in_reply_to": "5"}
{"id": "7", "author": "fred", "text": "RT @bea: @ann No, quibblefish, it opens at ten, call…"}
{"id": "8", "author": "gil", "text": "quibblefish and nothing else", "reposts": "2", "repost": true}
{"id": "9", "author": "hal", "text": "Hal has other words about boats and nets."}
{"quibblefish"
"#;

#[test]
fn masked_data_stays_masked_when_others_are_forgotten() {
    let folder = folder_with(&[("posts.jsonl", THREAD)]);
    let store = store_of(folder.path(), &["posts.jsonl"], "out");
    let text = lines(&store).join("\n");
    assert!(text.contains("[email]") && text.contains("[phone]"), "{text}");
    forget_ids(&store, &["2"]);
    let text = lines(&store).join("\n");
    assert!(text.contains("[email]") && text.contains("[phone]"), "{text}");
    for personal in ["ann@example.org", "carl@example.org", "42 68 53 00"] {
        assert!(!text.contains(personal), "{personal} is back: {text}");
    }
}

#[test]
fn no_word_of_a_forgotten_post_is_left_in_the_store() {
    let folder = folder_with(&[("posts.jsonl", THREAD)]);
    let store = store_of(folder.path(), &["posts.jsonl"], "out");
    // An ingest that was stopped at its very end leaves its work behind.
    std::fs::create_dir_all(store.state().join("raw")).unwrap();
    std::fs::write(store.state().join("raw/00000-00000.parquet"), "quibblefish").unwrap();
    let forgotten = forget_ids(&store, &["2"]);
    assert_eq!(forgotten.posts, 3, "the post and its two reposts");
    for word in ["quibblefish", "Quibblewriter", "opens at ten", "7946"] {
        assert_eq!(files_with(&store, word), Vec::<PathBuf>::new(), "{word}");
    }
    assert!(!store.state().exists());
    // The verdicts on it are gone too; the removal itself is listed.
    let explained = explain(&store, "2").unwrap();
    for verdict in &explained[0].verdicts {
        let gone = ["verdict", "tombstone"].contains(&verdict.rule.as_str());
        assert_eq!(verdict.kept, gone.then_some(false), "{}", verdict.rule);
    }
    assert!(files_with(&store, "[phone] [phone]").is_empty());
    let posts = read_posts(&store.posts("00000-00000")).unwrap();
    assert_eq!(posts[1].language.code(), "und");
    let manifest = Manifest::read(&store).unwrap();
    assert!(manifest.damaged(&store).unwrap().is_empty());
    assert_eq!(statistics(&store).unwrap().removed["forgotten"], 3);
    // The rest is there: other threads, the rest of this one, the rejected line's place.
    for word in ["ten then", "ropes again", "boats and nets", "\"line\":10"] {
        assert!(!files_with(&store, word).is_empty(), "{word}");
    }
}

#[test]
fn an_author_goes_with_what_others_repeat_of_them() {
    let folder = folder_with(&[("posts.jsonl", THREAD)]);
    let store = store_of(folder.path(), &["posts.jsonl"], "out");
    let request = Request { authors: [key().hash("@Bea")].into(), ..Request::default() };
    assert_eq!(forget(&store, &key(), &request).unwrap().posts, 3);
    assert_eq!(files_with(&store, "quibblefish"), Vec::<PathBuf>::new());
}

const MENTIONS: &str = r#"{"id": "1", "author": "Bea_77", "author_id": "900", "text": "quibblefish swim in the old harbour of the northern town"}
{"id": "2", "author": "carl", "text": "@bea_77 @dora they do not swim there at all", "in_reply_to": "1"}
{"id": "3", "author": "dora", "text": "ask ＠Bea_77さん or the bea_77-led walk, https://x.com/bea_77/status/1234567 says when", "in_reply_to": "2"}
{"id": "4", "author": "eve", "text": "I think that bea_77 was right, and @bea_778 was not."}
{"id": "5", "author": "fred", "text": "RT @bea_77: quibblefish swim in the old harbour of…"}
"#;

#[test]
fn the_name_of_an_author_goes_from_what_others_wrote() {
    let folder = folder_with(&[("posts.jsonl", MENTIONS)]);
    let store = store_of(folder.path(), &["posts.jsonl"], "out");
    let request = Request { authors: [key().hash("bea_77")].into(), ..Request::default() };
    let forgotten = forget(&store, &key(), &request).unwrap();
    assert_eq!((forgotten.posts, forgotten.mentions), (2, 3));
    let after = everything(&store);
    let words: Vec<&str> =
        "quibblefish swim in the old harbour of the northern town".split(' ').collect();
    let runs = words.windows(4).map(|words| words.join(" "));
    for gone in runs.chain(
        ["Bea_77 ", "bea_77 ", "bea_77-", "@bea_77,", "Bea_77さん", "x.com"].map(str::to_string),
    ) {
        let left: Vec<&PathBuf> =
            after.iter().filter(|(_, text)| text.contains(&gone)).map(|(path, _)| path).collect();
        assert!(left.is_empty(), "{gone} is in {left:?}");
    }
    let posts = read_posts(&store.posts("00000-00000")).unwrap();
    let texts: Vec<&str> = posts.iter().map(|post| post.text.as_str()).collect();
    assert_eq!(
        texts[1..4],
        [
            "[handle] @dora they do not swim there at all",
            "ask [handle]さん or the [handle]-led walk, [handle] says when",
            "I think that [handle] was right, and @bea_778 was not.",
        ]
    );
    let lines = lines(&store).join("\n");
    assert!(
        lines.contains("they do not swim there at all") && lines.contains("[handle]さん"),
        "{lines}"
    );
    assert!(!lines.contains("[handle] @user"), "a reply begins with whom it answers: {lines}");
    // Repeated, as after a stop, it leaves the same.
    assert_eq!(forget(&store, &key(), &request).unwrap().mentions, 0);
    assert!(everything(&store) == after);
    assert!(Manifest::read(&store).unwrap().damaged(&store).unwrap().is_empty());
    // Someone who wrote nothing is named by others.
    let request = Request { authors: [key().hash("@bea_778")].into(), ..Request::default() };
    assert_eq!(forget(&store, &key(), &request).unwrap().mentions, 1);
    assert_eq!(files_with(&store, "bea_778"), Vec::<PathBuf>::new());
}

#[test]
fn a_thread_of_its_own_corpus_is_rewritten_on_its_sides() {
    let posts: String = (0..6)
        .map(|id| {
            let reply = if id == 0 { String::new() } else { format!(", \"in_reply_to\": \"{}\"", id - 1) };
            format!("{{\"id\": \"{id}\", \"author\": \"a{}\", \"text\": \"The words of number {id} about @a{} and boats.\"{reply}}}\n", id % 3, (id + 1) % 3)
        })
        .collect();
    let folder = folder_with(&[("posts.jsonl", &posts)]);
    let store = store_of(folder.path(), &["posts.jsonl"], "out");
    forget_ids(&store, &["1"]);
    let lines = lines(&store);
    let documents: Vec<&String> = lines.iter().filter(|line| line.contains("\"split\"")).collect();
    assert_eq!(documents.len(), 2, "{lines:?}");
    for (split, posts) in [("train", r#"["0","2","3","4"]"#), ("held-out", r#"["5"]"#)] {
        let is = |line: &&&String| line.contains(&format!("\"split\":\"{split}\""));
        let line = documents.iter().find(is).unwrap();
        assert!(line.contains(posts), "{line}");
    }
    assert!(lines.iter().all(|line| !line.contains("number 1")));
}

/// The square's posts with personal data in some, as JSON lines.
fn square() -> (String, Square) {
    let square = Square::generate(3, &SquareConfig::default()).unwrap();
    let mut text = String::new();
    for (index, post) in square.posts.iter().enumerate() {
        let mut post = post.clone();
        if index % 7 == 0 && post.tombstone.is_none() {
            post.text = format!("{} write to p{index}@example.org", post.text);
        }
        text.push_str(&serde_json::to_string(&post).unwrap());
        text.push('\n');
    }
    (text, square)
}

#[test]
fn what_stays_has_the_form_of_an_ingest_without_the_forgotten() {
    let (posts, square) = square();
    // Posts in the middle of threads whose loss frees no copy, so that both ways keep the same posts.
    let originals: Vec<usize> =
        square.truth.iter().filter_map(|truth| truth.duplicate_of).collect();
    let forgotten: Vec<&str> = (0..square.posts.len())
        .filter(|index| index % 97 == 5 && !originals.contains(index))
        .map(|index| square.posts[index].id.as_str())
        .collect();
    let notices: String = forgotten
        .iter()
        .map(|id| format!("{{\"delete\": {{\"status\": {{\"id_str\": \"{id}\"}}}}}}\n"))
        .collect();
    let folder = folder_with(&[("posts.jsonl", &posts), ("notices.jsonl", &notices)]);
    // Split by thread: by author, another may begin what is left of a thread, so that an ingest puts it on
    // another side, where a rewritten thread stays where training may have seen it.
    let (sources, by) = (["posts.jsonl", "notices.jsonl"], SplitBy::Thread);
    let after = store_split(folder.path(), &sources[..1], "after", by);
    forget_ids(&after, &forgotten);
    let never = store_split(folder.path(), &sources, "never", by);
    let (after_lines, never_lines) = (lines(&after), lines(&never));
    let differ = after_lines.iter().zip(&never_lines).find(|(one, other)| one != other);
    assert_eq!(differ, None, "of {} threads", forgotten.len());
    assert_eq!(after_lines.len(), never_lines.len());
    let (after, never) = (Manifest::read(&after).unwrap(), Manifest::read(&never).unwrap());
    assert_eq!(after.kept, never.kept);
    let counts = |manifest: &Manifest| {
        let gathered = manifest.gathered.unwrap();
        (gathered.threads, gathered.held_out, gathered.dialogues, gathered.bytes)
    };
    assert_eq!(counts(&after), counts(&never));
}

#[test]
fn a_forgetting_that_was_stopped_is_gone_on_with() {
    let folder = folder_with(&[("posts.jsonl", THREAD)]);
    let store = store_of(folder.path(), &["posts.jsonl"], "out");
    let before = everything(&store);
    let bytes: Vec<(PathBuf, Vec<u8>)> =
        before.keys().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    forget_ids(&store, &["2"]);
    let after = everything(&store);
    // Each file in turn as a stopped run would have left it, with all that is written after it.
    let order = ["attrs", "posts", "dialogues", "documents", "manifest.json"];
    for first in 0..order.len() {
        for (path, bytes) in &bytes {
            if order[first..].iter().any(|name| path.starts_with(store.root().join(name))) {
                std::fs::write(path, bytes).unwrap();
            }
        }
        forget_ids(&store, &["2"]);
        assert!(everything(&store) == after, "stopped before {}", order[first]);
    }
}
