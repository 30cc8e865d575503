//! The tokenizer of a model's directory: one file with the vocabulary, and what the other files say.
//!
//! The rule: of `tokenizer.json`, `tekken.json`, `tokenizer.model` and `vocab.json` with `merges.txt` the first
//! that is there counts. `tokenizer.json` and `tekken.json` say all of a tokenizer; the others say nothing of
//! its template and little of its special tokens, which `added_tokens.json`, `special_tokens_map.json` and
//! `tokenizer_config.json` add, in this order. An id that the vocabulary gives to another token stays what it
//! is there. What was left aside is in [`Tokenizer::left_aside`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::settings::{Settings, byte_level, template};
use crate::tokenizer::TokenizerParts;
use crate::{AddedToken, Pattern, Tokenizer, TokensError};

const TOKENIZER: &str = "tokenizer.json";
const TEKKEN: &str = "tekken.json";
const SENTENCE_PIECE: &str = "tokenizer.model";
const VOCABULARY: &str = "vocab.json";

/// Files with vocabularies, the one that counts first.
const NAMES: [&str; 4] = [TOKENIZER, TEKKEN, SENTENCE_PIECE, VOCABULARY];

/// How classes of `transformers` cut text whose `vocab.json` does not say it, and whether they
/// compose characters (NFC).
const CLASSES: [(&str, Pattern, bool); 4] = [
    ("CodeGenTokenizer", Pattern::Gpt2, false),
    ("GPT2Tokenizer", Pattern::Gpt2, false),
    ("GPTNeoXTokenizer", Pattern::Gpt2, false),
    ("Qwen2Tokenizer", Pattern::Qwen2, true),
];

impl Tokenizer {
    /// Reads the tokenizer of a model's directory.
    ///
    /// # Errors
    /// A directory without one, a file that is not right.
    pub fn of_directory(directory: &Path) -> Result<Self, TokensError> {
        let there: Vec<&str> =
            NAMES.into_iter().filter(|name| directory.join(name).is_file()).collect();
        let Some((&name, others)) = there.split_first() else {
            return Err(TokensError::OtherFile {
                what: "a directory without a tokenizer",
                remedy: "it needs a tokenizer.json, tekken.json, tokenizer.model or vocab.json",
            }
            .at(directory));
        };
        let file = directory.join(name);
        let beside = Beside::read(directory)?;
        let tokenizer = match (name, beside.class()) {
            (VOCABULARY, Some((pattern, _))) => Self::open_vocab_and_merges(&file, Some(pattern))?,
            _ => Self::open(&file)?,
        };
        let mut notes: Vec<String> =
            others.iter().map(|other| format!("{other}, since {name} is there")).collect();
        let mut settings = tokenizer.settings.clone();
        let mut added = tokenizer.added.clone();
        match name {
            TOKENIZER => beside.missing_tokens(&tokenizer, &mut added, &mut notes),
            TEKKEN => {}
            _ => {
                beside.tokens(&tokenizer, &mut added, &mut notes);
                beside.settings(name, &mut settings, &added);
            }
        }
        settings.notes.extend(notes);
        tokenizer.changed(settings, added).map_err(|error| error.at(directory))
    }

    /// The same vocabulary with other settings and added tokens.
    fn changed(mut self, settings: Settings, added: Vec<AddedToken>) -> Result<Self, TokensError> {
        let noted = Settings { notes: settings.notes.clone(), ..self.settings.clone() };
        if noted == settings && added == self.added {
            self.settings = settings;
            return Ok(self);
        }
        let tokens = self.vocabulary.tokens().to_vec();
        let merges = self.merges.merges().to_vec();
        let pipeline = crate::pipeline::Pipeline::compile(&settings)?;
        Self::assemble(TokenizerParts { tokens, merges, settings, pipeline, added })
    }

    /// The id of a token by its text, be it an added one or one of the vocabulary.
    fn id_of(&self, content: &str) -> Option<u32> {
        let added = self.special(content).map(|id| id.0);
        added.or_else(|| {
            let entry =
                crate::vocabulary::ModelToken::from_spelling(0, content, self.pipeline.alphabet);
            Some(self.vocabulary.find(&entry.bytes)?.1)
        })
    }
}

/// What the files beside a vocabulary say.
struct Beside {
    /// Tokens by id.
    tokens: BTreeMap<u32, AddedToken>,
    /// Names of special tokens by their role.
    roles: BTreeMap<String, String>,
    /// Names of special tokens without a role.
    further: BTreeSet<String>,
    /// `tokenizer_config.json`.
    config: Value,
}

impl Beside {
    fn read(directory: &Path) -> Result<Self, TokensError> {
        let json = |name: &str| read_json(directory.join(name));
        let (config, map) = (json("tokenizer_config.json")?, json("special_tokens_map.json")?);
        let mut beside = Beside {
            tokens: BTreeMap::new(),
            roles: BTreeMap::new(),
            further: BTreeSet::new(),
            config: Value::Null,
        };
        for file in [&map, &config] {
            for (key, value) in file.as_object().into_iter().flatten() {
                if let Some(name) = content(value).filter(|_| key.ends_with("_token")) {
                    beside.roles.insert(key.clone(), name.to_owned());
                }
            }
            for key in ["additional_special_tokens", "extra_special_tokens"] {
                let names = file[key].as_array().into_iter().flatten();
                beside.further.extend(names.filter_map(content).map(str::to_owned));
            }
        }
        let list = json("added_tokens.json")?;
        for (text, id) in list.as_object().into_iter().flatten() {
            let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else { continue };
            let special = beside.is_special(text);
            let token =
                AddedToken { special, normalized: !special, ..AddedToken::special(id, text) };
            beside.tokens.insert(id, token);
        }
        for (id, entry) in config["added_tokens_decoder"].as_object().into_iter().flatten() {
            let (Ok(id), Some(text)) = (id.parse(), content(entry)) else { continue };
            let flag = |name: &str| entry[name].as_bool().unwrap_or(false);
            let token = AddedToken {
                special: flag("special"),
                lstrip: flag("lstrip"),
                rstrip: flag("rstrip"),
                single_word: flag("single_word"),
                normalized: flag("normalized"),
                ..AddedToken::special(id, text)
            };
            beside.tokens.insert(id, token);
        }
        beside.config = config;
        Ok(beside)
    }

    fn is_special(&self, name: &str) -> bool {
        self.further.contains(name) || self.roles.values().any(|role| role == name)
    }

    /// How the class of the tokenizer cuts text.
    fn class(&self) -> Option<(Pattern, bool)> {
        let name = self.config["tokenizer_class"].as_str()?;
        let name = name.strip_suffix("Fast").unwrap_or(name);
        let found = CLASSES.into_iter().find(|(class, ..)| *class == name);
        found.map(|(_, pattern, compose)| (pattern, compose))
    }

    /// Tokens that a whole tokenizer lacks.
    fn missing_tokens(
        &self,
        tokenizer: &Tokenizer,
        added: &mut Vec<AddedToken>,
        notes: &mut Vec<String>,
    ) {
        for token in self.tokens.values() {
            match (tokenizer.id_of(&token.content), tokenizer.token_bytes(crate::TokenId(token.id)))
            {
                (Some(id), _) if id == token.id => {}
                (None, None) => added.push(token.clone()),
                _ => notes.push(contradiction(token)),
            }
        }
    }

    /// The tokens of these files, with their flags.
    fn tokens(&self, tokenizer: &Tokenizer, added: &mut Vec<AddedToken>, notes: &mut Vec<String>) {
        for token in self.tokens.values() {
            match (tokenizer.id_of(&token.content), tokenizer.token_bytes(crate::TokenId(token.id)))
            {
                (Some(id), _) if id == token.id => {
                    added.retain(|other| other.id != id);
                    added.push(token.clone());
                }
                (None, None) => added.push(token.clone()),
                _ => notes.push(contradiction(token)),
            }
        }
        let mut nameless = BTreeSet::new();
        for name in self.roles.values().chain(&self.further) {
            if added.iter().any(|token| token.content == *name) {
                continue;
            }
            match tokenizer.id_of(name) {
                Some(id) => added.push(AddedToken::special(id, name.as_str())),
                None => drop(nameless.insert(format!("{name:?}"))),
            }
        }
        if !nameless.is_empty() {
            let names: Vec<String> = nameless.into_iter().collect();
            notes.push(format!("special tokens without an id: {}", names.join(", ")));
        }
        added.sort_by_key(|token| token.id);
    }

    /// What stands around a text and before it, as `tokenizer_config.json` says.
    fn settings(&self, file: &str, settings: &mut Settings, added: &[AddedToken]) {
        let flag = |name: &str| self.config[name].as_bool();
        let token = |role: &str| -> Vec<(String, u32)> {
            let name = self.roles.get(role);
            let found = added.iter().find(|token| Some(&token.content) == name);
            found.map(|token| (token.content.clone(), token.id)).into_iter().collect()
        };
        let sentence_piece = file == SENTENCE_PIECE;
        let (begin, end) = (flag("add_bos_token"), flag("add_eos_token"));
        if begin.is_some() || end.is_some() {
            let wanted = |is: bool, role| if is { token(role) } else { Vec::new() };
            let prefix = wanted(begin.unwrap_or(sentence_piece), "bos_token");
            let suffix = wanted(end.unwrap_or(false), "eos_token");
            settings.post_processor = match (prefix.is_empty() && suffix.is_empty(), sentence_piece)
            {
                (false, _) => template(&prefix, &suffix),
                (true, true) => Value::Null,
                (true, false) => byte_level(true, false, true),
            };
        }
        if sentence_piece {
            self.spaces(settings);
        } else if let Some((_, compose)) = self.class() {
            if compose {
                settings.normalizer = json!({"type": "NFC"});
            }
            if flag("add_prefix_space") == Some(true) {
                set_prefix_space(&mut settings.pre_tokenizer);
            }
        }
    }

    /// The ▁ before a text: `add_prefix_space: false` leaves it out, `legacy: false` leaves it out behind
    /// special tokens.
    fn spaces(&self, settings: &mut Settings) {
        let Some(normalizers) = settings.normalizer["normalizers"].as_array_mut() else { return };
        let is_prefix = |part: &Value| part["type"] == "Prepend";
        let there = normalizers.iter().any(is_prefix);
        let leave_out = self.config["add_prefix_space"] == false;
        let first_only = self.config["legacy"] == false;
        if !there || !(leave_out || first_only) {
            return;
        }
        normalizers.retain(|part| !is_prefix(part));
        if leave_out {
            let decoders = settings.decoder["decoders"].as_array_mut();
            decoders.into_iter().for_each(|parts| parts.retain(|part| part["type"] != "Strip"));
            return;
        }
        let is_space = |part: &Value| part["pattern"] == json!({"String": " "});
        normalizers.retain(|part| !is_space(part));
        if normalizers.is_empty() {
            settings.normalizer = Value::Null;
        }
        settings.pre_tokenizer = json!({
            "type": "Metaspace",
            "replacement": "▁",
            "prepend_scheme": "first",
            "split": false,
        });
    }
}

fn set_prefix_space(part: &mut Value) {
    if part["type"] == "ByteLevel" {
        part["add_prefix_space"] = true.into();
    }
    let steps = part.get_mut("pretokenizers").and_then(Value::as_array_mut);
    steps.into_iter().flatten().for_each(set_prefix_space);
}

fn contradiction(token: &AddedToken) -> String {
    format!("{:?} as token {}, which the vocabulary says otherwise", token.content, token.id)
}

/// The name of a token, given as such or in an object.
fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str()).filter(|name| !name.is_empty())
}

/// A file, null where there is none.
fn read_json(path: PathBuf) -> Result<Value, TokensError> {
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(TokensError::io("reading", &path)(error)),
    };
    // Editors of some systems put a byte-order mark before a text.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    serde_json::from_slice(text).map_err(|error| TokensError::Beside(error).at(&path))
}
