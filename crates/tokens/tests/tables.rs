//! Tokenizers as tables of GGUF files and back: the same ids, or a refusal, or a note.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value, json};
use stoa_tokens::{Pattern, TokenTables, Tokenizer, TrainOptions, WrittenTables};

fn read_json(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A golden file with values at JSON pointers.
fn changed(base: &str, changes: &Value) -> Tokenizer {
    let mut file = read_json(base);
    for (pointer, value) in changes.as_object().unwrap() {
        let (path, last) = pointer.rsplit_once('/').unwrap();
        file.pointer_mut(path).unwrap()[last] = value.clone();
    }
    Tokenizer::from_hugging_face_json(file.to_string().as_bytes()).unwrap()
}

fn trained(pattern: Pattern) -> Tokenizer {
    let texts: Vec<String> =
        serde_json::from_value(read_json("texts.json")).expect("a list of texts");
    let options = TrainOptions { vocab_size: 400, pattern, ..TrainOptions::default() };
    Tokenizer::train(&texts, &options, |_| ControlFlow::Continue(())).unwrap()
}

/// Words, numbers, spaces, special tokens, and characters of all kinds.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-zA-Z']{1,6}",
        "[0-9]{1,4}",
        "[ \t\r\n]{1,3}",
        "\\PC{1,4}",
        any::<char>().prop_map(String::from),
        Just("<|im_start|>".to_owned()),
        Just("\u{2581}".to_owned()),
        Just("<unk>".to_owned()),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// That tables read as the tokenizer they were made of.
fn check(name: &str, tokenizer: &Tokenizer, tables: &TokenTables, cases: u32) {
    let again = Tokenizer::from_tables(tables).unwrap();
    let config = ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    };
    let compare = |text: String| {
        prop_assert_eq!(tokenizer.encode(&text), again.encode(&text), "{}: {:?}", name, text);
        let document = tokenizer.encode_document(&text);
        prop_assert_eq!(&document, &again.encode_document(&text), "{}: {:?}", name, text);
        let special = tokenizer.encode_with_special(&text);
        prop_assert_eq!(&special, &again.encode_with_special(&text), "{}: {:?}", name, text);
        prop_assert_eq!(tokenizer.decode(&special).ok(), again.decode(&special).ok());
        Ok(())
    };
    TestRunner::new(config).run(&text(), compare).unwrap();
}

#[test]
fn a_tokenizer_that_is_trained_here_keeps_its_ids() {
    for (pattern, pre) in [
        (Pattern::default(), "dbrx"),
        (Pattern::Gpt2, "gpt-2"),
        (Pattern::Qwen2, "qwen2"),
        (Pattern::O200k, "gpt-4o"),
    ] {
        let tokenizer = trained(pattern);
        let rows = tokenizer.vocab_size() + 5;
        let WrittenTables { tables, notes } = tokenizer.to_tables(rows).unwrap();
        assert_eq!((tables.pre.as_deref(), notes.as_slice()), (Some(pre), &[][..]));
        assert_eq!((tables.tokens.len(), tables.token_types.len()), (rows, rows));
        let unused = format!("[PAD{}]", rows - 1);
        assert_eq!((tables.tokens.last(), tables.token_types.last()), (Some(&unused), Some(&5)));
        check(pre, &tokenizer, &tables, 1000);
        // Written once more, they are the same tables.
        let again = Tokenizer::from_tables(&tables).unwrap().to_tables(rows).unwrap();
        assert_eq!(again.tables.merges, tables.merges);
        assert_eq!(again.tables.tokens, tables.tokens);
    }
}

#[test]
fn what_no_name_computes_is_refused_by_the_name_of_the_part() {
    for pattern in [Pattern::Nanochat, Pattern::Cl100k] {
        let refused = trained(pattern).to_tables(400).unwrap_err().to_string();
        for word in ["GGUF", "pre_tokenizer", "safetensors"] {
            assert!(refused.contains(word), "{word}: {refused}");
        }
    }
    let space = changed("gpt2.json", &json!({}));
    let refused = space.to_tables(400).unwrap_err().to_string();
    assert!(refused.contains("add_prefix_space"), "{refused}");
    // A piece that is a token, whatever merging gives, under a name that merges.
    let mut file: Value =
        serde_json::from_str(&trained(Pattern::Gpt2).to_hugging_face_json()).unwrap();
    file["model"]["ignore_merges"] = json!(true);
    file["model"]["vocab"]["zqxj"] = json!(400);
    let ignoring = Tokenizer::from_hugging_face_json(file.to_string().as_bytes()).unwrap();
    let refused = ignoring.to_tables(401).unwrap_err().to_string();
    assert!(refused.contains("ignore_merges") && refused.contains("zqxj"), "{refused}");
}

#[test]
fn what_tables_have_no_place_for_is_noted() {
    let mut file: Value =
        serde_json::from_str(&trained(Pattern::Qwen2).to_hugging_face_json()).unwrap();
    file["normalizer"] = json!({"type": "NFC"});
    file["added_tokens"][1]["lstrip"] = json!(true);
    let tokenizer = Tokenizer::from_hugging_face_json(file.to_string().as_bytes()).unwrap();
    let WrittenTables { tables, notes } = tokenizer.to_tables(400).unwrap();
    assert_eq!(tables.pre.as_deref(), Some("qwen2"));
    assert!(notes[0].starts_with("normalizer NFC"), "{notes:?}");
    assert!(notes[1].starts_with("lstrip of 1 added tokens, \"<|im_start|>\""), "{notes:?}");
    let short = trained(Pattern::Qwen2);
    let first = short.added_tokens()[0].id as usize;
    let notes = short.to_tables(first + 1).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("7 added tokens beyond")), "{notes:?}");
}

/// Every pipeline of the golden files: written without a note, it gives the same ids.
#[test]
fn every_pipeline_is_kept_or_noted_or_refused() {
    let golden = read_json("pipelines.json");
    let (mut kept, mut noted, mut refused) = (0, 0, 0);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let tokenizer = changed(case["base"].as_str().unwrap(), &case["set"]);
        match tokenizer.to_tables(tokenizer.vocab_size()) {
            Ok(WrittenTables { tables, notes }) if notes.is_empty() => {
                kept += 1;
                check(name, &tokenizer, &tables, 100);
            }
            Ok(_) => noted += 1,
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("GGUF"), "{name}: {error}");
            }
        }
    }
    assert!(kept > 0 && noted > 0 && refused > 0, "{kept} kept, {noted} noted, {refused} refused");
}

/// Scores come from the order of merges, and give that order again.
#[test]
fn merges_of_spaces_become_scores() {
    let names = [
        "<unk>",
        "<s>",
        "</s>",
        "<0x41>",
        "\u{2581}",
        "a",
        "b",
        "c",
        "ab",
        "ba",
        "\u{2581}a",
        "abc",
    ];
    let tables = TokenTables {
        model: "llama".to_owned(),
        tokens: names.map(str::to_owned).to_vec(),
        token_types: vec![2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1],
        scores: vec![0.0, 0.0, 0.0, 0.0, -9.0, -9.0, -9.0, -9.0, -2.0, -1.0, -3.0, -4.0],
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        add_bos: Some(true),
        ..TokenTables::default()
    };
    for prefix in [true, false] {
        let tables = TokenTables { add_space_prefix: Some(prefix), ..tables.clone() };
        let tokenizer = Tokenizer::from_tables(&tables).unwrap();
        let WrittenTables { tables: written, notes } = tokenizer.to_tables(names.len()).unwrap();
        assert_eq!(notes, [] as [&str; 0]);
        let expected = (&tables.model, &tables.tokens, &tables.token_types, tables.unknown);
        let found = (&written.model, &written.tokens, &written.token_types, written.unknown);
        assert_eq!(found, expected);
        assert_eq!(&written.scores[8..], [-2.0, -1.0, -3.0, -4.0]);
        assert_eq!(
            (written.bos, written.add_bos, written.add_eos),
            (Some(1), Some(true), Some(false))
        );
        check("llama", &tokenizer, &written, 1000);
        // As a tokenizer.json has it, merges in order.
        let json = tokenizer.to_hugging_face_json();
        let read = Tokenizer::from_hugging_face_json(json.as_bytes()).unwrap();
        check("llama", &read, &read.to_tables(names.len()).unwrap().tables, 1000);
        // A merge that scores cannot place: of one token both before and after another.
        let mut file: Value = serde_json::from_str(&json).unwrap();
        let merges = file["model"]["merges"].as_array_mut().unwrap();
        merges.pop();
        let gap = Tokenizer::from_hugging_face_json(file.to_string().as_bytes()).unwrap();
        let refused = gap.to_tables(names.len()).unwrap_err().to_string();
        assert!(refused.contains("model.merges["), "{refused}");
    }
}

/// As in Gemma: the ways to runs of one character alternate, longest parts first.
#[test]
fn runs_of_one_character_may_share_a_score() {
    let names = ["<unk>", "a", "b", "aa", "bb", "aaa", "bbb", "ab", "aba", "bab", "ba"];
    let tables = TokenTables {
        model: "llama".to_owned(),
        tokens: names.map(str::to_owned).to_vec(),
        token_types: vec![2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        scores: vec![0.0, -9.0, -9.0, -1.0, -1.0, -1.0, -1.0, -2.0, -4.0, -5.0, -3.0],
        unknown: Some(0),
        add_space_prefix: Some(false),
        ..TokenTables::default()
    };
    let mut file: Value =
        serde_json::from_str(&Tokenizer::from_tables(&tables).unwrap().to_hugging_face_json())
            .unwrap();
    let mut of_merges = |merges: &[[&str; 2]]| {
        file["model"]["merges"] = json!(merges);
        Tokenizer::from_hugging_face_json(file.to_string().as_bytes()).unwrap()
    };
    let runs = [["aa", "a"], ["bb", "b"], ["a", "aa"], ["b", "bb"], ["a", "a"], ["b", "b"]];
    let others = [["a", "b"], ["b", "a"], ["ab", "a"], ["a", "ba"], ["ba", "b"], ["b", "ab"]];
    let tokenizer = of_merges(&[runs, others].concat());
    let WrittenTables { tables: written, notes } = tokenizer.to_tables(names.len()).unwrap();
    assert_eq!(&written.scores[3..], [-2.0, -3.0, -1.0, -1.0, -4.0, -6.0, -7.0, -5.0]);
    assert!(notes.len() == 1 && notes[0].contains("runs of one character"), "{notes:?}");
    let again = Tokenizer::from_tables(&written).unwrap();
    for text in ["a", "aa", "aaa", "bbb", "abab", "aabbba", "babaabb"] {
        assert_eq!(tokenizer.encode(text), again.encode(text), "{text}");
    }
    // Of other tokens no score says that their ways alternate.
    let apart = [["a", "b"], ["b", "a"], ["ab", "a"], ["ba", "b"], ["a", "ba"], ["b", "ab"]];
    let refused = of_merges(&[runs, apart].concat()).to_tables(names.len()).unwrap_err();
    assert!(refused.to_string().contains("model.merges["), "{refused}");
}
