//! Chat templates against Hugging Face's own renderer: golden texts made by
//! `xtask/oracle/dialogue/golden_templates.py` from the templates and conversations in the same folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod rendered_cases;

use std::path::{Path, PathBuf};

use rendered_cases::{fields, message};
use serde::Deserialize;
use stoa_dialogue::{ChatTemplate, Conversation, DialogueError, Json, LocalTime, Message};

/// The clock of the script.
const NOW: LocalTime = LocalTime { year: 2026, month: 7, day: 4, hour: 9, minute: 5, second: 7 };

#[derive(Debug, Deserialize)]
struct GoldenConversation {
    messages: Vec<Json>,
    #[serde(default)]
    tools: Vec<Json>,
    #[serde(default)]
    variables: Option<Json>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(golden().join(name)).unwrap()).unwrap()
}

fn template(name: &str) -> ChatTemplate {
    let template = if name == "chatml" {
        ChatTemplate::chatml()
    } else {
        let path = golden().join("templates").join(format!("{name}.jinja"));
        ChatTemplate::new(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let tokens = [("bos_token", "<|begin_of_text|>"), ("eos_token", "</s>")];
    template.with_variables(tokens.map(|(k, v)| (k.to_owned(), v.to_owned())))
}

#[test]
fn every_template_prints_what_hugging_face_prints() {
    let conversations: Json = read("conversations.json");
    let rendered: Json = read("rendered.json");
    let mut compared = 0;
    for (style, golden) in fields(&rendered) {
        let template = template(style);
        for (name, expected) in fields(golden) {
            let all = fields(&conversations);
            let json = &all.iter().find(|(n, _)| n == name).unwrap().1;
            let given: GoldenConversation =
                serde_json::from_str(&serde_json::to_string(json).unwrap()).unwrap();
            let messages: Vec<Message> = given.messages.iter().map(message).collect();
            let variables = given.variables.as_ref().map(fields).unwrap_or_default();
            for (when, expected) in fields(expected) {
                let found = template.render(&Conversation {
                    tools: &given.tools,
                    variables,
                    add_generation_prompt: when == "answer begins",
                    ..Conversation::new(&messages, NOW)
                });
                let (kind, text) = &fields(expected)[0];
                let Json::String(text) = text else { panic!("{expected:?}") };
                let what = format!("{style}, {name}, {when}");
                match (kind.as_str(), found) {
                    ("text", Ok(found)) => assert_eq!(&found, text, "{what}"),
                    ("refused", Err(DialogueError::ConversationRefused { message })) => {
                        assert_eq!(&message, text, "{what}");
                    }
                    ("error", Err(DialogueError::Template { .. })) => {}
                    (_, found) => panic!("{what}: expected {expected:?}, found {found:?}"),
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 9 * 12 * 2);
}

#[test]
fn a_tokenizer_config_gives_its_template_and_special_tokens() {
    let text = r#"{
        "bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null,
        "chat_template": [
            {"name": "tool_use", "template": "no"},
            {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"}
        ]}"#;
    let template = ChatTemplate::from_tokenizer_config(text).unwrap().unwrap();
    let messages = [Message::user("hello")];
    assert_eq!(template.render(&Conversation::new(&messages, NOW)).unwrap(), "<s>hello</s>");
    assert!(ChatTemplate::from_tokenizer_config(r#"{"eos_token": "</s>"}"#).unwrap().is_none());
    let error = ChatTemplate::from_tokenizer_config("{").unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json"), "{error}");
}

#[test]
fn bad_templates_are_errors_with_their_line_not_hangs() {
    let error = ChatTemplate::new("one\n{% for %}").unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    let messages = [Message::user("hello")];
    let render = |source: &str| {
        ChatTemplate::new(source).unwrap().render(&Conversation::new(&messages, NOW)).unwrap_err()
    };
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    assert!(render(nested).to_string().contains("fuel"), "{}", render(nested));
    assert!(
        render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").to_string().contains("recursion")
    );
    assert!(render("{{ messages[0].content.no.such }}").to_string().contains("no attribute"));
}

#[test]
fn clocks_count_as_the_gregorian_calendar_does() {
    let iso = |unix, offset| LocalTime::from_unix(unix, offset).format("%F %T %a %j");
    // `date -u -d @N '+%F %T %a %j'` of GNU coreutils.
    assert_eq!(iso(0, 0), "1970-01-01 00:00:00 Thu 001");
    assert_eq!(iso(951_782_400, 0), "2000-02-29 00:00:00 Tue 060");
    assert_eq!(iso(1_735_689_599, 0), "2024-12-31 23:59:59 Tue 366");
    assert_eq!(iso(1_735_689_599, 3600), "2025-01-01 00:59:59 Wed 001");
    assert_eq!(iso(-1, 0), "1969-12-31 23:59:59 Wed 365");
    assert_eq!(iso(4_107_542_400, 0), "2100-03-01 00:00:00 Mon 060");
}

/// Random templates rendered by Jinja2: `template_cases.py random_templates.jsonl --random 300`.
#[test]
fn random_templates_print_what_jinja2_prints() {
    let file = std::fs::File::open(golden().join("random_templates.jsonl")).unwrap();
    let mut differences = Vec::new();
    let counts = rendered_cases::compare(std::io::BufReader::new(file), |difference| {
        differences.push(difference.to_owned());
    });
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!((counts.cases, counts.apart), (300, 0));
    assert!(counts.refused < 75, "{counts:?}: cases that are refused compare little");
}
