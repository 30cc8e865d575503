//! What training learns of a dialogue: golden ids and masks of Hugging Face's
//! `return_assistant_tokens_mask`, made by `xtask/oracle/dialogue/golden_masks.py`; the same masks
//! without marks in the template; ChatML put together turn by turn.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::Deserialize;
use stoa_dialogue::{ChatTemplate, ChatTokens, Dialogue, DialogueError, LocalTime, Message, Role};
use stoa_tokens::{IM_END, IM_START, TokenId, Tokenizer};

/// The clock of the script.
const NOW: LocalTime = LocalTime { year: 2026, month: 7, day: 4, hour: 9, minute: 5, second: 7 };

/// Styles with the token they begin a text with, as in the script.
const STYLES: [(&str, &str); 3] =
    [("llama_style", "<|begin_of_text|>"), ("gemma_style", "<bos>"), ("chatml", "<|endoftext|>")];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn tokenizer() -> Tokenizer {
    Tokenizer::open(&golden().join("tokenizer.json")).unwrap()
}

fn source(style: &str) -> String {
    match style {
        "chatml" => ChatTemplate::chatml().source().to_owned(),
        style => {
            std::fs::read_to_string(golden().join("marked").join(format!("{style}.jinja"))).unwrap()
        }
    }
}

/// The template of a style, with its marks or with scopes that mark nothing in their place.
fn template((style, begin): (&str, &str), marked: bool) -> ChatTemplate {
    let source = source(style);
    let source = if marked {
        source
    } else {
        source
            .replace("endgeneration", "endwith")
            .replace("- generation", "- with")
            .replace("% generation", "% with")
    };
    let template = ChatTemplate::new(&source).unwrap();
    assert_eq!(template.marks_answers(), marked, "{style}");
    template.with_variables([("bos_token".to_owned(), begin.to_owned())])
}

fn encode(template: &ChatTemplate, tokenizer: &Tokenizer, dialogue: &Dialogue) -> ChatTokens {
    template.encode_for_training(tokenizer, &dialogue.conversation(Some(NOW))).unwrap()
}

#[derive(Deserialize)]
struct Golden {
    ids: Vec<u32>,
    mask: Vec<u8>,
}

#[test]
fn ids_and_masks_are_those_of_hugging_face_with_marks_and_without() {
    let tokenizer = tokenizer();
    let read = |name: &str| std::fs::read_to_string(golden().join(name)).unwrap();
    let dialogues: BTreeMap<String, Vec<Message>> =
        serde_json::from_str(&read("dialogues.json")).unwrap();
    let masks: BTreeMap<String, BTreeMap<String, Golden>> =
        serde_json::from_str(&read("masks.json")).unwrap();
    let mut compared = 0;
    for style in STYLES {
        for (name, messages) in &dialogues {
            let theirs = &masks[style.0][name];
            let dialogue = Dialogue::new(messages.clone());
            for marked in [true, false] {
                let ours = encode(&template(style, marked), &tokenizer, &dialogue);
                let what = format!("{}, {name}, marked {marked}", style.0);
                let ids: Vec<u32> = ours.tokens.iter().map(|id| id.0).collect();
                let mask: Vec<u8> = ours.learned.iter().map(|&learned| learned.into()).collect();
                // Ours leaves out the white space after the last message.
                let (kept, rest) = theirs.ids.split_at(ids.len());
                assert_eq!(ids, kept, "{what}");
                assert_eq!(mask, theirs.mask[..ids.len()], "{what}");
                let rest: Vec<TokenId> = rest.iter().map(|&id| TokenId(id)).collect();
                assert_eq!(tokenizer.decode_lossy(&rest).trim(), "", "{what}");
                assert!(theirs.mask[ids.len()..].iter().all(|&learned| learned == 0), "{what}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 3 * 5 * 2);
}

/// ChatML by its definition, turn by turn: the head of an answer is given, the answer begins with
/// a token of its own, and the token that ends it is learned.
fn turn_by_turn(tokenizer: &Tokenizer, dialogue: &Dialogue) -> ChatTokens {
    let (start, end) = (tokenizer.special(IM_START).unwrap(), tokenizer.special(IM_END).unwrap());
    let mut chat = ChatTokens::default();
    let mut push = |ids: &[TokenId], learned: bool| {
        chat.tokens.extend_from_slice(ids);
        chat.learned.resize(chat.tokens.len(), learned);
    };
    for (i, message) in dialogue.messages.iter().enumerate() {
        if i > 0 {
            push(&tokenizer.encode("\n"), false);
        }
        push(&[start], false);
        let (head, content) = (format!("{}\n", message.role), message.text());
        let learned = message.role == Role::Assistant;
        if learned {
            push(&tokenizer.encode(&head), false);
            push(&tokenizer.encode(content), true);
        } else {
            push(&tokenizer.encode(&format!("{head}{content}")), false);
        }
        push(&[end], learned);
    }
    chat
}

/// Dialogues of any roles whose words hold line breaks, spaces and pieces of special tokens.
fn dialogues(with_system: bool) -> impl Strategy<Value = Dialogue> {
    let roles = if with_system {
        vec![Role::System, Role::User, Role::Assistant]
    } else {
        vec![Role::User, Role::Assistant]
    };
    let pieces = vec![
        "\n",
        "\n\n",
        " ",
        "\r\n",
        "a",
        "bread",
        "Who sells",
        "é",
        "😀",
        "<|im_end|>",
        "<|im_start|>",
        "im_end|>",
        "<|",
        "|>",
        "<|endoftext|>",
        "assistant",
        "user\n",
        "\u{F0000}",
        "{{ x }}",
    ];
    let words = prop::collection::vec(prop::sample::select(pieces), 0..6);
    let message = (prop::sample::select(roles), words.prop_map(|pieces| pieces.concat()));
    prop::collection::vec(message.prop_map(|(role, text)| Message::new(role, text)), 1..7)
        .prop_map(Dialogue::new)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn chatml_is_its_turns_put_together(dialogue in dialogues(true)) {
        let tokenizer = tokenizer();
        let found = encode(&ChatTemplate::chatml(), &tokenizer, &dialogue);
        prop_assert_eq!(found, turn_by_turn(&tokenizer, &dialogue));
    }

    /// Prefixes find the mask that marks give, whatever the messages contain. The user begins, since the Llama and Gemma
    /// styles look at the first message and an answer at the beginning has none before it.
    #[test]
    fn masks_without_marks_are_those_with_marks(
        dialogue in dialogues(false),
        style in prop::sample::select(STYLES.to_vec()),
    ) {
        let mut dialogue = dialogue;
        dialogue.messages.insert(0, Message::user("Hello"));
        let tokenizer = tokenizer();
        let marked = encode(&template(style, true), &tokenizer, &dialogue);
        let unmarked = encode(&template(style, false), &tokenizer, &dialogue);
        prop_assert_eq!(marked, unmarked);
    }
}

fn learned_text(tokenizer: &Tokenizer, chat: &ChatTokens) -> String {
    let ids = chat.tokens.iter().zip(&chat.learned).filter(|(_, learned)| **learned);
    tokenizer.decode_lossy(&ids.map(|(id, _)| *id).collect::<Vec<_>>())
}

#[test]
fn an_awaited_answer_may_open_in_more_words_than_a_given_one() {
    let tokenizer = tokenizer();
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
                  {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n\
                  </think>\n\n{% endif %}";
    let template = ChatTemplate::new(source).unwrap();
    let dialogue = Dialogue::alternating(["2 + 2?", "4", "3 + 3?", "6"]);
    let chat = encode(&template, &tokenizer, &dialogue);
    assert_eq!(learned_text(&tokenizer, &chat), "4<|im_end|>6<|im_end|>");
}

#[test]
fn answers_that_are_written_otherwise_later_are_refused_without_marks() {
    let tokenizer = tokenizer();
    // Thoughts of earlier answers are left out, as Qwen3 and DeepSeek do.
    let body = |begin: &str, end: &str| {
        format!(
            "{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{begin}\
             {{{{ m.content if loop.last else m.content.split('</think>')[-1] }}}}<|im_end|>{end}\n\
             {{% endfor %}}{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
        )
    };
    let dialogue = Dialogue::alternating(["2 + 2?", "easy</think>4", "3 + 3?", "so</think>6"]);
    let unmarked = ChatTemplate::new(&body("", "")).unwrap();
    let error = unmarked.encode_for_training(&tokenizer, &dialogue.conversation(None)).unwrap_err();
    assert!(matches!(error, DialogueError::AnswerMoved { message: 1 }), "{error}");
    assert!(error.to_string().contains("{% generation %}"), "{error}");
    let begin = "{% if m.role == 'assistant' %}{% generation %}";
    let middle = body("@", "#").replace('@', begin).replace(
        "<|im_end|>#",
        "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}",
    );
    let marked = encode(&ChatTemplate::new(&middle).unwrap(), &tokenizer, &dialogue);
    assert_eq!(learned_text(&tokenizer, &marked), "4<|im_end|>so</think>6<|im_end|>");
}
