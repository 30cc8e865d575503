//! What a part of a pipeline looks for in text: an expression, a text, or characters of a class.

use std::borrow::Cow;
use std::sync::Arc;

use unicode_general_category::{GeneralCategory as Category, get_general_category};

use super::expression::Expression;
use super::{LeftOut, Part};
use crate::{Pattern, TokensError};

/// Something to look for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Matcher {
    /// A published expression, by a machine of ours; it matches everywhere.
    Machine(Pattern),
    Expression(Expression),
    Text(String),
    Characters(Class),
}

/// Characters, each of which is a match of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// `\p{N}`.
    Number,
    Punctuation,
    Space,
    One(char),
}

impl Class {
    fn holds(self, character: char) -> bool {
        match self {
            Self::Number => character.is_numeric(),
            Self::Punctuation => is_punctuation(character),
            Self::Space => character.is_whitespace(),
            Self::One(one) => character == one,
        }
    }
}

/// ASCII's punctuation and Unicode's.
fn is_punctuation(character: char) -> bool {
    use Category::{
        ClosePunctuation, ConnectorPunctuation, DashPunctuation, FinalPunctuation,
        InitialPunctuation, OpenPunctuation, OtherPunctuation,
    };
    if character.is_ascii() {
        return character.is_ascii_punctuation();
    }
    matches!(
        get_general_category(character),
        ConnectorPunctuation
            | DashPunctuation
            | OpenPunctuation
            | ClosePunctuation
            | InitialPunctuation
            | FinalPunctuation
            | OtherPunctuation
    )
}

impl Matcher {
    /// `{"String": …}` or `{"Regex": …}`.
    pub(crate) fn read(part: &Part<'_>, left_out: &Arc<LeftOut>) -> Result<Self, TokensError> {
        let (text, regex) = (part.get("String"), part.get("Regex"));
        if let Some(text) = text.value.as_str() {
            return Ok(Self::Text(text.to_owned()));
        }
        let Some(source) = regex.value.as_str() else {
            return Err(part.unsupported("{\"String\": …} or {\"Regex\": …}"));
        };
        match Pattern::from_regex(source) {
            Ok(pattern) => Ok(Self::Machine(pattern)),
            Err(_) => Ok(Self::Expression(Expression::new(&regex.field, source, left_out)?)),
        }
    }

    /// Calls `found(start, end)` for every match in order; matches do not overlap.
    pub(crate) fn for_each_match(&self, text: &str, mut found: impl FnMut(usize, usize)) {
        match self {
            Self::Machine(pattern) => {
                crate::split::for_each_piece(*pattern, text.as_bytes(), found);
            }
            Self::Expression(expression) => expression.for_each_match(text, found),
            Self::Text(wanted) if wanted.is_empty() => {}
            Self::Text(wanted) => {
                for (start, matched) in text.match_indices(wanted.as_str()) {
                    found(start, start + matched.len());
                }
            }
            Self::Characters(class) => {
                for (start, character) in text.char_indices() {
                    if class.holds(character) {
                        found(start, start + character.len_utf8());
                    }
                }
            }
        }
    }

    /// The text with `content` in the place of every match.
    pub(crate) fn replace<'a>(&self, text: Cow<'a, str>, content: &str) -> Cow<'a, str> {
        let mut replaced = String::new();
        let mut done = 0;
        let mut any = false;
        self.for_each_match(&text, |start, end| {
            if !any {
                replaced.reserve(text.len());
            }
            any = true;
            replaced.push_str(&text[done..start]);
            replaced.push_str(content);
            done = end;
        });
        if !any {
            return text;
        }
        replaced.push_str(&text[done..]);
        Cow::Owned(replaced)
    }
}
