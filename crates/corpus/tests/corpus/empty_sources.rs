//! Sources of which nothing is read: what was remarked on them reaches the manifest, or the error.

use crate::source_folder::folder_with;
use std::path::Path;
use stoa_corpus::ingest::{IngestOptions, ingest};
use stoa_posts::Durability;

fn options(folder: &Path, files: &[&str], out: &str) -> IngestOptions {
    let sources = files.iter().map(|file| folder.join(file)).collect();
    let mut options = IngestOptions::new(sources, &folder.join(out));
    options.durability = Durability::Unsynced;
    options
}

const LIKES: &str = r#"{"likes": [{"tweetId": "1"}, {"tweetId": "2"}], "account": {"id": "7"}}"#;

/// One object that is walked through: nothing in it is a post.
fn without_posts() -> String {
    LIKES.replacen('{', &format!("{{\"padding\": \"{}\", ", "x".repeat(9 << 20)), 1)
}

#[test]
fn remarks_on_sources_without_posts_reach_the_manifest() {
    // Every record rejected: one with what was read in another way, one with what was left in it.
    let empty = "{\"id\": \"1\", \"text\": NaN}\n";
    let likes = without_posts();
    let posts = "{\"id\": \"9\", \"author\": \"ann\", \"text\": \"The ferry leaves at noon.\"}\n";
    let files = [("empty.jsonl", empty), ("likes.json", likes.as_str()), ("posts.jsonl", posts)];
    let folder = folder_with(&files);
    let together = options(folder.path(), &["empty.jsonl", "likes.json", "posts.jsonl"], "out");
    let manifest = ingest(&together, &|_, _, _| {}).unwrap();
    let nan = "NaN and Infinity in JSON, read as null";
    let unread = "elements of arrays of large objects left unread: likes";
    assert_eq!((manifest.posts, manifest.rejected), (1, 2));
    assert_eq!((manifest.remarks.count(nan), manifest.remarks.count(unread)), (1, 2));
    // Where there is nothing else, the error names them.
    for (files, words) in [
        (&["empty.jsonl"][..], &[nan][..]),
        (&["likes.json"], &[unread, "none of them a usable post"]),
        (&["empty.jsonl", "likes.json"], &[nan, unread, "note 2: "]),
    ] {
        let error = ingest(&options(folder.path(), files, "none"), &|_, _, _| {}).unwrap_err();
        let text = error.to_string();
        assert!(words.iter().all(|words| text.contains(words)), "{files:?}: {text}");
        std::fs::remove_dir_all(folder.path().join("none")).ok();
    }
}
