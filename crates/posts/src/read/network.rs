//! One JSON value to posts and notices: its fields show which network it comes from.
//!
//! It never fails: a value is posts, notices, an aside of a stream, or a reason. What the fields of a
//! network mean stands in the file of that network, and where its posts keep what in `fields`.

use super::field_table::FieldTable;
use super::fields::Shape;
use super::gone::GoneTexts;
use super::note_tweets::Note;
use super::record::{Found, Part, Record, at, first};
use super::{bluesky, fediverse, gnip, reddit, x};
use crate::error::RejectReason;
use serde_json::Value;

/// How deep holders (threads in pages in arrays) are followed.
const DEEPEST_HOLDER: usize = 16;

/// How to take values apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Shaping {
    /// Keys by part, instead of the usual names: `--map`.
    pub(super) map: Vec<(Part, String)>,
    /// Whether posts inside posts (quoted, reposted, referenced) are posts of their own.
    pub(super) embedded: bool,
    /// The network, when it is given instead of detected.
    pub(super) network: Option<Network>,
    pub(super) fields: FieldTable,
    pub(super) gone_texts: GoneTexts,
}

/// A network whose JSON is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// X: API v1.1 and v2, streams, compliance, archives.
    X,
    /// Gnip (X enterprise) activity streams.
    Gnip,
    /// Bluesky: Jetstream events, views of the API, records.
    Bluesky,
    /// Mastodon's API.
    Mastodon,
    /// ActivityPub collections and activities.
    ActivityPub,
    /// Reddit and Pushshift.
    Reddit,
}

impl Network {
    /// Tells the network of an object by fields that only it has.
    fn of(value: &Value) -> Network {
        let has = |name: &str| value.get(name).is_some();
        let is_text = |name: &str| value.get(name).is_some_and(Value::is_string);
        if (has("did") && (has("commit") || has("kind")))
            || bluesky::is_view(value)
            || bluesky::is_record(value)
        {
            Network::Bluesky
        } else if (has("objectType") && has("verb")) || (has("actor") && has("postedTime")) {
            Network::Gnip
        } else if (has("content") && has("account") && has("visibility"))
            || (is_text("event") && has("payload"))
            || (has("ancestors") && has("descendants"))
        {
            Network::Mastodon
        } else if fediverse::is_activity(value) {
            Network::ActivityPub
        } else if (has("subreddit") || has("link_id") || has("subreddit_id"))
            && (is_text("body") || is_text("title") || is_text("selftext"))
            || (is_text("kind") && value.pointer("/data/children").is_some())
        {
            Network::Reddit
        } else {
            Network::X
        }
    }
}

/// What is in a JSON value. Nothing found is a rejected record, so that the value is counted.
pub(super) fn found(value: &Value, shaping: &Shaping) -> Vec<Found> {
    let mut found = Vec::new();
    collect(value, shaping, DEEPEST_HOLDER, &mut found);
    if found.is_empty() {
        found.push(Found::Rejected(RejectReason::NoText));
    }
    found
}

fn collect(value: &Value, shaping: &Shaping, deeper: usize, out: &mut Vec<Found>) {
    let fields = &shaping.fields;
    match value {
        Value::String(text) => {
            let mut record = Record::default();
            record.set(Part::Text, Some(text.clone()));
            out.push(Found::Post(Box::new(record)));
        }
        Value::Array(values) if deeper > 0 => {
            values.iter().for_each(|value| collect(value, shaping, deeper - 1, out));
        }
        Value::Object(_) if !shaping.map.is_empty() => out.push(mapped(value, shaping)),
        Value::Object(_) => match shaping.network.unwrap_or_else(|| Network::of(value)) {
            Network::Gnip => gnip::activity(value, fields, shaping.embedded, out),
            Network::Bluesky => bluesky::event(value, fields, out),
            Network::Mastodon => fediverse::mastodon(value, fields, out),
            Network::ActivityPub => fediverse::activity(value, fields, out),
            Network::Reddit => reddit::thing(value, fields, out),
            Network::X => held_or_x(value, shaping, deeper, out),
        },
        _ => out.push(Found::Rejected(RejectReason::NoText)),
    }
}

/// Objects that hold posts (threads, pages of search results), and posts themselves.
fn held_or_x(value: &Value, shaping: &Shaping, deeper: usize, out: &mut Vec<Found>) {
    let fields = &shaping.fields;
    if x::notice(value, out) || x::page(value, fields, shaping.embedded, out) {
        return;
    }
    if let Some(note) = Note::of(value) {
        return out.push(Found::Note(Box::new(note)));
    }
    // Archives wrap each tweet; older ones do not.
    if let Some(tweet) = value.get("tweet").filter(|tweet| tweet.is_object()) {
        return x::tweet(tweet, fields, shaping.embedded, out);
    }
    let mut held_any = false;
    for holder in HOLDERS {
        let Some(held) = value.get(holder).and_then(Value::as_array).filter(|_| deeper > 0) else {
            continue;
        };
        held_any = true;
        let start = out.len();
        held.iter().for_each(|inner| collect(inner, shaping, deeper - 1, out));
        let thread = thread_of(value);
        let owner = account_of(value);
        for found in &mut out[start..] {
            if let Found::Post(record) = found {
                record.fill(Part::Thread, thread.clone());
                record.fill(Part::Author, owner.clone());
            }
        }
    }
    if !held_any {
        x::tweet(value, fields, shaping.embedded, out);
    }
}

/// Lists of posts in objects that are none; the whole texts of long posts come before what they
/// complete.
pub(super) const HOLDERS: [&str; 8] = [
    "note-tweet",
    "noteTweets",
    "tweets",
    "community-tweet",
    "statuses",
    "data",
    "posts",
    "results",
];

fn thread_of(holder: &Value) -> Option<String> {
    first(holder, &["conversation_id", "thread_id", "conversation"])
}

/// The owner of an archive that is one object.
fn account_of(holder: &Value) -> Option<String> {
    at(holder, "/account/0/account/username")
}

/// An object read by the keys the user named, and by the usual ones for the other parts.
fn mapped(value: &Value, shaping: &Shaping) -> Found {
    let mut record = shaping.fields.read(Shape::Post, value);
    for (part, key) in &shaping.map {
        let found = if key.starts_with('/') { at(value, key) } else { first(value, &[key]) };
        record.set(*part, found);
    }
    Found::Post(Box::new(record))
}
