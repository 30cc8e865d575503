//! What a GGUF file answers: token ids, logits after them and the greedy continuation of each text, as
//! JSON in the form of `xtask/oracle/models/gguf_llama_cpp.py`, with weights as f32, or as the file has
//! them with `--keep`.
//!
//! `cargo run -p stoa-assistant --example gguf_answers -- MODEL.gguf QUESTIONS.json [--keep]`

#![allow(clippy::unwrap_used, reason = "a check that cannot go on should panic")]

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use stoa_assistant::{
    Assistant, AssistantOptions, ModelParts, SchedulerOptions, Settings, Storage, TokenId,
    ignore_events,
};
use stoa_graph::DType;
use stoa_native::{NativeEngine, NativeOptions};

/// Tokens of a continuation.
const ANSWER: usize = 24;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parts = ModelParts::read_gguf(Path::new(&arguments[0])).unwrap();
    let questions = std::fs::read_to_string(&arguments[1]).unwrap();
    let questions: Vec<String> = serde_json::from_str(&questions).unwrap();
    let notes = parts.notes.clone();
    let engine = Arc::new(NativeEngine::new(NativeOptions::default()).unwrap());
    let keep = arguments.get(2).is_some_and(|argument| argument == "--keep");
    let storage = if keep { Storage::Keep } else { Storage::As(DType::F32) };
    let types = parts.matrices(storage).unwrap();
    let scheduler = SchedulerOptions { context: Some(512), ..SchedulerOptions::default() };
    let options = AssistantOptions { scheduler, ..AssistantOptions::default() };
    let mut assistant = Assistant::new(parts.upload(engine, types).unwrap(), options).unwrap();
    let settings = Settings { max_tokens: ANSWER, ignore_end: true, ..Settings::default() };
    let answers = questions.iter().map(|text| {
        let prompt = assistant.tokenizer().encode_with_special(text);
        let logits = assistant.logits(&prompt).unwrap();
        let greedy = assistant.generate(&prompt, &settings, &mut ignore_events).unwrap().tokens;
        let ids = |tokens: &[TokenId]| tokens.iter().map(|token| token.0).collect::<Vec<_>>();
        json!({ "ids": ids(&prompt), "logits": logits, "greedy": ids(&greedy) })
    });
    let answers: Vec<Value> = answers.collect();
    println!("{}", json!({ "answers": answers, "notes": notes }));
}
