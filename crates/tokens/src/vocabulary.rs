//! The tokens of a model: bytes of every id, and the id of every byte string.
//!
//! Knows nothing of merges or special tokens.

use crate::TokensError;
use crate::byte_alphabet;
use crate::merge::LARGEST_ID;
use crate::piece_hash::hash_bytes;
use crate::piece_table::PieceTable;
use crate::pipeline::Alphabet;

/// Stands for the id of what has none; beyond [`LARGEST_ID`].
pub(crate) const NO_ID: u32 = u32::MAX;

/// One token of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelToken {
    pub(crate) id: u32,
    pub(crate) bytes: Vec<u8>,
    /// Whether the vocabulary file spells the token outside the byte alphabet, so that no text
    /// can reach it by merging; its bytes are then the spelling itself.
    pub(crate) raw: bool,
}

impl ModelToken {
    /// The token that a vocabulary file spells so.
    pub(crate) fn from_spelling(id: u32, spelling: &str, alphabet: Alphabet) -> Self {
        let as_it_stands = || spelling.as_bytes().to_vec();
        match alphabet {
            Alphabet::Characters => Self { id, bytes: as_it_stands(), raw: false },
            Alphabet::Bytes => match byte_alphabet::unspell(spelling) {
                Some(bytes) => Self { id, bytes, raw: false },
                None => Self { id, bytes: as_it_stands(), raw: true },
            },
        }
    }

    /// The token as a vocabulary file spells it.
    pub(crate) fn spelling(&self, alphabet: Alphabet) -> String {
        if self.raw || alphabet == Alphabet::Characters {
            String::from_utf8_lossy(&self.bytes).into_owned()
        } else {
            byte_alphabet::spell(&self.bytes)
        }
    }
}

/// All tokens of a model.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    alphabet: Alphabet,
    /// In ascending order of id.
    tokens: Vec<ModelToken>,
    /// Index into `tokens` of each id, or `u32::MAX`.
    index_of_id: Vec<u32>,
    /// Bytes of the tokens that are not raw.
    table: PieceTable,
    /// Id of each entry of `table`.
    id_of_entry: Vec<u32>,
    byte_ids: [u32; 256],
}

impl Vocabulary {
    /// Checks and indexes the tokens.
    pub(crate) fn new(
        alphabet: Alphabet,
        mut tokens: Vec<ModelToken>,
    ) -> Result<Self, TokensError> {
        tokens.sort_by_key(|token| token.id);
        let size = tokens.last().map_or(0, |token| token.id as usize + 1);
        if size > LARGEST_ID as usize + 1 {
            return Err(TokensError::IdTooLarge { id: size as u64 - 1, largest: LARGEST_ID });
        }
        let mut table = PieceTable::with_capacity(tokens.len());
        let mut id_of_entry: Vec<u32> = Vec::with_capacity(tokens.len());
        let mut index_of_id = vec![u32::MAX; size];
        for (index, token) in tokens.iter().enumerate() {
            let earlier = std::mem::replace(&mut index_of_id[token.id as usize], index as u32);
            if let Some(earlier) = tokens.get(earlier as usize) {
                return Err(TokensError::DuplicateId {
                    id: token.id,
                    first: earlier.spelling(alphabet),
                    second: token.spelling(alphabet),
                });
            }
            if token.raw {
                continue;
            }
            if !table.has_room_for(token.bytes.len()) {
                let (pieces, bytes) = (table.len(), table.byte_len());
                return Err(TokensError::TooManyPieces { pieces, bytes });
            }
            let (entry, new) = table.insert(&token.bytes, hash_bytes(&token.bytes));
            if !new {
                return Err(TokensError::DuplicateToken {
                    first: id_of_entry[entry as usize],
                    second: token.id,
                    bytes: String::from_utf8_lossy(&token.bytes).into_owned(),
                });
            }
            id_of_entry.push(token.id);
        }
        let mut byte_ids = [NO_ID; 256];
        for byte in 0..=255_u8 {
            if let Some(entry) = table.find(&[byte]) {
                byte_ids[byte as usize] = id_of_entry[entry as usize];
            }
        }
        Ok(Self { alphabet, tokens, index_of_id, table, id_of_entry, byte_ids })
    }

    /// All tokens, in ascending order of id.
    pub(crate) fn tokens(&self) -> &[ModelToken] {
        &self.tokens
    }

    /// One more than the largest id.
    pub(crate) fn size(&self) -> usize {
        self.index_of_id.len()
    }

    /// The place of an id among [`Vocabulary::tokens`].
    pub(crate) fn index(&self, id: u32) -> Option<usize> {
        let index = *self.index_of_id.get(id as usize)? as usize;
        (index < self.tokens.len()).then_some(index)
    }

    /// The token of an id.
    pub(crate) fn token(&self, id: u32) -> Option<&ModelToken> {
        self.tokens.get(self.index(id)?)
    }

    /// The bytes of an id.
    pub(crate) fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.token(id).map(|token| token.bytes.as_slice())
    }

    /// Entry number and id of a byte string; entries count from zero without gaps.
    #[inline(always)]
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        let entry = self.table.find(bytes)? as usize;
        Some((entry, self.id_of_entry[entry]))
    }

    /// Number of entries that [`Vocabulary::find`] can give.
    pub(crate) fn entries(&self) -> usize {
        self.id_of_entry.len()
    }

    /// Bytes and id of an entry.
    pub(crate) fn entry(&self, entry: usize) -> (&[u8], u32) {
        (self.table.get(entry as u32), self.id_of_entry[entry])
    }

    /// The token of an id as a vocabulary file spells it.
    pub(crate) fn spelling(&self, id: u32) -> Option<String> {
        self.token(id).map(|token| token.spelling(self.alphabet))
    }

    /// What the tokens are made of.
    pub(crate) fn alphabet(&self) -> Alphabet {
        self.alphabet
    }

    /// The first byte without a token, if there is one.
    pub(crate) fn missing_byte(&self) -> Option<u8> {
        (0..=255_u8).find(|&byte| self.byte_ids[byte as usize] == NO_ID)
    }

    /// The id of each single byte, or [`NO_ID`].
    #[inline(always)]
    pub(crate) fn byte_ids(&self) -> &[u32; 256] {
        &self.byte_ids
    }
}
