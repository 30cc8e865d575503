//! Copies in posts of a state's trolls, which are dense in them: no source is lost to deduplication.
//!
//! The file is found by `STOA_TEST_DATA`. Only counts are looked at and printed.

use crate::test_data::test_data;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use stoa_corpus::Store;
use stoa_corpus::ingest::{IngestOptions, Stage, ingest};
use stoa_posts::{Durability, Values, read_columns};

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn copies_do_not_collapse_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = test_data("posts-and-text/political/ira_trolls_sample.jsonl.gz");
    let file = flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap());
    let mut source = std::fs::File::create(folder.path().join("posts.jsonl")).unwrap();
    let mut classes = Vec::new();
    for line in BufReader::new(file).lines() {
        let row: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let post = serde_json::json!({
            "id": classes.len().to_string(), "author": row["author_id"], "text": row["content"],
        });
        writeln!(source, "{post}").unwrap();
        classes.push(row["account_category"].as_str().unwrap().to_string());
    }
    let sources = vec![folder.path().join("posts.jsonl")];
    let mut options = IngestOptions::new(sources, &folder.path().join("out"));
    options.stages = vec![Stage::Exact, Stage::Near];
    options.threads = 2;
    options.durability = Durability::Unsynced;
    ingest(&options, &|_, _, _| {}).unwrap();
    let store = Store::new(&options.out);
    let mut copies = HashMap::new();
    for (shard, rule) in
        store.shards().unwrap().iter().flat_map(|shard| ["exact", "near"].map(|rule| (shard, rule)))
    {
        let columns = read_columns(&store.attribute(rule, shard), &["id", "of"]).unwrap();
        let mut columns = columns.into_iter().flatten().filter_map(Values::into_texts);
        let (ids, of) = (columns.next().unwrap(), columns.next().unwrap_or_default());
        let pairs = ids.into_iter().flatten().zip(of);
        copies.extend(pairs.filter_map(|(id, of)| Some((id, of?))));
    }
    // A copy's original is kept: nothing is dropped through a chain.
    let originals: HashSet<&String> = copies.values().collect();
    assert!(originals.iter().all(|id| !copies.contains_key(*id)));
    let mut clusters: HashMap<&String, usize> = HashMap::new();
    copies.values().for_each(|of| *clusters.entry(of).or_insert(1) += 1);
    let largest = clusters.values().max().unwrap();
    println!("{} copies, largest cluster {largest}", copies.len());
    assert!((2_000..4_000).contains(&copies.len()) && *largest < 100);
    let mut table: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (id, class) in classes.iter().enumerate() {
        let counts = table.entry(class).or_default();
        counts[0] += 1;
        counts[1] += usize::from(copies.contains_key(&id.to_string()));
    }
    for (class, [posts, lost]) in table {
        let survive = 1.0 - lost as f64 / posts as f64;
        println!("{class}: {:.1} % of {posts} survive", 100.0 * survive);
        assert!(survive > 0.5, "{class}");
    }
}
