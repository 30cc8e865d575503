//! The trainer against the definition of training, and the encoder against the definition of
//! encoding, on random text.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stoa_tokens::{
    Pattern, TokenId, Tokenizer, TokensError, TrainOptions, TrainProgress, Utf8Assembler, reference,
};

/// Trains without reports.
fn train(texts: &[String], options: &TrainOptions) -> Tokenizer {
    Tokenizer::train(texts, options, |_| ControlFlow::Continue(())).expect("sound options")
}

/// Distinct pieces with their counts.
fn pieces(texts: &[String], pattern: Pattern) -> BTreeMap<Vec<u8>, u64> {
    let mut pieces = BTreeMap::new();
    for piece in texts.iter().flat_map(|text| pattern.pieces(text)) {
        *pieces.entry(piece.as_bytes().to_vec()).or_default() += 1;
    }
    pieces
}

/// The merges of a tokenizer, read off its tokens in the file it writes.
fn merges(tokenizer: &Tokenizer) -> Vec<(u32, u32)> {
    let file: serde_json::Value =
        serde_json::from_str(&tokenizer.to_hugging_face_json()).expect("JSON");
    let id = |spelling: &str| file["model"]["vocab"][spelling].as_u64().expect("known") as u32;
    let merge = |merge: &serde_json::Value| {
        let (left, right) = merge.as_str().expect("text").split_once(' ').expect("two parts");
        (id(left), id(right))
    };
    file["model"]["merges"].as_array().expect("list").iter().map(merge).collect()
}

/// Texts of few letters, where pairs overlap and counts tie all the time, and of any characters.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let text = prop_oneof![4 => "[ab]{0,30}", 2 => "[abc ]{0,40}", 1 => "\\PC{0,20}", 1 => "[a\u{e9}\u{4e2d} ]{0,20}"];
    prop::collection::vec(text, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]

    #[test]
    fn merges_are_those_of_the_definition(
        texts in texts(), wanted in 0..60_usize, min_pair_count in 0..4_u64, threads in 1..3_usize,
    ) {
        let options = TrainOptions {
            vocab_size: 256 + wanted,
            special_tokens: Vec::new(),
            min_pair_count,
            threads,
            ..TrainOptions::default()
        };
        let expected = reference::train(&pieces(&texts, options.pattern), wanted, min_pair_count);
        let tokenizer = train(&texts, &options);
        prop_assert_eq!(merges(&tokenizer), expected.clone());
        prop_assert_eq!(tokenizer.vocab_size(), 256 + expected.len());
    }

    #[test]
    fn ids_are_those_of_the_definition_and_decode_to_the_text(texts in texts(), unseen in "[abc ]{0,300}|\\PC{0,40}") {
        let options = TrainOptions { vocab_size: 320, ..TrainOptions::default() };
        let tokenizer = train(&texts, &options);
        let triples: Vec<(u32, u32, u32)> =
            (256..).zip(merges(&tokenizer)).map(|(id, (left, right))| (left, right, id)).collect();
        for text in texts.iter().chain([&unseen]) {
            let mut expected = Vec::new();
            for piece in options.pattern.pieces(text) {
                let bytes: Vec<u32> = piece.bytes().map(u32::from).collect();
                expected.extend(reference::merge(&triples, &bytes).into_iter().map(TokenId));
            }
            // Twice: the second time from the cache.
            prop_assert_eq!(&tokenizer.encode(text), &expected);
            prop_assert_eq!(&tokenizer.encode(text), &expected);
            prop_assert_eq!(tokenizer.decode(&expected).expect("known ids"), text.as_bytes());
        }
        let batch: Vec<Vec<TokenId>> = texts.iter().map(|text| tokenizer.encode(text)).collect();
        prop_assert_eq!(tokenizer.encode_batch(&texts, 2), batch);
    }

    #[test]
    fn any_bytes_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let options = TrainOptions { vocab_size: 300, min_pair_count: 1, ..TrainOptions::default() };
        let tokenizer = train(&["the cat and the hat and the bat".to_owned()], &options);
        let ids = tokenizer.encode_bytes(&bytes);
        prop_assert_eq!(tokenizer.decode(&ids).expect("known ids"), bytes.clone());
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert_eq!(tokenizer.encode(&text), ids);
        }
    }
}

#[test]
fn threads_and_order_of_texts_do_not_matter() {
    let mut texts: Vec<String> = (0..60_000_u32)
        .map(|n| format!("post {n} of {} says {}", n % 91, n.pow(2) % 1013))
        .collect();
    let options = |threads| TrainOptions { vocab_size: 700, threads, ..TrainOptions::default() };
    let alone = train(&texts, &options(1));
    assert_eq!(alone.vocab_size(), 700);
    assert_eq!(train(&texts, &options(2)).fingerprint(), alone.fingerprint());
    texts.reverse();
    assert_eq!(train(&texts, &options(3)).fingerprint(), alone.fingerprint());
}

#[test]
fn progress_is_told_and_can_stop_training() {
    let texts = vec!["the cat sat on the mat ".repeat(50)];
    let options = TrainOptions { vocab_size: 280, ..TrainOptions::default() };
    let mut reports = Vec::new();
    Tokenizer::train(&texts, &options, |report| {
        reports.push(report);
        ControlFlow::Continue(())
    })
    .expect("sound options");
    assert!(matches!(reports[0], TrainProgress::Counting { texts: 1, bytes: 1150, .. }));
    assert!(matches!(reports.last(), Some(TrainProgress::Merging { wanted: 16, .. })));
    let stopped = Tokenizer::train(&texts, &options, |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(TokensError::Cancelled)));
}

#[test]
fn unsound_options_are_refused() {
    let refuse = |options: TrainOptions| {
        let texts: [&str; 0] = [];
        let trained = Tokenizer::train(texts, &options, |_| ControlFlow::Continue(()));
        trained.expect_err("unsound").to_string()
    };
    let small = TrainOptions { vocab_size: 263, ..TrainOptions::default() };
    assert!(refuse(small).contains("at least 264"));
    let huge = TrainOptions { vocab_size: usize::MAX, ..TrainOptions::default() };
    assert!(refuse(huge).contains("beyond the largest"));
    let twice = vec!["<a>".to_owned(), "<a>".to_owned()];
    let twice = TrainOptions { special_tokens: twice, ..TrainOptions::default() };
    assert!(refuse(twice).contains("\"<a>\""));
    let none = TrainOptions { max_piece_bytes: 0, ..TrainOptions::default() };
    assert!(refuse(none).contains("max_piece_bytes"));
}

#[test]
fn special_tokens_come_only_when_asked_for() {
    let options = TrainOptions { vocab_size: 264, ..TrainOptions::default() };
    let tokenizer = train(&[], &options);
    let end = tokenizer.special("<|endoftext|>").expect("a default");
    assert_eq!(end, TokenId(256));
    assert!(tokenizer.is_special(end) && !tokenizer.is_special(TokenId(65)));
    assert_eq!(tokenizer.token_bytes(end), Some(&b"<|endoftext|>"[..]));
    assert_eq!(tokenizer.encode("a<|endoftext|>").len(), 14);
    assert_eq!(tokenizer.encode_with_special("a<|endoftext|>"), [TokenId(97), end]);
    let unknown = tokenizer.decode(&[TokenId(264)]).expect_err("unknown id").to_string();
    assert!(unknown.contains("264"), "{unknown}");
    assert_eq!(tokenizer.decode_lossy(&[TokenId(264), TokenId(65)]), "\u{fffd}A");
}

#[test]
fn streamed_text_is_the_whole_text() {
    let options = TrainOptions { vocab_size: 264, ..TrainOptions::default() };
    let tokenizer = train(&[], &options);
    let text = "déjà vu 😀 中";
    let mut stream = Utf8Assembler::default();
    let mut parts = Vec::new();
    for id in tokenizer.encode(text) {
        parts.push(stream.push(tokenizer.token_bytes(id).expect("known id")));
    }
    assert_eq!(parts.concat() + &stream.finish(), text);
    assert!(parts.iter().all(|part| !part.contains('\u{fffd}')));
    let mut cut = Utf8Assembler::default();
    assert_eq!(cut.push(&[0xf0]), "");
    assert_eq!(cut.finish(), "\u{fffd}");
}
