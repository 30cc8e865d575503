//! How sources are read: the format, what is stated of it, and limits.
//!
//! What is not stated is found from each source.

use super::dialect::TableOptions;
use super::encoding;
use super::network::{Network, Shaping};
use super::record::Part;
use super::timestamp::DateOrder;
use crate::error::PostsError;

/// A format, when it is given instead of detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Detected from the content.
    #[default]
    Auto,
    /// A JSON value a line.
    JsonLines,
    /// JSON values: an array, or one after the other.
    Json,
    /// Comma, semicolon or tab separated, with a header.
    Csv,
    /// Tab separated, with a header.
    Tsv,
    /// A post a paragraph, or a line.
    Text,
    /// Parquet.
    Parquet,
    /// JSON of X: API v1.1, v2, streams, archives.
    X,
    /// JSON of Gnip activity streams.
    Gnip,
    /// JSON of Bluesky: Jetstream, API views.
    Bluesky,
    /// JSON of Mastodon's API.
    Mastodon,
    /// JSON of ActivityPub.
    ActivityPub,
    /// JSON of Reddit or Pushshift.
    Reddit,
}

impl Format {
    /// Every format with the name the command line uses.
    pub const ALL: [(&'static str, Format); 13] = [
        ("auto", Format::Auto),
        ("jsonl", Format::JsonLines),
        ("json", Format::Json),
        ("csv", Format::Csv),
        ("tsv", Format::Tsv),
        ("text", Format::Text),
        ("parquet", Format::Parquet),
        ("x", Format::X),
        ("gnip", Format::Gnip),
        ("bluesky", Format::Bluesky),
        ("mastodon", Format::Mastodon),
        ("activitypub", Format::ActivityPub),
        ("reddit", Format::Reddit),
    ];

    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format)
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        Format::ALL.into_iter().find(|(_, format)| *format == self).map_or("auto", |(name, _)| name)
    }

    pub(super) fn network(self) -> Option<Network> {
        match self {
            Format::X => Some(Network::X),
            Format::Gnip => Some(Network::Gnip),
            Format::Bluesky => Some(Network::Bluesky),
            Format::Mastodon => Some(Network::Mastodon),
            Format::ActivityPub => Some(Network::ActivityPub),
            Format::Reddit => Some(Network::Reddit),
            _ => None,
        }
    }

    pub(super) fn is_json(self) -> bool {
        self.network().is_some() || self == Format::Json
    }
}

/// How to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// The format, or `Auto`.
    pub format: Format,
    /// Columns or keys by part (`text`, `author`, `id`, `created_at`, …), instead of the usual names;
    /// in JSON a name that starts with `/` is a JSON pointer.
    pub map: Vec<(String, String)>,
    /// How tables are written, where that is not to be found from the file.
    pub table: TableOptions,
    /// How dates are written that can be read in two ways.
    pub dates: DateOrder,
    /// The encoding of text, by one of its usual names; else found from the bytes.
    pub encoding: Option<String>,
    /// Whether posts inside posts (quoted, reposted, referenced) are read as posts too.
    pub embedded: bool,
    /// Keep what was read before compressed data breaks off or a JSON array ends early, instead of
    /// refusing the file.
    pub keep_truncated: bool,
    /// Longest record, in bytes; longer ones are rejected.
    pub record_limit_bytes: usize,
    /// Most decoded bytes of one archive.
    pub archive_limit_bytes: u64,
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        ReadOptions {
            format: Format::Auto,
            map: Vec::new(),
            table: TableOptions::default(),
            dates: DateOrder::Unstated,
            encoding: None,
            embedded: false,
            keep_truncated: false,
            record_limit_bytes: 64 << 20,
            archive_limit_bytes: 1 << 40,
        }
    }
}

impl ReadOptions {
    /// How values of JSON are taken apart.
    pub(super) fn shaping(&self) -> Shaping {
        let map = self.map.iter();
        let map = map.filter_map(|(part, name)| Some((Part::from_mapping(part)?, name.clone())));
        Shaping {
            map: map.collect(),
            embedded: self.embedded,
            network: self.format.network(),
            ..Shaping::default()
        }
    }

    /// Checks the names in `map` and that of the encoding.
    ///
    /// # Errors
    /// A name that is no part of a post; an encoding that is not known.
    pub fn check(&self) -> Result<(), PostsError> {
        if let Some(name) = self.encoding.as_ref().filter(|name| encoding::named(name).is_none()) {
            return Err(PostsError::UnknownEncoding { name: name.clone() });
        }
        let unknown = self.map.iter().find(|(part, _)| Part::from_mapping(part).is_none());
        match unknown {
            None => Ok(()),
            Some((part, _)) => Err(PostsError::UnknownPart {
                part: part.clone(),
                known: Part::ALL.map(Part::mapping).join(", "),
            }),
        }
    }
}
