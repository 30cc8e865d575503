//! What real services sent to real clients: recorded responses of X's and Mastodon's APIs, frames that
//! Jetstream served, lines of streams. Only counts are looked at, never words or names.
//!
//! The files are found by `STOA_TEST_DATA`.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::test_data::test_data;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use stoa_posts::{Item, PostsError, ReadOptions, Scanned, scan};

/// The files of a fixture by name.
fn unpacked(name: &str) -> BTreeMap<String, Vec<u8>> {
    let path = test_data("posts-and-text/fixtures").join(name);
    let file = std::fs::File::open(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut files = BTreeMap::new();
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        let name = member.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        files.insert(name, bytes);
    }
    files
}

struct Seen {
    scanned: Scanned,
    with_author: usize,
    with_text: usize,
    replies: usize,
    reposts: usize,
    notices: usize,
    reasons: Vec<String>,
}

fn seen(name: &str, bytes: &[u8]) -> Result<Seen, PostsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut seen = Seen {
        scanned: Scanned::default(),
        with_author: 0,
        with_text: 0,
        replies: 0,
        reposts: 0,
        notices: 0,
        reasons: Vec::new(),
    };
    let options = ReadOptions { embedded: true, ..ReadOptions::default() };
    seen.scanned = scan(&path, &options, &AtomicU64::new(0), &mut |item| {
        match item {
            Item::Post(post) => {
                seen.with_author += usize::from(!post.author.is_empty());
                seen.with_text += usize::from(!post.text.is_empty());
                seen.replies += usize::from(post.in_reply_to.is_some());
                seen.reposts += usize::from(post.repost);
            }
            Item::Notice(_) => seen.notices += 1,
            Item::Rejected(rejected) => seen.reasons.push(rejected.reason.to_string()),
        }
        Ok(())
    })?;
    Ok(seen)
}

/// Bodies of the responses in a cassette: single-quoted folded YAML scalars, or base64 of gzip.
fn bodies(cassette: &str) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut lines = cassette.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(start) = line.trim_start().strip_prefix("string: ") else { continue };
        if start.starts_with("!!binary") {
            let mut packed = String::new();
            while lines.peek().is_some_and(|line| line.starts_with("        ")) {
                packed.push_str(lines.next().unwrap().trim());
            }
            let packed = base64(&packed);
            let mut body = Vec::new();
            // Some bodies are not compressed.
            match flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut body) {
                Ok(_) => bodies.push(body),
                Err(_) => bodies.push(packed),
            }
        } else if let Some(quoted) = start.strip_prefix('\'') {
            let mut text = quoted.to_string();
            while !text.replace("''", "").ends_with('\'') {
                let Some(line) = lines.next() else { break };
                // Folded: a line end is a space, an empty line a line end.
                if line.trim().is_empty() {
                    text.push('\n');
                } else {
                    if !text.ends_with('\n') {
                        text.push(' ');
                    }
                    text.push_str(line.trim_start());
                }
            }
            bodies.push(text.trim_end_matches('\'').replace("''", "'").into_bytes());
        }
    }
    bodies
}

fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        word = word << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    bytes
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn mastodon_responses() {
    let files = unpacked("mastodon_py_cassettes.tar.gz");
    let (mut responses, mut statuses, mut replies, mut private) = (0, 0, 0, 0);
    for (name, bytes) in files.iter().filter(|(name, _)| name.contains("test_status")) {
        for body in bodies(&String::from_utf8_lossy(bytes)) {
            // A status has words and an account; other answers are lists of accounts, errors, ….
            let value: Result<serde_json::Value, _> = serde_json::from_slice(&body);
            let is_status = value.as_ref().is_ok_and(|value| {
                value.get("content").is_some() && value.get("account").is_some()
            });
            if !is_status {
                continue;
            }
            responses += 1;
            let visible = value.unwrap()["visibility"].as_str().unwrap_or("").to_string();
            match seen("status.json", &body) {
                Ok(seen) => {
                    assert_eq!(seen.scanned.posts, 1, "{name}");
                    assert_eq!(seen.with_author, 1, "{name}");
                    statuses += 1;
                    replies += seen.replies;
                }
                Err(error) => {
                    assert!(error.to_string().contains("not public"), "{name}: {error}");
                    assert!(visible == "private" || visible == "direct", "{name}: {visible}");
                    private += 1;
                }
            }
        }
    }
    println!("{responses} statuses: {statuses} public, {replies} replies, {private} not public");
    assert!(statuses > 50 && replies > 0 && private > 0);
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn x_responses_of_both_versions() {
    let files = unpacked("tweepy_v1.1_v2_cassettes.tar.gz");
    let (mut pages, mut posts, mut asides) = (0, 0, 0);
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".yaml")) {
        for body in bodies(&String::from_utf8_lossy(bytes)) {
            let Ok(value) = serde_json::from_slice::<serde_json::Value>(&body) else { continue };
            let data = value.get("data");
            let tweets = match data {
                Some(serde_json::Value::Array(all)) => {
                    all.iter().filter(|one| one.get("text").is_some()).count()
                }
                Some(one) => usize::from(one.get("text").is_some()),
                None => 0,
            };
            let Ok(seen) = seen("page.json", &body) else {
                assert_eq!(tweets, 0, "{name}");
                continue;
            };
            let included = value.pointer("/includes/tweets").and_then(|all| all.as_array());
            let included = included.map_or(0, Vec::len);
            assert_eq!(seen.scanned.posts as usize, tweets + included, "{name}");
            pages += usize::from(tweets > 0);
            posts += tweets;
            asides += seen.scanned.asides;
        }
    }
    println!("{pages} pages of version 2 with {posts} posts, {asides} asides");
    assert!(pages > 10 && posts > 50);
    let mut version_1 = 0;
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".json")) {
        let cassette: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        for interaction in cassette["interactions"].as_array().unwrap() {
            let body = &interaction["response"]["body"];
            let text = body["string"].as_str().or_else(|| body.as_str()).unwrap_or("");
            let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { continue };
            let held = value.as_array().or_else(|| value["statuses"].as_array());
            let tweets =
                held.map_or(0, |held| held.iter().filter(|one| one.get("text").is_some()).count());
            if tweets > 0 {
                let seen = seen("timeline.json", text.as_bytes()).unwrap();
                assert!(seen.scanned.posts as usize >= tweets, "{name}");
                assert_eq!(seen.with_author as u64, seen.scanned.posts, "{name}");
                version_1 += tweets;
            }
        }
    }
    println!("{version_1} posts of version 1.1");
    assert!(version_1 > 50);
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn lines_that_jetstream_served() {
    let files = unpacked("bluesky_jetstream_corpus.tar.gz");
    for name in [
        "internal/corpus/testdata/expected_v1.jsonl",
        "internal/subscribe/testdata/golden_v1.jsonl",
    ] {
        let bytes = &files[name];
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let (mut posts, mut deletes, mut accounts) = (0, 0, 0);
        for line in lines {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let commit = &value["commit"];
            let of_posts = commit["collection"] == "app.bsky.feed.post";
            posts += usize::from(of_posts && commit["operation"] != "delete");
            deletes += usize::from(of_posts && commit["operation"] == "delete");
            accounts += usize::from(value["kind"] == "account");
        }
        let Ok(seen) = seen("events.jsonl", bytes) else { panic!("{name}") };
        println!("{name}: {posts} posts, {deletes} deletions, {accounts} account events");
        assert_eq!((seen.scanned.posts as usize, seen.scanned.rejected), (posts, 0));
        assert_eq!(seen.with_author, posts);
        // An account that is active takes four kinds of notice back.
        assert_eq!(seen.notices, deletes + 4 * accounts);
    }
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn version_1_files_of_three_clients() {
    for (fixture, fewest) in [
        ("python-twitter_v1.1.tar.gz", 400),
        ("egg-mode_v1.1.tar.gz", 15),
        ("twitter-ruby_v1.1.tar.gz", 100),
        ("twitter-to-sqlite_archive.tar.gz", 1),
    ] {
        let files = unpacked(fixture);
        let (mut posts, mut replies, mut reposts, mut notices) = (0, 0, 0, 0);
        for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".json")) {
            let name = Path::new(name).file_name().unwrap().to_str().unwrap();
            // Many files hold users, lists and errors: those have no post, and say so.
            if let Ok(seen) = seen(name, bytes) {
                posts += seen.with_text;
                replies += seen.replies;
                reposts += seen.reposts;
                notices += seen.notices;
            }
        }
        println!(
            "{fixture}: {posts} posts, {replies} replies, {reposts} reposts, {notices} notices"
        );
        assert!(posts >= fewest, "{fixture}: {posts}");
    }
}
