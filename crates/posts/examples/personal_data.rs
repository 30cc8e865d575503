//! Precision and recall of the masking of personal data, by script and kind, on generated sentences.
//!
//! `cargo run --release -p stoa-posts --example personal_data -- [development|held-out] [--wrong]`
//!
//! Rules are written with the sentences of `development` alone. `--wrong` lists what did not come out
//! right. docs/posts-rules.md holds the figures.

#[path = "../tests/personal_data/bench/mod.rs"]
mod bench;

use bench::score::{scores, tables};
use bench::{Half, examples, masked};

/// The seed of the published figures.
const SEED: u64 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |half: &Half| arguments.iter().any(|argument| argument == half.name());
    let half = Half::ALL.into_iter().find(named).unwrap_or(Half::Development);
    let scores = scores(&examples(SEED, half), masked);
    if arguments.iter().any(|argument| argument == "--wrong") {
        for (example, masked) in &scores.wrong {
            println!("{:?}\t{}\t{masked}", example.script, example.text);
        }
    }
    println!("{}", tables(&scores));
}
