//! Any number of made-up posts as JSON lines on standard output, in constant memory: for measuring.
//!
//! `cargo run --release -p stoa-posts --example many_posts -- COUNT [SEED] [TIMES]`
//!
//! Of a hundred posts forty answer one of the last thousand, three repeat one word for word and three with
//! one word changed, ten end in a link; two in a thousand are deleted by a notice that follows. Words are
//! drawn from 50,000 by Zipf's law, 6 to 28 a post (TIMES as many), the commonest being English; authors are
//! one in fifty posts. Same seed, same bytes.

use std::error::Error;
use std::io::{BufWriter, Write};

/// Words there are.
const WORDS: u64 = 50_000;
/// Posts that later ones may answer or repeat.
const RECENT: u64 = 1000;
/// Two-letter pieces that words are made of.
const PIECES: [&str; 32] = [
    "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "qui", "ro", "su",
    "ta", "ve", "wi", "xo", "yu", "za", "bre", "cli", "dro", "flu", "gra", "ple", "stri", "tho",
    "cha", "she", "wen",
];

/// The commonest words.
const COMMON: [&str; 8] = ["the", "of", "to", "and", "that", "with", "have", "be"];

/// SplitMix64 (Steele, Lea, Flood 2014): the next number of a stream.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The stream of a post.
fn stream(seed: u64, post: u64) -> u64 {
    let mut state = seed ^ post.wrapping_mul(0xd1b5_4a32_d192_ed03);
    next(&mut state)
}

fn push_word(text: &mut String, state: &mut u64) {
    // Zipf's law by inversion: the rank of a uniform draw is exponential in it.
    let draw = (next(state) >> 11) as f64 / (1_u64 << 53) as f64;
    let mut rank = ((WORDS as f64).powf(draw) - 1.0) as u64 % WORDS;
    if !text.is_empty() {
        text.push(' ');
    }
    if let Some(word) = COMMON.get(rank as usize) {
        return text.push_str(word);
    }
    loop {
        text.push_str(PIECES[(rank % 32) as usize]);
        rank /= 32;
        if rank == 0 {
            return;
        }
    }
}

/// The words of a post that repeats nothing.
fn words(seed: u64, post: u64, times: u64, text: &mut String) {
    let mut state = stream(seed ^ 1, post);
    let count = times * (6 + next(&mut state) % 23);
    text.clear();
    for _ in 0..count {
        push_word(text, &mut state);
    }
    if next(&mut state).is_multiple_of(10) {
        text.push_str(&format!(" https://example.org/{post}"));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().ok_or("usage: many_posts COUNT [SEED] [TIMES]")?.parse()?;
    let seed: u64 = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let times: u64 = arguments.next().map_or(Ok(1), |times| times.parse())?;
    let authors = (count / 50).max(10);
    let mut text = String::new();
    for post in 0..count {
        let mut state = stream(seed, post);
        let kind = next(&mut state) % 100;
        let earlier = post.checked_sub(1 + next(&mut state) % RECENT.min(post.max(1)));
        match (kind, earlier) {
            (0..3, Some(earlier)) => words(seed, earlier, times, &mut text),
            (3..6, Some(earlier)) => {
                words(seed, earlier, times, &mut text);
                push_word(&mut text, &mut state);
            }
            _ => words(seed, post, times, &mut text),
        }
        let author = next(&mut state) % authors;
        let created = 1_500_000_000 + post / 4;
        write!(out, "{{\"id\":\"{post}\",\"author\":\"u{author}\",\"created_at\":{created},")?;
        if let (6..46, Some(earlier)) = (kind, earlier) {
            write!(out, "\"in_reply_to\":\"{earlier}\",")?;
        }
        writeln!(out, "\"text\":\"{text}\"}}")?;
        if next(&mut state).is_multiple_of(500) {
            writeln!(out, "{{\"delete\":{{\"status\":{{\"id_str\":\"{post}\"}}}}}}")?;
        }
    }
    out.flush()?;
    Ok(())
}
