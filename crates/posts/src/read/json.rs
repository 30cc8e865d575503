//! One JSON value of a text, as Python writes and reads it.
//!
//! The fast path is `serde_json`. A text that it refuses, or that holds a number it cannot hold exactly, is
//! rewritten once and parsed again: `NaN`, `Infinity` and `-Infinity` become null, surrogates without their other
//! half U+FFFD, and numbers above 2^53 that are no integers of 64 bits strings of the same letters. Of a key
//! that comes twice in an object the last value counts, as in `json.loads`. All of it is counted. What is
//! Python but no JSON (single quotes, `None`, commas before a bracket) is refused by name and place.

use super::remarks::Remarks;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;

const NOT_FINITE: &str = "NaN and Infinity in JSON, read as null";
const SURROGATES: &str = "halves of surrogate pairs in JSON, read as U+FFFD";
const DUPLICATES: &str = "keys that come twice in an object of JSON, of which the last counts";

/// Numbers up to here are exact in floating point.
const EXACT: f64 = (1_u64 << 53) as f64;

/// Parses a text, counting what is read in another way than it is written.
///
/// # Errors
/// The message of the parser, or what is wrong in simpler words.
pub(super) fn parse(text: &str, remarks: &mut Remarks) -> Result<Value, String> {
    let tally = Tally::default();
    let strict = value_of(text, &tally);
    let (value, tally) = match strict {
        Ok(value) if !tally.inexact.get() => (value, tally),
        strict => {
            let rewritten = rewrite(text)?;
            if rewritten.text == text {
                let value = strict.map_err(|error| error.to_string())?;
                remarks.add(DUPLICATES, tally.duplicates.get());
                return Ok(value);
            }
            let tally = Tally::default();
            let value = value_of(&rewritten.text, &tally).map_err(|error| error.to_string())?;
            remarks.add(NOT_FINITE, rewritten.not_finite);
            remarks.add(SURROGATES, rewritten.surrogates);
            (value, tally)
        }
    };
    remarks.add(DUPLICATES, tally.duplicates.get());
    Ok(value)
}

/// What a parse met.
#[derive(Default)]
struct Tally {
    duplicates: Cell<u64>,
    /// A number that floating point may not hold exactly.
    inexact: Cell<bool>,
}

fn value_of(text: &str, tally: &Tally) -> Result<Value, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Counting(tally).deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Builds the value that `serde_json` builds, and counts.
#[derive(Clone, Copy)]
struct Counting<'t>(&'t Tally);

impl<'de> DeserializeSeed<'de> for Counting<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counting<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        if value.abs() > EXACT {
            self.0.inexact.set(true);
        }
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(self)?;
            if object.insert(key, value).is_some() {
                self.0.duplicates.set(self.0.duplicates.get() + 1);
            }
        }
        Ok(Value::Object(object))
    }
}

/// A text that strict parsers take.
#[derive(Default)]
struct Rewritten {
    text: String,
    not_finite: u64,
    surrogates: u64,
}

/// Python's words and marks that are no JSON.
const PYTHON: &[&str] = &["None", "True", "False", "'", "u'", "b'"];

fn rewrite(text: &str) -> Result<Rewritten, String> {
    let mut out = Rewritten { text: String::with_capacity(text.len()), ..Rewritten::default() };
    let (mut rest, mut comma) = (text, None);
    let place = |rest: &str| text.len() - rest.len() + 1;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = string(rest, &mut out);
            comma = None;
            continue;
        }
        if let Some(word) =
            ["NaN", "-Infinity", "Infinity"].into_iter().find(|w| rest.starts_with(w))
        {
            out.text.push_str("null");
            out.not_finite += 1;
            rest = &rest[word.len()..];
            comma = None;
            continue;
        }
        if PYTHON.iter().any(|word| rest.starts_with(word)) {
            return Err(format!(
                "at byte {}: this is how Python prints values, not JSON; write it with json.dumps",
                place(rest)
            ));
        }
        if first == '-' || first.is_ascii_digit() {
            rest = number(rest, &mut out);
            comma = None;
            continue;
        }
        match (first, comma) {
            ('}' | ']', Some(at)) => {
                return Err(format!("at byte {at}: a comma before a closing bracket; remove it"));
            }
            (',', _) => comma = Some(place(rest)),
            (first, _) if !first.is_whitespace() => comma = None,
            _ => {}
        }
        out.text.push(first);
        rest = &rest[first.len_utf8()..];
    }
    Ok(out)
}

/// Copies a string of JSON; gives what comes after it.
fn string<'t>(text: &'t str, out: &mut Rewritten) -> &'t str {
    out.text.push('"');
    let mut rest = &text[1..];
    while let Some(at) = rest.find(['"', '\\']) {
        out.text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('"') {
            out.text.push('"');
            return after;
        }
        let unit = |escape: &str| {
            let digits = escape.strip_prefix("\\u")?.get(..4)?;
            u32::from_str_radix(digits, 16).ok()
        };
        let length = match unit(rest) {
            Some(0xd800..=0xdbff) => match rest.get(6..).and_then(unit) {
                Some(0xdc00..=0xdfff) => 12,
                _ => 0,
            },
            Some(0xdc00..=0xdfff) => 0,
            // An escape of one letter, or a backslash at the end.
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        if length == 0 {
            out.surrogates += 1;
            out.text.push_str("\\ufffd");
            rest = &rest[6..];
        } else {
            out.text.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out.text.push_str(rest);
    ""
}

/// Copies a number, as a string where floating point would round it; gives what comes after it.
fn number<'t>(text: &'t str, out: &mut Rewritten) -> &'t str {
    let end = text.find(|letter: char| !matches!(letter, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    let exact = digits.parse::<i64>().is_ok() || digits.parse::<u64>().is_ok();
    let value = digits.parse::<f64>().unwrap_or_default();
    if value.is_infinite() && !is_integer(digits) {
        out.text.push_str("null");
        out.not_finite += 1;
        return rest;
    }
    // What is no number of JSON stays what it is, and is refused.
    let sound = is_integer(digits) || serde_json::from_str::<f64>(digits).is_ok();
    let rounded = !exact && sound && value.abs() > EXACT;
    let mark = if rounded { "\"" } else { "" };
    out.text.extend([mark, digits, mark]);
    rest
}

/// Digits alone, of which `serde_json` refuses those beyond floating point.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parsed(text: &str) -> (Result<Value, String>, Remarks) {
        let mut remarks = Remarks::default();
        let value = parse(text, &mut remarks);
        (value, remarks)
    }

    #[test]
    fn what_python_writes_is_read() {
        let (value, remarks) =
            parsed(r#"{"a": NaN, "b": [Infinity, -Infinity, -1], "c": "NaN\\"}"#);
        assert_eq!(value.unwrap(), json!({"a": null, "b": [null, null, -1], "c": "NaN\\"}));
        assert_eq!(remarks.count(NOT_FINITE), 3);
        let (value, remarks) =
            parsed(r#"["\ud83d", "\ude00 x", "\ud83d\ude00", "\ud83d\ud83d\ude00\\u"]"#);
        assert_eq!(value.unwrap(), json!(["\u{fffd}", "\u{fffd} x", "😀", "\u{fffd}😀\\u"]));
        assert_eq!(remarks.count(SURROGATES), 3);
        let (value, remarks) = parsed(r#"{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}"#);
        assert_eq!(value.unwrap(), json!({"a": 3, "b": {"c": 2}}));
        assert_eq!(remarks.count(DUPLICATES), 2);
        assert_eq!(parsed(r#"{"a": NaN, "a": 1}"#).1.count(DUPLICATES), 1);
    }

    #[test]
    fn numbers_are_exact_or_keep_their_letters() {
        let text =
            "[18446744073709551615, -9223372036854775808, 123456789012345678901234, 1.59e+18,
            1590000000000000000.0, 0.5, -1.5e3, 1e400, 1590123456789012345]";
        let expected = json!([
            u64::MAX,
            i64::MIN,
            "123456789012345678901234",
            "1.59e+18",
            "1590000000000000000.0",
            0.5,
            -1500.0,
            null,
            1_590_123_456_789_012_345_u64
        ]);
        assert_eq!(parsed(text).0.unwrap(), expected);
        let long = format!("[{}]", "9".repeat(400));
        assert_eq!(parsed(&long).0.unwrap(), json!(["9".repeat(400)]));
    }

    #[test]
    fn what_is_no_json_is_refused_by_name_and_place() {
        for (text, words) in [
            ("{'text': 'a'}", "at byte 2: this is how Python prints"),
            ("{\"a\": None}", "at byte 7: this is how Python prints"),
            ("{\"a\": [1, 2, ]}", "at byte 12: a comma before a closing bracket"),
            ("{\"a\": 1,}", "at byte 8: a comma before"),
            ("{\"a\": 1", "EOF"),
            ("not json", "expected"),
            ("", "EOF"),
            ("{\"a\": 1} x", "trailing"),
        ] {
            let error = parsed(text).0.unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1.0e15..1.0e15).prop_map(Value::from),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            number,
            "\\PC{0,12}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map("[a-z\"\\\\é]{0,4}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn strict_json_is_read_as_serde_json_reads_it(value in any_json()) {
            for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
                let expected: Value = serde_json::from_str(&text).unwrap();
                let (value, remarks) = parsed(&text);
                prop_assert_eq!(value.unwrap(), expected);
                prop_assert!(remarks.is_empty());
                // Rewriting changes nothing of it.
                prop_assert_eq!(rewrite(&text).unwrap().text, text);
            }
        }

        #[test]
        fn no_text_is_a_fault(text in "[\\[\\]{}\",:'\\\\ uUd8cNaI0-9.eE+-]{0,40}") {
            let _ = parsed(&text);
        }
    }
}
