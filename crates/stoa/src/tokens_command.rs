//! `stoa tokens …`: train a tokenizer, encode and decode.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;
use stoa_assistant::gguf_tokenizer;
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
            let template =
                ChatTemplate::read_or_chatml(tokenizer.parent().unwrap_or(Path::new("")))?;
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
        TokensCommand::Encode {
            tokenizer,
            pattern,
            add_special_tokens,
            read_special_tokens,
            file,
        } => {
            let special = Special { add: *add_special_tokens, read: *read_special_tokens };
            encode(&open(tokenizer, pattern.as_deref())?, special, file, terminal)
        }
        TokensCommand::Decode { tokenizer, skip_special_tokens, file } => {
            decode(tokenizer, *skip_special_tokens, file)
        }
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
    if let Some(Manifest { totals, .. }) = &manifest {
        note_left_out(totals.characters_left_out, totals.searches_given_up, terminal);
    }
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
        "characters_left_out": totals.characters_left_out,
        "searches_given_up": totals.searches_given_up,
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

/// A tokenizer by its file, a GGUF model among them. Two kinds of file do not say their pattern:
/// tiktoken ranks, known by their ending, need one; vocab.json may have one.
fn open(path: &Path, pattern: Option<&str>) -> anyhow::Result<Tokenizer> {
    let gguf = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
    let tiktoken = path.extension().is_some_and(|e| e == "tiktoken");
    let vocab = path.file_name().is_some_and(|name| name == "vocab.json");
    let file = path.display();
    match pattern {
        Some(pattern) if tiktoken => Ok(Tokenizer::open_tiktoken(path, named(pattern)?, &[])?),
        Some(pattern) if vocab => {
            Ok(Tokenizer::open_vocab_and_merges(path, Some(named(pattern)?))?)
        }
        Some(_) => anyhow::bail!("{file} holds its own pattern; leave out --pattern"),
        None if gguf => Ok(gguf_tokenizer(path)?),
        None if tiktoken => anyhow::bail!(
            "{file} holds ranks without the pattern that cuts text into pieces, and another \
             pattern gives other ids; name it, for instance --pattern cl100k or --pattern o200k"
        ),
        None => Ok(Tokenizer::open(path)?),
    }
}

/// Names on standard error what a tokenizer's file asks for that has no effect.
pub fn note_left_aside(tokenizer: &Tokenizer, terminal: &Terminal) {
    let left = tokenizer.left_aside();
    if !left.is_empty() {
        terminal.note(format!("left aside from the tokenizer's file: {}", left.join("; ")));
    }
}

/// Names on standard error what texts held and their ids do not: characters without a token, and
/// pieces that a regular expression would have cut.
pub fn note_left_out(characters: u64, searches: u64, terminal: &Terminal) {
    if characters > 0 {
        terminal.note(format!(
            "{characters} characters have no token in the vocabulary and none that stands for them: \
             their ids lack them; a tokenizer with all 256 bytes leaves none out"
        ));
    }
    if searches > 0 {
        terminal.note(format!(
            "{searches} searches for a regular expression of the tokenizer's file were given up for \
             their cost; what they would have cut is one piece"
        ));
    }
}

/// What becomes of special tokens in encoding.
#[derive(Clone, Copy)]
struct Special {
    /// Those of the template stand around each line.
    add: bool,
    /// Their names in the text are read as such.
    read: bool,
}

impl Special {
    fn encode(self, tokenizer: &Tokenizer, line: &str) -> Vec<TokenId> {
        let text = match self.read {
            true => tokenizer.encode_with_special(line),
            false => tokenizer.encode(line),
        };
        match self.add {
            true => [tokenizer.document_prefix(), &text, tokenizer.document_suffix()].concat(),
            false => text,
        }
    }
}

fn encode(
    tokenizer: &Tokenizer,
    special: Special,
    file: &Path,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    note_left_aside(tokenizer, terminal);
    let mut out = BufWriter::new(stdout());
    let (mut lines, mut tokens) = (0_u64, 0);
    for line in files::read_text(file)?.lines() {
        let ids: Vec<u32> = special.encode(tokenizer, line).into_iter().map(|id| id.0).collect();
        lines += 1;
        tokens += ids.len();
        let left_out = tokenizer.characters_left_out();
        anyhow::ensure!(
            left_out == 0,
            "{} line {lines}: {left_out} characters have no token, and the tokenizer's file names \
             no unk_token to stand for them; choose a tokenizer whose vocabulary has them",
            file.display()
        );
        writeln!(out, "{}", serde_json::to_string(&ids)?)?;
    }
    let given_up = tokenizer.searches_given_up();
    note_left_out(0, given_up, terminal);
    if terminal.json() {
        let summary = json!({
            "lines": lines,
            "tokens": tokens,
            "left_aside": tokenizer.left_aside(),
            "searches_given_up": given_up,
        });
        writeln!(out, "{summary}")?;
    }
    Ok(out.flush()?)
}

fn decode(tokenizer: &Path, skip_special: bool, file: &Path) -> anyhow::Result<()> {
    // Decoding cuts no text: no pattern changes it.
    let tiktoken = tokenizer.extension().is_some_and(|e| e == "tiktoken");
    let tokenizer = open(tokenizer, tiktoken.then_some(Pattern::default().name()))?;
    let mut out = BufWriter::new(stdout());
    for ids in files::read_lines::<Vec<u32>>(file)? {
        let ids: Vec<TokenId> = ids.into_iter().map(TokenId).collect();
        out.write_all(&match skip_special {
            true => tokenizer.decode_without_special(&ids)?,
            false => tokenizer.decode(&ids)?,
        })?;
        writeln!(out)?;
    }
    Ok(out.flush()?)
}
