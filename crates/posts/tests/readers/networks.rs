//! What the networks send, in small files written for this test: posts, notices, asides.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::io::Write;
use std::sync::atomic::AtomicU64;
use stoa_posts::{About, Format, Item, Notice, Post, ReadOptions, Removal, Scanned, scan};

#[derive(Default)]
struct Seen {
    posts: Vec<Post>,
    notices: Vec<Notice>,
    reasons: Vec<String>,
    scanned: Scanned,
}

fn seen_with(name: &str, bytes: &[u8], options: &ReadOptions) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut seen = Seen::default();
    let scanned = scan(&path, options, &AtomicU64::new(0), &mut |item| {
        match item {
            Item::Post(post) => seen.posts.push(*post),
            Item::Notice(notice) => seen.notices.push(notice),
            Item::Rejected(rejected) => seen.reasons.push(rejected.reason.to_string()),
        }
        Ok(())
    });
    seen.scanned = scanned.unwrap();
    seen
}

fn seen(name: &str, text: &str) -> Seen {
    let options = ReadOptions { embedded: true, ..ReadOptions::default() };
    seen_with(name, text.as_bytes(), &options)
}

fn post<'a>(seen: &'a Seen, id: &str) -> &'a Post {
    seen.posts.iter().find(|post| post.id == id).unwrap()
}

fn about(seen: &Seen) -> Vec<(About, Removal, bool)> {
    seen.notices.iter().map(|n| (n.about.clone(), n.removal, n.reversed)).collect()
}

fn of_post(id: &str) -> About {
    About::Post(id.to_string())
}

#[test]
fn version_1_retweets_quotes_and_long_texts() {
    let seen = seen(
        "v1.jsonl",
        r#"{"id_str": "10", "created_at": "Wed Oct 10 20:19:24 +0000 2018", "text": "cut…", "truncated": true, "extended_tweet": {"full_text": "the whole long text"}, "source": "<a href=\"http://x.example\" rel=\"nofollow\">Poster 2000</a>", "user": {"id_str": "7", "screen_name": "Ann"}, "in_reply_to_status_id_str": "9", "lang": "in"}
{"id_str": "11", "full_text": "RT @Ann: the who…", "user": {"id_str": "8", "screen_name": "bea"}, "retweeted_status": {"id_str": "10", "full_text": "the whole long text", "user": {"id_str": "7", "screen_name": "Ann"}}}
{"id_str": "12", "full_text": "look", "quoted_status_id_str": "13", "quoted_status": {"id_str": "13", "full_text": "quoted words", "user": {"screen_name": "carl"}}, "user": {"screen_name": "bea"}}
{"id_str": "14", "full_text": "hidden", "withheld_in_countries": ["XY"], "user": {"screen_name": "bea"}}
{"id_str": "15", "full_text": "private", "user": {"screen_name": "dora", "protected": true}}
{"id_str": "16", "text": "second version", "user": {"screen_name": "bea"}, "edit_history": {"initial_tweet_id": "15a", "edit_tweet_ids": ["15a", "16"]}}
"#,
    );
    let long = post(&seen, "10");
    assert_eq!(long.text, "the whole long text");
    assert_eq!(long.author_id.as_deref(), Some("7"));
    assert_eq!(long.source_app.as_deref(), Some("Poster 2000"));
    assert_eq!((long.in_reply_to.as_deref(), long.language.code()), (Some("9"), "id"));
    let retweet = post(&seen, "11");
    assert_eq!((retweet.repost, retweet.reposts.as_deref()), (true, Some("10")));
    assert_eq!(retweet.text, "the whole long text");
    assert_eq!(post(&seen, "12").quotes.as_deref(), Some("13"));
    assert_eq!(post(&seen, "13").text, "quoted words");
    let removal = |id| post(&seen, id).tombstone.unwrap().removal;
    assert_eq!((removal("14"), removal("15")), (Removal::Withheld, Removal::Protected));
    assert_eq!(post(&seen, "14").text, "");
    assert_eq!(about(&seen), [(of_post("15a"), Removal::Edited, false)]);
    // The retweeted and the quoted post are posts of their own.
    assert_eq!(seen.posts.len(), 8);
}

#[test]
fn version_1_stream_notices() {
    let seen = seen(
        "stream.jsonl",
        r#"{"delete": {"status": {"id": 1, "id_str": "1", "user_id": 3}, "timestamp_ms": "1600000000123"}}
{"delete": {"direct_message": {"id": 5}}}
{"status_withheld": {"id": 2, "user_id": 3, "withheld_in_countries": ["DE"]}}
{"user_withheld": {"id": 4, "withheld_in_countries": ["DE"]}}
{"scrub_geo": {"user_id": 3, "up_to_status_id": 9}}
{"limit": {"track": 12}}
{"user_delete": {"id": 6, "timestamp_ms": "1600000000123"}}
{"user_undelete": {"id": 6}}
{"id_str": "20", "text": "words", "user": {"screen_name": "ann"}}
"#,
    );
    let author = |id: &str| About::Author(id.to_string());
    assert_eq!(
        about(&seen),
        [
            (of_post("1"), Removal::Deleted, false),
            (of_post("2"), Removal::Withheld, false),
            (author("4"), Removal::Withheld, false),
            (author("6"), Removal::Deleted, false),
            (author("6"), Removal::Deleted, true),
        ]
    );
    assert_eq!(seen.notices[0].at_unix_seconds, Some(1_600_000_000));
    assert_eq!((seen.scanned.asides, seen.posts.len()), (3, 1));
}

#[test]
fn version_2_pages_and_compliance() {
    let seen = seen(
        "pages.jsonl",
        r#"{"data": [{"id": "2", "text": "cut", "author_id": "71", "conversation_id": "1", "note_tweet": {"text": "whole"}, "lang": "en", "edit_history_tweet_ids": ["0", "2"], "referenced_tweets": [{"type": "replied_to", "id": "1"}, {"type": "quoted", "id": "5"}]}, {"id": "3", "text": "RT @ann: firs…", "author_id": "72", "referenced_tweets": [{"type": "retweeted", "id": "1"}]}], "includes": {"users": [{"id": "71", "username": "bea"}, {"id": "72", "username": "carl", "protected": true}], "tweets": [{"id": "1", "text": "first", "author_id": "70"}]}, "meta": {"result_count": 2}}
{"data": {"delete": {"tweet": {"id": "30", "author_id": "7"}, "event_at": "2021-07-06T18:40:40.000Z"}}}
{"data": {"undrop": {"tweet": {"id": "31", "author_id": "7"}, "event_at": "2021-07-06T18:40:40.000Z"}}}
{"data": {"tweet_edit": {"tweet": {"id": "42"}, "event_at": "2021-07-06T18:40:40.000Z", "initial_tweet_id": "40", "edit_tweet_ids": ["40", "41", "42"]}}}
{"data": {"withheld": {"tweet": {"id": "33", "author_id": "7"}, "withheld_in_countries": ["FR"], "event_at": "2021-07-06T18:40:40.000Z"}}}
{"data": {"user_suspend": {"user": {"id": "7"}, "event_at": "2021-07-06T18:40:40.000Z"}}}
{"data": {"user_unprotect": {"user": {"id": "8"}, "event_at": "2021-07-06T18:40:40.000Z"}}}
{"data": {"user_profile_modification": {"user": {"id": "8"}, "profile_field": "name", "new_value": "x"}}}
{"id": "50", "action": "delete", "created_at": "2020-01-01T00:00:00.000Z", "redacted_at": "2020-02-01T00:00:00.000Z", "reason": "suspended"}
{"data": {"id": "51", "text": "stream words", "withheld": {"copyright": false, "country_codes": ["XY"]}}, "matching_rules": [{"id": "1"}]}
{"meta": {"result_count": 0}}
"#,
    );
    let reply = post(&seen, "2");
    assert_eq!((reply.text.as_str(), reply.author.as_str()), ("whole", "bea"));
    assert_eq!(reply.in_reply_to.as_deref(), Some("1"));
    assert_eq!((reply.quotes.as_deref(), reply.conversation.as_deref()), (Some("5"), Some("1")));
    assert_eq!(post(&seen, "1").author, "70");
    let retweet = post(&seen, "3");
    assert_eq!((retweet.repost, retweet.reposts.as_deref()), (true, Some("1")));
    assert_eq!(retweet.tombstone.unwrap().removal, Removal::Protected);
    assert_eq!(post(&seen, "51").tombstone.unwrap().removal, Removal::Withheld);
    let author = |id: &str| About::Author(id.to_string());
    assert_eq!(
        about(&seen),
        [
            (of_post("0"), Removal::Edited, false),
            (of_post("30"), Removal::Deleted, false),
            (of_post("31"), Removal::Dropped, true),
            (of_post("40"), Removal::Edited, false),
            (of_post("41"), Removal::Edited, false),
            (of_post("33"), Removal::Withheld, false),
            (author("7"), Removal::Suspended, false),
            (author("8"), Removal::Protected, true),
            (of_post("50"), Removal::Suspended, false),
            (author("50"), Removal::Suspended, false),
        ]
    );
    assert_eq!((seen.scanned.asides, seen.scanned.rejected), (2, 0));
}

#[test]
fn gnip_activities() {
    let seen = seen(
        "gnip.jsonl",
        r#"{"objectType": "activity", "verb": "post", "id": "tag:search.twitter.com,2005:100", "postedTime": "2016-01-01T00:00:00.000Z", "body": "short…", "long_object": {"body": "the long body"}, "actor": {"objectType": "person", "id": "id:twitter.com:7", "preferredUsername": "ann"}, "generator": {"displayName": "Web"}, "inReplyTo": {"link": "http://twitter.com/bea/statuses/99"}, "twitter_lang": "fr", "object": {"id": "object:search.twitter.com,2005:100"}}
{"objectType": "activity", "verb": "share", "id": "tag:search.twitter.com,2005:101", "body": "RT @ann: short…", "actor": {"preferredUsername": "bea"}, "object": {"objectType": "activity", "verb": "post", "id": "tag:search.twitter.com,2005:100", "body": "the long body", "actor": {"preferredUsername": "ann"}}}
{"objectType": "activity", "verb": "delete", "id": "tag:search.twitter.com,2005:102", "object": {"id": "object:search.twitter.com,2005:102"}, "postedTime": "2016-01-02T00:00:00.000Z"}
"#,
    );
    let whole = &seen.posts[0];
    assert_eq!((whole.id.as_str(), whole.text.as_str()), ("100", "the long body"));
    assert_eq!((whole.author.as_str(), whole.author_id.as_deref()), ("ann", Some("7")));
    assert_eq!((whole.in_reply_to.as_deref(), whole.language.code()), (Some("99"), "fr"));
    assert_eq!(seen.posts[1].reposts.as_deref(), Some("100"));
    assert_eq!(seen.posts.len(), 3);
    assert_eq!(about(&seen), [(of_post("102"), Removal::Deleted, false)]);
}

#[test]
fn jetstream_creates_updates_and_deletes() {
    let line = |operation: &str, text: &str, time: u64| {
        format!(
            r#"{{"did": "did:plc:a", "time_us": {time}000000, "kind": "commit", "commit": {{"operation": "{operation}", "collection": "app.bsky.feed.post", "rkey": "k", "record": {{"$type": "app.bsky.feed.post", "text": "{text}", "createdAt": "2024-09-09T19:46:02.102Z", "langs": ["pt-BR"], "reply": {{"parent": {{"uri": "at://p"}}, "root": {{"uri": "at://r"}}}}}}}}}}"#
        )
    };
    let like = r#"{"did": "did:plc:a", "time_us": 1, "kind": "commit", "commit": {"operation": "create", "collection": "app.bsky.feed.like", "rkey": "l", "record": {}}}"#;
    let text = [
        line("create", "one", 1_700_000_010),
        line("update", "two", 1_700_000_020),
        like.to_string(),
    ]
    .join("\n");
    let seen = seen("jetstream.jsonl", &text);
    assert_eq!(seen.posts.len(), 2);
    let [first, second] = &seen.posts[..] else { panic!("two posts") };
    assert_eq!(first.id, "at://did:plc:a/app.bsky.feed.post/k");
    assert_eq!(first.id, second.id);
    assert!(first.edited_at_unix_seconds < second.edited_at_unix_seconds);
    assert_eq!((first.language.code(), first.conversation.as_deref()), ("pt", Some("at://r")));
    assert_eq!(seen.scanned.asides, 1);
}

#[test]
fn fediverse_statuses_and_activities() {
    let seen = seen(
        "toots.jsonl",
        r#"{"id": "5", "created_at": "2024-01-01T00:00:00.000Z", "in_reply_to_id": "4", "visibility": "public", "language": "en", "content": "<p>Hi <span class=\"h-card\"><a href=\"https://s.example/@bea\">@<span>bea</span></a></span> &amp; all<br>bye</p>", "spoiler_text": "food", "account": {"id": "1", "acct": "ann", "url": "https://s.example/@ann", "bot": true}, "application": {"name": "App"}, "reblog": null}
{"id": "6", "visibility": "private", "content": "<p>for followers</p>", "account": {"acct": "ann"}}
{"id": "7", "visibility": "public", "content": "", "account": {"acct": "carl"}, "reblog": {"id": "5", "visibility": "public", "content": "<p>Hi</p>", "account": {"acct": "ann"}}}
{"event": "delete", "payload": "5"}
{"@context": "https://www.w3.org/ns/activitystreams", "type": "OrderedCollectionPage", "orderedItems": [{"id": "https://s.example/a/1", "type": "Create", "actor": "https://s.example/ann", "object": {"id": "https://s.example/n/1", "type": "Note", "published": "2024-01-01T00:00:00Z", "attributedTo": "https://s.example/ann", "to": ["https://www.w3.org/ns/activitystreams#Public"], "content": "<p>One</p><p>Two</p>", "contentMap": {"fr": "<p>One</p><p>Two</p>"}, "inReplyTo": "https://s.example/n/0"}}, {"type": "Announce", "id": "https://s.example/a/2", "actor": "https://s.example/ann", "object": "https://o.example/n/9"}, {"type": "Delete", "actor": "https://s.example/ann", "object": {"id": "https://s.example/n/3", "type": "Tombstone"}}, {"type": "Create", "actor": "https://s.example/ann", "object": {"id": "https://s.example/n/4", "type": "Note", "attributedTo": "https://s.example/ann", "to": ["https://s.example/bea"], "content": "secret"}}]}
"#,
    );
    let toot = post(&seen, "mastodon:5");
    assert_eq!(toot.text, "food\n\nHi @bea & all\nbye");
    assert!(toot.declared_bot);
    assert_eq!(toot.in_reply_to.as_deref(), Some("mastodon:4"));
    assert_eq!(toot.source_app.as_deref(), Some("App"));
    assert_eq!(post(&seen, "mastodon:7").reposts.as_deref(), Some("mastodon:5"));
    let note = post(&seen, "https://s.example/n/1");
    assert_eq!((note.text.as_str(), note.language.code()), ("One\n\nTwo", "fr"));
    assert!(post(&seen, "https://s.example/a/2").repost);
    assert_eq!(
        about(&seen),
        [
            (of_post("mastodon:5"), Removal::Deleted, false),
            (of_post("https://s.example/n/3"), Removal::Deleted, false),
        ]
    );
    assert_eq!(seen.reasons, ["not public", "not public"]);
}

#[test]
fn reddit_dumps_with_long_windows() {
    let lines = r#"{"id": "c1", "name": "t1_c1", "body": "a &gt; b", "author": "ann", "author_fullname": "t2_x", "created_utc": "1500000000", "parent_id": "t3_s1", "link_id": "t3_s1", "subreddit": "s", "edited": false}
{"id": "s1", "title": "Title", "selftext": "Body", "author": "bea", "created_utc": 1500000000.0, "subreddit": "s"}
{"id": "c2", "body": "[deleted]", "author": "[deleted]", "link_id": "t3_s1", "parent_id": "t1_c1", "subreddit": "s"}
"#;
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(31).unwrap();
    encoder.write_all(lines.as_bytes()).unwrap();
    let seen = seen_with("RC_2017-07.zst", &encoder.finish().unwrap(), &ReadOptions::default());
    let comment = post(&seen, "t1_c1");
    assert_eq!((comment.text.as_str(), comment.in_reply_to.as_deref()), ("a > b", Some("t3_s1")));
    assert_eq!(comment.created_at_unix_seconds, Some(1_500_000_000));
    assert_eq!(post(&seen, "t3_s1").text, "Title\n\nBody");
    assert_eq!(post(&seen, "t3_s1").created_at_unix_seconds, Some(1_500_000_000));
    let gone = post(&seen, "t1_c2");
    assert_eq!((gone.author.as_str(), gone.tombstone.unwrap().removal), ("", Removal::Deleted));
}

#[test]
fn stream_grabs_are_bzip2_in_tar() {
    let mut tar = tar::Builder::new(Vec::new());
    for (minute, id) in [("00", 1), ("01", 2)] {
        let line =
            format!("{{\"id_str\": \"{id}\", \"text\": \"words {id}\", \"lang\": \"en\"}}\n");
        let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
        packed.write_all(line.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(packed.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, format!("2017/07/01/{minute}.json.bz2"), &packed[..]).unwrap();
    }
    let seen = seen_with("grab.tar", &tar.into_inner().unwrap(), &ReadOptions::default());
    assert_eq!(seen.posts.len(), 2);
    assert!(seen.posts[1].origin.source.ends_with("grab.tar!2017/07/01/01.json.bz2"));
}

#[test]
fn mapped_columns_and_parquet_rows() {
    let map = [("text", "Inhalt"), ("author", "Wer"), ("id", "Nr"), ("created_at", "Wann")];
    let map = map.map(|(part, column)| (part.to_string(), column.to_string())).to_vec();
    let options = ReadOptions { map, format: Format::Csv, ..ReadOptions::default() };
    let seen = seen_with("p.dat", b"Nr;Wer;Wann;Inhalt\n7;ann;2020-01-01;Guten Tag\n", &options);
    assert_eq!((seen.posts[0].text.as_str(), seen.posts[0].author.as_str()), ("Guten Tag", "ann"));
    assert_eq!(seen.posts[0].created_at_unix_seconds, Some(1_577_836_800));
    let json = br#"{"Nr": 8, "Wer": "bea", "Inhalt": "Hallo"}"#;
    let options = ReadOptions { format: Format::JsonLines, ..options };
    assert_eq!(seen_with("p.dat", json, &options).posts[0].id, "8");
    let unknown = vec![("colour".to_string(), "x".to_string())];
    assert!(ReadOptions { map: unknown, ..ReadOptions::default() }.check().is_err());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.parquet");
    let row = Post {
        id: "9".into(),
        author: "ab".into(),
        text: "In Parquet".into(),
        created_at_unix_seconds: Some(5_000_000_000),
        ..Post::default()
    };
    stoa_posts::write_posts(&path, stoa_posts::Durability::Unsynced, &[row]).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let seen = seen_with("p.parquet", &bytes, &ReadOptions::default());
    assert_eq!((seen.posts[0].id.as_str(), seen.posts[0].text.as_str()), ("9", "In Parquet"));
    assert_eq!(seen.posts[0].created_at_unix_seconds, Some(5_000_000_000));
}

#[test]
fn depth_length_and_bombs_are_refused_in_bounded_memory() {
    let deep = format!(
        "{}1{}\n{{\"id\": 1, \"text\": \"fine\"}}\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let seen = seen_with("deep.jsonl", deep.as_bytes(), &ReadOptions::default());
    assert_eq!((seen.posts.len(), seen.scanned.rejected), (1, 1));
    let options = ReadOptions { record_limit_bytes: 1000, ..ReadOptions::default() };
    let long = format!("{{\"text\": \"{}\"}}\n{{\"text\": \"fine\"}}\n", "x".repeat(100_000));
    let seen = seen_with("long.jsonl", long.as_bytes(), &options);
    assert_eq!((seen.posts.len(), seen.reasons.len()), (1, 1));
    let seen = seen_with(
        "long.json",
        format!("[{}]", long.trim().replace('\n', ",")).as_bytes(),
        &options,
    );
    assert_eq!((seen.posts.len(), seen.reasons.len()), (1, 1));
    let mut bomb = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    bomb.start_file("tweets.js", zip::write::SimpleFileOptions::default()).unwrap();
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..100 {
        bomb.write_all(&zeros).unwrap();
    }
    let bytes = bomb.finish().unwrap().into_inner();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.zip");
    std::fs::write(&path, bytes).unwrap();
    let error =
        scan(&path, &ReadOptions::default(), &AtomicU64::new(0), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("bomb"), "{error}");
}
