//! What exporters and archives write, by their field names and shapes, in small files written for this
//! test; and what is refused by name.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::Path;
use std::sync::atomic::AtomicU64;
use stoa_posts::{Format, Item, Post, PostsError, ReadOptions, Removal, Scanned, scan};

#[derive(Default)]
struct Seen {
    posts: Vec<Post>,
    scanned: Scanned,
}

fn try_seen(path: &Path, options: &ReadOptions) -> Result<Seen, PostsError> {
    let mut seen = Seen::default();
    seen.scanned = scan(path, options, &AtomicU64::new(0), &mut |item| {
        if let Item::Post(post) = item {
            seen.posts.push(*post);
        }
        Ok(())
    })?;
    Ok(seen)
}

fn seen(name: &str, text: &str) -> Seen {
    in_folder(&[(name, text)], name)
}

/// Reads `source` of a folder with these files; an empty name is the folder.
fn in_folder(files: &[(&str, &str)], source: &str) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    try_seen(&folder.path().join(source), &ReadOptions::default()).unwrap()
}

fn post<'a>(seen: &'a Seen, id: &str) -> &'a Post {
    seen.posts.iter().find(|post| post.id == id).unwrap()
}

fn remarked(seen: &Seen, words: &str) -> u64 {
    let all = seen.scanned.remarks.iter();
    all.filter(|(kind, _)| kind.contains(words)).map(|(_, count)| count).sum()
}

#[test]
fn scrapers_by_their_fields() {
    let seen = seen(
        "scraped.jsonl",
        r#"{"_type": "snscrape.modules.twitter.Tweet", "url": "https://x.example/1", "date": "2022-01-01T10:00:00+00:00", "rawContent": "The tram stops here", "renderedContent": "The tram stops", "id": 11, "user": {"username": "ann", "id": 7}, "conversationId": 11, "lang": "en", "inReplyToTweetId": null, "retweetedTweet": null}
{"_type": "snscrape.modules.twitter.Tweet", "url": "https://x.example/2", "date": "2022-01-01T10:05:00+00:00", "content": "RT @ann: as ever, it does not", "renderedContent": "x", "id": 12, "user": {"username": "bea", "id": 8}, "conversationId": 11, "lang": "en", "inReplyToTweetId": 11, "retweetedTweet": null}
{"_type": "snscrape.modules.twitter.Tweet", "url": "https://x.example/3", "date": "2022-01-01T10:06:00+00:00", "rawContent": "RT @ann: The tram…", "renderedContent": "x", "id": 13, "user": {"username": "bea"}, "retweetedTweet": {"_type": "snscrape.modules.twitter.Tweet", "rawContent": "The tram stops here", "id": 11, "user": {"username": "ann"}}, "quotedTweet": null}
{"id": 14, "conversation_id": "14", "created_at": "2020-01-01 10:00:00", "username": "carl", "tweet": "Twined words", "language": "fr", "replies_count": 0, "retweets_count": 1, "reply_to": [], "retweet": false, "user_rt_id": ""}
{"id": "15", "created_at": "2024-01-01T00:00:00Z", "full_text": "From a browser", "screen_name": "dora", "name": "Dora", "profile_image_url": "x", "in_reply_to": "11", "retweeted_status": null, "quoted_status": "12", "views_count": 9}
{"rest_id": "16", "legacy": {"full_text": "Raw words", "created_at": "Wed Oct 10 20:19:24 +0000 2018", "conversation_id_str": "11", "in_reply_to_status_id_str": "15", "lang": "en"}, "core": {"user_results": {"result": {"legacy": {"screen_name": "emil"}}}}}
"#,
    );
    let first = post(&seen, "11");
    assert_eq!((first.text.as_str(), first.author.as_str()), ("The tram stops here", "ann"));
    assert_eq!((first.author_id.as_deref(), first.language.code()), (Some("7"), "en"));
    let second = post(&seen, "12");
    assert_eq!(
        (second.in_reply_to.as_deref(), second.conversation.as_deref()),
        (Some("11"), Some("11"))
    );
    // A field that would tell a repost tells that it is none.
    assert!(!second.repost);
    let third = post(&seen, "13");
    assert_eq!((third.repost, third.reposts.as_deref()), (true, Some("11")));
    assert_eq!(third.text, "The tram stops here");
    let twined = post(&seen, "14");
    assert_eq!((twined.text.as_str(), twined.author.as_str()), ("Twined words", "carl"));
    assert_eq!((twined.in_reply_to.as_deref(), twined.language.code()), (None, "fr"));
    let exported = post(&seen, "15");
    assert_eq!((exported.author.as_str(), exported.in_reply_to.as_deref()), ("dora", Some("11")));
    assert_eq!((exported.quotes.as_deref(), exported.repost), (Some("12"), false));
    let raw = post(&seen, "16");
    assert_eq!((raw.text.as_str(), raw.author.as_str()), ("Raw words", "emil"));
    assert_eq!((raw.in_reply_to.as_deref(), raw.conversation.as_deref()), (Some("15"), Some("11")));
    for post in &seen.posts {
        assert_eq!((post.basis.as_str(), post.licence.as_deref()), ("unknown", Some("unknown")));
    }
    assert_eq!(remarked(&seen, "posts collected by snscrape"), 3);
    assert_eq!(remarked(&seen, "their basis and licence are unknown"), 6);
}

#[test]
fn the_first_filled_name_wins() {
    let seen = seen(
        "names.jsonl",
        r#"{"id": 1, "full_text": "", "text": null, "content": "NaN", "body": "the body", "author": null, "user": {"screen_name": "", "name": "Ann"}, "in_reply_to_status_id_str": "nan", "in_reply_to": "7"}
{"id": 2, "text": "flat", "user.screen_name": "bea", "referenced_tweets.replied_to.id": "1"}
"#,
    );
    let first = post(&seen, "1");
    assert_eq!((first.text.as_str(), first.author.as_str()), ("the body", "Ann"));
    assert_eq!(first.in_reply_to.as_deref(), Some("7"));
    let second = post(&seen, "2");
    assert_eq!((second.author.as_str(), second.in_reply_to.as_deref()), ("bea", Some("1")));
    assert_eq!((second.basis.as_str(), second.licence.as_deref()), ("", None));
}

#[test]
fn tables_of_exporters() {
    let twarc_1 = seen(
        "v1.csv",
        "id,created_at,user_screen_name,text,tweet_type,in_reply_to_status_id,retweet_or_quote_id,lang\n\
         1,Wed Oct 10 20:19:24 +0000 2018,ann,First words,original,,,en\n\
         2,Wed Oct 10 20:20:24 +0000 2018,bea,RT @ann: First words,retweet,,1,en\n\
         3,Wed Oct 10 20:21:24 +0000 2018,carl,Look at this,quote,,1,en\n",
    );
    assert_eq!(post(&twarc_1, "1").author, "ann");
    let repost = post(&twarc_1, "2");
    assert_eq!((repost.repost, repost.reposts.as_deref()), (true, Some("1")));
    let quote = post(&twarc_1, "3");
    assert_eq!((quote.repost, quote.quotes.as_deref()), (false, Some("1")));
    let twarc_2 = seen(
        "v2.csv",
        "id,conversation_id,referenced_tweets.replied_to.id,referenced_tweets.retweeted.id,text,author.username,author.protected\n\
         4,4,,,RT @x: is how retweets begin,ann,False\n5,4,4,,Indeed,bea,True\n",
    );
    assert!(!post(&twarc_2, "4").repost);
    let reply = post(&twarc_2, "5");
    assert_eq!(reply.in_reply_to.as_deref(), Some("4"));
    assert_eq!(reply.tombstone.map(|gone| gone.removal), Some(Removal::Protected));
    let reddit = seen(
        "reddit.csv",
        "id,subreddit,author,title,selftext,removed_by_category,created_utc\n\
         a,s,ann,A title,Some words,,1577836800.0\nb,s,bea,Other title,More words,moderator,1577836800\n\
         c,s,carl,[deleted by user],,,1577836800\n",
    );
    let kept = post(&reddit, "t3_a");
    assert_eq!(kept.text, "A title\n\nSome words");
    assert_eq!(kept.created_at_unix_seconds, Some(1_577_836_800));
    let gone = |id| post(&reddit, id).tombstone.is_some();
    assert!(gone("t3_b") && gone("t3_c"));
    let scraped = seen("s.csv", "id,date,rawContent,renderedContent\n6,2020-01-01,Words,Words\n");
    assert_eq!(post(&scraped, "6").basis, "unknown");
}

const MONTH: &str = r#"Grailbird.data.tweets_2012_03 =
 [ {
  "source" : "web",
  "id_str" : "21",
  "text" : "The lake is open.",
  "created_at" : "2012-03-04 09:12:00 +0000",
  "user" : { "name" : "Ann", "screen_name" : "ann", "id_str" : "7" }
}, {
  "id_str" : "22",
  "text" : "RT @bea: Bring your skates.",
  "created_at" : "2012-03-05 09:12:00 +0000",
  "user" : { "screen_name" : "ann" }
} ]
"#;

#[test]
fn archives_of_before_2019() {
    let check = |seen: &Seen| {
        let first = post(seen, "21");
        assert_eq!((first.text.as_str(), first.author.as_str()), ("The lake is open.", "ann"));
        assert!(post(seen, "22").repost);
        assert_eq!(seen.scanned.records, 2);
    };
    check(&seen("2012_03.js", MONTH));
    let files = [
        ("data/js/tweets/2012_03.js", MONTH),
        ("data/js/tweet_index.js", "var tweet_index = [ ]"),
        ("data/js/user_details.js", "var user_details = { }"),
        ("tweets.csv", "tweet_id,text\n21,The lake is open.\n"),
        ("README.txt", "How to use this archive"),
    ];
    let whole = in_folder(&files, "");
    check(&whole);
    assert_eq!(remarked(&whole, "files left unread"), 4);
    assert_eq!(remarked(&whole, "files left unread: .csv"), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("user_details.js");
    std::fs::write(&path, "Grailbird.data.user_details = { }").unwrap();
    let error = try_seen(&path, &ReadOptions::default()).err().unwrap();
    assert!(matches!(error, PostsError::NotTweets { .. }), "{error}");
}

#[test]
fn an_archive_in_one_object() {
    let long = "A long report from the harbour, ".repeat(12);
    let cut: String = long.chars().take(270).collect();
    let archive = serde_json::json!({
        "account": [{"account": {"username": "ann", "accountId": "7"}}],
        "tweets": [
            {"tweet": {"id_str": "1", "full_text": "Short", "created_at": "Wed Oct 10 20:19:24 +0000 2018"}},
            {"tweet": {"id_str": "2", "full_text": format!("{cut}… https://t.co/a"), "created_at": "Wed Oct 10 20:19:24 +0000 2018"}},
        ],
        "community-tweet": [{"tweet": {"id_str": "3", "full_text": "To my community"}}],
        "note-tweet": [{"noteTweet": {"createdAt": "2018-10-10T20:19:25.000Z", "core": {"text": long}}}],
        "like": [{"like": {"tweetId": "9", "fullText": "a private like"}}],
    });
    let seen = seen("archive.json", &archive.to_string());
    assert_eq!(seen.posts.len(), 3);
    assert!(seen.posts.iter().all(|post| post.author == "ann"));
    assert_eq!(post(&seen, "2").text, long.trim());
    assert_eq!(remarked(&seen, "long posts completed by how"), 1);
}

const RECORD: &str = r#"{"$type": "app.bsky.feed.post", "text": "The ferry is late", "langs": ["en-GB"], "createdAt": "2023-11-01T10:00:00.000Z"}"#;
const ANSWER: &str = r#"{"$type": "app.bsky.feed.post", "text": "As always", "langs": ["en"], "createdAt": "2023-11-01T10:05:00.000Z", "reply": {"root": {"uri": "at://did:plc:own/app.bsky.feed.post/3ka"}, "parent": {"uri": "at://did:plc:own/app.bsky.feed.post/3ka"}}}"#;

#[test]
fn records_of_bluesky_by_list_and_by_folder() {
    let check = |seen: &Seen| {
        assert_eq!(seen.posts.len(), 2);
        let first = post(seen, "at://did:plc:own/app.bsky.feed.post/3ka");
        let second = post(seen, "at://did:plc:own/app.bsky.feed.post/3kb");
        assert_eq!(second.in_reply_to.as_ref(), Some(&first.id));
        assert_eq!(first.conversation, second.conversation);
        assert_eq!((first.author.as_str(), first.language.code()), ("did:plc:own", "en"));
        assert_eq!(first.author, second.author);
    };
    let listed = format!(
        r#"{{"records": [{{"uri": "at://did:plc:own/app.bsky.feed.post/3ka", "cid": "c", "value": {RECORD}}},
{{"uri": "at://did:plc:own/app.bsky.feed.post/3kb", "cid": "d", "value": {ANSWER}}},
{{"uri": "at://did:plc:own/app.bsky.feed.like/3kl", "cid": "e", "value": {{"$type": "app.bsky.feed.like"}}}}], "cursor": "3k"}}"#
    );
    let of_list = seen("listed.json", &listed);
    check(&of_list);
    assert_eq!(of_list.scanned.asides, 1);
    let profile = r#"{"$type": "app.bsky.actor.profile", "description": "I write about ferries."}"#;
    let files = [
        ("repo/app.bsky.feed.post/3ka.json", RECORD),
        ("repo/app.bsky.feed.post/3kb.json", ANSWER),
        ("repo/app.bsky.actor.profile/self.json", profile),
        ("repo/app.bsky.feed.like/3kl.json", r#"{"$type": "app.bsky.feed.like", "subject": {}}"#),
    ];
    let of_folder = in_folder(&files, "");
    check(&of_folder);
    assert_eq!((of_folder.scanned.asides, of_folder.scanned.rejected), (2, 0));
}

#[test]
fn stubs_stand_for_what_is_gone() {
    let seen = seen(
        "views.jsonl",
        r##"{"thread": {"$type": "app.bsky.feed.defs#notFoundPost", "uri": "at://did:plc:a/app.bsky.feed.post/1", "notFound": true}}
{"thread": {"$type": "app.bsky.feed.defs#threadViewPost", "post": {"uri": "at://did:plc:a/app.bsky.feed.post/2", "author": {"did": "did:plc:a", "handle": "a.example", "labels": [{"val": "bot"}]}, "record": {"text": "Still here"}}, "replies": [{"$type": "app.bsky.feed.defs#blockedPost", "uri": "at://did:plc:b/app.bsky.feed.post/3", "blocked": true}]}}
"##,
    );
    let removal = |id: &str| post(&seen, id).tombstone.map(|tombstone| tombstone.removal);
    assert_eq!(removal("at://did:plc:a/app.bsky.feed.post/1"), Some(Removal::Deleted));
    assert_eq!(removal("at://did:plc:b/app.bsky.feed.post/3"), Some(Removal::Protected));
    let here = post(&seen, "at://did:plc:a/app.bsky.feed.post/2");
    assert_eq!((here.tombstone, here.declared_bot), (None, true));
    assert_eq!(remarked(&seen, "posts that are gone, by structure"), 2);
}

#[test]
fn what_reddit_says_is_gone() {
    let seen = seen(
        "dump.jsonl",
        r#"{"id": "a", "subreddit": "s", "author": "ann", "title": "Kept title", "selftext": "[deleted by user]"}
{"id": "b", "subreddit": "s", "author": "ann", "title": "[ Removed by Reddit ]", "selftext": "words that stay"}
{"id": "c", "subreddit": "s", "author": "ann", "title": "A title", "selftext": "Some words", "removed_by_category": "moderator"}
{"id": "d", "subreddit": "s", "author": "ann", "title": "A title", "selftext": "My [removed] shelf is for sale", "removed_by_category": null}
{"id": "e", "subreddit": "s", "author": "bea", "body": "Comment Removed By Moderator", "link_id": "t3_d", "parent_id": "t3_d"}
{"id": "f", "subreddit": "s", "author": "AutoModerator", "body": "Please read the rules.\n\n&amp;#x200B;\n\n*I am a bot, and this action was performed automatically.*", "link_id": "t3_d", "parent_id": "t3_d"}
{"id": "g", "subreddit": "s", "author": "[deleted]", "body": "Words of someone who left", "link_id": "t3_d", "parent_id": "t3_d"}
{"id": "h", "subreddit": "s", "author": {"name": "carl"}, "body": "From a live client", "link_id": "t3_d", "parent_id": "t1_e", "_fetched": true, "created_utc": 1577836805.0}
"#,
    );
    for id in ["t3_a", "t3_b", "t3_c", "t1_e", "t1_g"] {
        let post = post(&seen, id);
        assert!(post.tombstone.is_some() && post.text.is_empty(), "{id}");
    }
    assert_eq!(post(&seen, "t1_g").author, "");
    assert_eq!(post(&seen, "t3_d").text, "A title\n\nMy [removed] shelf is for sale");
    let bot = post(&seen, "t1_f");
    assert!(bot.declared_bot && bot.tombstone.is_none());
    assert!(!bot.text.contains('\u{200b}'));
    let live = post(&seen, "t1_h");
    assert_eq!((live.author.as_str(), live.basis.as_str()), ("carl", "unknown"));
    assert_eq!(live.created_at_unix_seconds, Some(1_577_836_805));
    assert_eq!(remarked(&seen, "posts that are gone, by text: "), 3);
    assert_eq!(remarked(&seen, "by field: removed_by_category"), 1);
    assert_eq!(remarked(&seen, "by field: author"), 1);
}

#[test]
fn an_outbox_with_polls_pictures_and_mentions() {
    let public = r#""to": ["https://www.w3.org/ns/activitystreams#Public"]"#;
    let note = format!(
        r#"{{"id": "https://s.example/n/1", "type": "Note", {public}, "attributedTo": "https://s.example/ann", "content": "<p>See <a href=\"https://o.example/@bea\">@<span>bea</span></a>: 1 &amp;lt; 2 &lt;3</p>", "tag": [{{"type": "Mention", "href": "https://o.example/users/bea", "name": "@bea@o.example"}}], "attachment": [{{"type": "Document", "name": "a boat in the fog"}}]}}"#
    );
    let poll = format!(
        r#"{{"id": "https://s.example/n/2", "type": "Question", {public}, "attributedTo": "https://s.example/ann", "content": "<p>Which?</p>", "oneOf": [{{"type": "Note", "name": "rye"}}, {{"type": "Note", "name": "oats"}}]}}"#
    );
    let create = |object: &str| {
        format!(r#"{{"type": "Create", "actor": "https://s.example/ann", "object": {object}}}"#)
    };
    let outbox = format!(
        r#"{{"@context": "https://www.w3.org/ns/activitystreams", "type": "OrderedCollection", "orderedItems": [{}, {}]}}"#,
        create(&note),
        create(&poll)
    );
    let actor = r#"{"@context": "https://www.w3.org/ns/activitystreams", "id": "https://s.example/ann", "type": "Service", "preferredUsername": "ann"}"#;
    let seen = in_folder(&[("a/outbox.json", &outbox), ("a/actor.json", actor)], "");
    let first = post(&seen, "https://s.example/n/1");
    assert_eq!(first.text, "See @bea@o.example: 1 &lt; 2 <3\n\n[a boat in the fog]");
    assert_eq!(post(&seen, "https://s.example/n/2").text, "Which?\n\n- rye\n- oats");
    assert!(seen.posts.iter().all(|post| post.declared_bot));
}

#[test]
fn mixed_folders_are_read_whole() {
    let line = |id: u64| format!("{{\"id\": {id}, \"text\": \"words {id}\"}}\n");
    let (one, two, three) = (line(1), line(2), line(3));
    let files = [
        ("a/posts.jsonl", one.as_str()),
        (
            "b/tweets.js",
            "window.YTD.tweets.part0 = [{\"tweet\": {\"id_str\": \"4\", \"full_text\": \"a tweet\"}}]",
        ),
        ("b/more.json", &two),
        ("c/table.csv", "id,text\n5,in a table\n"),
        ("c/README.txt", "About these posts"),
        ("c/picture.png", "no picture"),
        ("store/state/plan.json", "{}"),
        ("store/posts.jsonl", &three),
    ];
    let seen = in_folder(&files, "");
    let mut ids: Vec<&str> = seen.posts.iter().map(|post| post.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "4", "5"]);
    assert_eq!(seen.scanned.rejected, 0);
    assert_eq!(remarked(&seen, "folders left out"), 1);
    assert_eq!((remarked(&seen, ".txt"), remarked(&seen, ".png")), (1, 1));
}

#[test]
fn what_is_not_for_people_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &str, text: &str, format: Format| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let options = ReadOptions { format, ..ReadOptions::default() };
        try_seen(&path, &options).err().map(|error| error.to_string())
    };
    for (name, text, kind) in [
        ("page.txt", "<!doctype html>\n<p>words</p>\n", "HTML"),
        ("error.json", "<html><body>503</body></html>", "HTML"),
        ("feed", "<?xml version=\"1.0\"?>\n<feed></feed>\n", "XML"),
        ("posts.yaml", "- text: one\n- text: two\n", "YAML"),
        ("index.js", "var index = [\n];\n", "JavaScript"),
        ("read", "import os\n\ndef main():\n    return 1\n", "source code"),
    ] {
        let message = error(name, text, Format::Auto).unwrap();
        assert!(message.contains(kind) && message.contains("--format text"), "{message}");
        assert_eq!(error(name, text, Format::Text), None, "{name}");
    }
    assert_eq!(error("plain.txt", "I <3 this town.\n\nSo do I.\n", Format::Auto), None);
}
