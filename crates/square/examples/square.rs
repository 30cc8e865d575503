//! Writes the sample square of a seed as JSON lines, and prints its sizes.
//!
//! `cargo run --release -p stoa-square --example square -- SEED FOLDER` leaves `documents.jsonl`,
//! `dialogues.jsonl`, `exam.jsonl` and `posts.jsonl` in FOLDER.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use serde::Serialize;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::Path;
use stoa_corpus::Split;
use stoa_square::{Square, SquareConfig, exam, majority_baseline};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, folder] = arguments.as_slice() else {
        return Err("usage: square SEED FOLDER".into());
    };
    let square = Square::generate(seed.parse()?, &SquareConfig::default())?;
    let corpus = square.corpus()?;
    let training_text = corpus.training_text();
    let lines: BTreeSet<&str> = training_text.lines().collect();
    let questions = exam(&square, 1, usize::MAX, |question| lines.contains(question));
    let folder = Path::new(folder);
    create_dir_all(folder)?;
    write(&folder.join("posts.jsonl"), &square.posts)?;
    write(&folder.join("documents.jsonl"), &corpus.documents)?;
    write(&folder.join("dialogues.jsonl"), &corpus.dialogues)?;
    write(&folder.join("exam.jsonl"), &questions)?;
    let bytes = |wanted| -> usize {
        let documents = corpus.documents.iter().filter(|document| document.split == wanted);
        documents.map(|document| document.text.len()).sum()
    };
    let dialogue_bytes: usize = corpus
        .dialogues
        .iter()
        .flat_map(|dialogue| dialogue.messages.iter().map(|message| message.text().len()))
        .sum();
    println!("people {}, places {}", square.people.len(), square.places.len());
    println!("facts {}, posts {}", square.facts.len(), square.posts.len());
    println!("threads {}, dropped {}", corpus.conversations, corpus.dropped);
    println!("document bytes: train {}, held out {}", bytes(Split::Train), bytes(Split::HeldOut));
    println!("dialogues {}, bytes {dialogue_bytes}", corpus.dialogues.len());
    println!(
        "exam pool {}, commonest value right {:.3}",
        questions.len(),
        majority_baseline(&questions)
    );
    Ok(())
}

fn write<Row: Serialize>(path: &Path, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    for row in rows {
        serde_json::to_writer(&mut file, row)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(())
}
