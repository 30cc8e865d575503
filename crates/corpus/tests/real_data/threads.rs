//! Real files from other programs: threads, archives and tables, from posts to documents.
//!
//! The files are found by `STOA_TEST_DATA`. Only counts are looked at and printed, never names or words.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::test_data::test_data;
use std::path::PathBuf;
use stoa_corpus::ingest::{IngestOptions, Manifest, ingest};
use stoa_corpus::{Corpus, Store, conversations};
use stoa_dialogue::Role;
use stoa_posts::{Consent, Durability, ReadOptions, Split, read_all};

fn data(file: &str) -> PathBuf {
    test_data("posts-and-text").join(file)
}

/// Ingests a source and reads what came of it.
fn ingested(source: PathBuf) -> (Manifest, Corpus) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = IngestOptions::new(vec![source], &folder.path().join("out"));
    options.durability = Durability::Unsynced;
    options.threads = 2;
    let manifest = ingest(&options, &|_, _, _| {}).unwrap();
    let corpus = Corpus::of_store(&Store::new(&options.out)).unwrap();
    println!(
        "{}: {} posts, {} rejected, {} kept, {:?}",
        options.sources[0].display(),
        manifest.posts,
        manifest.rejected,
        manifest.kept,
        manifest.gathered
    );
    (manifest, corpus)
}

fn check(corpus: &Corpus) {
    for split in [Split::Train, Split::HeldOut] {
        assert!(corpus.documents.iter().any(|d| d.split == split && !d.text.is_empty()));
    }
    for document in &corpus.documents {
        assert!(!document.text.contains("://t.co/"), "a tracking link is left");
        assert!(!document.text.contains("&amp;"), "an escape is left");
        // Every handle is a placeholder.
        for (at, _) in document.text.match_indices('@') {
            let rest = &document.text[at + 1..];
            let named =
                rest.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
            let inside = document.text[..at].ends_with(char::is_alphanumeric);
            assert!(!named || inside || rest.starts_with("user"), "a handle is left");
        }
    }
    for dialogue in &corpus.dialogues {
        assert!((2..=10).contains(&dialogue.messages.len()));
        assert_eq!(dialogue.messages[0].role, Role::User);
        assert_eq!(dialogue.messages.last().unwrap().role, Role::Assistant);
    }
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn rumoureval_threads() {
    let source = data("conversations/rumoureval2017_train_dev_threads.jsonl.gz");
    let intake = read_all(&[&source], &ReadOptions::default()).unwrap();
    let rejected: usize = intake.rejected.values().sum();
    assert_eq!(intake.posts.len() + rejected, 4519);
    assert!(rejected < 100, "{:?}", intake.rejected);
    let threads = conversations(intake.posts);
    // All threads keep at least a post; the thread identifier of the file is that of its first post.
    assert_eq!(threads.len(), 297);
    let depth = |thread: &stoa_corpus::Conversation| {
        let mut depths = Vec::new();
        for reply in &thread.replies {
            depths.push(reply.parent.map_or(0, |parent| 1 + depths[parent]));
        }
        depths.into_iter().max().unwrap_or(0)
    };
    assert!(threads.iter().map(depth).max().unwrap() >= 10);
    let (manifest, corpus) = ingested(source);
    check(&corpus);
    assert!(corpus.dialogues.len() > 1000);
    let gathered = manifest.gathered.unwrap();
    assert!(gathered.missing_parents > 50, "{gathered:?}");
    let held_out = corpus.documents.iter().filter(|d| d.split == Split::HeldOut).count();
    assert!((5..40).contains(&held_out), "{held_out}");
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn small_archives_give_both_splits() {
    for file in [
        "fixtures/twitter-to-sqlite_archive.tar.gz",
        "fixtures/community-archive_x_archive_examples.tar.gz",
        "fixtures/python-twitter_v1.1.tar.gz",
        "fixtures/twitter-ruby_v1.1.tar.gz",
        "fixtures/egg-mode_v1.1.tar.gz",
    ] {
        check(&ingested(data(file)).1);
    }
}

/// The worked examples of an X archive's files, taken out of the page that shows them.
#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn archive_examples_of_the_documentation() {
    let archive = "fixtures/community-archive_x_archive_examples.tar.gz";
    let file = std::fs::File::open(test_data("posts-and-text").join(archive)).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut page = String::new();
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        if member.path().unwrap().ends_with("archive_data.md") {
            std::io::Read::read_to_string(&mut member, &mut page).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut written = 0;
    for block in page.split("```json\n").skip(1) {
        let code = block.split("```").next().unwrap().trim();
        let kind = code.strip_prefix("window.YTD.").unwrap().split('.').next().unwrap();
        let name = kind.replace('_', "-");
        let name = if name == "community-tweet" { "community-tweet" } else { name.as_str() };
        // The page leaves the bracket of one example open.
        let closed = if code.ends_with(']') { code.to_string() } else { format!("{code}\n]") };
        std::fs::write(folder.path().join(format!("{name}.js")), closed).unwrap();
        written += 1;
    }
    assert!(written >= 7, "{written}");
    let intake = read_all(&[folder.path()], &ReadOptions::default()).unwrap();
    // One post of tweets.js and one of community-tweet.js; likes, followers, profile stay closed.
    assert_eq!(intake.posts.len(), 2);
    assert!(intake.posts.iter().all(|post| post.consent == Consent::Unstated));
    check(&ingested(folder.path().to_path_buf()).1);
    // The open array is an error by itself, and what it holds is kept when that is asked for.
    let open = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let cut = folder.path().join("cut.js");
    std::fs::write(&cut, open).unwrap();
    assert!(read_all(&[&cut], &ReadOptions::default()).is_err());
    let options = ReadOptions { keep_truncated: true, ..ReadOptions::default() };
    assert_eq!(read_all(&[&cut], &options).unwrap().posts.len(), 1);
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn tables_lines_and_books() {
    for (file, rows) in [
        ("political/fr_presidential_debate_2017-03-20.csv.gz", 345),
        ("political/us_congress_2017-06-21_raw.jsonl.gz", 2728),
        ("political/us_congress_2017_h2_raw.jsonl.gz", 4393),
        ("multilingual/umsab_tweets_8_languages.jsonl.gz", 14712),
    ] {
        let (manifest, corpus) = ingested(data(file));
        assert_eq!(manifest.posts + manifest.rejected, rows, "{file}");
        check(&corpus);
    }
    let (_, corpus) = ingested(data("text/tinyshakespeare.txt.gz"));
    check(&corpus);
    let bytes: usize = corpus.documents.iter().map(|document| document.text.len()).sum();
    // The text has 1,115,394 bytes; blank lines and repeated paragraphs go.
    assert!((1_050_000..1_115_394).contains(&bytes), "{bytes}");
}
