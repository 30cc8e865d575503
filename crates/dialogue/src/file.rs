//! Files of dialogues: a JSON object on each line. Writes nothing; a [`Dialogue`]'s serde form is
//! the line.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use crate::{Dialogue, DialogueError};

/// Reads dialogues to learn from. Empty lines and a byte-order mark are skipped.
///
/// # Errors
/// [`DialogueError::Io`]; [`DialogueError::Line`] for a line that is not a dialogue or in which
/// the assistant says nothing.
pub fn read_dialogues(path: &Path) -> Result<Vec<Dialogue>, DialogueError> {
    let io = |source| DialogueError::Io { path: path.to_owned(), source };
    let mut dialogues = Vec::new();
    for (index, line) in BufReader::new(File::open(path).map_err(io)?).lines().enumerate() {
        let line = line.map_err(io)?;
        let line = line.trim_start_matches('\u{FEFF}').trim();
        if line.is_empty() {
            continue;
        }
        let error =
            |problem| DialogueError::Line { path: path.to_owned(), line: index + 1, problem };
        let dialogue: Dialogue = serde_json::from_str(line).map_err(|e| error(e.to_string()))?;
        if !dialogue.has_answer() {
            return Err(error("no message of the assistant, so nothing to learn".into()));
        }
        dialogues.push(dialogue);
    }
    Ok(dialogues)
}
