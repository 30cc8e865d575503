//! Bluesky: events of Jetstream, and posts as the API's views show them.
//!
//! Sources: bluesky-social/jetstream (JSON of `subscribe`), lexicons `app.bsky.feed.post` and
//! `com.atproto.sync.subscribeRepos#account`, proposal 0008 (`org.user-intents.declaration`).

use super::record::{Found, Part, Record, at};
use crate::post::{About, Notice, Removal};
use serde_json::Value;

/// Whether it is a view of the API: a post with its address, or a page of such.
pub(super) fn is_view(value: &Value) -> bool {
    let post = |value: &Value| {
        value.pointer("/uri").and_then(Value::as_str).is_some_and(|uri| uri.starts_with("at://"))
            && value.get("record").is_some()
    };
    post(value)
        || value.get("post").is_some_and(post)
        || value
            .get("feed")
            .and_then(Value::as_array)
            .is_some_and(|feed| feed.first().is_some_and(|item| item.get("post").is_some_and(post)))
        || value.get("thread").and_then(|thread| thread.get("post")).is_some_and(post)
}

/// One event, or one view.
pub(super) fn event(value: &Value, out: &mut Vec<Found>) {
    if is_view(value) {
        return view(value, out);
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
            let mut post = post(&uri, &did, record);
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

/// A record of `app.bsky.feed.post`.
fn post(uri: &str, did: &str, record: &Value) -> Record {
    let mut post = Record::default();
    post.set(Part::Id, Some(uri.to_string()));
    post.set(Part::Author, Some(did.to_string()));
    post.set(Part::AuthorId, Some(did.to_string()));
    post.set(Part::Text, record.get("text").and_then(Value::as_str).map(str::to_string));
    post.set(Part::Created, at(record, "/createdAt"));
    post.set(Part::Reply, at(record, "/reply/parent/uri"));
    // The thread is named by its first post, which itself answers nothing.
    post.set(Part::Thread, at(record, "/reply/root/uri").or_else(|| Some(uri.to_string())));
    let quoted = ["/embed/record/uri", "/embed/record/record/uri"];
    post.set(Part::Quote, quoted.iter().find_map(|path| at(record, path)));
    post.set(Part::Language, at(record, "/langs/0"));
    post
}

fn view(value: &Value, out: &mut Vec<Found>) {
    if let Some(feed) = value.get("feed").and_then(Value::as_array) {
        return feed.iter().for_each(|item| view(item, out));
    }
    let value = value.get("thread").unwrap_or(value);
    let shown = value.get("post").unwrap_or(value);
    let (Some(uri), Some(record)) = (at(shown, "/uri"), shown.get("record")) else {
        return out.push(Found::Other);
    };
    let did = at(shown, "/author/did").unwrap_or_default();
    let mut found = post(&uri, &did, record);
    if let Some(handle) = at(shown, "/author/handle") {
        found.set(Part::Author, Some(handle));
    }
    out.push(Found::Post(Box::new(found)));
    // Replies of a thread view; JSON's own limit of depth bounds this.
    let replies = value.get("replies").and_then(Value::as_array);
    replies.into_iter().flatten().for_each(|reply| view(reply, out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn notices(value: &Value) -> Vec<Notice> {
        let mut out = Vec::new();
        event(value, &mut out);
        out.into_iter()
            .filter_map(|found| if let Found::Notice(notice) = found { Some(notice) } else { None })
            .collect()
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
