//! Chat templates: Jinja as Hugging Face's `apply_chat_template` runs it. Renders a conversation
//! to text; `encode` turns it into tokens, `model_files` reads the template of a model.
//!
//! The language is in `jinja`. What is passed to it is as in `transformers`: messages with
//! reasoning under each of its names, tools, documents, special tokens, variables of the person.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use stoa_tokens::{IM_END, IM_START, Tokenizer};

use crate::jinja::{FUNCTIONS, Fault, FaultKind, Function, Program, Run, Value, parse};
use crate::{Conversation, DialogueError, Json, Message};

/// Names under which templates look for the model's reasoning; the first given fills the others.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A template of this crate.
struct BuiltIn {
    name: &'static str,
    source: &'static str,
    /// Special tokens without which it is only letters.
    tokens: &'static [&'static str],
    /// The one of them that ends a turn.
    end: Option<&'static str>,
}

/// Templates that can be chosen by name, written for this crate in the layouts of well-known
/// families. `raw` is the messages' text alone, after what the tokenizer puts before a text.
const BUILT_IN: [BuiltIn; 5] = [
    BuiltIn {
        name: "chatml",
        source: include_str!("templates/chatml.jinja"),
        tokens: &[IM_START, IM_END],
        end: Some(IM_END),
    },
    BuiltIn {
        name: "gemma",
        source: include_str!("templates/gemma.jinja"),
        tokens: &["<start_of_turn>", "<end_of_turn>"],
        end: Some("<end_of_turn>"),
    },
    BuiltIn {
        name: "llama3",
        source: include_str!("templates/llama3.jinja"),
        tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        end: Some("<|eot_id|>"),
    },
    BuiltIn {
        name: "mistral",
        source: include_str!("templates/mistral.jinja"),
        tokens: &["[INST]", "[/INST]"],
        end: None,
    },
    BuiltIn { name: "raw", source: include_str!("templates/raw.jinja"), tokens: &[], end: None },
];

/// A compiled chat template.
#[derive(Clone)]
pub struct ChatTemplate {
    source: String,
    program: Arc<Program>,
    /// Special tokens such as `bos_token`.
    variables: BTreeMap<String, String>,
    /// Variables that the person set, such as `enable_thinking`.
    options: Vec<(String, Json)>,
    built_in: Option<&'static BuiltIn>,
    /// The directory that has no template: every conversation is refused.
    missing: Option<PathBuf>,
}

/// What is written where `{% generation %}` begins and ends: a private character each for the loss
/// mask, nothing for text.
pub(crate) type GenerationMarks = (String, String);

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Compiles the text of a `chat_template.jinja`.
    ///
    /// # Errors
    /// [`DialogueError::Template`] with the line that is not Jinja.
    pub fn new(source: &str) -> Result<Self, DialogueError> {
        let program = parse(source).map_err(template_error)?;
        Ok(ChatTemplate {
            source: source.to_owned(),
            program: Arc::new(program),
            variables: BTreeMap::new(),
            options: Vec::new(),
            built_in: None,
            missing: None,
        })
    }

    /// The template of models trained here: `<|im_start|>role\n…<|im_end|>\n` for each message.
    pub fn chatml() -> Self {
        Self::built_in("chatml").expect("a template of this crate")
    }

    /// A template of this crate by name, if there is one.
    pub fn built_in(name: &str) -> Option<Self> {
        let built_in = BUILT_IN.iter().find(|known| known.name == name)?;
        let template = Self::new(built_in.source).expect("a template of this crate is Jinja");
        Some(ChatTemplate { built_in: Some(built_in), ..template })
    }

    /// The names that [`ChatTemplate::built_in`] knows.
    pub fn built_in_names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|known| known.name).collect()
    }

    /// What stands for the template of the model at a path that has none: it refuses every
    /// conversation.
    pub fn missing(directory: PathBuf) -> Self {
        let template = Self::new("").expect("an empty template is Jinja");
        ChatTemplate { missing: Some(directory), ..template }
    }

    /// Whether there is a template at all.
    pub fn is_missing(&self) -> bool {
        self.missing.is_some()
    }

    /// Whether it is the text of the messages alone, which a model continues.
    pub fn is_raw(&self) -> bool {
        self.built_in.is_some_and(|known| known.name == "raw")
    }

    /// The special token with which a template of this crate ends a turn.
    pub fn end_of_turn(&self) -> Option<&'static str> {
        self.built_in.and_then(|known| known.end)
    }

    /// Sets variables such as `bos_token`.
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Sets variables of any kind for all conversations; those of a conversation come before them.
    pub fn with_options(mut self, options: impl IntoIterator<Item = (String, Json)>) -> Self {
        self.options.extend(options);
        self
    }

    /// All variables set before.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A variable set before.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Whether it marks what training learns by `{% generation %}`.
    pub fn marks_answers(&self) -> bool {
        self.program.marks_answers
    }

    /// That there is a template, and that the tokenizer has the special tokens without which it is
    /// only letters.
    ///
    /// # Errors
    /// [`DialogueError::NoTemplate`], [`DialogueError::MissingTokens`].
    pub fn check_tokens(&self, tokenizer: &Tokenizer) -> Result<(), DialogueError> {
        self.check_present()?;
        let required = self.built_in.map_or(&[][..], |known| known.tokens);
        let missing = required.iter().filter(|token| tokenizer.special(token).is_none());
        let tokens: Vec<String> = missing.map(|token| (*token).to_owned()).collect();
        if tokens.is_empty() { Ok(()) } else { Err(DialogueError::MissingTokens { tokens }) }
    }

    fn check_present(&self) -> Result<(), DialogueError> {
        match &self.missing {
            Some(directory) => Err(DialogueError::NoTemplate { directory: directory.clone() }),
            None => Ok(()),
        }
    }

    /// Its Jinja text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation. Names of special tokens inside messages look like those of the
    /// template here: encode with [`ChatTemplate::encode`], which tells them apart.
    ///
    /// # Errors
    /// [`DialogueError::ConversationRefused`] when the template raises,
    /// [`DialogueError::Template`] when it fails, [`DialogueError::NoTemplate`].
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<String, DialogueError> {
        self.render_marked(conversation, &GenerationMarks::default())
    }

    /// The text of a conversation with marks around what `{% generation %}` encloses.
    pub(crate) fn render_marked(
        &self,
        conversation: &Conversation<'_>,
        marks: &GenerationMarks,
    ) -> Result<String, DialogueError> {
        self.check_present()?;
        let globals = self.globals(conversation).map_err(template_error)?;
        let run = Run::new(globals, conversation.now, marks.clone());
        run.render(&self.program).map_err(template_error)
    }

    fn globals(&self, conversation: &Conversation<'_>) -> Result<BTreeMap<Arc<str>, Value>, Fault> {
        let mut globals: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        for (name, function) in FUNCTIONS {
            if function != Function::StrftimeNow || conversation.now.is_some() {
                globals.insert(name.into(), Value::Function(function));
            }
        }
        for (name, value) in &self.variables {
            globals.insert(name.as_str().into(), Value::str(value.as_str()));
        }
        let list = |items: &[Json]| {
            if items.is_empty() {
                return Ok(Value::None);
            }
            Value::list(items.iter().map(Value::from_json).collect::<Result<_, _>>()?)
        };
        let messages: Result<Vec<Value>, Fault> =
            conversation.messages.iter().map(|m| Value::from_json(&message_fields(m))).collect();
        globals.insert("messages".into(), Value::list(messages?)?);
        globals.insert("tools".into(), list(conversation.tools)?);
        globals.insert("documents".into(), list(conversation.documents)?);
        let begins = Value::Bool(conversation.add_generation_prompt);
        globals.insert("add_generation_prompt".into(), begins);
        for (name, value) in self.options.iter().chain(conversation.variables) {
            globals.insert(name.as_str().into(), Value::from_json(value)?);
        }
        Ok(globals)
    }
}

/// A message as templates see it, reasoning under each name they use.
fn message_fields(message: &Message) -> Json {
    let content = message.content.as_deref().map_or(Json::Null, Json::from);
    let mut fields =
        vec![("role".to_owned(), Json::from(message.role.name())), ("content".to_owned(), content)];
    fields.extend(message.fields.iter().cloned());
    let given = |name: &&str| {
        let value = message.fields.iter().find(|(k, v)| k == name && *v != Json::Null);
        value.map(|(_, v)| v.clone())
    };
    if let Some(reasoning) = REASONING_FIELDS.iter().find_map(given) {
        if !fields.iter().any(|(k, _)| k == "thinking") {
            fields.insert(0, ("thinking".to_owned(), reasoning.clone()));
        }
        match fields.iter_mut().find(|(k, _)| k == "reasoning_content") {
            Some(field) => field.1 = reasoning,
            None => fields.push(("reasoning_content".to_owned(), reasoning)),
        }
    }
    Json::Object(fields)
}

fn template_error(fault: Fault) -> DialogueError {
    let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    match fault.kind {
        FaultKind::Raised => DialogueError::ConversationRefused { message: fault.message },
        FaultKind::Syntax => {
            DialogueError::Template { message: format!("{line}syntax error: {}", fault.message) }
        }
        _ => DialogueError::Template { message: format!("{line}{}", fault.message) },
    }
}
