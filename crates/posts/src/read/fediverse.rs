//! Mastodon's API and streams, and ActivityPub: public posts only, HTML to text.
//!
//! Sources: Mastodon documentation (`Status`, `Context`, streaming events), ActivityStreams 2.0
//! (`Create`, `Announce`, `Update`, `Delete`, `Tombstone`), ActivityPub section 5.6 (public addressing).

use super::record::{Found, Part, Record, at, first};
use super::timestamp;
use crate::error::RejectReason;
use crate::post::{About, Notice, Removal};
use serde_json::Value;

/// A status, a context, a streaming event, or a page of search results.
pub(super) fn mastodon(value: &Value, out: &mut Vec<Found>) {
    if let (Some(event), Some(payload)) =
        (value.get("event").and_then(Value::as_str), value.get("payload"))
    {
        // The payload of a stream is JSON in a string; that of a deletion is the identifier.
        match (event, payload) {
            ("delete", id) => {
                let id = super::record::scalar(id).unwrap_or_default();
                out.push(removed(mastodon_id(&id), None));
            }
            ("update" | "status.update", Value::String(text)) => {
                match serde_json::from_str::<Value>(text) {
                    Ok(status) => mastodon(&status, out),
                    Err(error) => {
                        out.push(Found::Rejected(RejectReason::WrongJson(error.to_string())))
                    }
                }
            }
            ("update" | "status.update", status) => mastodon(status, out),
            _ => out.push(Found::Other),
        }
        return;
    }
    if let (Some(before), Some(after)) = (value.get("ancestors"), value.get("descendants")) {
        let both = [before, after].into_iter().filter_map(Value::as_array).flatten();
        return both.for_each(|status| mastodon(status, out));
    }
    status(value, out);
}

/// Statuses of one server share a space of numbers, which is not X's.
fn mastodon_id(id: &str) -> String {
    format!("mastodon:{id}")
}

fn status(value: &Value, out: &mut Vec<Found>) {
    let visibility = value.get("visibility").and_then(Value::as_str).unwrap_or("public");
    if !matches!(visibility, "public" | "unlisted") {
        return out.push(Found::Rejected(RejectReason::NotPublic));
    }
    let mut record = Record::default();
    record.set(Part::Id, first(value, &["id"]).map(|id| mastodon_id(&id)));
    record.set(Part::Author, at(value, "/account/acct"));
    record.set(Part::AuthorId, at(value, "/account/url").or_else(|| at(value, "/account/id")));
    record.set(Part::Bot, at(value, "/account/bot"));
    record.set(Part::Created, first(value, &["created_at"]));
    record.set(Part::Edited, first(value, &["edited_at"]));
    record.set(Part::Reply, first(value, &["in_reply_to_id"]).map(|id| mastodon_id(&id)));
    record.set(Part::Language, first(value, &["language"]));
    record.set(Part::App, at(value, "/application/name"));
    let quoted = ["/quote/quoted_status/id", "/quote/id"].iter().find_map(|path| at(value, path));
    record.set(Part::Quote, quoted.map(|id| mastodon_id(&id)));
    record.set(Part::Text, text_of(value));
    if value.pointer("/account/suspended").and_then(Value::as_bool) == Some(true) {
        record.removal = Some(Removal::Suspended);
    }
    let original = value.get("reblog").filter(|status| status.is_object());
    if let Some(original) = original {
        record.repost = true;
        record.set(Part::RepostOf, first(original, &["id"]).map(|id| mastodon_id(&id)));
        record.set(Part::Text, text_of(original));
    }
    out.push(Found::Post(Box::new(record)));
}

/// The warning before a status, if any, then its words.
fn text_of(value: &Value) -> Option<String> {
    let words = value.get("content").and_then(Value::as_str).map(plain);
    let warning = value.get("spoiler_text").and_then(Value::as_str).unwrap_or("").trim();
    let words = words?;
    Some(if warning.is_empty() { words } else { format!("{warning}\n\n{words}") })
}

const ACTIVITIES: [&str; 6] = ["Create", "Announce", "Update", "Delete", "Undo", "Like"];

/// Whether it is an activity, an object or a collection of ActivityStreams.
pub(super) fn is_activity(value: &Value) -> bool {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("");
    value.get("orderedItems").is_some()
        || (ACTIVITIES.contains(&kind) && value.get("object").is_some())
        || (is_object(kind) && (value.get("attributedTo").is_some() || kind == "Tombstone"))
        || (value.get("@context").is_some() && !kind.is_empty())
}

fn is_object(kind: &str) -> bool {
    matches!(kind, "Note" | "Article" | "Question" | "Page" | "Tombstone")
}

/// One activity, object or collection.
pub(super) fn activity(value: &Value, out: &mut Vec<Found>) {
    for items in ["orderedItems", "items"] {
        if let Some(items) = value.get(items).and_then(Value::as_array) {
            return items.iter().for_each(|item| activity(item, out));
        }
    }
    if let Some(page) = value.get("first").filter(|page| page.is_object()) {
        return activity(page, out);
    }
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("");
    let object = value.get("object");
    match (kind, object) {
        ("Create" | "Update", Some(object)) if object.is_object() => {
            let before = out.len();
            note(object, out);
            let updated =
                (kind == "Update").then(|| first(value, &["updated", "published"])).flatten();
            for found in &mut out[before..] {
                if let Found::Post(record) = found {
                    record.fill(Part::Author, first(value, &["actor"]));
                    record.fill(Part::Edited, updated.clone());
                }
            }
        }
        ("Delete", Some(object)) => {
            let id = super::record::scalar(object).or_else(|| first(object, &["id"]));
            let time = first(value, &["published", "updated"]).or_else(|| at(object, "/deleted"));
            let actor = first(value, &["actor"]);
            out.push(match id {
                // An account that deletes itself names itself.
                Some(id) if Some(&id) == actor.as_ref() => Found::Notice(Notice {
                    about: About::Author(id),
                    removal: Removal::Deleted,
                    reversed: false,
                    at_unix_seconds: time.and_then(|time| timestamp::parse(&time)),
                }),
                Some(id) => removed(id, time.and_then(|time| timestamp::parse(&time))),
                None => Found::Other,
            });
        }
        ("Announce", Some(object)) => {
            let mut record = Record::default();
            record.repost = true;
            record.set(Part::Id, first(value, &["id"]));
            record.set(Part::Author, first(value, &["actor"]));
            record.set(Part::Created, first(value, &["published"]));
            let original = super::record::scalar(object).or_else(|| first(object, &["id"]));
            record.set(Part::RepostOf, original);
            // An announcement has no words of its own.
            record.set(Part::Text, Some(text_of(object).unwrap_or_default()));
            out.push(Found::Post(Box::new(record)));
        }
        ("Tombstone", _) => {
            let time = at(value, "/deleted").and_then(|time| timestamp::parse(&time));
            out.push(first(value, &["id"]).map_or(Found::Other, |id| removed(id, time)));
        }
        (kind, _) if is_object(kind) => note(value, out),
        _ => out.push(Found::Other),
    }
}

fn removed(id: String, at_unix_seconds: Option<i64>) -> Found {
    Found::Notice(Notice {
        about: About::Post(id),
        removal: Removal::Deleted,
        reversed: false,
        at_unix_seconds,
    })
}

/// An object with words. What is not addressed to the public is not read.
fn note(value: &Value, out: &mut Vec<Found>) {
    let addressed = |field: &str| match value.get(field) {
        Some(Value::String(one)) => is_public(one),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).any(is_public),
        _ => false,
    };
    let stated = value.get("to").is_some() || value.get("cc").is_some();
    if stated && !addressed("to") && !addressed("cc") {
        return out.push(Found::Rejected(RejectReason::NotPublic));
    }
    let mut record = Record::default();
    record.set(Part::Id, first(value, &["id"]));
    record.set(Part::Author, first(value, &["attributedTo"]));
    record.set(Part::Created, first(value, &["published"]));
    record.set(Part::Edited, first(value, &["updated"]));
    record.set(Part::Reply, first(value, &["inReplyTo"]));
    record.set(Part::Thread, first(value, &["conversation", "context"]));
    record.set(Part::Quote, first(value, &["quoteUrl", "quoteUri", "quote"]));
    let languages = value.get("contentMap").and_then(Value::as_object);
    let language = languages.filter(|map| map.len() == 1).and_then(|map| map.keys().next());
    record.set(Part::Language, language.cloned());
    let words = value.get("content").and_then(Value::as_str).map(plain);
    let warning = value.get("summary").and_then(Value::as_str).map(plain).unwrap_or_default();
    let title = value.get("name").and_then(Value::as_str).unwrap_or("");
    let text = words.map(|words| {
        let parts = [title, warning.trim(), &words];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("\n\n")
    });
    record.set(Part::Text, text);
    out.push(Found::Post(Box::new(record)));
}

fn is_public(address: &str) -> bool {
    // The three spellings that ActivityPub section 5.6 names.
    matches!(address, "https://www.w3.org/ns/activitystreams#Public" | "as:Public" | "Public")
}

/// HTML as these networks send it, to text: breaks and paragraphs become line ends, other tags go.
/// Entities stay; `clean_text` undoes them.
fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('>') else {
            // A bracket that opens no tag.
            text.push_str(&rest[open..]);
            return text.trim().to_string();
        };
        let tag = rest[open + 1..open + close].trim_start_matches('/').to_ascii_lowercase();
        let name = tag.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or("");
        let closing = rest[open + 1..].starts_with('/');
        match name {
            "br" => text.push('\n'),
            "p" | "div" | "blockquote" | "ul" | "ol" | "pre" if closing => text.push_str("\n\n"),
            "li" if closing => text.push('\n'),
            _ => {}
        }
        rest = &rest[open + close + 1..];
    }
    text.push_str(rest);
    text.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_text() {
        let html = "<p>One<br>two &lt;3</p><p>see <a href=\"https://e.example/a\"><span \
                    class=\"invisible\">https://</span><span>e.example/a</span></a></p>";
        assert_eq!(plain(html), "One\ntwo &lt;3\n\nsee https://e.example/a");
        assert_eq!(plain("a < b"), "a < b");
        assert_eq!(plain("<ul><li>x</li><li>y</li></ul>"), "x\ny");
    }
}
