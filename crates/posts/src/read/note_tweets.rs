//! The long posts of an X archive, which its `tweets.js` holds truncated: joined with their texts.

use super::record::{Part, Record};
use crate::error::PostsError;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// Letters by which a cut tweet is matched with its whole text, where no identifier does it.
const OPENING_LETTERS: usize = 80;
/// Most bytes of `note-tweet.js` taken into memory.
const LARGEST_FILE_BYTES: u64 = 1 << 30;

/// The whole texts of an X archive's long posts.
#[derive(Clone, Default)]
pub(super) struct Notes {
    by_id: HashMap<String, String>,
    by_opening: HashMap<String, String>,
}

impl Notes {
    /// Reads `note-tweet.js`.
    pub(super) fn read(&mut self, path: &Path, stream: impl Read) -> Result<(), PostsError> {
        let mut text = String::new();
        stream
            .take(LARGEST_FILE_BYTES)
            .read_to_string(&mut text)
            .map_err(|cause| PostsError::Io { path: path.to_path_buf(), cause })?;
        let start = text.find('=').map_or(0, |at| at + 1);
        let notes: Vec<Value> =
            serde_json::from_str(&text[start..]).map_err(|error| PostsError::WrongJson {
                path: path.to_path_buf(),
                line: error.line() as u64,
                byte_offset: start as u64,
                cause: error.to_string(),
            })?;
        for note in notes {
            // Real archives have `core.text`; documentation shows `noteTweetResults.text`.
            let paths = ["/noteTweet/core/text", "/noteTweet/noteTweetResults/text"];
            let Some(text) = paths.iter().find_map(|path| note.pointer(path)?.as_str()) else {
                continue;
            };
            if let Some(id) = note.pointer("/noteTweet/tweetId").and_then(Value::as_str) {
                self.by_id.insert(id.to_string(), text.to_string());
            }
            self.by_opening.insert(opening(text), text.to_string());
        }
        Ok(())
    }

    /// Puts the whole text in the place of a cut one.
    pub(super) fn complete(&self, record: &mut Record) {
        if self.by_opening.is_empty() {
            return;
        }
        let by_id = record.get(Part::Id).and_then(|id| self.by_id.get(id));
        let whole = by_id.or_else(|| {
            let cut = record.get(Part::Text)?;
            // Only texts at the length limit can be cut.
            (cut.chars().count() > OPENING_LETTERS).then(|| self.by_opening.get(&opening(cut)))?
        });
        if let Some(whole) = whole {
            record.set(Part::Text, Some(whole.clone()));
        }
    }
}

fn opening(text: &str) -> String {
    text.chars().take(OPENING_LETTERS).collect()
}
