//! Ingest: counts, removals in any order, stages, rejects, and the same bytes after being killed at
//! any point.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::source_folder::folder_with;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use stoa_corpus::ingest::{
    IngestOptions, Manifest, RejectBound, Request, Stage, difference, explain, forget, ingest,
    sample, statistics,
};
use stoa_corpus::{AuthorKey, CorpusError, Store};
use stoa_posts::{Durability, Removal, read_columns, read_posts};
use stoa_square::{Square, SquareConfig};

fn options(folder: &Path, files: &[&str], out: &str) -> IngestOptions {
    let sources = files.iter().map(|file| folder.join(file)).collect();
    let mut options = IngestOptions::new(sources, &folder.join(out));
    options.author_key = Some(folder.join("author.key"));
    options.threads = 2;
    options.durability = Durability::Unsynced;
    options
}

fn run(options: &IngestOptions) -> Manifest {
    ingest(options, &|_, _, _| {}).unwrap()
}

fn stage<'a>(manifest: &'a Manifest, name: &str) -> &'a BTreeMap<String, u64> {
    &manifest.stages.iter().find(|stage| stage.stage == name).unwrap().dropped
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

fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    for (_, bytes) in tree(folder) {
        let text = String::from_utf8(bytes).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    lines
}

const THREAD: &str = r#"{"id": "1", "author": "ann", "created_at": "2020-01-01T00:00:00Z", "text": "The market opens on Sunday at nine, @bea says."}
{"id": "2", "author": "bea", "text": "@ann No, it opens at ten, I was there.", "in_reply_to": "1"}
{"id": "3", "author": "ann", "text": "@bea Thank you, ten then.", "in_reply_to": "2"}
{"id": "4", "author": "carl", "text": "Words that will be deleted soon.", "in_reply_to": "1"}
{"id": "5", "author": "dora", "text": "the market OPENS on Sunday at nine, @bea says"}
{"id": "6", "author": "eve", "text": "http://only.example/link"}
{"id": "7", "author": "fred", "text": "My words are not for machines.", "consent": "refused"}
{"id": "8", "author": "gil", "text": "RT @ann: The market opens on Sunday at nine."}
{"id": "9", "author": "hal", "text": "Hal leaves and takes all words along."}
not json
"#;
const NOTICES: &str = r#"{"delete": {"status": {"id_str": "4"}, "timestamp_ms": "1600000000000"}}
{"user_delete": {"id": "hal", "timestamp_ms": "1600000000000"}}
"#;

#[test]
fn every_post_has_a_verdict_and_nothing_is_lost() {
    let folder = folder_with(&[("posts.jsonl", THREAD), ("notices.jsonl", NOTICES)]);
    let options = options(folder.path(), &["posts.jsonl", "notices.jsonl"], "out");
    let manifest = run(&options);
    assert_eq!((manifest.records, manifest.posts, manifest.notices), (12, 9, 2));
    assert_eq!((manifest.rejected, manifest.kept), (1, 3));
    assert_eq!(stage(&manifest, "tombstone")["deleted"], 2);
    assert_eq!(stage(&manifest, "consent")["consent refused"], 1);
    assert_eq!(stage(&manifest, "repost")["repeats another post"], 1);
    assert_eq!(stage(&manifest, "posts/no-words")["links only"], 1);
    assert_eq!(stage(&manifest, "exact")["copy"], 1);
    let store = Store::new(&options.out);
    let posts = read_posts(&store.posts("00000-00000")).unwrap();
    assert_eq!(posts.len(), 9);
    for post in &posts {
        assert_eq!(post.author.len(), 32, "authors are hashed");
        assert_eq!(post.tombstone.is_some(), post.text.is_empty(), "{}", post.id);
    }
    let removed = posts[3].tombstone.unwrap();
    assert_eq!((removed.removal, removed.at_unix_seconds), (Removal::Deleted, Some(1_600_000_000)));
    let copies = read_columns(&store.attribute("exact", "00000-00000"), &["of"]).unwrap();
    let copies = copies.into_iter().next().unwrap().unwrap().into_texts().unwrap();
    assert_eq!(copies[4].as_deref(), Some("1"));
    // The thread keeps its order, handles are placeholders by author.
    let documents = lines(&options.out.join("documents"));
    let text = |id: &str| {
        documents.iter().filter(|d| d["posts"][0] == id).map(|d| d["text"].as_str().unwrap()).next()
    };
    assert_eq!(
        text("1").unwrap_or_default().lines().next(),
        Some("The market opens on Sunday at nine, @user2 says.")
    );
    let rejects = std::fs::read_to_string(store.rejects()).unwrap();
    assert!(rejects.contains("wrong JSON") && rejects.contains("\"line\":10"), "{rejects}");
    assert!(manifest.damaged(&store).unwrap().is_empty());
    assert!(!store.state().exists());
    // A finished ingest is found done; another one is not mixed into it.
    assert_eq!(run(&options), manifest);
    let mut other = options.clone();
    other.stages = vec![Stage::Rules];
    assert!(matches!(ingest(&other, &|_, _, _| {}), Err(CorpusError::OtherIngest { .. })));
    std::fs::write(store.posts("00000-00000"), b"damage").unwrap();
    assert_eq!(manifest.damaged(&store).unwrap(), ["posts/00000-00000.parquet"]);
}

#[test]
fn what_stoa_wrote_is_no_source_and_remarks_are_in_the_manifest() {
    let folder = folder_with(&[
        (
            "posts.jsonl",
            "{\"id\": \"1\", \"author\": \"ann\", \"text\": \"The market opens.\", \"n\": NaN}\n",
        ),
        (
            "more.csv",
            "id,author,text,created_at\n1.5E+18,bea,It opens at ten.,2020-01-01\n1.5E+18,bea,Or at nine.,soon\n",
        ),
    ]);
    let first = run(&options(folder.path(), &[""], "store"));
    assert_eq!((first.records, first.posts, first.kept, first.rejected), (3, 3, 3, 0));
    let again = run(&options(folder.path(), &[""], "other"));
    assert_eq!((again.records, again.posts), (3, 3));
    for (kind, count, others) in [
        ("NaN and Infinity", 1, 1),
        ("identifiers of posts rounded", 2, 2),
        ("times without a zone", 1, 1),
        ("times not understood (9 for any digit, a for any letter): aaaa", 1, 1),
        ("folders left out", 1, 2),
    ] {
        let total = |manifest: &Manifest| {
            let kinds = manifest.remarks.iter().filter(|(known, _)| known.starts_with(kind));
            kinds.map(|(_, count)| count).sum::<u64>()
        };
        assert_eq!((total(&first), total(&again)), (count, others), "{kind}");
    }
    // The same command again finds the store; a store is no source, nor is the place of its sources one.
    assert_eq!(run(&options(folder.path(), &[""], "store")), first);
    let refused = |sources: &[&str], out| {
        ingest(&options(folder.path(), sources, out), &|_, _, _| {}).unwrap_err().to_string()
    };
    assert!(refused(&["store"], "third").contains("a store that stoa made"));
    assert!(refused(&[""], "").contains("give another --out"));
    assert!(!folder.path().join("state").exists());
}

#[test]
fn notices_win_whether_they_come_first_or_last() {
    let folder = folder_with(&[("posts.jsonl", THREAD), ("notices.jsonl", NOTICES)]);
    let after = run(&options(folder.path(), &["posts.jsonl", "notices.jsonl"], "after"));
    let before = run(&options(folder.path(), &["notices.jsonl", "posts.jsonl"], "before"));
    assert_eq!(before.stages, after.stages);
    let posts = |out: &str, shard: &str| {
        read_posts(&Store::new(&folder.path().join(out)).posts(shard)).unwrap()
    };
    assert_eq!(posts("before", "00001-00000"), posts("after", "00000-00000"));
}

#[test]
fn stages_can_be_left_out_and_rejects_bounded() {
    let folder = folder_with(&[("posts.jsonl", THREAD)]);
    let mut some = options(folder.path(), &["posts.jsonl"], "some");
    some.stages = vec![Stage::Exact];
    let manifest = run(&some);
    let names: Vec<&str> = manifest.stages.iter().map(|stage| stage.stage.as_str()).collect();
    assert_eq!(names, ["tombstone", "version", "consent", "repost", "exact", "verdict"]);
    assert!(!some.out.join("documents").exists());
    let mut strict = options(folder.path(), &["posts.jsonl"], "strict");
    strict.max_rejects = Some(RejectBound::Count(0));
    let error = ingest(&strict, &|_, _, _| {}).unwrap_err();
    assert!(matches!(error, CorpusError::TooManyRejects { rejected: 1, bound: 0 }), "{error}");
    strict.max_rejects = Some(RejectBound::Share(0.1));
    run(&strict);
    let mut unknown = options(folder.path(), &["posts.jsonl"], "unknown");
    unknown.profile = "strict".to_string();
    assert!(matches!(ingest(&unknown, &|_, _, _| {}), Err(CorpusError::UnknownProfile { .. })));
}

#[test]
fn evaluation_sets_are_kept_out() {
    let exam = "{\"question\": \"When does the market open on Sunday?\", \"answer\": \"The market opens on Sunday at nine, he says.\"}\n\
        {\"question\": \"市場は日曜日の何時に開きますか\", \"answer\": \"九時\"}\n";
    let posts = "{\"id\": 1, \"author\": \"a\", \"text\": \"oh the market opens on Sunday at nine he says, good\"}\n\
        {\"id\": 2, \"author\": \"b\", \"text\": \"the market opens on Monday\"}\n\
        {\"id\": 3, \"author\": \"b\", \"text\": \"ねえ市場は日曜日の何時に開きますか？九時？\"}\n";
    let folder = folder_with(&[("posts.jsonl", posts), ("exam.jsonl", exam)]);
    let mut options = options(folder.path(), &["posts.jsonl"], "out");
    options.evaluation_sets = vec![folder.path().join("exam.jsonl")];
    let manifest = run(&options);
    assert_eq!(stage(&manifest, "decontaminate")["stands in an evaluation set"], 2);
    let evaluations = manifest.evaluations.unwrap();
    assert_eq!((evaluations.items, evaluations.too_short), (4, 1));
}

#[test]
fn a_store_can_be_asked() {
    let folder = folder_with(&[("posts.jsonl", THREAD), ("notices.jsonl", NOTICES)]);
    let options = options(folder.path(), &["posts.jsonl", "notices.jsonl"], "out");
    run(&options);
    let store = Store::new(&options.out);
    let explained = explain(&store, "5").unwrap();
    let exact = explained[0].verdicts.iter().find(|verdict| verdict.rule == "exact").unwrap();
    assert_eq!((exact.kept, exact.of.as_deref()), (Some(false), Some("1")));
    let near = explained[0].verdicts.iter().find(|verdict| verdict.rule == "near").unwrap();
    assert_eq!(near.kept, None);
    assert_eq!(explain(&store, "unknown").unwrap(), []);
    let statistics = statistics(&store).unwrap();
    assert_eq!((statistics.all.posts, statistics.all.kept), (9, 3));
    assert_eq!((statistics.authors.posts, statistics.authors.kept), (8, 2));
    assert_eq!((statistics.largest_cluster, statistics.removed["deleted"]), (2, 2));
    let kept = sample(&store, 10, 1, Some("kept")).unwrap();
    assert_eq!(kept.len(), 3);
    assert_eq!(sample(&store, 2, 7, None).unwrap(), sample(&store, 2, 7, None).unwrap());
    assert!(sample(&store, 10, 1, Some("exact")).unwrap().iter().all(|s| s.post.id == "5"));
    let mut fewer = options.clone();
    fewer.out = folder.path().join("fewer");
    fewer.stages = vec![Stage::Rules];
    run(&fewer);
    let difference = difference(&store, &Store::new(&fewer.out)).unwrap();
    assert_eq!((difference.kept_in_both, difference.now_kept["exact"]), (3, 1));
    assert_eq!((difference.only_before, difference.other_text), (0, 0));
}

#[test]
fn forgotten_words_are_nowhere_and_the_rest_stays() {
    let folder = folder_with(&[("posts.jsonl", THREAD)]);
    let options = options(folder.path(), &["posts.jsonl"], "out");
    let before = run(&options);
    let store = Store::new(&options.out);
    let key = AuthorKey::open_or_create(&folder.path().join("author.key")).unwrap();
    let request = Request {
        ids: ["9".to_string()].into(),
        authors: [key.hash("@Bea")].into(),
        at_unix_seconds: 5,
    };
    let forgotten = forget(&store, &key, &request).unwrap();
    assert_eq!((forgotten.posts, forgotten.ids.len()), (2, 2));
    let found = |word: &str| {
        let posts = read_posts(&store.posts("00000-00000")).unwrap();
        let in_posts = posts.iter().any(|post| post.text.contains(word));
        let text = tree(&options.out);
        let in_lines = text.iter().any(|(path, bytes)| {
            path.extension().is_some_and(|e| e == "jsonl")
                && String::from_utf8_lossy(bytes).contains(word)
        });
        (in_posts, in_lines)
    };
    assert_eq!(found("it opens at ten"), (false, false));
    assert_eq!(found("takes all words along"), (false, false));
    assert_eq!(found("ten then"), (true, true));
    let after = Manifest::read(&store).unwrap();
    assert_eq!(after.kept, before.kept - 2);
    assert!(after.damaged(&store).unwrap().is_empty());
    let posts = read_posts(&store.posts("00000-00000")).unwrap();
    assert_eq!(posts[1].tombstone.unwrap().removal, Removal::Forgotten);
    // Asking again changes nothing more, and the store is still found done.
    let marks = tree(&options.out);
    forget(&store, &key, &request).unwrap();
    assert_eq!(tree(&options.out), marks);
    assert_eq!(run(&options), after);
}

#[test]
fn languages_are_stated_or_identified_and_a_column_says_which() {
    let posts = r#"{"id": "1", "author": "a", "text": "Wer weiß das schon genau, was ist in Berlin los und wir jedenfalls nicht."}
{"id": "2", "author": "b", "text": "Det er en dejlig dag i Danmark, og vi er i byen for at se på det hele."}
{"id": "3", "author": "c", "text": "Wat is er in de stad te doen en waar was jij gisteren in de avond?"}
{"id": "4", "author": "d", "text": "La ciudad que de la noche vive, pero los niños de día duermen muy bien."}
{"id": "5", "author": "e", "text": "We know what is in it, and that is why it was in the news.", "lang": "de-AT"}
{"id": "6", "author": "f", "text": "ok", "lang": "und"}
{"id": "7", "author": "g", "text": "What do you have to say of the bridge that was built in the old town?", "lang": "qme"}
{"id": "8", "author": "h", "text": "And that is what the town says of it.", "in_reply_to": "5"}
{"id": "9", "author": "i", "text": "Gone.", "deleted": true}
"#;
    let folder = folder_with(&[("posts.jsonl", posts)]);
    let options = options(folder.path(), &["posts.jsonl"], "out");
    run(&options);
    let store = Store::new(&options.out);
    let expected = [
        ("de", "identified"),
        // Danish that the classifiers disagree about.
        ("und", "none"),
        ("nl", "identified"),
        ("es", "identified"),
        ("de", "stated"),
        ("und", "none"),
        ("en", "identified"),
        ("en", "identified"),
        ("und", "none"),
    ];
    let posts = read_posts(&store.posts("00000-00000")).unwrap();
    let found: Vec<_> =
        posts.iter().map(|post| (post.language.code(), post.language_source.name())).collect();
    assert_eq!(found, expected);
    let attribute = store.attribute("language", "00000-00000");
    let columns = read_columns(&attribute, &["language", "language_source"]).unwrap();
    let mut columns = columns.into_iter().map(|column| column.unwrap().into_texts().unwrap());
    let texts = |(language, source): (&str, &str)| (Some(language.into()), Some(source.into()));
    let found: Vec<_> = columns.next().unwrap().into_iter().zip(columns.next().unwrap()).collect();
    assert_eq!(found, expected.map(texts));
    for document in lines(&options.out.join("documents")) {
        // The two posts of the thread of 5 have different languages: that of most bytes counts.
        let id: usize = document["posts"][0].as_str().unwrap().parse().unwrap();
        let (language, source) = expected[id - 1];
        assert_eq!(
            (&document["language"], &document["language_source"]),
            (&language.into(), &source.into())
        );
    }
    let counted = statistics(&store).unwrap().by_language;
    assert_eq!((counted["de"].kept, counted["en"].kept, counted["und"].posts), (2, 2, 3));
}

/// A store that version 0.1.0 wrote of eight posts.
fn store_of_0_1_0(folder: &Path) -> Store {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/store-0.1.0.tar.gz");
    let file = std::fs::File::open(archive).unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(folder).unwrap();
    Store::new(&folder.join("store"))
}

#[test]
fn a_store_of_0_1_0_opens() {
    let folder = folder_with(&[]);
    let store = store_of_0_1_0(folder.path());
    let manifest = Manifest::read(&store).unwrap();
    assert!(manifest.is_older() && manifest.damaged(&store).unwrap().is_empty());
    let counted = statistics(&store).unwrap();
    assert_eq!((counted.all.posts, counted.all.kept, counted.by_language["fr"].posts), (8, 5, 2));
    let explained = explain(&store, "7").unwrap();
    assert_eq!(explained[0].post.language_source.name(), "none");
    assert_eq!(explained[0].verdicts.len(), manifest.stages.len());
    assert_eq!(sample(&store, 9, 1, Some("kept")).unwrap().len(), 5);
    let key = AuthorKey::open_or_create(&store.author_key()).unwrap();
    let request = Request { ids: ["2".to_string()].into(), ..Request::default() };
    assert_eq!(forget(&store, &key, &request).unwrap().posts, 1);
    let after = Manifest::read(&store).unwrap();
    assert!(after.kept == 4 && after.damaged(&store).unwrap().is_empty());
    let document = lines(&store.root().join("documents"));
    let thread = document.iter().find(|document| document["id"] == "1").unwrap();
    assert!(!thread["text"].as_str().unwrap().contains("Stadt"), "{thread}");
}

#[test]
fn work_that_0_1_0_left_unfinished_is_refused() {
    let folder = folder_with(&[("posts.jsonl", THREAD)]);
    let options = options(folder.path(), &["posts.jsonl"], "out");
    run(&options);
    let store = Store::new(&options.out);
    // As a process of that version leaves it: a plan without a revision, sources that are read.
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(store.manifest()).unwrap()).unwrap();
    let plan = manifest["plan"].as_object_mut().unwrap();
    plan.remove("revision").unwrap();
    let changed = std::fs::metadata(folder.path().join("posts.jsonl")).unwrap().modified().unwrap();
    let changed = changed.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    plan["sources"][0]["changed"] = changed.into();
    std::fs::remove_dir_all(store.root()).unwrap();
    std::fs::create_dir_all(store.state().join("sources")).unwrap();
    std::fs::write(store.state().join("sources/00000.json"), "{}").unwrap();
    std::fs::write(store.state().join("plan.json"), manifest["plan"].to_string()).unwrap();
    let error = ingest(&options, &|_, _, _| {}).unwrap_err();
    assert!(matches!(error, CorpusError::OlderWork { .. }), "{error}");
    std::fs::remove_dir_all(store.state()).unwrap();
    run(&options);
}

/// The square's posts as JSON lines.
fn square(folder: &Path) -> Square {
    let square = Square::generate(3, &SquareConfig::default()).unwrap();
    let mut text = String::new();
    for post in &square.posts {
        text.push_str(&serde_json::to_string(post).unwrap());
        text.push('\n');
    }
    std::fs::write(folder.join("square.jsonl"), text).unwrap();
    square
}

#[test]
fn the_square_loses_what_its_truth_says_and_little_else() {
    let folder = folder_with(&[]);
    let square = square(folder.path());
    let mut options = options(folder.path(), &["square.jsonl"], "out");
    options.shard_posts = 1000;
    let manifest = run(&options);
    let store = Store::new(&options.out);
    let mut kept = BTreeMap::new();
    for shard in store.shards().unwrap() {
        let path = store.attribute("verdict", &shard);
        let mut columns = read_columns(&path, &["id", "kept"]).unwrap().into_iter();
        let ids = columns.next().flatten().unwrap().into_texts().unwrap();
        let flags = columns.next().flatten().unwrap().into_flags().unwrap();
        kept.extend(ids.into_iter().flatten().zip(flags.into_iter().flatten()));
    }
    assert_eq!(kept.len(), square.posts.len());
    let (mut copies, mut found, mut honest, mut lost) = (0, 0, 0, 0);
    for (post, truth) in square.posts.iter().zip(&square.truth) {
        let kept = kept[&post.id];
        if truth.refused || post.tombstone.is_some() {
            assert!(!kept, "a post that may not be used is kept");
        } else if truth.duplicate_of.is_some() {
            copies += 1;
            found += usize::from(!kept);
        } else if !truth.spam {
            honest += 1;
            lost += usize::from(!kept);
        }
    }
    println!(
        "{found} of {copies} copies found; {lost} of {honest} honest posts lost; {} kept",
        manifest.kept
    );
    assert!(found as f64 >= 0.95 * f64::from(copies), "{found} of {copies}");
    assert!((lost as f64) < 0.01 * f64::from(honest), "{lost} of {honest}");
    let gathered = manifest.gathered.unwrap();
    assert!(gathered.dialogues > 1000 && gathered.held_out > 100, "{gathered:?}");
}

/// Not a test of its own: the process that the next test kills. It ends itself, as a power cut would,
/// at the call of progress that `STOA_END_AT` names.
#[test]
#[ignore = "child process of a_killed_ingest_resumes_to_the_same_bytes"]
fn child_that_is_killed() {
    let folder = std::env::var("STOA_INGEST_IN").unwrap();
    let end_at: u64 = std::env::var("STOA_END_AT").unwrap().parse().unwrap();
    let mut options = options(Path::new(&folder), &["square.jsonl", "notices.jsonl"], "out");
    options.shard_posts = 2500;
    let calls = AtomicU64::new(0);
    ingest(&options, &|_, _, _| {
        if calls.fetch_add(1, Ordering::SeqCst) == end_at {
            std::process::abort();
        }
    })
    .unwrap();
}

#[test]
fn a_killed_ingest_resumes_to_the_same_bytes() {
    let folder = folder_with(&[("notices.jsonl", NOTICES)]);
    square(folder.path());
    let child = |end_at: u64| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ingest::child_that_is_killed", "--ignored"])
            .env("STOA_INGEST_IN", folder.path())
            .env("STOA_END_AT", end_at.to_string())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let out = folder.path().join("out");
    assert!(child(u64::MAX).wait().unwrap().success());
    let whole = tree(&out);
    std::fs::remove_dir_all(&out).unwrap();
    // Ended after every so many steps, each time resuming from the files of the last one.
    let mut ended = 0;
    for end_at in (0..).step_by(23) {
        if child(end_at).wait().unwrap().success() {
            break;
        }
        ended += 1;
        assert!(ended < 1000, "the ingest never ends");
    }
    assert!(ended > 5, "only {ended} ends");
    assert_eq!(tree(&out), whole);
    // Killed from outside at any moment.
    std::fs::remove_dir_all(&out).unwrap();
    for millis in [5, 20, 45, 80, 130, 200, 300] {
        let mut process = child(u64::MAX);
        std::thread::sleep(std::time::Duration::from_millis(millis));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(child(u64::MAX).wait().unwrap().success());
    assert_eq!(tree(&out), whole);
}
