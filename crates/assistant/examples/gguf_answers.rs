//! What a GGUF file answers: token ids, logits after them and the greedy continuation of each question, as
//! JSON in the form of `xtask/oracle/models/answers_transformers.py`, which describes the questions too.
//!
//! `cargo run -p stoa-assistant --example gguf_answers -- MODEL.gguf QUESTIONS.json f32|keep`

#![allow(clippy::unwrap_used, reason = "a check that cannot go on should panic")]

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use stoa_assistant::{
    Assistant, AssistantOptions, ModelParts, SchedulerOptions, Settings, Storage, TokenId,
    ignore_events,
};
use stoa_dialogue::{Conversation, Dialogue, Message};
use stoa_graph::DType;
use stoa_native::{NativeEngine, NativeOptions};

/// Tokens of a continuation.
const ANSWER: usize = 24;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parts = ModelParts::read_gguf(Path::new(&arguments[0])).unwrap();
    let questions = std::fs::read_to_string(&arguments[1]).unwrap();
    let questions: Vec<Value> = serde_json::from_str(&questions).unwrap();
    let notes = parts.notes.clone();
    let storage = match arguments[2].as_str() {
        "keep" => Storage::Keep,
        "f32" => Storage::As(DType::F32),
        other => panic!("{other} is neither keep nor f32"),
    };
    let engine = Arc::new(NativeEngine::new(NativeOptions::default()).unwrap());
    let types = parts.matrices(storage).unwrap();
    let scheduler = SchedulerOptions { context: Some(512), ..SchedulerOptions::default() };
    let options = AssistantOptions { scheduler, ..AssistantOptions::default() };
    let mut assistant = Assistant::new(parts.upload(engine, types).unwrap(), options).unwrap();
    let settings = Settings { max_tokens: ANSWER, ignore_end: true, ..Settings::default() };
    let answers = questions.iter().map(|question| {
        let text = rendered(&assistant, question);
        let prompt = assistant.tokenizer().encode_with_special(&text);
        let logits = assistant.logits(&prompt).unwrap();
        let greedy = assistant.generate(&prompt, &settings, &mut ignore_events).unwrap().tokens;
        let ids = |tokens: &[TokenId]| tokens.iter().map(|token| token.0).collect::<Vec<_>>();
        json!({ "text": text, "ids": ids(&prompt), "logits": logits, "greedy": ids(&greedy) })
    });
    let answers: Vec<Value> = answers.collect();
    println!("{}", json!({ "answers": answers, "notes": notes }));
}

/// A text as it is; a message by the model's template where it has one.
fn rendered(assistant: &Assistant, question: &Value) -> String {
    let Some(message) = question["ask"].as_str() else {
        return question.as_str().unwrap().to_owned();
    };
    if assistant.template().is_missing() {
        return message.to_owned();
    }
    let dialogue = Dialogue::new(vec![Message::user(message)]);
    let conversation = dialogue.conversation(None);
    let conversation = Conversation { add_generation_prompt: true, ..conversation };
    assistant.template().render(&conversation).unwrap()
}
