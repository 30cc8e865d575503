//! Chat templates: Jinja as Hugging Face's `apply_chat_template` runs it. Renders a conversation
//! to text; `encode` turns it into tokens.
//!
//! As there: `trim_blocks`, `lstrip_blocks`, loop controls, `raise_exception`, `strftime_now`,
//! `tojson` that escapes no HTML, methods of Python's strings and dicts, `{% generation %}`.
//! Python prints values otherwise than Jinja's Rust engine; what `{{ }}` and `|string` print is
//! Python's, what `~` and `join` make of values other than strings is not.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use stoa_tokens::{IM_END, IM_START, Tokenizer};

use crate::generation_marks::{BEGIN, END, with_generation_marks};
use crate::python_methods;
use crate::python_text::{DumpOptions, dumps, str_of};
use crate::{Conversation, DialogueError, Json, Message};

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
    marks_answers: bool,
    /// Special tokens without which its text is not what the model was trained on.
    required_tokens: &'static [&'static str],
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
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        python_methods::register(&mut environment);
        environment.set_formatter(|out, _, value| Ok(out.write_str(&str_of(value))?));
        environment.add_filter("tojson", tojson);
        environment.add_filter("string", |value: Value| str_of(&value));
        environment.add_function("raise_exception", raise_exception);
        let (text, marks_answers) = with_generation_marks(source);
        environment.add_template_owned(NAME, text).map_err(|error| template_error(&error))?;
        Ok(ChatTemplate {
            source: source.to_owned(),
            environment,
            variables: BTreeMap::new(),
            marks_answers,
            required_tokens: &[],
        })
    }

    /// The template of models trained here: `<|im_start|>role\n…<|im_end|>\n` for each message.
    pub fn chatml() -> Self {
        let template = Self::new(CHATML).expect("the template of this crate is Jinja");
        ChatTemplate { required_tokens: &[IM_START, IM_END], ..template }
    }

    /// The template of a model's directory: `chat_template.jinja`, else that of
    /// `tokenizer_config.json`, else ChatML; with the special tokens of `tokenizer_config.json` in
    /// every case. A template that is not used is not compiled.
    ///
    /// # Errors
    /// The file that cannot be read or used.
    pub fn read(directory: &Path) -> Result<Self, DialogueError> {
        let template_path = directory.join("chat_template.jinja");
        let config_path = directory.join("tokenizer_config.json");
        let config = read_optional(&config_path)?.unwrap_or_else(|| "{}".to_owned());
        let template = match read_optional(&template_path)? {
            Some(source) => Self::new(&source).map_err(|error| error.in_file(&template_path))?,
            None => Self::from_tokenizer_config(&config)
                .map_err(|error| error.in_file(&config_path))?
                .unwrap_or_else(Self::chatml),
        };
        let tokens = Self::special_tokens(&config).map_err(|error| error.in_file(&config_path))?;
        Ok(template.with_variables(tokens))
    }

    /// The template of a `tokenizer_config.json`, with its special tokens as variables; `None`
    /// when it has no template.
    ///
    /// # Errors
    /// [`DialogueError::Json`], [`DialogueError::Template`], and
    /// [`DialogueError::NoDefaultTemplate`] when it has several and none is the default.
    pub fn from_tokenizer_config(text: &str) -> Result<Option<Self>, DialogueError> {
        let config = tokenizer_config(text)?;
        let Some(source) = default_template(&config)? else { return Ok(None) };
        Ok(Some(Self::new(source)?.with_variables(special_tokens(&config))))
    }

    /// The special tokens of a `tokenizer_config.json`: `bos_token` and its like.
    ///
    /// # Errors
    /// [`DialogueError::Json`].
    pub fn special_tokens(text: &str) -> Result<Vec<(String, String)>, DialogueError> {
        Ok(special_tokens(&tokenizer_config(text)?))
    }

    /// Sets variables such as `bos_token`.
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
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
        self.marks_answers
    }

    /// That the tokenizer has the special tokens without which the template is only letters.
    ///
    /// # Errors
    /// [`DialogueError::MissingTokens`].
    pub fn check_tokens(&self, tokenizer: &Tokenizer) -> Result<(), DialogueError> {
        let missing =
            self.required_tokens.iter().filter(|token| tokenizer.special(token).is_none());
        let tokens: Vec<String> = missing.map(|token| (*token).to_owned()).collect();
        if tokens.is_empty() { Ok(()) } else { Err(DialogueError::MissingTokens { tokens }) }
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
    /// [`DialogueError::Template`] when it fails.
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<String, DialogueError> {
        self.render_marked(conversation, &GenerationMarks::default())
    }

    /// The text of a conversation with marks around what `{% generation %}` encloses.
    pub(crate) fn render_marked(
        &self,
        conversation: &Conversation<'_>,
        marks: &GenerationMarks,
    ) -> Result<String, DialogueError> {
        let mut context: BTreeMap<String, Value> =
            self.variables.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        let list = |items: &[Json]| {
            if items.is_empty() { Value::from(()) } else { Value::from_serialize(items) }
        };
        let messages: Vec<Json> = conversation.messages.iter().map(message_fields).collect();
        if let Some(now) = conversation.now {
            let strftime_now = move |format: &str| now.format(format);
            context.insert("strftime_now".to_owned(), Value::from_function(strftime_now));
        }
        context.extend([
            (BEGIN.to_owned(), Value::from(marks.0.as_str())),
            (END.to_owned(), Value::from(marks.1.as_str())),
            ("messages".to_owned(), Value::from_serialize(&messages)),
            ("tools".to_owned(), list(conversation.tools)),
            ("documents".to_owned(), list(conversation.documents)),
            ("add_generation_prompt".to_owned(), conversation.add_generation_prompt.into()),
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

fn template_error(error: &Error) -> DialogueError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(Refusal(message)) = cause.downcast_ref() {
            return DialogueError::ConversationRefused { message: message.clone() };
        }
        source = cause.source();
    }
    DialogueError::Template { message: error.to_string() }
}

fn tokenizer_config(text: &str) -> Result<Json, DialogueError> {
    serde_json::from_str(text).map_err(|error| DialogueError::Json { message: error.to_string() })
}

/// The text of a file, if it exists.
fn read_optional(path: &Path) -> Result<Option<String>, DialogueError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DialogueError::Io { path: path.to_owned(), source }),
    }
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

/// The one template of a configuration, or that named `default` of several.
fn default_template(config: &Json) -> Result<Option<&str>, DialogueError> {
    let list = match field(config, "chat_template") {
        Some(Json::String(source)) => return Ok(Some(source)),
        Some(Json::Array(list)) if !list.is_empty() => list,
        _ => return Ok(None),
    };
    let name = |entry| field(entry, "name").and_then(text).unwrap_or_default();
    let default = list.iter().find(|entry| name(entry) == "default");
    let source = default.and_then(|entry| field(entry, "template")).and_then(text);
    source.map(Some).ok_or_else(|| {
        let names = list.iter().map(|entry| name(entry).to_owned()).collect();
        DialogueError::NoDefaultTemplate { names }
    })
}

/// Fields like `bos_token`, each a string or an object that holds it as `content`.
fn special_tokens(config: &Json) -> Vec<(String, String)> {
    let Json::Object(fields) = config else { return Vec::new() };
    let named = fields.iter().filter(|(name, _)| name.ends_with("_token"));
    let content = |value| text(value).or_else(|| field(value, "content").and_then(text));
    named.filter_map(|(name, value)| Some((name.clone(), content(value)?.to_owned()))).collect()
}
