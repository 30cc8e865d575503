//! Cases that `xtask/oracle/dialogue/template_cases.py` rendered with Jinja2, and their comparison
//! with ours.

use std::io::BufRead;

use serde::Deserialize;
use stoa_dialogue::{ChatTemplate, Conversation, Json, LocalTime, Message, Role};

/// The clock of the script.
const NOW: LocalTime = LocalTime { year: 2026, month: 7, day: 4, hour: 9, minute: 5, second: 7 };

/// What the cases share.
#[derive(Deserialize)]
struct Shared {
    conversations: Json,
    tools: Vec<Json>,
    documents: Vec<Json>,
    variables: Json,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// That of the case before if left out.
    template: Option<String>,
    conversation: String,
    tools: usize,
    documents: usize,
    variables: Json,
    add_generation_prompt: bool,
    text: Option<String>,
    error: Option<String>,
}

/// How many cases there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub cases: usize,
    /// Those that both refuse.
    pub refused: usize,
    /// Those that differ.
    pub apart: usize,
}

/// The fields of an object.
pub fn fields(value: &Json) -> &[(String, Json)] {
    match value {
        Json::Object(fields) => fields,
        other => panic!("not an object: {other:?}"),
    }
}

/// A message with its fields, whatever they are.
pub fn message(value: &Json) -> Message {
    let mut message = Message { role: Role::User, content: None, fields: Vec::new() };
    for (name, value) in fields(value) {
        match (name.as_str(), value) {
            ("role", Json::String(role)) => {
                message.role =
                    serde_json::from_value(role.as_str().into()).expect("a role that is known");
            }
            ("content", Json::String(text)) => message.content = Some(text.clone()),
            ("content", Json::Null) => {}
            _ => message.fields.push((name.clone(), value.clone())),
        }
    }
    message
}

/// Renders every case; `differs` is given what is shown of each difference.
pub fn compare(lines: impl BufRead, mut differs: impl FnMut(&str)) -> Counts {
    let mut lines = lines.lines().map(|line| line.expect("lines of text"));
    let shared: Shared =
        serde_json::from_str(&lines.next().expect("a first line")).expect("what cases share");
    let mut counts = Counts::default();
    let mut template = String::new();
    let mut compiled = ChatTemplate::new("");
    for line in lines {
        let case: Case = serde_json::from_str(&line).expect("a case");
        if let Some(source) = case.template {
            compiled = ChatTemplate::new(&source);
            template = source;
        }
        let named =
            fields(&shared.conversations).iter().find(|(name, _)| *name == case.conversation);
        let Some((_, Json::Array(messages))) = named else { panic!("{}", case.conversation) };
        let messages: Vec<Message> = messages.iter().map(message).collect();
        let mut variables = fields(&shared.variables).to_vec();
        variables.extend_from_slice(fields(&case.variables));
        let conversation = Conversation {
            tools: &shared.tools[..case.tools],
            documents: &shared.documents[..case.documents],
            variables: &variables,
            add_generation_prompt: case.add_generation_prompt,
            ..Conversation::new(&messages, NOW)
        };
        let found = match &compiled {
            Ok(template) => template.render(&conversation).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let theirs = case.text.ok_or(case.error.unwrap_or_default());
        let same = match (&found, &theirs) {
            (Ok(found), Ok(text)) => found == text,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        counts.cases += 1;
        counts.refused += usize::from(theirs.is_err() && found.is_err());
        counts.apart += usize::from(!same);
        if !same {
            differs(&format!(
                "== {}\n{template}\n-- theirs: {theirs:?}\n-- ours:   {found:?}",
                case.name
            ));
        }
    }
    counts
}
