//! The units that rules count: words where a script has spaces, letters where it has none.
//!
//! Han, Kana, Thai, Lao, Khmer, Burmese, Tibetan and a few more scripts set no space between words. There a
//! letter with its marks is the unit, and weighs the part of a word that it is on average. Rules then ask
//! for words by weight, so that one threshold holds in every script and in mixed texts. Without a
//! letter of such a script the units are what white space separates, each with the weight of a word.
//!
//! This knows no dictionary: where a Thai word ends it does not say.

mod scripts;

use crate::pii::PiiKind;
use scripts::{Class, class, is_stacker};
pub(crate) use scripts::{Ends, ends_of, is_mark, is_unspaced, letter_weight};

/// The weight of a word of a script with spaces. Letters of other scripts weigh a part of it.
pub const WORD_WEIGHT: usize = 6;

/// A piece of a text that rules count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The piece, with the signs around it.
    pub text: &'a str,
    /// [`WORD_WEIGHT`] for a word, less for a letter.
    pub weight: usize,
}

impl Unit<'_> {
    /// Whether it is a letter of a script without spaces between words.
    pub fn is_letter(&self) -> bool {
        self.weight < WORD_WEIGHT
    }
}

/// The units of a text, in order. White space is in none of them.
///
/// Signs belong to the unit before them, at the start of a token to the one after. Marks belong to their
/// letter, and so does a letter that is stacked below another (Khmer, Burmese).
pub fn units(text: &str) -> impl Iterator<Item = Unit<'_>> {
    text.split_whitespace().flat_map(|token| Cut { rest: token, plain: is_spaced(token) })
}

/// A text with the places and weights of its units, from which runs are cut.
#[derive(Clone, Debug)]
pub struct Units<'a> {
    text: &'a str,
    places: Vec<(usize, usize)>,
    weights: Vec<usize>,
}

impl<'a> Units<'a> {
    /// Cuts a text.
    pub fn of(text: &'a str) -> Units<'a> {
        let mut cut = Units { text, places: Vec::new(), weights: Vec::new() };
        let mut end = 0;
        for unit in units(text) {
            let space = text[end..].len() - text[end..].trim_start().len();
            let start = end + space;
            end = start + unit.text.len();
            cut.places.push((start, end));
            cut.weights.push(unit.weight);
        }
        cut
    }

    /// What each unit weighs.
    pub fn weights(&self) -> &[usize] {
        &self.weights
    }

    /// The text of a run, white space between its units included.
    pub fn run(&self, run: std::ops::Range<usize>) -> &'a str {
        match (self.places.get(run.start), run.end.checked_sub(1)) {
            (Some(first), Some(last)) => &self.text[first.0..self.places[last].1],
            _ => "",
        }
    }
}

/// What a text weighs: words times [`WORD_WEIGHT`], letters of scripts without spaces by their part.
pub fn weight(text: &str) -> usize {
    units(text).map(|unit| unit.weight).sum()
}

/// Runs of units that begin at each unit and are as short as `enough` allows: each a range of units.
/// `enough` is asked with the weight of the run; what it accepts it must accept of any greater weight.
pub fn runs<'a>(
    weights: &'a [usize],
    enough: impl Fn(usize) -> bool + 'a,
) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
    let (mut end, mut held) = (0, 0);
    (0..weights.len()).map_while(move |start| {
        while !enough(held) {
            held += weights.get(end)?;
            end += 1;
        }
        held -= weights[start];
        Some(start..end)
    })
}

/// Whether a text has no letter from U+0800 on, among which all scripts without spaces are.
pub(crate) fn is_spaced(text: &str) -> bool {
    text.bytes().all(|byte| byte < 0xe0)
}

/// Cuts one token into units.
struct Cut<'a> {
    rest: &'a str,
    plain: bool,
}

impl<'a> Iterator for Cut<'a> {
    type Item = Unit<'a>;

    fn next(&mut self) -> Option<Unit<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (end, weight) =
            if self.plain { (self.rest.len(), WORD_WEIGHT) } else { first_unit(self.rest) };
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Unit { text, weight })
    }
}

/// Where the first unit of a token ends, and its weight.
fn first_unit(token: &str) -> (usize, usize) {
    let mut core: Option<usize> = None;
    let mut stacks = false;
    for (at, letter) in token.char_indices() {
        match (class(letter), core) {
            (Class::Letter(_), Some(weight)) if stacks && weight < WORD_WEIGHT => {}
            (Class::Letter(_), Some(weight)) => return (at, weight),
            (Class::Letter(weight), None) => core = Some(weight),
            (Class::Word, Some(weight)) if weight < WORD_WEIGHT => return (at, weight),
            (Class::Word, _) => core = Some(WORD_WEIGHT),
            (Class::Mark | Class::Sign, _) => {}
        }
        stacks = is_stacker(letter);
    }
    (token.len(), core.unwrap_or(WORD_WEIGHT))
}

/// The words and letters of a token without its signs: words are cut where `char::is_alphanumeric` ends,
/// letters keep their marks.
pub(crate) fn bare_units(token: &str) -> impl Iterator<Item = Unit<'_>> {
    Cut { rest: token, plain: is_spaced(token) }.flat_map(|unit| {
        let letter = unit.is_letter();
        let keeps = move |sign: char| {
            sign.is_alphanumeric() || letter && matches!(class(sign), Class::Mark)
        };
        let pieces = unit.text.split(move |sign| !keeps(sign)).filter(|piece| !piece.is_empty());
        pieces.map(move |text| Unit { text, weight: unit.weight })
    })
}

/// Tokens as white space separates them; in a token with letters of scripts without spaces links and
/// handles are tokens of their own (`写真https://…`, `@ann今日は`).
///
/// Such a letter ends a link unless it follows a sign that is part of links, as in `…/wiki/日本`; a handle
/// ends where its letters do.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|token| {
        let plain = is_spaced(token) || !token.contains(is_unspaced);
        Addresses { rest: token, plain }
    })
}

/// A text after the handles, and what was put for them, that it starts with; the whole text where there
/// is nothing else.
pub fn after_handles(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some(token) = tokens(rest).next() {
        let handle = if rest.starts_with(PiiKind::Handle.placeholder()) {
            PiiKind::Handle.placeholder()
        } else if token.starts_with(['@', '＠']) {
            token
        } else {
            return rest;
        };
        rest = rest[handle.len()..].trim_start();
    }
    text
}

struct Addresses<'a> {
    rest: &'a str,
    plain: bool,
}

impl<'a> Iterator for Addresses<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = if self.plain { self.rest.len() } else { address_or_text_end(self.rest) };
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(token)
    }
}

fn address_or_text_end(token: &str) -> usize {
    let (is_link, is_handle) = (begins_link(token), begins_handle(token));
    let mut before = ' ';
    let mut letters = false;
    for (at, letter) in token.char_indices() {
        let unspaced = is_unspaced(letter);
        let ends = match (is_link, is_handle) {
            (true, _) => unspaced && !is_unspaced(before) && !"/=?&#%-_.+:~".contains(before),
            (_, true) => !letter.is_ascii_alphanumeric() && !"@＠_.-:".contains(letter),
            _ => letters && (begins_link(&token[at..]) || begins_handle(&token[at..])),
        };
        if ends {
            return at;
        }
        letters |= unspaced;
        before = letter;
    }
    token.len()
}

fn begins_link(token: &str) -> bool {
    ["http://", "https://", "www."].iter().any(|start| {
        token.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    })
}

fn begins_handle(token: &str) -> bool {
    let mut letters = token.chars();
    matches!(letters.next(), Some('@' | '＠'))
        && letters.next().is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests;
