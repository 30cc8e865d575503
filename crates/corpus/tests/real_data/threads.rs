//! Real files that nobody here wrote: threads, archives and tables, from posts to documents.
//!
//! The files are found by `STOA_TEST_DATA`. Only counts are looked at and printed, never names or words.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::test_data::test_data;
use stoa_corpus::{Corpus, Split, conversations};
use stoa_dialogue::Role;
use stoa_posts::{Consent, Intake, Post, ReadOptions, read_all};

fn intake(file: &str) -> Intake {
    read_all(&[test_data("posts-and-text").join(file)], &ReadOptions::default()).unwrap()
}

fn report(name: &str, intake: &Intake, corpus: &Corpus) {
    let held_out = corpus.documents.iter().filter(|d| d.split == Split::HeldOut).count();
    println!(
        "{name}: {} posts, rejected {:?}, dropped {}, {} threads, {held_out} held out, {} dialogues",
        intake.posts.len(),
        intake.rejected,
        corpus.dropped,
        corpus.conversations,
        corpus.dialogues.len(),
    );
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
    let intake = intake("conversations/rumoureval2017_train_dev_threads.jsonl.gz");
    let rejected: usize = intake.rejected.values().sum();
    assert_eq!(intake.posts.len() + rejected, 4519);
    assert!(rejected < 100, "{:?}", intake.rejected);
    let (threads, _) = conversations(intake.posts.clone());
    // All threads keep at least a post; the thread identifier of the file is that of its first post.
    assert_eq!(threads.len(), 297);
    assert!(threads.iter().map(|thread| thread.missing_parents).sum::<usize>() > 50);
    let depth = |thread: &stoa_corpus::Conversation| {
        let mut depths = Vec::new();
        for reply in &thread.replies {
            depths.push(reply.parent.map_or(0, |parent| 1 + depths[parent]));
        }
        depths.into_iter().max().unwrap_or(0)
    };
    assert!(threads.iter().map(depth).max().unwrap() >= 10);
    let corpus = Corpus::from_posts(intake.posts.clone()).unwrap();
    report("rumoureval", &intake, &corpus);
    check(&corpus);
    assert!(corpus.dialogues.len() > 1000);
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
        let intake = intake(file);
        let corpus = Corpus::from_posts(intake.posts.clone()).unwrap();
        report(file, &intake, &corpus);
        check(&corpus);
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
    check(&Corpus::from_posts(intake.posts).unwrap());
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
        let intake = intake(file);
        let rejected: usize = intake.rejected.values().sum();
        assert_eq!(intake.posts.len() + rejected, rows, "{file}");
        let times = intake.posts.iter().filter(|post| post.created_at_unix_seconds.is_some());
        let authors = |post: &&Post| !post.author.is_empty();
        println!(
            "{file}: {} times, {} authors",
            times.count(),
            intake.posts.iter().filter(authors).count()
        );
        let corpus = Corpus::from_posts(intake.posts.clone()).unwrap();
        report(file, &intake, &corpus);
        check(&corpus);
    }
    let intake = intake("text/tinyshakespeare.txt.gz");
    let corpus = Corpus::from_posts(intake.posts.clone()).unwrap();
    report("tinyshakespeare", &intake, &corpus);
    check(&corpus);
    let bytes: usize = corpus.documents.iter().map(|document| document.text.len()).sum();
    // The text has 1,115,394 bytes; blank lines and repeated paragraphs go.
    assert!((1_050_000..1_115_394).contains(&bytes), "{bytes}");
}
