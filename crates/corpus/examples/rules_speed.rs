//! How fast each rule stage is on one thread, in posts and bytes a second, and what near-duplicate
//! search takes of memory.
//!
//! `cargo run --release -p stoa-corpus --example rules_speed -- NEAR_POSTS [--write TEXTS] [FILE…]`
//!
//! Without files the posts are those of the sample square. Near-duplicate search takes NEAR_POSTS of them,
//! repeated with other words once they are used up, so that a larger public is imitated. `--write`
//! leaves the texts as JSON strings, one a line, for other programs. The last line is a JSON object;
//! `cargo xtask bench posts` compares it with other libraries, docs/posts-rules.md holds figures.

use serde_json::{Map, Value, json};
use std::io::{BufWriter, Write as _};
use std::time::Instant;
use stoa_corpus::ingest::{IngestOptions, Stage, ingest};
use stoa_posts::rules::{RulePost, profile};
use stoa_posts::{Durability, ReadOptions, identify, normalise, pii, read_all, twitter_text};
use stoa_square::{Square, SquareConfig};

/// Texts that the stages other than near-duplicate search are timed on.
const TIMED: usize = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut near_posts = 100_000;
    let mut write = None;
    let mut files = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--write" => write = arguments.next(),
            _ => match argument.parse() {
                Ok(count) => near_posts = count,
                Err(_) => files.push(argument),
            },
        }
    }
    let posts = match files.is_empty() {
        true => Square::generate(1, &SquareConfig::default())?.posts,
        false => read_all(&files, &ReadOptions::default())?.posts,
    };
    let texts: Vec<String> = posts.into_iter().map(|post| post.text).collect();
    if let Some(path) = write {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        for text in texts.iter().take(TIMED) {
            writeln!(file, "{}", serde_json::to_string(text)?)?;
        }
        file.flush()?;
    }
    let mut figures = stages(&texts[..texts.len().min(TIMED)])?;
    figures.insert("near".to_string(), near(&texts, near_posts)?);
    println!("{}", Value::Object(figures));
    Ok(())
}

/// Posts a second of each stage that looks at one post.
fn stages(texts: &[String]) -> Result<Map<String, Value>, Box<dyn std::error::Error>> {
    let bytes: usize = texts.iter().map(String::len).sum();
    let mut figures = Map::new();
    let mut time = |name: &str, call: &dyn Fn(&str) -> usize| {
        let started = Instant::now();
        let sum: usize = texts.iter().map(|text| call(text)).sum();
        let rate = texts.len() as f64 / started.elapsed().as_secs_f64();
        let megabytes = rate * bytes as f64 / texts.len() as f64 / 1e6;
        eprintln!("{name:<10} {rate:>10.0} posts/s {megabytes:>7.1} MB/s");
        figures.insert(
            name.to_string(),
            json!({"posts_per_second": rate, "megabytes_per_second": megabytes, "sum": sum}),
        );
    };
    time("normalise", &|text| normalise::normalise(text).len());
    time("mojibake", &|text| normalise::repair_mojibake(text).len());
    time("identify", &|text| usize::from(identify::identify(text).language == "en"));
    time("entities", &|text| twitter_text::entities(text).len());
    time("pii", &|text| pii::find(text).len());
    for name in ["posts", "gopher", "c4", "dialogpt"] {
        let rules = profile(name).ok_or("a profile of this name")?;
        time(name, &|text| {
            let post = RulePost::of_text(text);
            rules.iter().filter(|rule| !rule.judge(&post).keeps()).count()
        });
    }
    Ok(figures)
}

/// Finds copies and near-duplicates by an ingest of those two stages, on one thread.
fn near(texts: &[String], count: usize) -> Result<Value, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("posts.jsonl");
    let mut file = BufWriter::new(std::fs::File::create(&source)?);
    for index in 0..count {
        let (text, round) = (&texts[index % texts.len()], index / texts.len());
        let ending = match round {
            0 => String::new(),
            _ => format!(" {round} word{round} {}", round * 7919 % 1000),
        };
        let text = format!("{text}{ending}");
        writeln!(file, "{}", json!({"id": index.to_string(), "text": text, "created_at": index}))?;
    }
    file.flush()?;
    let mut options = IngestOptions::new(vec![source], &folder.path().join("store"));
    options.stages = vec![Stage::Exact, Stage::Near];
    options.durability = Durability::Unsynced;
    let started = Instant::now();
    let manifest = ingest(&options, &|_, _, _| {})?;
    let rate = count as f64 / started.elapsed().as_secs_f64();
    let dropped = |name: &str| -> u64 {
        let stage = manifest.stages.iter().find(|stage| stage.stage == name);
        stage.map_or(0, |stage| stage.dropped.values().sum())
    };
    let (exact, near) = (dropped("exact"), dropped("near"));
    eprintln!("near       {rate:>10.0} posts/s  {exact} copies, {near} near-duplicates");
    // The peak of the process, in Linux's own words.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kilobytes = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
    Ok(json!({
        "posts": count, "posts_per_second": rate, "exact": exact, "near": near,
        "peak_kilobytes": peak_kilobytes,
    }))
}
