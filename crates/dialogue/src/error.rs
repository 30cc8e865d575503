//! What can go wrong with dialogues and templates, with the values needed to put it right.

use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum DialogueError {
    /// A chat template is not valid Jinja, or failed on these messages.
    #[error("chat template: {message}")]
    Template {
        /// Jinja's message, with the line.
        message: String,
    },
    /// The template itself refuses the conversation (`raise_exception`).
    #[error("the model's chat template refuses this conversation: {message}")]
    ConversationRefused {
        /// The template's words.
        message: String,
    },
    /// Several templates, none of which is the default.
    #[error(
        "the model has the chat templates {} and no default; name the one to use with \
         --chat-template, or write it into chat_template.jinja next to tokenizer_config.json",
        .names.join(", ")
    )]
    NoDefaultTemplate {
        /// Their names.
        names: Vec<String>,
    },
    /// The model has no template.
    #[error(
        "{directory} has no chat template (chat_template.jinja, or chat_template in \
         tokenizer_config.json), so how this model is asked is not known; name a layout with \
         --chat-template ({}), raw for plain text to continue, or give a file with a template",
        crate::ChatTemplate::built_in_names().join(", ")
    )]
    NoTemplate {
        /// The model's directory.
        directory: PathBuf,
    },
    /// No template has the name that was asked for, and no file.
    #[error("no chat template or file is named {name}; there are {}", .names.join(", "))]
    UnknownTemplate {
        /// The name.
        name: String,
        /// Names of those that there are.
        names: Vec<String>,
    },
    /// The tokenizer lacks special tokens that the template writes.
    #[error(
        "the chat template writes {}, which this tokenizer does not have as special tokens; give \
         the model's own template as chat_template.jinja, or continue plain text with \
         --chat-template raw",
        .tokens.join(", ")
    )]
    MissingTokens {
        /// The tokens.
        tokens: Vec<String>,
    },
    /// Without marks in the template, the loss mask cannot be found.
    #[error(
        "message {message}: the chat template writes this answer otherwise once more messages \
         follow, so its tokens cannot be found; mark the answers in the template with \
         {{% generation %}} and {{% endgeneration %}}"
    )]
    AnswerMoved {
        /// Number of the message, from 0.
        message: usize,
    },
    /// Text holds every character that could mark it as text.
    #[error("the messages use up all characters reserved for marking text; remove noncharacters")]
    NoMarkLeft,
    /// A file could not be read.
    #[error("reading {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file of the model cannot be used.
    #[error("{path}: {source}")]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<DialogueError>,
    },
    /// `tokenizer_config.json` is not JSON.
    #[error("tokenizer_config.json is not JSON: {message}")]
    Json {
        /// The parser's message, with line and column.
        message: String,
    },
    /// A line of a file of dialogues cannot be used.
    #[error("{path}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl DialogueError {
    /// The same error with the file it comes from.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        DialogueError::InFile { path: path.to_owned(), source: Box::new(self) }
    }
}
