//! Gnip (X enterprise) activity streams: posts, shares, deletions.
//!
//! Source: "Data dictionary: Enterprise, native activity streams" of X. Identifiers are the last part
//! of `tag:search.twitter.com,2005:…` and of links, so that they agree with other forms of X's data.

use super::record::{Found, Part, Record, at, first};
use super::{timestamp, x};
use crate::post::{About, Notice, Removal};
use serde_json::Value;

/// One activity.
pub(super) fn activity(value: &Value, embedded: bool, out: &mut Vec<Found>) {
    let verb = value.get("verb").and_then(Value::as_str).unwrap_or("post");
    match verb {
        "post" | "share" => {}
        "delete" => {
            let gone = ["/object/id", "/id"].iter().find_map(|path| at(value, path));
            let time = first(value, &["postedTime", "updated"]);
            out.push(match gone {
                Some(gone) => Found::Notice(Notice {
                    about: About::Post(last(&gone)),
                    removal: Removal::Deleted,
                    reversed: false,
                    at_unix_seconds: time.and_then(|time| timestamp::parse(&time)),
                }),
                None => Found::Other,
            });
            return;
        }
        _ => return out.push(Found::Other),
    }
    if value.get("body").is_none() && value.get("object").is_none() {
        // `info` lines at the end of a download.
        return out.push(Found::Other);
    }
    let mut record = Record::default();
    record.set(Part::Id, at(value, "/id").map(|id| last(&id)));
    let texts = ["/long_object/body", "/body", "/object/summary"];
    record.set(Part::Text, texts.iter().find_map(|path| at(value, path)));
    record.set(Part::Author, at(value, "/actor/preferredUsername"));
    record.set(Part::AuthorId, at(value, "/actor/id").map(|id| last(&id)));
    record.set(Part::Created, first(value, &["postedTime"]));
    let reply = ["/inReplyTo/link", "/inReplyTo/href"].iter().find_map(|path| at(value, path));
    record.set(Part::Reply, reply.map(|link| last(&link)));
    let quoted = ["/twitter_quoted_status/id"].iter().find_map(|path| at(value, path));
    record.set(Part::Quote, quoted.map(|id| last(&id)));
    record.set(Part::App, at(value, "/generator/displayName"));
    let languages = ["/twitter_lang", "/gnip/language/value", "/language"];
    record.set(Part::Language, languages.iter().find_map(|path| at(value, path)));
    if verb == "share" {
        record.repost = true;
        record.set(Part::RepostOf, at(value, "/object/id").map(|id| last(&id)));
        let whole = ["/object/long_object/body", "/object/body"];
        if let Some(text) = whole.iter().find_map(|path| at(value, path)) {
            record.set(Part::Text, Some(text));
        }
    }
    out.push(Found::Post(Box::new(record)));
    if embedded {
        let original = value.get("object").filter(|_| verb == "share");
        for inner in [original, value.get("twitter_quoted_status")].into_iter().flatten() {
            if inner.get("verb").is_some() {
                activity(inner, embedded, out);
            } else if inner.get("text").is_some() {
                x::tweet(inner, embedded, out);
            }
        }
    }
}

/// What stands after the last colon or slash.
fn last(id: &str) -> String {
    id.rsplit([':', '/']).next().unwrap_or(id).to_string()
}
