//! Every hand-written splitter against the regular expression it stands for, run by
//! `fancy-regex`, over strings rich in what the expressions tell apart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use fancy_regex::Regex;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stoa_tokens::Pattern;

fn pieces_by_regex<'a>(regex: &Regex, text: &'a str) -> Vec<&'a str> {
    regex.find_iter(text).map(|found| found.expect("no backtracking limit").as_str()).collect()
}

/// Characters of every class, and any character at all.
fn character() -> impl Strategy<Value = char> {
    let telling = [
        " ",
        " ",
        " ",
        "\t\u{b}\u{c}\u{85}\u{a0}\u{2003}\u{3000}\u{1c}\u{200b}",
        "\r\n",
        "\n",
        "'''’",
        "sStTrRvVeEmMlLdDſK",
        "abcxyz",
        "ABCXYZ",
        "éÉßøñДдΣς",
        "ǅǈᾈ",
        "ʰˀのん漢字ªº",
        "\u{301}\u{308}\u{20dd}\u{903}\u{fe0f}",
        "0123456789",
        "٣५Ⅷ½²①",
        "!?.,:;/()-_#@&$+=~^`",
        "😀👍🏽\u{200d}🇫🇷",
        "\0\u{7f}\u{ad}\u{feff}\u{10ffff}\u{e000}",
    ];
    let telling = telling.map(|set| prop::sample::select(set.chars().collect::<Vec<_>>()).boxed());
    prop_oneof![9 => prop::strategy::Union::new(telling), 1 => any::<char>()]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(character(), 0..24)
        .prop_map(|characters| characters.into_iter().collect())
}

/// Checks one pattern in all its spellings.
fn check(pattern: Pattern, cases: u32) {
    let spellings = [pattern.regex()].into_iter().chain(pattern.synonyms());
    for spelling in spellings {
        let regex = Regex::new(spelling).expect("the pattern is a regular expression");
        let config = ProptestConfig {
            cases,
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            ..Default::default()
        };
        proptest!(config, |(text in text())| {
            prop_assert_eq!(pattern.pieces(&text), pieces_by_regex(&regex, &text));
        });
    }
}

const CASES: u32 = 20_000;

#[test]
fn gpt2() {
    check(Pattern::Gpt2, CASES);
}

#[test]
fn gpt4() {
    check(Pattern::Gpt4, CASES);
}

#[test]
fn cl100k() {
    check(Pattern::Cl100k, CASES);
}

#[test]
fn o200k() {
    check(Pattern::O200k, CASES);
}

#[test]
fn qwen2() {
    check(Pattern::Qwen2, CASES);
}

#[test]
fn qwen35() {
    check(Pattern::Qwen35, CASES);
}

#[test]
fn nanochat() {
    check(Pattern::Nanochat, CASES);
}

#[test]
fn tiktokens_own_spelling_of_cl100k_matches_too() {
    let own = Pattern::Cl100k.regex().replace(r"\p{N}{1,3}|", r"\p{N}{1,3}+|");
    let regex = Regex::new(&own).expect("the pattern is a regular expression");
    let config = ProptestConfig {
        cases: CASES,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    };
    proptest!(config, |(text in text())| {
        prop_assert_eq!(Pattern::Cl100k.pieces(&text), pieces_by_regex(&regex, &text));
    });
}

#[test]
fn every_single_character_and_every_pair_with_a_letter() {
    for pattern in Pattern::ALL {
        let regex = Regex::new(pattern.regex()).expect("the pattern is a regular expression");
        for character in '\0'..='\u{2ffff}' {
            let text: String = [character, 'a', ' ', character].into_iter().collect();
            assert_eq!(pattern.pieces(&text), pieces_by_regex(&regex, &text), "{text:?}");
        }
    }
}

#[test]
fn names_and_expressions_lead_back_to_their_pattern() {
    for pattern in Pattern::ALL {
        assert_eq!(Pattern::from_name(pattern.name()), Some(pattern));
        let spellings = [pattern.regex()].into_iter().chain(pattern.synonyms());
        for spelling in spellings {
            assert_eq!(Pattern::from_regex(spelling).expect("known"), pattern);
        }
    }
    let error = Pattern::from_regex(r"\w+").expect_err("unknown").to_string();
    assert!(error.contains(r"`\w+`") && error.contains("nanochat"), "{error}");
}
