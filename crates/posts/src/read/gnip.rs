//! Gnip (X enterprise) activity streams: posts, shares, deletions.
//!
//! Source: "Data dictionary: Enterprise, native activity streams" of X. Identifiers are the last part
//! of `tag:search.twitter.com,2005:…` and of links, so that they agree with other forms of X's data.

use super::field_table::FieldTable;
use super::fields::Shape;
use super::record::{Found, Part, at, first};
use super::{timestamp, x};
use crate::post::{About, Notice, Removal};
use serde_json::Value;

/// One activity.
pub(super) fn activity(value: &Value, fields: &FieldTable, embedded: bool, out: &mut Vec<Found>) {
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
    let mut record = fields.read(Shape::Gnip, value);
    for part in [Part::Id, Part::AuthorId, Part::Reply, Part::Quote] {
        let own = record.get(part).map(last);
        record.set(part, own);
    }
    record.repost_known = true;
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
                activity(inner, fields, embedded, out);
            } else if inner.get("text").is_some() {
                x::tweet(inner, fields, embedded, out);
            }
        }
    }
}

/// What stands after the last colon or slash.
fn last(id: &str) -> String {
    id.rsplit([':', '/']).next().unwrap_or(id).to_string()
}
