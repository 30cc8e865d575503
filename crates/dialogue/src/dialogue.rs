//! Roles, messages, dialogues: one form for files, training and answering. The serde form of a
//! [`Dialogue`] is a line of a Hugging Face `messages` data set. Renders nothing.

use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::{Json, LocalTime};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Rules of the dialogue.
    System,
    /// Rules too, as newer models call them.
    Developer,
    /// The person who asks.
    User,
    /// The model, whose words are learned.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    const ALL: [Role; 5] = [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool];

    /// Its name in files and templates.
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

/// One message of a dialogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text; `None` where a message is a tool call alone.
    pub content: Option<String>,
    /// Other fields that templates read: `tool_calls`, `name`, `reasoning_content`.
    pub fields: Vec<(String, Json)>,
}

impl Message {
    /// A message of plain text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Message { role, content: Some(content.into()), fields: Vec::new() }
    }

    /// Rules of the dialogue.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// What the person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// What the model says.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Sets another field.
    pub fn with_field(mut self, name: impl Into<String>, value: Json) -> Self {
        self.fields.push((name.into(), value));
        self
    }

    /// The text; empty for a tool call alone.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }

    /// A message from its JSON object, or what is wrong with it.
    fn from_json(value: Json) -> Result<Self, String> {
        let Json::Object(object) = value else {
            return Err("a message is an object with `role` and `content`".into());
        };
        let (mut role, mut content, mut fields) = (None, None, Vec::new());
        for (name, value) in object {
            match (name.as_str(), value) {
                ("role", Json::String(name)) => {
                    let known = Role::ALL.into_iter().find(|role| role.name() == name);
                    let names = Role::ALL.map(Role::name).join(", ");
                    role = Some(known.ok_or(format!("role `{name}` is none of {names}"))?);
                }
                ("content", Json::String(text)) => content = Some(Some(text)),
                ("content", Json::Null) => content = Some(None),
                ("content", Json::Array(_)) => {
                    return Err("`content` is a list of parts; write the text of its parts as \
                                one string"
                        .into());
                }
                ("weight", Json::Integer(1)) => {}
                ("weight", _) => {
                    return Err("`weight` of a message other than 1 is not supported; leave out \
                                what is not to be learned"
                        .into());
                }
                (_, value) => fields.push((name, value)),
            }
        }
        let role = role.ok_or("a message has no `role`")?;
        let calls = fields.iter().any(|(name, _)| name == "tool_calls");
        let content = match content {
            Some(content) => content,
            None if calls => None,
            None => return Err(format!("a message of the {role} has no `content`")),
        };
        Ok(Message { role, content, fields })
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2 + self.fields.len()))?;
        map.serialize_entry("role", self.role.name())?;
        map.serialize_entry("content", &self.content)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Message::from_json(Json::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A dialogue, as a line of a Hugging Face `messages` data set. Fields of the line that say where
/// it comes from are not part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Dialogue {
    /// Messages, oldest first.
    pub messages: Vec<Message>,
    /// Functions the model may call, as JSON schemas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Json>,
}

impl Dialogue {
    /// A dialogue of these messages, without tools.
    pub fn new(messages: Vec<Message>) -> Self {
        Dialogue { messages, tools: Vec::new() }
    }

    /// A dialogue of alternating messages, the user's first.
    pub fn alternating<Text: Into<String>>(texts: impl IntoIterator<Item = Text>) -> Self {
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let message = |(text, role): (Text, Role)| Message::new(role, text);
        Dialogue::new(texts.into_iter().zip(roles).map(message).collect())
    }

    /// Whether the assistant says anything.
    pub fn has_answer(&self) -> bool {
        self.messages.iter().any(|message| message.role == Role::Assistant)
    }

    /// The finished dialogue for a template. Without a time, `strftime_now` is undefined, which
    /// templates that print the date take as a reason to print a fixed one.
    pub fn conversation(&self, now: Option<LocalTime>) -> Conversation<'_> {
        Conversation {
            messages: &self.messages,
            tools: &self.tools,
            documents: &[],
            variables: &[],
            add_generation_prompt: false,
            now,
        }
    }

    fn from_json(value: Json) -> Result<Self, String> {
        let Json::Object(object) = value else {
            return Err("a dialogue is an object with `messages`".into());
        };
        let (mut messages, mut tools) = (None, Vec::new());
        let mut others = Vec::new();
        for (name, value) in object {
            match (name.as_str(), value) {
                ("messages", Json::Array(list)) => {
                    let list: Result<_, _> = list.into_iter().map(Message::from_json).collect();
                    messages = Some(list?);
                }
                ("tools", Json::Array(list)) => tools = list,
                _ => others.push(name),
            }
        }
        let has = |name: &str| others.iter().any(|other| other == name);
        let messages = messages.ok_or_else(|| {
            let format = if has("conversations") {
                "`conversations` of `from` and `value` (ShareGPT)"
            } else if has("prompt") {
                "`prompt` with `completion`"
            } else if has("instruction") {
                "`instruction` with `output` (Alpaca)"
            } else {
                return "missing field `messages`, a list of objects with `role` and `content`"
                    .to_owned();
            };
            format!("{format} is another format; write `messages` of `role` and `content`")
        })?;
        Ok(Dialogue { messages, tools })
    }
}

impl<'de> Deserialize<'de> for Dialogue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Dialogue::from_json(Json::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// What a template renders.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation<'a> {
    /// Messages, oldest first.
    pub messages: &'a [Message],
    /// Functions the model may call, as JSON schemas.
    pub tools: &'a [Json],
    /// Texts to answer from, where the template knows `documents`.
    pub documents: &'a [Json],
    /// Variables of this template, such as `enable_thinking`.
    pub variables: &'a [(String, Json)],
    /// Whether the prompt ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// The time that `strftime_now` gives; without it that function is undefined.
    pub now: Option<LocalTime>,
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
            now: Some(now),
        }
    }
}
