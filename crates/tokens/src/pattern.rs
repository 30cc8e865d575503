//! The pre-tokenisation patterns that published byte-level tokenizers use, as a closed set.
//!
//! Holds the names and the regular expressions; `split` has the hand-written machines that
//! match as the expressions do.

use crate::TokensError;

/// How text is cut into pieces before merging. No merge crosses the border of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// GPT-2: words with a leading space, digits in runs of any length.
    Gpt2,
    /// GPT-4 and Llama 3: one leading non-letter on words, digits by three.
    #[default]
    Gpt4,
    /// [`Pattern::Gpt4`] as tiktoken writes it today, where white space that ends the text stays
    /// one piece even if it holds line breaks.
    Cl100k,
    /// GPT-4o (`o200k`): words split where case changes, contractions stay with their word.
    O200k,
    /// Qwen 2 and 3: [`Pattern::Gpt4`] with digits one by one.
    Qwen2,
    /// Qwen 3.5: [`Pattern::Qwen2`] with combining marks taken as letters.
    Qwen35,
    /// Mistral's tekken: [`Pattern::O200k`] without contractions, digits one by one.
    Tekken,
    /// nanochat: [`Pattern::Gpt4`] with digits by two, kinder to small vocabularies.
    Nanochat,
}

/// The one expression GPT-2's `ByteLevel` uses.
pub(crate) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const GPT4: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// tiktoken's expression but for its `{1,3}+`, which Oniguruma, the engine of Hugging Face's
/// tokenizers, reads as a repeated repeat; possessive or not, it matches the same here.
const CL100K: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";
pub(crate) const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
pub(crate) const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const NANOCHAT: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

/// Other spellings that match the same pieces on every text.
const SYNONYMS: &[(Pattern, &str)] = &[
    // tiktoken's faster spelling of GPT-2's expression.
    (
        Pattern::Gpt2,
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    ),
    (Pattern::Gpt2, r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
    // tiktoken before possessive repeats, rustbpe and nanochat's GPT-4 pattern.
    (
        Pattern::Gpt4,
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    ),
];

impl Pattern {
    /// Every pattern.
    pub const ALL: [Self; 8] = [
        Self::Gpt2,
        Self::Gpt4,
        Self::Cl100k,
        Self::O200k,
        Self::Qwen2,
        Self::Qwen35,
        Self::Tekken,
        Self::Nanochat,
    ];

    /// The regular expression, as written into a `tokenizer.json`.
    pub fn regex(self) -> &'static str {
        match self {
            Self::Gpt2 => GPT2,
            Self::Gpt4 => GPT4,
            Self::Cl100k => CL100K,
            Self::O200k => O200K,
            Self::Qwen2 => QWEN2,
            Self::Qwen35 => QWEN35,
            Self::Tekken => TEKKEN,
            Self::Nanochat => NANOCHAT,
        }
    }

    /// The name used on command lines and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::Gpt4 => "gpt4",
            Self::Cl100k => "cl100k",
            Self::O200k => "o200k",
            Self::Qwen2 => "qwen2",
            Self::Qwen35 => "qwen35",
            Self::Tekken => "tekken",
            Self::Nanochat => "nanochat",
        }
    }

    /// The pattern of that [`Pattern::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pattern| pattern.name() == name)
    }

    /// The pattern that matches as the regular expression does.
    pub fn from_regex(regex: &str) -> Result<Self, TokensError> {
        let exact = Self::ALL.into_iter().find(|pattern| pattern.regex() == regex);
        let synonym =
            || SYNONYMS.iter().find(|(_, text)| *text == regex).map(|(pattern, _)| *pattern);
        exact.or_else(synonym).ok_or_else(|| TokensError::UnknownPattern {
            regex: regex.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }

    /// Spellings other than [`Pattern::regex`] that are read as this pattern.
    pub fn synonyms(self) -> impl Iterator<Item = &'static str> {
        SYNONYMS.iter().filter(move |(pattern, _)| *pattern == self).map(|(_, regex)| *regex)
    }

    /// The pieces of `text` in order; together they are the text.
    pub fn pieces(self, text: &str) -> Vec<&str> {
        let mut pieces = Vec::new();
        crate::split::for_each_piece(self, text.as_bytes(), |start, end| {
            pieces.push(&text[start..end]);
        });
        pieces
    }
}
