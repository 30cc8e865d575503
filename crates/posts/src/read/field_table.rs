//! The table of fields, compiled: a tree of keys by shape, which a record is held against once.
//!
//! The slow reference, in the tests, looks every field up by its path, one after the other.

use super::fields::{FIELDS, SCRAPERS, Scraper, Shape};
use super::gone::{Gone, How, MARKS, Mark, Says};
use super::record::{Part, Record, is_absent, is_true, scalar};
use serde_json::Value;
use std::collections::HashMap;

/// What the keys of records mean, by shape.
#[derive(Clone, Debug)]
pub(super) struct FieldTable {
    shapes: Vec<Node>,
}

/// A key, or a place in a list: what it means and what lies below it.
#[derive(Clone, Debug, Default)]
struct Node {
    below: HashMap<&'static str, Node>,
    meanings: Vec<Meaning>,
    /// Whether it or what lies below it would tell a repost, so that it tells, empty, that there is none.
    tells_reposts: bool,
}

/// What a field means; the rank is its place in the table, lower ones win.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Part(usize, Part),
    Mark(usize, &'static Mark),
    Sign(usize),
}

/// Parts that tell a repost by structure.
pub(super) fn tells_reposts(part: Part) -> bool {
    matches!(part, Part::Repost | Part::RepostOf)
}

/// Whether the value of a field is what a mark wants.
fn holds(says: Says, value: &Value) -> bool {
    match (says, value) {
        (Says::Filled, Value::Array(values)) => !values.is_empty(),
        (Says::Filled, Value::Object(fields)) => !fields.is_empty(),
        (_, Value::Array(_) | Value::Object(_)) => false,
        (says, value) => scalar(value).is_some_and(|text| text_holds(says, &text)),
    }
}

pub(super) fn text_holds(says: Says, text: &str) -> bool {
    if is_absent(text) {
        return false;
    }
    let text = text.trim();
    let no = is_false(text);
    match says {
        Says::True => is_true(text),
        Says::False => no,
        // Tables write empty lists and objects as they print.
        Says::Filled => !no && text != "[]" && text != "{}",
        Says::Words(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
    }
}

fn is_false(word: &str) -> bool {
    matches!(word, "0" | "0.0") || ["false", "no"].iter().any(|no| word.eq_ignore_ascii_case(no))
}

/// What has been found of a record.
struct Met<'v> {
    best: [Option<(usize, &'v Value)>; Part::ALL.len()],
    mark: Option<(usize, &'static Mark)>,
    signs: [u8; SCRAPERS.len()],
    repost_known: bool,
}

impl Default for FieldTable {
    fn default() -> FieldTable {
        FieldTable { shapes: Shape::ALL.map(shape).to_vec() }
    }
}

fn shape(shape: Shape) -> Node {
    let mut root = Node::default();
    for (rank, (_, path, part)) in FIELDS.iter().enumerate() {
        if FIELDS[rank].0.shape() == shape {
            add(&mut root, path, Meaning::Part(rank, *part));
        }
    }
    for (rank, mark) in MARKS.iter().enumerate() {
        add(&mut root, mark.path, Meaning::Mark(rank, mark));
    }
    for (index, scraper) in SCRAPERS.iter().enumerate() {
        for field in scraper.fields {
            add(&mut root, field, Meaning::Sign(index));
        }
    }
    root
}

fn add(root: &mut Node, path: &'static str, meaning: Meaning) {
    let tells = matches!(meaning, Meaning::Part(_, part) if tells_reposts(part));
    let mut node = &mut *root;
    for key in path.split('.') {
        node = node.below.entry(key).or_default();
        node.tells_reposts |= tells;
    }
    node.meanings.push(meaning);
    if path.contains('.') {
        // Flat objects hold the whole path as one key.
        let flat = root.below.entry(path).or_default();
        flat.tells_reposts |= tells;
        flat.meanings.push(meaning);
    }
}

impl FieldTable {
    /// The record that an object of a shape holds.
    pub(super) fn read(&self, shape: Shape, value: &Value) -> Record {
        let mut met = Met {
            best: [None; Part::ALL.len()],
            mark: None,
            signs: [0; SCRAPERS.len()],
            repost_known: false,
        };
        self.shapes[shape as usize].walk(value, &mut met);
        let mut record = Record::default();
        for part in Part::ALL {
            record.set(part, met.best[part as usize].and_then(|(_, value)| scalar(value)));
        }
        record.repost_known = met.repost_known;
        if let Some((_, mark)) = met.mark {
            record.gone = Some(gone(mark));
        }
        record.scraper = scraper_of(|index| usize::from(met.signs[index]));
        record
    }
}

pub(super) fn gone(mark: &Mark) -> Gone {
    Gone { removal: mark.removal, how: How::Field(mark.path) }
}

/// The scraper all of whose fields were met.
pub(super) fn scraper_of(met: impl Fn(usize) -> usize) -> Option<&'static str> {
    let whole = |(index, scraper): &(usize, &Scraper)| met(*index) >= scraper.fields.len();
    SCRAPERS.iter().enumerate().find(whole).map(|(_, scraper)| scraper.name)
}

impl Node {
    fn walk<'v>(&self, value: &'v Value, met: &mut Met<'v>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if let Some(node) = self.below.get(key.as_str()) {
                        node.meet(value, met);
                    }
                }
            }
            Value::Array(values) => {
                for (place, node) in &self.below {
                    let place = place.parse::<usize>().ok();
                    if let Some(value) = place.and_then(|place| values.get(place)) {
                        node.meet(value, met);
                    }
                }
            }
            _ => {}
        }
    }

    fn meet<'v>(&self, value: &'v Value, met: &mut Met<'v>) {
        met.repost_known |= self.tells_reposts;
        for meaning in &self.meanings {
            match *meaning {
                Meaning::Part(rank, part) => {
                    let best = &mut met.best[part as usize];
                    if best.is_none_or(|(known, _)| rank < known) && is_filled(part, value) {
                        *best = Some((rank, value));
                    }
                }
                Meaning::Mark(rank, mark) => {
                    let first = met.mark.is_none_or(|(known, _)| rank < known);
                    if first && holds(mark.says, value) {
                        met.mark = Some((rank, mark));
                    }
                }
                Meaning::Sign(index) => met.signs[index] = met.signs[index].saturating_add(1),
            }
        }
        if !self.below.is_empty() {
            self.walk(value, met);
        }
    }
}

fn is_filled(part: Part, value: &Value) -> bool {
    match value {
        Value::String(text) => is_filled_text(part, text),
        Value::Number(_) | Value::Bool(_) => true,
        _ => false,
    }
}

/// Whether a text fills a part: what links posts is an identifier, not a list as a table prints it.
pub(super) fn is_filled_text(part: Part, text: &str) -> bool {
    let printed = || text.trim_start().starts_with(['[', '{']);
    let link = matches!(part, Part::Reply | Part::Quote | Part::RepostOf | Part::Thread);
    !(is_absent(text) || link && printed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// The value at a path, or under the whole path as one key.
    fn lookup<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
        let nested = path.split('.').try_fold(value, |value, key| match value {
            Value::Object(fields) => fields.get(key),
            Value::Array(values) => values.get(key.parse::<usize>().ok()?),
            _ => None,
        });
        let flat = value.get(path).filter(|_| path.contains('.'));
        nested.into_iter().chain(flat).collect()
    }

    /// A part of a record, found by looking up one field after the other.
    fn slow(shape: Shape, value: &Value, part: Part) -> Option<String> {
        let of_part = FIELDS.iter().filter(|field| field.0.shape() == shape && field.2 == part);
        of_part
            .flat_map(|(_, path, _)| lookup(value, path))
            .find(|value| is_filled(part, value))
            .and_then(scalar)
    }

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!("")),
            Just(json!("NaN")),
            Just(json!([])),
            Just(json!("[]")),
            Just(json!(false)),
            "[a-z]{1,6}".prop_map(Value::String),
            (1..99_i64).prop_map(Value::from),
        ]
    }

    /// Puts a value at a path where nothing of another kind stands.
    fn put(object: &mut Value, path: &str, value: Value, flat: bool) {
        if flat {
            object[path] = value;
            return;
        }
        let mut at = object;
        let keys: Vec<&str> = path.split('.').collect();
        for (depth, key) in keys.iter().enumerate() {
            let Value::Object(fields) = at else { return };
            if depth + 1 == keys.len() {
                fields.insert((*key).to_string(), value);
                return;
            }
            at = fields.entry(*key).or_insert_with(|| json!({}));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// Of several fields of a part the first of the table that is filled wins, whichever
        /// are there and in whatever order.
        #[test]
        fn one_walk_finds_what_looking_up_finds(
            shape in 0..Shape::ALL.len(),
            chosen in proptest::collection::vec((0..FIELDS.len(), leaf(), any::<bool>()), 1..24),
        ) {
            let shape = Shape::ALL[shape];
            let mut value = json!({});
            for (at, leaf, flat) in chosen {
                let (source, path, _) = FIELDS[at];
                if source.shape() == shape {
                    put(&mut value, path, leaf, flat);
                }
            }
            let record = FieldTable::default().read(shape, &value);
            for part in Part::ALL {
                let expected = slow(shape, &value, part);
                prop_assert_eq!(record.get(part), expected.as_deref(), "{:?} of {}", part, value);
            }
        }
    }

    #[test]
    fn marks_hold_by_what_they_say() {
        let table = FieldTable::default();
        let how = |value: Value| table.read(Shape::Reddit, &value).gone.map(|gone| gone.removal);
        use crate::post::Removal;
        assert_eq!(how(json!({"removed_by_category": "moderator"})), Some(Removal::Dropped));
        assert_eq!(how(json!({"removed_by_category": "deleted"})), Some(Removal::Deleted));
        assert_eq!(how(json!({"removed_by_category": null, "banned_by": null})), None);
        assert_eq!(how(json!({"banned_by": true})), Some(Removal::Dropped));
        assert_eq!(how(json!({"banned_by": "", "deleted": "False", "removed": 0})), None);
        assert_eq!(how(json!({"_meta": {"was_deleted_later": true}})), Some(Removal::Deleted));
        assert_eq!(how(json!({"withheld_in_countries": []})), None);
        assert_eq!(how(json!({"withheld_in_countries": ["XY"]})), Some(Removal::Withheld));
        assert_eq!(how(json!({"author": "[Deleted]"})), Some(Removal::Deleted));
    }

    #[test]
    fn scrapers_are_known_by_their_fields() {
        let table = FieldTable::default();
        let scraper = |value: Value| table.read(Shape::Post, &value).scraper;
        assert_eq!(scraper(json!({"rawContent": "a"})), Some("snscrape"));
        assert_eq!(
            scraper(json!({"tweet": "a", "replies_count": 0, "retweets_count": 1})),
            Some("twint")
        );
        assert_eq!(scraper(json!({"id_str": "1", "full_text": "a", "user": {}})), None);
        assert_eq!(scraper(json!({"replies_count": 0})), None);
    }
}
