//! Bluesky: events of Jetstream, posts as the API's views show them, and records by themselves.
//!
//! Sources: bluesky-social/jetstream (JSON of `subscribe`), lexicons `app.bsky.feed.post`,
//! `com.atproto.repo.listRecords` and `com.atproto.sync.subscribeRepos#account`, proposal 0008 (`org.user-intents.declaration`).

use super::bluesky_repo::POSTS;
use super::field_table::FieldTable;
use super::fields::Shape;
use super::gone::How;
use super::record::{Found, Part, Record, at};
use crate::post::{About, Notice, Removal};
use serde_json::Value;

/// Whether it is a view of the API: a post with its address, or a page of such.
pub(super) fn is_view(value: &Value) -> bool {
    is_shown(value)
        || value.get("post").is_some_and(is_shown)
        || value.get("feed").and_then(Value::as_array).is_some_and(|feed| {
            feed.first().is_some_and(|item| item.get("post").is_some_and(is_shown))
        })
        || value
            .get("records")
            .and_then(Value::as_array)
            .is_some_and(|records| records.first().is_some_and(is_shown))
        || value
            .get("thread")
            .is_some_and(|thread| is_stub(thread) || thread.get("post").is_some_and(is_shown))
        || is_stub(value)
}

/// A record with its address: `record` in views, `value` in lists of records.
fn is_shown(value: &Value) -> bool {
    value.get("uri").and_then(Value::as_str).is_some_and(|uri| uri.starts_with("at://"))
        && (value.get("record").is_some() || value.get("value").is_some_and(is_record))
}

/// What stands where a post was.
fn is_stub(value: &Value) -> bool {
    stub(value).is_some()
}

/// What a stub says of the post.
fn stub(value: &Value) -> Option<(Removal, &'static str)> {
    match value.get("$type")?.as_str()?.rsplit_once('#')?.1 {
        "notFoundPost" => Some((Removal::Deleted, "notFoundPost")),
        "blockedPost" => Some((Removal::Protected, "blockedPost")),
        "viewNotFound" => Some((Removal::Deleted, "viewNotFound")),
        "viewBlocked" => Some((Removal::Protected, "viewBlocked")),
        "viewDetached" => Some((Removal::Deleted, "viewDetached")),
        _ => None,
    }
}

/// Whether it is a record, or the commit of a repository.
pub(super) fn is_record(value: &Value) -> bool {
    let of_network = |kind: &str| {
        !kind.contains('#')
            && ["app.bsky.", "com.atproto.", "chat.bsky."]
                .iter()
                .any(|start| kind.starts_with(start))
    };
    value.get("$type").and_then(Value::as_str).is_some_and(of_network)
        || (value.get("did").is_some() && value.get("rev").is_some() && value.get("sig").is_some())
}

/// One event, one view, or one record.
pub(super) fn event(value: &Value, fields: &FieldTable, out: &mut Vec<Found>) {
    if is_view(value) {
        return view(value, fields, out);
    }
    if is_record(value) {
        return out.push(record(value, fields).map_or(Found::Other, Found::Post));
    }
    let Some(did) = at(value, "/did") else { return out.push(Found::Other) };
    let micros = value.get("time_us").and_then(Value::as_i64);
    let seconds = micros.map(|micros| micros.div_euclid(1_000_000));
    if let Some(active) = value.pointer("/account/active").and_then(Value::as_bool) {
        return account(&did, active, at(value, "/account/status").as_deref(), seconds, out);
    }
    let Some(commit) = value.get("commit") else { return out.push(Found::Other) };
    let operation = commit.get("operation").and_then(Value::as_str).unwrap_or("");
    let collection = commit.get("collection").and_then(Value::as_str).unwrap_or("");
    let key = commit.get("rkey").and_then(Value::as_str).unwrap_or("");
    let uri = format!("at://{did}/{collection}/{key}");
    match (collection, operation) {
        ("app.bsky.feed.post", "create" | "update") => {
            let Some(record) = commit.get("record") else { return out.push(Found::Other) };
            let mut post = post(&uri, &did, record, fields);
            // The event that makes a post is no edit.
            if let Some(seconds) = seconds.filter(|_| operation == "update") {
                post.set(Part::Edited, Some(seconds.to_string()));
            }
            out.push(Found::Post(Box::new(post)));
        }
        ("app.bsky.feed.post", "delete") => out.push(Found::Notice(Notice {
            about: About::Post(uri),
            removal: Removal::Deleted,
            reversed: false,
            at_unix_seconds: seconds,
        })),
        ("org.user-intents.declaration", _) => {
            // No declaration, or none on this use, is no refusal.
            let allowed = commit
                .pointer("/record/syntheticContentGeneration/allow")
                .and_then(Value::as_bool)
                .unwrap_or(true);
            out.push(Found::Notice(Notice {
                about: About::Author(did),
                removal: Removal::Refused,
                reversed: allowed || operation == "delete",
                at_unix_seconds: seconds,
            }));
        }
        _ => out.push(Found::Other),
    }
}

fn account(
    did: &str,
    active: bool,
    status: Option<&str>,
    at_unix_seconds: Option<i64>,
    out: &mut Vec<Found>,
) {
    let kinds: &[Removal] = match (active, status) {
        (true, _) => &[Removal::Deleted, Removal::Dropped, Removal::Suspended, Removal::Protected],
        (false, Some("takendown")) => &[Removal::Dropped],
        (false, Some("suspended")) => &[Removal::Suspended],
        (false, Some("deactivated")) => &[Removal::Protected],
        (false, _) => &[Removal::Deleted],
    };
    out.extend(kinds.iter().map(|&removal| {
        Found::Notice(Notice {
            about: About::Author(did.to_string()),
            removal,
            reversed: active,
            at_unix_seconds,
        })
    }));
}

/// A record by itself, which does not say whose it is; nothing for one that is no post.
fn record(value: &Value, fields: &FieldTable) -> Option<Box<Record>> {
    let is_post = value.get("$type").and_then(Value::as_str) == Some(POSTS);
    is_post.then(|| Box::new(post_record(value, fields)))
}

/// A record of `app.bsky.feed.post`: its text may be empty, where a picture or a card says all.
fn post_record(value: &Value, fields: &FieldTable) -> Record {
    let mut post = fields.read(Shape::Bluesky, value);
    post.fill(Part::Text, value.get("text").and_then(Value::as_str).map(str::to_string));
    post
}

/// A record of `app.bsky.feed.post` with its address.
fn post(uri: &str, did: &str, record: &Value, fields: &FieldTable) -> Record {
    let mut post = post_record(record, fields);
    post.set(Part::Id, Some(uri.to_string()));
    post.set(Part::Author, Some(did.to_string()));
    post.set(Part::AuthorId, Some(did.to_string()));
    // The thread is named by its first post, which itself answers nothing.
    post.fill(Part::Thread, Some(uri.to_string()));
    post
}

fn view(value: &Value, fields: &FieldTable, out: &mut Vec<Found>) {
    for list in ["feed", "records"] {
        if let Some(items) = value.get(list).and_then(Value::as_array) {
            return items.iter().for_each(|item| view(item, fields, out));
        }
    }
    let value = value.get("thread").unwrap_or(value);
    if let Some((removal, kind)) = stub(value) {
        let mut gone = Record::default();
        gone.set(Part::Id, at(value, "/uri"));
        gone.set_gone(removal, How::Structure(kind));
        return out.push(Found::Post(Box::new(gone)));
    }
    let shown = value.get("post").unwrap_or(value);
    let record = shown.get("record").or_else(|| shown.get("value"));
    let (Some(uri), Some(record)) = (at(shown, "/uri"), record) else {
        return out.push(Found::Other);
    };
    let kind = record.get("$type").and_then(Value::as_str).unwrap_or(POSTS);
    if kind != POSTS {
        return out.push(Found::Other);
    }
    let of_address = || uri.strip_prefix("at://").and_then(|rest| rest.split('/').next());
    let did = at(shown, "/author/did").or_else(|| of_address().map(str::to_string));
    let mut found = post(&uri, &did.unwrap_or_default(), record, fields);
    if let Some(handle) = at(shown, "/author/handle") {
        found.set(Part::Author, Some(handle));
    }
    let labels = shown.pointer("/author/labels").and_then(Value::as_array).into_iter().flatten();
    if labels.chain(shown.get("labels").and_then(Value::as_array).into_iter().flatten()).any(is_bot)
    {
        found.set(Part::Bot, Some("bot".to_string()));
    }
    if let Some(gone) = fields.read(Shape::Bluesky, shown).gone {
        found.gone.get_or_insert(gone);
    }
    out.push(Found::Post(Box::new(found)));
    // Replies of a thread view; JSON's own limit of depth bounds this.
    let replies = value.get("replies").and_then(Value::as_array);
    replies.into_iter().flatten().for_each(|reply| view(reply, fields, out));
}

/// The label by which accounts declare themselves programs.
fn is_bot(label: &Value) -> bool {
    label.get("val").and_then(Value::as_str) == Some("bot")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn notices(value: &Value) -> Vec<Notice> {
        let mut out = Vec::new();
        event(value, &FieldTable::default(), &mut out);
        out.into_iter()
            .filter_map(|found| if let Found::Notice(notice) = found { Some(notice) } else { None })
            .collect()
    }

    #[test]
    fn a_picture_without_words_is_a_post() {
        let create = json!({"did": "did:plc:a", "time_us": 1, "kind": "commit", "commit": {
            "operation": "create", "collection": "app.bsky.feed.post", "rkey": "k", "record": {
                "$type": "app.bsky.feed.post", "text": "", "createdAt": "2026-01-01T00:00:00Z",
                "embed": {"$type": "app.bsky.embed.images", "images": []}}}});
        let mut out = Vec::new();
        event(&create, &FieldTable::default(), &mut out);
        let Found::Post(post) = &out[0] else { panic!("{} found", out.len()) };
        assert_eq!(post.get(Part::Text), Some(""));
    }

    #[test]
    fn declarations_accounts_and_deletions_are_notices() {
        let declare = |allow: bool| {
            json!({"did": "did:plc:a", "time_us": 5_000_000, "kind": "commit", "commit": {
                "operation": "create", "collection": "org.user-intents.declaration", "rkey": "self",
                "record": {"syntheticContentGeneration": {"allow": allow}}}})
        };
        let refused = notices(&declare(false));
        assert_eq!((refused[0].removal, refused[0].reversed), (Removal::Refused, false));
        assert_eq!(refused[0].at_unix_seconds, Some(5));
        assert!(notices(&declare(true))[0].reversed);
        let account = json!({"did": "did:plc:a", "time_us": 1, "kind": "account",
            "account": {"active": false, "status": "suspended"}});
        assert_eq!(notices(&account)[0].removal, Removal::Suspended);
        let delete = json!({"did": "did:plc:a", "time_us": 1, "kind": "commit", "commit": {
            "operation": "delete", "collection": "app.bsky.feed.post", "rkey": "k"}});
        let about = About::Post("at://did:plc:a/app.bsky.feed.post/k".to_string());
        assert_eq!(notices(&delete)[0].about, about);
    }
}
