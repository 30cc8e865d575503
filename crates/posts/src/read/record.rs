//! A record before it is judged: what the source wrote, part by part, and what becomes of it.
//!
//! Shapes of sources (`network` and its networks) and tables fill records; only `into_post` judges.

use super::clean_text::clean;
use super::fields;
use super::gone::{self, Gone, GoneTexts, How};
use super::identifiers::{self, Identifier};
use super::note_tweets::Note;
use super::remarks::Remarks;
use super::timestamp::{self, DateOrder};
use crate::error::RejectReason;
use crate::post::{Consent, Language, LanguageSource, Notice, Origin, Post, Removal, Tombstone};
use serde_json::Value;

/// Where tables and objects keep each part of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    Title,
    Warning,
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
    pub(super) const ALL: [Part; 22] = [
        Part::Text,
        Part::Title,
        Part::Warning,
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

    /// The names of the part in tables, most trusted first.
    pub(super) fn names(self) -> Vec<&'static str> {
        fields::names(self)
    }

    /// The part by the name that `--map` uses for it.
    pub(super) fn from_mapping(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.mapping() == name)
    }

    /// The name that `--map` uses.
    pub(super) fn mapping(self) -> &'static str {
        match self {
            Part::Text => "text",
            Part::Title => "title",
            Part::Warning => "warning",
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
    /// The whole text of a long post.
    Note(Box<Note>),
    /// An account, by identifier or handle, that its own record calls a program.
    Bot(String),
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
    /// Whether the record has a field that would tell a repost.
    pub(super) repost_known: bool,
    /// Set when a field or the structure of the source says that the post is gone.
    pub(super) gone: Option<Gone>,
    /// The program that collected it, when that is none of the author's.
    pub(super) scraper: Option<&'static str>,
}

/// A post, and what its record states that the post does not hold.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) post: Post,
    /// How the record states that the post is gone.
    pub(super) gone: Option<How>,
    pub(super) scraper: Option<&'static str>,
}

/// The basis and licence of what a scraper collected.
const UNKNOWN: &str = "unknown";

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

    /// Says that the post is gone, unless something did before.
    pub(super) fn set_gone(&mut self, removal: Removal, how: How) {
        self.gone.get_or_insert(Gone { removal, how });
    }

    /// Title, warning and words, each a paragraph.
    fn words(&self) -> Option<String> {
        let parts = [Part::Title, Part::Warning, Part::Text].into_iter();
        let parts: Vec<&str> = parts.filter_map(|part| self.get(part)).collect();
        match parts[..] {
            [] => None,
            [text] => Some(clean(text)),
            _ => Some(clean(&parts.join("\n\n"))),
        }
    }

    /// Why the post is gone, if it is: by a field, by structure, or by a text that is nothing but a
    /// notice.
    fn removal(&self, text: &str, texts: &GoneTexts) -> Option<Gone> {
        let flagged = self.get(Part::Deleted).is_some_and(is_true);
        let path = if flagged { "deleted" } else { "deleted_at" };
        let by_field = (flagged || self.get(Part::DeletedAt).is_some())
            .then_some(Gone { removal: Removal::Deleted, how: How::Field(path) });
        let alone = |part| self.get(part).and_then(|text| texts.find(text));
        self.gone.or(by_field).or_else(|| texts.find(text)).or_else(|| {
            // The title of a removed text often stays, and the other way round.
            self.get(Part::Title)?;
            alone(Part::Text).or_else(|| alone(Part::Title))
        })
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
        texts: &GoneTexts,
        remarks: &mut Remarks,
    ) -> Result<Judged, RejectReason> {
        let text = self.words();
        let gone = self.removal(text.as_deref().unwrap_or(""), texts);
        let mut time =
            |part| self.get(part).and_then(|text| timestamp::read(text, judgement.dates, remarks));
        let (created, edited, consent_at) =
            (time(Part::Created), time(Part::Edited), time(Part::ConsentAt));
        let removed_at = gone.and_then(|_| time(Part::DeletedAt));
        let tombstone =
            gone.map(|gone| Tombstone { at_unix_seconds: removed_at, removal: gone.removal });
        // A removal that names no post says nothing.
        if text.is_none() && (tombstone.is_none() || self.get(Part::Id).is_none()) {
            return Err(RejectReason::NoText);
        }
        let text = text.unwrap_or_default();
        let marked = self.repost
            || self.get(Part::Repost).is_some_and(|word| is_true(word) || word == "retweet");
        // The field that one exporter has for both kinds of reference.
        if self.get(Part::RepostOf).is_none() && self.get(Part::Repost) == Some("retweet") {
            let original = self.parts[Part::Quote as usize].take();
            self.set(Part::RepostOf, original);
        }
        // Where no field would tell, old archives mark a retweet by how the text starts.
        let repost = marked
            || self.get(Part::RepostOf).is_some()
            || (!self.repost_known && text.starts_with("RT @"));
        let language = self.get(Part::Language).map(Language::from_code).unwrap_or_default();
        let consent = match self.get(Part::Consent) {
            None => Consent::Unstated,
            Some(word) if is_true(word) || word.eq_ignore_ascii_case("granted") => Consent::Granted,
            Some(word) if word.eq_ignore_ascii_case("unstated") => Consent::Unstated,
            // Any other word in a consent field is not agreement.
            Some(_) => Consent::Refused,
        };
        let author = self.get(Part::Author).filter(|author| !gone::is_nobody(author));
        let author = author.unwrap_or("").trim_start_matches('@').to_string();
        let declared_bot =
            self.get(Part::Bot).is_some_and(is_automated) || gone::declares_bot(&author, &text);
        if self.scraper.is_some() {
            self.fill(Part::Basis, Some(UNKNOWN.to_string()));
            self.fill(Part::Licence, Some(UNKNOWN.to_string()));
        }
        let scraper = self.scraper;
        let mut take = |part: Part| self.parts[part as usize].take();
        let post = Post {
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
        };
        Ok(Judged { post, gone: gone.map(|gone| gone.how), scraper })
    }
}

/// Whether a field says that an account is a program: a truth value, or a kind of account or actor.
pub(super) fn is_automated(word: &str) -> bool {
    const KINDS: [&str; 4] = ["bot", "service", "application", "automated"];
    is_true(word) || KINDS.iter().any(|kind| word.eq_ignore_ascii_case(kind))
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

/// Whether a field says that there is nothing: empty, or what exports write for a missing value.
pub(super) fn is_absent(text: &str) -> bool {
    const ABSENT: [&str; 8] = ["NA", "<NA>", "null", "NULL", "None", "NaT", "\\N", "undefined"];
    let text = text.trim();
    text.is_empty()
        || (text.len() <= 9 && (ABSENT.contains(&text) || text.eq_ignore_ascii_case("nan")))
}
