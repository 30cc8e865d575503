//! Which template a model has: the files in which publishers put templates and special tokens, and
//! the person's choice among them. A template that is not used is not compiled.
//!
//! `chat_template.jinja` comes before `chat_template.json`, and that before `chat_template` of
//! `tokenizer_config.json`. Of several templates the one named `default` is used. Further templates
//! stand in `additional_chat_templates/` or `chat_templates/` as NAME.jinja.

use std::path::{Path, PathBuf};

use crate::{ChatTemplate, DialogueError, Json};

const FILE: &str = "chat_template.jinja";
const OLD_FILE: &str = "chat_template.json";
const CONFIG: &str = "tokenizer_config.json";
const FOLDERS: [&str; 2] = ["additional_chat_templates", "chat_templates"];
const DEFAULT: &str = "default";

/// A template of a model that has not been compiled.
struct Candidate {
    name: String,
    file: PathBuf,
    source: String,
}

impl ChatTemplate {
    /// The template of a model's directory, with its special tokens as variables. A directory
    /// without one gives a template that refuses every conversation.
    ///
    /// # Errors
    /// The file that cannot be read or used.
    pub fn read(directory: &Path) -> Result<Self, DialogueError> {
        Self::choose(directory, None)
    }

    /// As [`ChatTemplate::read`], but ChatML where the directory has no template: what training
    /// uses unless it is given one.
    ///
    /// # Errors
    /// As [`ChatTemplate::read`].
    pub fn read_or_chatml(directory: &Path) -> Result<Self, DialogueError> {
        let template = Self::choose(directory, None)?;
        if !template.is_missing() {
            return Ok(template);
        }
        Ok(Self::chatml().with_variables(special_tokens_of(directory)?))
    }

    /// The template that a person chose for a model: one of the model's by name, one of
    /// [`ChatTemplate::built_in_names`], or a file. Without a choice it is [`ChatTemplate::read`]'s.
    ///
    /// # Errors
    /// The file that cannot be read or used; [`DialogueError::NoDefaultTemplate`] when there are
    /// several templates and none is the default; [`DialogueError::UnknownTemplate`].
    pub fn choose(directory: &Path, choice: Option<&str>) -> Result<Self, DialogueError> {
        let tokens = special_tokens_of(directory)?;
        let template = match choice {
            None => match default_of(directory)? {
                Some(candidate) => candidate.compiled()?,
                None => Self::missing(directory.to_owned()),
            },
            Some(name) => named(directory, name)?,
        };
        Ok(template.with_variables(tokens))
    }

    /// The template of a `tokenizer_config.json`, with its special tokens as variables; `None`
    /// when it has no template.
    ///
    /// # Errors
    /// [`DialogueError::Json`], [`DialogueError::Template`], and
    /// [`DialogueError::NoDefaultTemplate`] when it has several and none is the default.
    pub fn from_tokenizer_config(text: &str) -> Result<Option<Self>, DialogueError> {
        let config = json(text)?;
        let candidates = candidates_of(&config, Path::new(CONFIG));
        let Some(candidate) = the_default(candidates)? else { return Ok(None) };
        Ok(Some(Self::new(&candidate.source)?.with_variables(special_tokens(&config))))
    }

    /// The special tokens of a `tokenizer_config.json`: `bos_token` and its like.
    ///
    /// # Errors
    /// [`DialogueError::Json`].
    pub fn special_tokens(text: &str) -> Result<Vec<(String, String)>, DialogueError> {
        Ok(special_tokens(&json(text)?))
    }
}

impl Candidate {
    fn compiled(&self) -> Result<ChatTemplate, DialogueError> {
        ChatTemplate::new(&self.source).map_err(|error| error.in_file(&self.file))
    }
}

/// The template that a model uses unless another is chosen.
fn default_of(directory: &Path) -> Result<Option<Candidate>, DialogueError> {
    let file = directory.join(FILE);
    if let Some(source) = read_optional(&file)? {
        return Ok(Some(Candidate { name: DEFAULT.to_owned(), file, source }));
    }
    for name in [OLD_FILE, CONFIG] {
        let file = directory.join(name);
        let Some(text) = read_optional(&file)? else { continue };
        let config = json(&text).map_err(|error| error.in_file(&file))?;
        let found = the_default(candidates_of(&config, &file));
        if let Some(candidate) = found.map_err(|error| error.in_file(&file))? {
            return Ok(Some(candidate));
        }
    }
    let further = in_folders(directory)?;
    if further.is_empty() { Ok(None) } else { the_default(further) }
}

/// A template by name: a file's path, one of the model's, or one of this crate.
fn named(directory: &Path, name: &str) -> Result<ChatTemplate, DialogueError> {
    let mut all = in_folders(directory)?;
    let file = directory.join(FILE);
    if let Some(source) = read_optional(&file)? {
        all.insert(0, Candidate { name: DEFAULT.to_owned(), file, source });
    }
    for file in [OLD_FILE, CONFIG].map(|file| directory.join(file)) {
        if let Some(text) = read_optional(&file)? {
            let config = json(&text).map_err(|error| error.in_file(&file))?;
            all.extend(candidates_of(&config, &file));
        }
    }
    if let Some(candidate) = all.iter().find(|candidate| candidate.name == name) {
        return candidate.compiled();
    }
    if let Some(template) = ChatTemplate::built_in(name) {
        return Ok(template);
    }
    let path = Path::new(name);
    if let Some(source) = read_optional(path)? {
        return ChatTemplate::new(&source).map_err(|error| error.in_file(path));
    }
    let mut names: Vec<String> = all.into_iter().map(|candidate| candidate.name).collect();
    names.extend(ChatTemplate::built_in_names().into_iter().map(str::to_owned));
    Err(DialogueError::UnknownTemplate { name: name.to_owned(), names })
}

/// The templates of the folders for them, by name.
fn in_folders(directory: &Path) -> Result<Vec<Candidate>, DialogueError> {
    let mut found = Vec::new();
    for folder in FOLDERS.map(|folder| directory.join(folder)) {
        let io = |source| DialogueError::Io { path: folder.clone(), source };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry.map_err(io)?.path());
        }
        files.sort();
        for file in files {
            let name = file.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
            let is_template = file.extension().is_some_and(|extension| extension == "jinja");
            if let (true, Some(name), Some(source)) = (is_template, name, read_optional(&file)?) {
                found.push(Candidate { name, file, source });
            }
        }
    }
    Ok(found)
}

/// The templates of a configuration.
fn candidates_of(config: &Json, file: &Path) -> Vec<Candidate> {
    let candidate = |name: &str, source: &str| Candidate {
        name: name.to_owned(),
        file: file.to_owned(),
        source: source.to_owned(),
    };
    match field(config, "chat_template") {
        Some(Json::String(source)) => vec![candidate(DEFAULT, source)],
        Some(Json::Array(list)) => list
            .iter()
            .filter_map(|entry| {
                let name = field(entry, "name").and_then(text)?;
                Some(candidate(name, field(entry, "template").and_then(text)?))
            })
            .collect(),
        Some(Json::Object(named)) => {
            named.iter().filter_map(|(name, source)| Some(candidate(name, text(source)?))).collect()
        }
        _ => Vec::new(),
    }
}

/// The default of several templates; `None` if there are none.
fn the_default(candidates: Vec<Candidate>) -> Result<Option<Candidate>, DialogueError> {
    if candidates.is_empty() {
        return Ok(None);
    }
    let names = candidates.iter().map(|candidate| candidate.name.clone()).collect();
    let default = candidates.into_iter().find(|candidate| candidate.name == DEFAULT);
    default.map(Some).ok_or(DialogueError::NoDefaultTemplate { names })
}

/// The special tokens that a model's files name: those of `tokenizer_config.json` come before those
/// of `special_tokens_map.json`.
fn special_tokens_of(directory: &Path) -> Result<Vec<(String, String)>, DialogueError> {
    let mut all = Vec::new();
    for file in ["special_tokens_map.json", CONFIG].map(|name| directory.join(name)) {
        if let Some(text) = read_optional(&file)? {
            all.extend(special_tokens(&json(&text).map_err(|error| error.in_file(&file))?));
        }
    }
    Ok(all)
}

/// Fields like `bos_token`, each a string or an object that holds it as `content`.
fn special_tokens(config: &Json) -> Vec<(String, String)> {
    let Json::Object(fields) = config else { return Vec::new() };
    let named = fields.iter().filter(|(name, _)| name.ends_with("_token"));
    let content = |value| text(value).or_else(|| field(value, "content").and_then(text));
    named.filter_map(|(name, value)| Some((name.clone(), content(value)?.to_owned()))).collect()
}

fn json(text: &str) -> Result<Json, DialogueError> {
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
