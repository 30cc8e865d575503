//! The columns of tables that mean something, by the table of fields: the parts of a post, the marks of
//! what is gone, and what the columns say of the whole table.
//!
//! A row gives what the flat object of its columns gives, which a test holds it to.

use super::field_table::{gone, is_filled_text, scraper_of, tells_reposts, text_holds};
use super::fields::{FIELDS, SCRAPERS, Shape};
use super::gone::{MARKS, Mark};
use super::record::{Part, Record};
use super::reddit;

/// The columns of a table that mean something.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldColumns {
    shape: Shape,
    /// By part, the more trusted first.
    parts: Vec<(Part, Vec<usize>)>,
    marks: Vec<(usize, &'static Mark)>,
    /// Columns that Reddit's identifiers are made of.
    names: Vec<(&'static str, usize)>,
    scraper: Option<&'static str>,
    repost_known: bool,
}

impl FieldColumns {
    /// Finds the columns by their names in lower case; `own` gives the column of a part, if the user
    /// names one.
    pub(super) fn find(
        names: &[String],
        mut own: impl FnMut(Part) -> Option<Option<usize>>,
    ) -> FieldColumns {
        let place = |name: &str| names.iter().position(|known| known.eq_ignore_ascii_case(name));
        let has = |name: &str| place(name).is_some();
        let of_reddit = ["subreddit", "subreddit_id", "link_id"].into_iter().any(has)
            && ["selftext", "title", "body"].into_iter().any(has);
        let shape = if of_reddit { Shape::Reddit } else { Shape::Post };
        let usual = |part: Part| -> Vec<usize> {
            let shapes = if of_reddit { &[Shape::Reddit, Shape::Post][..] } else { &[Shape::Post] };
            let fields = shapes.iter().flat_map(|shape| {
                FIELDS.iter().filter(move |field| field.2 == part && field.0.shape() == *shape)
            });
            fields.filter_map(|(_, path, _)| place(path)).collect()
        };
        let mut columns = FieldColumns { shape, ..FieldColumns::default() };
        for part in Part::ALL {
            let places = match own(part) {
                Some(own) => own.into_iter().collect(),
                None => usual(part),
            };
            columns.repost_known |= tells_reposts(part) && !places.is_empty();
            if !places.is_empty() {
                columns.parts.push((part, places));
            }
        }
        columns.marks = MARKS.iter().filter_map(|mark| Some((place(mark.path)?, mark))).collect();
        columns.names =
            ["name", "id"].into_iter().filter_map(|name| Some((name, place(name)?))).collect();
        columns.scraper =
            scraper_of(|index| SCRAPERS[index].fields.iter().filter(|field| has(field)).count());
        columns
    }

    /// Whether a column holds the text.
    pub(super) fn has_text(&self) -> bool {
        self.parts.iter().any(|(part, _)| matches!(part, Part::Text | Part::Title))
    }

    /// The record of a row, whose fields `cell` gives.
    ///
    /// # Errors
    /// What `cell` says of a field that is wanted.
    pub(super) fn record<'c, E>(
        &self,
        cell: impl Fn(usize) -> Result<Option<&'c str>, E>,
    ) -> Result<Record, E> {
        let mut record = Record::default();
        record.scraper = self.scraper;
        record.repost_known = self.repost_known;
        for (part, places) in &self.parts {
            for &place in places {
                if let Some(text) = cell(place)?.filter(|text| is_filled_text(*part, text)) {
                    record.set(*part, Some(text.to_owned()));
                    break;
                }
            }
        }
        for (place, mark) in &self.marks {
            if cell(*place)?.is_some_and(|text| text_holds(mark.says, text)) {
                record.gone = Some(gone(mark));
                break;
            }
        }
        if self.shape == Shape::Reddit {
            let comment = record.get(Part::Title).is_none();
            reddit::finish(&mut record, comment, |name| {
                let (_, place) = self.names.iter().find(|(known, _)| *known == name)?;
                cell(*place).ok().flatten()
            });
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::field_table::FieldTable;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// A row of a table gives what the flat object of its columns gives.
        #[test]
        fn rows_are_flat_objects(
            chosen in proptest::collection::btree_map(0..FIELDS.len(), "|NaN|true|[a-z0-9]{1,6}|\\[\\]", 1..24),
        ) {
            let mut value = json!({});
            for (at, text) in &chosen {
                let (source, path, _) = FIELDS[*at];
                if source.shape() == Shape::Post {
                    value[path] = json!(text);
                }
            }
            let names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            let columns = FieldColumns::find(&names, |_| None);
            let cell = |at: usize| Ok::<_, ()>(value[&names[at]].as_str());
            let row = columns.record(cell).unwrap();
            let object = FieldTable::default().read(Shape::Post, &value);
            for part in Part::ALL {
                prop_assert_eq!(row.get(part), object.get(part));
            }
            prop_assert_eq!((row.gone, row.scraper), (object.gone, object.scraper));
        }
    }
}
