//! Verdicts as attributes: for every rule a table beside the posts, row by row.
//!
//! `kept` is empty where a rule did not judge a row, because an earlier one had dropped it; so what a
//! rule saw and what it dropped can be counted from its table alone.

use crate::error::CorpusError;
use crate::store::Store;
use stoa_posts::{Column, Post, Values, read_columns, write_columns};

/// The columns that some attributes have beside the marks, and what a row that is forgotten has there,
/// where every row has a value: the language and where it comes from, the kinds of personal data.
const MORE: [(&str, Option<&str>); 3] =
    [(LANGUAGE, Some("und")), (LANGUAGE_SOURCE, Some("none")), (FOUND, None)];
pub(super) const LANGUAGE: &str = "language";
pub(super) const LANGUAGE_SOURCE: &str = "language_source";
pub(super) const FOUND: &str = "found";

/// A rule's word on a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// It was not asked.
    #[default]
    Unasked,
    /// It has nothing against the post.
    Kept,
    /// It drops the post.
    Dropped {
        /// Why.
        reason: String,
        /// The post this one repeats, where that is the reason.
        of: Option<String>,
    },
}

impl Mark {
    pub(super) fn dropped(reason: impl Into<String>) -> Mark {
        Mark::Dropped { reason: reason.into(), of: None }
    }

    pub(super) fn is_drop(&self) -> bool {
        matches!(self, Mark::Dropped { .. })
    }
}

/// The directory of a rule: its name without slashes.
pub(super) fn directory(rule: &str) -> String {
    rule.replace('/', ".")
}

/// Writes a rule's marks on the rows of a shard, with what else the rule has to say.
pub(super) fn write(
    store: &Store,
    rule: &str,
    shard: &str,
    posts: &[Post],
    marks: &[Mark],
    more: Vec<Column>,
) -> Result<(), CorpusError> {
    let ids = posts.iter().map(|post| Some(post.id.clone())).collect();
    let kept = marks.iter().map(|mark| match mark {
        Mark::Unasked => None,
        mark => Some(!mark.is_drop()),
    });
    let reasons = marks.iter().map(|mark| match mark {
        Mark::Dropped { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let mut columns = vec![
        Column { name: "id", required: true, values: Values::Text(ids) },
        Column { name: "kept", required: false, values: Values::Flag(kept.collect()) },
        Column { name: "reason", required: false, values: Values::Text(reasons.collect()) },
    ];
    if marks.iter().any(|mark| matches!(mark, Mark::Dropped { of: Some(_), .. })) {
        let of = marks.iter().map(|mark| match mark {
            Mark::Dropped { of, .. } => of.clone(),
            _ => None,
        });
        let values = Values::Text(of.collect());
        columns.push(Column { name: "of", required: false, values });
    }
    columns.extend(more);
    Ok(write_columns(
        &store.attribute(&directory(rule), shard),
        store.durability(),
        "attribute",
        &columns,
    )?)
}

/// Takes what a rule said of some rows back, as if it had not been asked.
pub(super) fn clear(
    store: &Store,
    rule: &str,
    shard: &str,
    posts: &[Post],
    rows: &[usize],
) -> Result<(), CorpusError> {
    let mut marks = read(store, rule, shard)?;
    let more =
        read_columns(&store.attribute(&directory(rule), shard), &MORE.map(|(name, _)| name))?;
    let mut columns = Vec::new();
    for ((name, forgotten), values) in MORE.into_iter().zip(more) {
        let Some(mut texts) = values.and_then(Values::into_texts) else { continue };
        rows.iter().for_each(|&row| texts[row] = forgotten.map(str::to_string));
        let values = Values::Text(texts);
        columns.push(Column { name, required: forgotten.is_some(), values });
    }
    rows.iter().for_each(|&row| marks[row] = Mark::Unasked);
    write(store, rule, shard, posts, &marks, columns)
}

/// Reads a rule's marks on the rows of a shard.
pub(super) fn read(store: &Store, rule: &str, shard: &str) -> Result<Vec<Mark>, CorpusError> {
    let path = store.attribute(&directory(rule), shard);
    let mut columns = read_columns(&path, &["kept", "reason", "of"])?.into_iter();
    let Some(kept) = columns.next().flatten().and_then(Values::into_flags) else {
        return Ok(Vec::new());
    };
    let mut texts = || {
        let values = columns.next().flatten().and_then(Values::into_texts);
        values.unwrap_or_else(|| vec![None; kept.len()]).into_iter()
    };
    let (reasons, of) = (texts(), texts());
    let marks = kept.iter().zip(reasons).zip(of).map(|((kept, reason), of)| match kept {
        None => Mark::Unasked,
        Some(true) => Mark::Kept,
        Some(false) => Mark::Dropped { reason: reason.unwrap_or_default(), of },
    });
    Ok(marks.collect())
}
