//! Reddit: comments and submissions as its API, the Pushshift and Arctic Shift dumps and PRAW hold them.
//!
//! Identifiers carry their kind (`t1_` comment, `t3_` submission), as `parent_id` and `link_id` do.

use super::field_table::FieldTable;
use super::fields::Shape;
use super::record::{Found, Part, Record};
use serde_json::Value;

/// A comment, a submission, or a listing of them.
pub(super) fn thing(value: &Value, fields: &FieldTable, out: &mut Vec<Found>) {
    if let Some(children) = value.pointer("/data/children").and_then(Value::as_array) {
        return children.iter().for_each(|child| thing(child, fields, out));
    }
    let value = match (value.get("kind").and_then(Value::as_str), value.get("data")) {
        (Some("t1" | "t3"), Some(data)) => data,
        (Some(_), Some(_)) => return out.push(Found::Other),
        _ => value,
    };
    let mut record = fields.read(Shape::Reddit, value);
    let comment = value.get("body").is_some() && record.get(Part::Title).is_none();
    finish(&mut record, comment, |name| value.get(name).and_then(Value::as_str));
    out.push(Found::Post(Box::new(record)));
}

/// Makes the parts of a record what they are on Reddit; `field` gives a field by its name.
pub(super) fn finish<'f>(
    record: &mut Record,
    comment: bool,
    field: impl Fn(&str) -> Option<&'f str>,
) {
    let kind = if comment { "t1_" } else { "t3_" };
    // What is named is not always a comment or submission.
    let id =
        [field("name").filter(|name| name.starts_with(kind)), field("id"), record.get(Part::Id)];
    let id = id
        .into_iter()
        .flatten()
        .find(|id| !id.is_empty())
        .map(|id| if id.starts_with(kind) { id.to_string() } else { format!("{kind}{id}") });
    let edited = record.get(Part::Edited);
    // `edited` is false or a time.
    let edited = edited.filter(|edited| edited.starts_with(|c: char| c.is_ascii_digit()));
    let edited = edited.map(whole_seconds);
    record.set(Part::Edited, edited);
    let created = record.get(Part::Created).map(whole_seconds);
    record.set(Part::Created, created);
    record.repost_known = true;
    if comment {
        record.set(Part::Title, None);
        record.set(Part::RepostOf, None);
    } else {
        record.repost = record.get(Part::RepostOf).is_some();
        record.set(Part::Reply, None);
        record.set(Part::Thread, id.clone());
    }
    record.set(Part::Id, id);
}

/// Listings write times as `1500000000.0`.
fn whole_seconds(time: &str) -> String {
    time.split_once('.')
        .filter(|(whole, _)| whole.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(time, |(whole, _)| whole)
        .to_string()
}
