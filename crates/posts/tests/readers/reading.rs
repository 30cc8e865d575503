//! Readers: every format, every kind of damage with its place, and no panic on any bytes.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use stoa_posts::{Consent, Item, Language, Post, PostsError, ReadOptions, read_all, scan};
use tempfile::TempDir;

fn place(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn posts_of(name: &str, bytes: &[u8]) -> Vec<Post> {
    let (_folder, path) = place(name, bytes);
    read_all(&[path], &ReadOptions::default()).unwrap().posts
}

fn error_of(name: &str, bytes: &[u8]) -> PostsError {
    let (_folder, path) = place(name, bytes);
    read_all(&[path], &ReadOptions::default()).unwrap_err()
}

fn texts(posts: &[Post]) -> Vec<&str> {
    posts.iter().map(|post| post.text.as_str()).collect()
}

const LINES: &str = r#"{"id": 1, "text": "one &amp; two https://t.co/abc", "author": "@ann", "lang": "en", "created_at": "2020-01-02T03:04:05Z"}

{"id": "2", "full_text": "deux", "user": {"screen_name": "bea"}, "in_reply_to_status_id_str": "1", "lang": "fr"}
not json
{"id": "3", "likes": 4}
{"id": "4", "content": "RT @x: words of x"}
{"id": "5", "body": "gone", "deleted": true}
{"id": "6", "message": "no", "consent": "refused"}
"#;

#[test]
fn json_lines() {
    for bytes in [LINES.as_bytes().to_vec(), gzip(LINES.as_bytes())] {
        let (_folder, path) = place("posts.jsonl", &bytes);
        let mut rejected = Vec::new();
        let mut posts = Vec::new();
        let meter = AtomicU64::new(0);
        let scanned = scan(&path, &ReadOptions::default(), &meter, &mut |item| {
            match item {
                Item::Post(post) => posts.push(*post),
                Item::Rejected(record) => rejected.push((record.line, record.byte_offset)),
                Item::Notice(notice) => panic!("{notice:?}"),
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((scanned.records, scanned.posts, scanned.rejected), (7, 5, 2));
        assert_eq!(meter.into_inner(), bytes.len() as u64);
        let repost = posts.remove(2);
        assert!(repost.repost);
        assert_eq!(texts(&posts), ["one & two", "deux", "", "no"]);
        assert_eq!(posts[0].author, "ann");
        assert_eq!(posts[0].created_at_unix_seconds, Some(1_577_934_245));
        assert_eq!(posts[1].author, "bea");
        assert_eq!(posts[1].in_reply_to.as_deref(), Some("1"));
        assert_eq!((posts[0].language, posts[1].language), (Language::English, Language::French));
        assert!(posts[2].tombstone.is_some());
        assert_eq!(posts[3].consent, Consent::Refused);
        let offset = |needle: &str| LINES.find(needle).unwrap() as u64;
        assert_eq!(posts[1].origin.byte_offset, offset("{\"id\": \"2\""));
        let expected = [(4, offset("not json")), (5, offset("{\"id\": \"3\""))];
        assert_eq!(rejected, expected);
    }
}

#[test]
fn json_arrays_and_archive_files() {
    let array = r#" [ {"text": "a ] \" [ {"}, "plain words",
        {"tweet": {"id_str": "9", "full_text": "in a wrapper"}} ] "#;
    assert_eq!(
        texts(&posts_of("x.json", array.as_bytes())),
        ["a ] \" [ {", "plain words", "in a wrapper"]
    );
    assert_eq!(texts(&posts_of("n.json", br#"[1, -2.5e3, null, {"text": "a"}, true]"#)), ["a"]);
    let archive = format!("window.YTD.tweets.part0 = {array}");
    let posts = posts_of("tweets.js", archive.as_bytes());
    assert_eq!(posts.len(), 3);
    assert!(posts.iter().all(|post| post.author == "archive_owner"));
    let pretty = "{\n  \"id\": 7,\n  \"text\": \"alone\"\n}\n";
    assert_eq!(texts(&posts_of("one.json", pretty.as_bytes())), ["alone"]);
    let page = r#"{"data": [{"id": "1", "text": "v2", "author_id": "8", "conversation_id": "1",
        "referenced_tweets": [{"type": "replied_to", "id": "0"}], "note_tweet": {"text": "v2, whole"}},
        {"id": "2", "text": "again", "referenced_tweets": [{"type": "retweeted", "id": "0"}]}]}"#;
    let posts = posts_of("page.json", page.as_bytes());
    assert_eq!(texts(&posts), ["v2, whole"]);
    assert_eq!(posts[0].in_reply_to.as_deref(), Some("0"));
}

#[test]
fn tables() {
    let csv = "\u{feff}Screen_Name,Status_Id,Text,lang,is_retweet\n\
        ann,1,\"first, with \"\"quotes\"\"\nand two lines\",en,FALSE\n\
        bea,2,second,NA,NA\ncut,3\nann,4,third,en,TRUE\n";
    let (_folder, path) = place("posts.csv", csv.as_bytes());
    let intake = read_all(&[path], &ReadOptions::default()).unwrap();
    assert_eq!(texts(&intake.posts), ["first, with \"quotes\"\nand two lines", "second"]);
    assert_eq!(intake.posts[1].author, "bea");
    assert_eq!(intake.posts[1].language, Language::Undetermined);
    assert_eq!(intake.rejected.values().sum::<usize>(), 2);
    assert_eq!(
        texts(&posts_of("p.tsv", b"id\ttext\n1\tone, two\n2\tthree\n")),
        ["one, two", "three"]
    );
    assert_eq!(texts(&posts_of("p.data", b"id;content\n1;one\n")), ["one"]);
    assert!(matches!(error_of("p.csv", b"a,b\n1,2\n"), PostsError::NoTextColumn { .. }));
}

#[test]
fn plain_text_by_paragraph_or_line() {
    let posts = posts_of("p.txt", b"\nFirst line\nsame paragraph\n\n\nSecond one\r\n\r\nThird");
    assert_eq!(texts(&posts), ["First line\nsame paragraph", "Second one", "Third"]);
    assert_eq!(posts[0].conversation, posts[2].conversation);
    assert_eq!(texts(&posts_of("p.txt", b"one\ntwo\nthree\n")), ["one", "two", "three"]);
    assert_eq!(texts(&posts_of("p.txt", b"{curly} words\n[Scene] more\n")).len(), 2);
}

fn zip_of(members: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in members {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const TWEETS: &str =
    r#"window.YTD.tweets.part0 = [ {"tweet": {"id_str": "1", "full_text": "public"}} ]"#;
const DELETED: &str = r#"window.YTD.deleted_tweets.part0 = [ {"tweet": {"id_str": "3", "full_text": "gone",
    "deleted_at": "2020-01-02T00:00:00.000Z"}} ]"#;
const PRIVATE: &str = r#"window.YTD.direct_messages.part0 = [ {"text": "private"} ]"#;

#[test]
fn archives_give_tweets_and_nothing_private() {
    let long = "long ".repeat(60);
    let cut: String = long.chars().take(270).chain(['…']).collect();
    let note = format!(
        r#"window.YTD.note_tweet.part0 = [ {{"noteTweet": {{"core": {{"text": "{long}"}}}}}} ]"#
    );
    let part = format!(r#"window.YTD.tweets.part1 = [ {{"id_str": "2", "full_text": "{cut}"}} ]"#);
    let members = [
        ("data/direct-messages.js", PRIVATE),
        ("data/deleted-tweets.js", DELETED),
        ("data/account.js", "window.YTD.account.part0 = []"),
        ("data/tweets.js", TWEETS),
        ("data/tweets-part1.js", &part),
        ("data/note-tweet.js", &note),
        ("data/manifest.json", "{}"),
    ];
    // Of deleted tweets only the fact is kept.
    // Long posts wait for their texts until all else is read.
    let expected = ["public", "", long.trim()];
    assert_eq!(texts(&posts_of("twitter.zip", &zip_of(&members))), expected);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in members {
        std::fs::write(folder.path().join(name), text).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let gone = &posts_of("twitter.zip", &zip_of(&members))[1];
    assert_eq!(gone.id, "3");
    assert_eq!(gone.tombstone.unwrap().at_unix_seconds, Some(1_577_923_200));
    let from_folder = read_all(&[folder.path()], &ReadOptions::default()).unwrap();
    assert_eq!(texts(&from_folder.posts), expected);
    let tar = tar.into_inner().unwrap();
    assert_eq!(texts(&posts_of("a.tar", &tar)), expected);
    assert_eq!(texts(&posts_of("a.tar.gz", &gzip(&tar))), expected);
    let error = error_of("dm.zip", &zip_of(&[("data/direct-messages.js", PRIVATE)]));
    assert!(matches!(error, PostsError::NoPostFiles { .. }), "{error}");
    assert!(error.to_string().contains("note 1: files left unread: .js"), "{error}");
    let error = error_of("direct-messages.js", PRIVATE.as_bytes());
    assert!(matches!(error, PostsError::NotTweets { .. }), "{error}");
    let (_folder, path) = place("big.zip", &zip_of(&members));
    let options = ReadOptions { archive_limit_bytes: 100, ..ReadOptions::default() };
    let error = read_all(&[path], &options).unwrap_err();
    assert!(matches!(error, PostsError::ArchiveTooLarge { limit_bytes: 100, .. }), "{error}");
}

#[test]
fn truncated_gzip_is_an_error_unless_asked_for() {
    let many: String = (0..5000)
        .map(|n| format!("{{\"id\": {n}, \"text\": \"post number {}\"}}\n", n * n))
        .collect();
    let whole = gzip(many.as_bytes());
    let cut = &whole[..whole.len() / 2];
    let error = error_of("cut.jsonl.gz", cut);
    let PostsError::Truncated { posts, decoded_bytes, .. } = &error else { panic!("{error}") };
    assert!(*posts > 100 && *decoded_bytes > 1000, "{error}");
    assert!(error.to_string().contains("cut.jsonl.gz"), "{error}");
    let (_folder, path) = place("cut.jsonl.gz", cut);
    let options = ReadOptions { keep_truncated: true, ..ReadOptions::default() };
    let kept = read_all(&[path], &options).unwrap();
    assert!(kept.posts.len() as u64 >= *posts && kept.posts.len() < 5000);
    assert!(matches!(error_of("head.gz", &whole[..12]), PostsError::Truncated { .. }));
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 0xff;
    assert!(matches!(error_of("sum.gz", &flipped), PostsError::Truncated { .. }));
    let tar_cut = gzip(&vec![b'x'; 4096]);
    assert!(read_all(&[place("y.gz", &tar_cut[..tar_cut.len() - 3]).1], &options).is_err());
}

#[test]
fn damage_has_a_place_and_a_remedy() {
    let (_folder, path) =
        place("bad.jsonl", b"{\"text\": \"fine\"}\n{\"text\": \"\xff\"}\n{\"text\": \"too\"}\n");
    let intake = read_all(&[path], &ReadOptions::default()).unwrap();
    assert_eq!(texts(&intake.posts), ["fine", "too"]);
    assert!(intake.rejected.keys().all(|reason| reason.contains("UTF-8 at byte 10")));
    assert!(matches!(error_of("e.jsonl", b""), PostsError::Empty { .. }));
    assert!(matches!(error_of("e.jsonl", b" \n\n"), PostsError::Empty { .. }));
    assert!(matches!(error_of("e.gz", &gzip(b"")), PostsError::Empty { .. }));
    let oops = posts_of("w.json", b"[ {\"text\": \"a\"},\n {\"text\": oops}, {\"text\": \"b\"} ]");
    assert_eq!(texts(&oops), ["a", "b"]);
    let error = error_of("w.json", b"[ {\"text\": \"a\"},\n {\"text\": \"b\"} } ]");
    assert!(matches!(error, PostsError::WrongJson { line: 2, byte_offset: 32, .. }), "{error}");
    let error = error_of("w.json", b"[ {\"text\": \"a\"}, {\"text\": \"b");
    assert!(matches!(error, PostsError::WrongJson { .. }), "{error}");
    let error = error_of("w.jsonl", b"{broken}\n{broken}\n");
    assert!(matches!(error, PostsError::NoUsablePosts { records: 2, .. }), "{error}");
    let error = error_of("rt.jsonl", b"{\"text\": \"RT @a: b\"}\n");
    assert!(error.to_string().contains("repost"), "{error}");
    let error = read_all(&[Path::new("no/such/file")], &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, PostsError::NotFound { .. }), "{error}");
    let (_folder, path) =
        place("long.jsonl", format!("{{\"text\": \"{}\"}}", "x".repeat(999)).as_bytes());
    let options = ReadOptions { record_limit_bytes: 500, ..ReadOptions::default() };
    let error = read_all(&[path], &options).unwrap_err();
    assert!(error.to_string().contains("more than the 500"), "{error}");
    assert!(matches!(error_of("z.zip", b"PK\x03\x04damaged"), PostsError::Truncated { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        prefix in prop::sample::select(vec!["", "[", "{", "window.YTD.tweets.part0 = [", "id,text\n", "[{\"text\":\"a\"}"]),
        name in prop::sample::select(vec!["a.jsonl", "a.json", "a.csv", "a.txt", "a", "tweets.js"]),
        compressed in any::<bool>(),
    ) {
        let mut content = prefix.as_bytes().to_vec();
        content.extend(bytes);
        let content = if compressed { gzip(&content) } else { content };
        let (_folder, path) = place(name, &content);
        let meter = AtomicU64::new(0);
        let mut items = 0;
        let scanned = scan(&path, &ReadOptions::default(), &meter, &mut |_| {
            items += 1;
            Ok(())
        });
        // Reading ends with counts that add up, or with an error that says why not.
        if let Ok(scanned) = scanned {
            prop_assert_eq!(scanned.records, scanned.posts + scanned.notices + scanned.asides + scanned.rejected);
            prop_assert_eq!(items, scanned.records - scanned.asides);
        }
    }

    #[test]
    fn an_array_reads_as_its_lines_do(words in prop::collection::vec("[a-z{}\\[\\]\"\\\\, é]{1,12}", 1..8)) {
        let rows: Vec<String> = words
            .iter()
            .map(|word| serde_json::json!({"text": format!("w{word}w")}).to_string())
            .collect();
        let as_lines = posts_of("a.jsonl", rows.join("\n").as_bytes());
        let as_array = posts_of("a.json", format!("[{}]", rows.join(",\n")).as_bytes());
        let as_archive = posts_of("tweets.js", format!("window.YTD.tweets.part0 = [{}]", rows.join(" , ")).as_bytes());
        prop_assert_eq!(texts(&as_lines), texts(&as_array));
        prop_assert_eq!(texts(&as_lines), texts(&as_archive));
    }
}
