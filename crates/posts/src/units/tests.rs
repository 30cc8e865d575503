//! Units of texts in every script of the table, and that scripts with spaces have words as before.

use super::*;
use proptest::prelude::*;

fn cut(text: &str) -> Vec<&str> {
    units(text).map(|unit| unit.text).collect()
}

#[test]
fn letters_are_units_with_their_marks_and_signs() {
    for (text, expected) in [
        ("il fait beau.", vec!["il", "fait", "beau."]),
        ("「今日は、iPhone」で。", vec!["「今", "日", "は、", "iPhone」", "で。"]),
        ("2024年 5月", vec!["2024", "年", "5", "月"]),
        ("サーバー", vec!["サ", "ー", "バ", "ー"]),
        ("ที่นี่", vec!["ที่", "นี่"]),
        ("ນ້ຳ", vec!["ນ້", "ຳ"]),
        ("ខ្មែរ", vec!["ខ្មែ", "រ"]),
        ("မြန်မာ", vec!["မြ", "န်", "မာ"]),
        ("တက္က", vec!["တ", "က္က"]),
        ("བོད་ཡིག", vec!["བོ", "ད་", "ཡི", "ག"]),
        ("오늘은 좋다", vec!["오늘은", "좋다"]),
        ("हिन्दी भाषा", vec!["हिन्दी", "भाषा"]),
        ("๒๕๖๗ปี", vec!["๒๕๖๗", "ปี"]),
        ("🙂 …", vec!["🙂", "…"]),
    ] {
        assert_eq!(cut(text), expected, "{text}");
    }
    assert_eq!(weight("東京はいい天気です"), 4 * 4 + 5 * 2);
    assert_eq!(weight("il fait beau"), 3 * WORD_WEIGHT);
}

#[test]
fn links_and_handles_beside_letters_are_tokens() {
    let tokens_of = |text| tokens(text).collect::<Vec<_>>();
    assert_eq!(
        tokens_of("写真https://t.co/xを見た @ann今日は"),
        ["写真", "https://t.co/x", "を見た", "@ann", "今日は"]
    );
    assert_eq!(
        tokens_of("https://ja.example/wiki/日本の歴史 読む"),
        ["https://ja.example/wiki/日本の歴史", "読む"]
    );
    assert_eq!(tokens_of("ดูwww.a.bที่"), ["ดู", "www.a.b", "ที่"]);
    assert_eq!(tokens_of("été(http://a.b)x a@b.c"), ["été(http://a.b)x", "a@b.c"]);
    assert_eq!(tokens_of("東京@大阪"), ["東京@大阪"]);
}

#[test]
fn what_follows_handles_is_left() {
    for (text, expected) in [
        ("@ann今日は いい", "今日は いい"),
        ("@ann @b_1  มา", "มา"),
        (" @ann: so @bob", "so @bob"),
        ("so @ann", "so @ann"),
        ("@ann @bob", "@ann @bob"),
        ("[handle] ＠ann มา", "มา"),
        ("[handle]今日は", "今日は"),
    ] {
        assert_eq!(after_handles(text), expected);
    }
}

#[test]
fn runs_are_as_short_as_allowed() {
    let found = |weights: &[usize], least: usize| {
        runs(weights, |weight| weight >= least).map(|run| (run.start, run.end)).collect::<Vec<_>>()
    };
    assert_eq!(found(&[6, 6, 6], 12), [(0, 2), (1, 3)]);
    assert_eq!(found(&[4, 4, 6, 2], 12), [(0, 3), (1, 4)]);
    assert_eq!(found(&[2, 2], 12), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn units_cover_what_is_no_white_space(text in "\\PC{0,60}|[aB1 、は漢のี่ក្មမ်ཀ་🙂@]{0,30}") {
        let joined: String = units(&text).map(|unit| unit.text).collect();
        let expected: String = text.split_whitespace().collect();
        prop_assert_eq!(&joined, &expected);
        prop_assert_eq!(tokens(&text).collect::<String>(), expected);
        prop_assert!(units(&text).all(|unit| unit.weight <= WORD_WEIGHT && unit.weight > 0));
    }

    /// In scripts with spaces units and tokens are what white space separates.
    #[test]
    fn scripts_with_spaces_have_words(text in "\\PC{0,60}|[a-zДغहिन्दी한국어 .,@:/🙂]{0,40}") {
        prop_assume!(!text.chars().any(is_unspaced));
        let words: Vec<&str> = text.split_whitespace().collect();
        prop_assert_eq!(tokens(&text).collect::<Vec<_>>(), words.clone());
        let found: Vec<Unit<'_>> = units(&text).collect();
        prop_assert!(found.iter().all(|unit| unit.weight == WORD_WEIGHT));
        prop_assert_eq!(found.iter().map(|unit| unit.text).collect::<Vec<_>>(), words);
    }

    /// Against the definition: for each start the first end that is enough.
    #[test]
    fn runs_agree_with_searching(weights in prop::collection::vec(1..7_usize, 0..20), least in 1..40_usize) {
        let slow: Vec<(usize, usize)> = (0..weights.len())
            .filter_map(|start| {
                let ends = start..=weights.len();
                let enough = |&end: &usize| weights[start..end].iter().sum::<usize>() >= least;
                ends.into_iter().find(enough).map(|end| (start, end))
            })
            .collect();
        let found = runs(&weights, |weight| weight >= least);
        prop_assert_eq!(found.map(|run| (run.start, run.end)).collect::<Vec<_>>(), slow);
    }
}
