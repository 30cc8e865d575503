//! Dialogues and their tokens in the ChatML layout, with a mark on each token that the model is to
//! learn: the assistant's words and the token that ends them, nothing else.
//!
//! ```text
//! <|im_start|>user\nHow are you?<|im_end|>\n<|im_start|>assistant\nFine.<|im_end|>\n
//! ```
//!
//! Tokens are put together turn by turn, so the names of special tokens inside a text are ordinary
//! text and no user can forge a turn. The ids are those of encoding the rendered text, but that an
//! answer never shares a token with the line break before it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use stoa_tokens::{IM_END, IM_START, TokenId, Tokenizer};

use crate::TrainingError;
use crate::error::io;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions before the dialogue.
    System,
    /// The person.
    User,
    /// The model, whose words are learned.
    Assistant,
}

impl Role {
    /// Name in the template.
    pub const fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One utterance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What they say.
    pub content: String,
}

/// A dialogue, as a line of a Hugging Face `messages` data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// The utterances in order.
    pub messages: Vec<Message>,
}

/// Tokens of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTokens {
    /// The ids.
    pub tokens: Vec<TokenId>,
    /// For each token, whether it is learned.
    pub learned: Vec<bool>,
}

/// The template as a Hugging Face `chat_template`, which renders what [`ChatFormat::encode`]
/// encodes.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The special tokens of the layout.
#[derive(Clone, Copy, Debug)]
pub struct ChatFormat<'a> {
    tokenizer: &'a Tokenizer,
    start: TokenId,
    end: TokenId,
}

impl<'a> ChatFormat<'a> {
    /// The layout in a tokenizer's ids.
    ///
    /// # Errors
    /// [`TrainingError::NoSpecialToken`].
    pub fn new(tokenizer: &'a Tokenizer) -> Result<Self, TrainingError> {
        let special = |name| tokenizer.special(name).ok_or(TrainingError::NoSpecialToken(name));
        Ok(ChatFormat { tokenizer, start: special(IM_START)?, end: special(IM_END)? })
    }

    /// Tokens of a dialogue. The line break after the last turn is left out: nothing follows it.
    pub fn encode(&self, dialogue: &Dialogue) -> ChatTokens {
        let mut chat = ChatTokens { tokens: Vec::new(), learned: Vec::new() };
        let mut push = |ids: &[TokenId], learned: bool| {
            chat.tokens.extend_from_slice(ids);
            chat.learned.resize(chat.tokens.len(), learned);
        };
        for (i, message) in dialogue.messages.iter().enumerate() {
            if i > 0 {
                push(&self.tokenizer.encode("\n"), false);
            }
            push(&[self.start], false);
            let (head, content) = (format!("{}\n", message.role.name()), &message.content);
            let learned = message.role == Role::Assistant;
            if learned {
                // As when answering: the head is given, the answer begins with a token of its own.
                push(&self.tokenizer.encode(&head), false);
                push(&self.tokenizer.encode(content), true);
            } else {
                push(&self.tokenizer.encode(&format!("{head}{content}")), false);
            }
            push(&[self.end], learned);
        }
        chat
    }
}

/// Reads dialogues, one JSON object a line.
///
/// # Errors
/// [`TrainingError::File`], [`TrainingError::DialogueLine`].
pub fn read_dialogues(path: &Path) -> Result<Vec<Dialogue>, TrainingError> {
    let text = std::fs::read_to_string(path).map_err(io("reading", path))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let error = |problem| TrainingError::DialogueLine {
                path: path.to_owned(),
                line: index + 1,
                problem,
            };
            let dialogue: Dialogue =
                serde_json::from_str(line).map_err(|e| error(e.to_string()))?;
            if dialogue.messages.iter().any(|m| m.role == Role::Assistant) {
                Ok(dialogue)
            } else {
                Err(error("no message of the assistant, so nothing to learn".into()))
            }
        })
        .collect()
}
