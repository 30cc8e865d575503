//! `stoa tokens …`: train a tokenizer, encode and decode.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use stoa_tokens::{Pattern, TokenId, Tokenizer, TrainOptions, TrainProgress};

use crate::cli::TokensCommand;
use crate::files;
use crate::terminal::Terminal;

/// Runs a command.
///
/// # Errors
/// Files that cannot be read or written.
pub fn run(command: &TokensCommand, terminal: &Terminal) -> anyhow::Result<()> {
    match command {
        TokensCommand::Train { vocab_size, out, pattern, texts } => {
            train(*vocab_size, out, pattern, texts, terminal)
        }
        TokensCommand::Encode { tokenizer, file } => encode(tokenizer, file),
        TokensCommand::Decode { tokenizer, file } => decode(tokenizer, file),
    }
}

fn train(
    vocab_size: usize,
    out: &Path,
    pattern: &str,
    texts: &[PathBuf],
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let pattern = Pattern::from_name(pattern).with_context(|| {
        let known: Vec<&str> = Pattern::ALL.iter().map(|p| p.name()).collect();
        format!("--pattern {pattern} is unknown; use one of {}", known.join(", "))
    })?;
    let mut documents = Vec::new();
    for path in texts {
        documents.extend(files::read_text(path)?.lines().map(str::to_owned));
    }
    let bytes: usize = documents.iter().map(String::len).sum();
    if bytes == 0 {
        let names: Vec<String> = texts.iter().map(|p| p.display().to_string()).collect();
        anyhow::bail!("there is no text in {}; give a file with some", names.join(", "));
    }
    let options = TrainOptions { vocab_size, pattern, ..TrainOptions::default() };
    let tokenizer = trained(documents.iter(), &options, terminal)
        .with_context(|| format!("--vocab-size {vocab_size}"))?;
    tokenizer.save(out)?;
    let summary = json!({
        "vocab_size": tokenizer.vocab_size(),
        "documents": documents.len(),
        "bytes": bytes,
        "file": out,
    });
    terminal.result(&summary, || {
        format!(
            "{} tokens from {} lines, {bytes} bytes; in {}",
            tokenizer.vocab_size(),
            documents.len(),
            out.display()
        )
    })
}

/// Trains a tokenizer with a progress bar.
///
/// # Errors
/// Options or texts the trainer refuses.
pub fn trained<T: AsRef<str>>(
    texts: impl IntoIterator<Item = T>,
    options: &TrainOptions,
    terminal: &Terminal,
) -> anyhow::Result<Tokenizer> {
    let mut bar = terminal.bar("tokenizer", options.vocab_size as u64, "merges");
    let tokenizer = Tokenizer::train(texts, options, |progress| {
        match progress {
            TrainProgress::Counting { bytes, .. } => {
                bar.update(0, &format!("reading, {} MB", bytes / 1_000_000));
            }
            TrainProgress::Merging { done, .. } => bar.update(done as u64, ""),
        }
        ControlFlow::Continue(())
    })?;
    bar.finish(&format!("{} tokens", tokenizer.vocab_size()));
    Ok(tokenizer)
}

/// A tokenizer.json, or a tiktoken rank file by its ending.
fn open(path: &Path) -> anyhow::Result<Tokenizer> {
    let tiktoken = path.extension().is_some_and(|e| e == "tiktoken");
    if tiktoken {
        return Ok(Tokenizer::open_tiktoken(path, Pattern::Gpt4, &[])?);
    }
    Ok(Tokenizer::open(path)?)
}

fn encode(tokenizer: &Path, file: &Path) -> anyhow::Result<()> {
    let tokenizer = open(tokenizer)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in files::read_text(file)?.lines() {
        let ids: Vec<u32> = tokenizer.encode(line).into_iter().map(|id| id.0).collect();
        serde_json::to_writer(&mut out, &ids)?;
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

fn decode(tokenizer: &Path, file: &Path) -> anyhow::Result<()> {
    let tokenizer = open(tokenizer)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for ids in files::read_lines::<Vec<u32>>(file)? {
        let ids: Vec<TokenId> = ids.into_iter().map(TokenId).collect();
        out.write_all(&tokenizer.decode(&ids)?)?;
        writeln!(out)?;
    }
    Ok(out.flush()?)
}
