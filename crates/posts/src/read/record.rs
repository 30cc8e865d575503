//! A record before it is judged: what the source wrote, part by part, and what becomes of it.
//!
//! Shapes of sources (`network` and its networks) and tables fill records; only `into_post` judges.

use super::clean_text::clean;
use super::identifiers::{self, Identifier};
use super::remarks::Remarks;
use super::timestamp::{self, DateOrder};
use crate::error::RejectReason;
use crate::post::{Consent, Language, LanguageSource, Notice, Origin, Post, Removal, Tombstone};
use serde_json::Value;

/// The fields a text can stand in, in order of trust (whole texts before cut ones).
const TEXT: &[&str] = &["full_text", "text", "content", "body", "tweet", "message", "fullText"];
pub(super) const ID: &[&str] = &["id_str", "id", "tweet_id", "status_id", "tweetid", "post_id"];
const AUTHOR: &[&str] =
    &["author", "screen_name", "username", "user", "handle", "author_id", "user_id", "name"];
const AUTHOR_ID: &[&str] = &["author_id", "user_id", "external_author_id"];
const CREATED: &[&str] = &[
    "created_at",
    "createdAt",
    "date",
    "time",
    "timestamp",
    "publish_date",
    "published",
    "created",
    "created_at_unix_seconds",
];
const EDITED: &[&str] = &["edited_at", "edited_at_unix_seconds"];
const REPLY: &[&str] = &[
    "in_reply_to_status_id_str",
    "in_reply_to_status_id",
    "in_reply_to_status_status_id",
    "in_reply_to_id",
    "in_reply_to",
    "reply_to",
    "parent_id",
];
const QUOTE: &[&str] = &["quoted_status_id_str", "quoted_status_id", "quotes", "quoted_id"];
const REPOST_OF: &[&str] = &["retweeted_status_id", "reposts", "repost_of"];
pub(super) const THREAD: &[&str] = &["conversation_id", "thread_id", "conversation"];
const LANGUAGE: &[&str] = &["lang", "language"];
const REPOST: &[&str] = &["is_retweet", "retweet", "is_repost", "repost"];
const APP: &[&str] = &["source_app", "client", "app"];
const BASIS: &[&str] = &["basis"];
const LICENCE: &[&str] = &["licence", "license"];
const CONSENT: &[&str] = &["consent"];
const CONSENT_AT: &[&str] = &["consent_at", "consent_at_unix_seconds"];
const DELETED: &[&str] = &["deleted", "withheld_copyright"];
const DELETED_AT: &[&str] = &["deleted_at", "tombstoned_at"];
const BOT: &[&str] = &["declared_bot", "is_bot"];

/// Where tables and objects keep each part of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    Id,
    Author,
    AuthorId,
    Created,
    Edited,
    Reply,
    Quote,
    RepostOf,
    Thread,
    Language,
    Repost,
    App,
    Basis,
    Licence,
    Consent,
    ConsentAt,
    Deleted,
    DeletedAt,
    Bot,
}

impl Part {
    pub(super) const ALL: [Part; 20] = [
        Part::Text,
        Part::Id,
        Part::Author,
        Part::AuthorId,
        Part::Created,
        Part::Edited,
        Part::Reply,
        Part::Quote,
        Part::RepostOf,
        Part::Thread,
        Part::Language,
        Part::Repost,
        Part::App,
        Part::Basis,
        Part::Licence,
        Part::Consent,
        Part::ConsentAt,
        Part::Deleted,
        Part::DeletedAt,
        Part::Bot,
    ];

    /// The names of the part, most trusted first.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Part::Text => TEXT,
            Part::Id => ID,
            Part::Author => AUTHOR,
            Part::AuthorId => AUTHOR_ID,
            Part::Created => CREATED,
            Part::Edited => EDITED,
            Part::Reply => REPLY,
            Part::Quote => QUOTE,
            Part::RepostOf => REPOST_OF,
            Part::Thread => THREAD,
            Part::Language => LANGUAGE,
            Part::Repost => REPOST,
            Part::App => APP,
            Part::Basis => BASIS,
            Part::Licence => LICENCE,
            Part::Consent => CONSENT,
            Part::ConsentAt => CONSENT_AT,
            Part::Deleted => DELETED,
            Part::DeletedAt => DELETED_AT,
            Part::Bot => BOT,
        }
    }

    /// The part by the name that `--map` uses for it.
    pub(super) fn from_mapping(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.mapping() == name)
    }

    /// The name that `--map` uses.
    pub(super) fn mapping(self) -> &'static str {
        match self {
            Part::Text => "text",
            Part::Id => "id",
            Part::Author => "author",
            Part::AuthorId => "author_id",
            Part::Created => "created_at",
            Part::Edited => "edited_at",
            Part::Reply => "in_reply_to",
            Part::Quote => "quotes",
            Part::RepostOf => "reposts",
            Part::Thread => "conversation",
            Part::Language => "language",
            Part::Repost => "repost",
            Part::App => "source_app",
            Part::Basis => "basis",
            Part::Licence => "licence",
            Part::Consent => "consent",
            Part::ConsentAt => "consent_at",
            Part::Deleted => "deleted",
            Part::DeletedAt => "tombstoned_at",
            Part::Bot => "declared_bot",
        }
    }
}

/// What stands in a record of a source.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// Perhaps a post.
    Post(Box<Record>),
    /// A notice about posts or authors.
    Notice(Notice),
    /// Something a source sends in addition to posts: likes, follows, limits, keep-alives.
    Other,
    /// No post and no notice.
    Rejected(RejectReason),
}

/// What is known of a source when its records are judged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judgement {
    /// How its dates are written.
    pub(super) dates: DateOrder,
    /// Whether its integers that end in zeros went through floating point.
    pub(super) rounded: bool,
}

const ROUNDED: &str =
    "identifiers of posts rounded by floating point, which do not identify: own ones are given";
const ROUNDED_LINKS: &str =
    "links to posts, threads and authors by identifiers rounded by floating point, dropped";
const OWN_REPLY: &str = "replies to themselves, read as no replies";

/// A record before it is judged: what the source wrote, part by part.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    parts: [Option<String>; Part::ALL.len()],
    /// Set when the structure of the source says so, whatever the fields are.
    pub(super) repost: bool,
    /// Set when the structure of the source says that the post is gone.
    pub(super) removal: Option<Removal>,
}

impl Record {
    pub(super) fn get(&self, part: Part) -> Option<&str> {
        self.parts[part as usize].as_deref()
    }

    pub(super) fn set(&mut self, part: Part, value: Option<String>) {
        self.parts[part as usize] = value;
    }

    /// Sets a part that is still open.
    pub(super) fn fill(&mut self, part: Part, value: Option<String>) {
        if self.parts[part as usize].is_none() {
            self.set(part, value);
        }
    }

    /// Takes out identifiers whose digits are lost.
    pub(super) fn settle_identifiers(&mut self, judgement: &Judgement, remarks: &mut Remarks) {
        let parts =
            [Part::Id, Part::AuthorId, Part::Reply, Part::Quote, Part::RepostOf, Part::Thread];
        for part in parts {
            let Some(written) = self.get(part) else { continue };
            match identifiers::judge(written, judgement.rounded) {
                Identifier::Sound(text) if text.len() == written.len() => {}
                Identifier::Sound(text) => {
                    let text = Some(text.to_string());
                    self.set(part, text);
                }
                Identifier::Rounded => {
                    remarks.add(if part == Part::Id { ROUNDED } else { ROUNDED_LINKS }, 1);
                    self.set(part, None);
                }
            }
        }
        if self.get(Part::Reply).is_some() && self.get(Part::Reply) == self.get(Part::Id) {
            remarks.add(OWN_REPLY, 1);
            self.set(Part::Reply, None);
        }
    }

    /// Judges the record.
    pub(super) fn into_post(
        mut self,
        origin: Origin,
        judgement: &Judgement,
        remarks: &mut Remarks,
    ) -> Result<Post, RejectReason> {
        let flag = |part| self.get(part).is_some_and(is_true);
        let gone = flag(Part::Deleted) || self.get(Part::DeletedAt).is_some();
        let removal = self.removal.or(gone.then_some(Removal::Deleted));
        let mut time =
            |part| self.get(part).and_then(|text| timestamp::read(text, judgement.dates, remarks));
        let (created, edited, consent_at) =
            (time(Part::Created), time(Part::Edited), time(Part::ConsentAt));
        let removed_at = removal.and_then(|_| time(Part::DeletedAt));
        let tombstone = removal.map(|removal| Tombstone { at_unix_seconds: removed_at, removal });
        let text = self.get(Part::Text).map(clean);
        // A removal that names no post says nothing.
        if text.is_none() && (tombstone.is_none() || self.get(Part::Id).is_none()) {
            return Err(RejectReason::NoText);
        }
        let text = text.unwrap_or_default();
        // Old archives mark a retweet by nothing else than how the text starts.
        let repost = self.repost || flag(Part::Repost) || text.starts_with("RT @");
        let language = self.get(Part::Language).map(Language::from_code).unwrap_or_default();
        let consent = match self.get(Part::Consent) {
            None => Consent::Unstated,
            Some(word) if is_true(word) || word.eq_ignore_ascii_case("granted") => Consent::Granted,
            Some(word) if word.eq_ignore_ascii_case("unstated") => Consent::Unstated,
            // Any other word in a consent field is not agreement.
            Some(_) => Consent::Refused,
        };
        let declared_bot = flag(Part::Bot);
        let author = self.get(Part::Author).unwrap_or("").trim_start_matches('@').to_string();
        let mut take = |part: Part| self.parts[part as usize].take();
        Ok(Post {
            id: take(Part::Id).unwrap_or_else(|| format!("{}#{}", origin.source, origin.record)),
            author,
            author_id: take(Part::AuthorId),
            declared_bot,
            // The words of a deleted post are not carried any further.
            text: if tombstone.is_some() { String::new() } else { text },
            created_at_unix_seconds: created,
            edited_at_unix_seconds: edited,
            in_reply_to: take(Part::Reply),
            quotes: take(Part::Quote),
            reposts: take(Part::RepostOf),
            conversation: take(Part::Thread),
            language,
            language_source: LanguageSource::of_stated(language),
            source_app: take(Part::App),
            basis: take(Part::Basis).unwrap_or_default(),
            licence: take(Part::Licence),
            consent,
            consent_at_unix_seconds: consent_at,
            tombstone,
            repost,
            origin,
        })
    }
}

pub(super) fn is_true(word: &str) -> bool {
    word == "1" || word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("yes")
}

/// The first of the fields that holds a string, number or truth value worth having.
pub(super) fn first(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| scalar(value.get(name)?))
}

/// A string, number or truth value as text; nothing for what says that there is nothing.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !is_absent(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The string at a JSON pointer.
pub(super) fn at(value: &Value, pointer: &str) -> Option<String> {
    scalar(value.pointer(pointer)?)
}

/// Whether a field says that there is nothing: empty, or the `NA` and `null` of exports.
pub(super) fn is_absent(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text == "NA" || text == "null" || text == "None" || text == "nan"
}
