//! One file of the store to its shards, some lines at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use stoa_dialogue::Dialogue;
use stoa_tokens::{ShardWriter, TokenId, TokenWidth};

use super::manifest::{Entry, Origin, Part, Totals};
use super::{Job, Kind, Source};
use crate::RunsError;
use crate::error::io;

/// Bytes of text encoded together: enough for every thread, little beside a tokenizer.
const BATCH_BYTES: usize = 1 << 20;

/// What this room reads of a document's line.
#[derive(Deserialize)]
struct DocumentLine {
    text: String,
    split: Side,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Side {
    Train,
    HeldOut,
}

/// Writes the shards of a file and says what is in them.
pub(super) fn write(job: &Job<'_>, source: &Source, origin: &Origin) -> Result<Part, RunsError> {
    let path = source.path(job.store);
    let mut totals = Totals::default();
    let names = match source.kind {
        Kind::Documents => documents(job, source, &path, &mut totals)?,
        Kind::Dialogues => dialogues(job, source, &path, &mut totals)?,
    };
    let mut files = BTreeMap::new();
    for name in names {
        let entry = Entry::of(&job.out.join(&name))?;
        files.insert(name, entry);
    }
    Ok(Part { origin: origin.clone(), source: Entry::of(&path)?, files, totals })
}

fn documents(
    job: &Job<'_>,
    source: &Source,
    path: &Path,
    totals: &mut Totals,
) -> Result<Vec<String>, RunsError> {
    let names = ["train", "held_out"].map(|side| format!("{side}/{}.tokens", source.name));
    let width = TokenWidth::for_vocab_size(job.tokenizer.vocab_size());
    let [mut train, mut held_out] =
        [create(job, &names[0], width)?, create(job, &names[1], width)?];
    let mut batches = Batches::<DocumentLine>::open(path)?;
    while let Some(batch) = batches.next(|line| line.text.len())? {
        let texts: Vec<&str> = batch.iter().map(|line| line.text.as_str()).collect();
        let encoded = job.tokenizer.encode_batch(&texts, job.threads);
        for (line, tokens) in batch.iter().zip(encoded) {
            let shard = if line.split == Side::Train { &mut train } else { &mut held_out };
            shard.push_document(&tokens)?;
        }
    }
    let (train, held_out) = (train.finish()?, held_out.finish()?);
    (totals.documents, totals.tokens) = (train.document_count, train.token_count);
    (totals.held_out, totals.held_out_tokens) = (held_out.document_count, held_out.token_count);
    Ok(names.into())
}

fn dialogues(
    job: &Job<'_>,
    source: &Source,
    path: &Path,
    totals: &mut Totals,
) -> Result<Vec<String>, RunsError> {
    let names = ["tokens", "learned"].map(|end| format!("dialogues/{}.{end}", source.name));
    let width = TokenWidth::for_vocab_size(job.tokenizer.vocab_size());
    let mut tokens = create(job, &names[0], width)?;
    let mut learned = create(job, &names[1], TokenWidth::U16)?;
    let mut batches = Batches::<Dialogue>::open(path)?;
    while let Some(batch) = batches.next(length)? {
        for dialogue in batch {
            if !dialogue.has_answer() {
                totals.dialogues_without_answer += 1;
                continue;
            }
            let encoded =
                job.template.encode_for_training(job.tokenizer, &dialogue.conversation(None))?;
            totals.learned_tokens +=
                encoded.learned.iter().filter(|learned| **learned).count() as u64;
            tokens.push_document(&encoded.tokens)?;
            let marks: Vec<TokenId> =
                encoded.learned.iter().map(|&learned| TokenId(u32::from(learned))).collect();
            learned.push_document(&marks)?;
        }
    }
    let tokens = tokens.finish()?;
    learned.finish()?;
    (totals.dialogues, totals.dialogue_tokens) = (tokens.document_count, tokens.token_count);
    Ok(names.into())
}

/// Bytes of what a dialogue says.
fn length(dialogue: &Dialogue) -> usize {
    dialogue.messages.iter().map(|message| message.text().len()).sum()
}

fn create(job: &Job<'_>, name: &str, width: TokenWidth) -> Result<ShardWriter, RunsError> {
    let path = job.out.join(name);
    Ok(ShardWriter::create(&path, job.tokenizer.fingerprint(), width)?)
}

/// Lines of a file as values, about [`BATCH_BYTES`] of text at a time.
struct Batches<'p, T> {
    path: &'p Path,
    lines: Lines<BufReader<File>>,
    line: usize,
    of: std::marker::PhantomData<T>,
}

impl<'p, T: DeserializeOwned> Batches<'p, T> {
    fn open(path: &'p Path) -> Result<Self, RunsError> {
        let file = File::open(path).map_err(io("reading", path))?;
        let lines = BufReader::new(file).lines();
        Ok(Batches { path, lines, line: 0, of: std::marker::PhantomData })
    }

    /// The next values; `None` at the end.
    fn next(&mut self, bytes: impl Fn(&T) -> usize) -> Result<Option<Vec<T>>, RunsError> {
        let (mut batch, mut read) = (Vec::new(), 0);
        while read < BATCH_BYTES {
            let Some(line) = self.lines.next() else { break };
            self.line += 1;
            let wrong = |problem: String| RunsError::Line {
                path: self.path.to_owned(),
                line: self.line,
                problem,
            };
            let line = line.map_err(|error| wrong(error.to_string()))?;
            let value: T = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
            read += bytes(&value).max(1);
            batch.push(value);
        }
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
