//! Lines of a conversation: from the terminal with editing and history, or from standard input, where
//! a line that is not UTF-8 is reported and the next one read.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::terminal::Terminal;

/// Where lines come from.
pub enum Lines {
    /// A person at a terminal, and the file of their questions.
    Terminal(Box<DefaultEditor>, Option<PathBuf>),
    /// Anything else: the number of lines read.
    Input(u64),
}

/// The next line.
pub enum Line {
    /// Its text.
    Text(String),
    /// A line that is not text: its number, and the byte where that shows, both from 1.
    NotText {
        /// The line.
        line: u64,
        /// The byte.
        byte: usize,
    },
    /// Ctrl-C at the prompt.
    Nothing,
    /// No more.
    End,
}

impl Lines {
    /// Those of the terminal where a person is there, with the history of a file; else those of
    /// standard input.
    ///
    /// # Errors
    /// A terminal that cannot be used.
    pub fn open(history: Option<&Path>, terminal: &Terminal) -> anyhow::Result<Self> {
        if !terminal.interactive() || terminal.json() {
            return Ok(Lines::Input(0));
        }
        let mut editor = DefaultEditor::new().context("cannot use this terminal")?;
        if let Some(history) = history {
            // The first conversation has no history to load.
            let _ = editor.load_history(history);
        }
        Ok(Lines::Terminal(Box::new(editor), history.map(Path::to_owned)))
    }

    /// Reads a line.
    ///
    /// # Errors
    /// A terminal that cannot be read.
    pub fn next(&mut self) -> anyhow::Result<Line> {
        match self {
            Lines::Terminal(editor, _) => match editor.readline("› ") {
                Ok(line) => {
                    if !line.trim().is_empty() {
                        editor.add_history_entry(&line).context("cannot keep the history")?;
                    }
                    Ok(Line::Text(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Line::Nothing),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(error).context("cannot read from this terminal"),
            },
            Lines::Input(number) => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().lock().read_until(b'\n', &mut bytes);
                if read.context("cannot read standard input")? == 0 {
                    return Ok(Line::End);
                }
                *number += 1;
                Ok(match String::from_utf8(bytes) {
                    Ok(text) => Line::Text(text),
                    Err(error) => {
                        Line::NotText { line: *number, byte: error.utf8_error().valid_up_to() + 1 }
                    }
                })
            }
        }
    }

    /// Keeps the history.
    pub fn close(self) {
        if let Lines::Terminal(mut editor, Some(history)) = self {
            // A history that cannot be kept is no reason to fail at the end of a conversation.
            let _ = editor.save_history(&history);
        }
    }
}
