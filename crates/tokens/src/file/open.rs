//! Opens a tokenizer of any of the kinds read here, by what its file holds.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{Tokenizer, TokensError};

/// The fields that tell the JSON files of tokenizers apart.
#[derive(Deserialize)]
struct Fields {
    model: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    vocab: Option<IgnoredAny>,
    tokenizer_class: Option<IgnoredAny>,
}

impl Tokenizer {
    /// Reads a tokenizer: a Hugging Face `tokenizer.json`, Mistral's `tekken.json`, a
    /// SentencePiece `.model` of the BPE kind, a `vocab.json` with `merges.txt` of the same directory, or a
    /// directory that holds one of these: see [`Tokenizer::of_directory`].
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        if path.is_dir() {
            return Self::of_directory(path);
        }
        let bytes = std::fs::read(path).map_err(TokensError::io("reading", path))?;
        Self::read(path, &bytes).map_err(|error| error.at(path))
    }

    fn read(path: &Path, bytes: &[u8]) -> Result<Self, TokensError> {
        if bytes.starts_with(b"GGUF") {
            return Err(TokensError::OtherFile {
                what: "a GGUF file, whose tokenizer is part of the model",
                remedy: "`stoa models export --to safetensors` writes its tokenizer.json",
            });
        }
        let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if start != Some(&b'{') {
            return match path.file_name().and_then(|name| name.to_str()) {
                Some("merges.txt") => Err(TokensError::OtherFile {
                    what: "a list of merges without its vocabulary",
                    remedy: "give the vocab.json of the same directory",
                }),
                Some(name) if name.ends_with(".json") => Self::from_hugging_face_json(bytes),
                _ => Self::from_sentence_piece(bytes),
            };
        }
        if is_vocabulary(bytes) {
            let merges = path.with_file_name("merges.txt");
            let text = std::fs::read(&merges).map_err(TokensError::io("reading", &merges))?;
            return Self::from_vocab_and_merges(bytes, &text, None);
        }
        // A file of another shape is for the reader of tokenizer.json to name.
        let fields = serde_json::from_slice::<Fields>(bytes);
        match fields {
            Ok(Fields { model: None, config: Some(_), vocab: Some(_), .. }) => {
                Self::from_tekken(bytes)
            }
            Ok(Fields { model: None, tokenizer_class: Some(_), .. }) => {
                Err(TokensError::OtherFile {
                    what: "a tokenizer_config.json, which holds settings and no vocabulary",
                    remedy: "give the tokenizer.json of the same directory",
                })
            }
            _ => Self::from_hugging_face_json(bytes),
        }
    }
}

/// Whether a JSON file is a flat map from tokens to ids.
fn is_vocabulary(bytes: &[u8]) -> bool {
    serde_json::from_slice::<std::collections::HashMap<String, u32>>(bytes)
        .is_ok_and(|vocab| !vocab.is_empty())
}
