//! The file format of dialogues, and the template of a model's directory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::ops::ControlFlow;

use stoa_dialogue::{
    ChatTemplate, Conversation, Dialogue, DialogueError, Json, LocalTime, Message, Role,
    read_dialogues,
};
use stoa_tokens::{Tokenizer, TrainOptions};

const NOW: LocalTime = LocalTime { year: 2026, month: 7, day: 4, hour: 9, minute: 5, second: 7 };

#[test]
fn a_dialogue_is_a_line_of_a_messages_data_set() {
    let dialogue = Dialogue::alternating(["Où ?", "Là.\n"]);
    let line =
        r#"{"messages":[{"role":"user","content":"Où ?"},{"role":"assistant","content":"Là.\n"}]}"#;
    assert_eq!(serde_json::to_string(&dialogue).unwrap(), line);
    assert_eq!(serde_json::from_str::<Dialogue>(line).unwrap(), dialogue);

    let call = Json::Array(vec![Json::Object(vec![("name".into(), "clock".into())])]);
    let mut message = Message::assistant("").with_field("tool_calls", call);
    message.content = None;
    let tool = Message::new(Role::Tool, "noon").with_field("name", "clock".into());
    let tools = vec![Json::Object(vec![("name".into(), "clock".into())])];
    let dialogue = Dialogue { messages: vec![message, tool], tools };
    let text = serde_json::to_string(&dialogue).unwrap();
    assert_eq!(serde_json::from_str::<Dialogue>(&text).unwrap(), dialogue);
}

#[test]
fn lines_of_stores_and_lines_with_more_fields_are_read() {
    // As a store writes them, with where the dialogue comes from.
    for line in [
        r#"{"language":"en","messages":[{"content":"hi","role":"user"}],"thread":"7"}"#,
        r#"{"messages":[{"role":"user","content":"hi"}],"language":"en","thread":"7"}"#,
    ] {
        let dialogue: Dialogue = serde_json::from_str(line).unwrap();
        assert_eq!(dialogue, Dialogue::new(vec![Message::user("hi")]));
    }
}

#[test]
fn files_are_read_and_bad_lines_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dialogues.jsonl");
    let dialogue = Dialogue::alternating(["hi", "hello"]);
    let good = serde_json::to_string(&dialogue).unwrap();
    fs::write(&path, format!("\u{FEFF}{good}\n\n{good}\r\n")).unwrap();
    assert_eq!(read_dialogues(&path).unwrap(), [dialogue.clone(), dialogue]);
    for (bad, problem) in [
        (r#"{"messages":[{"role":"judge","content":""}]}"#, "role `judge`"),
        (r#"{"messages":[{"role":"user"}]}"#, "no `content`"),
        (r#"{"messages":[{"role":"user","content":"hi"}]}"#, "no message of the assistant"),
        (r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#, "parts"),
        (r#"{"messages":[{"role":"assistant","content":"hi","weight":0}]}"#, "`weight`"),
        (r#"{"conversations":[{"from":"human","value":"hi"}]}"#, "ShareGPT"),
        (r#"{"prompt":"hi","completion":"hello"}"#, "`completion`"),
        (r#"{"text":"hi"}"#, "missing field `messages`"),
        (r#"{"messages""#, "EOF"),
    ] {
        fs::write(&path, format!("{good}\n{bad}\n")).unwrap();
        let error = read_dialogues(&path).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains(problem), "{error}");
    }
    let error = read_dialogues(&directory.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");
}

fn render(template: &ChatTemplate) -> String {
    template.render(&Conversation::new(&[Message::user("hello")], NOW)).unwrap()
}

#[test]
fn a_template_file_wins_and_the_other_is_not_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let config = r#"{"eos_token": "</s>", "chat_template": "{% if %}"}"#;
    fs::write(path.join("tokenizer_config.json"), config).unwrap();
    let error = ChatTemplate::read(path).unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json") && error.contains("syntax"), "{error}");
    fs::write(path.join("chat_template.jinja"), "{{ messages[0]['content'] }}{{ eos_token }}")
        .unwrap();
    assert_eq!(render(&ChatTemplate::read(path).unwrap()), "hello</s>");
    fs::write(path.join("chat_template.jinja"), "{{").unwrap();
    let error = ChatTemplate::read(path).unwrap_err().to_string();
    assert!(error.contains("chat_template.jinja"), "{error}");
}

#[test]
fn a_model_without_a_template_is_asked_only_in_a_layout_that_was_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("tokenizer_config.json"), r#"{"bos_token": "<s>"}"#).unwrap();
    let missing = ChatTemplate::read(path).unwrap();
    assert!(missing.is_missing());
    let error = missing.render(&Conversation::new(&[Message::user("hi")], NOW)).unwrap_err();
    assert!(matches!(error, DialogueError::NoTemplate { .. }), "{error}");
    assert!(error.to_string().contains("--chat-template"), "{error}");
    let tokenizer = Tokenizer::train(
        ["a square"],
        &TrainOptions { vocab_size: 270, threads: 1, ..Default::default() },
        |_| ControlFlow::Continue(()),
    )
    .unwrap();
    let dialogue = Dialogue::alternating(["hi", "hello"]);
    let error = missing.encode(&tokenizer, &dialogue.conversation(None)).unwrap_err();
    assert!(matches!(error, DialogueError::NoTemplate { .. }), "{error}");

    let named = |name| ChatTemplate::choose(path, Some(name));
    assert_eq!(render(&named("raw").unwrap()), "hello");
    let llama = "<s><|start_header_id|>user<|end_header_id|>\n\nhello<|eot_id|>\
                 <|start_header_id|>assistant<|end_header_id|>\n\n";
    assert_eq!(render(&named("llama3").unwrap()), llama);
    assert_eq!(named("llama3").unwrap().end_of_turn(), Some("<|eot_id|>"));
    assert!(named("chatml").unwrap().encode(&tokenizer, &dialogue.conversation(None)).is_ok());
    let error = named("llama3").unwrap().encode(&tokenizer, &dialogue.conversation(None));
    assert!(matches!(error, Err(DialogueError::MissingTokens { .. })), "{error:?}");
    let error = named("no-such-name").unwrap_err().to_string();
    assert!(error.contains("no-such-name") && error.contains("chatml"), "{error}");
    let file = path.join("mine.jinja");
    fs::write(&file, "{{ bos_token }}mine").unwrap();
    assert_eq!(render(&named(file.to_str().unwrap()).unwrap()), "<s>mine");
    // Training that is given no template makes one of its own.
    let own = ChatTemplate::read_or_chatml(path).unwrap();
    assert_eq!(own.source(), ChatTemplate::chatml().source());
}

#[test]
fn of_several_templates_the_default_is_used_or_the_one_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let config = r#"{"chat_template": [{"name": "default", "template": "d"},
        {"name": "tool_use", "template": "t"}, {"name": "broken", "template": "{%"}]}"#;
    fs::write(path.join("tokenizer_config.json"), config).unwrap();
    fs::create_dir(path.join("chat_templates")).unwrap();
    fs::write(path.join("chat_templates/rag.jinja"), "r{{ sep_token }}").unwrap();
    let map = r#"{"sep_token": {"content": "<sep>"}, "eos_token": "</s>"}"#;
    fs::write(path.join("special_tokens_map.json"), map).unwrap();
    let named = |name| ChatTemplate::choose(path, name).map(|template| render(&template)).unwrap();
    assert_eq!([None, Some("tool_use"), Some("rag")].map(named), ["d", "t", "r<sep>"]);
    let error = ChatTemplate::choose(path, Some("broken")).unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json"), "{error}");
    let error = ChatTemplate::choose(path, Some("none")).unwrap_err().to_string();
    assert!(error.contains("default, tool_use, broken") && error.contains("rag"), "{error}");
    fs::write(path.join("tokenizer_config.json"), "{}").unwrap();
    let error = ChatTemplate::read(path).unwrap_err();
    assert!(matches!(error, DialogueError::NoDefaultTemplate { .. }), "{error}");
}

#[test]
fn variables_are_set_for_all_conversations_and_for_one() {
    let template = ChatTemplate::new("{{ thinking }} {{ 'y' if deep else 'n' }}").unwrap();
    let options = [("thinking".to_owned(), Json::from("some")), ("deep".to_owned(), false.into())];
    let template = template.with_options(options);
    assert_eq!(render(&template), "some n");
    let messages = [Message::user("hello")];
    let variables = [("deep".to_owned(), Json::from(true))];
    let conversation = Conversation { variables: &variables, ..Conversation::new(&messages, NOW) };
    assert_eq!(template.render(&conversation).unwrap(), "some y");
}

#[test]
fn several_templates_without_a_default_are_not_replaced_by_chatml() {
    let config = r#"{"chat_template": [
        {"name": "rag", "template": "{{ documents }}"},
        {"name": "tool_use", "template": "{{ tools }}"}]}"#;
    let error = ChatTemplate::from_tokenizer_config(config).unwrap_err();
    assert!(matches!(error, DialogueError::NoDefaultTemplate { .. }), "{error}");
    assert!(error.to_string().contains("rag, tool_use"), "{error}");
}

#[test]
fn chatml_is_not_spelled_in_ordinary_letters() {
    let options =
        TrainOptions { vocab_size: 270, threads: 1, special_tokens: vec![], ..Default::default() };
    let bare = Tokenizer::train(["a square"], &options, |_| ControlFlow::Continue(())).unwrap();
    let dialogue = Dialogue::alternating(["hi", "hello"]);
    let template = ChatTemplate::chatml();
    for error in [
        template.encode(&bare, &dialogue.conversation(None)).unwrap_err(),
        template.encode_for_training(&bare, &dialogue.conversation(None)).unwrap_err(),
    ] {
        assert!(error.to_string().contains("<|im_start|>, <|im_end|>"), "{error}");
    }
}
