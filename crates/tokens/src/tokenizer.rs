//! The tokenizer: its parts, their checks, and its fingerprint.
//!
//! `encode` and `decode` hold what it does; `file` how it is read and written.

use std::fmt;
use std::sync::{Mutex, OnceLock};

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::added_token::AddedTokenMatcher;
use crate::merge::{Merge, MergeScratch, MergeTable};
use crate::piece_cache::PieceCache;
use crate::vocabulary::{ModelToken, Vocabulary};
use crate::{AddedToken, Pattern, TokenId, TokensError};

/// What is done to text before it is cut into pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalizer {
    /// Nothing: decoding gives back exactly the bytes encoded.
    #[default]
    None,
    /// Unicode normalisation form C, as Qwen does: decoding gives the composed text.
    Nfc,
}

/// SHA-256 of everything that decides which ids a text gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Everything a tokenizer is made of, as read from a file or trained.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenizerParts {
    pub(crate) tokens: Vec<ModelToken>,
    pub(crate) merges: Vec<Merge>,
    pub(crate) pattern: Pattern,
    pub(crate) normalizer: Normalizer,
    /// Whether a space is put before text that does not start with one.
    pub(crate) add_prefix_space: bool,
    /// Whether a piece that is a token is that token, whatever merging would give.
    pub(crate) ignore_merges: bool,
    pub(crate) added: Vec<AddedToken>,
    /// Ids before a document, such as a BOS.
    pub(crate) prefix: Vec<TokenId>,
    /// Ids after a document.
    pub(crate) suffix: Vec<TokenId>,
}

/// A byte-level BPE tokenizer.
///
/// Cheap to share between threads by reference: encoding takes `&self` and keeps its working
/// memory, including a cache of pieces, in a pool.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) merges: MergeTable,
    /// Whether each entry of the vocabulary, met as a piece, is that one token.
    pub(crate) whole: Vec<bool>,
    pub(crate) pattern: Pattern,
    pub(crate) normalizer: Normalizer,
    pub(crate) add_prefix_space: bool,
    pub(crate) ignore_merges: bool,
    /// In ascending order of id.
    pub(crate) added: Vec<AddedToken>,
    pub(crate) raw_matcher: AddedTokenMatcher,
    pub(crate) normalized_matcher: AddedTokenMatcher,
    pub(crate) prefix: Vec<TokenId>,
    pub(crate) suffix: Vec<TokenId>,
    pub(crate) pool: ScratchPool,
    vocab_size: usize,
    fingerprint: OnceLock<Fingerprint>,
}

impl Tokenizer {
    /// Checks the parts and puts them together.
    pub(crate) fn assemble(parts: TokenizerParts) -> Result<Self, TokensError> {
        let TokenizerParts { tokens, merges, pattern, normalizer, mut added, .. } = parts;
        let vocabulary = Vocabulary::new(tokens)?;
        let merges = MergeTable::new(merges)?;
        added.sort_by_key(|token| token.id);
        check_added(&vocabulary, &added)?;
        let whole = whole_pieces(&vocabulary, &merges, &added, parts.ignore_merges);
        let (normalized, raw): (Vec<_>, Vec<_>) =
            added.iter().cloned().partition(|token| token.normalized);
        let normalized_text = |token: AddedToken| {
            let text = match normalizer {
                Normalizer::None => token.content.clone(),
                Normalizer::Nfc => token.content.nfc().collect(),
            };
            (text, token)
        };
        let added_size = added.last().map_or(0, |token| token.id as usize + 1);
        Ok(Self {
            vocab_size: vocabulary.size().max(added_size),
            raw_matcher: AddedTokenMatcher::new(
                raw.into_iter().map(|token| (token.content.clone(), token)),
            ),
            normalized_matcher: AddedTokenMatcher::new(normalized.into_iter().map(normalized_text)),
            vocabulary,
            merges,
            whole,
            pattern,
            normalizer,
            add_prefix_space: parts.add_prefix_space,
            ignore_merges: parts.ignore_merges,
            added,
            prefix: parts.prefix,
            suffix: parts.suffix,
            pool: ScratchPool::default(),
            fingerprint: OnceLock::new(),
        })
    }

    /// Rows that a table indexed by id needs: one more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The pre-tokenisation pattern.
    pub fn pattern(&self) -> Pattern {
        self.pattern
    }

    /// The normaliser.
    pub fn normalizer(&self) -> Normalizer {
        self.normalizer
    }

    /// The added tokens, in ascending order of id.
    pub fn added_tokens(&self) -> &[AddedToken] {
        &self.added
    }

    /// The id of an added token by its text, such as `<|endoftext|>`.
    pub fn special(&self, name: &str) -> Option<TokenId> {
        self.added.iter().find(|token| token.content == name).map(|token| TokenId(token.id))
    }

    /// Whether an id is a special token, which plain text never produces.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.added_token(id.0).is_some_and(|token| token.special)
    }

    /// Ids that the tokenizer's template puts before a document, such as a BOS.
    pub fn document_prefix(&self) -> &[TokenId] {
        &self.prefix
    }

    /// Ids that the tokenizer's template puts after a document.
    pub fn document_suffix(&self) -> &[TokenId] {
        &self.suffix
    }

    /// The bytes an id stands for; those of an added token are its text.
    pub fn token_bytes(&self, id: TokenId) -> Option<&[u8]> {
        let added = || self.added_token(id.0).map(|token| token.content.as_bytes());
        match self.vocabulary.bytes(id.0) {
            Some(bytes) if self.added.is_empty() => Some(bytes),
            bytes => added().or(bytes),
        }
    }

    /// The added token of an id.
    fn added_token(&self, id: u32) -> Option<&AddedToken> {
        let at = self.added.binary_search_by_key(&id, |token| token.id).ok()?;
        self.added.get(at)
    }

    /// SHA-256 over all that decides ids: two tokenizers with the same fingerprint encode alike.
    /// Independent of the file format the tokenizer came from.
    pub fn fingerprint(&self) -> Fingerprint {
        *self.fingerprint.get_or_init(|| {
            let mut digest = Sha256::new();
            digest.update(b"stoa tokenizer 1\0");
            digest.update(self.pattern.name());
            digest.update([
                0,
                u8::from(self.normalizer == Normalizer::Nfc),
                u8::from(self.add_prefix_space),
                u8::from(self.ignore_merges),
            ]);
            let number = |digest: &mut Sha256, number: usize| {
                digest.update((number as u64).to_le_bytes());
            };
            let ordinary = || {
                let all = self.vocabulary.tokens().iter();
                all.filter(|token| self.added_token(token.id).is_none())
            };
            number(&mut digest, ordinary().count());
            for token in ordinary() {
                number(&mut digest, token.id as usize);
                number(&mut digest, token.bytes.len());
                digest.update(&token.bytes);
            }
            number(&mut digest, self.merges.merges().len());
            for merge in self.merges.merges() {
                for id in [merge.left, merge.right, merge.merged] {
                    digest.update(id.to_le_bytes());
                }
            }
            number(&mut digest, self.added.len());
            for token in &self.added {
                number(&mut digest, token.id as usize);
                number(&mut digest, token.content.len());
                digest.update(&token.content);
                let flags = [
                    token.special,
                    token.lstrip,
                    token.rstrip,
                    token.single_word,
                    token.normalized,
                ];
                digest.update(flags.map(u8::from));
            }
            for ids in [&self.prefix, &self.suffix] {
                number(&mut digest, ids.len());
                ids.iter().for_each(|id| digest.update(id.0.to_le_bytes()));
            }
            Fingerprint(digest.finalize().into())
        })
    }
}

/// Added tokens must have text, and ids of their own or those of the same text in the model.
fn check_added(vocabulary: &Vocabulary, added: &[AddedToken]) -> Result<(), TokensError> {
    for token in added {
        if token.content.is_empty() {
            return Err(TokensError::BadSpecialToken { token: token.content.clone() });
        }
        let model = vocabulary.bytes(token.id);
        let same = |bytes: &[u8]| {
            bytes == token.content.as_bytes()
                || crate::byte_alphabet::unspell(&token.content).as_deref() == Some(bytes)
        };
        if let Some(bytes) = model.filter(|bytes| !same(bytes)) {
            return Err(TokensError::DuplicateId {
                id: token.id,
                first: String::from_utf8_lossy(bytes).into_owned(),
                second: token.content.clone(),
            });
        }
    }
    for pair in added.windows(2) {
        if pair[0].id == pair[1].id {
            return Err(TokensError::DuplicateId {
                id: pair[0].id,
                first: pair[0].content.clone(),
                second: pair[1].content.clone(),
            });
        }
    }
    Ok(())
}

/// Which tokens, met as a whole piece, are encoded as themselves: those their own merges lead
/// to or, with `ignore_merges`, all that are not added tokens.
fn whole_pieces(
    vocabulary: &Vocabulary,
    merges: &MergeTable,
    added: &[AddedToken],
    ignore_merges: bool,
) -> Vec<bool> {
    let mut scratch = MergeScratch::default();
    let mut ids = Vec::new();
    let mut is_whole = |entry: usize| {
        let (bytes, id) = vocabulary.entry(entry);
        if added.binary_search_by_key(&id, |token| token.id).is_ok() {
            return false;
        }
        if ignore_merges {
            return true;
        }
        ids.clear();
        let tokens = bytes.iter().map(|&byte| vocabulary.byte_ids()[byte as usize]);
        merges.apply(tokens, &mut scratch, &mut ids);
        ids == [id]
    };
    (0..vocabulary.entries()).map(&mut is_whole).collect()
}

/// Memory that encoding reuses from call to call.
#[derive(Debug)]
pub(crate) struct EncodeScratch {
    pub(crate) cache: PieceCache,
    pub(crate) merge: MergeScratch,
}

/// Scratch memory not in use, one for each thread that ever encoded at the same time.
#[derive(Debug, Default)]
pub(crate) struct ScratchPool(Mutex<Vec<EncodeScratch>>);

impl ScratchPool {
    /// Runs `work` with scratch memory of its own.
    #[inline]
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut EncodeScratch) -> T) -> T {
        let idle = self.lock().pop();
        let mut scratch = idle.unwrap_or_else(|| EncodeScratch {
            cache: PieceCache::new(),
            merge: MergeScratch::default(),
        });
        let result = work(&mut scratch);
        self.lock().push(scratch);
        result
    }

    /// The idle scratch memory. A panic elsewhere cannot leave it half changed, so a poisoned
    /// lock is used as it is.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<EncodeScratch>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clone for ScratchPool {
    /// A copy starts without memory of its own: caches are not worth copying.
    fn clone(&self) -> Self {
        Self::default()
    }
}
