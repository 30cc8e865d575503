//! Mastodon's API and streams, and ActivityPub: public posts only, HTML to text.
//!
//! Sources: Mastodon documentation (`Status`, `Context`, streaming events), ActivityStreams 2.0
//! (`Create`, `Announce`, `Update`, `Delete`, `Tombstone`), ActivityPub section 5.6 (public addressing).

use super::field_table::FieldTable;
use super::fields::Shape;
use super::record::{Found, Part, Record, at, first, is_automated};
use super::timestamp;
use crate::error::RejectReason;
use crate::post::{About, Notice, Removal};
use serde_json::Value;

/// A status, a context, a streaming event, or a page of search results.
pub(super) fn mastodon(value: &Value, fields: &FieldTable, out: &mut Vec<Found>) {
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
                    Ok(status) => mastodon(&status, fields, out),
                    Err(error) => {
                        out.push(Found::Rejected(RejectReason::WrongJson(error.to_string())))
                    }
                }
            }
            ("update" | "status.update", status) => mastodon(status, fields, out),
            _ => out.push(Found::Other),
        }
        return;
    }
    if let (Some(before), Some(after)) = (value.get("ancestors"), value.get("descendants")) {
        let both = [before, after].into_iter().filter_map(Value::as_array).flatten();
        return both.for_each(|status| mastodon(status, fields, out));
    }
    status(value, fields, out);
}

/// Statuses of one server share a space of numbers, which is not X's.
fn mastodon_id(id: &str) -> String {
    format!("mastodon:{id}")
}

fn status(value: &Value, fields: &FieldTable, out: &mut Vec<Found>) {
    let visibility = value.get("visibility").and_then(Value::as_str).unwrap_or("public");
    if !matches!(visibility, "public" | "unlisted") {
        return out.push(Found::Rejected(RejectReason::NotPublic));
    }
    let mut record = shown(value, fields);
    record.repost_known = true;
    for part in [Part::Id, Part::Reply, Part::Quote] {
        let own = record.get(part).map(mastodon_id);
        record.set(part, own);
    }
    let original = value.get("reblog").filter(|status| status.is_object());
    if let Some(original) = original {
        record.repost = true;
        let whole = shown(original, fields);
        record.set(Part::RepostOf, whole.get(Part::Id).map(mastodon_id));
        for part in [Part::Warning, Part::Text] {
            record.set(part, whole.get(part).map(str::to_string));
        }
    }
    out.push(Found::Post(Box::new(record)));
}

/// The parts of a status, its words as text with the options of a poll and what its pictures show.
fn shown(value: &Value, fields: &FieldTable) -> Record {
    let mut record = fields.read(Shape::Mastodon, value);
    let mut words = value.get("content").and_then(Value::as_str).map(plain);
    let mentioned = list(value, "/mentions").filter_map(|mention| at(mention, "/acct"));
    let options = list(value, "/poll/options").filter_map(|option| at(option, "/title"));
    let pictures = list(value, "/media_attachments").filter_map(|media| at(media, "/description"));
    if let Some(words) = &mut words {
        name_servers(words, mentioned);
        add_options(words, options);
        add_pictures(words, pictures);
    }
    record.set(Part::Text, words);
    record
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Puts the server to a mention, which is shown without: `@ann` becomes `@ann@example.org`, when one
/// account of this name is mentioned.
fn name_servers(text: &mut String, accounts: impl Iterator<Item = String>) {
    let accounts: Vec<String> = accounts.collect();
    for account in &accounts {
        let account = account.trim_start_matches('@');
        let Some((name, server)) = account.split_once('@') else { continue };
        let alike = |other: &&String| other.trim_start_matches('@').split('@').next() == Some(name);
        if name.is_empty() || server.is_empty() || accounts.iter().filter(alike).count() > 1 {
            continue;
        }
        let shown = format!("@{name}");
        let mut named = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&shown) {
            let end = at + shown.len();
            named.push_str(&rest[..end]);
            let before = rest[..at].chars().next_back();
            let after = rest[end..].chars().next();
            let joins = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '@');
            if !before.is_some_and(joins) && !after.is_some_and(joins) {
                named.push('@');
                named.push_str(server);
            }
            rest = &rest[end..];
        }
        named.push_str(rest);
        *text = named;
    }
}

fn add_options(text: &mut String, options: impl Iterator<Item = String>) {
    for (index, option) in options.enumerate() {
        text.push_str(if index == 0 && !text.is_empty() {
            "\n\n- "
        } else if index == 0 {
            "- "
        } else {
            "\n- "
        });
        text.push_str(option.trim());
    }
}

/// What pictures show, each in brackets, so that it is not taken for what the author wrote.
fn add_pictures(text: &mut String, pictures: impl Iterator<Item = String>) {
    for picture in pictures {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push('[');
        text.push_str(picture.trim());
        text.push(']');
    }
}

const ACTIVITIES: [&str; 6] = ["Create", "Announce", "Update", "Delete", "Undo", "Like"];

/// Whether it is an activity, an object or a collection of ActivityStreams.
pub(super) fn is_activity(value: &Value) -> bool {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("");
    value.get("orderedItems").is_some()
        || (ACTIVITIES.contains(&kind) && value.get("object").is_some())
        || (is_object(kind) && (value.get("attributedTo").is_some() || kind == "Tombstone"))
        || (value.get("@context").is_some() && !kind.is_empty())
        || (is_actor(kind) && value.get("preferredUsername").is_some())
}

/// Kinds of accounts (ActivityStreams 2.0, "Actor types").
fn is_actor(kind: &str) -> bool {
    matches!(kind, "Person" | "Service" | "Application" | "Organization" | "Group")
}

fn is_object(kind: &str) -> bool {
    matches!(kind, "Note" | "Article" | "Question" | "Page" | "Tombstone")
}

/// One activity, object or collection.
pub(super) fn activity(value: &Value, fields: &FieldTable, out: &mut Vec<Found>) {
    for items in ["orderedItems", "items"] {
        if let Some(items) = value.get(items).and_then(Value::as_array) {
            return items.iter().for_each(|item| activity(item, fields, out));
        }
    }
    if let Some(page) = value.get("first").filter(|page| page.is_object()) {
        return activity(page, fields, out);
    }
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("");
    let object = value.get("object");
    match (kind, object) {
        ("Create" | "Update", Some(object)) if object.is_object() => {
            let before = out.len();
            note(object, fields, out);
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
            let words = object.get("content").and_then(Value::as_str).map(plain);
            record.set(Part::Text, Some(words.unwrap_or_default()));
            out.push(Found::Post(Box::new(record)));
        }
        ("Tombstone", _) => {
            let time = at(value, "/deleted").and_then(|time| timestamp::parse(&time));
            out.push(first(value, &["id"]).map_or(Found::Other, |id| removed(id, time)));
        }
        (kind, _) if is_object(kind) => note(value, fields, out),
        (kind, _) if is_actor(kind) && is_automated(kind) => {
            out.push(first(value, &["id"]).map_or(Found::Other, Found::Bot));
        }
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
fn note(value: &Value, fields: &FieldTable, out: &mut Vec<Found>) {
    let addressed = |field: &str| match value.get(field) {
        Some(Value::String(one)) => is_public(one),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).any(is_public),
        _ => false,
    };
    let stated = value.get("to").is_some() || value.get("cc").is_some();
    if stated && !addressed("to") && !addressed("cc") {
        return out.push(Found::Rejected(RejectReason::NotPublic));
    }
    let mut record = fields.read(Shape::ActivityPub, value);
    record.repost_known = true;
    let languages = value.get("contentMap").and_then(Value::as_object);
    let language = languages.filter(|map| map.len() == 1).and_then(|map| map.keys().next());
    record.set(Part::Language, language.cloned());
    let warning = record.get(Part::Warning).map(plain);
    record.set(Part::Warning, warning);
    let mut words = value.get("content").and_then(Value::as_str).map(plain);
    let mentions = list(value, "/tag").filter(|tag| at(tag, "/type").as_deref() == Some("Mention"));
    let options = ["/oneOf", "/anyOf"].into_iter().flat_map(|kind| list(value, kind));
    if let Some(words) = &mut words {
        name_servers(words, mentions.filter_map(|mention| at(mention, "/name")));
        add_options(words, options.filter_map(|option| at(option, "/name")));
        add_pictures(words, list(value, "/attachment").filter_map(|file| at(file, "/name")));
    }
    record.set(Part::Text, words);
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
            rest = "";
            break;
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
    // HTML escapes once, and `clean_text` undoes two times.
    text.trim().replace("&amp;", "&amp;amp;")
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
