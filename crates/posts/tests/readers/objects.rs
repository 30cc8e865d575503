//! Large objects of JSON: what is streamed out of them is what a parse of the whole finds.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::atomic::AtomicU64;
use stoa_posts::{Format, Item, PostsError, ReadOptions, Scanned, read_all, scan};

/// Objects longer than this are walked through.
const LIMIT: usize = 2000;

fn read(text: &str) -> (Vec<String>, Vec<String>, Result<Scanned, PostsError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.json");
    std::fs::write(&path, text).unwrap();
    let options =
        ReadOptions { record_limit_bytes: LIMIT, format: Format::Json, ..ReadOptions::default() };
    let (mut texts, mut reasons) = (Vec::new(), Vec::new());
    let scanned = scan(&path, &options, &AtomicU64::new(0), &mut |item| {
        match item {
            Item::Post(post) => texts.push(post.text),
            Item::Rejected(rejected) => reasons.push(rejected.reason.to_string()),
            Item::Notice(_) => {}
        }
        Ok(())
    });
    (texts, reasons, scanned)
}

fn padding() -> Value {
    json!("a long description with [brackets], {braces} and \"marks\" ".repeat(50))
}

/// Texts of arrays of posts, in order, as the rule of large objects finds them.
fn expected(object: &Map<String, Value>, texts: &mut Vec<String>) {
    for (key, value) in object {
        match value {
            Value::Object(inner) => expected(inner, texts),
            Value::Array(elements) => {
                let is_post = |value: &Value| value.get("text").is_some();
                let large = |value: &Value| value.to_string().len() > LIMIT;
                let first = elements.first();
                let named = matches!(key.as_str(), "posts" | "orderedItems");
                let read = key != "like"
                    && first.is_some_and(Value::is_object)
                    && (named || first.is_some_and(|first| is_post(first) || large(first)));
                for element in elements.iter().filter(|_| read) {
                    match element.as_object() {
                        Some(inner) if large(element) => expected(inner, texts),
                        _ => {
                            let text = element.as_str().or(element["text"].as_str());
                            texts.extend(text.map(str::to_string));
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

fn object() -> impl Strategy<Value = Value> {
    let post = "[a-z]{1,8} \\[,\\{\"]{0,3}[a-z]{1,5}"
        .prop_map(|text| json!({ "text": text, "n": [1, {"k": "]"}] }));
    let thing = Just(json!({"likes": 4, "ends": "\\"}));
    let scalar = prop_oneof![Just(json!(1.5)), Just(Value::Null), Just(json!("]}\\\""))];
    let posts = prop::collection::vec(prop_oneof![4 => post.clone(), 1 => thing.clone()], 0..5);
    let mixed = prop::collection::vec(prop_oneof![post, thing, scalar.clone()], 0..4);
    let array = prop_oneof![posts, mixed].prop_map(Value::Array);
    let leaf = prop_oneof![scalar, array];
    let key = prop::sample::select(vec!["posts", "orderedItems", "like", "mine", "b", "über"]);
    leaf.prop_recursive(3, 24, 4, move |inner| {
        let members = prop::collection::btree_map(key.clone(), inner.clone(), 0..5);
        let object = members.prop_map(|members| {
            Value::Object(
                members.into_iter().map(|(key, value)| (key.to_string(), value)).collect(),
            )
        });
        let padded = object.clone().prop_map(|mut object| {
            object["zz"] = padding();
            object
        });
        prop_oneof![object, prop::collection::vec(padded, 1..3).prop_map(Value::Array)]
    })
}

proptest! {
    #[test]
    fn streaming_finds_what_a_parse_of_the_whole_finds(inner in object()) {
        let whole = json!({ "inner": inner, "zz": padding() });
        let text = whole.to_string();
        let mut wanted = Vec::new();
        expected(whole.as_object().unwrap(), &mut wanted);
        let (texts, _, scanned) = read(&text);
        match scanned {
            Ok(scanned) => {
                prop_assert_eq!(texts, wanted, "{}", text);
                prop_assert!(scanned.remarks.iter().any(|(kind, _)| kind.contains("walked through")));
            }
            Err(error) => {
                prop_assert!(matches!(error, PostsError::NoUsablePosts { .. }), "{error}");
                prop_assert!(wanted.is_empty(), "{error} {text}");
            }
        }
    }
}

#[test]
fn arrays_of_large_objects_are_read_left_and_named() {
    let posts: Vec<Value> = (0..100)
        .map(|n| json!({"tweet": {"id_str": n.to_string(), "full_text": format!("post {n}")}}))
        .collect();
    let archive = json!({
        "account": [{"account": {"username": "mara"}}],
        "deep": {"deeper": [{"text": "another post"}]},
        "like": [{"like": {"tweetId": "1", "fullText": "not mine"}}, {"like": {"tweetId": "2"}}],
        "tags": ["a", "b", "c"],
        "tweets": posts,
    });
    let (texts, reasons, scanned) = read(&archive.to_string());
    let remarks = scanned.unwrap().remarks;
    assert_eq!(texts.len(), 101);
    assert!(
        texts.contains(&"post 99".to_string()) && !texts.iter().any(|text| text.contains("mine"))
    );
    assert!(reasons.is_empty());
    assert_eq!(remarks.count("arrays of large objects read as posts: tweets"), 1);
    assert_eq!(remarks.count("arrays of large objects read as posts: deeper"), 1);
    assert_eq!(remarks.count("elements of arrays of large objects left unread: like"), 2);
    assert_eq!(remarks.count("elements of arrays of large objects left unread: tags"), 3);
    assert_eq!(remarks.count("elements of arrays of large objects left unread: account"), 1);
}

#[test]
fn posts_of_a_large_archive_have_its_owner() {
    let posts: Vec<Value> = (0..80)
        .map(|n| json!({"tweet": {"id_str": n.to_string(), "full_text": format!("post {n}")}}))
        .collect();
    let archive = json!({"account": [{"account": {"username": "mara"}}], "tweets": posts});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.json");
    std::fs::write(&path, archive.to_string()).unwrap();
    for limit in [1 << 20, LIMIT] {
        let options = ReadOptions {
            record_limit_bytes: limit,
            format: Format::Json,
            ..ReadOptions::default()
        };
        let posts = read_all(&[&path], &options).unwrap().posts;
        assert_eq!(posts.len(), 80, "{limit}");
        assert!(posts.iter().all(|post| post.author == "mara"), "{limit}");
    }
}

#[test]
fn large_objects_that_break_off_or_hold_nothing_say_so() {
    let posts = vec![json!({"id": 1, "text": "words"}); 200];
    let whole = json!({"posts": posts}).to_string();
    for length in [whole.len() - 1, whole.len() - 2, whole.len() / 2, LIMIT + 5] {
        let (texts, _, scanned) = read(&whole[..length]);
        assert!(matches!(scanned, Err(PostsError::WrongJson { .. })), "{length}: {scanned:?}");
        assert!(texts.len() > 50 || length < whole.len() / 2);
    }
    let empty =
        format!("[{}, {{\"text\": \"short\"}}]", json!({"a": padding(), "b": {"c": [1, 2]}}));
    let (texts, reasons, scanned) = read(&empty);
    assert_eq!((texts.len(), scanned.unwrap().records), (1, 2));
    assert!(reasons[0].contains("more than the 2000 a record may have"), "{reasons:?}");
    let wrong = whole.replacen("\"posts\":", "\"posts\" ", 1);
    assert!(matches!(read(&wrong).2, Err(PostsError::WrongJson { .. })));
    // Objects deeper than any source has are passed over, in bounded memory.
    let deep = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    let (_, reasons, _) = read(&format!("[{deep}, {{\"text\": \"short\"}}]"));
    assert_eq!(reasons.len(), 1);
}
