//! Model directories without a `tokenizer.json`: the vocabulary comes from one file, the rest from others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stoa_tokens::{TokenId, Tokenizer, TokensError};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read_json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden(name)).unwrap()).unwrap()
}

fn put(directory: &Path, name: &str, value: &Value) {
    std::fs::write(directory.join(name), value.to_string()).unwrap();
}

/// The vocabulary of a golden file as `vocab.json` and `merges.txt`, without its added tokens.
fn put_vocab_and_merges(directory: &Path, file: &Value) {
    let merges: Vec<String> = file["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    put(directory, "vocab.json", &file["model"]["vocab"]);
    let text = format!("#version: 0.2\n{}\n", merges.join("\n"));
    std::fs::write(directory.join("merges.txt"), text).unwrap();
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode_with_special(text).into_iter().map(|TokenId(id)| id).collect()
}

/// Qwen2's kind of directory gives the ids that its `tokenizer.json` gives: the class names pattern and normal
/// form, `added_tokens_decoder` the added tokens with their flags.
#[test]
fn a_vocabulary_with_its_configuration_is_the_whole_tokenizer() {
    let file = read_json("qwen2.json");
    let directory = tempfile::tempdir().unwrap();
    put_vocab_and_merges(directory.path(), &file);
    let added = file["added_tokens"].as_array().unwrap();
    let decoder: serde_json::Map<_, _> =
        added.iter().map(|token| (token["id"].to_string(), token.clone())).collect();
    let config = json!({
        "tokenizer_class": "Qwen2TokenizerFast",
        "added_tokens_decoder": decoder,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
    });
    put(directory.path(), "tokenizer_config.json", &config);
    let tokenizer = Tokenizer::of_directory(directory.path()).unwrap();
    let whole = Tokenizer::open(&golden("qwen2.json")).unwrap();
    assert_eq!(tokenizer.added_tokens(), whole.added_tokens());
    assert!(tokenizer.left_aside().is_empty(), "{:?}", tokenizer.left_aside());
    let texts = read_json("texts.json");
    let texts = texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    for text in texts.chain(["cat <mask> x<|im_end|>e\u{301}<norm> concat <tool>"]) {
        assert_eq!(ids(&tokenizer, text), ids(&whole, text), "{text:?}");
    }
    // A class that is not known cuts as GPT-2 does, which is said.
    put(directory.path(), "tokenizer_config.json", &json!({"tokenizer_class": "NewTokenizer"}));
    let tokenizer = Tokenizer::of_directory(directory.path()).unwrap();
    assert!(tokenizer.left_aside()[0].contains("GPT-2"));
}

#[test]
fn added_tokens_and_their_roles_come_from_three_files() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, value: Value| put(directory.path(), name, &value);
    put_vocab_and_merges(directory.path(), &read_json("gpt2.json"));
    let left = || Tokenizer::of_directory(directory.path()).unwrap().left_aside();
    put("tokenizer_config.json", json!({"tokenizer_class": "GPT2Tokenizer"}));
    assert!(left().is_empty(), "{:?}", left());
    put("added_tokens.json", json!({"<|im_start|>": 400, "<tool>": 401, "<late>": 7}));
    put(
        "special_tokens_map.json",
        json!({
            "additional_special_tokens": ["<|im_start|>"],
            "pad_token": {"content": "[PAD]", "lstrip": false},
            "eos_token": "<|endoftext|>",
        }),
    );
    let tokenizer = Tokenizer::of_directory(directory.path()).unwrap();
    assert_eq!(tokenizer.special("<|im_start|>"), Some(TokenId(400)));
    assert_eq!(tokenizer.special("<tool>"), Some(TokenId(401)));
    assert!(tokenizer.is_special(TokenId(400)) && !tokenizer.is_special(TokenId(401)));
    assert!(tokenizer.special("<|endoftext|>").is_some_and(|id| tokenizer.is_special(id)));
    let left = tokenizer.left_aside();
    assert!(left[0].contains("\"<late>\" as token 7"), "{left:?}");
    assert!(left[1].contains("without an id: \"[PAD]\""), "{left:?}");
    // What is no JSON is named.
    std::fs::write(directory.path().join("added_tokens.json"), "{").unwrap();
    let error = Tokenizer::of_directory(directory.path()).unwrap_err().to_string();
    assert!(error.contains("added_tokens.json"), "{error}");
}

/// A SentencePiece model of the BPE kind that puts ▁ before a text and keeps spaces, by hand.
fn sentence_piece() -> Vec<u8> {
    fn message(field: u8, body: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2, body.len() as u8], body].concat()
    }
    let piece = |(text, score, kind): (&str, f32, u8)| {
        let score = [&[0x15][..], &score.to_le_bytes()].concat();
        message(1, &[message(1, text.as_bytes()), score, vec![0x18, kind]].concat())
    };
    let pieces = [
        ("<unk>", 0.0, 2),
        ("<s>", 0.0, 3),
        ("</s>", 0.0, 3),
        ("\u{2581}", -9.0, 1),
        ("a", -9.0, 1),
        ("\u{2581}a", -1.0, 1),
    ];
    let pieces = pieces.into_iter().flat_map(piece);
    pieces.chain(message(2, &[0x18, 2])).chain(message(3, &[0x18, 1, 0x20, 0])).collect()
}

#[test]
fn a_sentence_piece_model_is_told_what_stands_around_a_text() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tokenizer.model"), sentence_piece()).unwrap();
    let open = |config: Value| {
        put(directory.path(), "tokenizer_config.json", &config);
        Tokenizer::of_directory(directory.path()).unwrap()
    };
    let around = |tokenizer: &Tokenizer| {
        (tokenizer.document_prefix().to_vec(), tokenizer.document_suffix().to_vec())
    };
    let (begin, end) = (TokenId(1), TokenId(2));
    let plain = open(json!({}));
    assert_eq!(around(&plain), (vec![begin], vec![]));
    assert_eq!(ids(&plain, "a<s>a"), [5, 1, 5]);
    let roles = json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}});
    let with = |changes: Value| {
        let mut config = roles.clone();
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        open(config)
    };
    assert_eq!(around(&with(json!({"add_bos_token": false}))), (vec![], vec![]));
    let both = with(json!({"add_bos_token": true, "add_eos_token": true}));
    assert_eq!(around(&both), (vec![begin], vec![end]));
    assert_eq!(around(&with(json!({"add_eos_token": true}))), (vec![begin], vec![end]));
    // Without `legacy` only the first stretch of a text has a space before it.
    let first = with(json!({"legacy": false}));
    assert_eq!(ids(&first, "a<s>a"), [5, 1, 4]);
    assert_eq!(
        first.decode(&[TokenId(5), TokenId(4)]).unwrap(),
        plain.decode(&[TokenId(5), TokenId(4)]).unwrap()
    );
    let none = with(json!({"add_prefix_space": false}));
    assert_eq!(ids(&none, "a a"), [4, 5]);
    assert_eq!(none.decode(&[TokenId(4), TokenId(5)]).unwrap(), b"a a");
    // Tokens of the file keep their ids; a new one gets the id that is stated.
    put(directory.path(), "added_tokens.json", &json!({"<turn>": 6, "<s>": 9}));
    let more = with(json!({}));
    assert_eq!(ids(&more, "<turn>"), [6]);
    assert_eq!(more.special("<s>"), Some(begin));
    assert!(more.left_aside()[0].contains("\"<s>\" as token 9"), "{:?}", more.left_aside());
}

#[test]
fn of_several_vocabularies_one_counts_and_the_others_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = Tokenizer::of_directory(directory.path()).unwrap_err();
    assert!(matches!(&error, TokensError::In { path, .. } if path == directory.path()));
    assert!(error.to_string().contains("needs a tokenizer.json, tekken.json"), "{error}");

    put_vocab_and_merges(directory.path(), &read_json("gpt2.json"));
    let vocabulary = Tokenizer::of_directory(directory.path()).unwrap();
    assert_eq!(vocabulary.vocab_size(), 400);
    std::fs::write(directory.path().join("tokenizer.model"), sentence_piece()).unwrap();
    let model = Tokenizer::of_directory(directory.path()).unwrap();
    assert_eq!(model.vocab_size(), 6);
    assert_eq!(model.left_aside(), ["vocab.json, since tokenizer.model is there"]);
    let bytes: Vec<Value> = (0..256)
        .map(|byte: u32| json!({"rank": byte, "token_bytes": base64(byte as u8)}))
        .collect();
    let config = json!({
        "pattern": "[^\\r\\n]+|\\s+",
        "default_vocab_size": 258,
        "default_num_special_tokens": 2,
    });
    put(directory.path(), "tekken.json", &json!({"config": config, "vocab": bytes}));
    let tekken = Tokenizer::of_directory(directory.path()).unwrap();
    assert_eq!(ids(&tekken, "a"), [u32::from(b'a') + 2]);
    assert_eq!(tekken.left_aside().len(), 2);
    std::fs::copy(golden("qwen2.json"), directory.path().join("tokenizer.json")).unwrap();
    // A whole file lacks nothing but what is stated under an id that is free.
    put(directory.path(), "added_tokens.json", &json!({"<new>": 407, "<|im_end|>": 402, "<x>": 1}));
    let whole = Tokenizer::of_directory(directory.path()).unwrap();
    assert_eq!(ids(&whole, "<new><|im_end|>"), [407, 402]);
    let left = whole.left_aside();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left[..3].iter().all(|other| other.ends_with("since tokenizer.json is there")));
    assert!(left[3].contains("\"<x>\" as token 1"), "{left:?}");
}

/// One byte in base64.
fn base64(byte: u8) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |six: u8| char::from(LETTERS[usize::from(six)]);
    format!("{}{}==", letter(byte >> 2), letter((byte & 3) << 4))
}
