//! Languages through an ingest, on labelled texts: the figures that docs/posts-rules.md publishes.
//!
//! The files are found by `STOA_TEST_DATA`. Only counts are looked at and printed.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::test_data::test_data;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use stoa_corpus::Store;
use stoa_corpus::ingest::{IngestOptions, Stage, ingest};
use stoa_posts::identify::identify;
use stoa_posts::{Durability, LanguageSource, Post, read_columns, read_posts};

/// What whatlang or whichlang can know; of other languages only `und` is right.
const KNOWN: &str = "af ar az be bg bn ca cs cy da de el en eo es et fa fi fr gu he hi hr hu hy id it ja \
    ka ko la lt lv mk mr nb nl pa pl pt ro ru sk sl sn sr sv ta te th tl tr uk ur vi zh zu";

/// English names of languages in a data set. Hindi there is in Latin letters, which no tag of a
/// classifier stands for.
const NAMES: [(&str, &str); 8] = [
    ("arabic", "ar"),
    ("english", "en"),
    ("french", "fr"),
    ("german", "de"),
    ("hindi", "hi-Latn"),
    ("italian", "it"),
    ("portuguese", "pt"),
    ("spanish", "es"),
];

/// The posts that an ingest of a labelled file passes through its gates, each with its label, which the
/// ingest does not see.
fn ingested(file: &str, folder: &Path) -> Vec<(String, Post)> {
    let lines = std::fs::File::open(test_data("posts-and-text").join(file)).unwrap();
    let mut labels = Vec::new();
    let mut source = std::fs::File::create(folder.join("posts.jsonl")).unwrap();
    for line in BufReader::new(flate2::read::GzDecoder::new(lines)).lines() {
        let row: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id = labels.len().to_string();
        writeln!(source, "{}", serde_json::json!({"id": id, "text": row["text"]})).unwrap();
        let label = row["lang"].as_str().unwrap();
        let named = NAMES.iter().find(|(name, _)| *name == label);
        labels.push(named.map_or(label, |(_, tag)| tag).to_string());
    }
    let mut options = IngestOptions::new(vec![folder.join("posts.jsonl")], &folder.join("out"));
    options.stages = vec![Stage::Language, Stage::Threads];
    options.threads = 2;
    options.durability = Durability::Unsynced;
    ingest(&options, &|_, _, _| {}).unwrap();
    let store = Store::new(&options.out);
    let mut posts = Vec::new();
    for shard in store.shards().unwrap() {
        let asked = read_columns(&store.attribute("language", &shard), &["kept"]).unwrap();
        let asked = asked.into_iter().next().flatten().unwrap().into_flags().unwrap();
        let rows = read_posts(&store.posts(&shard)).unwrap().into_iter().zip(asked);
        posts.extend(rows.filter(|(_, asked)| asked.is_some()).map(|(post, _)| post));
    }
    // What the gates drop are posts that begin with `RT @`.
    assert!(posts.len() * 100 > labels.len() * 90, "{} of {}", posts.len(), labels.len());
    documents_say_the_same(&options.out, &posts);
    posts
        .into_iter()
        .map(|post| (labels[post.id.parse::<usize>().unwrap()].clone(), post))
        .collect()
}

/// Each post here is a thread, so its document has its language, and nothing is stated.
fn documents_say_the_same(out: &Path, posts: &[Post]) {
    let by_id: HashMap<&str, &Post> = posts.iter().map(|post| (post.id.as_str(), post)).collect();
    let mut documents = 0;
    for entry in std::fs::read_dir(out.join("documents")).unwrap() {
        for line in std::fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            let document: serde_json::Value = serde_json::from_str(line).unwrap();
            let post = by_id[document["posts"][0].as_str().unwrap()];
            assert_ne!(post.language_source, LanguageSource::Stated);
            assert_eq!(document["language"], post.language.code());
            assert_eq!(document["language_source"], post.language_source.name());
            documents += 1;
        }
    }
    assert_eq!(documents, posts.len());
}

/// Texts, answers, right answers.
type Counts = [u64; 3];

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of as f64
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn languages_by_length_are_as_published() {
    let known: Vec<&str> = KNOWN.split_whitespace().collect();
    let mut table: BTreeMap<(&str, usize), Counts> = BTreeMap::new();
    let mut unknown = [0_u64; 2];
    for (set, file) in [
        ("lingua", "multilingual/lingua_lid_testset.jsonl.gz"),
        ("posts", "multilingual/umsab_tweets_8_languages.jsonl.gz"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for (label, post) in ingested(file, folder.path()) {
            let found = post.language.code();
            let answered = post.language_source == LanguageSource::Identified;
            assert_eq!(answered, found != "und");
            if !known.contains(&label.as_str()) {
                unknown[0] += 1;
                unknown[1] += u64::from(!answered);
                continue;
            }
            let length = match identify(&post.text).letters {
                0..10 => 0,
                10..20 => 1,
                20..40 => 2,
                40..80 => 3,
                _ => 4,
            };
            for (cell, counts) in table.entry((set, length)).or_default().iter_mut().zip([
                true,
                answered,
                found == label,
            ]) {
                *cell += u64::from(counts);
            }
        }
    }
    let mut published = Vec::new();
    for (length, name) in ["0-9", "10-19", "20-39", "40-79", "80 and more"].into_iter().enumerate()
    {
        let [lingua, posts] = ["lingua", "posts"].map(|set| table[&(set, length)]);
        let shares = |[all, answered, right]: Counts| {
            format!("{:.0} % | {:.1} %", percent(answered, all), percent(right, answered))
        };
        published.push(format!("| {name} | {} | {} |", shares(lingua), shares(posts)));
    }
    let texts = |set| table.range((set, 0)..=(set, 4)).map(|(_, counts)| counts[0]).sum::<u64>();
    published.push(format!("lingua: {} words", texts("lingua")));
    published.push(format!("posts: {}.)", texts("posts")));
    published.push(format!("{} texts in languages", unknown[0]));
    published.push(format!("{} are `und`", unknown[1]));
    println!("{}", published.join("\n"));
    // Lines of the page may break anywhere between words, and thousands are written with commas.
    let page = include_str!("../../../../docs/posts-rules.md");
    let page: Vec<&str> = page.split_whitespace().collect();
    let page = page.join(" ").replace(',', "");
    for figure in published {
        assert!(page.contains(&figure), "the page does not say: {figure}");
    }
}
