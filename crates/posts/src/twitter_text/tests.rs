//! X's conformance suite, hand-written cases, and that no text panics.

#[path = "../../tests/test_data/mod.rs"]
mod test_data;

use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::io::Read;
use test_data::test_data;

/// A file of the suite as JSON values, read from the archive.
fn suite(name: &str) -> Value {
    let file =
        std::fs::File::open(test_data("posts-and-text/fixtures/twitter-text_conformance.tar.gz"))
            .expect("the suite");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for member in archive.entries().expect("a tar") {
        let mut member = member.expect("a member");
        if member.path().expect("a path").ends_with(name) {
            let mut yaml = String::new();
            member.read_to_string(&mut yaml).expect("UTF-8");
            let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(&yaml).expect("YAML");
            return serde_json::to_value(value).expect("plain data");
        }
    }
    panic!("no {name} in the suite");
}

/// Runs a section: `answer` makes of each text what the suite expects.
fn check(suite: &Value, section: &str, answer: impl Fn(&str) -> Value) -> usize {
    let cases = suite["tests"][section].as_array().expect("a section");
    let mut wrong = Vec::new();
    for case in cases {
        let found = answer(case["text"].as_str().expect("a text"));
        if found != case["expected"] {
            wrong.push(format!("{}: {found} instead of {}", case["description"], case["expected"]));
        }
    }
    assert!(
        wrong.is_empty(),
        "{section}: {} of {}\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    cases.len()
}

fn characters(text: &str, range: &Range<usize>) -> Value {
    let count = |bytes: usize| text[..bytes].chars().count();
    serde_json::json!([count(range.start), count(range.end)])
}

fn texts<'a>(text: &'a str, ranges: &[Range<usize>], sign: bool) -> Vec<&'a str> {
    let skip = |range: &Range<usize>| match sign {
        true => text[range.clone()].chars().next().map_or(0, char::len_utf8),
        false => 0,
    };
    ranges.iter().map(|range| &text[range.start + skip(range)..range.end]).collect()
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn conformance_extraction() {
    let suite = suite("extract.yml");
    let list = |name: &'static str, ranges: fn(&str) -> Vec<Range<usize>>| {
        move |text: &str| -> Value {
            let ranges = ranges(text);
            let words = texts(text, &ranges, name != "url");
            let items = ranges.iter().zip(words);
            items
                .map(|(range, word)| {
                    serde_json::json!({ name: word, "indices": characters(text, range) })
                })
                .collect()
        }
    };
    let mut cases = 0;
    cases += check(&suite, "mentions", |text| {
        mentions(text).iter().map(|mention| mention.handle).collect()
    });
    cases += check(&suite, "mentions_with_indices", |text| {
        mentions(text)
            .iter()
            .map(|mention| {
                serde_json::json!({
                    "screen_name": mention.handle, "indices": characters(text, &mention.range)
                })
            })
            .collect()
    });
    cases += check(&suite, "mentions_or_lists_with_indices", |text| {
        mentions(text)
            .iter()
            .map(|mention| {
                serde_json::json!({
                    "screen_name": mention.handle,
                    "list_slug": mention.list.map_or(String::new(), |list| format!("/{list}")),
                    "indices": characters(text, &mention.range)
                })
            })
            .collect()
    });
    cases += check(&suite, "replies", |text| reply_to(text).into());
    cases += check(&suite, "urls", |text| texts(text, &urls(text), false).into());
    cases += check(&suite, "urls_with_indices", list("url", urls));
    cases += check(&suite, "urls_with_directional_markers", list("url", urls));
    cases += check(&suite, "tco_urls_with_params", |text| texts(text, &urls(text), false).into());
    cases += check(&suite, "hashtags", |text| texts(text, &hashtags(text), true).into());
    cases +=
        check(&suite, "hashtags_from_astral", |text| texts(text, &hashtags(text), true).into());
    cases += check(&suite, "hashtags_with_indices", list("hashtag", hashtags));
    cases += check(&suite, "cashtags", |text| texts(text, &cashtags(text), true).into());
    cases += check(&suite, "cashtags_with_indices", list("cashtag", cashtags));
    println!("extraction: {cases} of {cases}");
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn conformance_validation_and_length() {
    let suite = suite("validate.yml");
    let whole = |text: &str, ranges: Vec<Range<usize>>| matches!(&ranges[..], [one] if *one == (0..text.len()));
    let mut cases = 0;
    cases += check(&suite, "tweets", |text| fits_first_posts(text).into());
    cases += check(&suite, "urls", |text| is_url(text).into());
    cases += check(&suite, "usernames", |text| {
        let found = mentions(text);
        matches!(&found[..], [one] if one.list.is_none() && one.range == (0..text.len())).into()
    });
    cases += check(&suite, "lists", |text| {
        let found = mentions(text);
        matches!(&found[..], [one] if one.list.is_some() && one.range == (0..text.len())).into()
    });
    cases += check(&suite, "hashtags", |text| whole(text, hashtags(text)).into());
    cases += check(&suite, "urls_without_protocol", |text| whole(text, urls(text)).into());
    let measure = |whole_emoji| {
        move |text: &str| {
            let length = weighted_length(text, whole_emoji);
            serde_json::json!({
                "weightedLength": length.weight,
                "valid": length.valid,
                "permillage": length.permillage(),
                "displayRangeStart": 0,
                "displayRangeEnd": length.utf16 - 1,
                "validRangeStart": 0,
                "validRangeEnd": length.valid_utf16 - 1,
            })
        }
    };
    cases += check(&suite, "WeightedTweetsCounterTest", measure(false));
    cases += check(&suite, "WeightedTweetsWithDiscountedEmojiCounterTest", measure(true));
    cases += check(&suite, "UnicodeDirectionalMarkerCounterTest", measure(true));
    println!("validation: {cases} of {cases}");
}

/// Every top-level domain of 2018 but those that are not in the root zone, which the page of the rules
/// names.
#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn conformance_top_level_domains() {
    let suite = suite("tlds.yml");
    let (mut cases, mut gone) = (0, Vec::new());
    for section in ["country", "generic"] {
        for case in suite["tests"][section].as_array().expect("a section") {
            let text = case["text"].as_str().expect("a text");
            cases += 1;
            let found = texts(text, &urls(text), false);
            if Value::from(found) != case["expected"] {
                gone.push(text.rsplit('.').next().unwrap_or_default().to_string());
            }
        }
    }
    println!(
        "top-level domains: {} of {cases}; the others: {}",
        cases - gone.len(),
        gone.join(" ")
    );
    gone.sort();
    let page = include_str!("../../../../docs/posts-rules.md");
    let listed = page
        .split("<!-- not in the root zone -->")
        .nth(1)
        .expect("the page lists the domains")
        .split_whitespace();
    assert!(listed.eq(gone.iter().map(String::as_str)), "the page lists others");
}

/// Entities as the suite's HTML shows them.
fn linked(text: &str, kinds: &[EntityKind]) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;");
    let (mut html, mut from) = (String::new(), 0);
    for Entity { kind, range } in entities(text) {
        let whole = &text[range.clone()];
        let sign = whole.chars().next().map_or(0, char::len_utf8);
        let (sign, name) = whole.split_at(sign);
        let plain = kind == EntityKind::Url && !whole.to_lowercase().starts_with("http");
        if !kinds.contains(&kind) || plain {
            continue;
        }
        html.push_str(&text[from..range.start]);
        from = range.end;
        html.push_str(&match kind {
            EntityKind::Url => format!("<a href=\"{0}\">{0}</a>", escaped(whole)),
            EntityKind::Mention => format!(
                "{sign}<a class=\"tweet-url username\" href=\"https://twitter.com/{name}\">{name}</a>"
            ),
            EntityKind::List => format!(
                "{sign}<a class=\"tweet-url list-slug\" href=\"https://twitter.com/{name}\">{name}</a>"
            ),
            EntityKind::Hashtag | EntityKind::Cashtag => {
                let (code, class) = match kind {
                    EntityKind::Hashtag => ("23", "hashtag"),
                    _ => ("24", "cashtag"),
                };
                let rtl = |letter| matches!(letter, '\u{590}'..='\u{83f}' | '\u{fb50}'..='\u{fdff}');
                let rtl = if name.contains(rtl) { " rtl" } else { "" };
                let title = if code == "23" { '#' } else { '$' };
                format!(
                    "<a href=\"https://twitter.com/search?q=%{code}{name}\" title=\"{title}{name}\" \
                     class=\"tweet-url {class}{rtl}\">{whole}</a>"
                )
            }
        });
    }
    html.push_str(&text[from..]);
    html
}

#[test]
#[ignore = "needs STOA_TEST_DATA"]
fn conformance_linking() {
    use EntityKind::{Cashtag, Hashtag, List, Mention, Url};
    let suite = suite("autolink.yml");
    let mut cases = 0;
    for (section, kinds) in [
        ("usernames", &[Mention, List][..]),
        ("lists", &[Mention, List]),
        ("hashtags", &[Hashtag]),
        ("urls", &[Url]),
        ("cashtags", &[Cashtag]),
        ("all", &[Url, Mention, List, Hashtag, Cashtag]),
    ] {
        cases += check(&suite, section, |text| linked(text, kinds).into());
    }
    println!("linking: {cases} of {cases}");
}

#[test]
fn entities_do_not_overlap() {
    let text = "@ann see example.org/#top $ABC #yes @b/list http://t.co/x?amp=1";
    let found: Vec<(EntityKind, &str)> =
        entities(text).into_iter().map(|entity| (entity.kind, &text[entity.range])).collect();
    assert_eq!(
        found,
        [
            (EntityKind::Mention, "@ann"),
            (EntityKind::Url, "example.org/#top"),
            (EntityKind::Cashtag, "$ABC"),
            (EntityKind::Hashtag, "#yes"),
            (EntityKind::List, "@b/list"),
            (EntityKind::Url, "http://t.co/x?amp=1"),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_text_panics_and_ranges_are_in_order(
        text in "\\PC{0,60}|[a-cé日#@$/._: -]{0,60}|(https?://|a\\.com|xn--|t\\.co/|[é日.(/)?]){0,12}"
    ) {
        let mut end = 0;
        for entity in entities(&text) {
            prop_assert!(entity.range.start >= end && entity.range.end > entity.range.start);
            end = entity.range.end;
            prop_assert!(text.get(entity.range).is_some());
        }
        reply_to(&text);
        for whole_emoji in [false, true] {
            let length = weighted_length(&text, whole_emoji);
            prop_assert!(length.valid_utf16 <= length.utf16 + 1);
        }
    }
}

#[test]
fn long_runs_take_linear_work() {
    let work = |text: &str| {
        urls::work::take();
        urls(text);
        urls::work::take()
    };
    for pattern in ["é.", "日", "http://a", "a.com/(", "a.com/((", "a.b_c.", "x.com/a?b "] {
        // Longer than the window in which a domain is looked for, so that a start costs no more.
        let short = work(&pattern.repeat(2_000));
        let long = work(&pattern.repeat(4_000));
        // Twice the text: linear work doubles (2.1 times, for the end of a text costs less than its middle),
        // quadratic work is four times as much.
        assert!(2 * long <= 5 * short, "{pattern}: {short} letters, then {long}");
    }
}
