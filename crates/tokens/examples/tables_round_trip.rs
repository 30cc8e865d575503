//! Published tokenizers as tables of GGUF files and back: ids of random strings, and of lines of a file,
//! before and after. One line for each tokenizer; fails where ids differ and no note says so.
//!
//!   cargo run --release -p stoa-tokens --example tables_round_trip -- [--texts LINES] TOKENIZER…

use std::process::ExitCode;

use stoa_random::Draws;
use stoa_tokens::{Tokenizer, WrittenTables};

/// Random strings.
const STRINGS: u64 = 20_000;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut texts: Vec<String> = (0..STRINGS).map(string).collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--texts") {
        let given: Vec<String> = arguments.drain(at..at + 2).collect();
        match std::fs::read_to_string(&given[1]) {
            Ok(lines) => texts.extend(lines.lines().map(str::to_owned)),
            Err(error) => {
                eprintln!("{}: {error}", given[1]);
                return ExitCode::FAILURE;
            }
        }
    }
    let mut failed = false;
    for path in &arguments {
        match round_trip(path, &texts) {
            Ok(line) => println!("{path}: {line}"),
            Err(line) => {
                failed = true;
                println!("{path}: FAILED: {line}");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What came of one tokenizer.
fn round_trip(path: &str, texts: &[String]) -> Result<String, String> {
    let tokenizer = match Tokenizer::open(path.as_ref()) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return Ok(format!("not read: {error}")),
    };
    let WrittenTables { tables, notes } = match tokenizer.to_tables(tokenizer.vocab_size()) {
        Ok(written) => written,
        Err(error) => return Ok(format!("refused: {error}")),
    };
    let again = Tokenizer::from_tables(&tables).map_err(|error| error.to_string())?;
    let differs = |text: &&String| tokenizer.encode_document(text) != again.encode_document(text);
    let apart: Vec<&String> = texts.iter().filter(differs).collect();
    let said = format!(
        "{}, pre {}; {} of {} texts get other ids; notes: {}",
        tables.model,
        tables.pre.as_deref().unwrap_or("none"),
        apart.len(),
        texts.len(),
        if notes.is_empty() { "none".to_owned() } else { notes.join("; ") }
    );
    match apart.first() {
        Some(first) if notes.is_empty() => Err(format!("{said}; the first is {first:?}")),
        _ => Ok(said),
    }
}

/// A random string: words, numbers, spaces and any characters.
fn string(at: u64) -> String {
    let mut draws = Draws::numbered(7, at);
    let mut text = String::new();
    for _ in 0..draws.below(24) {
        let kind = draws.below(8);
        text.push(match kind {
            0..4 => char::from(b'a' + draws.below(26) as u8),
            4 => *draws.pick(&[' ', ' ', '\n', '\t', '\u{2581}', '\'']),
            5 => char::from(b'0' + draws.below(10) as u8),
            6 => char::from_u32(draws.below(0x3000) as u32).unwrap_or(' '),
            _ => char::from_u32(draws.below(0x11_0000) as u32).unwrap_or('\u{fffd}'),
        });
        if kind == 3 {
            text.push_str("the ");
        }
    }
    text
}
