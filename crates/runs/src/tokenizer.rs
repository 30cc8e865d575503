//! The tokenizer of a run: trained on a bounded sample of its text, so that it costs the same memory
//! for any text.

use std::ops::ControlFlow;

use stoa_corpus::Document;
use stoa_dialogue::Dialogue;
use stoa_posts::Split;
use stoa_random::Stream;
use stoa_tokens::{Tokenizer, TrainOptions, TrainProgress};

use crate::lines::JsonLines;
use crate::shards::ShardText;
use crate::{Progress, RunsError};

/// Bytes of text that a tokenizer is trained on, about: ten times what the largest vocabulary asks for.
const SAMPLE_BYTES: u64 = 16 << 20;
/// Bytes of text per token of vocabulary: less, and tokens are too rare to be learned.
const TEXT_PER_TOKEN: u64 = 200;
/// Smallest and largest vocabulary.
const VOCABULARY: (u64, u64) = (320, 8192);

/// Trains a tokenizer on training documents and dialogues.
///
/// The texts are those whose draw, a function of the seed and the text's place, is below the share that
/// makes 16 MiB on average; of less text all of it.
///
/// # Errors
/// Files that cannot be read; text that the trainer refuses.
pub fn tokenizer_of(
    text: &ShardText,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Tokenizer, RunsError> {
    let mut bytes = 0;
    for text in texts(text) {
        bytes += text?.len() as u64;
    }
    let vocab_size = (bytes / TEXT_PER_TOKEN).clamp(VOCABULARY.0, VOCABULARY.1) as usize;
    let options = TrainOptions { vocab_size, ..TrainOptions::default() };
    let mut failed = None;
    let all = texts(text).map_while(|text| text.map_err(|error| failed = Some(error)).ok());
    let sample = sample(all, SAMPLE_BYTES as f64 / bytes as f64, seed);
    let mut work = progress.begin("tokenizer", options.vocab_size as u64, "merges");
    let tokenizer = Tokenizer::train(sample, &options, |progress| {
        match progress {
            TrainProgress::Counting { bytes, .. } => {
                work.update(0, &format!("reading, {} MB", bytes / 1_000_000));
            }
            TrainProgress::Merging { done, .. } => work.update(done as u64, ""),
        }
        ControlFlow::Continue(())
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let tokenizer = tokenizer?;
    work.finish(&format!("{} tokens", tokenizer.vocab_size()));
    Ok(tokenizer)
}

/// A share of the texts, each drawn by its place; all of them when the share is 1 or more.
fn sample(
    texts: impl Iterator<Item = String>,
    share: f64,
    seed: u64,
) -> impl Iterator<Item = String> {
    let draws = Stream::new(seed, "tokenizer sample");
    let drawn = move |(place, _): &(u64, String)| draws.unit(*place) < share;
    (0..).zip(texts).filter(drawn).map(|(_, text)| text)
}

/// Texts of training documents, then of the messages of dialogues.
fn texts(text: &ShardText) -> impl Iterator<Item = Result<String, RunsError>> + '_ {
    let documents = JsonLines::<Document>::of_files(&text.documents);
    let training = |document: &Result<Document, RunsError>| {
        document.as_ref().is_ok_and(|document| document.split == Split::Train) || document.is_err()
    };
    let documents = documents.filter(training).map(|document| Ok(document?.text));
    let messages = JsonLines::<Dialogue>::of_files(&text.dialogues).flat_map(|dialogue| {
        let (dialogue, error) = match dialogue {
            Ok(dialogue) => (Some(dialogue), None),
            Err(error) => (None, Some(Err(error))),
        };
        let messages = dialogue.into_iter().flat_map(|dialogue| dialogue.messages);
        messages.map(|message| Ok(message.text().to_owned())).chain(error)
    });
    documents.chain(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_share_of_the_texts_drawn_by_seed() {
        let texts = || (0..4000).map(|at| at.to_string());
        let drawn = |share, seed| sample(texts(), share, seed).collect::<Vec<_>>();
        assert!(drawn(1.0, 1).into_iter().eq(texts()));
        let quarter = drawn(0.25, 1);
        // 27 is the standard deviation of a count of 4000 draws with chance 1/4.
        assert!(quarter.len().abs_diff(1000) < 4 * 27, "{}", quarter.len());
        assert_eq!(quarter, drawn(0.25, 1));
        assert_ne!(quarter, drawn(0.25, 2));
    }
}
