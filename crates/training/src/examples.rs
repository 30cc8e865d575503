//! Sequences to learn from, as pairs of an input token and the target after it, and documents, every
//! token of which is a target. Dialogues are in `dialogues`, packing into rows is in `packing`.

use sha2::{Digest, Sha256};
use stoa_durable::hex;
use stoa_tokens::{END_OF_TEXT, TokenId, TokenShard, Tokenizer};

use crate::TrainingError;

/// A target that is not learned.
pub const IGNORED: i32 = -1;

/// What becomes of an example longer than a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlong {
    /// It is cut into pieces; each pair is used once.
    Split,
    /// Its first row's worth is used: an answer without its question teaches nothing.
    Truncate,
}

/// Examples by number.
pub trait Examples: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Pairs of input and target in an example.
    fn pairs(&self, example: usize) -> usize;

    /// Writes pairs from `start` on; a target that is not learned is [`IGNORED`].
    ///
    /// # Errors
    /// [`TrainingError::Tokens`] when a shard cannot be read.
    fn fill(
        &self,
        example: usize,
        start: usize,
        tokens: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), TrainingError>;

    /// What to do with long ones.
    fn overlong(&self) -> Overlong;

    /// Pairs of all examples.
    fn total_pairs(&self) -> u64 {
        (0..self.count()).map(|i| self.pairs(i) as u64).sum()
    }

    /// A digest of the lengths of all examples and the content of up to 1024 spread evenly, by
    /// which a resumed run knows that its data are those it was started with.
    ///
    /// # Errors
    /// As [`Examples::fill`].
    fn digest(&self) -> Result<String, TrainingError> {
        let mut digest = Sha256::new();
        let count = self.count();
        digest.update((count as u64).to_le_bytes());
        for example in 0..count {
            digest.update((self.pairs(example) as u64).to_le_bytes());
        }
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        for example in (0..count).step_by(count.div_ceil(1024).max(1)) {
            tokens.resize(self.pairs(example), 0);
            targets.resize(self.pairs(example), 0);
            self.fill(example, 0, &mut tokens, &mut targets)?;
            tokens.iter().chain(&targets).for_each(|t| digest.update(t.to_le_bytes()));
        }
        Ok(hex(&digest.finalize()))
    }
}

/// Pretraining documents: end-of-text, the tokens, end-of-text. The first end-of-text is what the
/// first token is predicted from, as in GPT-2.
pub struct Documents {
    store: Store,
    end_of_text: TokenId,
}

enum Store {
    Owned(Vec<Vec<TokenId>>),
    /// A shard and the number of documents before it.
    Shards(Vec<(usize, TokenShard)>),
}

impl Documents {
    /// Documents in memory, without end-of-text tokens.
    ///
    /// # Errors
    /// [`TrainingError::NoSpecialToken`].
    pub fn new(documents: Vec<Vec<TokenId>>, tokenizer: &Tokenizer) -> Result<Self, TrainingError> {
        Ok(Documents { store: Store::Owned(documents), end_of_text: end_of_text(tokenizer)? })
    }

    /// The documents of shards, one shard after the other.
    ///
    /// # Errors
    /// [`TrainingError::NoSpecialToken`].
    pub fn from_shards(
        shards: Vec<TokenShard>,
        tokenizer: &Tokenizer,
    ) -> Result<Self, TrainingError> {
        let mut before = 0;
        let numbered = shards.into_iter().map(|shard| {
            let first = before;
            before += shard.document_count() as usize;
            (first, shard)
        });
        let store = Store::Shards(numbered.collect());
        Ok(Documents { store, end_of_text: end_of_text(tokenizer)? })
    }

    /// The token of a document at `at`, counted with the end-of-text before it.
    fn read(
        &self,
        document: usize,
        start: usize,
        tokens: &mut [TokenId],
    ) -> Result<(), TrainingError> {
        match &self.store {
            Store::Owned(documents) => {
                tokens.copy_from_slice(&documents[document][start..start + tokens.len()]);
            }
            Store::Shards(shards) => {
                let (first, shard) = of_shard(shards, document);
                let range = shard.document_range((document - first) as u64)?;
                shard.read(range.start + start as u64, tokens)?;
            }
        }
        Ok(())
    }
}

fn of_shard(shards: &[(usize, TokenShard)], document: usize) -> (usize, &TokenShard) {
    let (first, shard) = &shards[shards.partition_point(|(first, _)| *first <= document) - 1];
    (*first, shard)
}

fn end_of_text(tokenizer: &Tokenizer) -> Result<TokenId, TrainingError> {
    tokenizer.special(END_OF_TEXT).ok_or(TrainingError::NoSpecialToken(END_OF_TEXT))
}

impl Examples for Documents {
    fn count(&self) -> usize {
        match &self.store {
            Store::Owned(documents) => documents.len(),
            Store::Shards(shards) => {
                shards.last().map_or(0, |(first, s)| first + s.document_count() as usize)
            }
        }
    }

    fn pairs(&self, example: usize) -> usize {
        let tokens = match &self.store {
            Store::Owned(documents) => documents[example].len(),
            Store::Shards(shards) => {
                let (first, shard) = of_shard(shards, example);
                let range = shard.document_range((example - first) as u64);
                range.map_or(0, |range| (range.end - range.start) as usize)
            }
        };
        // An empty document teaches nothing, not even its end.
        if tokens == 0 { 0 } else { tokens + 1 }
    }

    fn fill(
        &self,
        example: usize,
        start: usize,
        tokens: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), TrainingError> {
        let Some(length) = self.pairs(example).checked_sub(1) else { return Ok(()) };
        let end = start + tokens.len();
        // Tokens start−1 .. end, where −1 and `length` are end-of-text.
        let first = start.saturating_sub(1);
        let mut text = vec![TokenId(0); end.min(length) - first];
        self.read(example, first, &mut text)?;
        let at = |i: usize| {
            if (1..=length).contains(&i) { text[i - 1 - first] } else { self.end_of_text }
        };
        for (offset, (token, target)) in tokens.iter_mut().zip(targets).enumerate() {
            *token = at(start + offset).0 as i32;
            *target = at(start + offset + 1).0 as i32;
        }
        Ok(())
    }

    fn overlong(&self) -> Overlong {
        Overlong::Split
    }
}
