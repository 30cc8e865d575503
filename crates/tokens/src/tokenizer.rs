//! The tokenizer: its parts, their checks, and its fingerprint.
//!
//! `encode` and `decode` hold what it does; `file` how it is read and written.

use std::fmt;
use std::sync::{Mutex, OnceLock};

use sha2::{Digest, Sha256};

use crate::added_token::AddedTokenMatcher;
use crate::merge::{Merge, MergeScratch, MergeTable};
use crate::piece_cache::PieceCache;
use crate::pipeline::{Alphabet, Cutting, Form, Normalizer, Pipeline};
use crate::settings::Settings;
use crate::symbols::Symbols;
use crate::vocabulary::{ModelToken, NO_ID, Vocabulary};
use crate::{AddedToken, Pattern, TokenId, TokensError};

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
#[derive(Clone, Debug)]
pub(crate) struct TokenizerParts {
    pub(crate) tokens: Vec<ModelToken>,
    pub(crate) merges: Vec<Merge>,
    pub(crate) settings: Settings,
    /// What the settings compile to.
    pub(crate) pipeline: Pipeline,
    pub(crate) added: Vec<AddedToken>,
}

/// A BPE tokenizer.
///
/// Cheap to share between threads by reference: encoding takes `&self` and keeps its working
/// memory, including a cache of pieces, in a pool.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) merges: MergeTable,
    pub(crate) symbols: Symbols,
    /// Whether each entry of the vocabulary, met as a piece, is that one token.
    pub(crate) whole: Vec<bool>,
    pub(crate) settings: Settings,
    pub(crate) pipeline: Pipeline,
    /// In ascending order of id.
    pub(crate) added: Vec<AddedToken>,
    pub(crate) surfaces: Surfaces,
    pub(crate) raw_matcher: AddedTokenMatcher,
    pub(crate) normalized_matcher: AddedTokenMatcher,
    pub(crate) pool: ScratchPool,
    vocab_size: usize,
    fingerprint: OnceLock<Fingerprint>,
}

/// The bytes of tokens inside a text, where they are not those of the vocabulary.
#[derive(Clone, Debug)]
pub(crate) struct Surfaces {
    /// In the order of the vocabulary's tokens; none if they are their own bytes.
    pub(crate) tokens: Option<Vec<Vec<u8>>>,
    /// In the order of the added tokens.
    pub(crate) added: Vec<Vec<u8>>,
}

impl Surfaces {
    fn new(pipeline: &Pipeline, vocabulary: &Vocabulary, added: &[AddedToken]) -> Self {
        let decoder = &pipeline.decoder;
        let plain = vocabulary.alphabet() == Alphabet::Bytes && decoder.is_byte_level();
        let surface = |token: &ModelToken| decoder.token(&token.spelling(vocabulary.alphabet()));
        Self {
            tokens: (!plain).then(|| vocabulary.tokens().iter().map(surface).collect()),
            added: added.iter().map(|token| decoder.added_token(&token.content)).collect(),
        }
    }
}

impl Tokenizer {
    /// Compiles settings and puts them together with the tokens that a vocabulary spells so.
    pub(crate) fn from_spellings<'a>(
        vocab: impl IntoIterator<Item = (&'a str, u32)>,
        merges: Vec<Merge>,
        settings: Settings,
        added: Vec<AddedToken>,
    ) -> Result<Self, TokensError> {
        let pipeline = Pipeline::compile(&settings)?;
        let token = |(spelling, id)| ModelToken::from_spelling(id, spelling, pipeline.alphabet);
        let tokens = vocab.into_iter().map(token).collect();
        Self::assemble(TokenizerParts { tokens, merges, settings, pipeline, added })
    }

    /// Checks the parts and puts them together.
    pub(crate) fn assemble(parts: TokenizerParts) -> Result<Self, TokensError> {
        let TokenizerParts { tokens, merges, settings, pipeline, mut added } = parts;
        let vocabulary = Vocabulary::new(pipeline.alphabet, tokens)?;
        let merges = MergeTable::new(merges)?;
        added.sort_by_key(|token| token.id);
        check_added(&vocabulary, &added)?;
        let whole = whole_pieces(&vocabulary, &merges, &added, settings.model.ignore_merges);
        let (normalized, raw): (Vec<_>, Vec<_>) =
            added.iter().cloned().partition(|token| token.normalized);
        let normalized_text =
            |token: AddedToken| (pipeline.normalize(&token.content).into_owned(), token);
        let added_size = added.last().map_or(0, |token| token.id as usize + 1);
        Ok(Self {
            vocab_size: vocabulary.size().max(added_size),
            raw_matcher: AddedTokenMatcher::new(
                raw.into_iter().map(|token| (token.content.clone(), token)),
            ),
            normalized_matcher: AddedTokenMatcher::new(normalized.into_iter().map(normalized_text)),
            symbols: Symbols::new(&settings.model, &vocabulary),
            surfaces: Surfaces::new(&pipeline, &vocabulary, &added),
            vocabulary,
            merges,
            whole,
            settings,
            pipeline,
            added,
            pool: ScratchPool::default(),
            fingerprint: OnceLock::new(),
        })
    }

    /// Rows that a table indexed by id needs: one more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Rows that ordinary text needs: one more than the largest id that is no special token.
    pub fn text_vocab_size(&self) -> usize {
        let special = |id: u32| self.added_token(id).is_some_and(|token| token.special);
        let tokens = self.vocabulary.tokens().iter().rev().map(|token| token.id);
        let largest = tokens.chain(self.added.iter().rev().map(|token| token.id));
        largest.filter(|&id| !special(id)).max().map_or(0, |id| id as usize + 1)
    }

    /// The published pattern that alone cuts text into pieces, if one does.
    pub fn pattern(&self) -> Option<Pattern> {
        match &self.pipeline.cutting {
            Cutting::Machine { pattern, .. } => Some(*pattern),
            Cutting::Steps(_) => None,
        }
    }

    /// Whether text is changed before it is cut, so that decoding may give other text.
    pub fn normalizes(&self) -> bool {
        !self.pipeline.normalizers.is_empty()
    }

    /// What the file asks for that has no effect here, such as a saved truncation, each in a few
    /// words. It is written back with the tokenizer.
    pub fn left_aside(&self) -> Vec<String> {
        self.settings.left_aside()
    }

    /// Characters and bytes of all texts encoded so far that have no token and no unknown token
    /// to stand for them: their ids lack them.
    pub fn characters_left_out(&self) -> u64 {
        self.pipeline.left_out.characters()
    }

    /// Searches for a regular expression of the file, in all texts encoded so far, that were given
    /// up for their cost; what they would have cut is one piece.
    pub fn searches_given_up(&self) -> u64 {
        self.pipeline.left_out.searches()
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
        &self.pipeline.around.prefix
    }

    /// Ids that the tokenizer's template puts after a document.
    pub fn document_suffix(&self) -> &[TokenId] {
        &self.pipeline.around.suffix
    }

    /// The bytes an id stands for inside a text; those of an added token are its text.
    pub fn token_bytes(&self, id: TokenId) -> Option<&[u8]> {
        if !self.added.is_empty()
            && let Ok(at) = self.added.binary_search_by_key(&id.0, |token| token.id)
        {
            return Some(&self.surfaces.added[at]);
        }
        match &self.surfaces.tokens {
            None => self.vocabulary.bytes(id.0),
            Some(surfaces) => self.vocabulary.index(id.0).map(|at| surfaces[at].as_slice()),
        }
    }

    /// The added token of an id.
    pub(crate) fn added_token(&self, id: u32) -> Option<&AddedToken> {
        let at = self.added.binary_search_by_key(&id, |token| token.id).ok()?;
        self.added.get(at)
    }

    /// SHA-256 over all that decides ids: two tokenizers with the same fingerprint encode alike.
    /// Independent of the file format the tokenizer came from.
    pub fn fingerprint(&self) -> Fingerprint {
        *self.fingerprint.get_or_init(|| {
            let mut digest = Sha256::new();
            self.digest_pipeline(&mut digest);
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
            let around = &self.pipeline.around;
            for ids in [&around.prefix, &around.suffix] {
                number(&mut digest, ids.len());
                ids.iter().for_each(|id| digest.update(id.0.to_le_bytes()));
            }
            Fingerprint(digest.finalize().into())
        })
    }

    /// What decides ids before the model: short for bytes cut by one pattern, else the parts as
    /// they stand.
    fn digest_pipeline(&self, digest: &mut Sha256) {
        let nfc = match self.pipeline.normalizers.as_slice() {
            [] => Some(false),
            [Normalizer::Form(Form::Nfc)] => Some(true),
            _ => None,
        };
        let bytes = self.pipeline.alphabet == Alphabet::Bytes;
        let all_bytes = bytes && self.vocabulary.missing_byte().is_none();
        let ignore_merges = u8::from(self.settings.model.ignore_merges);
        if let (Cutting::Machine { pattern, prefix_space }, Some(nfc), true) =
            (&self.pipeline.cutting, nfc, all_bytes)
        {
            digest.update(b"stoa tokenizer 1\0");
            digest.update(pattern.name());
            digest.update([0, u8::from(nfc), u8::from(*prefix_space), ignore_merges]);
            return;
        }
        digest.update(b"stoa tokenizer 2\0");
        let model = &self.settings.model;
        digest.update(self.settings.normalizer.to_string());
        digest.update(self.settings.pre_tokenizer.to_string());
        let affixes = (&model.continuing_subword_prefix, &model.end_of_word_suffix);
        digest.update(format!("{:?}{affixes:?}", model.unk_token));
        digest.update([u8::from(model.fuse_unk), u8::from(model.byte_fallback), ignore_merges]);
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
/// to or, with `ignore_merges`, all that are not added tokens. Tokens of characters start from
/// symbols that depend on their place, so that only `ignore_merges` makes them whole.
fn whole_pieces(
    vocabulary: &Vocabulary,
    merges: &MergeTable,
    added: &[AddedToken],
    ignore_merges: bool,
) -> Vec<bool> {
    let mut scratch = MergeScratch::default();
    let mut ids = Vec::new();
    let in_bytes = vocabulary.alphabet() == Alphabet::Bytes;
    let mut is_whole = |entry: usize| {
        let (bytes, id) = vocabulary.entry(entry);
        if added.binary_search_by_key(&id, |token| token.id).is_ok() {
            return false;
        }
        if ignore_merges {
            return true;
        }
        let has_no_id = |byte: &u8| vocabulary.byte_ids()[*byte as usize] == NO_ID;
        if !in_bytes || bytes.iter().any(has_no_id) {
            return false;
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
    pub(crate) symbols: Vec<u32>,
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
            symbols: Vec::new(),
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
