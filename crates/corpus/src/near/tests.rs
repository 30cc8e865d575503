//! Against the slow definition, in any order, under little memory; on the square; on real copies.

use super::*;
use crate::{Verdict, verdicts};
use proptest::prelude::*;
use stoa_square::{Square, SquareConfig};

/// (identifier, author, time, text).
type Row = (String, String, Option<i64>, String);

fn find(rows: &[Row], config: NearConfig) -> (Vec<Copied>, NearCounts) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut finder = NearDuplicates::new(folder.path(), config);
    for (id, author, created_at_unix_seconds, text) in rows {
        let created_at_unix_seconds = *created_at_unix_seconds;
        finder.push(NearPost { id, author, created_at_unix_seconds, text }).expect("space");
    }
    let copies = finder.finish().expect("space");
    let counts = copies.counts();
    let found = copies.map(|copied| copied.expect("readable")).collect();
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    (found, counts)
}

/// The definition. Equal texts first: the earliest stays. Then, in the order of time, each of those
/// that stayed against every earlier kept one. What equals a near-copy repeats the near-copy's keeper.
fn find_slowly(rows: &[Row], config: NearConfig) -> Vec<Copied> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let hash = |index: usize| xxh3_128(rows[index].0.as_bytes());
    order.sort_by_key(|&index| (rows[index].2.unwrap_or(i64::MAX), hash(index)));
    let normal: Vec<String> = rows.iter().map(|row| normal_form(&row.3)).collect();
    order.retain(|&index| !normal[index].is_empty());
    let short = |index: usize| spoken_words(&normal[index]) < config.fewest_words;
    let mut single: Vec<usize> = Vec::new();
    let mut equal: Vec<(usize, usize)> = Vec::new();
    for index in order {
        let same = single.iter().find(|&&earlier| {
            normal[earlier] == normal[index] && (!short(index) || rows[earlier].1 == rows[index].1)
        });
        match same {
            Some(&of) => equal.push((index, of)),
            None => single.push(index),
        }
    }
    let features: Vec<Features> = normal.iter().map(|text| Features::of(text)).collect();
    let mut kept: Vec<usize> = Vec::new();
    let mut near = vec![None; rows.len()];
    for index in single {
        let full = |earlier: usize| {
            near.iter().filter(|of| **of == Some(earlier)).count() >= config.cluster_cap
        };
        near[index] = kept.iter().copied().find(|&earlier| {
            !short(index)
                && !short(earlier)
                && !full(earlier)
                && similarity(&features[index], &features[earlier]) >= config.threshold
        });
        if near[index].is_none() {
            kept.push(index);
        }
    }
    let copied = |post: usize, of: usize, kind| Copied { post: post as u64, of: of as u64, kind };
    let mut copies: Vec<Copied> = (0..rows.len())
        .filter_map(|index| Some(copied(index, near[index]?, CopyKind::Near)))
        .chain(
            equal.iter().map(|&(post, of)| copied(post, near[of].unwrap_or(of), CopyKind::Exact)),
        )
        .collect();
    copies.sort();
    copies
}

/// Posts that drift from one another word by word, so that chains of near-copies arise.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let word = prop::sample::select(vec![
        "harbour", "bridge", "market", "river", "old", "new", "the", "we", "love", "hate", "7",
        "8", "日本",
    ]);
    let base = prop::collection::vec(word.clone(), 1..14);
    let edits = prop::collection::vec((0..14_usize, word, 0..4_u8, 0..3_i64), 0..8);
    prop::collection::vec((base, edits), 1..6).prop_map(|families| {
        let mut rows = Vec::new();
        for (mut words, edits) in families {
            let push = |rows: &mut Vec<Row>, words: &[&str], author: u8, time: i64| {
                let id = format!("id{}", rows.len());
                let time = (time > 0).then_some(time);
                rows.push((id, format!("a{author}"), time, words.join(" ")));
            };
            push(&mut rows, &words, 0, 1);
            for (at, word, author, time) in edits {
                let at = at % words.len();
                match author {
                    0 => words.push(word),
                    1 => words[at] = word,
                    _ => {}
                }
                push(&mut rows, &words, author, time);
            }
        }
        rows
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn finds_what_comparing_all_finds(rows in rows(), cap in 1..4_usize, memory in prop::sample::select(vec![64_usize, 2000, 1 << 20])) {
        let config = NearConfig { memory_bytes: memory, cluster_cap: cap, ..NearConfig::default() };
        let (found, counts) = find(&rows, config);
        prop_assert_eq!(&found, &find_slowly(&rows, config));
        prop_assert_eq!(counts.exact + counts.near, found.len() as u64);
        prop_assert_eq!(counts.posts, rows.len() as u64);
    }

    #[test]
    fn the_order_of_arrival_changes_nothing(rows in rows(), seed in 0..u64::MAX) {
        let config = NearConfig { memory_bytes: 500, ..NearConfig::default() };
        let named = |rows: &[Row]| {
            let (found, counts) = find(rows, config);
            let id = |ordinal: u64| rows[ordinal as usize].0.clone();
            let mut named: Vec<_> =
                found.into_iter().map(|copied| (id(copied.post), id(copied.of), copied.kind)).collect();
            named.sort();
            (named, counts)
        };
        let mut shuffled = rows.clone();
        stoa_random::Draws::new(seed, "order").shuffle(&mut shuffled);
        prop_assert_eq!(named(&rows), named(&shuffled));
    }

    #[test]
    fn no_text_panics(texts in prop::collection::vec("\\PC{0,40}|[a-c 1日]{0,60}", 0..12)) {
        let rows: Vec<Row> = texts.into_iter().enumerate()
            .map(|(index, text)| (index.to_string(), String::new(), None, text)).collect();
        let (found, _) = find(&rows, NearConfig::default());
        for copied in found {
            prop_assert_ne!(copied.post, copied.of);
        }
    }
}

#[test]
fn the_square_by_its_truth() {
    for seed in [1, 2] {
        let square = Square::generate(seed, &SquareConfig::default()).expect("a square");
        // Deduplication comes after tombstones, consent and template spam.
        let verdicts = verdicts(&square.posts);
        let judged: Vec<usize> = (0..square.posts.len())
            .filter(|&index| {
                !matches!(verdicts[index], Verdict::Deleted | Verdict::Refused | Verdict::Spam)
            })
            .collect();
        let rows: Vec<Row> = judged
            .iter()
            .map(|&index| {
                let post = &square.posts[index];
                let time = post.created_at_unix_seconds;
                (post.id.clone(), post.author.clone(), time, post.text.clone())
            })
            .collect();
        let (found, counts) = find(&rows, NearConfig::default());
        let original = |index: usize| square.truth[index].duplicate_of.unwrap_or(index);
        let text = |index: usize| normal_form(&square.posts[index].text);
        let mut right = 0;
        let mut repeated_by_chance = 0;
        for copied in &found {
            let (post, of) = (judged[copied.post as usize], judged[copied.of as usize]);
            if original(post) == original(of) {
                right += 1;
            } else if text(post) == text(of) {
                // The square says some sentences twice of its own accord; equal words are equal words.
                repeated_by_chance += 1;
            }
        }
        let present: std::collections::HashSet<usize> = judged.iter().copied().collect();
        let copies: Vec<usize> = judged
            .iter()
            .copied()
            .filter(|&index| {
                square.truth[index].duplicate_of.is_some_and(|of| present.contains(&of))
            })
            .collect();
        let dropped: std::collections::HashSet<usize> =
            found.iter().map(|copied| judged[copied.post as usize]).collect();
        let caught = copies.iter().filter(|index| dropped.contains(index)).count();
        let precision = right as f64 / (found.len() - repeated_by_chance) as f64;
        let recall = caught as f64 / copies.len() as f64;
        println!(
            "square {seed}: {} posts, precision {precision:.4}, recall {recall:.4} of {}, \
             {repeated_by_chance} equal by chance, largest cluster {}",
            rows.len(),
            copies.len(),
            counts.largest_cluster
        );
        for copied in found
            .iter()
            .filter(|copied| {
                let (post, of) = (judged[copied.post as usize], judged[copied.of as usize]);
                original(post) != original(of) && text(post) != text(of)
            })
            .take(5)
        {
            println!(
                "  not a copy: {} | {}",
                rows[copied.post as usize].3, rows[copied.of as usize].3
            );
        }
        assert!(precision >= 0.99 && recall >= 0.95, "{precision} {recall}");
    }
}
