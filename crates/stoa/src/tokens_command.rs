//! `stoa tokens …`: train a tokenizer, encode and decode.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;
use stoa_dialogue::ChatTemplate;
use stoa_runs::RunsError;
use stoa_runs::shards::{Job, Layout, Manifest, ShardText, Share};
use stoa_tokens::{Pattern, TokenId, Tokenizer, TrainOptions, TrainProgress};

use crate::cli::{MachineArgs, TokensCommand};
use crate::terminal::{Terminal, stdout};
use crate::{files, posts};

/// Runs a command.
///
/// # Errors
/// Files that cannot be read or written.
pub fn run(
    command: &TokensCommand,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    match command {
        TokensCommand::Train { vocab_size, out, pattern, texts } => {
            train(*vocab_size, out, pattern, texts, terminal)
        }
        TokensCommand::Shards { store, tokenizer, out, shard } => {
            let template = ChatTemplate::read(tokenizer.parent().unwrap_or(Path::new("")))?;
            let share = Share::parse(shard).map_err(|error| anyhow::anyhow!("--{error}"))?;
            let job = Job {
                text: &ShardText::of_store(store)?,
                out,
                tokenizer: &Tokenizer::open(tokenizer)?,
                template: &template,
                layout: Layout::EachFile(share),
                threads: posts::threads(machine),
            };
            shards(&job, terminal)
        }
        TokensCommand::Encode { tokenizer, pattern, file } => {
            encode(&open(tokenizer, pattern.as_deref())?, file)
        }
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
    let pattern = named(pattern)?;
    let mut documents = Vec::new();
    for path in texts {
        documents.extend(read_documents(path)?);
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
            "{} tokens from {} documents, {bytes} bytes; in {}",
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
fn trained<T: AsRef<str>>(
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

/// Writes the shards of a job with a progress bar.
///
/// # Errors
/// As [`stoa_runs::shards::write`].
pub fn write_shards(job: &Job<'_>, terminal: &Terminal) -> Result<Option<Manifest>, RunsError> {
    let mut bar = terminal.bar("shards", 1, "parts");
    let manifest = stoa_runs::shards::write(job, &mut |done, of| {
        bar.set_length(of as u64);
        bar.update(done as u64, "");
    })?;
    bar.finish(&match &manifest {
        None => "this part is done".to_owned(),
        Some(Manifest { totals, .. }) => format!(
            "{} documents, {} tokens; {} dialogues",
            totals.documents, totals.tokens, totals.dialogues
        ),
    });
    Ok(manifest)
}

/// Writes the shards of a job and prints what is in them.
fn shards(job: &Job<'_>, terminal: &Terminal) -> anyhow::Result<()> {
    let manifest = write_shards(job, terminal)?;
    let directory = job.out.display();
    let Some(Manifest { totals, .. }) = manifest else {
        let waiting = json!({"complete": false, "directory": job.out});
        return terminal.result(&waiting, || {
            format!("{directory} waits for the other parts; the last one writes manifest.json")
        });
    };
    let summary = json!({
        "complete": true,
        "documents": totals.documents,
        "dialogues": totals.dialogues,
        "dialogues_without_answer": totals.dialogues_without_answer,
        "tokens": totals.tokens,
        "dialogue_tokens": totals.dialogue_tokens,
        "held_out": totals.held_out,
        "held_out_tokens": totals.held_out_tokens,
        "directory": job.out,
    });
    terminal.result(&summary, || {
        format!(
            "{} documents, {} tokens; held out {} documents, {} tokens; {} dialogues, {} tokens \
             ({} skipped, in which the assistant says nothing); in {directory}",
            totals.documents,
            totals.tokens,
            totals.held_out,
            totals.held_out_tokens,
            totals.dialogues,
            totals.dialogue_tokens,
            totals.dialogues_without_answer
        )
    })
}

fn named(pattern: &str) -> anyhow::Result<Pattern> {
    Pattern::from_name(pattern).with_context(|| {
        let known: Vec<&str> = Pattern::ALL.iter().map(|p| p.name()).collect();
        format!("--pattern {pattern} is unknown; use one of {}", known.join(", "))
    })
}

/// A line of a `.jsonl` file to train on, as `stoa posts` writes them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Text { text: String },
    Dialogue { messages: Vec<Turn> },
}

#[derive(Deserialize)]
struct Turn {
    content: String,
}

/// Documents of a file: the texts of JSON lines where the name ends in `.jsonl`, else the lines.
fn read_documents(path: &Path) -> anyhow::Result<Vec<String>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let text = files::read_text(path)?;
    if !name.trim_end_matches(".gz").ends_with(".jsonl") {
        return Ok(text.lines().map(str::to_owned).collect());
    }
    let mut documents = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || {
            format!(
                "{} line {}: expected an object with `text`, or with `messages` that have \
                 `content`; rename the file to .txt to train on its lines as they are",
                path.display(),
                at + 1
            )
        };
        match serde_json::from_str(line).with_context(place)? {
            Document::Text { text } => documents.push(text),
            Document::Dialogue { messages } => {
                documents.extend(messages.into_iter().map(|turn| turn.content));
            }
        }
    }
    Ok(documents)
}

/// A tokenizer.json, or by its ending a tiktoken rank file, which does not say its pattern.
fn open(path: &Path, pattern: Option<&str>) -> anyhow::Result<Tokenizer> {
    let tiktoken = path.extension().is_some_and(|e| e == "tiktoken");
    let file = path.display();
    match (tiktoken, pattern) {
        (true, Some(pattern)) => Ok(Tokenizer::open_tiktoken(path, named(pattern)?, &[])?),
        (true, None) => anyhow::bail!(
            "{file} holds ranks without the pattern that cuts text into pieces, and another \
             pattern gives other ids; name it, for instance --pattern cl100k or --pattern o200k"
        ),
        (false, Some(_)) => {
            anyhow::bail!("{file} holds its own pattern; leave out --pattern")
        }
        (false, None) => Ok(Tokenizer::open(path)?),
    }
}

fn encode(tokenizer: &Tokenizer, file: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(stdout());
    for line in files::read_text(file)?.lines() {
        let ids: Vec<u32> = tokenizer.encode(line).into_iter().map(|id| id.0).collect();
        writeln!(out, "{}", serde_json::to_string(&ids)?)?;
    }
    Ok(out.flush()?)
}

fn decode(tokenizer: &Path, file: &Path) -> anyhow::Result<()> {
    // Decoding cuts no text: no pattern changes it.
    let tiktoken = tokenizer.extension().is_some_and(|e| e == "tiktoken");
    let tokenizer = open(tokenizer, tiktoken.then_some(Pattern::default().name()))?;
    let mut out = BufWriter::new(stdout());
    for ids in files::read_lines::<Vec<u32>>(file)? {
        let ids: Vec<TokenId> = ids.into_iter().map(TokenId).collect();
        out.write_all(&tokenizer.decode(&ids)?)?;
        writeln!(out)?;
    }
    Ok(out.flush()?)
}
