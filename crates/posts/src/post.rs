//! One post, whatever its source: the schema every reader fills and every later stage reads.
//!
//! It carries what the law and the reader's trust need in addition to the text: basis of use, licence,
//! consent, tombstone, and the place in the source a row came from. `table` gives its Parquet form.
//! It does not judge a post; `rules` and the stages of an ingest do.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// The language a post or document is written in: a BCP 47 primary tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    /// English.
    English,
    /// French.
    French,
    /// Another language, by its tag.
    Other(Tag),
    /// No source states it, and the text does not show it.
    #[default]
    Undetermined,
}

/// A primary language tag of two or three lower-case letters (BCP 47, section 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag([u8; 3]);

impl Tag {
    /// The tag, when `code` is two or three ASCII letters.
    fn new(code: &str) -> Option<Tag> {
        let bytes = code.as_bytes();
        let sound =
            (2..=3).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_lowercase());
        sound.then(|| {
            let mut letters = [0; 3];
            letters[..bytes.len()].copy_from_slice(bytes);
            Tag(letters)
        })
    }

    fn as_str(&self) -> &str {
        let length = if self.0[2] == 0 { 2 } else { 3 };
        // Lower-case ASCII letters by construction.
        std::str::from_utf8(&self.0[..length]).unwrap_or("und")
    }
}

impl Language {
    /// The languages the sample square speaks.
    pub const SPOKEN: [Language; 2] = [Language::English, Language::French];

    /// BCP 47 code: `en`, `fr`, `de`, …, `und` for undetermined.
    pub fn code(&self) -> &str {
        match self {
            Language::English => "en",
            Language::French => "fr",
            Language::Other(tag) => tag.as_str(),
            Language::Undetermined => "und",
        }
    }

    /// Reads a BCP 47 code as posts carry it (`en`, `en-gb`, `fr`, `und`, …) or an English name.
    /// Regions and scripts are dropped; what is no code is undetermined.
    pub fn from_code(code: &str) -> Language {
        let primary = code.trim().split(['-', '_']).next().unwrap_or(code).to_ascii_lowercase();
        match primary.as_str() {
            "en" | "eng" | "english" => Language::English,
            "fr" | "fra" | "fre" | "french" => Language::French,
            // X marks texts without words (only media, handles, tags) with q-codes, and still says
            // `in`, `iw` and `ji` for Indonesian, Hebrew and Yiddish.
            "" | "und" | "qme" | "qht" | "qct" | "qst" | "qam" | "zxx" | "na" | "mul" => {
                Language::Undetermined
            }
            "in" => Language::Other(Tag(*b"id\0")),
            "iw" => Language::Other(Tag(*b"he\0")),
            "ji" => Language::Other(Tag(*b"yi\0")),
            other => Tag::new(other)
                .or_else(|| tag_of_name(other))
                .map_or(Language::Undetermined, Language::Other),
        }
    }
}

/// Where the language of a post or document comes from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LanguageSource {
    /// The source of the post states it.
    Stated,
    /// `identify` found it in the text.
    Identified,
    /// It is undetermined: the source states none, and none was found.
    #[default]
    None,
}

impl LanguageSource {
    /// Where a language comes from that a source states; one that it leaves open comes from nowhere.
    pub fn of_stated(language: Language) -> LanguageSource {
        LanguageSource::unless_open(language, LanguageSource::Stated)
    }

    /// Where a language comes from that `identify` found.
    pub fn of_identified(language: Language) -> LanguageSource {
        LanguageSource::unless_open(language, LanguageSource::Identified)
    }

    fn unless_open(language: Language, source: LanguageSource) -> LanguageSource {
        if language == Language::Undetermined { LanguageSource::None } else { source }
    }

    /// Whether the language comes from nowhere.
    pub fn is_none(&self) -> bool {
        *self == LanguageSource::None
    }

    /// The word for it: `stated`, `identified`, `none`.
    pub fn name(self) -> &'static str {
        match self {
            LanguageSource::Stated => "stated",
            LanguageSource::Identified => "identified",
            LanguageSource::None => "none",
        }
    }

    /// Reads [`LanguageSource::name`]; any other word says nothing.
    pub fn from_name(name: &str) -> LanguageSource {
        match name {
            "stated" => LanguageSource::Stated,
            "identified" => LanguageSource::Identified,
            _ => LanguageSource::None,
        }
    }
}

/// Languages that exports name in English instead of by code.
fn tag_of_name(name: &str) -> Option<Tag> {
    const NAMES: [(&str, &str); 24] = [
        ("albanian", "sq"),
        ("arabic", "ar"),
        ("bulgarian", "bg"),
        ("catalan", "ca"),
        ("croatian", "hr"),
        ("dutch", "nl"),
        ("estonian", "et"),
        ("finnish", "fi"),
        ("german", "de"),
        ("greek", "el"),
        ("hindi", "hi"),
        ("hungarian", "hu"),
        ("italian", "it"),
        ("japanese", "ja"),
        ("norwegian", "no"),
        ("polish", "pl"),
        ("portuguese", "pt"),
        ("romanian", "ro"),
        ("russian", "ru"),
        ("serbian", "sr"),
        ("spanish", "es"),
        ("swedish", "sv"),
        ("turkish", "tr"),
        ("ukrainian", "uk"),
    ];
    let (_, code) = NAMES.iter().find(|(known, _)| *known == name)?;
    Tag::new(code)
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Language, D::Error> {
        Ok(Language::from_code(&String::deserialize(deserializer)?))
    }
}

/// Whether the author agreed to the use of a post for training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// The source records agreement.
    Granted,
    /// The source records refusal: the post must never reach training text.
    Refused,
    /// The source states nothing; the person who provides the file is responsible for it.
    #[default]
    Unstated,
}

impl Consent {
    /// The word for it: `granted`, `refused`, `unstated`.
    pub fn name(self) -> &'static str {
        match self {
            Consent::Granted => "granted",
            Consent::Refused => "refused",
            Consent::Unstated => "unstated",
        }
    }

    /// Reads [`Consent::name`]; any other word is not agreement.
    pub fn from_name(name: &str) -> Consent {
        match name {
            "granted" => Consent::Granted,
            "unstated" => Consent::Unstated,
            _ => Consent::Refused,
        }
    }
}

/// What took a post away: the events of X's compliance streams, which other networks map onto.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// The author deleted the post, or the whole account.
    #[default]
    Deleted,
    /// A newer version of the post took its place.
    Edited,
    /// Withheld by law or by the network, in some country or everywhere.
    Withheld,
    /// The network stopped showing it.
    Dropped,
    /// The account became private.
    Protected,
    /// The account was suspended.
    Suspended,
    /// The author declared that posts must not be used to train models.
    Refused,
    /// Removed from this store on request (`stoa posts forget`).
    Forgotten,
}

impl Removal {
    /// Every kind.
    pub const ALL: [Removal; 8] = [
        Removal::Deleted,
        Removal::Edited,
        Removal::Withheld,
        Removal::Dropped,
        Removal::Protected,
        Removal::Suspended,
        Removal::Refused,
        Removal::Forgotten,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Removal::Deleted => "deleted",
            Removal::Edited => "edited",
            Removal::Withheld => "withheld",
            Removal::Dropped => "dropped",
            Removal::Protected => "protected",
            Removal::Suspended => "suspended",
            Removal::Refused => "refused",
            Removal::Forgotten => "forgotten",
        }
    }

    /// Reads [`Removal::name`].
    pub fn from_name(name: &str) -> Option<Removal> {
        Removal::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Mark of a post that was deleted, withheld or protected at its source.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Tombstone {
    /// When it was removed, in Unix seconds, where the source says.
    pub at_unix_seconds: Option<i64>,
    /// What removed it.
    #[serde(default)]
    pub removal: Removal,
}

/// Whom a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The post of this identifier.
    Post(String),
    /// Every post of this author (handle or identifier, as posts carry it).
    Author(String),
}

/// A notice that posts are gone, or are back: it can come before or after the posts it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whom or what it is about.
    pub about: About,
    /// What happened.
    pub removal: Removal,
    /// True when it takes an earlier notice of the same kind back (undelete, unprotect, …).
    pub reversed: bool,
    /// When it happened, in Unix seconds; without it a removal cannot be taken back.
    pub at_unix_seconds: Option<i64>,
}

/// Where a post stood in its source, so that any row can be traced back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// File (or `archive!entry`) it was read from; `square` for generated posts.
    pub source: Arc<str>,
    /// Position among the records of that source, from 0.
    pub record: u64,
    /// Byte at which the record (or the line holding it) starts, after decompression.
    pub byte_offset: u64,
}

/// One post.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Identifier, unique within its network.
    pub id: String,
    /// Author's handle or identifier, or in a store its keyed hash; empty when unknown.
    pub author: String,
    /// The author's identifier, where the source gives it in addition to a handle; hashed in a store.
    #[serde(default)]
    pub author_id: Option<String>,
    /// Whether the source marks the account as automated.
    #[serde(default)]
    pub declared_bot: bool,
    /// Text: HTML-unescaped, without tracking links, handles still in place.
    pub text: String,
    /// When it was written, in Unix seconds.
    pub created_at_unix_seconds: Option<i64>,
    /// When this version was written, in Unix seconds, where the source tells versions apart.
    #[serde(default)]
    pub edited_at_unix_seconds: Option<i64>,
    /// The post this one answers.
    pub in_reply_to: Option<String>,
    /// The post this one quotes.
    #[serde(default)]
    pub quotes: Option<String>,
    /// The post this one repeats, where the source says which.
    #[serde(default)]
    pub reposts: Option<String>,
    /// The thread it belongs to, where the source says.
    pub conversation: Option<String>,
    /// Language: as read, the one that the source states; in a store else the one identified.
    pub language: Language,
    /// Where the language comes from.
    #[serde(default)]
    pub language_source: LanguageSource,
    /// The program it was written with, as the source names it (declared bots, schedulers).
    #[serde(default)]
    pub source_app: Option<String>,
    /// Why it may be used: `own-archive`, `opt-in`, `licence`, `public-sector`, … as stated at
    /// ingest; empty when none is stated.
    #[serde(default)]
    pub basis: String,
    /// Licence, as an SPDX identifier or a name.
    #[serde(default)]
    pub licence: Option<String>,
    /// The author's agreement.
    pub consent: Consent,
    /// When consent was given or refused, in Unix seconds.
    #[serde(default)]
    pub consent_at_unix_seconds: Option<i64>,
    /// Set when the post no longer exists at its source.
    pub tombstone: Option<Tombstone>,
    /// Whether it repeats another person's post (a retweet).
    pub repost: bool,
    /// Where it was read.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_of_languages() {
        for (given, code) in [
            ("en-GB", "en"),
            ("pt_BR", "pt"),
            ("in", "id"),
            ("iw", "he"),
            ("qme", "und"),
            ("Russian", "ru"),
            ("LANGUAGE UNDEFINED", "und"),
            ("ckb", "ckb"),
            ("", "und"),
        ] {
            assert_eq!(Language::from_code(given).code(), code, "{given}");
        }
        let text = serde_json::to_string(&Language::from_code("de")).expect("serializes");
        assert_eq!(text, "\"de\"");
        assert_eq!(serde_json::from_str::<Language>(&text).expect("parses").code(), "de");
    }

    #[test]
    fn names_of_removals_read_back() {
        for removal in Removal::ALL {
            assert_eq!(Removal::from_name(removal.name()), Some(removal));
        }
    }
}
