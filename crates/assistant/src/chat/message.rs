//! What is said, by whom, and everything else a template may print. No text is made here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Json, LocalTime};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Rules of the conversation.
    System,
    /// Rules too, as newer models call them.
    Developer,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// Its name in templates.
    pub const fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `None` where a turn is a tool call alone.
    pub content: Option<String>,
    /// Other fields that templates read: `tool_calls`, `name`, `reasoning_content`.
    pub fields: Vec<(String, Json)>,
}

impl Message {
    /// A message of plain text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Message { role, content: Some(content.into()), fields: Vec::new() }
    }

    /// Rules of the conversation.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// What the person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// What the model said.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Sets another field.
    pub fn with_field(mut self, name: impl Into<String>, value: Json) -> Self {
        self.fields.push((name.into(), value));
        self
    }
}

/// What a template renders.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation<'a> {
    /// Turns, oldest first.
    pub messages: &'a [Message],
    /// Functions the model may call, as JSON schemas.
    pub tools: &'a [Json],
    /// Texts to answer from, where the template knows `documents`.
    pub documents: &'a [Json],
    /// Variables of this template, such as `enable_thinking`.
    pub variables: &'a [(String, Json)],
    /// Whether the prompt ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// The time that `strftime_now` gives.
    pub now: LocalTime,
}

impl<'a> Conversation<'a> {
    /// A conversation that waits for the assistant's answer.
    pub fn new(messages: &'a [Message], now: LocalTime) -> Self {
        Conversation {
            messages,
            tools: &[],
            documents: &[],
            variables: &[],
            add_generation_prompt: true,
            now,
        }
    }
}
