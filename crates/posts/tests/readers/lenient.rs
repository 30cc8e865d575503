//! What spreadsheets, data frames and Python make of posts: rounded identifiers, JSON that is none, times.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::atomic::AtomicU64;
use stoa_posts::{DateOrder, Item, Post, ReadOptions, Remarks, scan};

fn read_with(name: &str, text: &str, options: &ReadOptions) -> (Vec<Post>, Vec<String>, Remarks) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let (mut posts, mut reasons) = (Vec::new(), Vec::new());
    let scanned = scan(&path, options, &AtomicU64::new(0), &mut |item| {
        match item {
            Item::Post(post) => posts.push(*post),
            Item::Rejected(rejected) => reasons.push(rejected.reason.to_string()),
            Item::Notice(_) => {}
        }
        Ok(())
    });
    (posts, reasons, scanned.unwrap().remarks)
}

fn read(name: &str, text: &str) -> (Vec<Post>, Vec<String>, Remarks) {
    read_with(name, text, &ReadOptions::default())
}

fn total(remarks: &Remarks, words: &str) -> u64 {
    remarks.iter().filter(|(kind, _)| kind.contains(words)).map(|(_, count)| count).sum()
}

fn is_tied_to_itself(post: &Post) -> bool {
    post.in_reply_to.as_ref() == Some(&post.id)
}

#[test]
fn rounded_identifiers_neither_merge_nor_tie() {
    let csv = "id,author,date,text,in_reply_to_status_id\n\
        1.44E+18,ann,2021-10-01,The ferry is late.,\n\
        1.44E+18,ann,2021-10-01,The ferry is here.,1.44E+18\n\
        1440000000000000000.0,bob,2021-10-01,Which one?,1.440000e+18\n";
    let jsonl = r#"{"id": 1.44e+18, "author": "ann", "text": "The ferry is late.", "in_reply_to": null}
{"id": 1440123456789012480.0, "author": "ann", "text": "The ferry is here.", "in_reply_to": 1.44e18}
{"id": 1.4e+18, "author": "bob", "text": "Which one?", "in_reply_to": 1440000000000000000.0}
"#;
    for (name, text) in [("f.csv", csv), ("f.jsonl", jsonl)] {
        let (posts, reasons, remarks) = read(name, text);
        assert!(reasons.is_empty(), "{reasons:?}");
        assert_eq!(posts.len(), 3, "{name}");
        assert!(posts.iter().all(|post| post.in_reply_to.is_none()), "{name}");
        assert!(posts.iter().enumerate().all(|(row, post)| post.id.ends_with(&format!("#{row}"))));
        assert_eq!(total(&remarks, "identifiers of posts rounded"), 3, "{name}");
        assert_eq!(total(&remarks, "links to posts"), 2, "{name}");
    }
}

#[test]
fn integers_of_spreadsheets_are_rounded_where_most_are() {
    let row = |id: u64| format!("{{\"id\": {id}, \"text\": \"words\", \"in_reply_to\": {id}}}\n");
    let rounded: String =
        (0..9).map(|row_of| row(1_440_123_456_780_000_000 + row_of * 10_000)).collect();
    let (posts, _, remarks) = read("r.jsonl", &rounded);
    assert_eq!(total(&remarks, "identifiers of posts rounded"), 9);
    assert!(posts.iter().all(|post| post.id.contains('#') && post.in_reply_to.is_none()));
    let sound: String = (0..9).map(|row_of| row(1_440_123_456_780_000_000 + row_of)).collect();
    let (posts, _, remarks) = read("s.jsonl", &sound);
    assert_eq!(posts[0].id, "1440123456780000000");
    assert_eq!(total(&remarks, "rounded"), 0);
    // A reply is never to itself.
    assert!(!posts.iter().any(is_tied_to_itself));
    assert_eq!(total(&remarks, "replies to themselves"), 9);
}

#[test]
fn floats_that_are_exact_still_identify() {
    let lines = "{\"id\": 17.0, \"text\": \"one\"}\n{\"id\": \"18\", \"text\": \"two\", \"in_reply_to\": 17.0}\n";
    let (posts, ..) = read("e.jsonl", lines);
    assert_eq!(posts[0].id, "17");
    assert_eq!(posts[1].in_reply_to.as_deref(), Some("17"));
}

#[test]
fn json_of_python_is_read_and_counted() {
    let lines = "{\"id\": \"1\", \"text\": \"one\", \"in_reply_to\": NaN, \"score\": -Infinity}\n\
        {\"id\": 99999999999999999999999, \"text\": \"big \\ud83d\", \"id\": 99999999999999999999998}\n\
        {'id': '3', 'text': 'three'}\n{\"id\": \"4\", \"text\": \"four\",}\n";
    let array = format!("[{}]", lines.lines().take(2).collect::<Vec<_>>().join(", NaN,"));
    let (posts, reasons, remarks) = read("p.jsonl", lines);
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[0].in_reply_to, None);
    assert_eq!(
        (posts[1].id.as_str(), posts[1].text.as_str()),
        ("99999999999999999999998", "big \u{fffd}")
    );
    assert!(reasons[0].contains("json.dumps") && reasons[1].contains("comma"), "{reasons:?}");
    assert_eq!(total(&remarks, "NaN and Infinity"), 2);
    assert_eq!(total(&remarks, "surrogate"), 1);
    assert_eq!(total(&remarks, "keys that come twice"), 1);
    let (posts, reasons, _) = read("p.json", &array);
    assert_eq!((posts.len(), reasons.len()), (2, 1));
    let (posts, ..) = read("b.jsonl", &format!("\u{feff}{lines}"));
    assert_eq!(posts.len(), 2);
}

#[test]
fn times_are_understood_or_counted_by_form() {
    let csv = "id,text,created_at\n1,one,1539202764.0\n2,two,2018-10-10 20:19:24 UTC\n\
        3,three,\"Wed, 10 Oct 2018 20:19:24 +0000\"\n4,four,2018-10-10 20:19:24\n5,five,10/11/2018\n\
        6,six,2018-02-30\n7,seven,\n";
    let (posts, _, remarks) = read("t.csv", csv);
    let at: Vec<Option<i64>> = posts.iter().map(|post| post.created_at_unix_seconds).collect();
    let known = Some(1_539_202_764);
    assert_eq!(at, [known, known, known, known, None, None, None]);
    assert_eq!(total(&remarks, "without a zone"), 1);
    assert_eq!(
        remarks.count("times not understood (9 for any digit, a for any letter): 99/99/9999"),
        1
    );
    assert_eq!(
        remarks.count("times not understood (9 for any digit, a for any letter): 9999-99-99"),
        1
    );
    let options = ReadOptions { dates: DateOrder::DayFirst, ..ReadOptions::default() };
    let (posts, ..) = read_with("t.csv", csv, &options);
    assert_eq!(posts[4].created_at_unix_seconds, Some(1_541_808_000));
}
