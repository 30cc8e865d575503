//! Verdicts as attributes: for every rule a table next to the posts, row by row.
//!
//! `kept` is empty where a rule did not judge a row, because an earlier one had dropped it; so what a
//! rule saw and what it dropped can be counted from its table alone.

use crate::error::CorpusError;
use crate::store::Store;
use stoa_posts::rules::{CorpusRule as _, Rule, TemplateSpam};
use stoa_posts::{Column, Post, Values, read_columns, write_columns};

/// The columns that some attributes have in addition to the marks, and what a forgotten row has there,
/// where every row has a value: the language and where it comes from, the kinds of personal data.
const MORE: [(&str, Option<&str>); 3] =
    [(LANGUAGE, Some("und")), (LANGUAGE_SOURCE, Some("none")), (FOUND, None)];
/// The attribute with each post's language, and its column.
pub(super) const LANGUAGE: &str = "language";
pub(super) const LANGUAGE_SOURCE: &str = "language_source";
pub(super) const FOUND: &str = "found";

/// The gates, in order: a row that one of them drops is not judged by the next.
pub(super) const GATES: [&str; 4] = ["tombstone", "version", "consent", "repost"];
/// The attribute of texts that stand in evaluation sets.
pub(super) const DECONTAMINATION: &str = "decontaminate";
/// The attribute of texts that equal another.
pub(super) const EXACT: &str = "exact";
/// The attribute of texts that nearly equal another.
pub(super) const NEAR: &str = "near";
/// The attribute with the kinds of personal data that were masked.
pub(super) const PII: &str = "pii";
/// The attribute of kept posts that stand in no document, since their author is on the other side.
pub(super) const SPLIT: &str = "split";
/// The attribute that sums all others up: kept, or the first rule that dropped the post.
pub(super) const VERDICT: &str = "verdict";

/// The rules whose attributes a store has, in the order in which they count.
pub(super) fn rules_in_order(store: &Store, rules: &[Box<dyn Rule>]) -> Vec<String> {
    let names = GATES.into_iter().chain(rules.iter().map(|rule| rule.name()));
    let spam = TemplateSpam::new();
    let names = names.chain([DECONTAMINATION, spam.name(), EXACT, NEAR]);
    let present = store.rules().unwrap_or_default();
    names.filter(|name| present.contains(&directory(name))).map(str::to_string).collect()
}

/// A rule's verdict on a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// The rule did not judge it.
    #[default]
    Unasked,
    /// The rule keeps the post.
    Kept,
    /// The rule drops the post.
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

/// Writes a rule's marks on the rows of a shard, with the rule's other columns.
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

/// Takes back a rule's verdicts on some rows, as if the rule had not been applied.
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
