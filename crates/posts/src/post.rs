//! One post, whatever its source: the schema every reader fills and every later stage reads.
//!
//! It carries what the law and the reader's trust need beside the text: consent, tombstone, and the
//! place in the source a row came from. It does not judge a post; `cleaning` does.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The language a post or document is written in, as far as the sources here need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    English,
    /// French.
    French,
    /// A language the source names, which is neither English nor French.
    Other,
    /// Nobody said, or the text is too short to say.
    Undetermined,
}

impl Language {
    /// The languages the sample square speaks.
    pub const SPOKEN: [Language; 2] = [Language::English, Language::French];

    /// BCP 47 code: `en`, `fr`, `mul` for other, `und` for undetermined.
    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::French => "fr",
            Language::Other => "mul",
            Language::Undetermined => "und",
        }
    }

    /// Reads a BCP 47 code as posts carry it (`en`, `en-gb`, `fr`, `und`, …) or an English name.
    pub fn from_code(code: &str) -> Language {
        let primary = code.split(['-', '_']).next().unwrap_or(code).to_ascii_lowercase();
        match primary.as_str() {
            "en" | "eng" | "english" => Language::English,
            "fr" | "fra" | "fre" | "french" => Language::French,
            // X marks texts without words (only media, handles, tags) with q-codes.
            "" | "und" | "qme" | "qht" | "qct" | "qst" | "qam" | "zxx" | "na" => {
                Language::Undetermined
            }
            _ => Language::Other,
        }
    }
}

/// Whether the author agreed to the use of a post for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// The source records agreement.
    Granted,
    /// The source records refusal: the post must never reach training text.
    Refused,
    /// The source says nothing; whoever hands over the file answers for it.
    Unstated,
}

/// Mark of a post that was deleted, withheld or protected at its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tombstone {
    /// When it was deleted, in Unix seconds, where the source says.
    pub at_unix_seconds: Option<i64>,
}

/// Where a post stood in its source, so that any row can be traced back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// File (or `archive!entry`) it was read from; `square` for generated posts.
    pub source: Arc<str>,
    /// Position among the records of that source, from 0.
    pub record: u64,
    /// Byte at which the record (or the line holding it) starts, after decompression.
    pub byte_offset: u64,
}

/// One post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Identifier, unique within its source.
    pub id: String,
    /// Author's handle or identifier; empty when unknown.
    pub author: String,
    /// Text: HTML-unescaped, without tracking links, handles still in place.
    pub text: String,
    /// When it was written, in Unix seconds.
    pub created_at_unix_seconds: Option<i64>,
    /// The post this one answers.
    pub in_reply_to: Option<String>,
    /// The thread it belongs to, where the source says.
    pub conversation: Option<String>,
    /// Language, as stated by the source or guessed from stop words.
    pub language: Language,
    /// The author's agreement.
    pub consent: Consent,
    /// Set when the post no longer exists at its source.
    pub tombstone: Option<Tombstone>,
    /// Whether it repeats another person's post (a retweet).
    pub repost: bool,
    /// Where it was read.
    pub origin: Origin,
}
