//! Chat templates: Jinja as Hugging Face's `apply_chat_template` runs it. Renders a conversation
//! to text; `prompt` turns it into tokens.
//!
//! As there: `trim_blocks`, `lstrip_blocks`, loop controls, `raise_exception`, `strftime_now`,
//! `tojson` that escapes no HTML, methods of Python's strings and dicts, `{% generation %}`.
//! Python prints values otherwise than Jinja's Rust engine; what `{{ }}` and `|string` print is
//! Python's, what `~` and `join` make of values other than strings is not.

use std::collections::BTreeMap;
use std::fmt;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::generation_tags::without_generation_tags;
use super::python_text::{DumpOptions, dumps, str_of};
use super::{Conversation, Json, Message};
use crate::AssistantError;

/// The template of models trained here: ChatML. The assistant's words are marked for training.
const CHATML: &str = include_str!("chatml.jinja");

const NAME: &str = "chat template";

/// Jinja instructions a template may spend: some thousand per message, far below what a hang takes.
const FUEL: u64 = 5_000_000;

/// Names under which templates look for the model's reasoning; the first given fills the others.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A compiled chat template.
#[derive(Clone)]
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    /// Variables such as `bos_token`.
    variables: BTreeMap<String, String>,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Compiles the text of a `chat_template.jinja`.
    ///
    /// # Errors
    /// [`AssistantError::Template`] with the line that is not Jinja.
    pub fn new(source: &str) -> Result<Self, AssistantError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_formatter(|out, _, value| Ok(out.write_str(&str_of(value))?));
        environment.add_filter("tojson", tojson);
        environment.add_filter("string", |value: Value| str_of(&value));
        // Python's strings and dicts count as sequences too.
        environment.add_test("sequence", |value: &Value| {
            matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
        });
        environment.add_function("raise_exception", raise_exception);
        environment
            .add_template_owned(NAME, without_generation_tags(source))
            .map_err(|error| template_error(&error))?;
        Ok(ChatTemplate { source: source.to_owned(), environment, variables: BTreeMap::new() })
    }

    /// The template of models trained here: `<|im_start|>role\n…<|im_end|>\n` for each message.
    pub fn chatml() -> Self {
        Self::new(CHATML).expect("the template beside this file is Jinja")
    }

    /// The template of a `tokenizer_config.json`, with its special tokens as variables; `None`
    /// when it has no template.
    ///
    /// # Errors
    /// [`AssistantError::Template`] when the text is not JSON or the template not Jinja.
    pub fn from_tokenizer_config(text: &str) -> Result<Option<Self>, AssistantError> {
        let config = tokenizer_config(text)?;
        let Some(source) = field(&config, "chat_template").and_then(default_template) else {
            return Ok(None);
        };
        Ok(Some(Self::new(source)?.with_variables(special_tokens(&config))))
    }

    /// The special tokens of a `tokenizer_config.json`: `bos_token` and its like.
    ///
    /// # Errors
    /// [`AssistantError::Template`] when the text is not JSON.
    pub fn special_tokens(text: &str) -> Result<Vec<(String, String)>, AssistantError> {
        Ok(special_tokens(&tokenizer_config(text)?))
    }

    /// Sets variables such as `bos_token`.
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// A variable set before.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Its Jinja text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation. Names of special tokens inside messages look like those of the
    /// template here: encode with [`ChatTemplate::encode`], which tells them apart.
    ///
    /// # Errors
    /// [`AssistantError::ConversationRefused`] when the template raises,
    /// [`AssistantError::Template`] when it fails.
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<String, AssistantError> {
        let mut context: BTreeMap<String, Value> =
            self.variables.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        let list = |items: &[Json]| {
            if items.is_empty() { Value::from(()) } else { Value::from_serialize(items) }
        };
        let messages: Vec<Json> = conversation.messages.iter().map(message_fields).collect();
        let now = conversation.now;
        let strftime_now = move |format: &str| now.format(format);
        context.extend([
            ("messages".to_owned(), Value::from_serialize(&messages)),
            ("tools".to_owned(), list(conversation.tools)),
            ("documents".to_owned(), list(conversation.documents)),
            ("add_generation_prompt".to_owned(), conversation.add_generation_prompt.into()),
            ("strftime_now".to_owned(), Value::from_function(strftime_now)),
        ]);
        let extra = conversation.variables.iter();
        context.extend(extra.map(|(name, value)| (name.clone(), Value::from_serialize(value))));
        let template = self.environment.get_template(NAME).map_err(|e| template_error(&e))?;
        template.render(Value::from(context)).map_err(|error| template_error(&error))
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
        fields.retain(|(k, _)| k != "reasoning_content");
        if !fields.iter().any(|(k, _)| k == "thinking") {
            fields.push(("thinking".to_owned(), reasoning.clone()));
        }
        fields.push(("reasoning_content".to_owned(), reasoning));
    }
    Json::Object(fields)
}

/// `json.dumps` as Hugging Face gives it to templates.
fn tojson(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent = match options.get::<Option<Value>>("indent")? {
        Some(indent) if indent.kind() == ValueKind::String => indent.as_str().map(str::to_owned),
        Some(indent) => indent.as_usize().map(|n| " ".repeat(n)),
        None => None,
    };
    let separators = match options.get::<Option<Vec<String>>>("separators")? {
        Some(pair) if pair.len() == 2 => (pair[0].clone(), pair[1].clone()),
        Some(_) => {
            let message = "tojson: separators are a pair of strings";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        // Python leaves out the space at the end of a line.
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let dump_options = DumpOptions {
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        indent,
        separators,
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    Ok(Value::from(dumps(&value, &dump_options)?))
}

/// Why a template refuses a conversation.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Refusal(message)))
}

fn template_error(error: &Error) -> AssistantError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(Refusal(message)) = cause.downcast_ref() {
            return AssistantError::ConversationRefused { message: message.clone() };
        }
        source = cause.source();
    }
    AssistantError::Template { message: error.to_string() }
}

fn tokenizer_config(text: &str) -> Result<Json, AssistantError> {
    serde_json::from_str(text).map_err(|error| AssistantError::Template {
        message: format!("tokenizer_config.json: {error}"),
    })
}

fn field<'a>(object: &'a Json, name: &str) -> Option<&'a Json> {
    match object {
        Json::Object(fields) => fields.iter().find(|(k, _)| k == name).map(|(_, v)| v),
        _ => None,
    }
}

fn text(value: &Json) -> Option<&str> {
    match value {
        Json::String(s) => Some(s),
        _ => None,
    }
}

/// One template, or the one named `default` of several.
fn default_template(value: &Json) -> Option<&str> {
    match value {
        Json::String(source) => Some(source),
        Json::Array(list) => {
            let is_default = |entry: &&Json| field(entry, "name").and_then(text) == Some("default");
            list.iter().find(is_default).and_then(|entry| field(entry, "template")).and_then(text)
        }
        _ => None,
    }
}

/// Fields like `bos_token`, each a string or an object that holds it as `content`.
fn special_tokens(config: &Json) -> Vec<(String, String)> {
    let Json::Object(fields) = config else { return Vec::new() };
    let named = fields.iter().filter(|(name, _)| name.ends_with("_token"));
    let content = |value| text(value).or_else(|| field(value, "content").and_then(text));
    named.filter_map(|(name, value)| Some((name.clone(), content(value)?.to_owned()))).collect()
}
