//! How answers begin, stream and end; batches; conversations that outgrow the context; model
//! directories.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[allow(dead_code, reason = "each test uses some of the models")]
mod tiny;

use std::cell::Cell;
use std::ops::ControlFlow;

use stoa_assistant::{
    Assistant, AssistantError, AssistantOptions, AssistantParts, Completion, Event, FinishReason,
    ModelParts, Overflow, Request, Sampling, SchedulerOptions, Settings, TokenId, ignore_events,
};
use stoa_dialogue::{ChatTemplate, Conversation, LocalTime, Message};
use stoa_graph::{Buffers, DType, Tensor};
use stoa_models::{save, to_hugging_face, upload};
use tiny::{VOCAB, assistant, grouped, native, plain, prompt, requests, sampled, sized};

fn small() -> Assistant {
    assistant(native(2), grouped(), AssistantOptions::default())
}

/// An answer with what was heard of it.
fn heard(
    assistant: &mut Assistant,
    prompt: &[TokenId],
    settings: &Settings,
) -> (Completion, Vec<TokenId>, String) {
    let (mut ids, mut text) = (Vec::new(), String::new());
    let completion = assistant.generate(prompt, settings, &mut |event| {
        match event {
            Event::Token { id, .. } => ids.push(*id),
            Event::Text(piece) => text.push_str(piece),
            Event::Prompt { done, total } => assert!(done <= total && *total == prompt.len()),
        }
        ControlFlow::Continue(())
    });
    (completion.unwrap(), ids, text)
}

#[test]
fn what_streams_is_what_completes() {
    let mut assistant = small();
    for seed in 0..5 {
        let settings = sampled(seed, 20);
        let (completion, ids, text) = heard(&mut assistant, &prompt(seed, 10), &settings);
        assert_eq!((&completion.tokens, &completion.text), (&ids, &text));
        assert_eq!(completion.finish, FinishReason::MaxTokens);
        let plain: Vec<TokenId> =
            ids.iter().copied().filter(|&id| !assistant.tokenizer().is_special(id)).collect();
        let known = plain.iter().filter_map(|&id| assistant.tokenizer().token_bytes(id));
        let bytes = known.collect::<Vec<_>>().concat();
        assert_eq!(text, String::from_utf8_lossy(&bytes));
        assert_eq!(completion.logprobs.len(), 20);
        assert!(
            completion.logprobs.iter().zip(&ids).all(|(l, id)| l.id == *id && l.top.len() == 2)
        );
        let timings = completion.timings;
        assert_eq!((timings.prompt_tokens, timings.answer_tokens), (10, 20));
        assert!(timings.decode_tokens_per_second() > 0.0);
    }
}

#[test]
fn stop_strings_end_the_text_wherever_tokens_are_cut() {
    let mut assistant = small();
    for seed in 0..20 {
        let free = heard(&mut assistant, &prompt(seed, 6), &sampled(seed, 30)).0;
        let chars: Vec<char> = free.text.chars().collect();
        if chars.len() < 6 {
            continue;
        }
        let stop: String = chars[3..6].iter().collect();
        let settings = Settings { stop_strings: vec![stop.clone()], ..sampled(seed, 30) };
        let (stopped, _, text) = heard(&mut assistant, &prompt(seed, 6), &settings);
        let end = free.text.find(&stop).unwrap();
        assert_eq!(stopped.text, free.text[..end]);
        assert_eq!(stopped.text, text);
        assert_eq!(stopped.finish, FinishReason::StopString(stop));
        assert!(free.tokens.starts_with(&stopped.tokens));
    }
}

#[test]
fn stop_tokens_and_the_end_of_a_turn_end_the_answer_unseen() {
    let mut assistant = small();
    let free = heard(&mut assistant, &prompt(1, 6), &sampled(1, 30)).0;
    let fifth = free.tokens[4];
    let settings = Settings { stop_tokens: vec![fifth], ..sampled(1, 30) };
    let stopped = heard(&mut assistant, &prompt(1, 6), &settings).0;
    let first = free.tokens.iter().position(|&id| id == fifth).unwrap();
    assert_eq!(stopped.tokens, free.tokens[..=first]);
    assert_eq!(stopped.finish, FinishReason::StopToken(fifth));
    assert!(free.text.starts_with(&stopped.text));
    // The model's own end of turn counts unless it is to be ignored.
    let end = assistant.tokenizer().special("<|im_end|>").unwrap();
    let mut settings = sampled(1, 30);
    settings.sampling.logit_bias.insert(end, 1000.0);
    assert_eq!(heard(&mut assistant, &prompt(1, 6), &settings).0.tokens.len(), 30);
    settings.ignore_end = false;
    let ended = heard(&mut assistant, &prompt(1, 6), &settings).0;
    assert_eq!((ended.tokens, ended.text), (vec![end], String::new()));
    assert_eq!(ended.finish, FinishReason::StopToken(end));
}

#[test]
fn a_listener_ends_the_answer_and_the_next_is_as_if_it_had_not_been() {
    let mut assistant = small();
    let settings = sampled(2, 20);
    let free = heard(&mut assistant, &prompt(2, 50), &settings).0;
    let heard_tokens = Cell::new(0);
    let cut = assistant
        .generate(&prompt(2, 50), &settings, &mut |event| {
            heard_tokens
                .set(heard_tokens.get() + usize::from(matches!(event, Event::Token { .. })));
            if heard_tokens.get() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!((cut.finish, &cut.tokens[..]), (FinishReason::Cancelled, &free.tokens[..3]));
    let never =
        assistant.generate(&prompt(7, 50), &settings, &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!((never.finish, never.tokens.len()), (FinishReason::Cancelled, 0));
    let again = heard(&mut assistant, &prompt(2, 50), &settings).0;
    assert_eq!((again.tokens, again.logprobs), (free.tokens, free.logprobs));
}

#[test]
fn an_answer_ends_with_the_context() {
    let mut options = AssistantOptions::default();
    options.scheduler.context = Some(12);
    let mut assistant = assistant(native(1), plain(), options);
    let settings = sampled(1, 100);
    // The last token has no place of its own: it is drawn and never read.
    let full = heard(&mut assistant, &prompt(1, 10), &settings).0;
    assert_eq!((full.tokens.len(), full.finish), (3, FinishReason::ContextFull));
    let brim = heard(&mut assistant, &prompt(1, 12), &settings).0;
    assert_eq!((brim.tokens.len(), brim.finish), (1, FinishReason::ContextFull));
    let error = assistant.generate(&prompt(1, 13), &settings, &mut ignore_events).unwrap_err();
    assert!(error.to_string().contains("13 tokens, and at most 12"), "{error}");
}

#[test]
fn a_batch_hears_each_request_by_its_place_and_ends_those_that_ask() {
    let options = sized(Some(9), 32);
    let mut assistant = assistant(native(2), plain(), options);
    let requests = requests(10);
    let mut texts = vec![String::new(); requests.len()];
    let completions = assistant
        .generate_batch(&requests, &mut |index, event| {
            if let Event::Text(text) = event {
                texts[index].push_str(text);
            }
            if index == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    for (index, completion) in completions.iter().enumerate() {
        let (tokens, finish) = (completion.tokens.len(), &completion.finish);
        let expected = if index == 4 {
            (0, &FinishReason::Cancelled)
        } else {
            (requests[index].settings.max_tokens, &FinishReason::MaxTokens)
        };
        assert_eq!((tokens, finish), expected, "request {index}");
        assert_eq!(completion.text, texts[index]);
    }
    assert!(assistant.generate_batch(&[], &mut |_, e| ignore_events(e)).unwrap().is_empty());
}

#[test]
fn requests_that_make_no_sense_are_refused_before_anything_runs() {
    let mut assistant = small();
    let mut refused = |prompt: Vec<TokenId>, settings: Settings| {
        assistant.generate(&prompt, &settings, &mut ignore_events).unwrap_err().to_string()
    };
    assert!(refused(vec![], Settings::default()).contains("empty"));
    assert!(refused(vec![TokenId(VOCAB as u32)], Settings::default()).contains("token 300"));
    let settings = |change: fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    };
    assert!(refused(prompt(1, 3), settings(|s| s.max_tokens = 0)).contains("max_tokens"));
    assert!(refused(prompt(1, 3), settings(|s| s.sampling.top_p = 2.0)).contains("top_p"));
    let empty = settings(|s| s.stop_strings = vec![String::new()]);
    assert!(refused(prompt(1, 3), empty).contains("stop string"));
    let outside = settings(|s| s.stop_tokens = vec![TokenId(999)]);
    assert!(refused(prompt(1, 3), outside).contains("token 999"));
    let good = Request { prompt: prompt(1, 3), settings: Settings::default() };
    let bad = Request { prompt: vec![], settings: Settings::default() };
    let error = assistant.generate_batch(&[good, bad], &mut |_, _| panic!("ran")).unwrap_err();
    assert!(error.to_string().starts_with("request 1: the prompt is empty"), "{error}");
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let refused = |scheduler: SchedulerOptions| {
        let engine = native(1);
        let mut state = Buffers::new();
        upload(&*engine, tiny::weights(&plain(), 5), &mut state).unwrap();
        let parts = AssistantParts {
            engine,
            config: plain(),
            state,
            tokenizer: tiny::tokenizer(),
            template: ChatTemplate::chatml(),
            end_tokens: vec![],
        };
        let options = AssistantOptions { scheduler, ..AssistantOptions::default() };
        Assistant::new(parts, options).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let base = SchedulerOptions::default();
    assert_eq!(refused(base), "");
    assert!(refused(SchedulerOptions { rows: 48, ..base }).contains("rows is 48"));
    assert!(refused(SchedulerOptions { rows: 16, ..base }).contains("rows is 16"));
    assert!(refused(SchedulerOptions { pages: Some(2), ..base }).contains("pages is 2"));
    assert!(refused(SchedulerOptions { context: Some(97), ..base }).contains("context is 97"));
    assert!(refused(SchedulerOptions { context: Some(1), ..base }).contains("context is 1"));
}

#[test]
fn damaged_weights_are_an_error_and_the_cache_forgets() {
    let engine = native(1);
    let mut weights = tiny::weights(&plain(), 5);
    let norm = weights.get_mut("model.norm.weight").unwrap();
    *norm = Tensor::f32([24], vec![f32::NAN; 24]).unwrap();
    let mut state = Buffers::new();
    upload(&*engine, weights, &mut state).unwrap();
    let tokenizer = tiny::tokenizer();
    let parts = AssistantParts {
        engine,
        config: plain(),
        state,
        tokenizer,
        template: ChatTemplate::chatml(),
        end_tokens: vec![],
    };
    let mut assistant = Assistant::new(parts, AssistantOptions::default()).unwrap();
    for _ in 0..20 {
        // More often than there are pages: a failed answer gives its pages back.
        let error = assistant.generate(&prompt(1, 5), &Settings::default(), &mut ignore_events);
        assert!(matches!(error, Err(AssistantError::Logit { .. })), "{error:?}");
    }
}

const NOW: LocalTime = LocalTime { year: 2026, month: 7, day: 4, hour: 9, minute: 5, second: 7 };

#[test]
fn long_conversations_are_refused_or_lose_their_oldest_exchanges() {
    let turn = |i: usize| {
        [Message::user(format!("question {i}")), Message::assistant(format!("answer {i}"))]
    };
    let mut messages = vec![Message::system("rules")];
    messages.extend((0..6).flat_map(turn));
    messages.push(Message::user("last question"));
    let conversation = Conversation::new(&messages, NOW);
    let options = AssistantOptions::default();
    let error = assistant(native(1), plain(), options).prompt(&conversation, 20).unwrap_err();
    assert!(matches!(error, AssistantError::ContextOverflow { context: 96, .. }), "{error}");
    let options = AssistantOptions { overflow: Overflow::DropOldest, ..options };
    let mut dropping = assistant(native(1), plain(), options);
    let (tokens, dropped) = dropping.prompt(&conversation, 20).unwrap();
    assert!(tokens.len() <= 76 && dropped > 0 && dropped.is_multiple_of(2), "{dropped}");
    let text = dropping.tokenizer().decode_lossy(&tokens);
    let kept = [&messages[..1], &messages[1 + dropped..]].concat();
    let expected = dropping.template().render(&Conversation::new(&kept, NOW)).unwrap();
    assert_eq!(text, expected);
    // One exchange more would not have fitted.
    let more = [&messages[..1], &messages[dropped - 1..]].concat();
    let more = dropping.template().encode(dropping.tokenizer(), &Conversation::new(&more, NOW));
    assert!(more.unwrap().len() > 76);
    let settings = Settings { max_tokens: 20, ..Settings::default() };
    let answer = dropping.chat(&conversation, &settings, &mut ignore_events).unwrap();
    assert_eq!(answer.dropped_messages, dropped);
    let lone = [Message::user("x".repeat(200))];
    let error = dropping.prompt(&Conversation::new(&lone, NOW), 20).unwrap_err();
    assert!(matches!(error, AssistantError::ContextOverflow { limit: 76, .. }), "{error}");
}

#[test]
fn a_model_directory_answers_as_its_parts_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let config = grouped_for_files();
    std::fs::write(path.join("config.json"), to_hugging_face(&config)).unwrap();
    save(&path.join("model.safetensors"), &tiny::weights(&config, 5)).unwrap();
    tiny::tokenizer().save(&path.join("tokenizer.json")).unwrap();
    let template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let token = "<|reserved_0|>";
    let json = serde_json::json!({
        "bos_token": "<|endoftext|>", "eos_token": token, "chat_template": template
    });
    std::fs::write(path.join("tokenizer_config.json"), json.to_string()).unwrap();
    std::fs::write(path.join("generation_config.json"), r#"{"eos_token_id": [7, 9]}"#).unwrap();

    let parts = AssistantParts::read(path, None, native(1), DType::F32).unwrap();
    let special = |name| tiny::tokenizer().special(name).unwrap();
    let mut ends = vec![TokenId(7), TokenId(9)];
    ends.extend(["<|endoftext|>", "<|im_end|>", token].map(special));
    ends.sort_unstable();
    assert_eq!(parts.end_tokens, ends);
    let mut loaded = Assistant::load(path, native(2), AssistantOptions::default()).unwrap();
    let messages = [Message::user("hello")];
    let (tokens, _) = loaded.prompt(&Conversation::new(&messages, NOW), 5).unwrap();
    assert_eq!(tokens[0], special("<|endoftext|>"));
    let mut made = assistant(native(2), config, AssistantOptions::default());
    let settings = sampled(1, 9);
    let answer = loaded.generate(&tokens, &settings, &mut ignore_events).unwrap();
    assert_eq!(
        answer.tokens,
        made.generate(&tokens, &settings, &mut ignore_events).unwrap().tokens
    );

    // `chat_template.jinja` wins; weights may be kept in half precision.
    std::fs::write(path.join("chat_template.jinja"), "{{ eos_token }}").unwrap();
    let parts = AssistantParts::read(path, None, native(1), DType::BF16).unwrap();
    assert_eq!(parts.template.source(), "{{ eos_token }}");
    let mut halved = Assistant::new(parts, AssistantOptions::default()).unwrap();
    assert!(halved.score(&prompt(1, 20)).unwrap().iter().all(|s| s.is_finite()));

    std::fs::write(path.join("generation_config.json"), "{").unwrap();
    let error = Assistant::load(path, native(1), AssistantOptions::default()).err().unwrap();
    assert!(error.to_string().contains("generation_config.json"), "{error}");
    let error = Assistant::load(&path.join("none"), native(1), AssistantOptions::default());
    assert!(error.err().unwrap().to_string().contains("none"));
}

#[test]
fn files_that_contradict_each_other_are_named_with_the_one_that_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let config = grouped_for_files();
    let mut keys: serde_json::Value = serde_json::from_str(&to_hugging_face(&config)).unwrap();
    keys["eos_token_id"] = 2.into();
    std::fs::write(path.join("config.json"), keys.to_string()).unwrap();
    save(&path.join("model.safetensors"), &tiny::weights(&config, 5)).unwrap();
    tiny::tokenizer().save(&path.join("tokenizer.json")).unwrap();
    let end = tiny::tokenizer().special("<|im_end|>").unwrap().0;
    let write = |name: &str, value: serde_json::Value| {
        std::fs::write(path.join(name), value.to_string()).unwrap();
    };
    let notes = || {
        let parts = ModelParts::read(path, None).unwrap();
        parts.notes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // Said twice alike.
    write("tokenizer_config.json", serde_json::json!({"eos_token": "<|im_end|>"}));
    write("special_tokens_map.json", serde_json::json!({"eos_token": {"content": "<|im_end|>"}}));
    write("added_tokens.json", serde_json::json!({ "<|im_end|>": end }));
    write("generation_config.json", serde_json::json!({"eos_token_id": [2, end]}));
    assert_eq!(notes(), Vec::<String>::new());

    let map = serde_json::json!({"eos_token": "<|endoftext|>", "pad_token": "<pad>"});
    write("special_tokens_map.json", map);
    write("added_tokens.json", serde_json::json!({"<|im_end|>": end + 1, "<new>": 7}));
    write("generation_config.json", serde_json::json!({ "eos_token_id": end }));
    let expected = [
        "special_tokens_map.json: `eos_token` is \"<|endoftext|>\", and tokenizer_config.json has \
         \"<|im_end|>\": tokenizer_config.json counts"
            .to_owned(),
        "special_tokens_map.json: `pad_token` is \"<pad>\", which is no added token of the tokenizer"
            .to_owned(),
        "added_tokens.json: \"<new>\" is 7 there and no added token of tokenizer.json, and 1 more so: \
         tokenizer.json counts"
            .to_owned(),
        format!(
            "generation_config.json: `eos_token_id` is [{end}], and config.json has [2]: each ends \
             an answer"
        ),
    ];
    assert_eq!(notes(), expected);
    let template = ModelParts::read(path, None).unwrap().template;
    assert_eq!(template.variable("eos_token"), Some("<|im_end|>"));
    write("added_tokens.json", serde_json::json!({"<|im_end|>": "x"}));
    let error = ModelParts::read(path, None).err().unwrap().to_string();
    assert!(error.contains("added_tokens.json"), "{error}");
}

/// The grouped model without the sliding window, which not every model class can express.
fn grouped_for_files() -> stoa_models::LanguageConfig {
    stoa_models::LanguageConfig { sliding_window: None, ..grouped() }
}

#[test]
fn weights_survive_the_assistant() {
    let assistant = small();
    let state = assistant.into_state();
    let names: Vec<&String> = state.0.keys().collect();
    assert_eq!(names.len(), stoa_models::parameters(&grouped()).len());
    assert!(names.iter().all(|name| !name.starts_with("cache.")));
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let mut assistant = small();
    let mut text = |seed| {
        let sampling = Sampling { seed, ..Sampling::default() };
        let settings = Settings { sampling, ignore_end: true, ..Settings::default() };
        let settings = Settings { max_tokens: 12, ..settings };
        assistant.generate(&prompt(1, 8), &settings, &mut ignore_events).unwrap().tokens
    };
    let (one, two) = (text(1), text(2));
    assert_eq!(one, text(1));
    assert_ne!(one, two);
}
