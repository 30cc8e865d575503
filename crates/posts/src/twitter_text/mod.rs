//! What X sees in a text: links, mentions, lists, hashtags, cashtags, and its weighted length.
//!
//! The grammar is that of X's published conformance suite, which a test runs whole. Ranges are byte
//! ranges of the text given. Making HTML of them (the suite's autolink and highlighting parts) is not
//! here.

mod length;
mod letters;
mod names;
mod urls;
mod validity;

pub use length::{WeightedLength, weighted_length};
pub use names::{Mention, cashtags, hashtags, mentions, reply_to};
pub(crate) use urls::is_top_level_domain;
pub use urls::urls;
pub use validity::{fits_first_posts, is_url};

use std::ops::Range;

/// What kind of thing an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntityKind {
    /// A link, with or without `http://`.
    Url,
    /// `@name`.
    Mention,
    /// `@name/list`.
    List,
    /// `#tag`.
    Hashtag,
    /// `$TAG`.
    Cashtag,
}

/// A stretch of text that is not plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Its kind.
    pub kind: EntityKind,
    /// Its bytes, sign included.
    pub range: Range<usize>,
}

/// All entities in order of appearance; where two overlap, the one that starts first.
pub fn entities(text: &str) -> Vec<Entity> {
    let mut found: Vec<Entity> = Vec::new();
    let links = urls(text);
    found.extend(
        hashtags_outside(text, &links).map(|range| Entity { kind: EntityKind::Hashtag, range }),
    );
    found.extend(links.into_iter().map(|range| Entity { kind: EntityKind::Url, range }));
    found.extend(mentions(text).into_iter().map(|mention| Entity {
        kind: if mention.list.is_some() { EntityKind::List } else { EntityKind::Mention },
        range: mention.range,
    }));
    found.extend(
        cashtags(text).into_iter().map(|range| Entity { kind: EntityKind::Cashtag, range }),
    );
    found.sort_by_key(|entity| (entity.range.start, entity.kind));
    let mut end = 0;
    found.retain(|entity| {
        let free = entity.range.start >= end;
        if free {
            end = entity.range.end;
        }
        free
    });
    found
}

fn hashtags_outside<'a>(
    text: &'a str,
    links: &'a [Range<usize>],
) -> impl Iterator<Item = Range<usize>> + 'a {
    names::all_hashtags(text)
        .into_iter()
        .filter(move |tag| links.iter().all(|link| tag.end <= link.start || link.end <= tag.start))
}

#[cfg(test)]
mod tests;
