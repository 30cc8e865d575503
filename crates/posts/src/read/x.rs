//! X: tweets of API v1.1 (extended, compat, retweets, quotes), pages of v2, archives, and the notices
//! of streams and of compliance.
//!
//! Sources: X API v1.1 "Tweet object" and "Streaming message types", X API v2 OpenAPI (schemas Tweet,
//! PostComplianceData, UserComplianceData), files of real archives.

use super::field_table::FieldTable;
use super::fields::Shape;
use super::gone::How;
use super::record::{Found, Part, Record, at, first};
use super::timestamp;
use crate::post::{About, Notice, Removal};
use serde_json::Value;

/// What the objects that hold a tweet's identifier call it.
const ID: &[&str] = &["id_str", "id", "tweet_id", "status_id", "tweetid", "post_id"];

/// A tweet of any version, and with `embedded` the tweets inside it.
pub(super) fn tweet(value: &Value, fields: &FieldTable, embedded: bool, out: &mut Vec<Found>) {
    let mut record = object(value, fields);
    // Lists of accounts are no posts, even where an account is withheld.
    let account = ["username", "screen_name"].iter().any(|name| value.get(name).is_some());
    if account && value.get("name").is_some() && record.get(Part::Text).is_none() {
        return out.push(Found::Other);
    }
    let original =
        REPOSTED.iter().find_map(|name| value.get(name)?.as_object().map(|_| &value[name]));
    if let Some(original) = original {
        let whole = object(original, fields);
        record.repost = true;
        record.set(Part::RepostOf, whole.get(Part::Id).map(str::to_string));
        // The retweet's own text is cut; the whole one is that of the original.
        record.set(Part::Text, whole.get(Part::Text).map(str::to_string));
    }
    out.push(Found::Post(Box::new(record)));
    earlier_versions(value, out);
    if embedded {
        for inner in REPOSTED.into_iter().chain(QUOTED) {
            if let Some(status) = value.get(inner).filter(|status| status.is_object()) {
                tweet(status, fields, embedded, out);
            }
        }
    }
}

/// Posts inside posts: X's own names, and snscrape's.
const REPOSTED: [&str; 2] = ["retweeted_status", "retweetedTweet"];
const QUOTED: [&str; 2] = ["quoted_status", "quotedTweet"];

/// The fields of one object, by all names that are usual.
fn object(value: &Value, fields: &FieldTable) -> Record {
    let mut record = fields.read(Shape::Post, value);
    // The client's name is a link; elsewhere `source` can mean anything.
    if let Some(source) = value.get("source").and_then(Value::as_str) {
        let version_2 = value.get("edit_history_tweet_ids").is_some();
        if let Some((_, rest)) = source.split_once('>').filter(|_| source.starts_with('<')) {
            let name = rest.split('<').next().unwrap_or("");
            record.fill(Part::App, Some(name.to_string()).filter(|name| !name.is_empty()));
        } else if version_2 || value.get("user").is_some_and(Value::is_object) {
            record.fill(Part::App, Some(source.to_string()).filter(|name| !name.is_empty()));
        }
    }
    let references = value.get("referenced_tweets").and_then(Value::as_array);
    record.repost_known |= references.is_some();
    for reference in references.into_iter().flatten() {
        match reference.get("type").and_then(Value::as_str) {
            Some("replied_to") => record.set(Part::Reply, first(reference, ID)),
            Some("quoted") => record.set(Part::Quote, first(reference, ID)),
            Some("retweeted") => {
                record.repost = true;
                record.set(Part::RepostOf, first(reference, ID));
                // Flattened pages hold the whole original here.
                let original = fields.read(Shape::Post, reference);
                if let Some(text) = original.get(Part::Text) {
                    record.set(Part::Text, Some(text.to_string()));
                }
            }
            _ => {}
        }
    }
    // Our own form (`stoa_posts::Post`).
    if let Some(tombstone) = value.get("tombstone").filter(|tombstone| tombstone.is_object()) {
        let removal = at(tombstone, "/removal").and_then(|name| Removal::from_name(&name));
        record.gone = None;
        record.set_gone(removal.unwrap_or_default(), How::Structure("tombstone"));
        record.set(Part::DeletedAt, at(tombstone, "/at_unix_seconds"));
    }
    record
}

/// Notices about the versions that an edit replaced.
fn earlier_versions(value: &Value, out: &mut Vec<Found>) {
    const HISTORIES: [&str; 4] = [
        "/edit_history_tweet_ids",
        "/edit_history/edit_tweet_ids",
        "/edit_info/initial/editTweetIds",
        "/edit_info/edit/editControlInitial/editTweetIds",
    ];
    let versions = HISTORIES.iter().find_map(|path| value.pointer(path)?.as_array());
    let Some((_, earlier)) = versions.and_then(|versions| versions.split_last()) else { return };
    for version in earlier.iter().filter_map(super::record::scalar) {
        out.push(Found::Notice(Notice {
            about: About::Post(version),
            removal: Removal::Edited,
            reversed: false,
            at_unix_seconds: None,
        }));
    }
}

/// A page of v2: `data`, with the people and posts of `includes`. False when the value is none.
pub(super) fn page(
    value: &Value,
    fields: &FieldTable,
    embedded: bool,
    out: &mut Vec<Found>,
) -> bool {
    let Some(data) = value.get("data") else {
        // A page without results, or with errors only.
        let empty = value.get("meta").is_some_and(|meta| meta.get("result_count").is_some());
        if empty || is_problem(value) {
            out.push(Found::Other);
            return true;
        }
        return false;
    };
    let posts: Vec<&Value> = match data {
        Value::Array(posts) => posts.iter().collect(),
        Value::Object(_) => vec![data],
        _ => return false,
    };
    let version_2 = value.get("includes").is_some()
        || data.is_object()
        || posts.iter().any(|post| post.get("edit_history_tweet_ids").is_some());
    if !version_2 {
        return false;
    }
    let people = value.pointer("/includes/users").and_then(Value::as_array);
    let included = value.pointer("/includes/tweets").and_then(Value::as_array);
    let included = included.into_iter().flatten();
    let lookup = |id: &str| included.clone().find(|post| at(post, "/id").as_deref() == Some(id));
    let start = out.len();
    for post in posts {
        if notice(post, out) {
            continue;
        }
        tweet(post, fields, false, out);
    }
    if embedded {
        included.clone().for_each(|post| tweet(post, fields, false, out));
    }
    for found in &mut out[start..] {
        let Found::Post(record) = found else { continue };
        if record.repost {
            let original = record.get(Part::RepostOf).and_then(lookup);
            let original = original.map(|original| object(original, fields));
            if let Some(text) = original.as_ref().and_then(|original| original.get(Part::Text)) {
                record.set(Part::Text, Some(text.to_string()));
            }
        }
        let person = people
            .into_iter()
            .flatten()
            .find(|person| at(person, "/id").as_deref() == record.get(Part::AuthorId));
        if let Some(person) = person.filter(|_| record.get(Part::AuthorId).is_some()) {
            record.set(Part::Author, first(person, &["username", "id"]));
            if person.get("protected").and_then(Value::as_bool) == Some(true) {
                record.set_gone(Removal::Protected, How::Field("includes.users.protected"));
            }
        }
    }
    true
}

fn is_problem(value: &Value) -> bool {
    value.get("errors").is_some_and(Value::is_array) && value.get("text").is_none()
}

/// A notice of a stream or of compliance, pushed; false when the value is none.
pub(super) fn notice(value: &Value, out: &mut Vec<Found>) -> bool {
    let Some(object) = value.as_object() else { return false };
    // Compliance jobs answer with a line for each post or account that is gone; the identifiers of
    // posts and accounts never coincide, so both are reported.
    if object.get("action").and_then(Value::as_str) == Some("delete")
        && object.contains_key("redacted_at")
    {
        let removal = match object.get("reason").and_then(Value::as_str) {
            Some("suspended") => Removal::Suspended,
            Some("protected") => Removal::Protected,
            Some("scrub_geo") => {
                out.push(Found::Other);
                return true;
            }
            _ => Removal::Deleted,
        };
        let at_unix_seconds = first(value, &["redacted_at"]).and_then(|at| timestamp::parse(&at));
        for about in [About::Post as fn(String) -> About, About::Author] {
            if let Some(id) = first(value, ID) {
                let about = about(id);
                out.push(Found::Notice(Notice {
                    about,
                    removal,
                    reversed: false,
                    at_unix_seconds,
                }));
            }
        }
        return true;
    }
    // Everything else is an object with one key, sometimes with a time as well.
    if object.len() > 2 {
        return false;
    }
    let events = object.iter().filter(|(key, _)| *key != "timestamp_ms" && *key != "event_at");
    let mut known = false;
    for (kind, body) in events {
        known |= event(kind, body, value, out);
    }
    known
}

/// One event: `kind` is its key. False when it is unknown.
fn event(kind: &str, body: &Value, whole: &Value, out: &mut Vec<Found>) -> bool {
    let (removal, reversed) = match kind {
        "delete" | "user_delete" => (Removal::Deleted, false),
        "user_undelete" => (Removal::Deleted, true),
        "status_withheld" | "withheld" | "user_withheld" => (Removal::Withheld, false),
        "drop" => (Removal::Dropped, false),
        "undrop" => (Removal::Dropped, true),
        "user_protect" => (Removal::Protected, false),
        "user_unprotect" => (Removal::Protected, true),
        "user_suspend" => (Removal::Suspended, false),
        "user_unsuspend" => (Removal::Suspended, true),
        "tweet_edit" => {
            let versions = body.get("edit_tweet_ids").and_then(Value::as_array);
            let first_version = at(body, "/initial_tweet_id");
            let latest =
                versions.and_then(|versions| versions.last()).and_then(super::record::scalar);
            let earlier = versions.into_iter().flatten().filter_map(super::record::scalar);
            let mut earlier: Vec<String> = earlier.chain(first_version).collect();
            earlier.sort();
            earlier.dedup();
            for version in earlier.into_iter().filter(|version| Some(version) != latest.as_ref()) {
                out.push(Found::Notice(Notice {
                    about: About::Post(version),
                    removal: Removal::Edited,
                    reversed: false,
                    at_unix_seconds: None,
                }));
            }
            return true;
        }
        "scrub_geo"
        | "limit"
        | "disconnect"
        | "warning"
        | "friends"
        | "friends_str"
        | "for_user"
        | "user_profile_modification"
        | "user_update"
        | "favorite"
        | "unfavorite" => {
            out.push(Found::Other);
            return true;
        }
        _ => return false,
    };
    if !body.is_object() {
        return false;
    }
    // A direct message or a like that was deleted belongs to no author's posts.
    if body.get("direct_message").is_some() || body.get("favorite").is_some() {
        out.push(Found::Other);
        return true;
    }
    let of_user = kind.starts_with("user_");
    let nested = if of_user { "user" } else { "status" };
    let holder = [nested, "tweet"].iter().find_map(|name| body.get(name)).unwrap_or(body);
    let Some(id) = first(holder, &["id_str", "id"]) else { return false };
    let time = ["/event_at", "/timestamp_ms"]
        .iter()
        .find_map(|path| at(body, path).or_else(|| at(whole, path)));
    out.push(Found::Notice(Notice {
        about: if of_user { About::Author(id) } else { About::Post(id) },
        removal,
        reversed,
        at_unix_seconds: time.and_then(|time| timestamp::parse(&time)),
    }));
    true
}
