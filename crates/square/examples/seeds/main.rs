//! Seeds of the fuzz targets: `seeds FOLDER` writes a few small files of each format below
//! `FOLDER/TARGET`. All of it is written here or generated; none is somebody's post.

mod models;

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use stoa_dialogue::ChatTemplate;
use stoa_posts::{Durability, Post, write_posts};
use stoa_square::{Square, SquareConfig};

type Outcome = Result<(), Box<dyn Error>>;

const V1: &str = r#"{"created_at":"Wed Oct 10 20:19:24 +0000 2018","id_str":"1","full_text":"@bea Boats &amp; nets https://t.co/abc","lang":"en","in_reply_to_status_id_str":"0","source":"<a href=\"https://example.org\">App</a>","user":{"id_str":"7","screen_name":"ann","protected":false}}
{"id_str":"2","text":"RT @ann: Boats","user":{"screen_name":"bea"},"retweeted_status":{"id_str":"1","full_text":"Boats and nets","user":{"screen_name":"ann"}}}
{"id_str":"3","text":"Look","is_quote_status":true,"quoted_status":{"id_str":"1","extended_tweet":{"full_text":"Boats"},"user":{"screen_name":"ann"}},"withheld_in_countries":["FR"]}
{"delete":{"status":{"id_str":"1","user_id_str":"7"},"timestamp_ms":"1600000000000"}}
{"status_withheld":{"id":1,"withheld_in_countries":["FR"],"timestamp_ms":"1600000000000"}}
{"limit":{"track":3,"timestamp_ms":"1600000000000"}}
"#;
const V2: &str = r#"{"data":[{"id":"1","text":"Boats","author_id":"7","created_at":"2020-01-01T00:00:00.000Z","edit_history_tweet_ids":["0","1"],"referenced_tweets":[{"type":"replied_to","id":"9"}],"note_tweet":{"text":"Boats and nets"}},{"id":"2","text":"RT @ann: Bo","author_id":"8","referenced_tweets":[{"type":"retweeted","id":"1"}],"withheld":{"country_codes":["FR"]}}],"includes":{"users":[{"id":"7","username":"ann","protected":true}],"tweets":[{"id":"9","text":"The first","author_id":"8"}]},"meta":{"result_count":2}}
"#;
const COMPLIANCE: &str = r#"{"data":{"delete":{"tweet":{"id":"1"},"event_at":"2020-01-01T00:00:00.000Z"}}}
{"user_protect":{"user":{"id":"7"},"event_at":"2020-01-01T00:00:00.000Z"}}
{"tweet_edit":{"initial_tweet_id":"1","edit_tweet_ids":["1","2"],"event_at":"2020-01-01T00:00:00.000Z"}}
{"id":"1","action":"delete","created_at":"2020-01-01T00:00:00Z","redacted_at":"2020-01-02T00:00:00Z","reason":"deleted"}
"#;
const ARCHIVE: &str = r#"window.YTD.tweets.part0 = [ {"tweet":{"id_str":"1","full_text":"Boats and nets","created_at":"Wed Oct 10 20:19:24 +0000 2018","lang":"en","edit_info":{"initial":{"editTweetIds":["1"]}}}}, {"tweet":{"id_str":"2","full_text":"RT @bea: ropes"}} ]
"#;
const MONTH: &str = r#"Grailbird.data.tweets_2013_01 = [ { "id_str" : "1", "text" : "Boats", "created_at" : "2013-01-04 09:12:00 +0000", "user" : { "screen_name" : "ann" } }, { "id_str" : "2", "text" : "RT @bea: ropes" } ]
"#;
const DELETED: &str =
    r#"window.YTD.deleted_tweets.part0 = [ {"tweet":{"id_str":"3","full_text":"gone"}} ]"#;
const NOTES: &str = r#"window.YTD.note_tweet.part0 = [ {"noteTweet":{"noteTweetId":"1","createdAt":"2018-10-10T20:19:24.000Z","core":{"text":"Boats and nets and ropes"}}} ]"#;
const GNIP: &str = r#"{"id":"tag:search.twitter.com,2005:1","objectType":"activity","verb":"post","postedTime":"2020-01-01T00:00:00.000Z","body":"Boats","actor":{"preferredUsername":"ann","id":"id:twitter.com:7"},"inReplyTo":{"link":"http://twitter.com/bea/statuses/9"},"long_object":{"body":"Boats and nets"}}
{"id":"tag:search.twitter.com,2005:2","objectType":"activity","verb":"share","body":"RT","object":{"id":"object:search.twitter.com,2005:1","body":"Boats","actor":{"preferredUsername":"ann"}}}
{"verb":"delete","object":{"id":"tag:search.twitter.com,2005:1"},"postedTime":"2020-01-02T00:00:00.000Z"}
{"info":{"message":"Replay Request Completed"}}
"#;
const BLUESKY: &str = r#"{"did":"did:plc:a","time_us":1600000000000000,"kind":"commit","commit":{"operation":"create","collection":"app.bsky.feed.post","rkey":"1","record":{"$type":"app.bsky.feed.post","text":"Boats","createdAt":"2020-01-01T00:00:00Z","langs":["en"],"reply":{"parent":{"uri":"at://did:plc:b/app.bsky.feed.post/0"},"root":{"uri":"at://did:plc:b/app.bsky.feed.post/0"}},"facets":[{"index":{"byteStart":0,"byteEnd":5},"features":[{"$type":"app.bsky.richtext.facet#link","uri":"https://example.org"}]}]}}}
{"did":"did:plc:a","time_us":1600000000000001,"kind":"commit","commit":{"operation":"delete","collection":"app.bsky.feed.post","rkey":"1"}}
{"did":"did:plc:a","time_us":1600000000000002,"kind":"account","account":{"active":false,"status":"deactivated"}}
{"did":"did:plc:a","time_us":1600000000000003,"kind":"commit","commit":{"operation":"create","collection":"org.user-intents.declaration","rkey":"self","record":{"syntheticContentGeneration":{"allow":false}}}}
{"feed":[{"post":{"uri":"at://did:plc:a/app.bsky.feed.post/2","author":{"handle":"ann.example","did":"did:plc:a"},"record":{"text":"Nets","createdAt":"2020-01-01T00:00:00Z"}}}]}
"#;
const RECORDS: &str = r#"{"records":[{"uri":"at://did:plc:a/app.bsky.feed.post/1","cid":"c","value":{"$type":"app.bsky.feed.post","text":"Boats","createdAt":"2020-01-01T00:00:00Z"}}],"cursor":"1"}
"#;
/// A repository with two posts, the second an answer to the first.
const CAR: &[u8] = b"\
    :\xa2eroots\x81\xd8*X%\x00\x01q\x12 \xf8\x15\xd6\xc2\xc5\xf1\x98\xb9#N\xf2\xd9U\xb12\x9f\
    `\x80\x02g9\x8f\x16\x9e\xd3\xd83\x85Q\xa5s\xf7gversion\x01\x80\x01\x01q\x12 \xf8\x15\xd6\
    \xc2\xc5\xf1\x98\xb9#N\xf2\xd9U\xb12\x9f`\x80\x02g9\x8f\x16\x9e\xd3\xd83\x85Q\xa5s\xf7\
    \xa6cdididid:plc:acrevb3kcsigD\x00\x00\x00\x00ddata\xd8*X%\x00\x01q\x12 5\xf2\x84+\xe3\
    \xda_\x09G-\xab\xa8\x164\xaa\xc1\x17\x09&:o\x14\xb4v\xab\x0f\x05\"\xf2a\xc6\xa2dprev\xf6\
    gversion\x03\xac\x01\x01q\x12 5\xf2\x84+\xe3\xda_\x09G-\xab\xa8\x164\xaa\xc1\x17\x09&:o\
    \x14\xb4v\xab\x0f\x05\"\xf2a\xc6\xa2\xa2ae\x82\xa4akVapp.bsky.feed.post/3kaap\x00at\xf6a\
    v\xd8*X%\x00\x01q\x12 :)\x02Lf:`\xec\x05n#m\xb6;\xf0\x94\xdb\xa5\xdeV\xdc\x81\x0a\xe0\
    \xf8\xd5a\x01^\x8c7\xbb\xa4akAbap\x15at\xf6av\xd8*X%\x00\x01q\x12 \x80\xb6\x17\xac>\xcc\
    \xa20\x06\x80E\x83\x05\xeeF\xc9\xb8*\xfb\xc6\x91\xe7\x9c\x99\xf3\xa47\xfdtSowal\xf6r\x01\
    q\x12 :)\x02Lf:`\xec\x05n#m\xb6;\xf0\x94\xdb\xa5\xdeV\xdc\x81\x0a\xe0\xf8\xd5a\x01^\x8c7\
    \xbb\xa4dtexteBoatse$typerapp.bsky.feed.postelangs\x81benicreatedAtt2020-01-01T00:00:00Z\
    \xa1\x01\x01q\x12 \x80\xb6\x17\xac>\xcc\xa20\x06\x80E\x83\x05\xeeF\xc9\xb8*\xfb\xc6\x91\
    \xe7\x9c\x99\xf3\xa47\xfdtSow\xa4dtextdNetse$typerapp.bsky.feed.postereply\xa1fparent\
    \xa1curix%at://did:plc:a/app.bsky.feed.post/3kaicreatedAtt2020-01-01T00:00:00Z";
/// The same without hashes: a function that readers do not know names the blocks, by numbers, so that what
/// changes a block does not make it unreadable.
const CAR_UNCHECKED: &[u8] = b"\
    :\xa2eroots\x81\xd8*X%\x00\x01q\x16 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00gversion\x01\
    \x80\x01\x01q\x16 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xa6cdididid:plc:acrevb3kcsi\
    gD\x00\x00\x00\x00ddata\xd8*X%\x00\x01q\x16 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01dpre\
    v\xf6gversion\x03\xac\x01\x01q\x16 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xa2ae\x82\
    \xa4akVapp.bsky.feed.post/3kaap\x00at\xf6av\xd8*X%\x00\x01q\x16 \x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x02\xa4akAbap\x15at\xf6av\xd8*X%\x00\x01q\x16 \x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x03al\xf6r\x01q\x16 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xa4dtexteBoatse\
    $typerapp.bsky.feed.postelangs\x81benicreatedAtt2020-01-01T00:00:00Z\xa1\x01\x01q\x16 \
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\xa4dtextdNetse$typerapp.bsky.feed.postereply\
    \xa1fparent\xa1curix%at://did:plc:a/app.bsky.feed.post/3kaicreatedAtt2020-01-01T00:00:00\
    Z";
const MASTODON: &str = r#"[{"id":"1","content":"<p>Boats <a href=\"https://example.org\">and nets</a></p>","visibility":"public","created_at":"2020-01-01T00:00:00.000Z","language":"en","in_reply_to_id":null,"spoiler_text":"sea","account":{"acct":"ann","url":"https://example.org/@ann","bot":false}},{"id":"2","content":"","visibility":"private","account":{"acct":"bea"},"reblog":{"id":"1","content":"<p>Boats</p>","visibility":"public","account":{"acct":"ann"}}}]
"#;
const MASTODON_STREAM: &str = r#"{"event":"update","payload":"{\"id\":\"3\",\"content\":\"<p>Ropes</p>\",\"visibility\":\"public\",\"account\":{\"acct\":\"ann\"}}"}
{"event":"delete","payload":"3"}
{"ancestors":[],"descendants":[{"id":"4","content":"x<br>y","visibility":"unlisted","account":{"acct":"bea"}}]}
"#;
const OUTBOX: &str = r#"{"@context":"https://www.w3.org/ns/activitystreams","type":"OrderedCollection","orderedItems":[{"type":"Create","actor":"https://example.org/users/ann","published":"2020-01-01T00:00:00Z","to":["https://www.w3.org/ns/activitystreams#Public"],"object":{"id":"https://example.org/1","type":"Note","content":"<p>Boats</p>","inReplyTo":null,"attributedTo":"https://example.org/users/ann","to":["https://www.w3.org/ns/activitystreams#Public"],"contentMap":{"en":"<p>Boats</p>"}}},{"type":"Announce","object":"https://example.org/2","to":["as:Public"]},{"type":"Delete","object":{"type":"Tombstone","id":"https://example.org/1"}},{"type":"Update","object":{"id":"https://example.org/1","type":"Note","content":"Nets","to":"as:Public"}}]}
"#;
const REDDIT: &str = r#"{"id":"a1","author":"ann","body":"Boats","created_utc":1600000000,"subreddit":"boats","link_id":"t3_b","parent_id":"t1_c","edited":false}
{"id":"b","name":"t3_b","author":"[deleted]","title":"Nets","selftext":"[removed]","subreddit":"boats","created_utc":"1600000000"}
{"kind":"Listing","data":{"children":[{"kind":"t1","data":{"id":"d","body":"Ropes &gt; nets","subreddit":"boats","link_id":"t3_b","replies":""}}]}}
"#;
const TABLE: &str = "id,author,text,created_at,is_retweet\n1,ann,\"Boats, \"\"nets\"\"\nand ropes\",2020-01-01,FALSE\n2,bea,NA,1600000000,TRUE\n3,carl\n";
const SEMICOLONS: &str = "\u{feff}nr;text;user\n1;Boote und Netze;ann\n";
const HEADERLESS: &str =
    "\u{c}\"4\",\"2190001\",\"Tue May 05 10:00:01 PDT 2009\",\"Boats, nets\"\n";
const QUOTES: &str = "\u{0}id\ttext\n1\t\"Boats\n2\tNets\n3\t\"Ropes\" and nets\n";
const SWALLOWED: &str = "\u{0}sep=,\nid,user,date,text\n1,ann,2020-01-02,Boats\n2,bea,3/4/2020,\"Nets\n3,ann,43102,Ropes\n4,ann,2020-01-05,a\n";
const PYTHON: &str = r#"[{"id":1.59E+18,"text":"Boats \ud83d","n":[NaN,-Infinity],"id":1590000000000000000.0},{"id":99999999999999999999,"text":"Nets","in_reply_to":17.0,"created_at":"Wed, 10 Oct 2018 20:19:24 GMT"}]"#;
const OBJECT: &str = r#"{"account":[{"username":"ann"}],"deep":{"mine":[{"text":"Boats"},{"text":"Nets"}],"like":[{"text":"x"}]},"tweets":[{"tweet":{"id_str":"1","full_text":"Ropes"}}]}"#;
const LINES: &str = r#"{"id":1,"author":"ann","text":"Boats","created_at":1600000000,"consent":"granted","licence":"CC0-1.0"}
{"id":"2","text":"Nets","in_reply_to":"1","tombstone":{"removal":"deleted","at_unix_seconds":5}}
["a line","of texts"]
not json
"#;
const PAGE: &str = r#"[ {"posts":[{"id":1,"text":"Boats"},{"id":2,"text":"Nets"}],"thread_id":"t"}, "words", 3, null, true ]"#;
const TEXT: &str = "A paragraph\nof two lines.\n\nAnother one.\n\r\n# And a heading\n";
const WORDS: [&str; 6] = [
    "&amp;amp; caf\u{c3}\u{a9} &#x27;&eacute; e\u{301} \u{feff}#tag @ann http://www.example.org/a?b=c",
    "Buy now! 50% off http://a.example 100 times, buy now! buy now!",
    "Schreib an ann@example.org oder +49 30 901820, IBAN DE89 3704 0044 0532 0130 00",
    "4111 1111 1111 1111, 192.0.2.1, 8.8.8.8, 2001:4860:4860::8888, (212) 555-0123 on 2020-01-01",
    "@ann/list $TWTR #日本 #été example.org/path_(x) t.co/abc \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{202a}a.com\u{202c}",
    "Это предложение на русском языке. 今日はいい天気ですね。 مرحبا بالعالم",
];

const MODEL: &str = r#"{"model_type":"mixtral","num_hidden_layers":4,"hidden_size":64,"intermediate_size":128,"num_attention_heads":8,"num_key_value_heads":2,"vocab_size":1000,"num_local_experts":8,"num_experts_per_tok":2,"sliding_window":null,"tie_word_embeddings":false}"#;
const MODEL_WITHIN: &str = r#"{"model_type":"gemma3","text_config":{"num_hidden_layers":4,"hidden_size":64,"intermediate_size":128,"layer_types":["sliding_attention","full_attention"]},"vision_config":{}}"#;
const DEVICE: &str =
    "name = \"card\"\nbf16_tflops = 120\nmemory_gib = 24\nhbm_gb_s = 900\nwatts = 300\nnode = 4\n";
const DEVICE_JSON: &str = r#"{"name":"card","bf16_tflops":120,"memory_gib":24,"hbm_gb_s":900,"watts":300,"sixteen_bit":["fp16"],"rent_low":1,"rent_high":2}"#;

const TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":6,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},"post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{"h":0,"o":1,"W":2,"1":3,"ho":4,"Who":5},"merges":[["h","o"],["W","ho"]]}}"#;
const PIECES: &str = r#"{"added_tokens":[{"id":0,"content":"<unk>","special":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u2581"},{"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]},"pre_tokenizer":null,"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"model":{"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":true,"vocab":{"<unk>":0,"<0x0A>":1,"\u2581":2,"h":3,"a":4,"s":5,"ha":6,"\u2581ha":7},"merges":["h a","\u2581 ha"]}}"#;

fn main() -> Outcome {
    let folder = std::env::args_os().nth(1).ok_or("give the folder to write to")?;
    let folder = Path::new(&folder);
    let put = |target: &str, name: &str, bytes: &[u8]| -> Outcome {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    };
    let formats: [(&str, &[&str]); 15] = [
        ("x_archive", &[ARCHIVE, DELETED]),
        ("grailbird", &[MONTH]),
        ("x_v1", &[V1]),
        ("x_v2", &[V2, COMPLIANCE]),
        ("gnip", &[GNIP]),
        ("bluesky", &[BLUESKY, RECORDS]),
        ("mastodon", &[MASTODON, MASTODON_STREAM]),
        ("activitypub", &[OUTBOX]),
        ("reddit", &[REDDIT]),
        ("tables", &[TABLE, SEMICOLONS]),
        ("dialects", &[HEADERLESS, QUOTES, SWALLOWED, TABLE, SEMICOLONS]),
        ("json", &[PAGE, V2, MASTODON, PYTHON]),
        ("large_objects", &[V2, OUTBOX, OBJECT]),
        ("json_lines", &[LINES, V1]),
        ("text", &[TEXT]),
    ];
    for (target, texts) in formats {
        for (number, text) in texts.iter().enumerate() {
            put(target, &number.to_string(), text.as_bytes())?;
            put("detect", &format!("{target}-{number}"), text.as_bytes())?;
            // Records alone are what is mutated best.
            for (line, text) in text.lines().enumerate().filter(|_| text.lines().count() > 1) {
                put(target, &format!("{number}-{line}"), text.as_bytes())?;
            }
        }
    }
    let models: [(&str, [&str; 2]); 3] = [
        ("model_config", [MODEL, MODEL_WITHIN]),
        ("device_file", [DEVICE, DEVICE_JSON]),
        ("tokenizers", [TOKENIZER, PIECES]),
    ];
    for (target, texts) in models {
        for (number, text) in texts.iter().enumerate() {
            put(target, &number.to_string(), text.as_bytes())?;
        }
    }
    for (target, name, bytes) in models::seeds() {
        put(target, &name, &bytes)?;
    }
    for name in ChatTemplate::built_in_names() {
        let template = ChatTemplate::built_in(name).expect("a template of this name");
        put("chat_template", name, template.source().as_bytes())?;
    }
    for target in ["normalise", "pii", "twitter_text"] {
        for (number, text) in WORDS.iter().enumerate() {
            put(target, &number.to_string(), text.as_bytes())?;
        }
    }
    for (name, bytes) in packed(LINES.as_bytes())? {
        put("packed", name, &bytes)?;
        put("detect", name, &bytes)?;
    }
    let tar = tar_of(&packed(V1.as_bytes())?)?;
    put("stream_grab", "plain", &tar)?;
    for (name, bytes) in packed(&tar)? {
        put("stream_grab", name, &bytes)?;
    }
    for (name, method) in
        [("stored", zip::CompressionMethod::Stored), ("deflated", zip::CompressionMethod::Deflated)]
    {
        let zip = zip_of(method)?;
        put("zip", name, &zip)?;
        put("detect", &format!("zip-{name}"), &zip)?;
    }
    put("car", "posts", CAR)?;
    put("car", "unchecked", CAR_UNCHECKED)?;
    put("detect", "car", CAR)?;
    let table = folder.join("parquet").join("posts");
    let square = Square::generate(1, &SquareConfig::default())?;
    write_posts(&table, Durability::Unsynced, &square.posts[..20])?;
    write_posts(&folder.join("parquet").join("one"), Durability::Unsynced, &[Post::default()])?;
    Ok(())
}

/// The bytes by each compression.
fn packed(bytes: &[u8]) -> Result<[(&'static str, Vec<u8>); 3], Box<dyn Error>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes)?;
    let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    bzip.write_all(bytes)?;
    Ok([
        ("a.json.gz", gzip.finish()?),
        ("b.json.bz2", bzip.finish()?),
        ("c.json.zst", zstd::encode_all(bytes, 0)?),
    ])
}

fn tar_of(members: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, format!("2020/01/{name}"), bytes.as_slice())?;
    }
    Ok(tar.into_inner()?)
}

fn zip_of(method: zip::CompressionMethod) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, text) in [
        ("data/tweets.js", ARCHIVE),
        ("data/note-tweet.js", NOTES),
        ("data/deleted-tweets.js", DELETED),
        ("data/../../direct-messages.js", "window.YTD.direct_messages.part0 = [ ]"),
    ] {
        zip.start_file(name, options)?;
        zip.write_all(text.as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}
