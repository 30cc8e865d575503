//! Tokenizer files against `tokenizers` and `tiktoken`: committed ids that those packages gave
//! (`xtask/oracle/tokens/golden.py` made them), and files that must be refused.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use stoa_tokens::{Pattern, TokenId, Tokenizer, TokensError, TrainOptions};

/// A file of the golden directory.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read_json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden(name)).expect("committed")).expect("JSON")
}

fn texts() -> Vec<String> {
    serde_json::from_value(read_json("texts.json")).expect("a list of texts")
}

/// The golden ids of a tokenizer, of texts taken as "text" or as "document".
fn golden_ids(tokenizer: &str, taken_as: &str) -> Vec<Vec<TokenId>> {
    let ids: Vec<Vec<u32>> =
        serde_json::from_value(read_json("ids.json")[tokenizer][taken_as].clone()).expect("ids");
    ids.into_iter().map(|ids| ids.into_iter().map(TokenId).collect()).collect()
}

/// Checks a tokenizer against golden ids, and the text that they decode to.
fn check(tokenizer: &Tokenizer, name: &str, adds_space: bool) {
    let (plain, documents) = (golden_ids(name, "text"), golden_ids(name, "document"));
    for ((text, plain), document) in texts().iter().zip(&plain).zip(&documents) {
        assert_eq!(&tokenizer.encode(text), plain, "{name}: {text:?}");
        assert_eq!(&tokenizer.encode_document(text), document, "{name}: {text:?}");
        if !tokenizer.normalizes() {
            let decoded = tokenizer.decode(plain).expect("known ids");
            let space =
                if adds_space && !text.is_empty() && !text.starts_with(' ') { " " } else { "" };
            assert_eq!(decoded, format!("{space}{text}").as_bytes(), "{name}: {text:?}");
        }
    }
    assert_eq!(tokenizer.encode_batch(&texts(), 2), plain, "{name}");
}

const STYLES: [&str; 5] = ["gpt2.json", "llama3.json", "qwen2.json", "o200k.json", "stoa.json"];

#[test]
fn ids_are_those_of_hugging_face_before_and_after_writing() {
    for name in STYLES {
        let tokenizer = Tokenizer::open(&golden(name)).expect("a supported style");
        check(&tokenizer, name, name == "gpt2.json");
        let written = tokenizer.to_hugging_face_json();
        let again = Tokenizer::from_hugging_face_json(written.as_bytes()).expect("our own file");
        check(&again, name, name == "gpt2.json");
        assert_eq!(again.fingerprint(), tokenizer.fingerprint(), "{name}");
        assert_eq!(again.to_hugging_face_json(), written, "{name}");
    }
}

#[test]
fn styles_are_read_as_what_they_are() {
    let open = |name| Tokenizer::open(&golden(name)).expect("a supported style");
    let patterns = STYLES.map(|name| open(name).pattern());
    assert_eq!(
        patterns,
        [Pattern::Gpt2, Pattern::Gpt4, Pattern::Qwen2, Pattern::O200k, Pattern::Gpt4].map(Some)
    );
    let llama = open("llama3.json");
    assert_eq!(llama.document_prefix(), [llama.special("<|begin_of_text|>").expect("added")]);
    // A token that merges do not lead to, found because whole pieces go first.
    assert_eq!(llama.encode(" McDonald").len(), 1);
    assert!(open("qwen2.json").normalizes());
    let fingerprints: std::collections::HashSet<_> =
        STYLES.iter().map(|name| open(name).fingerprint()).collect();
    assert_eq!(fingerprints.len(), STYLES.len());
}

#[test]
fn tiktoken_files_give_tiktokens_ids_and_are_written_as_they_were() {
    let ranks = std::fs::read(golden("stoa.ranks")).expect("committed");
    let special = [("<|endoftext|>", 400), ("<|gap|>", 410)];
    let tokenizer = Tokenizer::from_tiktoken(&ranks, Pattern::Gpt4, &special).expect("whole");
    for (text, ids) in texts().iter().zip(golden_ids("stoa.ranks", "text")) {
        assert_eq!(tokenizer.encode(text), ids, "{text:?}");
    }
    assert_eq!(tokenizer.to_tiktoken().as_bytes(), ranks);
    assert_eq!(tokenizer.vocab_size(), 411);
    assert_eq!(tokenizer.token_bytes(TokenId(405)), None);
    // Special tokens with gaps between their ids survive the other format too.
    let written = tokenizer.to_hugging_face_json();
    let again = Tokenizer::from_hugging_face_json(written.as_bytes()).expect("our own file");
    assert_eq!(again.fingerprint(), tokenizer.fingerprint());
    assert_eq!(again.special("<|gap|>"), Some(TokenId(410)));
}

#[test]
fn training_gives_the_committed_files() {
    let options = TrainOptions {
        vocab_size: 400,
        special_tokens: Vec::new(),
        min_pair_count: 1,
        ..TrainOptions::default()
    };
    let trained =
        Tokenizer::train(texts(), &options, |_| ControlFlow::Continue(())).expect("sound options");
    let committed = std::fs::read_to_string(golden("stoa.json")).expect("committed");
    assert_eq!(trained.to_hugging_face_json(), committed);
    assert_eq!(
        trained.to_tiktoken().as_bytes(),
        std::fs::read(golden("stoa.ranks")).expect("committed")
    );
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("tokenizer.json");
    let tokenizer = Tokenizer::open(&golden("stoa.json")).expect("committed");
    tokenizer.save(&path).expect("writable");
    assert_eq!(Tokenizer::open(&path).expect("whole").fingerprint(), tokenizer.fingerprint());
    let ranks = directory.path().join("ranks");
    tokenizer.save_tiktoken(&ranks).expect("writable");
    Tokenizer::open_tiktoken(&ranks, Pattern::Gpt4, &[]).expect("whole");
    assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 2);
    let error = tokenizer.save(&directory.path().join("none/t.json")).expect_err("no directory");
    assert!(error.to_string().contains("none/t.json"), "{error}");
}

/// The error of a golden file after a change.
fn refusal(name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut file = read_json(name);
    change(&mut file);
    let read = Tokenizer::from_hugging_face_json(file.to_string().as_bytes());
    read.expect_err("must be refused").to_string()
}

#[test]
fn what_could_change_ids_is_refused_by_name() {
    let precompiled = json!({
        "type": "Sequence",
        "normalizers": [{"type": "NFC"}, {"type": "Precompiled", "precompiled_charsmap": "AA=="}],
    });
    let sets: [(&str, Value, &str); 14] = [
        ("/model/type", json!("Unigram"), "model.type is \"Unigram\""),
        ("/model/type", json!("WordPiece"), "model.type is \"WordPiece\""),
        ("/model/type", json!("WordLevel"), "model.type is \"WordLevel\""),
        ("/normalizer", precompiled, "normalizer.normalizers[1].type is \"Precompiled\""),
        ("/normalizer", json!({"type": "Upper"}), "normalizer.type is \"Upper\""),
        ("/pre_tokenizer", json!({"type": "Words"}), "pre_tokenizer.type is \"Words\""),
        ("/pre_tokenizer/pretokenizers/0/behavior", json!("Odd"), "[0].behavior is \"Odd\""),
        ("/pre_tokenizer/pretokenizers/0/pattern/Regex", json!("(a"), "pattern.Regex is `(a`"),
        ("/pre_tokenizer/pretokenizers/0/pattern", json!(5), "pretokenizers[0].pattern is 5"),
        ("/pre_tokenizer/pretokenizers/1/use_regex", json!(3), "[1].use_regex is 3"),
        ("/post_processor", json!({"type": "BertProcessing"}), "post_processor.cls is null"),
        ("/post_processor", json!({"type": "Pairs"}), "post_processor.type is \"Pairs\""),
        ("/decoder", json!({"type": "WordPiece"}), "decoder.type is \"WordPiece\""),
        ("/decoder", json!({"type": "CTC"}), "decoder.type is \"CTC\""),
    ];
    for (field, value, message) in sets {
        let error = refusal("llama3.json", |file| {
            *file.pointer_mut(field).expect("the file has the field") = value;
        });
        assert!(error.contains(message), "{field}: {error}");
    }
    // Files of other models have other shapes, which must not be what the message is about.
    for (kind, vocab) in [("Unigram", json!([["a", 0.0]])), ("WordPiece", json!({"a": 0}))] {
        let file = json!({"model": {"type": kind, "vocab": vocab}});
        let read = Tokenizer::from_hugging_face_json(file.to_string().as_bytes());
        let error = read.expect_err("must be refused").to_string();
        assert!(error.contains(&format!("model.type is \"{kind}\"")), "{error}");
    }
    let merges = [
        (json!("a"), "merge 0 is \"a\""),
        (json!(7), "merge 0 is 7"),
        (json!(["a", "zzz"]), "needs token \"azzz\""),
    ];
    for (merge, message) in merges {
        let error = refusal("stoa.json", |file| file["model"]["merges"][0] = merge);
        assert!(error.contains(message), "{error}");
    }
    let error = refusal("stoa.json", |file| file["model"]["vocab"]["new"] = json!(65));
    assert!(error.contains("id 65 belongs to both"), "{error}");
    let error = refusal("stoa.json", |file| file["model"]["vocab"]["new"] = json!(u32::MAX));
    assert!(error.contains("beyond the largest"), "{error}");
    let error = refusal("llama3.json", |file| file["added_tokens"][0]["id"] = json!(5));
    assert!(error.contains("id 5 belongs to both"), "{error}");
    let error = refusal("gpt2.json", |file| file["added_tokens"][0]["id"] = json!(900));
    assert!(error.contains("added_tokens[0].id is 900"), "{error}");
}

#[test]
fn broken_rank_files_are_refused_with_the_line() {
    let read = |text: &str| {
        let read = Tokenizer::from_tiktoken(text.as_bytes(), Pattern::Gpt4, &[]);
        read.expect_err("must be refused").to_string()
    };
    assert!(read("IQ== 0\nIg=\n").contains("line 2"));
    assert!(read("IQ== 0\n\nIg== x\n").contains("line 3: \"Ig== x\""));
    assert!(read("IQ== 0\nIg== 0\n").contains("id 0 belongs to both"));
    assert!(read("IQ== 0\nIQ== 1\n").contains("hold the same bytes"));
    assert!(read("IQ== 4294967295\n").contains("beyond the largest"));
    assert!(read("").contains("no token for byte 0x00"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_files_never_panic(
        style in 0..STYLES.len(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut file = std::fs::read(golden(STYLES[style])).expect("committed");
        let at = at.index(file.len());
        if cut { file.truncate(at) } else { file[at] = byte }
        match Tokenizer::from_hugging_face_json(&file) {
            Ok(tokenizer) => {
                let ids = tokenizer.encode_document("any text é 123");
                prop_assert!(ids.iter().all(|&id| id.index() < tokenizer.vocab_size().max(1000)));
            }
            Err(TokensError::Json(_)) => {}
            Err(error) => prop_assert!(!cut, "{}", error),
        }
    }
}
