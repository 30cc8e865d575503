//! `vocab.json` with `merges.txt`, the two files of GPT-2 and RoBERTa.
//!
//! They name neither a pattern nor special tokens: text is cut as GPT-2 does unless another
//! pattern is given, and the usual names are special where the vocabulary holds them.

use std::collections::HashMap;
use std::path::Path;

use crate::error::excerpt;
use crate::merge::Merge;
use crate::settings::Settings;
use crate::{AddedToken, Pattern, Tokenizer, TokensError};

/// Names of special tokens in vocabularies of this kind.
const SPECIAL: [&str; 6] = ["<|endoftext|>", "<s>", "</s>", "<pad>", "<unk>", "<mask>"];

impl Tokenizer {
    /// Reads the texts of a `vocab.json` and a `merges.txt`; without a pattern text is cut as
    /// GPT-2 does, and [`Tokenizer::left_aside`] says so.
    pub fn from_vocab_and_merges(
        vocab: &[u8],
        merges: &[u8],
        pattern: Option<Pattern>,
    ) -> Result<Self, TokensError> {
        let vocab: HashMap<String, u32> = serde_json::from_slice(vocab)?;
        if vocab.keys().any(|token| token.ends_with("</w>")) {
            return Err(TokensError::OtherFile {
                what: "a vocabulary that marks ends of words with </w>, whose normalizer and \
                       pattern it does not name",
                remedy: "give the tokenizer.json of the same directory",
            });
        }
        let merges = read_merges(merges, &vocab)?;
        let mut settings = Settings::byte_level(pattern.unwrap_or(Pattern::Gpt2));
        if pattern.is_none() {
            settings.notes.push(
                "the pattern, which vocab.json and merges.txt do not name: text is cut as GPT-2 \
                 does unless --pattern names another"
                    .to_owned(),
            );
        }
        let special = |name: &&str| Some(AddedToken::special(*vocab.get(*name)?, *name));
        let added = SPECIAL.iter().filter_map(special).collect();
        let entries = vocab.iter().map(|(spelling, &id)| (spelling.as_str(), id));
        Self::from_spellings(entries, merges, settings, added)
    }

    /// Reads a `vocab.json` with the `merges.txt` of the same directory.
    pub fn open_vocab_and_merges(
        vocab: &Path,
        pattern: Option<Pattern>,
    ) -> Result<Self, TokensError> {
        let read = |path: &Path| std::fs::read(path).map_err(TokensError::io("reading", path));
        let merges = vocab.with_file_name("merges.txt");
        Self::from_vocab_and_merges(&read(vocab)?, &read(&merges)?, pattern)
            .map_err(|error| error.at(vocab))
    }
}

/// One merge a line; the first line may name a version.
fn read_merges(text: &[u8], vocab: &HashMap<String, u32>) -> Result<Vec<Merge>, TokensError> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
    let read = |(index, line): (usize, &str)| {
        let malformed = || TokensError::MalformedMerge { index, value: excerpt(line) };
        let (left, right) = line.split_once(' ').ok_or_else(malformed)?;
        let id = |token: &str| {
            vocab.get(token).copied().ok_or_else(|| TokensError::MergeOutOfVocabulary {
                index,
                left: excerpt(left),
                right: excerpt(right),
                missing: excerpt(token),
            })
        };
        let merged = id(&[left, right].concat())?;
        Ok(Merge { left: id(left)?, right: id(right)?, merged })
    };
    lines.enumerate().map(read).collect()
}
