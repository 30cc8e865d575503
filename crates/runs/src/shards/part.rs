//! Text to the shards of a part, some lines at a time.

use std::collections::BTreeMap;

use stoa_corpus::Document;
use stoa_dialogue::Dialogue;
use stoa_durable::FileEntry;
use stoa_posts::Split;
use stoa_tokens::{ShardWriter, TokenId, TokenWidth};

use super::manifest::{Origin, Part, Totals, entries};
use super::{Job, Kind, Source};
use crate::RunsError;
use crate::lines::JsonLines;

/// Bytes of text encoded together: enough for every thread, little beside a tokenizer.
const BATCH_BYTES: usize = 1 << 20;

/// Writes the shards of a part and gives its record.
pub(super) fn write(
    job: &Job<'_>,
    source: &Source<'_>,
    origin: &Origin,
) -> Result<Part, RunsError> {
    let mut totals = Totals::default();
    // The tokenizer counts over all that it has encoded, which may be more than this part.
    let left_out = || (job.tokenizer.characters_left_out(), job.tokenizer.searches_given_up());
    let before = left_out();
    let names = match source.kind {
        Kind::Documents => documents(job, source, &mut totals)?,
        Kind::Dialogues => dialogues(job, source, &mut totals)?,
    };
    let after = left_out();
    totals.characters_left_out = after.0 - before.0;
    totals.searches_given_up = after.1 - before.1;
    let mut files = BTreeMap::new();
    for name in names {
        let entry = FileEntry::of(&job.out.join(&name))?;
        files.insert(name, entry);
    }
    Ok(Part { origin: origin.clone(), sources: entries(source.files)?, files, totals })
}

fn documents(
    job: &Job<'_>,
    source: &Source<'_>,
    totals: &mut Totals,
) -> Result<Vec<String>, RunsError> {
    let names = ["train", "held_out"].map(|side| source.shard(side, "tokens"));
    let width = TokenWidth::for_vocab_size(job.tokenizer.vocab_size());
    let [mut train, mut held_out] =
        [create(job, &names[0], width)?, create(job, &names[1], width)?];
    let mut lines = JsonLines::<Document>::of_files(source.files);
    loop {
        let batch = batch(&mut lines)?;
        if batch.is_empty() {
            break;
        }
        let texts: Vec<&str> = batch.iter().map(|document| document.text.as_str()).collect();
        let encoded = job.tokenizer.encode_batch(&texts, job.threads);
        for (document, tokens) in batch.iter().zip(encoded) {
            let shard = match document.split {
                Split::Train => &mut train,
                Split::HeldOut => &mut held_out,
            };
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
    source: &Source<'_>,
    totals: &mut Totals,
) -> Result<Vec<String>, RunsError> {
    let names = ["tokens", "learned"].map(|ending| source.shard("dialogues", ending));
    let width = TokenWidth::for_vocab_size(job.tokenizer.vocab_size());
    let mut tokens = create(job, &names[0], width)?;
    let mut learned = create(job, &names[1], TokenWidth::U16)?;
    for dialogue in JsonLines::<Dialogue>::of_files(source.files) {
        let dialogue = dialogue?;
        if !dialogue.has_answer() {
            totals.dialogues_without_answer += 1;
            continue;
        }
        let conversation = dialogue.conversation(None);
        let encoded = job.template.encode_for_training(job.tokenizer, &conversation)?;
        totals.learned_tokens += encoded.learned.iter().filter(|learned| **learned).count() as u64;
        tokens.push_document(&encoded.tokens)?;
        let marks: Vec<TokenId> =
            encoded.learned.iter().map(|&learned| TokenId(u32::from(learned))).collect();
        learned.push_document(&marks)?;
    }
    let tokens = tokens.finish()?;
    learned.finish()?;
    (totals.dialogues, totals.dialogue_tokens) = (tokens.document_count, tokens.token_count);
    Ok(names.into())
}

fn create(job: &Job<'_>, name: &str, width: TokenWidth) -> Result<ShardWriter, RunsError> {
    let path = job.out.join(name);
    Ok(ShardWriter::create(&path, job.tokenizer.fingerprint(), width)?)
}

/// The next documents, about [`BATCH_BYTES`] of text; none at the end.
fn batch(lines: &mut JsonLines<'_, Document>) -> Result<Vec<Document>, RunsError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES {
        let Some(document) = lines.next().transpose()? else { break };
        bytes += document.text.len().max(1);
        batch.push(document);
    }
    Ok(batch)
}
