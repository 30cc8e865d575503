//! Dialogues to learn from: tokens with marks on those that are learned, in memory or read from token
//! shards through a memory map, by number.

use std::path::Path;
use std::sync::Arc;

use stoa_dialogue::ChatTokens;
use stoa_tokens::{Fingerprint, TokenId, TokenShard, TokensError};

use crate::TrainingError;
use crate::examples::{Examples, IGNORED, Overlong};

/// A shard of dialogues, with a second shard that has for each token 1 when it is learned, else 0.
#[derive(Debug)]
pub struct DialogueShard {
    tokens: TokenShard,
    learned: TokenShard,
}

impl DialogueShard {
    /// Opens `NAME.tokens` with `NAME.learned` and verifies both.
    ///
    /// # Errors
    /// [`TrainingError::Tokens`] for a file that is not there, damaged or of another tokenizer;
    /// [`TrainingError::Unpaired`] when the two are not of the same dialogues.
    pub fn open_for(path: &Path, fingerprint: Fingerprint) -> Result<Self, TrainingError> {
        let marks = path.with_extension("learned");
        let open = |path: &Path| -> Result<TokenShard, TokensError> {
            let shard = TokenShard::open_for(path, fingerprint)?;
            shard.verify()?;
            Ok(shard)
        };
        let shard = DialogueShard { tokens: open(path)?, learned: open(&marks)? };
        if shard.is_paired()? {
            Ok(shard)
        } else {
            Err(TrainingError::Unpaired { tokens: path.to_owned(), learned: marks })
        }
    }

    fn is_paired(&self) -> Result<bool, TokensError> {
        if self.tokens.document_count() != self.learned.document_count() {
            return Ok(false);
        }
        for dialogue in 0..self.tokens.document_count() {
            if self.tokens.document_range(dialogue)? != self.learned.document_range(dialogue)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn pairs(&self, dialogue: u64) -> usize {
        let range = self.tokens.document_range(dialogue);
        range.map_or(0, |range| (range.end - range.start) as usize).saturating_sub(1)
    }

    /// The tokens from `start` on, and which of them are learned.
    fn read(
        &self,
        dialogue: u64,
        start: usize,
        tokens: &mut [TokenId],
        learned: &mut [TokenId],
    ) -> Result<(), TokensError> {
        let first = self.tokens.document_range(dialogue)?.start + start as u64;
        self.tokens.read(first, tokens)?;
        self.learned.read(first, learned)
    }
}

/// Some dialogues of a list.
#[derive(Debug)]
pub enum DialoguePart {
    /// In memory.
    Encoded(Vec<ChatTokens>),
    /// In a shard.
    Shard(Box<DialogueShard>),
}

impl DialoguePart {
    fn count(&self) -> usize {
        match self {
            DialoguePart::Encoded(dialogues) => dialogues.len(),
            DialoguePart::Shard(shard) => shard.tokens.document_count() as usize,
        }
    }
}

/// Dialogues by number, cheap to share.
#[derive(Clone, Debug)]
pub struct Dialogues {
    /// Parts, each with the number of dialogues before it.
    parts: Arc<[(usize, DialoguePart)]>,
    count: usize,
}

impl Dialogues {
    /// The dialogues of parts, one part after the other.
    pub fn new(parts: Vec<DialoguePart>) -> Self {
        let mut count = 0;
        let numbered = parts.into_iter().map(|part| {
            let first = count;
            count += part.count();
            (first, part)
        });
        let parts = numbered.collect();
        Dialogues { parts, count }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The part of a dialogue, and the dialogue's number in it.
    fn part(&self, dialogue: usize) -> (&DialoguePart, usize) {
        let at = self.parts.partition_point(|(first, _)| *first <= dialogue) - 1;
        let (first, part) = &self.parts[at];
        (part, dialogue - first)
    }
}

impl From<Vec<ChatTokens>> for Dialogues {
    fn from(dialogues: Vec<ChatTokens>) -> Self {
        Dialogues::new(vec![DialoguePart::Encoded(dialogues)])
    }
}

/// Dialogues as examples.
pub struct DialogueExamples {
    dialogues: Dialogues,
    learn_everything: bool,
}

impl DialogueExamples {
    /// For fine-tuning: only answers are targets.
    pub fn answers_only(dialogues: impl Into<Dialogues>) -> Self {
        DialogueExamples { dialogues: dialogues.into(), learn_everything: false }
    }

    /// For pretraining, where questions are text like any other.
    pub fn as_text(dialogues: impl Into<Dialogues>) -> Self {
        DialogueExamples { dialogues: dialogues.into(), learn_everything: true }
    }
}

impl Examples for DialogueExamples {
    fn count(&self) -> usize {
        self.dialogues.count()
    }

    fn pairs(&self, example: usize) -> usize {
        match self.dialogues.part(example) {
            (DialoguePart::Encoded(dialogues), at) => dialogues[at].tokens.len().saturating_sub(1),
            (DialoguePart::Shard(shard), at) => shard.pairs(at as u64),
        }
    }

    fn fill(
        &self,
        example: usize,
        start: usize,
        tokens: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), TrainingError> {
        if tokens.is_empty() {
            return Ok(());
        }
        let count = tokens.len() + 1;
        let mut set = |ids: &dyn Fn(usize) -> TokenId, learned: &dyn Fn(usize) -> bool| {
            for (at, (token, target)) in tokens.iter_mut().zip(targets.iter_mut()).enumerate() {
                *token = ids(at).0 as i32;
                let learned = self.learn_everything || learned(at + 1);
                *target = if learned { ids(at + 1).0 as i32 } else { IGNORED };
            }
        };
        match self.dialogues.part(example) {
            (DialoguePart::Encoded(dialogues), at) => {
                let ChatTokens { tokens, learned } = &dialogues[at];
                set(&|at| tokens[start + at], &|at| learned[start + at]);
            }
            (DialoguePart::Shard(shard), at) => {
                let mut ids = vec![TokenId(0); count];
                let mut learned = ids.clone();
                shard.read(at as u64, start, &mut ids, &mut learned)?;
                set(&|at| ids[at], &|at| learned[at] != TokenId(0));
            }
        }
        Ok(())
    }

    fn overlong(&self) -> Overlong {
        Overlong::Truncate
    }
}
