//! Reddit: comments and submissions as its API and the Pushshift dumps hold them.
//!
//! Identifiers carry their kind (`t1_` comment, `t3_` submission), as `parent_id` and `link_id` do.

use super::record::{Found, Part, Record, first};
use crate::post::Removal;
use serde_json::Value;

/// A comment, a submission, or a listing of them.
pub(super) fn thing(value: &Value, out: &mut Vec<Found>) {
    if let Some(children) = value.pointer("/data/children").and_then(Value::as_array) {
        return children.iter().for_each(|child| thing(child, out));
    }
    let value = match (value.get("kind").and_then(Value::as_str), value.get("data")) {
        (Some("t1" | "t3"), Some(data)) => data,
        (Some(_), Some(_)) => return out.push(Found::Other),
        _ => value,
    };
    let comment = value.get("body").is_some();
    let mut record = Record::default();
    let kind = if comment { "t1_" } else { "t3_" };
    let id = first(value, &["name"]).filter(|name| name.starts_with(kind));
    let id = id.or_else(|| first(value, &["id"]).map(|id| format!("{kind}{id}")));
    let words = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").trim();
    let (title, body) = (words("title"), words(if comment { "body" } else { "selftext" }));
    record.removal = match body {
        "[deleted]" => Some(Removal::Deleted),
        "[removed]" => Some(Removal::Dropped),
        _ => None,
    };
    record.set(
        Part::Text,
        Some(match (title, body) {
            ("", body) => body.to_string(),
            (title, "") => title.to_string(),
            (title, body) => format!("{title}\n\n{body}"),
        }),
    );
    let author = first(value, &["author"]).filter(|author| author != "[deleted]");
    record.set(Part::Author, author);
    record.set(Part::AuthorId, first(value, &["author_fullname"]));
    record.set(Part::Created, first(value, &["created_utc"]).map(|time| whole_seconds(&time)));
    // `edited` is false or a time.
    let edited =
        first(value, &["edited"]).filter(|edited| edited.starts_with(|c: char| c.is_ascii_digit()));
    record.set(Part::Edited, edited.map(|time| whole_seconds(&time)));
    if comment {
        record.set(Part::Reply, first(value, &["parent_id"]));
        record.set(Part::Thread, first(value, &["link_id"]));
    } else {
        record.set(Part::Thread, id.clone());
        let crosspost = first(value, &["crosspost_parent"]);
        record.repost = crosspost.is_some();
        record.set(Part::RepostOf, crosspost);
    }
    record.set(Part::Id, id);
    out.push(Found::Post(Box::new(record)));
}

/// Listings write times as `1500000000.0`.
fn whole_seconds(time: &str) -> String {
    time.split('.').next().unwrap_or(time).to_string()
}
