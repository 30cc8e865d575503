//! Copies and near-duplicates of an ingest are those that comparing all posts finds, in any order and in
//! shards of any size.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use crate::source_folder::folder_with;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeMap;
use stoa_corpus::Store;
use stoa_corpus::ingest::{IngestOptions, Stage, ingest};
use stoa_corpus::near::{Features, MIN_WORDS, THRESHOLD, similarity, word_count};
use stoa_posts::{Durability, Values, normal_form, read_columns};
use stoa_random::Draws;

/// Identifier, author, time, text. Times differ, so that identifiers do not matter.
#[derive(Clone, Debug)]
struct Row {
    id: String,
    author: String,
    time: Option<i64>,
    text: String,
}

/// What repeats what: for an identifier the rule and the identifier of the kept post.
pub(crate) type Copies = BTreeMap<String, (&'static str, String)>;

fn found(rows: &[Row], shard_posts: usize) -> Copies {
    let line = |row: &Row| {
        let time = row.time.map(|time| 1_500_000_000 + time);
        let post = serde_json::json!({
            "id": row.id, "author": row.author, "created_at": time, "text": row.text, "lang": "en",
        });
        format!("{post}\n")
    };
    found_in(&rows.iter().map(line).collect::<String>(), Some(shard_posts))
}

/// What an ingest of lines of JSON finds, with as many posts a shard as stated.
pub(crate) fn found_in(posts: &str, shard_posts: Option<usize>) -> Copies {
    let folder = folder_with(&[("posts.jsonl", posts)]);
    let sources = vec![folder.path().join("posts.jsonl")];
    let mut options = IngestOptions::new(sources, &folder.path().join("out"));
    options.stages = vec![Stage::Exact, Stage::Near];
    options.shard_posts = shard_posts.unwrap_or(options.shard_posts);
    options.durability = Durability::Unsynced;
    ingest(&options, &|_, _, _| {}).unwrap();
    let store = Store::new(&options.out);
    let mut copies = Copies::new();
    for shard in store.shards().unwrap() {
        for rule in ["exact", "near"] {
            let columns = read_columns(&store.attribute(rule, &shard), &["id", "of"]).unwrap();
            let mut columns = columns.into_iter().map(|column| column.and_then(Values::into_texts));
            let ids = columns.next().flatten().unwrap().into_iter().flatten();
            // A shard without copies has no such column.
            let Some(of) = columns.next().flatten() else { continue };
            copies.extend(ids.zip(of).filter_map(|(id, of)| Some((id, (rule, of?)))));
        }
    }
    copies
}

/// The definition. Equal texts first: the earliest stays. Then, in the order of time, each of those
/// that stayed against every earlier kept one. What equals a near-duplicate repeats that one's kept post.
fn found_slowly(rows: &[Row]) -> Copies {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| rows[index].time.unwrap_or(i64::MAX));
    let normal: Vec<String> = rows.iter().map(|row| normal_form(&row.text)).collect();
    order.retain(|&index| !normal[index].is_empty());
    let short = |index: usize| word_count(&normal[index]) < MIN_WORDS;
    let mut single: Vec<usize> = Vec::new();
    let mut equal: Vec<(usize, usize)> = Vec::new();
    for index in order {
        let same = single.iter().find(|&&earlier| {
            let own = rows[earlier].author == rows[index].author;
            normal[earlier] == normal[index] && (!short(index) || own)
        });
        match same {
            Some(&of) => equal.push((index, of)),
            None => single.push(index),
        }
    }
    let features: Vec<Features> = normal.iter().map(|text| Features::of(text)).collect();
    let mut kept: Vec<usize> = Vec::new();
    let mut near: Vec<Option<usize>> = vec![None; rows.len()];
    for index in single {
        near[index] = kept.iter().copied().find(|&earlier| {
            let long = !short(index) && !short(earlier);
            long && similarity(&features[index], &features[earlier]) >= THRESHOLD
        });
        if near[index].is_none() {
            kept.push(index);
        }
    }
    let id = |index: usize| rows[index].id.clone();
    let exact = equal.iter().map(|&(post, of)| (id(post), ("exact", id(near[of].unwrap_or(of)))));
    let near = (0..rows.len()).filter_map(|index| Some((id(index), ("near", id(near[index]?)))));
    near.chain(exact).collect()
}

/// Posts that drift from one another word by word, so that chains of near-duplicates arise.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let word = prop::sample::select(vec![
        "harbour", "bridge", "market", "river", "old", "new", "the", "we", "love", "hate", "7",
        "8", "日本",
    ]);
    let base = prop::collection::vec(word.clone(), 1..14);
    let edits = prop::collection::vec((0..14_usize, word, 0..4_u8, any::<bool>()), 0..10);
    prop::collection::vec((base, edits), 4..12).prop_map(|families| {
        let mut rows: Vec<Row> = Vec::new();
        let mut push = |words: &[&str], author: u8, timed: bool| {
            let id = format!("id{}", rows.len());
            let time = timed.then_some(rows.len() as i64);
            let (author, text) = (format!("a{author}"), words.join(" "));
            rows.push(Row { id, author, time, text });
        };
        for (mut words, edits) in families {
            push(&words, 0, true);
            for (at, word, author, timed) in edits {
                let at = at % words.len();
                match author {
                    0 => words.push(word),
                    1 => words[at] = word,
                    _ => {}
                }
                push(&words, author, timed);
            }
        }
        // One post at most is without a time: they would be ordered by a hash of their identifiers.
        let untimed = rows.iter().position(|row| row.time.is_none());
        for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| Some(*index) != untimed)
        {
            row.time = Some(index as i64);
        }
        rows
    })
}

proptest! {
    // MinHash misses a pair at the threshold once in 14,000, so the draws are the same each time.
    #![proptest_config(ProptestConfig {
        cases: 10, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default()
    })]

    #[test]
    fn an_ingest_finds_what_comparing_all_finds(
        rows in rows(),
        shard_posts in 5..200_usize,
        seed in any::<u64>(),
    ) {
        let expected = found_slowly(&rows);
        let mut shuffled = rows;
        Draws::new(seed, "order").shuffle(&mut shuffled);
        prop_assert_eq!(found(&shuffled, shard_posts), expected);
    }
}
