//! How fast each rule stage is on one thread, in posts and bytes a second, and what near-duplicate
//! search takes of memory: `cargo run --release -p stoa-posts --example rules_speed -- POSTS [FILE.jsonl.gz]`.
//!
//! Without a file the posts are those of the sample square, each repeated with another number, so that
//! every one is different. Figures are in docs/posts-rules.md.

use std::time::Instant;
use stoa_posts::near::{NearConfig, NearDuplicates, NearPost};
use stoa_posts::rules::{RulePost, profile};
use stoa_posts::{
    ReadOptions, Square, SquareConfig, identify, normalise, pii, read_all, twitter_text,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(Ok(100_000), |count| count.parse())?;
    let texts: Vec<String> = match arguments.next() {
        Some(file) => {
            let posts = read_all(&[file], &ReadOptions::default())?.posts;
            posts.into_iter().map(|post| post.text).take(count).collect()
        }
        None => Square::generate(1, &SquareConfig::default())?
            .posts
            .into_iter()
            .map(|post| post.text)
            .collect(),
    };
    let sample: Vec<&str> =
        texts.iter().map(String::as_str).cycle().take(count.min(100_000)).collect();
    let bytes: usize = sample.iter().map(|text| text.len()).sum();
    let time = |name: &str, call: &dyn Fn(&str) -> usize| {
        let started = Instant::now();
        let sum: usize = sample.iter().map(|text| call(text)).sum();
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{name:<12} {:>10.0} posts/s {:>7.1} MB/s   ({sum})",
            sample.len() as f64 / seconds,
            bytes as f64 / 1e6 / seconds
        );
    };
    time("normalise", &|text| normalise::normalise(text).len());
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
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let mut finder = NearDuplicates::new(folder.path(), NearConfig::default());
    let mut text = String::new();
    let mut near_bytes = 0;
    for index in 0..count {
        text.clear();
        text.push_str(&texts[index % texts.len()]);
        if index >= texts.len() {
            // Words of their own make posts different, as a larger public would.
            let round = index / texts.len();
            text.push_str(&format!(" {round} word{round} {}", round * 7919 % 1000));
        }
        near_bytes += text.len();
        let id = index.to_string();
        let created = Some(index as i64);
        finder.push(NearPost {
            id: &id,
            author: "",
            created_at_unix_seconds: created,
            text: &text,
        })?;
    }
    let counts = finder.finish()?.counts();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "near         {:>10.0} posts/s {:>7.1} MB/s   {counts:?}",
        count as f64 / seconds,
        near_bytes as f64 / 1e6 / seconds
    );
    if let Ok(status) = std::fs::read_to_string("/proc/self/status")
        && let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM"))
    {
        println!("{peak}");
    }
    Ok(())
}
