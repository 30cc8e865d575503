//! How normalised text is cut into pieces: Hugging Face's pre-tokenizers, one by one.
//!
//! A pipeline hands each piece of one step to the next, depth first, so that steps that only cut
//! take no memory. Steps that change text (▁, the byte alphabet, a space before) write their own.

use std::ops::Range;
use std::sync::Arc;

use unicode_script::{Script, UnicodeScript as _};

use super::matcher::{Class, Matcher};
use super::{LeftOut, Part};
use crate::{Pattern, TokensError, byte_alphabet};

/// One step of cutting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PreTokenizer {
    Split {
        what: Matcher,
        behavior: Behavior,
        invert: bool,
    },
    Metaspace {
        replacement: char,
        prepend: Prepend,
        split: bool,
    },
    /// A space before a piece that does not start with one.
    PrefixSpace,
    /// Every byte becomes its character of the byte alphabet.
    ByteAlphabet,
    /// Cuts where the script changes; Hiragana and Katakana count as Han.
    Scripts,
    /// Pieces of so many characters.
    FixedLength(usize),
}

/// What becomes of matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// Where `Metaspace` puts its sign before a piece that does not start with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepend {
    Always,
    /// At the start of the text alone.
    First,
    Never,
}

/// Kinds that can stand in a file.
const SUPPORTED: &str = "ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, \
                         Metaspace, BertPreTokenizer, UnicodeScripts, CharDelimiterSplit, \
                         FixedLength, or a Sequence of these";

impl PreTokenizer {
    /// The steps of a part, in order.
    pub(crate) fn read(part: &Part<'_>, left_out: &Arc<LeftOut>) -> Result<Vec<Self>, TokensError> {
        let mut steps = Vec::new();
        for part in part.flattened("pretokenizers")? {
            Self::read_one(&part, left_out, &mut steps)?;
        }
        Ok(steps)
    }

    fn read_one(
        part: &Part<'_>,
        left_out: &Arc<LeftOut>,
        steps: &mut Vec<Self>,
    ) -> Result<(), TokensError> {
        let split = |what, behavior| Self::Split { what, behavior, invert: false };
        let class = |class, behavior| split(Matcher::Characters(class), behavior);
        match part.kind()? {
            "ByteLevel" => {
                if part.flag("add_prefix_space", true)? {
                    steps.push(Self::PrefixSpace);
                }
                if part.flag("use_regex", true)? {
                    steps.push(split(Matcher::Machine(Pattern::Gpt2), Behavior::Isolated));
                }
                steps.push(Self::ByteAlphabet);
            }
            "Split" => steps.push(Self::Split {
                what: Matcher::read(&part.get("pattern"), left_out)?,
                behavior: Behavior::read(&part.get("behavior"))?,
                invert: part.flag("invert", false)?,
            }),
            "Digits" if part.flag("individual_digits", false)? => {
                steps.push(class(Class::Number, Behavior::Isolated));
            }
            "Digits" => steps.push(class(Class::Number, Behavior::Contiguous)),
            "Punctuation" => {
                let behavior = part.get("behavior");
                let absent = behavior.is_null();
                let behavior = if absent { Behavior::Isolated } else { Behavior::read(&behavior)? };
                steps.push(class(Class::Punctuation, behavior));
            }
            "Whitespace" => {
                let words = super::expression::Expression::words(left_out)?;
                let what = Matcher::Expression(words);
                steps.push(Self::Split { what, behavior: Behavior::Removed, invert: true });
            }
            "WhitespaceSplit" => steps.push(class(Class::Space, Behavior::Removed)),
            "BertPreTokenizer" => {
                steps.push(class(Class::Space, Behavior::Removed));
                steps.push(class(Class::Punctuation, Behavior::Isolated));
            }
            "CharDelimiterSplit" => {
                let delimiter = part.get("delimiter").character()?;
                steps.push(class(Class::One(delimiter), Behavior::Removed));
            }
            "Metaspace" => steps.push(read_metaspace(part)?),
            "UnicodeScripts" => steps.push(Self::Scripts),
            "FixedLength" => {
                let length = part.number("length")? as usize;
                if length == 0 {
                    return Err(part.get("length").unsupported("a number above 0"));
                }
                steps.push(Self::FixedLength(length));
            }
            _ => return Err(part.unknown_kind(SUPPORTED)),
        }
        Ok(())
    }

    /// Whether this step only cuts everywhere as a machine does.
    pub(crate) fn machine(&self) -> Option<Pattern> {
        match self {
            // A pattern that matches everywhere gives the same pieces either way.
            Self::Split { what: Matcher::Machine(pattern), behavior, invert } => {
                match (behavior, invert) {
                    (Behavior::Isolated, _) | (Behavior::Removed, true) => Some(*pattern),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// `Metaspace`, also as files of before 2024 have it, with `add_prefix_space`.
fn read_metaspace(part: &Part<'_>) -> Result<PreTokenizer, TokensError> {
    let scheme = part.get("prepend_scheme");
    let prepend = match scheme.value.as_str() {
        Some("always") => Prepend::Always,
        Some("first") => Prepend::First,
        Some("never") => Prepend::Never,
        None if scheme.is_null() => match part.flag("add_prefix_space", true)? {
            true => Prepend::Always,
            false => Prepend::Never,
        },
        _ => return Err(scheme.unsupported("always, first or never")),
    };
    Ok(PreTokenizer::Metaspace {
        replacement: part.get("replacement").character()?,
        prepend,
        split: part.flag("split", true)?,
    })
}

impl Behavior {
    fn read(part: &Part<'_>) -> Result<Self, TokensError> {
        Ok(match part.value.as_str() {
            Some("Removed") => Self::Removed,
            Some("Isolated") => Self::Isolated,
            Some("MergedWithPrevious") => Self::MergedWithPrevious,
            Some("MergedWithNext") => Self::MergedWithNext,
            Some("Contiguous") => Self::Contiguous,
            _ => {
                return Err(part.unsupported(
                    "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
                ));
            }
        })
    }
}

/// Where a piece lies: in a text, and whether that is the start of all the text.
#[derive(Clone)]
struct Place<'a> {
    text: &'a str,
    range: Range<usize>,
    at_start: bool,
}

/// Cuts a text by all steps and calls `piece(text, start, end)` for every piece that is not
/// empty, in order. `at_start` tells whether the text begins all of what is encoded.
pub(crate) fn for_each_piece(
    steps: &[PreTokenizer],
    text: &str,
    at_start: bool,
    piece: &mut dyn FnMut(&str, usize, usize),
) {
    cut(steps, Place { text, range: 0..text.len(), at_start }, piece);
}

fn cut(steps: &[PreTokenizer], place: Place<'_>, piece: &mut dyn FnMut(&str, usize, usize)) {
    let Place { text, range, at_start } = place;
    if range.is_empty() {
        return;
    }
    let Some((step, rest)) = steps.split_first() else {
        return piece(text, range.start, range.end);
    };
    let here = &text[range.clone()];
    let first = range.start;
    let mut within = |start: usize, end: usize| {
        let range = first + start..first + end;
        cut(rest, Place { text, range, at_start: at_start && start == 0 }, piece);
    };
    match step {
        PreTokenizer::Split { what, behavior, invert } => {
            split(here, what, *behavior, *invert, &mut within);
        }
        PreTokenizer::Scripts => by_script(here, &mut within),
        PreTokenizer::FixedLength(length) => by_length(here, *length, &mut within),
        PreTokenizer::PrefixSpace if here.starts_with(' ') => within(0, here.len()),
        PreTokenizer::PrefixSpace => whole(rest, &format!(" {here}"), at_start, piece),
        PreTokenizer::ByteAlphabet => {
            whole(rest, &byte_alphabet::spell(here.as_bytes()), at_start, piece);
        }
        PreTokenizer::Metaspace { replacement, prepend, split: splits } => {
            let signed = metaspace(here, *replacement, *prepend, at_start);
            if !splits {
                return whole(rest, &signed, at_start, piece);
            }
            let what = Matcher::Characters(Class::One(*replacement));
            split(&signed, &what, Behavior::MergedWithNext, false, &mut |start, end| {
                let at_start = at_start && start == 0;
                cut(rest, Place { text: &signed, range: start..end, at_start }, piece);
            });
        }
    }
}

/// Continues with a text that a step has written.
fn whole(
    steps: &[PreTokenizer],
    text: &str,
    at_start: bool,
    piece: &mut dyn FnMut(&str, usize, usize),
) {
    cut(steps, Place { text, range: 0..text.len(), at_start }, piece);
}

/// The text with `replacement` for its spaces and, as `prepend` has it, before it.
fn metaspace(text: &str, replacement: char, prepend: Prepend, at_start: bool) -> String {
    let mut signed = String::with_capacity(text.len() + 4);
    let wanted = match prepend {
        Prepend::Always => true,
        Prepend::First => at_start,
        Prepend::Never => false,
    };
    if wanted && !text.starts_with([' ', replacement]) {
        signed.push(replacement);
    }
    signed.extend(text.chars().map(|c| if c == ' ' { replacement } else { c }));
    signed
}

/// Cuts `text` at the matches of `what`; with `invert`, at what lies between them.
fn split(
    text: &str,
    what: &Matcher,
    behavior: Behavior,
    invert: bool,
    piece: &mut dyn FnMut(usize, usize),
) {
    let mut done = 0;
    match (behavior, invert) {
        (Behavior::Isolated, _) => what.for_each_match(text, |start, end| {
            piece(done, start);
            piece(start, end);
            done = end;
        }),
        (Behavior::Removed, true) => {
            what.for_each_match(text, &mut *piece);
            return;
        }
        (Behavior::Removed, false) => what.for_each_match(text, |start, end| {
            piece(done, start);
            done = end;
        }),
        _ => {
            for (start, end) in merged(text, what, behavior, invert) {
                piece(start, end);
            }
            return;
        }
    }
    piece(done, text.len());
}

/// The pieces of a split that joins matches to what is around them.
fn merged(text: &str, what: &Matcher, behavior: Behavior, invert: bool) -> Vec<(usize, usize)> {
    let mut stretches = Vec::new();
    let mut done = 0;
    what.for_each_match(text, |start, end| {
        if done != start {
            stretches.push((done, start, invert));
        }
        stretches.push((start, end, !invert));
        done = end;
    });
    if done != text.len() {
        stretches.push((done, text.len(), invert));
    }
    let backwards = behavior == Behavior::MergedWithNext;
    if backwards {
        stretches.reverse();
    }
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    let mut previous = false;
    for (start, end, matched) in stretches {
        let joins = match behavior {
            Behavior::Contiguous => matched == previous,
            _ => matched && !previous,
        };
        match pieces.last_mut() {
            Some(last) if joins && backwards => last.0 = start,
            Some(last) if joins => last.1 = end,
            _ => pieces.push((start, end)),
        }
        previous = matched;
    }
    if backwards {
        pieces.reverse();
    }
    pieces
}

/// Cuts where the script changes. Spaces and characters of no script belong to what is before; at
/// the start they belong to no piece, as in the original.
fn by_script(text: &str, piece: &mut dyn FnMut(usize, usize)) {
    let mut last = None;
    let mut start = text.len();
    for (at, character) in text.char_indices() {
        let script = match character {
            ' ' => continue,
            'ー' => Script::Han,
            _ => match character.script() {
                Script::Hiragana | Script::Katakana => Script::Han,
                Script::Unknown => continue,
                script => script,
            },
        };
        if last != Some(script) {
            if last.is_some() {
                piece(start, at);
            }
            start = at;
        }
        last = Some(script);
    }
    piece(start, text.len());
}

/// Cuts every `length` characters.
fn by_length(text: &str, length: usize, piece: &mut dyn FnMut(usize, usize)) {
    let mut start = 0;
    for (count, (at, _)) in text.char_indices().enumerate() {
        if count > 0 && count % length == 0 {
            piece(start, at);
            start = at;
        }
    }
    piece(start, text.len());
}
