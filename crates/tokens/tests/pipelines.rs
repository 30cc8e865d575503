//! Tokenizer files with every part that is read, against ids that `tokenizers` gave
//! (`xtask/oracle/tokens/golden_pipelines.py` made them), and the fast paths against the general
//! one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use stoa_tokens::{Pattern, TokenId, TokenTables, Tokenizer};

fn read_json(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A golden file with values at JSON pointers, which may be new fields.
fn changed(base: &str, changes: &Value) -> Value {
    let mut file = read_json(base);
    for (pointer, value) in changes.as_object().unwrap() {
        let (path, last) = pointer.rsplit_once('/').unwrap();
        file.pointer_mut(path).unwrap()[last] = value.clone();
    }
    file
}

fn open(file: &Value) -> Tokenizer {
    Tokenizer::from_hugging_face_json(file.to_string().as_bytes()).unwrap()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn ids_and_text_are_those_of_hugging_face() {
    let golden = read_json("pipelines.json");
    let texts: Vec<String> = list(&golden["texts"]);
    let mut wrong = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let (name, base) = (case["name"].as_str().unwrap(), case["base"].as_str().unwrap());
        let tokenizer = open(&changed(base, &case["set"]));
        let again =
            Tokenizer::from_hugging_face_json(tokenizer.to_hugging_face_json().as_bytes()).unwrap();
        assert_eq!(again.fingerprint(), tokenizer.fingerprint(), "{name}");
        let ids: Vec<Vec<u32>> = list(&case["ids"]);
        let decoded: Vec<String> = list(&case["decoded"]);
        assert_eq!((ids.len(), decoded.len()), (texts.len(), texts.len()), "{name}");
        for ((text, ids), decoded) in texts.iter().zip(&ids).zip(&decoded) {
            let ids: Vec<_> = ids.iter().copied().map(TokenId).collect();
            let mut differs = |what: &str, ours: &dyn std::fmt::Debug| {
                wrong.push(format!("{name}, {what} of {text:?}: {ours:?}"));
            };
            let ours = tokenizer.encode(text);
            if ours != ids || again.encode(text) != ids {
                differs("ids", &ours);
            }
            let ours = tokenizer.decode_lossy(&ids);
            if ours != *decoded {
                differs("text", &ours);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_has_no_token_is_counted() {
    let plain = json!({"/model/byte_fallback": false, "/model/unk_token": null});
    let tokenizer = open(&changed("characters.json", &plain));
    assert_eq!(tokenizer.decode_lossy(&tokenizer.encode("a漢b字")), "ab");
    assert_eq!(tokenizer.characters_left_out(), 2);
    // From the cache of pieces too.
    tokenizer.encode("a漢b字");
    assert_eq!(tokenizer.characters_left_out(), 4);

    let mut gap = read_json("stoa.json");
    gap["model"]["vocab"].as_object_mut().unwrap().retain(|token, _| token != "\u{ff}");
    let tokenizer = open(&gap);
    assert_eq!(tokenizer.encode_bytes(b"a\xff\xfeb"), tokenizer.encode_bytes(b"a\xfeb"));
    assert_eq!(tokenizer.characters_left_out(), 1);
}

#[test]
fn settings_without_effect_are_named_and_written_back() {
    let settings = json!({
        "/truncation": {"max_length": 5, "strategy": "LongestFirst", "stride": 0},
        "/padding": {"strategy": {"Fixed": 8}, "pad_id": 0},
        "/model/dropout": 0.1,
    });
    let tokenizer = open(&changed("stoa.json", &settings));
    assert_eq!(
        tokenizer.left_aside(),
        ["truncation (max_length 5)", "padding (strategy {\"Fixed\":8})", "model.dropout (0.1)"]
    );
    assert!(tokenizer.encode("The mill by the river opens at seven").len() > 5);
    let written: Value = serde_json::from_str(&tokenizer.to_hugging_face_json()).unwrap();
    for (pointer, value) in settings.as_object().unwrap() {
        assert_eq!(written.pointer(pointer).unwrap(), value);
    }
}

#[test]
fn an_unknown_token_that_the_vocabulary_lacks_is_left_aside_for_good() {
    let mut file = read_json("characters.json");
    file["model"]["unk_token"] = json!("<elsewhere>");
    file["model"]["byte_fallback"] = json!(false);
    let ids = file["model"]["vocab"].as_object().unwrap().values();
    let free = ids.filter_map(Value::as_u64).max().unwrap() + 7;
    let added = json!({
        "id": free, "content": "<elsewhere>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true,
    });
    file["added_tokens"].as_array_mut().unwrap().push(added);
    let tokenizer = open(&file);
    assert!(tokenizer.left_aside()[0].starts_with("model.unk_token (<elsewhere>"));
    // Written, the added token stands in the vocabulary, since its id is not the next free one.
    let written: Value = serde_json::from_str(&tokenizer.to_hugging_face_json()).unwrap();
    assert_eq!(written["model"]["vocab"]["<elsewhere>"], free);
    let text = "the mill \u{10ffff}";
    assert_eq!(open(&written).encode(text), tokenizer.encode(text));
    assert!(tokenizer.characters_left_out() > 0);
}

#[test]
fn special_tokens_are_decoded_or_skipped() {
    let tokenizer = open(&read_json("characters.json"));
    let ids = tokenizer.encode_with_special("<s>the mill</s>");
    assert_eq!(tokenizer.decode(&ids).unwrap(), b"<s> the mill</s>");
    assert_eq!(tokenizer.decode_without_special(&ids).unwrap(), b"the mill");
}

/// The same tokenizer on the general path: expressions instead of machines, and a step after the
/// byte alphabet, so that the model runs on characters.
fn generally(file: &Value) -> Value {
    fn respell(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(regex)) = fields.get_mut("Regex") {
                    *regex = format!("(?:{regex})");
                }
                fields.values_mut().for_each(respell);
            }
            Value::Array(items) => items.iter_mut().for_each(respell),
            _ => {}
        }
    }
    let split = |pattern: Value| json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false});
    let nothing = split(json!({"String": ""}));
    let mut file = file.clone();
    let steps = match file["pre_tokenizer"]["pretokenizers"].as_array() {
        Some(steps) => steps.clone(),
        None => vec![file["pre_tokenizer"].clone()],
    };
    let mut general = Vec::new();
    for mut step in steps {
        if step["use_regex"] == true {
            step["use_regex"] = json!(false);
            general.push(split(json!({"Regex": Pattern::Gpt2.regex()})));
        }
        general.push(step);
    }
    general.push(nothing);
    file["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": general});
    respell(&mut file["pre_tokenizer"]);
    file
}

/// Characters that the patterns tell apart, and any character at all.
fn text() -> impl Strategy<Value = String> {
    let telling = " \t\n\r'sStTlLdD0129½²ǅéÉß\u{301}漢カの!?.,_👍\u{200d}\u{85}\u{a0}<|>abcXYZ";
    let telling = prop::sample::select(telling.chars().collect::<Vec<_>>());
    prop::collection::vec(prop_oneof![9 => telling, 1 => any::<char>()], 0..40)
        .prop_map(String::from_iter)
}

#[test]
fn fast_paths_agree_with_the_general_one() {
    let gpt2 = json!({"/pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}});
    let digits = json!({"/pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": true},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    ]}});
    let files = [
        read_json("llama3.json"),
        read_json("qwen2.json"),
        read_json("o200k.json"),
        changed("stoa.json", &gpt2),
        changed("stoa.json", &digits),
    ];
    for file in files {
        let (fast, general) = (open(&file), open(&generally(&file)));
        let config = ProptestConfig {
            cases: 2000,
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            ..Default::default()
        };
        proptest!(config, |(text in text())| {
            let ids = fast.encode(&text);
            prop_assert_eq!(&ids, &general.encode(&text));
            prop_assert_eq!(fast.decode(&ids).unwrap(), general.decode(&ids).unwrap());
            prop_assert_eq!(fast.encode_document(&text), general.encode_document(&text));
        });
    }
}

/// Tables of a small byte-level GGUF file: bytes, two merges, a user-defined and a control token.
fn byte_tables() -> TokenTables {
    let stoa = read_json("stoa.json");
    let vocab = stoa["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![String::new(); 256];
    for (spelling, id) in vocab.iter().filter(|(_, id)| id.as_u64().unwrap() < 256) {
        tokens[id.as_u64().unwrap() as usize] = spelling.clone();
    }
    tokens.extend(["th", "the", "\u{120}\u{120}", "  ", "<|end|>"].map(str::to_owned));
    let mut token_types = vec![1; tokens.len()];
    token_types[259..].copy_from_slice(&[4, 3]);
    TokenTables {
        model: "gpt2".to_owned(),
        pre: Some("smollm".to_owned()),
        tokens,
        token_types,
        merges: ["t h", "th e", "\u{120} \u{120}", "q q"].map(str::to_owned).to_vec(),
        bos: Some(260),
        add_bos: Some(true),
        ..TokenTables::default()
    }
}

#[test]
fn tables_of_bytes_are_read_as_their_name_says() {
    let tokenizer = Tokenizer::from_tables(&byte_tables()).unwrap();
    let ids: Vec<_> = tokenizer.encode("the12  <|end|>").into_iter().map(|id| id.0).collect();
    assert_eq!(ids[..4], [257, 49, 50, 259]);
    assert_eq!(tokenizer.document_prefix(), [TokenId(260)]);
    assert_eq!(tokenizer.encode_with_special("<|end|>"), [TokenId(260)]);
    assert!(tokenizer.left_aside()[0].contains("1 of 4 merges"), "{:?}", tokenizer.left_aside());
    for (pre, message) in [("odd", "tokenizer.ggml.pre is \"odd\""), ("default", "")] {
        let tables = TokenTables { pre: Some(pre.to_owned()), ..byte_tables() };
        let refused = Tokenizer::from_tables(&tables).err().map(|error| error.to_string());
        assert_eq!(refused.is_some(), !message.is_empty());
        assert!(refused.unwrap_or_default().starts_with(message));
    }
    let uneven = TokenTables { token_types: vec![1], ..byte_tables() };
    let error = Tokenizer::from_tables(&uneven).unwrap_err().to_string();
    assert!(error.contains("token_type has 1 entries for 261"), "{error}");
}

#[test]
fn tables_of_scores_merge_the_best_first() {
    let names = ["<unk>", "<s>", "</s>", "<0x41>", "\u{2581}", "a", "b", "ab", "ba", "\u{2581}a"];
    let tables = TokenTables {
        model: "llama".to_owned(),
        tokens: names.map(str::to_owned).to_vec(),
        token_types: vec![2, 3, 3, 6, 1, 1, 1, 1, 1, 1],
        scores: vec![0.0, 0.0, 0.0, 0.0, -9.0, -9.0, -9.0, -2.0, -1.0, -3.0],
        bos: Some(1),
        unknown: Some(0),
        ..TokenTables::default()
    };
    let tokenizer = Tokenizer::from_tables(&tables).unwrap();
    let ids = |text| tokenizer.encode(text).into_iter().map(|id| id.0).collect::<Vec<_>>();
    // "ba" before "ab" before "\u{2581}a"; a byte for "A", an unknown token for "z".
    assert_eq!(ids("aba"), [9, 8]);
    assert_eq!(ids("abA z"), [4, 7, 3, 4, 0]);
    assert_eq!(tokenizer.document_prefix(), [TokenId(1)]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("a bA")).unwrap(), b"a bA");
    let bert = TokenTables { model: "bert".to_owned(), ..tables };
    let error = Tokenizer::from_tables(&bert).unwrap_err().to_string();
    assert!(error.starts_with("tokenizer.ggml.model is \"bert\""), "{error}");
}

#[test]
fn files_are_known_by_what_they_hold() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        Tokenizer::open(&path).unwrap_err().to_string()
    };
    let tekken = |rank: u32, bytes: &str| json!({"rank": rank, "token_bytes": bytes});
    let config =
        json!({"pattern": "\\w+|\\W", "default_vocab_size": 3, "default_num_special_tokens": 2});
    let file = json!({"config": config, "vocab": [tekken(0, "AA=="), tekken(9, "AQ==")]});
    // Only one of the 256 bytes is there.
    assert!(refusal("tekken.json", &file.to_string()).contains("no token for byte 0x01"));
    assert!(
        refusal("tokenizer_config.json", r#"{"tokenizer_class": "X"}"#).contains("no vocabulary")
    );
    assert!(
        refusal("merges.txt", "#version: 0.2\na b\n").contains("vocab.json of the same directory")
    );
    assert!(refusal("some.model", "no model").contains("SentencePiece"));
    assert!(refusal("some.gguf", "GGUF\u{3}").contains("stoa models export --to safetensors"));
    let unigram = [0x12, 2, 0x18, 1, 0x0a, 3, 0x0a, 1, b'a'].map(char::from);
    assert!(refusal("unigram.model", &String::from_iter(unigram)).contains("UNIGRAM"));
    std::fs::write(directory.path().join("vocab.json"), r#"{"a": 0, "b": 1, "ab": 2}"#).unwrap();
    std::fs::write(directory.path().join("merges.txt"), "#version: 0.2\na b\n").unwrap();
    let tokenizer = Tokenizer::open(&directory.path().join("vocab.json")).unwrap();
    assert_eq!(tokenizer.encode("ab"), [TokenId(2)]);
    assert!(tokenizer.left_aside()[0].contains("GPT-2"));
}

/// A SentencePiece model of the BPE kind with bytes, written by hand.
#[test]
fn a_sentence_piece_model_is_read() {
    fn message(field: u8, body: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2, body.len() as u8], body].concat()
    }
    let piece = |text: &str, score: f32, kind: u8| {
        let score = [&[0x15][..], &score.to_le_bytes()].concat();
        message(1, &[message(1, text.as_bytes()), score, vec![0x18, kind]].concat())
    };
    let pieces = [
        ("<unk>", 0.0, 2),
        ("<s>", 0.0, 3),
        ("</s>", 0.0, 3),
        ("\u{2581}", -9.0, 1),
        ("a", -9.0, 1),
        ("aa", -1.0, 1),
    ];
    let mut model: Vec<u8> =
        pieces.iter().flat_map(|&(text, score, kind)| piece(text, score, kind)).collect();
    model.extend(message(2, &[0x18, 2]));
    model.extend(message(3, &[0x18, 1, 0x20, 0]));
    let tokenizer = Tokenizer::from_sentence_piece(&model).unwrap();
    let ids = |text| tokenizer.encode(text).into_iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!(ids("aaa  xy"), [3, 5, 4, 3, 3, 0]);
    assert_eq!(tokenizer.document_prefix(), [TokenId(1)]);
    for cut in 0..model.len() {
        // Whole pieces alone are a model, of the kind that is refused.
        assert!(Tokenizer::from_sentence_piece(&model[..cut]).is_err() || cut > model.len() - 8);
    }
}
