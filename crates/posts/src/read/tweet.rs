//! One JSON value to posts: X API v1.1 and v2, archive wrappers, thread files, and plain records.
//!
//! It looks fields up by the names sources use and never fails: a value is posts, or a reason.

use super::moment;
use super::wording::clean;
use crate::error::RejectReason;
use crate::language::guess;
use crate::post::{Consent, Language, Origin, Post, Tombstone};
use serde_json::Value;

/// The fields a text can stand in, in order of trust (whole texts before cut ones).
const TEXT: &[&str] = &["full_text", "text", "content", "body", "tweet", "message", "fullText"];
const ID: &[&str] = &["id_str", "id", "tweet_id", "status_id", "tweetid", "post_id"];
const AUTHOR: &[&str] =
    &["author", "screen_name", "username", "user", "author_id", "handle", "user_id", "name"];
const CREATED: &[&str] = &[
    "created_at",
    "createdAt",
    "date",
    "time",
    "timestamp",
    "publish_date",
    "published",
    "created",
];
const REPLY: &[&str] = &[
    "in_reply_to_status_id_str",
    "in_reply_to_status_id",
    "in_reply_to_status_status_id",
    "in_reply_to_id",
    "in_reply_to",
    "reply_to",
    "parent_id",
];
const THREAD: &[&str] = &["conversation_id", "thread_id", "conversation"];
const LANGUAGE: &[&str] = &["lang", "language"];
const REPOST: &[&str] = &["is_retweet", "retweet", "is_repost"];
const CONSENT: &[&str] = &["consent"];
const DELETED: &[&str] = &["deleted", "withheld_copyright"];
const DELETED_AT: &[&str] = &["deleted_at", "tombstoned_at"];

/// Where tables and objects keep each part of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    Id,
    Author,
    Created,
    Reply,
    Thread,
    Language,
    Repost,
    Consent,
    Deleted,
    DeletedAt,
}

impl Part {
    pub(super) const ALL: [Part; 11] = [
        Part::Text,
        Part::Id,
        Part::Author,
        Part::Created,
        Part::Reply,
        Part::Thread,
        Part::Language,
        Part::Repost,
        Part::Consent,
        Part::Deleted,
        Part::DeletedAt,
    ];

    /// The names of the part, most trusted first.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Part::Text => TEXT,
            Part::Id => ID,
            Part::Author => AUTHOR,
            Part::Created => CREATED,
            Part::Reply => REPLY,
            Part::Thread => THREAD,
            Part::Language => LANGUAGE,
            Part::Repost => REPOST,
            Part::Consent => CONSENT,
            Part::Deleted => DELETED,
            Part::DeletedAt => DELETED_AT,
        }
    }
}

/// A record before it is judged: what the source wrote, part by part.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) parts: [Option<String>; Part::ALL.len()],
    /// Set when the structure of the source says so, whatever the fields are.
    pub(super) repost: bool,
    pub(super) withheld: bool,
}

impl Record {
    pub(super) fn get(&self, part: Part) -> Option<&str> {
        self.parts[part as usize].as_deref()
    }

    pub(super) fn set(&mut self, part: Part, value: Option<String>) {
        self.parts[part as usize] = value;
    }

    /// Judges the record.
    pub(super) fn into_post(self, origin: Origin) -> Result<Post, RejectReason> {
        let flag = |part| self.get(part).is_some_and(is_true);
        let deleted = flag(Part::Deleted) || self.get(Part::DeletedAt).is_some() || self.withheld;
        let id = self
            .get(Part::Id)
            .map_or_else(|| format!("{}#{}", origin.source, origin.record), str::to_string);
        let text = clean(self.get(Part::Text).unwrap_or(""));
        if text.is_empty() && !deleted {
            return Err(RejectReason::NoText);
        }
        // Old archives mark a retweet by nothing else than how the text starts.
        let repost = self.repost || flag(Part::Repost) || text.starts_with("RT @");
        if repost && !deleted {
            return Err(RejectReason::Repost);
        }
        let language = match self.get(Part::Language).map(Language::from_code) {
            None => guess(&text),
            Some(stated) => stated,
        };
        let tombstone = deleted.then(|| Tombstone {
            at_unix_seconds: self.get(Part::DeletedAt).and_then(moment::parse),
        });
        Ok(Post {
            id,
            author: self.get(Part::Author).unwrap_or("").trim_start_matches('@').to_string(),
            // The words of a deleted post are not carried any further.
            text: if deleted { String::new() } else { text },
            created_at_unix_seconds: self.get(Part::Created).and_then(moment::parse),
            in_reply_to: self.get(Part::Reply).map(str::to_string),
            conversation: self.get(Part::Thread).map(str::to_string),
            language,
            consent: match self.get(Part::Consent) {
                None => Consent::Unstated,
                Some(word) if is_true(word) || word.eq_ignore_ascii_case("granted") => {
                    Consent::Granted
                }
                Some(word) if word.eq_ignore_ascii_case("unstated") => Consent::Unstated,
                // Any other word in a consent field is not agreement.
                Some(_) => Consent::Refused,
            },
            tombstone,
            repost,
            origin,
        })
    }
}

fn is_true(word: &str) -> bool {
    word == "1" || word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("yes")
}

/// The records in a JSON value: itself, or those it holds. Nothing found gives one empty record, so
/// that the value is rejected with a reason and counted.
pub(super) fn records(value: &Value) -> Vec<Record> {
    let mut records = Vec::new();
    collect(value, &mut records);
    if records.is_empty() {
        records.push(Record::default());
    }
    records
}

fn collect(value: &Value, records: &mut Vec<Record>) {
    if let Some(text) = value.as_str() {
        let mut record = Record::default();
        record.set(Part::Text, Some(text.to_string()));
        records.push(record);
        return;
    }
    // A stream's notice of deletion: a tombstone for a post that may stand elsewhere.
    if let Some(deleted) = value.pointer("/delete/status") {
        let mut record = Record::default();
        record.set(Part::Id, first(deleted, ID));
        record.set(Part::Deleted, Some("true".to_string()));
        records.push(record);
        return;
    }
    // Archives wrap each tweet; older ones do not.
    if let Some(tweet) = value.get("tweet").filter(|tweet| tweet.is_object()) {
        return collect(tweet, records);
    }
    for holder in ["tweets", "statuses", "data", "posts"] {
        if let Some(held) = value.get(holder).and_then(Value::as_array) {
            let thread = first(value, THREAD);
            let start = records.len();
            held.iter().for_each(|inner| collect(inner, records));
            for record in &mut records[start..] {
                if record.get(Part::Thread).is_none() {
                    record.set(Part::Thread, thread.clone());
                }
            }
            return;
        }
    }
    if let Some(held) = value.get("data").filter(|held| held.is_object()) {
        return collect(held, records);
    }
    records.push(object(value));
}

fn object(value: &Value) -> Record {
    let mut record = Record::default();
    for part in Part::ALL {
        record.set(part, first(value, part.names()));
    }
    // Whole texts of long posts stand apart from the cut ones.
    let whole = ["/note_tweet/text", "/noteTweet/core/text", "/extended_tweet/full_text"];
    if let Some(text) = whole.iter().find_map(|path| value.pointer(path)?.as_str()) {
        record.set(Part::Text, Some(text.to_string()));
    }
    for person in ["user", "author"] {
        if let Some(person) = value.get(person).filter(|person| person.is_object()) {
            record
                .set(Part::Author, first(person, &["screen_name", "username", "handle", "id_str"]));
            record.withheld |= person.get("protected").and_then(Value::as_bool) == Some(true);
        }
    }
    let references = value.get("referenced_tweets").and_then(Value::as_array);
    for reference in references.into_iter().flatten() {
        match reference.get("type").and_then(Value::as_str) {
            Some("replied_to") => record.set(Part::Reply, first(reference, ID)),
            Some("retweeted") => record.repost = true,
            _ => {}
        }
    }
    record.repost |= value.get("retweeted_status").is_some_and(Value::is_object);
    record
}

/// The first of the fields that holds a string, number or truth value worth having.
fn first(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match value.get(name)? {
        Value::String(text) if !is_absent(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    })
}

/// Whether a field says that there is nothing: empty, or the `NA` and `null` of exports.
pub(super) fn is_absent(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text == "NA" || text == "null" || text == "None" || text == "nan"
}
